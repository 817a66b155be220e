//! Single changes of the kernel's maps. Each is one atomic act for any reader of the maps.

use ipnet::{Ipv4Net, Ipv6Net};
use smtpgate_common::cell::Cell;

/// One change. Nodes, buckets and slots are numbers in the maps of `smtpgate_common::abi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Insert or replace an entry of `TRIE4`.
    Trie4Set(Ipv4Net, Cell),
    /// Remove an entry of `TRIE4`.
    Trie4Remove(Ipv4Net),
    /// Insert or replace an entry of `TRIE6`.
    Trie6Set(Ipv6Net, Cell),
    /// Remove an entry of `TRIE6`.
    Trie6Remove(Ipv6Net),
    /// Give a class number, which no code names, its cell.
    ClassSet(u8, Cell),
    /// Fill a node that no code names: the only op of many stores, none of which a reader can see.
    Node4Fill(u32, Box<[u16; 256]>),
    /// As [`Op::Node4Fill`].
    Node6Fill(u32, Box<[u16; 256]>),
    /// Change one code of a node in use.
    Node4Set {
        /// Number in `NODES4`.
        node: u32,
        /// Address byte.
        byte: u8,
        /// New code.
        code: u16,
    },
    /// As [`Op::Node4Set`].
    Node6Set {
        /// Number in `NODES6`.
        node: u32,
        /// Address byte.
        byte: u8,
        /// New code.
        code: u16,
    },
    /// Change one code of the root: first two address bytes, new code.
    Root4Set(u16, u16),
    /// As [`Op::Root4Set`].
    Root6Set(u16, u16),
    /// Write one word of a bucket of `BANS4`.
    Ban4Set {
        /// Number in `BANS4`.
        bucket: u32,
        /// Below 8.
        slot: u8,
        /// [`smtpgate_common::ban::word4`], or 0.
        word: u64,
    },
    /// Insert or replace in `BANS4_OVER`: address (host order), end.
    Over4Set(u32, u32),
    /// Remove from `BANS4_OVER`.
    Over4Remove(u32),
    /// Give a place in a bucket of `BANS6` to a network: state to LIFTED, network, state; or change the state alone.
    Ban6Set {
        /// Number in `BANS6`.
        bucket: u32,
        /// Below 4.
        slot: u8,
        /// First eight address bytes as a big-endian number.
        net: u64,
        /// [`smtpgate_common::abi::Ban6::state`].
        state: u64,
    },
    /// Insert or replace in `BANS6_OVER`: network, state.
    Over6Set(u64, u64),
    /// Remove from `BANS6_OVER`.
    Over6Remove(u64),
    /// Insert or replace in `BANS6_EXACT`: address (network order), end.
    Exact6Set([u8; 16], u32),
    /// Remove from `BANS6_EXACT`.
    Exact6Remove([u8; 16]),
    /// Write one word of the filter before the ban tables ([`smtpgate_common::abi::Head::filter`]).
    FilterSet(u16, u64),
    /// Gates that only observe ([`smtpgate_common::abi::Head::observe`]).
    Observe(u32),
}

/// Sizes of the maps, in entries. Fixed when they are made; a table that does not fit gets a new generation of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// `TRIE4` entries.
    pub trie4: u32,
    /// `TRIE6` entries.
    pub trie6: u32,
    /// `NODES4` entries; at least 1.
    pub nodes4: u32,
    /// `NODES6` entries; at least 1.
    pub nodes6: u32,
    /// log2 of the number of buckets in `BANS4`; 1 to 31.
    pub bans4_log2: u32,
    /// `BANS4_OVER` entries.
    pub over4: u32,
    /// log2 of the number of buckets in `BANS6`; 1 to 31.
    pub bans6_log2: u32,
    /// `BANS6_OVER` entries.
    pub over6: u32,
    /// `BANS6_EXACT` entries.
    pub exact6: u32,
}
