//! All maps of a generation at once: written while no program runs over them yet, and read back.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use aya::maps::lpm_trie::Key;
use ipnet::{Ipv4Net, Ipv6Net};
use smtpgate_common::abi::maps;
use smtpgate_common::ban::LIFTED;
use smtpgate_common::cell::Cell;

use super::error::Error;
use super::live::{Live, entries};
use crate::policy::{Maps, Op};

impl Live {
    /// Fills fresh maps, which hold nothing but zeros.
    pub(super) fn fill(&mut self, from: &Maps) -> Result<(), Error> {
        self.mark()?;
        let head = self.head()?;
        head.observe.store(from.head.observe.load(Relaxed), Relaxed);
        let words = head.classes.iter().zip(&from.head.classes);
        for (to, from) in words.chain(head.filter.iter().zip(&from.head.filter)) {
            to.store(from.load(Relaxed), Relaxed);
        }
        for (to, from) in head.ports.iter().zip(&from.ports) {
            to.store(*from, Relaxed);
        }
        let roots = head
            .root4
            .iter()
            .zip(&from.head.root4)
            .chain(head.root6.iter().zip(&from.head.root6));
        let nodes = self
            .nodes4
            .values()
            .iter()
            .zip(&from.nodes4)
            .chain(self.nodes6.values().iter().zip(&from.nodes6));
        for (to, from) in roots.chain(nodes.flat_map(|(to, from)| to.codes.iter().zip(&from.codes))) {
            to.store(from.load(Relaxed), Relaxed);
        }
        for (to, from) in self.bans4.values().iter().zip(&from.bans4) {
            for (to, from) in to.words.iter().zip(&from.words) {
                to.store(from.load(Relaxed), Relaxed);
            }
        }
        for (to, from) in self.bans6.values().iter().zip(&from.bans6) {
            for (to, from) in to.bans.iter().zip(&from.bans) {
                to.net.store(from.net.load(Relaxed), Relaxed);
                to.state.store(from.state.load(Relaxed), Relaxed);
            }
        }
        for (prefix, cell) in from.trie4.iter() {
            let [a, b, c, d, ..] = prefix.first().to_be_bytes();
            let key = Key::new(prefix.length().into(), [a, b, c, d]);
            self.trie4
                .insert(&key, cell.bits(), 0)
                .map_err(Error::map(maps::TRIE4, "fill it"))?;
        }
        for (prefix, cell) in from.trie6.iter() {
            let key = Key::new(prefix.length().into(), prefix.first().to_be_bytes());
            self.trie6
                .insert(&key, cell.bits(), 0)
                .map_err(Error::map(maps::TRIE6, "fill it"))?;
        }
        for (address, until) in &from.over4 {
            self.apply(&Op::Over4Set(*address, *until))?;
        }
        for (net, state) in &from.over6 {
            self.apply(&Op::Over6Set(*net, *state))?;
        }
        for (address, until) in &from.exact6 {
            self.apply(&Op::Exact6Set(*address, *until))?;
        }
        Ok(())
    }

    /// All that the maps hold. Operations that are done meanwhile may be in it or not.
    pub fn read(&self) -> Result<Maps, Error> {
        let mut to = Maps::empty(&self.sizes());
        let head = self.head()?;
        to.head.observe.store(head.observe.load(Acquire), Relaxed);
        let words = to.head.classes.iter().zip(&head.classes);
        for (to, from) in words.chain(to.head.filter.iter().zip(&head.filter)) {
            to.store(from.load(Acquire), Relaxed);
        }
        for (to, from) in to.ports.iter_mut().zip(&head.ports) {
            *to = from.load(Acquire);
        }
        let roots = to
            .head
            .root4
            .iter()
            .zip(&head.root4)
            .chain(to.head.root6.iter().zip(&head.root6));
        let nodes = to
            .nodes4
            .iter()
            .zip(self.nodes4.values())
            .chain(to.nodes6.iter().zip(self.nodes6.values()));
        for (to, from) in roots.chain(nodes.flat_map(|(to, from)| to.codes.iter().zip(&from.codes))) {
            to.store(from.load(Acquire), Relaxed);
        }
        for (to, from) in to.bans4.iter().zip(self.bans4.values()) {
            for (to, from) in to.words.iter().zip(&from.words) {
                to.store(from.load(Acquire), Relaxed);
            }
        }
        for (to, from) in to.bans6.iter().zip(self.bans6.values()) {
            for (to, from) in to.bans.iter().zip(&from.bans) {
                let (net, state) = (from.net.load(Acquire), from.state.load(Acquire));
                // The place may be given to another network between the two loads.
                let same = from.net.load(Acquire) == net;
                to.net.store(net, Relaxed);
                to.state.store(if same { state } else { LIFTED.into() }, Relaxed);
            }
        }
        let mut ops = entries(self.trie4.iter(), maps::TRIE4, |key, cell| {
            let length = u8::try_from(key.prefix_len()).unwrap_or(u8::MAX);
            Ipv4Net::new(key.data().into(), length)
                .ok()
                .map(|net| Op::Trie4Set(net, Cell::from_bits(cell)))
        })?;
        ops.extend(entries(self.trie6.iter(), maps::TRIE6, |key, cell| {
            let length = u8::try_from(key.prefix_len()).unwrap_or(u8::MAX);
            Ipv6Net::new(key.data().into(), length)
                .ok()
                .map(|net| Op::Trie6Set(net, Cell::from_bits(cell)))
        })?);
        ops.extend(entries(self.over4.iter(), maps::BANS4_OVER, |address, until| {
            Some(Op::Over4Set(address, until))
        })?);
        ops.extend(entries(self.over6.iter(), maps::BANS6_OVER, |net, state| {
            Some(Op::Over6Set(net, state))
        })?);
        ops.extend(entries(self.exact6.iter(), maps::BANS6_EXACT, |address, until| {
            Some(Op::Exact6Set(address, until))
        })?);
        for op in ops.iter().flatten() {
            to.apply(op);
        }
        Ok(to)
    }
}
