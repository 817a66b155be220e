//! Rows of the TCP header: ports, flags, data offset, options, data.

use super::{BOTH, Expect, OTHER_PORT, PORT, Table, framed, plain};
use crate::packets::builder::{ACK, FIN, PSH, RST, SYN};
use crate::packets::policy::{MX, SUBMISSION, Version, WATCH};

pub(super) fn rows(table: &mut Table) {
    for version in Version::BOTH {
        flags(table, version);
        ports(table, version);
        data_offsets(table, version);
        options(table, version);
        data(table, version);
    }
}

fn flags(table: &mut Table, version: Version) {
    for who in BOTH {
        for flags in 0..=255_u8 {
            let opens = flags & SYN != 0 && flags & ACK == 0;
            let expect = if opens {
                Expect::judged(version, who, MX)
            } else {
                Expect::PASS
            };
            let frame = framed(version, &plain(version, who, &table.syn(PORT).flags(flags)));
            let case = table.add(format!("flags: {} {flags:#04x} {who:?}", version.name()), frame, expect);
            // Linux opens on any of them but FIN and RST.
            if opens && flags & (FIN | RST) == 0 {
                case.answered();
            }
        }
        for flags in [SYN, SYN | PSH, SYN | ACK, ACK, RST] {
            let segment = table.syn(OTHER_PORT).flags(flags);
            let name = format!("flags: {} {flags:#04x} to port 80, {who:?}", version.name());
            table.add(name, framed(version, &plain(version, who, &segment)), Expect::PASS);
        }
        for reserved in 1..16 {
            let mut segment = table.syn(PORT);
            segment.reserved = reserved;
            let name = format!("flags: {} reserved bits {reserved:#x}, {who:?}", version.name());
            table
                .add(
                    name,
                    framed(version, &plain(version, who, &segment)),
                    Expect::judged(version, who, MX),
                )
                .answered();
        }
    }
}

fn ports(table: &mut Table, version: Version) {
    for who in BOTH {
        for (port, gate) in [
            (25, Some(MX)),
            (465, Some(SUBMISSION)),
            (587, Some(SUBMISSION)),
            (2525, Some(WATCH)),
            (0, None),
            (1, None),
            (24, None),
            (26, None),
            (80, None),
            (110, None),
            (143, None),
            (443, None),
            (464, None),
            (466, None),
            (586, None),
            (588, None),
            (993, None),
            (2524, None),
            (2526, None),
            // Byte-swapped.
            (25_u16.swap_bytes(), None),
            (465_u16.swap_bytes(), None),
            (587_u16.swap_bytes(), None),
            // One line of the port table on.
            (25 + 64, None),
            (25 + 1_024, None),
            (25 + 32_768, None),
            (65_535, None),
        ] {
            let expect = gate.map_or(Expect::PASS, |gate| Expect::judged(version, who, gate));
            for flags in [SYN, ACK] {
                let expect = if flags == SYN { expect } else { Expect::PASS };
                let frame = framed(version, &plain(version, who, &table.syn(port).flags(flags)));
                let name = format!("port: {} {port} flags {flags:#04x}, {who:?}", version.name());
                table.add(name, frame, expect);
            }
        }
        // What a gated port on the other side sends.
        for source in [25, 465, 587] {
            let mut segment = table.syn(OTHER_PORT);
            segment.source = source;
            let name = format!("port: {} from {source} to 80, {who:?}", version.name());
            table.add(name, framed(version, &plain(version, who, &segment)), Expect::PASS);
        }
    }
}

/// The gate does not trust it, and needs nothing behind the flags.
fn data_offsets(table: &mut Table, version: Version) {
    for who in BOTH {
        for words in 0..16 {
            let mut segment = table.syn(PORT);
            segment.words = Some(words);
            let name = format!("data offset: {} {words} of 5, {who:?}", version.name());
            let frame = framed(version, &plain(version, who, &segment));
            table.add(name, frame, Expect::judged(version, who, MX));
            if words >= 5 {
                let segment = table.syn(PORT).options(vec![1; usize::from(words - 5) * 4]);
                let name = format!("data offset: {} {words} with options, {who:?}", version.name());
                let frame = framed(version, &plain(version, who, &segment));
                table.add(name, frame, Expect::judged(version, who, MX)).answered();
            }
        }
        let mut segment = table.syn(PORT);
        segment.checksum = false;
        let name = format!("checksum: wrong in the {} segment, {who:?}", version.name());
        let frame = framed(version, &plain(version, who, &segment));
        table.add(name, frame, Expect::judged(version, who, MX));
    }
}

/// What common clients send, and worse (IANA: kinds 2, 3, 4, 8, 34, 253).
fn options(table: &mut Table, version: Version) {
    let kinds: [(&str, &[u8]); 7] = [
        ("MSS", &[2, 4, 5, 0xb4]),
        (
            "MSS, SACK, timestamps, window scale",
            &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7],
        ),
        ("Fast Open request", &[34, 2, 1, 1]),
        ("Fast Open cookie", &[34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]),
        ("unknown", &[253, 4, 1, 2]),
        ("length 0", &[253, 0, 1, 2]),
        ("length beyond the header", &[253, 44, 1, 2]),
    ];
    for who in BOTH {
        for (kind, bytes) in kinds {
            for data in [&b""[..], b"EHLO example.org\r\n"] {
                let segment = table.syn(PORT).options(bytes).data(data);
                let name = format!(
                    "tcp option: {} {kind} with {} bytes of data, {who:?}",
                    version.name(),
                    data.len()
                );
                let frame = framed(version, &plain(version, who, &segment));
                table.add(name, frame, Expect::judged(version, who, MX)).answered();
            }
        }
    }
}

fn data(table: &mut Table, version: Version) {
    for who in BOTH {
        for length in [1, 6, 20, 536, 1_200] {
            let segment = table.syn(PORT).data(vec![b'A'; length]);
            let name = format!("data: {} {length} bytes in a SYN, {who:?}", version.name());
            let frame = framed(version, &plain(version, who, &segment));
            table.add(name, frame, Expect::judged(version, who, MX)).answered();
            let segment = table.syn(PORT).flags(ACK | PSH).data(vec![SYN; length]);
            let name = format!(
                "data: {} {length} bytes in an established stream, {who:?}",
                version.name()
            );
            let frame = framed(version, &plain(version, who, &segment));
            table.add(name, frame, Expect::PASS);
        }
    }
}
