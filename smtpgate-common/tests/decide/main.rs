//! The decision over a small gate table in memory: its order, and what no frame can make it do.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod structure;
mod table;
mod words;

use proptest::prelude::*;
use smtpgate_common::{
    Decision, Family, Link, Reason,
    abi::{EXACT, NO_GATE, OBSERVE_STRUCTURE},
    ban::{LAST, LIFTED, NEVER, filter4, filter6, word4},
    cell::Cell,
    decide,
    front::ASK_TRIE,
};

use table::{Buffers, ETHERNET, Table, syn4, syn6};

fn reason(frame: &[u8]) -> Reason {
    decide(frame, ETHERNET, &Table::new()).reason
}

#[test]
fn a_syn_is_judged_by_port_and_source() {
    for (name, frame, expected) in [
        ("allowed v4", syn4([192, 0, 2, 9], 25), Reason::Allowed),
        ("outside v4", syn4([198, 51, 100, 9], 25), Reason::Outside),
        ("another gate", syn4([192, 0, 2, 9], 587), Reason::Outside),
        ("no gate", syn4([198, 51, 100, 9], 80), Reason::None),
        ("allowed v6", syn6("2001:db8::9", 25), Reason::Allowed),
        ("outside v6", syn6("2001:db9::9", 25), Reason::Outside),
    ] {
        assert_eq!(reason(&frame), expected, "{name}");
    }
}

#[test]
fn a_decision_tells_where_the_syn_comes_from_and_goes_to() {
    let decision = decide(&syn4([198, 51, 100, 9], 25)[..], ETHERNET, &Table::new());
    assert_eq!(
        (decision.family, decision.gate, decision.port, decision.observed),
        (Family::V4, 0, 25, false)
    );
    assert_eq!(decision.source.to_le_bytes()[..4], [198, 51, 100, 9]);
    let decision = decide(&syn6("2001:db9::9", 587)[..], ETHERNET, &Table::new());
    assert_eq!((decision.family, decision.gate, decision.port), (Family::V6, 1, 587));
    let source: std::net::Ipv6Addr = "2001:db9::9".parse().unwrap();
    assert_eq!(decision.source.to_le_bytes(), source.octets());
}

#[test]
fn only_syn_without_ack_opens() {
    for flags in 0..=255 {
        let mut frame = syn4([198, 51, 100, 9], 25);
        frame[47] = flags;
        let opens = flags & 0x12 == 0x02;
        let expected = if opens { Reason::Outside } else { Reason::None };
        assert_eq!(reason(&frame), expected, "flags {flags:#04x}");
    }
}

#[test]
fn trust_stands_above_block_above_allow_above_ban() {
    for (name, cell, expected) in [
        ("all", Cell::new(1, Cell::TRUST | Cell::BLOCK, LAST), Reason::Trusted),
        ("block", Cell::new(1, Cell::BLOCK, LAST), Reason::Blocklist),
        (
            "ban of a prefix that is not allowed",
            Cell::new(0, 0, LAST),
            Reason::Outside,
        ),
        ("ban", Cell::new(1, 0, LAST), Reason::Banned),
        ("ban that is over", Cell::new(1, 0, 100), Reason::Allowed),
        ("allow", Cell::new(1, 0, 0), Reason::Allowed),
    ] {
        let table = Table {
            classes: [(1, cell)].into(),
            ..Table::new()
        };
        assert_eq!(table.judge(0, "192.0.2.1"), expected, "{name}, IPv4");
        assert_eq!(table.judge(0, "2001:db8::1"), expected, "{name}, IPv6");
    }
}

#[test]
fn what_the_front_does_not_know_the_trie_does() {
    let mut table = Table::new();
    table.nodes.insert((0, 2), ASK_TRIE);
    table.root6.insert(0x2001, ASK_TRIE);
    assert_eq!(table.judge(0, "192.0.2.1"), Reason::Outside, "in no prefix");
    table.trie4.insert([192, 0, 2, 1], Cell::new(1, 0, 0));
    table
        .trie6
        .insert([0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], Cell::new(1, 0, 0));
    assert_eq!(table.judge(0, "192.0.2.1"), Reason::Allowed);
    assert_eq!(table.judge(0, "192.0.2.2"), Reason::Outside);
    assert_eq!(table.judge(0, "2001::9"), Reason::Allowed);
}

#[test]
fn a_ban_holds_until_its_end_wherever_it_stands() {
    let address = [192, 0, 2, 7];
    for slot in 0..8 {
        for (until, expected) in [
            (NEVER, Reason::Blocklist),
            (LAST, Reason::Banned),
            (101, Reason::Banned),
            (100, Reason::Allowed),
            (LIFTED, Reason::Allowed),
        ] {
            let table = Table::new().ban4(slot, address, until);
            assert_eq!(table.judge(0, "192.0.2.7"), expected, "slot {slot}, until {until}");
            assert_eq!(table.judge(0, "192.0.2.8"), Reason::Allowed, "its neighbour");
        }
    }
}

#[test]
fn the_overflow_is_asked_behind_a_full_line_only() {
    let mut table = Table::new();
    let address = u32::from_be_bytes([192, 0, 2, 7]);
    table.over4.insert(address, LAST);
    table.admit(filter4(address));
    assert_eq!(table.judge(0, "192.0.2.7"), Reason::Allowed);
    let table = (0..8).fold(table, |table, slot| table.ban4(slot, [203, 0, 113, slot as u8], LIFTED));
    assert_eq!(table.judge(0, "192.0.2.7"), Reason::Banned);
}

#[test]
fn the_overflow_of_networks_is_asked_behind_a_full_line_only() {
    let mut table = Table::new();
    let net = 0x2001_0db8_0000_0001;
    table.over6.insert(net, LAST.into());
    table.admit(filter6(net));
    assert_eq!(table.judge(0, "2001:db8:0:1::5"), Reason::Allowed);
    let table = (0..4).fold(table, |table, slot| table.ban6(slot, slot as u64, LIFTED.into()));
    assert_eq!(table.judge(0, "2001:db8:0:1::5"), Reason::Banned);
}

/// What makes a stranger's SYN cheap: the tables, which no cache holds, are read for those only whom the filter knows, and
/// single addresses of a /64 only where it is marked.
#[test]
fn who_is_not_announced_is_not_looked_for() {
    let mut table = Table::new();
    *table.bucket4.words[0].get_mut() = word4(u32::from_be_bytes([192, 0, 2, 7]), LAST);
    *table.bucket6.bans[0].net.get_mut() = 0x2001_0db8_0000_0001;
    *table.bucket6.bans[0].state.get_mut() = LAST.into();
    assert_eq!(table.judge(0, "192.0.2.7"), Reason::Allowed);
    assert_eq!(table.judge(0, "2001:db8:0:1::5"), Reason::Allowed);
    let address: std::net::Ipv6Addr = "2001:db8:0:2::5".parse().unwrap();
    let mut table = table.ban6(1, 0x2001_0db8_0000_0002, LIFTED.into());
    table.exact6.insert(address.octets(), LAST);
    assert_eq!(table.judge(0, "2001:db8:0:2::5"), Reason::Allowed);
}

#[test]
fn ipv6_bans_are_of_a_network_or_of_one_address() {
    let net = 0x2001_0db8_0000_0001;
    let address: std::net::Ipv6Addr = "2001:db8:0:1::5".parse().unwrap();
    for slot in 0..4 {
        let table = Table::new().ban6(slot, net, LAST.into());
        assert_eq!(
            table.judge(0, "2001:db8:0:1::5"),
            Reason::Banned,
            "the network, slot {slot}"
        );
        assert_eq!(table.judge(0, "2001:db8:0:2::5"), Reason::Allowed, "another network");

        let mut table = Table::new().ban6(slot, net, EXACT);
        table.exact6.insert(address.octets(), LAST);
        assert_eq!(table.judge(0, "2001:db8:0:1::5"), Reason::Banned, "the address");
        assert_eq!(table.judge(0, "2001:db8:0:1::6"), Reason::Allowed, "another address");

        let mut table = Table::new().ban6(slot, net, EXACT | u64::from(LAST));
        table.exact6.insert(address.octets(), LIFTED);
        assert_eq!(table.judge(0, "2001:db8:0:1::5"), Reason::Banned, "the later of both");
    }
}

#[test]
fn a_gate_that_observes_drops_nothing() {
    let mut table = Table::new();
    table.observe = 1;
    let decision = decide(&syn4([198, 51, 100, 9], 25)[..], ETHERNET, &table);
    assert!(decision.observed && decision.reason == Reason::Outside && !decision.drops());
    let decision = decide(&syn4([198, 51, 100, 9], 587)[..], ETHERNET, &table);
    assert!(!decision.observed && decision.drops(), "the other gate enforces");
    table.observe = 2;
    assert!(!decide(&syn4([198, 51, 100, 9], 587)[..], ETHERNET, &table).drops());
    assert!(decide(&syn4([198, 51, 100, 9], 25)[..], ETHERNET, &table).drops());
    table.observe = 1;

    let mut tagged = vec![0; 12];
    tagged.extend([0x81, 0, 0, 0].repeat(5));
    tagged.extend([0x08, 0]);
    let decision = decide(&tagged[..], ETHERNET, &table);
    assert_eq!((decision.reason, decision.gate), (Reason::HeaderChain, NO_GATE));
    assert!(decision.drops());
    table.observe = OBSERVE_STRUCTURE;
    assert!(!decide(&tagged[..], ETHERNET, &table).drops());
}

#[test]
fn headers_in_a_later_buffer_are_a_hiding_place() {
    for frame in [syn4([192, 0, 2, 9], 25), syn6("2001:db8::9", 25)] {
        let transport = frame.len() - 20;
        for cut in 14..frame.len() {
            let buffers = Buffers {
                first: &frame[..cut],
                len: frame.len(),
            };
            let whole = cut >= transport + 14;
            let expected = if whole { Reason::Allowed } else { Reason::HeaderChain };
            assert_eq!(
                decide(&buffers, ETHERNET, &Table::new()).reason,
                expected,
                "cut at {cut}"
            );
        }
    }
}

/// Frames that get further than random bytes: a SYN with some bytes changed, cut somewhere.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let like = prop_oneof![
        Just(syn4([198, 51, 100, 9], 25)),
        Just(syn6("2001:db9::9", 25)),
        Just([&[0; 12][..], &[0x81, 0, 0, 1], &syn4([198, 51, 100, 9], 25)[12..]].concat()),
    ];
    let interesting = prop_oneof![
        Just(0),
        Just(6),
        Just(43),
        Just(44),
        Just(51),
        Just(60),
        Just(0x45),
        Just(0x4f),
        any::<u8>()
    ];
    let changes = prop::collection::vec((12_usize..120, interesting), 0..12);
    let tail = prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (like, changes, tail, 0_usize..300).prop_map(|(mut frame, changes, tail, cut)| {
            frame.extend(tail);
            for (at, byte) in changes {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
            }
            frame.truncate(cut);
            frame
        })
    ]
}

/// Where the IP packet of an untagged frame ends, if its length is one that IP has.
fn ip_end(frame: &[u8]) -> Option<usize> {
    let number = |at: usize| Some(usize::from(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?])));
    match number(12)? {
        0x0800 => Some(14 + number(16)?),
        // Payload length 0 may mean: to the frame's end.
        0x86dd => Some(14 + 40 + number(18)?).filter(|end| *end != 54),
        _ => None,
    }
}

proptest! {
    #[test]
    fn no_frame_panics_and_every_decision_is_consistent(frame in frames(), stripped in 0_u8..2, ip in any::<bool>()) {
        let link = if ip { Link::Ip } else { Link::Ethernet { stripped } };
        let table = Table::new();
        let decision = decide(&frame[..], link, &table);
        prop_assert!(decision.gate <= NO_GATE);
        prop_assert!(!decision.observed);
        if matches!(decision.reason, Reason::Allowed | Reason::Trusted | Reason::Outside | Reason::Blocklist | Reason::Banned) {
            prop_assert_eq!(table.ports.get(&decision.port), Some(&decision.gate));
            prop_assert_ne!(decision.family, Family::Other);
        }
    }

    #[test]
    fn padding_never_matters(frame in frames(), padding in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Some(end) = ip_end(&frame).filter(|end| *end <= frame.len()) {
            let decisions: Vec<Decision> = [&frame[..end], &frame[..], &[&frame[..end], &padding].concat()]
                .map(|frame| decide(frame, ETHERNET, &Table::new()))
                .into();
            prop_assert_eq!(decisions[0], decisions[1]);
            prop_assert_eq!(decisions[0], decisions[2]);
        }
    }

    #[test]
    fn the_filter_passes_every_source_that_was_let_in(sources in prop::collection::vec(any::<(u32, u64)>(), 1..50)) {
        let mut table = Table::new();
        for (address, net) in &sources {
            table.admit(filter4(*address));
            table.admit(filter6(*net));
        }
        for (address, net) in sources {
            for (word, bits) in [filter4(address), filter6(net)] {
                prop_assert_eq!(table.filter[&word] & bits, bits);
                prop_assert!(usize::from(word) < smtpgate_common::abi::FILTER_WORDS);
            }
        }
    }
}
