//! A gate table of the few things that a test says, and the frames that are judged by it.

use std::collections::BTreeMap;

use smtpgate_common::{
    Frame, Link, Lookup, Reason, Source, Tables,
    abi::{Bucket4, Bucket6},
    ban::{filter4, filter6, word4},
    cell::Cell,
    front::FIRST_NODE,
    judge,
};

pub(crate) const ETHERNET: Link = Link::Ethernet { stripped: 0 };

/// A gate table of the few things that a test says; all other codes are class 0.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) ports: BTreeMap<u16, u8>,
    pub(crate) observe: u32,
    pub(crate) classes: BTreeMap<u8, Cell>,
    pub(crate) root4: BTreeMap<u16, u16>,
    pub(crate) root6: BTreeMap<u16, u16>,
    /// By node and byte, both families.
    pub(crate) nodes: BTreeMap<(u32, u8), u16>,
    pub(crate) trie4: BTreeMap<[u8; 4], Cell>,
    pub(crate) trie6: BTreeMap<[u8; 16], Cell>,
    pub(crate) filter: BTreeMap<u16, u64>,
    pub(crate) bucket4: Bucket4,
    pub(crate) over4: BTreeMap<u32, u32>,
    pub(crate) bucket6: Bucket6,
    pub(crate) over6: BTreeMap<u64, u64>,
    pub(crate) exact6: BTreeMap<[u8; 16], u32>,
    pub(crate) now: u32,
}

impl Table {
    /// Port 25 is gate 0, port 587 gate 1; 192.0.2.0/24 and 2001:db8::/32 are allowed at gate 0.
    pub(crate) fn new() -> Self {
        Self {
            ports: [(25, 0), (587, 1)].into(),
            classes: [(1, Cell::new(1, 0, 0))].into(),
            root4: [(0xc000, FIRST_NODE)].into(),
            root6: [(0x2001, FIRST_NODE + 1)].into(),
            nodes: [((0, 2), 1), ((1, 0x0d), FIRST_NODE + 2), ((2, 0xb8), 1)].into(),
            now: 100,
            ..Self::default()
        }
    }

    /// Bans an address in slot `slot`, the filter told first.
    pub(crate) fn ban4(mut self, slot: usize, address: [u8; 4], until: u32) -> Self {
        let address = u32::from_be_bytes(address);
        self.admit(filter4(address));
        *self.bucket4.words[slot].get_mut() = word4(address, until);
        self
    }

    pub(crate) fn ban6(mut self, slot: usize, net: u64, state: u64) -> Self {
        self.admit(filter6(net));
        *self.bucket6.bans[slot].net.get_mut() = net;
        *self.bucket6.bans[slot].state.get_mut() = state;
        self
    }

    pub(crate) fn admit(&mut self, (word, bits): (u16, u64)) {
        *self.filter.entry(word).or_default() |= bits;
    }

    pub(crate) fn judge(&self, gate: u8, source: &str) -> Reason {
        let source = match source.parse().unwrap() {
            std::net::IpAddr::V4(address) => Source::V4(address.octets()),
            std::net::IpAddr::V6(address) => Source::V6(address.octets()),
        };
        judge(&self, gate, &source)
    }
}

impl Tables for Table {
    type Lookup<'a> = &'a Self;

    fn lookup(&self) -> Option<&Self> {
        Some(self)
    }
}

impl Lookup for &Table {
    fn gate(&self, port: u16) -> Option<u8> {
        self.ports.get(&port).copied()
    }
    fn observe(&self) -> u32 {
        self.observe
    }
    fn class(&self, id: u8) -> Cell {
        self.classes.get(&id).copied().unwrap_or_default()
    }
    fn root4(&self, index: u16) -> u16 {
        self.root4.get(&index).copied().unwrap_or_default()
    }
    fn root6(&self, index: u16) -> u16 {
        self.root6.get(&index).copied().unwrap_or_default()
    }
    fn node4(&self, node: u32, byte: u8) -> Option<u16> {
        Some(self.nodes.get(&(node, byte)).copied().unwrap_or_default())
    }
    fn node6(&self, node: u32, byte: u8) -> Option<u16> {
        self.node4(node, byte)
    }
    fn trie4(&self, address: [u8; 4]) -> Option<Cell> {
        self.trie4.get(&address).copied()
    }
    fn trie6(&self, address: [u8; 16]) -> Option<Cell> {
        self.trie6.get(&address).copied()
    }
    fn filter(&self, word: u16) -> u64 {
        self.filter.get(&word).copied().unwrap_or_default()
    }
    fn bucket4(&self, _: u32) -> Option<&Bucket4> {
        Some(&self.bucket4)
    }
    fn over4(&self, address: u32) -> Option<u32> {
        self.over4.get(&address).copied()
    }
    fn bucket6(&self, _: u64) -> Option<&Bucket6> {
        Some(&self.bucket6)
    }
    fn over6(&self, net: u64) -> Option<u64> {
        self.over6.get(&net).copied()
    }
    fn exact6(&self, address: [u8; 16]) -> Option<u32> {
        self.exact6.get(&address).copied()
    }
    fn now(&self) -> u32 {
        self.now
    }
}

/// Ethernet, IPv4 and the first 20 bytes of a TCP SYN.
pub(crate) fn syn4(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(source);
    frame.extend([198, 51, 100, 1]);
    frame.extend(tcp(port, 0x02));
    frame
}

/// Ethernet, IPv6 with extension headers that were made before, and a TCP SYN.
pub(crate) fn syn6(source: &str, port: u16) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
    frame.extend(source.parse::<std::net::Ipv6Addr>().unwrap().octets());
    frame.extend([0x20; 16]);
    frame.extend(tcp(port, 0x02));
    frame
}

pub(crate) fn tcp(port: u16, flags: u8) -> [u8; 20] {
    let [high, low] = port.to_be_bytes();
    let mut header = [0; 20];
    header[..4].copy_from_slice(&[0x80, 0, high, low]);
    header[12..14].copy_from_slice(&[0x50, flags]);
    header
}

/// A frame of which only the front can be read in place, as in an skb's or XDP frame's first buffer.
pub(crate) struct Buffers<'a> {
    pub(crate) first: &'a [u8],
    pub(crate) len: usize,
}

impl Frame for Buffers<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn header<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.first.header(at)
    }
}
