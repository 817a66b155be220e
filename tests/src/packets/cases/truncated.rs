//! Rows of frames that end at every byte, while their headers say that they do not.

use smtpgate_common::Family;

use super::{Expect, PORT, Table, four, framed, kind, plain, six};
use crate::packets::builder::{Extension, MORE, Tag, ethernet, ethertype, protocol};
use crate::packets::policy::{MX, Version, Who};

pub(super) fn rows(table: &mut Table) {
    let foreign = Who::Foreign;
    for version in Version::BOTH {
        let frame = framed(version, &plain(version, foreign, &table.syn(PORT).data(*b"EHLO")));
        let whole = Expect::judged(version, foreign, MX);
        cut(
            table,
            &format!("{} SYN with data", version.name()),
            version,
            14,
            &frame,
            whole,
        );
    }

    let version = Version::Four;
    let segment = table.syn(PORT).bytes(foreign.ends(version));
    let frame = framed(version, &four(foreign, protocol::TCP).options([1; 40]).packet(&segment));
    cut(
        table,
        "v4 SYN with 40 bytes of IP options",
        version,
        14,
        &frame,
        Expect::judged(version, foreign, MX),
    );
    let mut header = four(foreign, protocol::TCP);
    header.marks = MORE;
    let frame = framed(version, &header.packet(&segment[..8]));
    cut(
        table,
        "v4 tiny first fragment",
        version,
        14,
        &frame,
        Expect::fragment(version, Some(MX)),
    );

    let version = Version::Six;
    let segment = table.syn(PORT).bytes(foreign.ends(version));
    let chain = [
        Extension::options(protocol::HOP_BY_HOP, 1),
        Extension::routing(2),
        Extension::fragment(0, false, 1),
        Extension::options(protocol::DESTINATION, 2),
    ];
    let frame = framed(
        version,
        &six(foreign, protocol::TCP).extensions(chain.clone()).packet(&segment),
    );
    cut(
        table,
        "v6 SYN behind four headers",
        version,
        14,
        &frame,
        Expect::judged(version, foreign, MX),
    );
    let first = [
        Extension::fragment(0, true, 1),
        Extension::options(protocol::DESTINATION, 1),
    ];
    let frame = framed(
        version,
        &six(foreign, protocol::TCP).extensions(first).packet(&segment[..8]),
    );
    cut(
        table,
        "v6 tiny first fragment",
        version,
        14,
        &frame,
        Expect::fragment(version, Some(MX)),
    );
    let frame = framed(
        version,
        &six(foreign, protocol::TCP)
            .extensions(vec![Extension::plain(protocol::ROUTING); 9])
            .packet(&segment),
    );
    cut(
        table,
        "v6 SYN behind nine headers",
        version,
        14,
        &frame,
        Expect::chain(Family::V6),
    );

    for version in Version::BOTH {
        let tags = [
            Tag {
                kind: ethertype::SERVICE_VLAN,
                control: 0,
            },
            Tag {
                kind: ethertype::VLAN,
                control: 5,
            },
        ];
        let frame = ethernet(&tags, kind(version), &plain(version, foreign, &table.syn(PORT)));
        let whole = Expect::judged(version, foreign, MX);
        cut(
            table,
            &format!("{} SYN in two tags", version.name()),
            version,
            22,
            &frame,
            whole,
        );
    }
    no_length_of_its_own(table, &chain, &segment);
}

/// The frame at every length; its IP header begins at `network`.
fn cut(table: &mut Table, name: &str, version: Version, network: usize, frame: &[u8], whole: Expect) {
    let train = table.next();
    for length in 0..=frame.len() {
        let expect = if length < network {
            // Not known to be IP.
            Expect::PASS
        } else if length < frame.len() {
            Expect::malformed(version)
        } else {
            whole
        };
        let name = format!("truncated: {name}, {length} bytes");
        table.push(train, name, frame[..length].to_vec(), expect);
    }
}

/// With a payload length of 0 before a hop-by-hop header, the frame's end is the packet's: the cut makes no lie.
fn no_length_of_its_own(table: &mut Table, chain: &[Extension], segment: &[u8]) {
    let version = Version::Six;
    let packet = six(Who::Foreign, protocol::TCP)
        .extensions(chain)
        .length(0)
        .packet(segment);
    let frame = framed(version, &packet);
    let tcp = 14 + 40 + 8 + 16 + 8 + 16;
    let train = table.next();
    for length in 0..=frame.len() {
        let expect = if length < 14 {
            Expect::PASS
        } else if length < tcp + 14 {
            Expect::malformed(version)
        } else {
            Expect::judged(version, Who::Foreign, MX)
        };
        let name = format!("truncated: v6 SYN with no payload length, {length} bytes");
        table.push(train, name, frame[..length].to_vec(), expect);
    }
}
