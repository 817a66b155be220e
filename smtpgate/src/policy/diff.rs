//! From the image to the next table, on the live maps: a list of operations after each single one of which every source
//! has its old or its new verdict at every gate.
//!
//! Why that holds, for one source with old cell and single entry (c, s) and new ones (c', s'):
//!
//! * **Observe.** First a gate that only observes in either policy observes; last the new mask. Between them a source
//!   passes such a gate, which it did or will.
//! * **Singles and cells.** First entries come and ends move away, then cells change, then entries go and ends come
//!   near. Refusal grows with s. So while c and then c' stand beside an s that is no weaker than either, a source that
//!   both policies refuse is refused; and one that neither refuses meets no live s at all, since no table has an entry
//!   for a trusted source.
//! * **Trie.** First the new table's entries are set, longest first; then those of the old table alone go, shortest
//!   first. Let a and b be a source's longest matches in old and new. While entries of length k and more are set, its
//!   longest match is b when b is set and no shorter than a (new), else a (old): no entry between them can match. While
//!   entries go: b when b is no shorter than a (new); else a (old) until a goes, and all that was between a and b has
//!   gone before, so that b answers (new).
//! * **Front.** Where it asks the trie, the source is where the trie is: old, new, and in the end new. Elsewhere it still
//!   has its old answer. Then new nodes are filled, which no code names; then each store turns the sources below one
//!   code, all of which are at their old or new answer, to the new one: a class, the trie (which is new by now), or a
//!   node made for the new table. Classes get their cells before codes name them, and are never given another.
//!
//! A table whose gates or ports differ, or that finds no room, needs a new generation of maps.

use std::cmp::Ordering;

use smtpgate_common::{cell::Cell, front::NODES_MAX};
use thiserror::Error;

use super::{
    bans::Bans,
    front::{self, Change, Classes, regions},
    image::{Image, writer},
    ops::Op,
    prefix::{Prefix, Side},
    sizes::{DoesNotFit, within},
    table::{Ends, GateTable, Single},
};

/// Why the live maps cannot be changed into a table.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NeedsGeneration {
    /// Ports, or the numbers of gates, changed.
    #[error("the gates' ports changed")]
    Gates,
    /// A map is too small.
    #[error(transparent)]
    Full(#[from] DoesNotFit),
    /// All class numbers were given to cells, and some of these are no longer in use.
    #[error("the front tables have no class number left")]
    Classes,
    /// The front tables want more nodes.
    #[error("the front tables have no node left")]
    Nodes,
}

type Singles = Vec<(Single, Ends)>;

/// All that is to be done, found without touching anything.
pub(super) struct Changes {
    trie4: TrieChange,
    trie6: TrieChange,
    front4: Change,
    front6: Change,
    classes: Classes,
    stronger: Singles,
    weaker: Singles,
}

impl Image {
    /// Turns the image into a table, and says by which operations. They are proportional to what differs.
    pub fn plan(&mut self, table: &GateTable) -> Result<Vec<Op>, NeedsGeneration> {
        if self.maps.ports != table.ports {
            return Err(NeedsGeneration::Gates);
        }
        let changes = self.change(table);
        self.check_tries(&changes)?;
        let new = changes.stronger.iter().map(|(single, _)| single);
        Bans::check(&self.maps, &self.sizes, new)?;
        if changes.classes.missed() && front::answers(table) <= usize::from(smtpgate_common::front::ASK_TRIE) {
            return Err(NeedsGeneration::Classes);
        }
        for (side, change) in [(Side::V4, &changes.front4), (Side::V6, &changes.front6)] {
            let nodes = self.maps.nodes(side).len() as u64;
            let wanted: u64 = regions(side, table.cells(side))
                .iter()
                .map(|count| u64::from(*count))
                .sum();
            if nodes < u64::from(NODES_MAX) && (change.starved || wanted > nodes) {
                return Err(NeedsGeneration::Nodes);
            }
        }
        Ok(self.take(changes, table)?)
    }

    pub(super) fn change(&self, table: &GateTable) -> Changes {
        let trie4 = TrieChange::find(self.maps.trie4.iter(), &table.cells4);
        let trie6 = TrieChange::find(self.maps.trie6.iter(), &table.cells6);
        let mut classes = self.classes.clone();
        let front4 = front::change(
            Side::V4,
            &self.maps,
            &self.pool4,
            &mut classes,
            &table.cells4,
            &trie4.prefixes(),
        );
        let front6 = front::change(
            Side::V6,
            &self.maps,
            &self.pool6,
            &mut classes,
            &table.cells6,
            &trie6.prefixes(),
        );
        let (stronger, weaker) = self.singles(table);
        Changes {
            trie4,
            trie6,
            front4,
            front6,
            classes,
            stronger,
            weaker,
        }
    }

    /// Whether the tries have room, also while old and new entries are both there.
    pub(super) fn check_tries(&self, changes: &Changes) -> Result<(), DoesNotFit> {
        let both4 = self.maps.trie4.len() + changes.trie4.new;
        let both6 = self.maps.trie6.len() + changes.trie6.new;
        within("IPv4 prefixes, old and new", both4, self.sizes.trie4, "limits.headroom")?;
        within("IPv6 prefixes, old and new", both6, self.sizes.trie6, "limits.headroom")
    }

    /// Does it. Fails only where [`Bans::check`] does, and then half way.
    pub(super) fn take(&mut self, changes: Changes, table: &GateTable) -> Result<Vec<Op>, DoesNotFit> {
        let mut writer = writer(&mut self.maps, &self.sizes);
        let mut observe = writer.maps.head.observe.load(std::sync::atomic::Ordering::Relaxed);
        if observe | table.observe != observe {
            observe |= table.observe;
            writer.write(Op::Observe(observe));
        }
        self.bans.expect(changes.stronger.len());
        for (single, ends) in changes.stronger {
            self.bans.set(&mut writer, single, ends)?;
        }
        changes.front4.commit(&mut self.pool4);
        changes.front6.commit(&mut self.pool6);
        self.classes = changes.classes;
        let tries = [changes.trie4.ops(Side::V4), changes.trie6.ops(Side::V6)];
        let fronts = [changes.front4, changes.front6];
        let (fills, stores): (Vec<_>, Vec<_>) = fronts.into_iter().map(|front| (front.fills, front.stores)).unzip();
        let classes = std::mem::take(&mut self.classes.ops);
        for op in tries.into_iter().flatten().chain(classes) {
            writer.write(op);
        }
        for op in fills.into_iter().chain(stores).flatten() {
            writer.write(op);
        }
        for (single, ends) in changes.weaker {
            self.bans.set(&mut writer, single, ends)?;
        }
        if observe != table.observe {
            writer.write(Op::Observe(table.observe));
        }
        Ok(writer.ops)
    }

    /// Single sources that are refused more and those that are refused less than before.
    fn singles(&self, table: &GateTable) -> (Singles, Singles) {
        let now = self.maps.now;
        let mut stronger = Vec::new();
        let mut weaker = Vec::new();
        let mut kept = 0;
        for (single, ends) in &table.singles {
            let old = self.bans.get(*single);
            let over = !ends.listed && ends.until <= now;
            kept += usize::from(old.is_some());
            if old == Some(*ends) || over && old.is_none() {
                continue;
            }
            if ends.end() > old.unwrap_or_default().end() {
                stronger.push((*single, *ends));
            } else {
                weaker.push((*single, *ends));
            }
        }
        if kept < self.bans.len() {
            let gone = |single: &Single| {
                table
                    .singles
                    .binary_search_by_key(single, |(single, _)| *single)
                    .is_err()
            };
            let mut gone: Vec<_> = self.bans.iter().map(|(single, _)| single).filter(gone).collect();
            gone.sort_unstable();
            weaker.extend(gone.into_iter().map(|single| (single, Ends::default())));
        }
        (stronger, weaker)
    }
}

/// Entries of one trie that are set and that go; sorted.
#[derive(Default)]
struct TrieChange {
    set: Vec<(Prefix, Cell)>,
    gone: Vec<Prefix>,
    /// How many of `set` are not in the old table.
    new: usize,
}

impl TrieChange {
    /// Both sorted.
    fn find(old: impl Iterator<Item = (Prefix, Cell)>, new: &[(Prefix, Cell)]) -> Self {
        let mut change = Self::default();
        let mut old = old.peekable();
        for (prefix, cell) in new {
            while let Some((gone, _)) = old.next_if(|(old, _)| old < prefix) {
                change.gone.push(gone);
            }
            match old.next_if(|(old, _)| old == prefix) {
                Some((_, same)) if same == *cell => {}
                Some(_) => change.set.push((*prefix, *cell)),
                None => {
                    change.new += 1;
                    change.set.push((*prefix, *cell));
                }
            }
        }
        change.gone.extend(old.map(|(prefix, _)| prefix));
        change
    }

    /// All that differ, sorted.
    fn prefixes(&self) -> Vec<Prefix> {
        let mut prefixes: Vec<_> = self
            .set
            .iter()
            .map(|(prefix, _)| *prefix)
            .chain(self.gone.iter().copied())
            .collect();
        prefixes.sort_unstable();
        prefixes
    }

    fn ops(mut self, side: Side) -> Vec<Op> {
        let longest = |a: &Prefix, b: &Prefix| -> Ordering { b.length().cmp(&a.length()) };
        self.set.sort_by(|(a, _), (b, _)| longest(a, b));
        self.gone.sort_by(|a, b| longest(b, a));
        let set = self.set.into_iter().map(|(prefix, cell)| side.trie_set(prefix, cell));
        set.chain(self.gone.into_iter().map(|prefix| side.trie_remove(prefix)))
            .collect()
    }
}
