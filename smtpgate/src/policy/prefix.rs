//! A prefix of either family as a left-aligned number, so that everything below works the same for both.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smtpgate_common::{
    cell::Cell,
    front::{STEPS4, STEPS6},
};

use super::ops::Op;

/// A prefix: its bits from the top, the rest zero. Sorted by first address, then the wider before the narrower, so that
/// a prefix stands right before all that lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    bits: u128,
    len: u8,
}

impl Prefix {
    /// The prefix of length `len` (at most 128) that holds the left-aligned address `bits`.
    pub const fn new(bits: u128, len: u8) -> Self {
        Self {
            bits: bits & mask(len),
            len,
        }
    }

    /// Length in bits.
    pub const fn length(self) -> u8 {
        self.len
    }

    /// First address, left-aligned.
    pub const fn first(self) -> u128 {
        self.bits
    }

    /// Last address, left-aligned; for IPv4 the 96 bits below the address are ones.
    pub const fn last(self) -> u128 {
        self.bits | !mask(self.len)
    }

    /// Whether the left-aligned address lies in it.
    pub const fn contains(self, address: u128) -> bool {
        address & mask(self.len) == self.bits
    }

    /// Whether `other` is this prefix or lies in it.
    pub const fn covers(self, other: Self) -> bool {
        self.len <= other.len && self.contains(other.bits)
    }

    /// The prefix one bit shorter; `/0` is its own parent.
    pub(super) const fn parent(self) -> Self {
        Self::new(self.bits, self.len.saturating_sub(1))
    }
}

const fn mask(len: u8) -> u128 {
    match len {
        0 => 0,
        len => u128::MAX << (128 - len),
    }
}

/// A side of the gate table: all that differs between the families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Side {
    /// Node steps in the front table.
    pub(super) const fn steps(self) -> usize {
        match self {
            Self::V4 => STEPS4,
            Self::V6 => STEPS6,
        }
    }

    pub(super) fn trie_set(self, prefix: Prefix, cell: Cell) -> Op {
        match self {
            Self::V4 => Op::Trie4Set(to_v4(prefix), cell),
            Self::V6 => Op::Trie6Set(to_v6(prefix), cell),
        }
    }

    pub(super) fn trie_remove(self, prefix: Prefix) -> Op {
        match self {
            Self::V4 => Op::Trie4Remove(to_v4(prefix)),
            Self::V6 => Op::Trie6Remove(to_v6(prefix)),
        }
    }

    pub(super) fn node_fill(self, node: u32, codes: Box<[u16; 256]>) -> Op {
        match self {
            Self::V4 => Op::Node4Fill(node, codes),
            Self::V6 => Op::Node6Fill(node, codes),
        }
    }

    pub(super) fn node_set(self, node: u32, byte: u8, code: u16) -> Op {
        match self {
            Self::V4 => Op::Node4Set { node, byte, code },
            Self::V6 => Op::Node6Set { node, byte, code },
        }
    }

    pub(super) fn root_set(self, index: u16, code: u16) -> Op {
        match self {
            Self::V4 => Op::Root4Set(index, code),
            Self::V6 => Op::Root6Set(index, code),
        }
    }
}

/// Host bits are cut off.
pub(super) fn from_v4(net: Ipv4Net) -> Prefix {
    Prefix::new(left4(net.addr().to_bits()), net.prefix_len())
}

/// Host bits are cut off.
pub(super) fn from_v6(net: Ipv6Net) -> Prefix {
    Prefix::new(net.addr().to_bits(), net.prefix_len())
}

pub(super) const fn left4(address: u32) -> u128 {
    (address as u128) << 96
}

#[allow(clippy::cast_possible_truncation, reason = "shifted to 32 bits")]
pub(super) fn to_v4(prefix: Prefix) -> Ipv4Net {
    Ipv4Net::new_assert(((prefix.bits >> 96) as u32).into(), prefix.len.min(32))
}

pub(super) fn to_v6(prefix: Prefix) -> Ipv6Net {
    Ipv6Net::new_assert(prefix.bits.into(), prefix.len.min(128))
}

/// The family and prefix that are meant: `::ffff:192.0.2.1` and prefixes of such addresses are IPv4 (RFC 4291 2.5.5.2),
/// since an admin who copied one from a log of a dual-stack socket means that host.
pub(super) fn meant(net: IpNet) -> (Side, Prefix) {
    match net {
        IpNet::V4(net) => (Side::V4, from_v4(net)),
        IpNet::V6(net) => match (net.addr().to_ipv4_mapped(), net.prefix_len().checked_sub(96)) {
            (Some(address), Some(len)) => (Side::V4, Prefix::new(left4(address.to_bits()), len)),
            _ => (Side::V6, from_v6(net)),
        },
    }
}
