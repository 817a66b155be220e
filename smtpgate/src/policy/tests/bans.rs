//! The tables of single sources against a plain map, with buckets so few that every case of them is met.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proptest::{collection::vec, prelude::*};
use smtpgate_common::Reason;

use super::{SMALL, net, nets, verdict};
use crate::policy::{Ends, Gate, GateTable, Image, Intent, Maps, NotBanned, Op, Single, compile};

#[derive(Clone, Debug)]
enum Act {
    Ban(Single, u32),
    Unban(Single),
    Pass(u32),
    Sweep(usize),
}

fn single() -> impl Strategy<Value = Single> {
    prop_oneof![
        3 => (0..40_u32).prop_map(|n| Single::V4(0xc000_0200 + n)),
        2 => (0..16_u64).prop_map(|n| Single::Net6(0x2001_0db8_0000_0000 + n)),
        2 => (0..12_u8, 0..3_u8).prop_map(|(net, host)| {
            Single::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, net, 0, 0, 0, 0, 0, 0, 0, host])
        }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (single(), 1..60_u32).prop_map(|(single, time)| Act::Ban(single, time)),
        3 => single().prop_map(Act::Unban),
        1 => (1..25_u32).prop_map(Act::Pass),
        1 => (1..9_usize).prop_map(Act::Sweep),
    ]
}

fn everyone() -> Vec<IpAddr> {
    let v4 = (0..41_u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + n)));
    let v6 = (0..17_u128).flat_map(|net| {
        (0..4_u128).map(move |host| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + (net << 64) + host)))
    });
    v4.chain(v6).collect()
}

fn open(block: &str) -> Intent {
    Intent {
        gates: vec![Gate {
            name: "mx".into(),
            ports: vec![25],
            allow: nets("0.0.0.0/0 ::/0"),
            observe: false,
        }],
        block: nets(block),
        ..Intent::default()
    }
}

/// Sources that hold an address.
fn holders(address: IpAddr) -> Vec<Single> {
    match address {
        IpAddr::V4(address) => vec![Single::V4(address.to_bits())],
        IpAddr::V6(address) => vec![
            Single::Net6((address.to_bits() >> 64) as u64),
            Single::V6(address.octets()),
        ],
    }
}

fn expected(model: &BTreeMap<Single, Ends>, address: IpAddr, now: u32) -> Reason {
    let ends = holders(address)
        .into_iter()
        .filter_map(|single| model.get(&single))
        .fold(Ends::default(), |a, b| a.and(*b));
    match ends {
        Ends { listed: true, .. } => Reason::Blocklist,
        Ends { until, .. } if now < until => Reason::Banned,
        _ => Reason::Allowed,
    }
}

fn owes(model: &BTreeMap<Single, Ends>, now: u32) -> BTreeMap<Single, Ends> {
    model
        .iter()
        .filter(|(_, ends)| ends.listed || ends.until > now)
        .map(|(single, ends)| (*single, *ends))
        .collect()
}

const LISTED: &str = "192.0.2.1 192.0.2.2 192.0.2.3 2001:db8::1 2001:db8:0:5::2";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bans_are_what_a_plain_map_says_after_every_operation(acts in vec(act(), 1..160)) {
        let table = compile(&open(LISTED));
        let mut image = Image::build(&table, SMALL).unwrap();
        // The kernel's side: it sees nothing but the operations.
        let mut kernel = Image::build(&table, SMALL).unwrap();
        let mut model: BTreeMap<Single, Ends> = table.singles.iter().copied().collect();
        let everyone = everyone();
        let mut now = 2;
        for act in acts {
            let before = model.clone();
            let ops = match act {
                Act::Ban(single, time) => {
                    model.entry(single).or_default().until = now + time;
                    let ops = image.ban(single, now + time).unwrap();
                    let marks = usize::from(matches!(single, Single::V6(_)));
                    prop_assert!(ops.len() <= 2 + marks, "{} operations for one ban", ops.len());
                    ops
                }
                Act::Unban(single) => {
                    if let Some(ends) = model.get_mut(&single) {
                        ends.until = 0;
                    }
                    image.unban(single)
                }
                Act::Pass(time) => {
                    now += time;
                    Vec::new()
                }
                Act::Sweep(limit) => image.sweep(limit),
            };
            image.set_now(now);
            for op in &ops {
                kernel.maps.apply(op);
                kernel.maps.now = now;
                for source in &everyone {
                    let seen = verdict(kernel.maps(), 0, *source);
                    let (old, new) = (expected(&before, *source, now), expected(&model, *source, now));
                    prop_assert!(seen == old || seen == new, "{source} is {seen:?} after {op:?}, not {old:?} or {new:?}");
                }
            }
            kernel.maps.now = now;
            for source in &everyone {
                prop_assert_eq!(verdict(kernel.maps(), 0, *source), expected(&model, *source, now), "{}", source);
            }
            one_place(&kernel.maps)?;
        }
        while !image.sweep(7).is_empty() {}
        let left: BTreeMap<_, _> = image.bans.iter().collect();
        let swept = |ends: &Ends| Ends { until: if ends.until > now { ends.until } else { 0 }, ..*ends };
        let owed: BTreeMap<_, _> = owes(&model, now).iter().map(|(single, ends)| (*single, swept(ends))).collect();
        prop_assert_eq!(left, owed);
    }
}

/// No address stands in two places, or in the overflow behind a bucket with a free word.
fn one_place(maps: &Maps) -> Result<(), TestCaseError> {
    use std::sync::atomic::Ordering::Relaxed;
    let words: Vec<Vec<u64>> = maps
        .bans4
        .iter()
        .map(|bucket| bucket.words.iter().map(|word| word.load(Relaxed)).collect())
        .collect();
    let mut seen: Vec<u64> = words
        .iter()
        .flatten()
        .filter(|word| **word != 0)
        .map(|word| word >> 32)
        .chain(maps.over4.keys().map(|address| u64::from(*address)))
        .collect();
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    prop_assert_eq!(seen.len(), count, "an address stands twice");
    for address in maps.over4.keys() {
        prop_assert!(
            words[maps.number4(*address) as usize].iter().all(|word| *word != 0),
            "overflow that no reader asks"
        );
    }
    for net in maps.over6.keys() {
        let bucket = &maps.bans6[maps.number6(*net) as usize];
        prop_assert!(
            bucket.bans.iter().all(|ban| ban.state.load(Relaxed) != 0),
            "overflow that no reader asks"
        );
        prop_assert!(
            bucket.bans.iter().all(|ban| ban.net.load(Relaxed) != *net),
            "a network stands twice"
        );
    }
    Ok(())
}

#[test]
fn bans_of_a_listed_source_are_remembered_until_it_is_listed_no_more() {
    let single = Single::of(net("192.0.2.1")).unwrap();
    let mut image = Image::build(&compile(&open("192.0.2.1")), SMALL).unwrap();
    image.set_now(10);
    let source = "192.0.2.1".parse().unwrap();
    assert_eq!(image.ban(single, 50).unwrap(), [], "it is refused already");
    assert_eq!(verdict(image.maps(), 0, source), Reason::Blocklist);
    let table = GateTable {
        singles: vec![(
            single,
            Ends {
                until: 50,
                listed: false,
            },
        )],
        ..compile(&open(""))
    };
    image.plan(&table).unwrap();
    assert_eq!(verdict(image.maps(), 0, source), Reason::Banned);
    image.set_now(50);
    assert_eq!(verdict(image.maps(), 0, source), Reason::Allowed);
}

#[test]
fn bans_of_trusted_sources_are_refused() {
    let mut intent = open("");
    intent.trust = nets("192.0.2.0/24 2001:db8::/64 2001:db8:0:1::/65 2001:db8:0:2::1");
    let mut image = Image::build(&compile(&intent), SMALL).unwrap();
    let mut ban = |text| image.ban(Single::of(net(text)).unwrap(), 50);
    assert_eq!(ban("192.0.2.77"), Err(NotBanned::Trusted));
    assert_eq!(ban("2001:db8::/64"), Err(NotBanned::Trusted));
    assert_eq!(ban("2001:db8::9"), Err(NotBanned::Trusted));
    assert_eq!(ban("2001:db8:0:1::/64"), Err(NotBanned::PartTrusted));
    assert_eq!(ban("2001:db8:0:2::/64"), Err(NotBanned::PartTrusted));
    assert!(ban("2001:db8:0:2::2").is_ok());
    assert!(ban("192.0.3.0").is_ok());
}

#[test]
fn bans_that_find_no_place_change_nothing() {
    let mut image = Image::build(
        &compile(&open("")),
        super::Sizes {
            over4: 1,
            over6: 0,
            exact6: 1,
            ..SMALL
        },
    )
    .unwrap();
    image.set_now(10);
    let mut refused = Vec::new();
    for n in 0..40 {
        let before = image.fill();
        if image.ban(Single::V4(0xc000_0200 + n), 50).is_err() {
            refused.push(n);
            assert_eq!(image.fill(), before);
        }
    }
    assert_eq!(refused.len(), 40 - 16 - 1, "two buckets of eight, and one beyond");
    image.ban(Single::of(net("2001:db8::1")).unwrap(), 50).unwrap();
    let message = image
        .ban(Single::of(net("2001:db8::2")).unwrap(), 50)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("2 bans of single IPv6 addresses") && message.contains("limit is 1"),
        "{message}"
    );
    image.set_now(50);
    for n in 0..4 {
        let ops = image.ban(Single::V4(0xc000_0300 + n), 90).unwrap();
        assert!(
            matches!(ops[..], [Op::Ban4Set { .. }] | [Op::FilterSet(..), Op::Ban4Set { .. }]),
            "places of bans that are over are given away: {ops:?}"
        );
    }
}
