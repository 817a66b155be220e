//! Rows of the source: who it is, at which gate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use smtpgate_common::Reason;

use super::{Expect, Table, framed, plain};
use crate::packets::builder::{Ends, Ipv4, Ipv6, Tcp, protocol};
use crate::packets::policy::{EDGES, HOST4, HOST6, MX, SUBMISSION, Version, WATCH, Who, crowd, parsed, to_host};

pub(super) fn rows(table: &mut Table) {
    everyone_at_every_gate(table);
    edges_of_prefixes(table);
    crowded_bans(table);
    destinations(table);
}

const GATED: [(u16, u8); 4] = [(25, MX), (465, SUBMISSION), (587, SUBMISSION), (2525, WATCH)];

fn everyone_at_every_gate(table: &mut Table) {
    for version in Version::BOTH {
        for who in Who::ALL {
            for (port, gate) in GATED {
                let frame = framed(version, &plain(version, who, &table.syn(port)));
                let name = format!("source: {} {who:?} to {port}", version.name());
                table.add(name, frame, Expect::judged(version, who, gate)).answered();
            }
            let frame = framed(version, &plain(version, who, &table.syn(26)));
            table.add(format!("source: {} {who:?} to 26", version.name()), frame, Expect::PASS);
        }
    }
}

/// The addresses on both sides of both ends of a prefix.
fn edges(net: IpNet) -> [(&'static str, IpAddr, bool); 4] {
    let (before, after): (IpAddr, IpAddr) = match (net.network(), net.broadcast()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (
            Ipv4Addr::from_bits(first.to_bits() - 1).into(),
            Ipv4Addr::from_bits(last.to_bits() + 1).into(),
        ),
        (IpAddr::V6(first), IpAddr::V6(last)) => (
            Ipv6Addr::from_bits(first.to_bits() - 1).into(),
            Ipv6Addr::from_bits(last.to_bits() + 1).into(),
        ),
        other => (other.0, other.1),
    };
    [
        ("before", before, false),
        ("first", net.network(), true),
        ("last", net.broadcast(), true),
        ("after", after, false),
    ]
}

fn edges_of_prefixes(table: &mut Table) {
    for prefix in EDGES {
        for (name, source, inside) in edges(parsed(prefix)) {
            let version = version(source);
            let reason = if inside { Reason::Allowed } else { Reason::Outside };
            for (port, gate) in [(25, MX), (587, SUBMISSION)] {
                let frame = from(source, &table.syn(port));
                let expect = Expect::judged_as(version, reason, gate);
                table
                    .add(format!("edge: {name} of {prefix} to {port}"), frame, expect)
                    .answered();
            }
            // The observing gate does not allow them at all.
            let frame = from(source, &table.syn(2525));
            let expect = Expect::judged_as(version, Reason::Outside, WATCH);
            table.add(format!("edge: {name} of {prefix} to 2525"), frame, expect);
        }
    }
}

fn crowded_bans(table: &mut Table) {
    for version in Version::BOTH {
        for source in crowd(version) {
            let frame = from(source, &table.syn(25));
            let expect = Expect::judged_as(version, Reason::Banned, MX);
            table.add(format!("crowd: {source} banned"), frame, expect).answered();
        }
    }
    let beside = [251, 252, 253, 254, 255].map(|host| IpAddr::from(Ipv4Addr::new(192, 0, 3, host)));
    let same_net = crowd(Version::Six).into_iter().filter_map(|address| match address {
        IpAddr::V6(address) => Some(IpAddr::from(Ipv6Addr::from_bits(address.to_bits() + 1))),
        IpAddr::V4(_) => None,
    });
    for source in beside.into_iter().chain(same_net) {
        let version = version(source);
        let frame = from(source, &table.syn(25));
        let expect = Expect::judged_as(version, Reason::Allowed, MX);
        table
            .add(format!("crowd: {source} beside the banned"), frame, expect)
            .answered();
    }
}

/// The destination does not matter.
fn destinations(table: &mut Table) {
    for destination in [
        "192.0.2.10",
        "203.0.113.9",
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "2001:db8:a::10",
        "2001:db8:f::9",
        "::1",
        "::",
        "ff02::1",
        "fe80::1",
    ] {
        let destination: IpAddr = parsed(destination);
        let version = version(destination);
        for who in super::BOTH {
            let frame = between(
                Ends {
                    source: who.address(version),
                    destination,
                },
                &table.syn(25),
            );
            let name = format!("destination: {destination} {who:?}");
            table.add(name, frame, Expect::judged(version, who, MX));
        }
    }
}

const fn version(address: IpAddr) -> Version {
    match address {
        IpAddr::V4(_) => Version::Four,
        IpAddr::V6(_) => Version::Six,
    }
}

fn from(source: IpAddr, segment: &Tcp) -> Vec<u8> {
    between(to_host(source), segment)
}

fn between(ends: Ends, segment: &Tcp) -> Vec<u8> {
    let bytes = segment.bytes(ends);
    let packet = match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Ipv4::new(source, destination, protocol::TCP).packet(&bytes),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Ipv6::new(source, destination, protocol::TCP).packet(&bytes),
        (IpAddr::V4(source), IpAddr::V6(_)) => Ipv4::new(source, HOST4, protocol::TCP).packet(&bytes),
        (IpAddr::V6(source), IpAddr::V4(_)) => Ipv6::new(source, HOST6, protocol::TCP).packet(&bytes),
    };
    framed(version(ends.source), &packet)
}
