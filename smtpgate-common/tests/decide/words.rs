//! What stands in maps, counters and other people's dashboards: codes, names, packed words, and where they are looked for.

use std::collections::HashMap;
use std::ops::Range;

use smtpgate_common::{
    Family, Reason,
    abi::{FILTER_WORDS, FILTER4_WORDS},
    ban::{LAST, bucket4, bucket6, filter4, filter6, ticks},
    cell::Cell,
    front::{FIRST_NODE, NODES_MAX},
};

#[test]
fn reasons_have_the_codes_names_and_verdicts_that_are_documented() {
    let documented = [
        (0, "none", false),
        (1, "allowed", false),
        (2, "trusted", false),
        (3, "outside", true),
        (4, "blocklist", true),
        (5, "banned", true),
        (6, "malformed", false),
        (7, "fragment", true),
        (8, "header_chain", true),
    ];
    for (code, name, drops) in documented {
        let reason = Reason::from_code(code).unwrap();
        assert_eq!((reason as u8, reason.name(), reason.drops()), (code, name, drops));
    }
    assert_eq!(Reason::from_code(9), None, "a newer program's");
}

#[test]
fn families_have_the_codes_and_names_that_are_documented() {
    for (code, name) in [(0, "other"), (1, "ipv4"), (2, "ipv6")] {
        let family = Family::from_code(code).unwrap();
        assert_eq!((family as u8, family.name()), (code, name));
    }
    assert_eq!(Family::from_code(3), None);
}

#[test]
fn a_cell_holds_what_was_put_in_and_comes_back_from_a_map() {
    for gate in 0..16 {
        for flags in [0, Cell::TRUST, Cell::BLOCK, Cell::TRUST | Cell::BLOCK] {
            let cell = Cell::from_bits(Cell::new(1 << gate, flags, LAST).bits());
            assert_eq!(cell.allow(), 1 << gate);
            for asked in 0..16 {
                assert_eq!(cell.allows(asked), asked == gate, "gate {asked}");
            }
            assert_eq!(cell.trusted(), flags & Cell::TRUST != 0);
            assert_eq!(cell.blocked(), flags & Cell::BLOCK != 0);
            assert_eq!(cell.until(), LAST);
        }
    }
    let open = Cell::new(u16::MAX, 0, 0);
    assert!(!open.trusted() && !open.blocked());
    assert_eq!((open.until(), open.bits()), (0, 0xffff));
}

/// Two sources a hop of a prime apart are as good as drawn by lot, and the same every time.
fn sources(number: u32, first: u32) -> impl Iterator<Item = u32> {
    (0..number).map(move |index| first.wrapping_add(index.wrapping_mul(2_654_435)))
}

#[test]
fn the_filter_fits_the_cache_beside_the_processor() {
    assert_eq!(FILTER_WORDS * 8, (128 + 32) << 10, "KiB");
}

#[test]
fn the_filter_keeps_nearly_all_strangers_from_the_tables() {
    // An interpreter has not the time.
    const BANNED: u32 = if cfg!(miri) { 1_000 } else { 100_000 };
    // IPv6 has a quarter of the room, for a quarter of the bans.
    for (name, banned, strangers) in [
        ("IPv4", BANNED, passing(BANNED, 0..FILTER4_WORDS, filter4)),
        (
            "IPv6",
            BANNED / 4,
            passing(BANNED / 4, FILTER4_WORDS..FILTER_WORDS, |source| filter6(net(source))),
        ),
    ] {
        assert!(
            strangers * 100 < 5 * banned as usize,
            "{name}: {strangers} of {banned} strangers are looked for"
        );
    }
}

fn net(source: u32) -> u64 {
    0x2001_0db8_0000_0000 | u64::from(source)
}

/// How many of as many strangers pass the filter of so many banned sources.
fn passing(number: u32, room: Range<usize>, filter: impl Fn(u32) -> (u16, u64)) -> usize {
    let mut words = vec![0; FILTER_WORDS];
    for source in sources(number, 1) {
        let (word, bits) = filter(source);
        let word = usize::from(word);
        assert!(matches!(bits.count_ones(), 1 | 2), "{bits:#x}");
        assert!(room.contains(&word), "{word}: the other family's");
        words[word] |= bits;
    }
    sources(number, 2)
        .map(filter)
        .filter(|(word, bits)| words[usize::from(*word)] & bits == *bits)
        .count()
}

/// Neighbours, as an attacker's botnet in one network is, must not fill one line: the overflow is slow.
#[test]
fn the_ban_tables_lines_fill_evenly() {
    for log2 in 1..=if cfg!(miri) { 5 } else { 16 } {
        let lines = 1_u32 << log2;
        let mut four = HashMap::new();
        let mut six = HashMap::new();
        for source in 0..lines * 2 {
            *four.entry(bucket4(0xc000_0200 + source, 32 - log2)).or_insert(0) += 1;
            *six.entry(bucket6(net(source), 64 - log2)).or_insert(0) += 1;
        }
        for (name, filled, room) in [("IPv4", four, 8), ("IPv6", six, 4)] {
            assert!(filled.keys().all(|line| *line < lines), "{name}: no such line");
            let fullest = filled.values().max().unwrap();
            assert!(*fullest <= room, "{name}: {fullest} in one of {lines} lines");
        }
    }
}

#[test]
fn a_tick_is_an_eighth_of_a_second() {
    assert_eq!(ticks(0), 0);
    assert_eq!(ticks((1 << 27) - 1), 0);
    assert_eq!(ticks(1 << 27), 1);
    assert_eq!(ticks(3_600_000_000_000), 26_822);
}

#[test]
fn a_code_can_name_every_node() {
    assert_eq!(u32::from(FIRST_NODE) + NODES_MAX - 1, u32::from(u16::MAX));
}
