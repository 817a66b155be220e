//! What an LPM trie of the kernel holds.

use std::collections::BTreeMap;

use smtpgate_common::cell::Cell;

use super::prefix::Prefix;

/// Prefixes with whole answers, longest match wins. Addresses are left-aligned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trie(BTreeMap<Prefix, Cell>);

impl Trie {
    /// Longest match.
    pub fn find(&self, address: u128) -> Option<Cell> {
        self.around(Prefix::new(address, 128))
    }

    /// The longest entry that holds all of `inner`.
    pub fn around(&self, inner: Prefix) -> Option<Cell> {
        let mut last = inner;
        loop {
            let (prefix, cell) = self.0.range(..=last).next_back()?;
            if prefix.covers(inner) {
                return Some(*cell);
            }
            // What we look for stands before all its own prefixes, so it holds `prefix` too.
            let length = shared(prefix.first(), inner.first()).min(prefix.length());
            last = Prefix::new(inner.first(), length);
        }
    }

    /// Those that lie in `prefix`, itself included.
    pub fn within(&self, prefix: Prefix) -> impl Iterator<Item = (Prefix, Cell)> {
        self.0
            .range(prefix..=Prefix::new(prefix.last(), 128))
            .map(|(prefix, cell)| (*prefix, *cell))
    }

    /// All, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, Cell)> {
        self.0.iter().map(|(prefix, cell)| (*prefix, *cell))
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, prefix: Prefix, cell: Cell) {
        self.0.insert(prefix, cell);
    }

    pub(super) fn remove(&mut self, prefix: Prefix) {
        self.0.remove(&prefix);
    }
}

/// Bits that two addresses have in common from the top.
#[allow(clippy::cast_possible_truncation, reason = "at most 128")]
const fn shared(a: u128, b: u128) -> u8 {
    (a ^ b).leading_zeros() as u8
}
