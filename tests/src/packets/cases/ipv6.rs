//! Rows of the IPv6 header: chains of extension headers, where they end, and the payload length.

use super::{BOTH, Expect, OTHER_PORT, PORT, Table, framed, plain, six};
use crate::packets::builder::{ACK, Extension, SYN, protocol, udp};
use crate::packets::policy::{MX, Version, Who};
use smtpgate_common::Family;

const V6: Version = Version::Six;

pub(super) fn rows(table: &mut Table) {
    chains(table);
    chains_before_others(table);
    header_sizes(table);
    headers_like_segments(table);
    orders(table);
    lying_headers(table);
    cut_chains(table);
    cut_chains_of_fragments(table);
    fragments_in_chains(table);
    payload_lengths(table);
    no_payload_length(table);
    protocols(table);
    padding(table);
}

const KINDS: [(&str, u8, bool); 5] = [
    // The last: whether Linux takes one of them (it has no security association for AH).
    ("hop-by-hop", protocol::HOP_BY_HOP, true),
    ("routing", protocol::ROUTING, true),
    ("destination options", protocol::DESTINATION, true),
    ("atomic fragment", protocol::FRAGMENT, true),
    ("AH", protocol::AH, false),
];

fn mixed(first: usize, count: usize) -> Vec<Extension> {
    (first..first + count)
        .map(|at| Extension::plain(KINDS[at % KINDS.len()].1))
        .collect()
}

fn verdict(count: usize, who: Who) -> Expect {
    if count <= 8 {
        Expect::judged(V6, who, MX)
    } else {
        Expect::chain(Family::V6)
    }
}

fn chains(table: &mut Table) {
    for count in 0..=9 {
        for who in [Who::Allowed, Who::Foreign, Who::Trusted, Who::Banned] {
            for (name, kind, taken) in KINDS {
                let segment = table.syn(PORT).bytes(who.ends(V6));
                let packet = six(who, protocol::TCP)
                    .extensions(vec![Extension::plain(kind); count])
                    .packet(&segment);
                let name = format!("chain: {count} {name}, {who:?}");
                let case = table.add(name, framed(V6, &packet), verdict(count, who));
                // Any number of these is fine with Linux; of the others (RFC 8200 4.1) one.
                let any = kind == protocol::DESTINATION || kind == protocol::ROUTING;
                if count == 0 || taken && (any || count == 1) {
                    case.answered();
                }
            }
            for (first, (name, ..)) in KINDS.into_iter().enumerate() {
                let segment = table.syn(PORT).bytes(who.ends(V6));
                let packet = six(who, protocol::TCP).extensions(mixed(first, count)).packet(&segment);
                let name = format!("chain: {count} mixed from {name} on, {who:?}");
                table.add(name, framed(V6, &packet), verdict(count, who));
            }
        }
    }
}

/// A chain that is too long is dropped whatever it carries, one that is not passes with all but TCP.
fn chains_before_others(table: &mut Table) {
    for count in 0..=9 {
        for (name, kind, _) in KINDS {
            for (what, number) in [("UDP", protocol::UDP), ("nothing", protocol::NONE), ("unknown", 253)] {
                let bytes = udp(Who::Foreign.ends(V6), 4_000, PORT, &[2; 16]);
                let packet = six(Who::Foreign, number)
                    .extensions(vec![Extension::plain(kind); count])
                    .packet(&bytes);
                let expect = if count <= 8 {
                    Expect::PASS
                } else {
                    Expect::chain(Family::V6)
                };
                table.add(
                    format!("chain: {count} {name}, then {what}"),
                    framed(V6, &packet),
                    expect,
                );
            }
        }
        for (what, port, flags) in [
            ("SYN to another port", OTHER_PORT, SYN),
            ("ACK", PORT, ACK),
            ("SYN and ACK", PORT, SYN | ACK),
        ] {
            let segment = table.syn(port).flags(flags).bytes(Who::Foreign.ends(V6));
            let packet = six(Who::Foreign, protocol::TCP)
                .extensions(mixed(1, count))
                .packet(&segment);
            let expect = if count <= 8 {
                Expect::PASS
            } else {
                Expect::chain(Family::V6)
            };
            table.add(
                format!("chain: {count} mixed, then {what}"),
                framed(V6, &packet),
                expect,
            );
        }
    }
}

fn header_sizes(table: &mut Table) {
    for who in BOTH {
        for units in [1, 2, 3, 4, 16, 31, 32, 33, 64, 127, 128, 160] {
            for (name, extension, taken) in [
                ("hop-by-hop", Extension::options(protocol::HOP_BY_HOP, units), false),
                (
                    "destination options",
                    Extension::options(protocol::DESTINATION, units),
                    false,
                ),
                ("routing", Extension::routing(units), true),
            ] {
                let segment = table.syn(PORT).bytes(who.ends(V6));
                let packet = six(who, protocol::TCP).extensions([extension]).packet(&segment);
                let name = format!("header size: {name} of {units} units, {who:?}");
                let case = table.add(name, framed(V6, &packet), Expect::judged(V6, who, MX));
                if taken {
                    case.answered();
                }
            }
        }
        for length in [0, 1, 2, 3, 4, 5, 10, 62, 63, 64, 127, 128, 255] {
            let segment = table.syn(PORT).bytes(who.ends(V6));
            let packet = six(who, protocol::TCP)
                .extensions([Extension::authentication(length)])
                .packet(&segment);
            let name = format!("header size: AH of length {length}, {who:?}");
            table.add(name, framed(V6, &packet), Expect::judged(V6, who, MX));
        }
        // The second byte of a fragment header is reserved, not a length.
        for reserved in [1, 5, 255] {
            let segment = table.syn(PORT).bytes(who.ends(V6));
            let packet = six(who, protocol::TCP)
                .extensions([Extension::fragment(0, false, 1).length(reserved)])
                .packet(&segment);
            let name = format!("header size: atomic fragment with {reserved} in its reserved byte, {who:?}");
            table
                .add(name, framed(V6, &packet), Expect::judged(V6, who, MX))
                .answered();
        }
    }
}

/// What is in an extension header is not read, however much it looks like a segment.
fn headers_like_segments(table: &mut Table) {
    for who in BOTH {
        for (name, fake_port, fake_flags, port, flags) in [
            ("a harmless segment before a SYN", OTHER_PORT, ACK, PORT, SYN),
            ("a SYN before a harmless segment", PORT, SYN, OTHER_PORT, ACK),
        ] {
            for kind in [protocol::ROUTING, protocol::DESTINATION] {
                let fake = table.syn(fake_port).flags(fake_flags).bytes(who.ends(V6));
                let mut rest = vec![2];
                rest.extend(&fake[2..]);
                rest.resize(23, 0);
                let segment = table.syn(port).flags(flags).bytes(who.ends(V6));
                let packet = six(who, protocol::TCP)
                    .extensions([Extension { kind, rest }])
                    .packet(&segment);
                let expect = if flags == SYN {
                    Expect::judged(V6, who, MX)
                } else {
                    Expect::PASS
                };
                let name = format!("chain: header {kind} like {name}, {who:?}");
                table.add(name, framed(V6, &packet), expect);
            }
        }
    }
}

fn orders(table: &mut Table) {
    for who in BOTH {
        for (a_name, a, _) in KINDS {
            for (b_name, b, _) in KINDS {
                let segment = table.syn(PORT).bytes(who.ends(V6));
                let packet = six(who, protocol::TCP)
                    .extensions([Extension::plain(a), Extension::plain(b)])
                    .packet(&segment);
                let name = format!("chain: {a_name} then {b_name}, {who:?}");
                table.add(name, framed(V6, &packet), Expect::judged(V6, who, MX));
            }
        }
    }
}

/// A header of 8 bytes before a segment of 20 whose own length reaches to the packet's end, or beyond it.
fn lying_headers(table: &mut Table) {
    for (kind_name, kind, _) in KINDS.into_iter().filter(|(_, kind, _)| *kind != protocol::FRAGMENT) {
        let (right, wrong) = match kind {
            protocol::AH => (Extension::authentication(0), [5, 6, 10, 100, 255]),
            _ => (Extension::plain(kind), [3, 4, 10, 100, 255]),
        };
        for length in wrong {
            for who in BOTH {
                let segment = table.syn(PORT).bytes(who.ends(V6));
                let packet = six(who, protocol::TCP)
                    .extensions([right.clone().length(length)])
                    .packet(&segment);
                let name = format!("chain: {kind_name} of 8 bytes that says length {length}, {who:?}");
                table.add(name, framed(V6, &packet), Expect::malformed(V6));
            }
        }
    }
}

/// Two extension headers and a segment, of which the payload length leaves the first so many bytes.
fn cut_chains(table: &mut Table) {
    for (rest, padded) in [("padding", true), ("frame's end", false)] {
        for (port, gated) in [(PORT, true), (OTHER_PORT, false)] {
            for who in BOTH {
                for length in 0..=36_u16 {
                    let segment = table.syn(port).bytes(who.ends(V6));
                    let mut packet = six(who, protocol::TCP)
                        .extensions([Extension::plain(protocol::DESTINATION), Extension::routing(1)])
                        .length(length)
                        .packet(&segment);
                    if !padded {
                        packet.truncate(40 + usize::from(length));
                    }
                    let expect = match length {
                        0..20 => Expect::malformed(V6),
                        _ if !gated => Expect::PASS,
                        20..30 => Expect::malformed(V6),
                        _ => Expect::judged(V6, who, MX),
                    };
                    let name = format!("payload_len: {length} of chain and segment to {port}, then {rest}, {who:?}");
                    table.add(name, framed(V6, &packet), expect);
                }
            }
        }
    }
}

/// The same in a first fragment, where the rest could follow unseen.
fn cut_chains_of_fragments(table: &mut Table) {
    for (rest, padded) in [("padding", true), ("frame's end", false)] {
        for (port, gated) in [(PORT, true), (OTHER_PORT, false)] {
            for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
                for length in 0..=36_u16 {
                    let id = u32::from(table.id());
                    let segment = table.syn(port).bytes(who.ends(V6));
                    let mut packet = six(who, protocol::TCP)
                        .extensions([
                            Extension::fragment(0, true, id),
                            Extension::plain(protocol::DESTINATION),
                        ])
                        .length(length)
                        .packet(&segment);
                    if !padded {
                        packet.truncate(40 + usize::from(length));
                    }
                    let expect = match length {
                        // That it is a fragment is not known yet.
                        0..8 => Expect::malformed(V6),
                        8..20 => Expect::fragment(V6, None),
                        _ if !gated => Expect::PASS,
                        20..30 => Expect::fragment(V6, Some(MX)),
                        _ => Expect::judged(V6, who, MX),
                    };
                    let name = format!("first fragment: {length} of chain and segment to {port}, then {rest}, {who:?}");
                    table.add(name, framed(V6, &packet), expect);
                }
            }
        }
    }
}

fn fragments_in_chains(table: &mut Table) {
    for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
        for (kind_name, kind, _) in KINDS.into_iter().filter(|(_, kind, _)| *kind != protocol::FRAGMENT) {
            for (name, offset, more, behind) in [
                ("before a first fragment", 0, true, false),
                ("before a fragment at offset 1", 1, false, false),
                ("before a fragment at offset 2", 2, false, false),
                ("in a first fragment", 0, true, true),
                ("in a fragment at offset 1", 1, false, true),
                ("in a fragment at offset 2", 2, false, true),
            ] {
                let fragment = Extension::fragment(offset, more, u32::from(table.id()));
                let mut extensions = vec![Extension::plain(kind), fragment];
                if behind {
                    extensions.reverse();
                }
                let segment = table.syn(PORT).options([1; 4]).bytes(who.ends(V6));
                let packet = six(who, protocol::TCP).extensions(extensions).packet(&segment);
                let expect = match (offset, behind) {
                    (0, _) => Expect::judged(V6, who, MX),
                    // It says itself that it is TCP.
                    (1, false) => Expect::fragment(V6, None),
                    _ => Expect::PASS,
                };
                let name = format!("chain: {kind_name} {name}, {who:?}");
                table.add(name, framed(V6, &packet), expect);
            }
        }
        fragmented_chain(table, who);
    }
}

/// A destination header and a segment of 40 bytes, whole once its two fragments are put together.
fn fragmented_chain(table: &mut Table, who: Who) {
    for (name, cut, first, answered) in [
        ("the whole header in the first", 32, Expect::judged(V6, who, MX), true),
        // As much as the gate needs, but less than Linux asks of a first fragment since 5.11.
        ("the flags in the first", 24, Expect::judged(V6, who, MX), false),
        ("the flags in the second", 16, Expect::fragment(V6, Some(MX)), false),
        ("the segment in the second", 8, Expect::fragment(V6, None), false),
    ] {
        let id = u32::from(table.id());
        let segment = table.syn(PORT).options([1; 20]).bytes(who.ends(V6));
        let mut part = vec![protocol::TCP];
        part.extend(Extension::plain(protocol::DESTINATION).rest);
        part.extend(&segment);
        let of = |from: usize, to: usize| {
            let offset = u16::try_from(from / 8).unwrap_or(u16::MAX);
            let packet = six(who, protocol::DESTINATION)
                .extensions([Extension::fragment(offset, to < part.len(), id)])
                .packet(&part[from..to]);
            framed(V6, &packet)
        };
        let pieces = vec![
            ("first", of(0, cut), first),
            // No TCP header of its own, and none without the first.
            ("last", of(cut, 48), Expect::PASS),
        ];
        table.train(
            &format!("chain: destination options fragmented, {name}, {who:?}"),
            answered,
            pieces,
        );
    }
}

fn payload_lengths(table: &mut Table) {
    for who in BOTH {
        for length in [21, 22, 40, 1_500, 65_535] {
            let segment = table.syn(PORT).bytes(who.ends(V6));
            let packet = six(who, protocol::TCP).length(length).packet(&segment);
            let name = format!("payload_len: {length} of a segment of 20, {who:?}");
            table.add(name, framed(V6, &packet), Expect::malformed(V6));
        }
        for length in 0..20 {
            let segment = table.syn(PORT).bytes(who.ends(V6));
            let packet = six(who, protocol::TCP).length(length).packet(&segment);
            let expect = match length {
                0..14 => Expect::malformed(V6),
                _ => Expect::judged(V6, who, MX),
            };
            let name = format!("payload_len: {length} of a segment of 20, then padding, {who:?}");
            table.add(name, framed(V6, &packet), expect);
        }
    }
}

/// Up to the frame's end before a hop-by-hop header (Linux ipv6_rcv), nothing at all otherwise.
fn no_payload_length(table: &mut Table) {
    let pad = || Extension::plain(protocol::HOP_BY_HOP);
    for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
        let rows = [
            ("hop-by-hop", vec![pad()], true),
            ("hop-by-hop with Jumbo option", vec![Extension::jumbo(28)], false),
            (
                "hop-by-hop with a great Jumbo option",
                vec![Extension::jumbo(70_000)],
                false,
            ),
            (
                "hop-by-hop and destination options",
                vec![pad(), Extension::plain(protocol::DESTINATION)],
                true,
            ),
            (
                "hop-by-hop and atomic fragment",
                vec![pad(), Extension::plain(protocol::FRAGMENT)],
                false,
            ),
            ("8 headers from hop-by-hop on", mixed(0, 8), false),
        ];
        for (name, extensions, answered) in rows {
            let segment = table.syn(PORT).bytes(who.ends(V6));
            let packet = six(who, protocol::TCP)
                .extensions(extensions)
                .length(0)
                .packet(&segment);
            let case = table.add(
                format!("payload_len: 0, {name}, {who:?}"),
                framed(V6, &packet),
                Expect::judged(V6, who, MX),
            );
            case.answered = answered;
        }
        let segment = table.syn(PORT).bytes(who.ends(V6));
        let packet = six(who, protocol::TCP)
            .extensions(mixed(0, 9))
            .length(0)
            .packet(&segment);
        let name = format!("payload_len: 0, 9 headers from hop-by-hop on, {who:?}");
        table.add(name, framed(V6, &packet), Expect::chain(Family::V6));
        for (name, kind, _) in KINDS.into_iter().filter(|(_, kind, _)| *kind != protocol::HOP_BY_HOP) {
            let segment = table.syn(PORT).bytes(who.ends(V6));
            let packet = six(who, protocol::TCP)
                .extensions([Extension::plain(kind)])
                .length(0)
                .packet(&segment);
            let name = format!("payload_len: 0, {name}, {who:?}");
            table.add(name, framed(V6, &packet), Expect::malformed(V6));
        }
        let packet = six(who, protocol::TCP)
            .length(0)
            .packet(&table.syn(PORT).bytes(who.ends(V6)));
        table.add(
            format!("payload_len: 0, {who:?}"),
            framed(V6, &packet),
            Expect::malformed(V6),
        );
        let packet = six(who, protocol::UDP)
            .length(0)
            .packet(&udp(who.ends(V6), 4_000, PORT, b"data"));
        // Not TCP, and nothing else is asked.
        table.add(
            format!("payload_len: 0, UDP, {who:?}"),
            framed(V6, &packet),
            Expect::PASS,
        );
    }
}

fn protocols(table: &mut Table) {
    let walked = KINDS.map(|(_, kind, _)| kind);
    for number in (0..=255_u8).filter(|number| *number != protocol::TCP && !walked.contains(number)) {
        let segment = table.syn(PORT).bytes(Who::Foreign.ends(V6));
        let packet = six(Who::Foreign, number).packet(&segment);
        table.add(format!("protocol: v6 {number}"), framed(V6, &packet), Expect::PASS);
    }
    for who in BOTH {
        for port in [25, 465, 587] {
            let packet = six(who, protocol::UDP).packet(&udp(who.ends(V6), 4_000, port, b"data"));
            table.add(
                format!("protocol: v6 UDP to {port}, {who:?}"),
                framed(V6, &packet),
                Expect::PASS,
            );
        }
        let inner = plain(V6, who, &table.syn(PORT));
        let packet = six(who, 41).packet(&inner);
        table.add(
            format!("protocol: SYN in IPv6 in IPv6, {who:?}"),
            framed(V6, &packet),
            Expect::PASS,
        );
    }
}

fn padding(table: &mut Table) {
    for who in BOTH {
        for length in [1, 2, 20, 200] {
            let mut packet = plain(V6, who, &table.syn(PORT));
            packet.extend(vec![0xff; length]);
            let name = format!("padding: {length} bytes behind a v6 SYN, {who:?}");
            table
                .add(name, framed(V6, &packet), Expect::judged(V6, who, MX))
                .answered();
            let mut packet = plain(V6, who, &table.syn(PORT).flags(ACK));
            packet.extend(vec![SYN; length]);
            let name = format!("padding: {length} bytes of SYN behind a v6 ACK, {who:?}");
            table.add(name, framed(V6, &packet), Expect::PASS);
        }
    }
}
