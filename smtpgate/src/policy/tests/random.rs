//! Random policies that nest: prefixes are drawn from few stems, with lengths around every step of the front tables.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::policy::{Ban, Gate, Intent};

/// A prefix of either family.
pub(super) fn prefix() -> impl Strategy<Value = IpNet> {
    prop_oneof![v4(), v6()]
}

fn v4() -> impl Strategy<Value = IpNet> {
    let stems = select(vec![
        0x0000_0000_u32,
        0xc000_0200,
        0xc633_6400,
        0xffff_ff00,
        0x8000_0000,
    ]);
    let length = prop_oneof![Just(32_u8), 22..=32_u8, 7..=25_u8, 0..=32_u8];
    (stems, any::<u32>(), 0..4_u32, length).prop_map(|(stem, noise, spread, length)| {
        // The noise sits where the prefix ends, so that prefixes nest and touch.
        let noise = noise & (u32::MAX >> (spread * 7 + 3)).max(3);
        IpNet::from(Ipv4Net::new(std::net::Ipv4Addr::from_bits(stem ^ noise), length).unwrap())
    })
}

fn v6() -> impl Strategy<Value = IpNet> {
    let base = 0x2001_0db8_u128 << 96;
    let stems = select(vec![
        base,
        base | 1 << 64,
        base | 0xff << 56,
        0,
        u128::MAX,
        0xffff_c000_0200,
    ]);
    let length = prop_oneof![
        Just(128_u8),
        Just(64_u8),
        60..=68_u8,
        120..=128_u8,
        10..=60_u8,
        0..=128_u8
    ];
    let place = select(vec![0_u32, 8, 56, 60, 64, 70, 88, 120]);
    (stems, 0..16_u128, place, length).prop_map(|(stem, noise, place, length)| {
        IpNet::from(Ipv6Net::new(std::net::Ipv6Addr::from_bits(stem ^ noise << place), length).unwrap())
    })
}

/// Ends on both sides of [`NOW`].
pub(super) fn until() -> impl Strategy<Value = u32> {
    select(vec![0, 1, 50, NOW, NOW + 1, 150, 150, 400, u32::MAX])
}

/// The time at which policies are compared.
pub(super) const NOW: u32 = 100;

fn ban() -> impl Strategy<Value = Ban> {
    (prefix(), until()).prop_map(|(prefix, until)| Ban { prefix, until })
}

/// Policies over the same three gates.
pub(super) fn intent() -> impl Strategy<Value = Intent> {
    let allow = || vec(prefix(), 0..12);
    let observe = (any::<bool>(), any::<bool>(), any::<bool>());
    let gates = (allow(), allow(), allow(), observe).prop_map(|(a, b, c, observe)| {
        let gate = |name: &str, port, allow, observe| Gate {
            name: name.into(),
            ports: vec![port],
            allow,
            observe,
        };
        vec![
            gate("mx", 25, a, observe.0),
            gate("submission", 587, b, observe.1),
            gate("submissions", 465, c, observe.2),
        ]
    });
    (gates, vec(prefix(), 0..5), vec(prefix(), 0..8), vec(ban(), 0..16)).prop_map(|(gates, trust, block, bans)| {
        Intent {
            gates,
            trust,
            block,
            bans,
        }
    })
}
