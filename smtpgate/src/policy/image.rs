//! The gate table as the kernel's maps hold it, and everything that changes it.
//!
//! Methods that return operations have taken them into the image already: the caller owes them to the kernel, one after
//! the other. When the kernel refuses one, image and kernel are no longer alike, and only a new generation helps. When a
//! method fails, nothing has changed.

use thiserror::Error;

use super::{
    bans::{Bans, Writer},
    front::{Classes, Pool},
    maps::Maps,
    ops::{Op, Sizes},
    sizes::DoesNotFit,
    table::{Ends, GateTable, Single, ban_end},
};

/// One generation of maps, and what they do not tell.
#[derive(Debug)]
pub struct Image {
    pub(super) maps: Maps,
    pub(super) sizes: Sizes,
    pub(super) bans: Bans,
    pub(super) pool4: Pool,
    pub(super) pool6: Pool,
    pub(super) classes: Classes,
}

/// Why a source was not banned.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotBanned {
    /// It is in `trust`.
    #[error("it is trusted")]
    Trusted,
    /// A part of the /64 is in `trust`: a compiled table can hold that.
    #[error("a part of it is trusted")]
    PartTrusted,
    /// New maps are needed.
    #[error(transparent)]
    Full(#[from] DoesNotFit),
}

/// Entries of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// `TRIE4`.
    pub trie4: usize,
    /// `TRIE6`.
    pub trie6: usize,
    /// `NODES4`.
    pub nodes4: usize,
    /// `NODES6`.
    pub nodes6: usize,
    /// Single sources, banned and listed, of both families.
    pub singles: usize,
    /// `BANS4_OVER`.
    pub over4: usize,
    /// `BANS6_OVER`.
    pub over6: usize,
    /// `BANS6_EXACT`.
    pub exact6: usize,
}

impl Image {
    /// Lays a table out in maps of these sizes ([`Sizes::for_table`]). What the front tables have no room for is
    /// answered by the tries.
    pub fn build(table: &GateTable, sizes: Sizes) -> Result<Self, DoesNotFit> {
        let mut image = Self {
            maps: Maps::empty(&sizes),
            sizes,
            bans: Bans::default(),
            pool4: Pool::new(sizes.nodes4),
            pool6: Pool::new(sizes.nodes6),
            classes: Classes::new(),
        };
        image.maps.ports.clone_from(&table.ports);
        let change = image.change(table);
        image.check_tries(&change)?;
        image.take(change, table)?;
        Ok(image)
    }

    /// As the kernel has it.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Sizes of the maps.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// How full the maps are.
    pub fn fill(&self) -> Fill {
        Fill {
            trie4: self.maps.trie4.len(),
            trie6: self.maps.trie6.len(),
            nodes4: self.pool4.used() as usize,
            nodes6: self.pool6.used() as usize,
            singles: self.bans.len(),
            over4: self.maps.over4.len(),
            over6: self.maps.over6.len(),
            exact6: self.maps.exact6.len(),
        }
    }

    /// Sets the clock, in ticks since boot; not later than the kernel's. Places of bans that are over are given away.
    pub fn set_now(&mut self, now: u32) {
        self.maps.now = now;
    }

    /// Why and until when a single source is refused.
    pub fn single(&self, single: Single) -> Option<Ends> {
        self.bans.get(single)
    }

    /// Bans a single source until a time in ticks, sooner or later than before; a time that is over lifts the ban. A
    /// listed source stays listed.
    pub fn ban(&mut self, single: Single, until: u32) -> Result<Vec<Op>, NotBanned> {
        let (side, prefix) = single.prefix();
        let trie = self.maps.trie(side);
        if trie.around(prefix).is_some_and(|cell| cell.trusted()) {
            return Err(NotBanned::Trusted);
        }
        if trie.within(prefix).any(|(_, cell)| cell.trusted()) {
            return Err(NotBanned::PartTrusted);
        }
        let listed = self.bans.get(single).is_some_and(|ends| ends.listed);
        let until = ban_end(until);
        let mut writer = writer(&mut self.maps, &self.sizes);
        self.bans.set(&mut writer, single, Ends { until, listed })?;
        Ok(writer.ops)
    }

    /// Lifts a ban; a listed source stays listed.
    pub fn unban(&mut self, single: Single) -> Vec<Op> {
        let mut writer = writer(&mut self.maps, &self.sizes);
        match self.bans.get(single) {
            // Listed has a place already.
            Some(Ends { listed: true, .. }) => {
                let _placed = self.bans.set(&mut writer, single, Ends { until: 0, listed: true });
            }
            Some(_) => self.bans.remove(&mut writer, single),
            None => {}
        }
        writer.ops
    }

    /// Takes out at most `limit` bans that are over. They have no effect any more; their places are wanted.
    pub fn sweep(&mut self, limit: usize) -> Vec<Op> {
        let mut writer = writer(&mut self.maps, &self.sizes);
        self.bans.sweep(&mut writer, limit);
        writer.ops
    }
}

pub(super) fn writer<'a>(maps: &'a mut Maps, sizes: &'a Sizes) -> Writer<'a> {
    Writer {
        maps,
        sizes,
        ops: Vec::new(),
    }
}
