//! Rows of the IPv4 header: its length, its options, the packet's length, the protocol.

use super::{BOTH, Expect, OTHER_PORT, PORT, Table, four, framed, plain};
use crate::packets::builder::{ACK, DONT, RESERVED, SYN, protocol, udp};
use crate::packets::policy::{MX, Version, Who};

const V4: Version = Version::Four;

pub(super) fn rows(table: &mut Table) {
    header_lengths(table);
    header_lengths_without_options(table);
    options(table);
    options_like_headers(table);
    total_lengths(table);
    segment_ends(table);
    padding(table);
    protocols(table);
    marks(table);
}

fn header_lengths(table: &mut Table) {
    for words in 0..=15_u8 {
        for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
            let segment = table.syn(PORT).bytes(who.ends(V4));
            let mut header = four(who, protocol::TCP).options(vec![1; usize::from(words.saturating_sub(5)) * 4]);
            header.words = Some(words);
            let frame = framed(V4, &header.packet(&segment));
            let name = format!("ihl: {words} {who:?}");
            if words < 5 {
                table.add(name, frame, Expect::malformed(V4));
            } else {
                table.add(name, frame, Expect::judged(V4, who, MX)).answered();
            }
        }
    }
}

/// A header length that reaches into the TCP header of 20 bytes, so that the ports are read from its later fields.
fn header_lengths_without_options(table: &mut Table) {
    for words in 6..=15_u8 {
        for (what, window) in [("", 64_240), (" with a gate's port as window", PORT)] {
            for who in BOTH {
                let mut segment = table.syn(PORT);
                segment.window = window;
                let mut header = four(who, protocol::TCP);
                header.words = Some(words);
                let packet = header.packet(&segment.bytes(who.ends(V4)));
                let expect = match words {
                    // The window stands where the destination port is looked for; the flags are beyond the end.
                    8 if window == PORT => Expect::malformed(V4),
                    // No gate's port: sequence number, acknowledgement, window, urgent pointer.
                    6..=9 => Expect::PASS,
                    // Not even ports, or a header longer than the packet.
                    _ => Expect::malformed(V4),
                };
                let name = format!("ihl: {words} without options{what}, {who:?}");
                table.add(name, framed(V4, &packet), expect);
            }
        }
    }
}

fn options(table: &mut Table) {
    // RFC 791 3.1, RFC 2113, RFC 1108; `true` where Linux takes them by default (it refuses source routes).
    let kinds: [(&str, &[u8], bool); 12] = [
        ("end of list", &[0, 0, 0, 0], true),
        ("no operation", &[1, 1, 1, 1], true),
        ("record route", &[7, 7, 4, 0, 0, 0, 0, 0], true),
        ("timestamp", &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0], true),
        ("router alert", &[148, 4, 0, 0], true),
        ("stream id", &[136, 4, 0, 1], true),
        ("security", &[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true),
        ("loose source route", &[131, 7, 8, 203, 0, 113, 1, 0], false),
        ("strict source route", &[137, 7, 4, 203, 0, 113, 1, 0], false),
        ("unknown", &[0x5e, 4, 1, 2], true),
        ("length 1", &[7, 1, 4, 0], false),
        ("length beyond the header", &[7, 40, 4, 0], false),
    ];
    for (kind, bytes, taken) in kinds {
        for who in BOTH {
            let segment = table.syn(PORT).bytes(who.ends(V4));
            let packet = four(who, protocol::TCP).options(bytes).packet(&segment);
            let case = table.add(
                format!("ip option: {kind}, {who:?}"),
                framed(V4, &packet),
                Expect::judged(V4, who, MX),
            );
            if taken {
                case.answered();
            }
        }
    }
}

/// Options that look like the TCP header to a reader that takes every IPv4 header to have 20 bytes.
fn options_like_headers(table: &mut Table) {
    for who in BOTH {
        for (name, fake_port, fake_flags, port, flags) in [
            ("a harmless segment before a SYN", OTHER_PORT, ACK, PORT, SYN),
            ("a SYN before a harmless segment", PORT, SYN, OTHER_PORT, ACK),
            ("a SYN before an ACK", PORT, SYN, PORT, ACK),
        ] {
            // Type and length of the option are the fake source port.
            let mut option = table.syn(fake_port).flags(fake_flags).bytes(who.ends(V4));
            option[..2].copy_from_slice(&[0x5e, 20]);
            let segment = table.syn(port).flags(flags).bytes(who.ends(V4));
            let packet = four(who, protocol::TCP).options(option).packet(&segment);
            let name = format!("ip option: like {name}, {who:?}");
            if (port, flags) == (PORT, SYN) {
                table
                    .add(name, framed(V4, &packet), Expect::judged(V4, who, MX))
                    .answered();
            } else {
                table.add(name, framed(V4, &packet), Expect::PASS);
            }
        }
    }
}

fn total_lengths(table: &mut Table) {
    for who in BOTH {
        for total in 0..20 {
            let mut header = four(who, protocol::TCP);
            header.total = Some(total);
            let packet = header.packet(&table.syn(PORT).bytes(who.ends(V4)));
            let name = format!("tot_len: {total} {who:?}");
            table.add(name, framed(V4, &packet), Expect::malformed(V4));
        }
        for total in [20, 24, 31] {
            let mut header = four(who, protocol::TCP).options([1; 12]);
            header.total = Some(total);
            let packet = header.packet(&table.syn(PORT).bytes(who.ends(V4)));
            let name = format!("tot_len: {total} with a header of 32, {who:?}");
            table.add(name, framed(V4, &packet), Expect::malformed(V4));
        }
        for total in [41, 42, 60, 1_500, 65_535] {
            let mut header = four(who, protocol::TCP);
            header.total = Some(total);
            let packet = header.packet(&table.syn(PORT).bytes(who.ends(V4)));
            let name = format!("tot_len: {total} of a packet of 40, {who:?}");
            table.add(name, framed(V4, &packet), Expect::malformed(V4));
        }
    }
}

/// The packet ends within the TCP header; what follows in the frame is padding, or there is none.
fn segment_ends(table: &mut Table) {
    for (rest, padded) in [("padding", true), ("frame's end", false)] {
        for (port, gated) in [(PORT, true), (OTHER_PORT, false)] {
            for who in BOTH {
                for length in 0..20_u16 {
                    let mut header = four(who, protocol::TCP);
                    header.total = Some(20 + length);
                    let mut packet = header.packet(&table.syn(port).bytes(who.ends(V4)));
                    if !padded {
                        packet.truncate(20 + usize::from(length));
                    }
                    let expect = match length {
                        0..4 => Expect::malformed(V4),
                        _ if !gated => Expect::PASS,
                        4..14 => Expect::malformed(V4),
                        _ => Expect::judged(V4, who, MX),
                    };
                    let name = format!("tot_len: {length} bytes of a segment to {port}, then {rest}, {who:?}");
                    table.add(name, framed(V4, &packet), expect);
                }
            }
        }
    }
}

fn padding(table: &mut Table) {
    for who in BOTH {
        for length in [1, 2, 6, 20, 46, 200] {
            let mut packet = plain(V4, who, &table.syn(PORT));
            packet.extend(vec![0xff; length]);
            let name = format!("padding: {length} bytes behind a SYN, {who:?}");
            table
                .add(name, framed(V4, &packet), Expect::judged(V4, who, MX))
                .answered();
            let mut packet = plain(V4, who, &table.syn(PORT).flags(ACK));
            packet.extend(vec![SYN; length]);
            let name = format!("padding: {length} bytes of SYN behind an ACK, {who:?}");
            table.add(name, framed(V4, &packet), Expect::PASS);
        }
    }
}

fn protocols(table: &mut Table) {
    for number in (0..=255_u8).filter(|number| *number != protocol::TCP) {
        let segment = table.syn(PORT).bytes(Who::Foreign.ends(V4));
        let packet = four(Who::Foreign, number).packet(&segment);
        table.add(format!("protocol: v4 {number}"), framed(V4, &packet), Expect::PASS);
    }
    for who in BOTH {
        for port in [25, 465, 587] {
            let packet = four(who, protocol::UDP).packet(&udp(who.ends(V4), 4_000, port, b"data"));
            table.add(
                format!("protocol: v4 UDP to {port}, {who:?}"),
                framed(V4, &packet),
                Expect::PASS,
            );
        }
        let packet = four(who, protocol::ICMP).packet(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        table.add(format!("protocol: v4 ping, {who:?}"), framed(V4, &packet), Expect::PASS);
        let inner = plain(V4, who, &table.syn(PORT));
        let packet = four(who, protocol::IPIP).packet(&inner);
        table.add(
            format!("protocol: SYN in IP in IP, {who:?}"),
            framed(V4, &packet),
            Expect::PASS,
        );
    }
}

fn marks(table: &mut Table) {
    for (name, marks) in [
        ("do not fragment", DONT),
        ("reserved bit", RESERVED),
        ("reserved bit and do not fragment", RESERVED | DONT),
    ] {
        for who in BOTH {
            let mut header = four(who, protocol::TCP);
            header.marks = marks;
            let packet = header.packet(&table.syn(PORT).bytes(who.ends(V4)));
            let name = format!("fragment word: {name}, {who:?}");
            table
                .add(name, framed(V4, &packet), Expect::judged(V4, who, MX))
                .answered();
        }
    }
    for who in BOTH {
        let mut header = four(who, protocol::TCP);
        header.checksum = false;
        let packet = header.packet(&table.syn(PORT).bytes(who.ends(V4)));
        let name = format!("checksum: wrong in the IPv4 header, {who:?}");
        table.add(name, framed(V4, &packet), Expect::judged(V4, who, MX));
    }
}
