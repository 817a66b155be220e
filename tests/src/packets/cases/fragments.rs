//! Rows of fragments, for both versions (RFC 1858, RFC 3128, RFC 7112, RFC 5722): first ones whole and cut, tiny ones,
//! later ones, overlapping ones. Fragments that a stack would put together are one train.

use super::{BOTH, Expect, OTHER_PORT, PORT, Table, four, framed, plain, six};
use crate::packets::builder::{ACK, Extension, MORE, SYN, Tcp, protocol, udp};
use crate::packets::policy::{MX, Version, WATCH, Who};

pub(super) fn rows(table: &mut Table) {
    for version in Version::BOTH {
        whole_header_first(table, version);
        cut_first(table, version);
        padded_first(table, version);
        tiny_trains(table, version);
        later(table, version);
        other_protocols(table, version);
        overlapping(table, version);
    }
    first_with_ip_options(table);
}

/// Where a fragment stands in its packet.
#[derive(Clone, Copy)]
struct Place {
    id: u16,
    /// In 8-byte units.
    offset: u16,
    more: bool,
}

fn piece(version: Version, who: Who, number: u8, place: Place, bytes: &[u8]) -> Vec<u8> {
    let packet = match version {
        Version::Four => {
            let mut header = four(who, number);
            header.id = place.id;
            header.offset = place.offset;
            header.marks = if place.more { MORE } else { 0 };
            header.packet(bytes)
        }
        Version::Six => six(who, number)
            .extensions([Extension::fragment(place.offset, place.more, u32::from(place.id))])
            .packet(bytes),
    };
    framed(version, &packet)
}

/// Bytes of a segment from `from` to `to`, both multiples of 8, as a fragment.
fn slice(version: Version, who: Who, id: u16, bytes: &[u8], from: usize, to: usize) -> Vec<u8> {
    let place = Place {
        id,
        offset: u16::try_from(from / 8).unwrap_or(u16::MAX),
        more: to < bytes.len(),
    };
    piece(version, who, protocol::TCP, place, &bytes[from..to])
}

/// 40 bytes: a header of 20 and options that do nothing.
fn long(segment: Tcp) -> Tcp {
    segment.options([1; 20])
}

fn whole_header_first(table: &mut Table, version: Version) {
    for who in [Who::Allowed, Who::Foreign, Who::Trusted, Who::Banned] {
        for (port, gate) in [(PORT, Some(MX)), (2525, Some(WATCH)), (OTHER_PORT, None)] {
            let expect = gate.map_or(Expect::PASS, |gate| Expect::judged(version, who, gate));
            for (order, reversed) in [("first first", false), ("first last", true)] {
                let id = table.id();
                let bytes = long(table.syn(port)).bytes(who.ends(version));
                let mut pieces = vec![
                    ("first of 24 bytes", slice(version, who, id, &bytes, 0, 24), expect),
                    (
                        "last from offset 3",
                        slice(version, who, id, &bytes, 24, 40),
                        Expect::PASS,
                    ),
                ];
                if reversed {
                    pieces.reverse();
                }
                let name = format!("fragment: {} whole header, {order}, to {port}, {who:?}", version.name());
                // A closed or other service's port answers too, but not from a gate.
                table.train(&name, gate.is_some(), pieces);
            }
        }
    }
}

fn cut_first(table: &mut Table, version: Version) {
    for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
        for (port, gate) in [(PORT, Some(MX)), (2525, Some(WATCH)), (OTHER_PORT, None)] {
            for length in 0..=24 {
                let place = Place {
                    id: table.id(),
                    offset: 0,
                    more: true,
                };
                let bytes = long(table.syn(port)).bytes(who.ends(version));
                let expect = match (length, gate) {
                    (0..4, _) => Expect::fragment(version, None),
                    (_, None) => Expect::PASS,
                    (4..14, gate) => Expect::fragment(version, gate),
                    (_, Some(gate)) => Expect::judged(version, who, gate),
                };
                let frame = piece(version, who, protocol::TCP, place, &bytes[..length]);
                let name = format!(
                    "fragment: {} first of {length} bytes to {port}, {who:?}",
                    version.name()
                );
                table.add(name, frame, expect);
            }
        }
    }
}

/// The packet ends before the flags, the frame does not.
fn padded_first(table: &mut Table, version: Version) {
    for who in BOTH {
        for (port, gate) in [(PORT, Some(MX)), (OTHER_PORT, None)] {
            for length in [0, 3, 4, 8, 13] {
                let place = Place {
                    id: table.id(),
                    offset: 0,
                    more: true,
                };
                let bytes = long(table.syn(port)).bytes(who.ends(version));
                let mut frame = piece(version, who, protocol::TCP, place, &bytes[..length]);
                frame.extend(&bytes[length..]);
                let expect = match (length, gate) {
                    (0..4, _) => Expect::fragment(version, None),
                    (_, gate @ Some(_)) => Expect::fragment(version, gate),
                    (_, None) => Expect::PASS,
                };
                let name = format!(
                    "fragment: {} first of {length} bytes to {port}, the rest as padding, {who:?}",
                    version.name()
                );
                table.add(name, frame, expect);
            }
        }
    }
}

/// A SYN in pieces of 8 and of 16 bytes.
fn tiny_trains(table: &mut Table, version: Version) {
    // Linux itself (since 5.11, and in the 5.10 of today) refuses first fragments of IPv6 that lack headers (ipv6_frag_rcv).
    let answered = version == Version::Four;
    for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
        let id = table.id();
        let bytes = long(table.syn(PORT)).bytes(who.ends(version));
        let of = |from, to| slice(version, who, id, &bytes, from, to);
        let pieces = vec![
            ("first", of(0, 8), Expect::fragment(version, Some(MX))),
            ("offset 1", of(8, 16), Expect::fragment(version, None)),
            ("offset 2", of(16, 24), Expect::PASS),
            ("offset 3", of(24, 32), Expect::PASS),
            ("offset 4", of(32, 40), Expect::PASS),
        ];
        let name = format!("fragment: {} in pieces of 8, {who:?}", version.name());
        table.train(&name, answered, pieces);

        let id = table.id();
        let bytes = long(table.syn(PORT)).bytes(who.ends(version));
        let of = |from, to| slice(version, who, id, &bytes, from, to);
        let pieces = vec![
            ("first", of(0, 8), Expect::fragment(version, Some(MX))),
            ("rest at offset 1", of(8, 40), Expect::fragment(version, None)),
        ];
        let name = format!("fragment: {} of 8 and the rest, {who:?}", version.name());
        table.train(&name, answered, pieces);

        let id = table.id();
        let bytes = long(table.syn(PORT)).bytes(who.ends(version));
        let of = |from, to| slice(version, who, id, &bytes, from, to);
        let pieces = vec![
            ("rest at offset 1", of(8, 40), Expect::fragment(version, None)),
            ("first", of(0, 8), Expect::fragment(version, Some(MX))),
        ];
        let name = format!("fragment: {} the rest, then 8, {who:?}", version.name());
        table.train(&name, answered, pieces);

        // The flags are in it: it is judged like a whole one.
        let id = table.id();
        let bytes = long(table.syn(PORT)).bytes(who.ends(version));
        let of = |from, to| slice(version, who, id, &bytes, from, to);
        let pieces = vec![
            ("first", of(0, 16), Expect::judged(version, who, MX)),
            ("rest at offset 2", of(16, 40), Expect::PASS),
        ];
        let name = format!("fragment: {} of 16 and the rest, {who:?}", version.name());
        table.train(&name, answered, pieces);
    }
}

fn later(table: &mut Table, version: Version) {
    for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
        for offset in [1, 2, 3, 4, 100, 8_191] {
            for more in [false, true] {
                let place = Place {
                    id: table.id(),
                    offset,
                    more,
                };
                // It looks like the start of a SYN, which it is not.
                let bytes = long(table.syn(PORT)).bytes(who.ends(version));
                let expect = if offset == 1 {
                    Expect::fragment(version, None)
                } else {
                    Expect::PASS
                };
                let name = format!(
                    "fragment: {} at offset {offset}{}, {who:?}",
                    version.name(),
                    if more { " with more" } else { "" }
                );
                table.add(name, piece(version, who, protocol::TCP, place, &bytes), expect);
            }
        }
    }
    // Too short to hold flags, which the row does not ask.
    for length in [0, 1, 6, 8] {
        let place = Place {
            id: table.id(),
            offset: 1,
            more: false,
        };
        let frame = piece(version, Who::Foreign, protocol::TCP, place, &vec![0; length]);
        let name = format!("fragment: {} at offset 1 of {length} bytes", version.name());
        table.add(name, frame, Expect::fragment(version, None));
    }
}

fn other_protocols(table: &mut Table, version: Version) {
    let ping = match version {
        Version::Four => protocol::ICMP,
        Version::Six => protocol::ICMPV6,
    };
    for (name, number) in [("UDP", protocol::UDP), ("ping", ping), ("SCTP", protocol::SCTP)] {
        for (offset, more) in [(0, true), (1, true), (1, false), (2, false)] {
            for length in [4, 8, 24] {
                let place = Place {
                    id: table.id(),
                    offset,
                    more,
                };
                let bytes = udp(Who::Foreign.ends(version), 4_000, PORT, &[2; 16]);
                let frame = piece(version, Who::Foreign, number, place, &bytes[..length]);
                let name = format!(
                    "fragment: {} {name} at offset {offset}{} of {length} bytes",
                    version.name(),
                    if more { " with more" } else { "" }
                );
                table.add(name, frame, Expect::PASS);
            }
        }
    }
}

fn overlapping(table: &mut Table, version: Version) {
    for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
        let ends = who.ends(version);
        let name = |what: &str| format!("fragment: {} overlapping, {what}, {who:?}", version.name());

        let id = table.id();
        let syn = long(table.syn(PORT)).bytes(ends);
        let harmless = long(table.syn(PORT).flags(ACK)).bytes(ends);
        let of = |bytes: &[u8], from, to| slice(version, who, id, bytes, from, to);
        let pieces = vec![
            ("ACK", of(&harmless, 0, 24), Expect::PASS),
            ("SYN at offset 1", of(&syn, 8, 16), Expect::fragment(version, None)),
            ("last", of(&syn, 24, 40), Expect::PASS),
        ];
        table.train(&name("an ACK that becomes a SYN"), false, pieces);

        let id = table.id();
        let syn = long(table.syn(PORT)).bytes(ends);
        let harmless = long(table.syn(OTHER_PORT)).bytes(ends);
        let of = |bytes: &[u8], from, to| slice(version, who, id, bytes, from, to);
        let pieces = vec![
            ("other port", of(&harmless, 0, 24), Expect::PASS),
            ("gated port", of(&syn, 0, 24), Expect::judged(version, who, MX)),
            ("last", of(&syn, 24, 40), Expect::PASS),
        ];
        table.train(&name("another port first"), false, pieces);

        let id = table.id();
        let syn = long(table.syn(PORT)).bytes(ends);
        let harmless = long(table.syn(OTHER_PORT)).bytes(ends);
        let of = |bytes: &[u8], from, to| slice(version, who, id, bytes, from, to);
        let pieces = vec![
            ("other port, cut", of(&harmless, 0, 8), Expect::PASS),
            ("gated port, cut", of(&syn, 0, 8), Expect::fragment(version, Some(MX))),
            ("rest", of(&syn, 8, 40), Expect::fragment(version, None)),
        ];
        table.train(&name("another port in a cut first"), false, pieces);

        let id = table.id();
        let syn = long(table.syn(PORT)).bytes(ends);
        let harmless = long(table.syn(PORT).flags(ACK)).bytes(ends);
        let of = |bytes: &[u8], from, to| slice(version, who, id, bytes, from, to);
        let pieces = vec![
            ("rest", of(&syn, 16, 40), Expect::PASS),
            ("ACK", of(&harmless, 0, 24), Expect::PASS),
            ("SYN", of(&syn, 0, 16), Expect::judged(version, who, MX)),
        ];
        table.train(&name("the rest before an ACK and a SYN"), false, pieces);
    }
}

fn first_with_ip_options(table: &mut Table) {
    let version = Version::Four;
    for who in BOTH {
        for words in 6..=15_u8 {
            for length in [0, 4, 8, 13, 16] {
                let mut header = four(who, protocol::TCP).options(vec![1; usize::from(words - 5) * 4]);
                header.id = table.id();
                header.marks = MORE;
                let bytes = long(table.syn(PORT)).bytes(who.ends(version));
                let expect = match length {
                    0..4 => Expect::fragment(version, None),
                    4..14 => Expect::fragment(version, Some(MX)),
                    _ => Expect::judged(version, who, MX),
                };
                let frame = framed(version, &header.packet(&bytes[..length]));
                let name = format!("fragment: v4 first of {length} bytes, ihl {words}, {who:?}");
                table.add(name, frame, expect);
            }
        }
        // A SYN of other flags in the place of a whole one: not a fragment at all.
        let packet = plain(version, who, &table.syn(PORT).flags(SYN | ACK));
        table.add(
            format!("fragment: v4 none, SYN and ACK, {who:?}"),
            framed(version, &packet),
            Expect::PASS,
        );
    }
}
