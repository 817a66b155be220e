//! From policy to image: the decision over the image is what the policy says.

use proptest::prelude::*;
use smtpgate_common::{Reason, abi::OBSERVE_STRUCTURE, cell::Cell};

use super::{
    SMALL, address, anywhere, net, nets, probes,
    random::{self, NOW},
    verdict,
};
use crate::policy::{
    Ban, Gate, GateTable, Image, Intent, Limits, NeedsGeneration, Single, Sizes, compile, evaluate,
    prefix::{to_v4, to_v6},
};

/// Lengths of the lists say which sources, the answer says the rest.
fn policy(trust: &str, block: &str, allow: &[&str], bans: &[(&str, u32)]) -> Intent {
    let gates = allow.iter().zip(1..).map(|(allow, port)| Gate {
        name: port.to_string(),
        ports: vec![port],
        allow: nets(allow),
        observe: false,
    });
    Intent {
        gates: gates.collect(),
        trust: nets(trust),
        block: nets(block),
        bans: bans
            .iter()
            .map(|(prefix, until)| Ban {
                prefix: net(prefix),
                until: *until,
            })
            .collect(),
    }
}

fn image(intent: &Intent) -> Image {
    let mut image = Image::build(&compile(intent), SMALL).unwrap();
    image.set_now(NOW);
    image
}

fn cells(table: &GateTable) -> Vec<(String, Cell)> {
    let v4 = table
        .cells4
        .iter()
        .map(|(prefix, cell)| (to_v4(*prefix).to_string(), *cell));
    let v6 = table
        .cells6
        .iter()
        .map(|(prefix, cell)| (to_v6(*prefix).to_string(), *cell));
    v4.chain(v6).collect()
}

const TRUST: Cell = Cell::new(0, Cell::TRUST, 0);
const BLOCK: Cell = Cell::new(0, Cell::BLOCK, 0);
const ALLOW: Cell = Cell::new(1, 0, 0);

#[test]
fn policy_compiles_to_the_fewest_prefixes_that_say_it() {
    type Case<'a> = (&'a str, Intent, &'a [(&'a str, Cell)]);
    let cases: &[Case<'_>] = &[
        ("nothing", policy("", "", &[""], &[]), &[]),
        (
            "world",
            policy("", "", &["0.0.0.0/0 ::/0"], &[]),
            &[("0.0.0.0/0", ALLOW), ("::/0", ALLOW)],
        ),
        (
            "host bits are cut off, repeats are one",
            policy("", "", &["192.0.2.77/24 192.0.2.1/24"], &[]),
            &[("192.0.2.0/24", ALLOW)],
        ),
        (
            "halves join, also over several lengths",
            policy("", "", &["192.0.2.0/25 192.0.2.128/26 192.0.2.192/26"], &[]),
            &[("192.0.2.0/24", ALLOW)],
        ),
        (
            "neighbours that are no halves of one prefix stay",
            policy("", "", &["192.0.1.0/24 192.0.2.0/24"], &[]),
            &[("192.0.1.0/24", ALLOW), ("192.0.2.0/24", ALLOW)],
        ),
        (
            "both halves of the world",
            policy("", "", &["0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1"], &[]),
            &[("0.0.0.0/0", ALLOW), ("::/0", ALLOW)],
        ),
        (
            "trust in block in allow",
            policy("192.0.2.4", "192.0.2.0/29", &["192.0.2.0/24"], &[]),
            &[
                ("192.0.2.0/24", ALLOW),
                ("192.0.2.0/29", BLOCK),
                ("192.0.2.4/32", TRUST),
            ],
        ),
        (
            "block and ban in trust are nothing",
            policy(
                "192.0.2.0/24",
                "192.0.2.0/29",
                &["192.0.2.128/25"],
                &[("192.0.2.0/28", 500), ("192.0.2.1/32", 500)],
            ),
            &[("192.0.2.0/24", TRUST)],
        ),
        (
            "ban of what no gate allows is nothing, of what one allows is an answer",
            policy(
                "",
                "",
                &["192.0.2.0/24"],
                &[("198.51.100.0/24", 500), ("192.0.0.0/16", 700)],
            ),
            &[("192.0.2.0/24", Cell::new(1, 0, 700))],
        ),
        (
            "the longer of two bans holds, however they nest",
            policy(
                "",
                "",
                &["192.0.2.0/24"],
                &[("192.0.2.0/25", 500), ("192.0.0.0/16", 700), ("192.0.2.128/25", 900)],
            ),
            &[
                ("192.0.2.0/24", Cell::new(1, 0, 700)),
                ("192.0.2.128/25", Cell::new(1, 0, 900)),
            ],
        ),
        (
            "ban of everything",
            policy("", "", &["0.0.0.0/0"], &[("0.0.0.0/0", 500)]),
            &[("0.0.0.0/0", Cell::new(1, 0, 500))],
        ),
        (
            "gates add up",
            policy("", "", &["192.0.2.0/24", "192.0.2.0/25 198.51.100.0/24"], &[]),
            &[
                ("192.0.2.0/24", Cell::new(1, 0, 0)),
                ("192.0.2.0/25", Cell::new(3, 0, 0)),
                ("198.51.100.0/24", Cell::new(2, 0, 0)),
            ],
        ),
        (
            "joined halves of one answer take the place of the whole's",
            policy("", "", &["192.0.2.0/24", "192.0.2.0/25 192.0.2.128/25"], &[]),
            &[("192.0.2.0/24", Cell::new(3, 0, 0))],
        ),
        (
            "mapped IPv4 is IPv4, a prefix around it is not",
            policy("", "", &["::ffff:192.0.2.0/120 ::ffff:0:0/95"], &[]),
            &[("192.0.2.0/24", ALLOW), ("::fffe:0:0/95", ALLOW)],
        ),
        (
            "a /64 in block is a prefix, an address is not",
            policy("", "2001:db8::/64 2001:db8:1::1 192.0.2.1", &["2001:db8::/32"], &[]),
            &[("2001:db8::/32", ALLOW), ("2001:db8::/64", BLOCK)],
        ),
        (
            "a banned /64 with a trusted address in it is a prefix",
            policy("2001:db8::1", "", &["2001:db8::/32"], &[("2001:db8::/64", 500)]),
            &[
                ("2001:db8::/32", ALLOW),
                ("2001:db8::/64", Cell::new(1, 0, 500)),
                ("2001:db8::1/128", TRUST),
            ],
        ),
    ];
    for (name, intent, expected) in cases {
        let expected: Vec<_> = expected
            .iter()
            .map(|(prefix, cell)| ((*prefix).to_owned(), *cell))
            .collect();
        assert_eq!(cells(&compile(intent)), expected, "{name}");
    }
}

#[test]
fn policy_single_sources_are_listed_once_and_never_trusted() {
    let intent = policy(
        "198.51.100.0/24",
        "192.0.2.1 198.51.100.1 2001:db8::1 ::ffff:192.0.2.9",
        &["0.0.0.0/0"],
        &[
            ("192.0.2.1/32", 500),
            ("192.0.2.1/32", 700),
            ("192.0.2.2/32", 1),
            ("198.51.100.2/32", 500),
            ("2001:db8::/64", 300),
            ("::ffff:192.0.2.8/128", u32::MAX),
        ],
    );
    let singles: Vec<_> = compile(&intent)
        .singles
        .into_iter()
        .map(|(single, ends)| (single, ends.until, ends.listed))
        .collect();
    let single = |text| Single::of(net(text)).unwrap();
    assert_eq!(
        singles,
        [
            (single("192.0.2.1"), 700, true),
            (single("192.0.2.8"), u32::MAX - 1, false),
            (single("192.0.2.9"), 0, true),
            (single("2001:db8::/64"), 300, false),
            (single("2001:db8::1"), 0, true),
        ]
    );
}

#[test]
fn policy_gates_become_ports_and_observe_bits() {
    let mut intent = policy("", "", &["", ""], &[]);
    intent.gates[0].ports = vec![25, 587];
    intent.gates[1].ports = vec![465, 587, 65_535];
    intent.gates[1].observe = true;
    let table = compile(&intent);
    let gated: Vec<_> = table.ports.iter().enumerate().filter(|(_, gate)| **gate != 0).collect();
    assert_eq!(gated, [(25, &1), (465, &2), (587, &1), (65_535, &2)]);
    assert_eq!(table.observe, 2);
    intent.gates[0].observe = true;
    assert_eq!(compile(&intent).observe, 3 | OBSERVE_STRUCTURE);
    assert_eq!(compile(&Intent::default()).observe, 0, "no gates, nothing to observe");
}

#[test]
fn policy_image_answers_the_classic_cases() {
    let world = policy(
        "10.9.0.0/16",
        "0.0.0.0 255.255.255.255",
        &["0.0.0.0/0 ::/0"],
        &[("10.0.0.0/8", 500), ("2001:db8::7/128", 500)],
    );
    let nested = policy(
        "192.0.2.4/31",
        "192.0.2.0/29 198.51.100.7",
        &["192.0.2.0/24 198.51.100.0/24"],
        &[("192.0.2.0/24", 90)],
    );
    let cases = [
        ("lowest address, listed", &world, "0.0.0.0", Reason::Blocklist),
        ("after the lowest", &world, "0.0.0.1", Reason::Allowed),
        ("highest address, listed", &world, "255.255.255.255", Reason::Blocklist),
        ("before the highest", &world, "255.255.255.254", Reason::Allowed),
        ("banned prefix", &world, "10.255.255.255", Reason::Banned),
        ("trusted in a banned prefix", &world, "10.9.0.0", Reason::Trusted),
        ("IPv6 world, lowest", &world, "::", Reason::Allowed),
        (
            "IPv6 world, highest",
            &world,
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            Reason::Allowed,
        ),
        ("banned IPv6 address", &world, "2001:db8::7", Reason::Banned),
        ("its neighbour", &world, "2001:db8::8", Reason::Allowed),
        ("in block", &nested, "192.0.2.3", Reason::Blocklist),
        ("trusted in block", &nested, "192.0.2.5", Reason::Trusted),
        ("behind the trusted", &nested, "192.0.2.6", Reason::Blocklist),
        ("behind block; the ban is over", &nested, "192.0.2.8", Reason::Allowed),
        ("last of allow", &nested, "192.0.2.255", Reason::Allowed),
        ("outside", &nested, "192.0.3.0", Reason::Outside),
        ("listed address", &nested, "198.51.100.7", Reason::Blocklist),
    ];
    for (name, intent, source, expected) in cases {
        assert_eq!(verdict(image(intent).maps(), 0, address(source)), expected, "{name}");
        assert_eq!(
            evaluate(intent, 0, address(source), NOW).reason,
            expected,
            "{name}, by the lists"
        );
    }
}

#[test]
fn policy_too_large_is_refused_with_numbers_and_key() {
    let table = compile(&policy(
        "",
        "192.0.2.1 192.0.2.2",
        &["192.0.2.0/24 198.51.100.0/24"],
        &[],
    ));
    let limits = |prefixes, bans| Limits {
        prefixes,
        bans,
        headroom: 25,
    };
    assert!(Sizes::for_table(&table, &limits(2, 2)).is_ok());
    let message = |limits| Sizes::for_table(&table, &limits).unwrap_err().to_string();
    let prefixes = message(limits(1, 2));
    assert!(
        prefixes.contains("2 IPv4 prefixes")
            && prefixes.contains("limit is 1")
            && prefixes.contains("`limits.prefixes`"),
        "{prefixes}"
    );
    let bans = message(limits(2, 1));
    assert!(
        bans.contains("2 banned and listed") && bans.contains("`limits.bans`"),
        "{bans}"
    );
}

#[test]
fn policy_of_the_intended_size_fits_16_mib() {
    let bans: Vec<_> = (0..100_000_u32)
        .map(|n| {
            (
                Single::V4(n.wrapping_mul(2_654_435_761)),
                crate::policy::Ends {
                    until: 500,
                    listed: false,
                },
            )
        })
        .collect();
    let mut table = compile(&Intent::default());
    table.singles = bans;
    table.singles.sort_unstable_by_key(|(single, _)| *single);
    let sizes = Sizes::for_table(&table, &Limits::default()).unwrap();
    assert_eq!(sizes.bans4_log2, 15, "2 MiB of buckets with a mean load of 3");
    let image = Image::build(&table, sizes).unwrap();
    assert_eq!(image.fill().singles, 100_000);
    assert!(image.fill().over4 < 2000, "{:?}", image.fill());
}

#[test]
fn policy_empty_takes_thousands_of_bans_and_prefixes_without_new_maps() {
    let sizes = Sizes::for_table(&compile(&Intent::default()), &Limits::default()).unwrap();
    let mut image = Image::build(&compile(&Intent::default()), sizes).unwrap();
    for n in 0..4000_u32 {
        image.ban(Single::V4(n.wrapping_mul(2_654_435_761)), 500).unwrap();
        image.ban(Single::Net6(u64::from(n) << 32), 500).unwrap();
    }
    let mut many = policy("", "", &["", ""], &[]);
    many.gates.clear();
    many.trust = (0..4000_u32)
        .map(|n| format!("10.{}.{}.0/24", n % 64, n / 64 * 2).parse().unwrap())
        .collect();
    image.plan(&compile(&many)).unwrap();
}

/// Sixteen gates, and 300 prefixes each with other gates: more answers than the front tables have classes.
fn many_answers(from: u16) -> Intent {
    let allow = |gate: usize| {
        let lets = (from..from + 300).filter(|mask| mask >> gate & 1 != 0);
        lets.map(|n| net(&format!("10.{}.{}.0/24", n / 128, n % 128 * 2)))
            .collect()
    };
    let gates = (0..16).map(|number| Gate {
        name: number.to_string(),
        ports: vec![1000 + number as u16],
        allow: allow(number),
        observe: false,
    });
    Intent {
        gates: gates.collect(),
        ..Intent::default()
    }
}

#[test]
fn policy_with_more_answers_than_classes_is_answered_by_the_trie() {
    let intent = many_answers(1);
    let mut image = image(&intent);
    let check = |image: &Image, intent: &Intent| {
        for source in probes(intent) {
            for gate in 0..16 {
                let expected = evaluate(intent, gate, source, NOW).reason;
                assert_eq!(verdict(image.maps(), gate, source), expected, "{source} at gate {gate}");
            }
        }
    };
    check(&image, &intent);
    let asked = image.maps().nodes4.iter().flat_map(|node| &node.codes);
    let asked = asked
        .filter(|code| code.load(std::sync::atomic::Ordering::Relaxed) == 255)
        .count();
    assert_eq!(asked, 300 - 254, "all but as many as there are classes");
    // Other answers find no number either, and are right all the same.
    let next = many_answers(200);
    image.plan(&compile(&next)).unwrap();
    check(&image, &next);
    // These would all fit, if the numbers were not taken.
    let mut few = many_answers(1000);
    few.gates.iter_mut().for_each(|gate| gate.allow.truncate(20));
    assert_eq!(image.plan(&compile(&few)), Err(NeedsGeneration::Classes));
}

#[test]
fn policy_bans_of_prefixes_take_no_class_numbers() {
    let bans: Vec<_> = (0..200_u32).map(|n| (format!("10.0.{n}.0/24"), 500 + n)).collect();
    let bans: Vec<_> = bans.iter().map(|(prefix, until)| (prefix.as_str(), *until)).collect();
    let image = image(&policy("", "", &["10.0.0.0/8"], &bans));
    let named = image.maps().head.classes.iter();
    let named = named
        .filter(|cell| cell.load(std::sync::atomic::Ordering::Relaxed) != 0)
        .count();
    assert_eq!(named, 1, "allowed; each ban's end would be another answer");
}

#[test]
fn policy_with_more_mixed_regions_than_nodes_gives_them_to_the_upper_steps() {
    // Two /16 and four /24 of them are mixed; there are nodes for three.
    let intent = policy("", "", &["10.1.1.0/25 10.1.3.0/25 10.2.1.0/25 10.2.3.0/25"], &[]);
    let image = Image::build(&compile(&intent), Sizes { nodes4: 3, ..SMALL }).unwrap();
    assert_eq!(image.fill().nodes4, 3);
    for source in probes(&intent) {
        let expected = evaluate(&intent, 0, source, NOW).reason;
        assert_eq!(verdict(image.maps(), 0, source), expected, "{source}");
    }
    let root = |index: usize| image.maps().head.root4[index].load(std::sync::atomic::Ordering::Relaxed);
    assert!(root(0x0a01) > 255 && root(0x0a02) > 255, "both /16 have a node");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn policy_image_says_what_the_lists_say(intent in random::intent(), tight in any::<bool>(), noise in any::<[u128; 4]>()) {
        let table = compile(&intent);
        // With few nodes most answers come from the tries.
        let sizes = if tight { Sizes { nodes4: 3, nodes6: 5, ..SMALL } } else { SMALL };
        let mut image = Image::build(&table, sizes).unwrap();
        let far = noise.iter().flat_map(|bits| anywhere(*bits));
        let probes: Vec<_> = probes(&intent).into_iter().chain(far).collect();
        for now in [2, NOW, 399, 400, u32::MAX - 2] {
            image.set_now(now);
            for source in &probes {
                for gate in 0..3 {
                    prop_assert_eq!(
                        verdict(image.maps(), gate, *source),
                        evaluate(&intent, gate, *source, now).reason,
                        "{} at gate {} and {}", source, gate, now
                    );
                }
            }
        }
    }

    #[test]
    fn policy_table_has_no_entry_too_many(intent in random::intent()) {
        let table = compile(&intent);
        for cells in [&table.cells4, &table.cells6] {
            prop_assert!(cells.is_sorted_by(|(a, _), (b, _)| a < b));
            for (n, (prefix, cell)) in cells.iter().enumerate() {
                let around = cells[..n].iter().rev().find(|(outer, _)| outer.covers(*prefix)).map_or(Cell::EMPTY, |(_, cell)| *cell);
                prop_assert_ne!(around, *cell, "{:?} says what stands around it", prefix);
                let twin = cells.iter().find(|(other, same)| other != prefix && same == cell && other.length() == prefix.length() && other.parent() == prefix.parent());
                prop_assert!(twin.is_none(), "{:?} and {:?} are one", prefix, twin);
            }
        }
    }
}
