//! From one policy to the next on live maps: after every single operation each source has its old or its new verdict.

use std::net::IpAddr;

use proptest::{collection::vec, prelude::*};

use super::{
    SMALL, anywhere, nets, probes,
    random::{self, NOW},
    verdict,
};
use crate::policy::{Gate, Image, Intent, Maps, NeedsGeneration, Op, Sizes, compile, evaluate};

/// Whether a SYN is dropped: the reason drops, and the gate does not only observe.
fn dropped(maps: &Maps, gate: usize, source: IpAddr) -> bool {
    let observe = maps.head.observe.load(std::sync::atomic::Ordering::Relaxed);
    verdict(maps, gate, source).drops() && observe >> gate & 1 == 0
}

fn should_drop(intent: &Intent, gate: usize, source: IpAddr) -> bool {
    evaluate(intent, gate, source, NOW).reason.drops() && !intent.gates[gate].observe
}

/// Goes from policy to policy, and looks at every source after every operation.
fn walk(steps: &[Intent], sizes: Sizes, far: &[IpAddr]) -> Result<(), TestCaseError> {
    let table = compile(&steps[0]);
    let mut image = Image::build(&table, sizes).unwrap();
    let mut kernel = Image::build(&table, sizes).unwrap();
    image.set_now(NOW);
    kernel.set_now(NOW);
    for pair in steps.windows(2) {
        let (old, new) = (&pair[0], &pair[1]);
        let mut sources = probes(old);
        sources.extend(probes(new));
        sources.extend(far);
        sources.iter_mut().for_each(|source| *source = source.to_canonical());
        sources.sort();
        sources.dedup();
        let told: Vec<_> = sources
            .iter()
            .flat_map(|source| {
                (0..3).map(move |gate| {
                    (
                        *source,
                        gate,
                        should_drop(old, gate, *source),
                        should_drop(new, gate, *source),
                    )
                })
            })
            .collect();
        // Sources are sorted, IPv4 first.
        let (below4, below6) = (starts(&told, false), starts(&told, true));
        let ops = match image.plan(&compile(new)) {
            Ok(ops) => ops,
            Err(needs) => panic!("{needs}"),
        };
        for (n, op) in ops.iter().enumerate() {
            kernel.maps.apply(op);
            let below: &[_] = match op {
                // A /0 is 65,536 such stores, and only the sources below one see it.
                Op::Root4Set(index, _) | Op::Root6Set(index, _) if n % 512 != 0 => {
                    let index = usize::from(*index);
                    let range = if matches!(op, Op::Root4Set(..)) {
                        &below4
                    } else {
                        &below6
                    };
                    &told[range[index]..range[index + 1]]
                }
                _ => &told,
            };
            for (source, gate, old, new) in below {
                let seen = dropped(&kernel.maps, *gate, *source);
                prop_assert!(
                    seen == *old || seen == *new,
                    "{source} at gate {gate} after {op:?}: neither old nor new"
                );
            }
        }
        for (source, gate, _, _) in &told {
            let reason = evaluate(new, *gate, *source, NOW).reason;
            prop_assert_eq!(
                verdict(&kernel.maps, *gate, *source),
                reason,
                "{} at gate {}",
                source,
                gate
            );
            prop_assert_eq!(
                verdict(image.maps(), *gate, *source),
                reason,
                "{} at gate {} in the image",
                source,
                gate
            );
        }
        prop_assert_eq!(image.plan(&compile(new)).unwrap(), [], "nothing is left to do");
        // As many nodes are in use as codes name.
        for (side, used) in [
            (crate::policy::prefix::Side::V4, image.fill().nodes4),
            (crate::policy::prefix::Side::V6, image.fill().nodes6),
        ] {
            prop_assert_eq!(named(&image.maps, side), used, "{:?}", side);
        }
    }
    Ok(())
}

/// For each value of the first two bytes the place where its sources begin, and the end.
fn starts(told: &[(IpAddr, usize, bool, bool)], v6: bool) -> Vec<usize> {
    let key = |source: &IpAddr| match source.to_canonical() {
        IpAddr::V4(address) => (false, address.to_bits() >> 16),
        IpAddr::V6(address) => (true, (address.to_bits() >> 112) as u32),
    };
    let mut starts = Vec::with_capacity(65_537);
    let mut at = told.partition_point(|(source, ..)| key(source) < (v6, 0));
    for index in 0..=65_536 {
        at += told[at..]
            .iter()
            .take_while(|(source, ..)| key(source) < (v6, index))
            .count();
        starts.push(at);
    }
    starts
}

fn named(maps: &Maps, side: crate::policy::prefix::Side) -> usize {
    let mut open: Vec<u32> = maps.root(side).iter().filter_map(node).collect();
    let mut named = 0;
    while let Some(number) = open.pop() {
        named += 1;
        open.extend(maps.nodes(side)[number as usize].codes.iter().filter_map(node));
    }
    named
}

fn node(code: &std::sync::atomic::AtomicU16) -> Option<u32> {
    crate::policy::front::node(code.load(std::sync::atomic::Ordering::Relaxed))
}

/// A policy, and one that shares most of it.
fn neighbours() -> impl Strategy<Value = Vec<Intent>> {
    (random::intent(), random::intent(), vec(any::<bool>(), 64)).prop_map(|(a, b, coins)| {
        let mut coins = coins.into_iter().cycle();
        let mut coin = move || coins.next().unwrap_or_default();
        let mut next = a.clone();
        next.trust.retain(|_| coin());
        next.block.retain(|_| coin());
        next.bans.retain(|_| coin());
        for gate in &mut next.gates {
            gate.allow.retain(|_| coin());
        }
        next.bans.extend(b.bans.iter().filter(|_| coin()));
        next.trust.extend(b.trust.iter().filter(|_| coin()));
        vec![a, next.clone(), b, next]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn diff_shows_no_verdict_but_old_or_new(a in random::intent(), b in random::intent(), bits in any::<u128>()) {
        walk(&[a, b], SMALL, &anywhere(bits))?;
    }

    #[test]
    fn diff_shows_no_verdict_but_old_or_new_over_several_policies(steps in neighbours(), bits in any::<u128>()) {
        walk(&steps, SMALL, &anywhere(bits))?;
    }
}

fn gates(allow: &[&str]) -> Intent {
    let gates = allow.iter().zip(1..).map(|(allow, port)| Gate {
        name: port.to_string(),
        ports: vec![port],
        allow: nets(allow),
        observe: false,
    });
    Intent {
        gates: gates.collect(),
        ..Intent::default()
    }
}

#[test]
fn diff_of_one_prefix_is_a_handful_of_operations() {
    let before = gates(&["10.0.0.0/8 192.0.2.0/24 198.51.100.0/24"]);
    let mut after = before.clone();
    after.gates[0].allow.push("203.0.113.0/24".parse().unwrap());
    let mut image = Image::build(&compile(&before), SMALL).unwrap();
    let ops = image.plan(&compile(&after)).unwrap();
    assert_eq!(ops.len(), 3, "trie, node, root: {ops:?}");
    let ops = image.plan(&compile(&before)).unwrap();
    assert_eq!(ops.len(), 2, "trie, root: {ops:?}");
}

#[test]
fn diff_that_cannot_be_made_in_place_says_why_and_changes_nothing() {
    let before = gates(&["192.0.2.0/24"]);
    let sizes = Sizes {
        trie4: 3,
        nodes4: 2,
        over4: 1,
        ..SMALL
    };
    let wide = |text| gates(&[text]);
    let mut ports = before.clone();
    ports.gates[0].ports.push(26);
    let mut bans = before.clone();
    bans.block = (1..30).map(|n| format!("192.0.2.{n}/32").parse().unwrap()).collect();
    let cases = [
        ("another port", ports, "ports changed"),
        (
            "another gate before it",
            gates(&["198.51.100.0/24", "192.0.2.0/24"]),
            "ports changed",
        ),
        (
            "old and new prefixes are four",
            wide("10.1.0.0/16 10.3.0.0/16 10.5.0.0/16"),
            "4 IPv4 prefixes, old and new",
        ),
        (
            "three nodes of two",
            wide("192.0.2.0/24 10.1.1.0/24 10.2.1.0/24"),
            "no node left",
        ),
        (
            "more listed addresses than places",
            bans,
            "IPv4 bans beyond full buckets",
        ),
    ];
    for (name, after, expected) in cases {
        let mut image = Image::build(&compile(&before), sizes).unwrap();
        image.set_now(NOW);
        let fill = image.fill();
        let needs = image.plan(&compile(&after)).unwrap_err();
        assert!(needs.to_string().contains(expected), "{name}: {needs}");
        assert_eq!(image.fill(), fill, "{name}");
        assert_eq!(image.plan(&compile(&before)), Ok(Vec::new()), "{name}");
    }
}

#[test]
fn diff_gives_freed_nodes_away_only_after_another_plan() {
    let sizes = Sizes { nodes4: 1, ..SMALL };
    let mut image = Image::build(&compile(&gates(&["192.0.2.0/24"])), sizes).unwrap();
    image.plan(&compile(&gates(&["192.0.0.0/16"]))).unwrap();
    let other = compile(&gates(&["198.51.100.0/24"]));
    assert_eq!(
        image.plan(&other),
        Err(NeedsGeneration::Nodes),
        "a reader may still be in the node"
    );
    image.plan(&compile(&gates(&["192.0.0.0/15"]))).unwrap();
    image.plan(&other).unwrap();
}
