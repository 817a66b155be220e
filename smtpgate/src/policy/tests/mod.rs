//! The compiled table, the image and the way between two images, held against the naive evaluator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod bans;
mod build;
mod diff;
mod random;

use std::net::IpAddr;

use ipnet::IpNet;
use smtpgate_common::{Reason, Source, judge};

use super::{Intent, Maps, Sizes};

/// Sizes with room for what the tests do, and small enough to be made often.
const SMALL: Sizes = Sizes {
    trie4: 4096,
    trie6: 4096,
    nodes4: 512,
    nodes6: 1024,
    bans4_log2: 1,
    over4: 256,
    bans6_log2: 1,
    over6: 256,
    exact6: 256,
};

fn net(text: &str) -> IpNet {
    match text.parse() {
        Ok(net) => net,
        Err(_) => IpNet::from(address(text)),
    }
}

fn nets(text: &str) -> Vec<IpNet> {
    text.split_whitespace().map(net).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What the decision code says over the maps.
fn verdict(maps: &Maps, gate: usize, address: IpAddr) -> Reason {
    let source = match address.to_canonical() {
        IpAddr::V4(address) => Source::V4(address.octets()),
        IpAddr::V6(address) => Source::V6(address.octets()),
    };
    judge(&maps, gate as u8, &source)
}

/// First and last address of a prefix, and their neighbours outside.
fn edges(net: IpNet) -> Vec<IpAddr> {
    match net {
        IpNet::V4(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            let edges = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
            edges.map(|bits| IpAddr::V4(bits.into())).to_vec()
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            let edges = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
            edges.map(|bits| IpAddr::V6(bits.into())).to_vec()
        }
    }
}

/// Every address at which the verdict of a policy can change.
fn probes(intent: &Intent) -> Vec<IpAddr> {
    let allow = intent.gates.iter().flat_map(|gate| &gate.allow);
    let bans = intent.bans.iter().map(|ban| &ban.prefix);
    let all = intent.trust.iter().chain(&intent.block).chain(allow).chain(bans);
    let mut probes: Vec<_> = all.flat_map(|net| edges(*net)).collect();
    probes.sort();
    probes.dedup();
    probes
}

/// An address of each family, and its neighbours.
fn anywhere(bits: u128) -> Vec<IpAddr> {
    let v4 = IpAddr::V4((bits as u32).into());
    [v4, IpAddr::V6(bits.into())]
        .into_iter()
        .flat_map(|address| edges(address.into()))
        .collect()
}
