//! How the decision sees the gate table, wherever it lies.

use crate::{
    abi::{Bucket4, Bucket6},
    cell::Cell,
};

/// The gate table, as long as nothing of it was needed.
pub trait Tables {
    /// What answers for sources.
    type Lookup<'a>: Lookup
    where
        Self: 'a;

    /// The table. `None` cannot happen in a loaded program; the verifier wants it asked.
    fn lookup(&self) -> Option<Self::Lookup<'_>>;
}

/// The gate table. Codes and cells as in [`crate::abi`].
pub trait Lookup {
    /// Gate number of a TCP destination port (host order), when it is gated.
    fn gate(&self, port: u16) -> Option<u8>;
    /// [`crate::abi::Head::observe`].
    fn observe(&self) -> u32;
    /// The class a front code below [`crate::front::ASK_TRIE`] names.
    fn class(&self, id: u8) -> Cell;
    /// Code of the IPv4 front table's root.
    fn root4(&self, index: u16) -> u16;
    /// Code of the IPv6 front table's root.
    fn root6(&self, index: u16) -> u16;
    /// Code in an IPv4 front node.
    fn node4(&self, node: u32, byte: u8) -> Option<u16>;
    /// Code in an IPv6 front node.
    fn node6(&self, node: u32, byte: u8) -> Option<u16>;
    /// Longest match, IPv4.
    fn trie4(&self, address: [u8; 4]) -> Option<Cell>;
    /// Longest match, IPv6.
    fn trie6(&self, address: [u8; 16]) -> Option<Cell>;
    /// The line in which an IPv4 address would stand if it were banned.
    fn bucket4(&self, address: u32) -> Option<&Bucket4>;
    /// End of an IPv4 ban that found its bucket full.
    fn over4(&self, address: u32) -> Option<u32>;
    /// A word of the filter before the ban tables ([`crate::abi::Head::filter`]).
    fn filter(&self, word: u16) -> u64;
    /// The line in which a /64 would stand if it, or an address in it, were banned.
    fn bucket6(&self, net: u64) -> Option<&Bucket6>;
    /// State of a /64 that found its bucket full ([`crate::abi::Ban6::state`]).
    fn over6(&self, net: u64) -> Option<u64>;
    /// End of the ban of a single IPv6 address.
    fn exact6(&self, address: [u8; 16]) -> Option<u32>;
    /// Ticks since boot ([`crate::ban::ticks`]).
    fn now(&self) -> u32;
}
