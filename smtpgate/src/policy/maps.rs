//! The kernel's maps as values: what they hold, and what one operation changes. The decision code runs over them as it
//! does in the kernel.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use smtpgate_common::{
    abi::{Bucket4, Bucket6, FILTER_WORDS, Head, Node},
    ban,
    cell::Cell,
    tables::{Lookup, Tables},
};

use super::{
    ops::{Op, Sizes},
    prefix::{Side, from_v4, from_v6, left4},
    trie::Trie,
};

/// One generation of maps.
#[derive(Debug)]
pub struct Maps {
    /// `HEAD`.
    pub head: Box<Head>,
    /// `NODES4`.
    pub nodes4: Vec<Node>,
    /// `NODES6`.
    pub nodes6: Vec<Node>,
    /// `TRIE4`.
    pub trie4: Trie,
    /// `TRIE6`.
    pub trie6: Trie,
    /// Ports of `HEAD`.
    pub ports: Box<[u8]>,
    /// `BANS4`.
    pub bans4: Vec<Bucket4>,
    /// `BANS4_OVER`.
    pub over4: BTreeMap<u32, u32>,
    /// `BANS6`.
    pub bans6: Vec<Bucket6>,
    /// `BANS6_OVER`.
    pub over6: BTreeMap<u64, u64>,
    /// `BANS6_EXACT`.
    pub exact6: BTreeMap<[u8; 16], u32>,
    /// The clock that the decision sees, in ticks.
    pub now: u32,
}

impl Maps {
    /// Empty maps: every port is open. Of the sizes those of the tries and hashes are for the kernel only.
    pub fn empty(sizes: &Sizes) -> Self {
        Self {
            head: Box::default(),
            nodes4: std::iter::repeat_with(Node::default)
                .take(sizes.nodes4 as usize)
                .collect(),
            nodes6: std::iter::repeat_with(Node::default)
                .take(sizes.nodes6 as usize)
                .collect(),
            trie4: Trie::default(),
            trie6: Trie::default(),
            ports: vec![0; 65_536].into_boxed_slice(),
            bans4: std::iter::repeat_with(Bucket4::default)
                .take(1 << sizes.bans4_log2)
                .collect(),
            over4: BTreeMap::new(),
            bans6: std::iter::repeat_with(Bucket6::default)
                .take(1 << sizes.bans6_log2)
                .collect(),
            over6: BTreeMap::new(),
            exact6: BTreeMap::new(),
            now: 0,
        }
    }

    /// Takes one operation in. What it names must exist; an operation made for maps of other sizes is a defect, and is
    /// left out.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Trie4Set(net, cell) => self.trie4.insert(from_v4(*net), *cell),
            Op::Trie4Remove(net) => self.trie4.remove(from_v4(*net)),
            Op::Trie6Set(net, cell) => self.trie6.insert(from_v6(*net), *cell),
            Op::Trie6Remove(net) => self.trie6.remove(from_v6(*net)),
            Op::ClassSet(id, cell) => self.head.classes[usize::from(*id)].store(cell.bits(), Relaxed),
            Op::Node4Fill(node, codes) => fill(&self.nodes4, *node, codes),
            Op::Node6Fill(node, codes) => fill(&self.nodes6, *node, codes),
            Op::Node4Set { node, byte, code } => set(&self.nodes4, *node, *byte, *code),
            Op::Node6Set { node, byte, code } => set(&self.nodes6, *node, *byte, *code),
            Op::Root4Set(index, code) => self.head.root4[usize::from(*index)].store(*code, Relaxed),
            Op::Root6Set(index, code) => self.head.root6[usize::from(*index)].store(*code, Relaxed),
            Op::Ban4Set { bucket, slot, word } => {
                if let Some(place) = self
                    .bans4
                    .get(*bucket as usize)
                    .and_then(|b| b.words.get(usize::from(*slot)))
                {
                    place.store(*word, Relaxed);
                }
            }
            Op::Over4Set(address, until) => {
                self.over4.insert(*address, *until);
            }
            Op::Over4Remove(address) => {
                self.over4.remove(address);
            }
            Op::Ban6Set {
                bucket,
                slot,
                net,
                state,
            } => {
                if let Some(place) = self
                    .bans6
                    .get(*bucket as usize)
                    .and_then(|b| b.bans.get(usize::from(*slot)))
                {
                    place.net.store(*net, Relaxed);
                    place.state.store(*state, Relaxed);
                }
            }
            Op::Over6Set(net, state) => {
                self.over6.insert(*net, *state);
            }
            Op::Over6Remove(net) => {
                self.over6.remove(net);
            }
            Op::Exact6Set(address, until) => {
                self.exact6.insert(*address, *until);
            }
            Op::Exact6Remove(address) => {
                self.exact6.remove(address);
            }
            Op::FilterSet(word, bits) => self.head.filter[usize::from(*word) % FILTER_WORDS].store(*bits, Relaxed),
            Op::Observe(mask) => self.head.observe.store(*mask, Relaxed),
        }
    }

    /// Longest match in the trie of a family.
    pub fn trie(&self, side: Side) -> &Trie {
        match side {
            Side::V4 => &self.trie4,
            Side::V6 => &self.trie6,
        }
    }

    pub(super) fn root(&self, side: Side) -> &[AtomicU16; 65_536] {
        match side {
            Side::V4 => &self.head.root4,
            Side::V6 => &self.head.root6,
        }
    }

    pub(super) fn nodes(&self, side: Side) -> &[Node] {
        match side {
            Side::V4 => &self.nodes4,
            Side::V6 => &self.nodes6,
        }
    }

    /// Bucket number of an IPv4 address.
    pub(super) fn number4(&self, address: u32) -> u32 {
        ban::bucket4(address, 32 - self.bans4.len().ilog2())
    }

    /// Bucket number of a /64.
    pub(super) fn number6(&self, net: u64) -> u32 {
        ban::bucket6(net, 64 - self.bans6.len().ilog2())
    }
}

fn fill(nodes: &[Node], node: u32, codes: &[u16; 256]) {
    if let Some(node) = nodes.get(node as usize) {
        for (place, code) in node.codes.iter().zip(codes) {
            place.store(*code, Relaxed);
        }
    }
}

fn set(nodes: &[Node], node: u32, byte: u8, code: u16) {
    if let Some(node) = nodes.get(node as usize) {
        node.codes[usize::from(byte)].store(code, Relaxed);
    }
}

fn code(nodes: &[Node], node: u32, byte: u8) -> Option<u16> {
    Some(nodes.get(node as usize)?.codes[usize::from(byte)].load(Relaxed))
}

impl Tables for Maps {
    type Lookup<'a> = &'a Self;

    fn lookup(&self) -> Option<&Self> {
        Some(self)
    }
}

impl Lookup for &Maps {
    fn gate(&self, port: u16) -> Option<u8> {
        self.ports.get(usize::from(port))?.checked_sub(1)
    }

    fn observe(&self) -> u32 {
        self.head.observe.load(Relaxed)
    }

    fn class(&self, id: u8) -> Cell {
        Cell::from_bits(self.head.classes[usize::from(id)].load(Relaxed))
    }

    fn root4(&self, index: u16) -> u16 {
        self.head.root4[usize::from(index)].load(Relaxed)
    }

    fn root6(&self, index: u16) -> u16 {
        self.head.root6[usize::from(index)].load(Relaxed)
    }

    fn node4(&self, node: u32, byte: u8) -> Option<u16> {
        code(&self.nodes4, node, byte)
    }

    fn node6(&self, node: u32, byte: u8) -> Option<u16> {
        code(&self.nodes6, node, byte)
    }

    fn trie4(&self, address: [u8; 4]) -> Option<Cell> {
        self.trie4.find(left4(u32::from_be_bytes(address)))
    }

    fn trie6(&self, address: [u8; 16]) -> Option<Cell> {
        self.trie6.find(u128::from_be_bytes(address))
    }

    fn bucket4(&self, address: u32) -> Option<&Bucket4> {
        self.bans4.get(self.number4(address) as usize)
    }

    fn over4(&self, address: u32) -> Option<u32> {
        self.over4.get(&address).copied()
    }

    fn filter(&self, word: u16) -> u64 {
        self.head.filter[usize::from(word) % FILTER_WORDS].load(Relaxed)
    }

    fn bucket6(&self, net: u64) -> Option<&Bucket6> {
        self.bans6.get(self.number6(net) as usize)
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
