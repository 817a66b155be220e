//! The maps of one generation as they lie in the kernel: written by single operations, read by the decision code.
//!
//! What the operations promise (each source has its old or its new verdict after every one) rests on two things here:
//! every store into shared memory is one atomic store that the kernel's program sees whole, and stores are released in
//! the order in which the operations come.

use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Release};

use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, Map, MapData, MapError};
use smtpgate_common::abi::{Bucket4, Bucket6, FILTER_WORDS, Head, LAYOUT, Node, maps};
use smtpgate_common::ban::LIFTED;

use super::error::Error;
use super::shared::Shared;
use crate::policy::{Op, Sizes};

/// Handles on the maps. Two may be open at once, in one process or two: every operation is a whole act of its own.
pub struct Live {
    pub(super) head: Shared<Head>,
    pub(super) nodes4: Shared<Node>,
    pub(super) nodes6: Shared<Node>,
    pub(super) bans4: Shared<Bucket4>,
    pub(super) bans6: Shared<Bucket6>,
    pub(super) trie4: LpmTrie<MapData, [u8; 4], u64>,
    pub(super) trie6: LpmTrie<MapData, [u8; 16], u64>,
    pub(super) over4: HashMap<MapData, u32, u32>,
    pub(super) over6: HashMap<MapData, u64, u64>,
    pub(super) exact6: HashMap<MapData, [u8; 16], u32>,
}

/// Opens the map `name` pinned in `folder`.
pub(super) fn pinned(folder: &Path, name: &'static str) -> Result<MapData, Error> {
    MapData::from_pin(folder.join(name)).map_err(Error::map(name, "open its pin"))
}

fn typed<T: TryFrom<Map, Error = MapError>>(folder: &Path, name: &'static str) -> Result<T, Error> {
    let map = pinned(folder, name)?;
    Map::from_map_data(map)
        .and_then(T::try_from)
        .map_err(Error::map(name, "use it"))
}

impl Live {
    /// Opens the maps pinned in `folder`. Their layout is [`LAYOUT`], as the folder's name says.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            head: Shared::map(&pinned(folder, maps::HEAD)?, maps::HEAD)?,
            nodes4: Shared::map(&pinned(folder, maps::NODES4)?, maps::NODES4)?,
            nodes6: Shared::map(&pinned(folder, maps::NODES6)?, maps::NODES6)?,
            bans4: Shared::map(&pinned(folder, maps::BANS4)?, maps::BANS4)?,
            bans6: Shared::map(&pinned(folder, maps::BANS6)?, maps::BANS6)?,
            trie4: typed(folder, maps::TRIE4)?,
            trie6: typed(folder, maps::TRIE6)?,
            over4: typed(folder, maps::BANS4_OVER)?,
            over6: typed(folder, maps::BANS6_OVER)?,
            exact6: typed(folder, maps::BANS6_EXACT)?,
        })
    }

    /// Sizes of the arrays; those of tries and hashes, which only their making needs, are 0.
    pub(super) fn sizes(&self) -> Sizes {
        let entries = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let log2 = |len: usize| len.checked_ilog2().unwrap_or(0);
        Sizes {
            trie4: 0,
            trie6: 0,
            nodes4: entries(self.nodes4.values().len()),
            nodes6: entries(self.nodes6.values().len()),
            bans4_log2: log2(self.bans4.values().len()),
            over4: 0,
            bans6_log2: log2(self.bans6.values().len()),
            over6: 0,
            exact6: 0,
        }
    }

    pub(super) fn head(&self) -> Result<&Head, Error> {
        self.head.at(0, maps::HEAD)
    }

    /// Marks fresh maps with the version of their shapes.
    pub(super) fn mark(&self) -> Result<(), Error> {
        self.head()?.layout.store(LAYOUT, Release);
        Ok(())
    }

    /// Has one operation done. Done twice it changes nothing more, so a repair need not know what was done already.
    pub fn apply(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::Trie4Set(net, cell) => {
                let key = Key::new(net.prefix_len().into(), net.network().octets());
                self.trie4
                    .insert(&key, cell.bits(), 0)
                    .map_err(Error::map(maps::TRIE4, "insert a prefix"))
            }
            Op::Trie4Remove(net) => {
                let key = Key::new(net.prefix_len().into(), net.network().octets());
                removed(self.trie4.remove(&key), maps::TRIE4)
            }
            Op::Trie6Set(net, cell) => {
                let key = Key::new(net.prefix_len().into(), net.network().octets());
                self.trie6
                    .insert(&key, cell.bits(), 0)
                    .map_err(Error::map(maps::TRIE6, "insert a prefix"))
            }
            Op::Trie6Remove(net) => {
                let key = Key::new(net.prefix_len().into(), net.network().octets());
                removed(self.trie6.remove(&key), maps::TRIE6)
            }
            Op::ClassSet(id, cell) => {
                self.head()?.classes[usize::from(*id)].store(cell.bits(), Release);
                Ok(())
            }
            Op::Node4Fill(node, codes) => fill(self.nodes4.at(*node, maps::NODES4)?, codes),
            Op::Node6Fill(node, codes) => fill(self.nodes6.at(*node, maps::NODES6)?, codes),
            Op::Node4Set { node, byte, code } => {
                self.nodes4.at(*node, maps::NODES4)?.codes[usize::from(*byte)].store(*code, Release);
                Ok(())
            }
            Op::Node6Set { node, byte, code } => {
                self.nodes6.at(*node, maps::NODES6)?.codes[usize::from(*byte)].store(*code, Release);
                Ok(())
            }
            Op::Root4Set(index, code) => {
                self.head()?.root4[usize::from(*index)].store(*code, Release);
                Ok(())
            }
            Op::Root6Set(index, code) => {
                self.head()?.root6[usize::from(*index)].store(*code, Release);
                Ok(())
            }
            Op::Ban4Set { bucket, slot, word } => {
                let bucket = self.bans4.at(*bucket, maps::BANS4)?;
                bucket.words[usize::from(*slot) % bucket.words.len()].store(*word, Release);
                Ok(())
            }
            Op::Over4Set(address, until) => self
                .over4
                .insert(address, until, 0)
                .map_err(Error::map(maps::BANS4_OVER, "insert a ban")),
            Op::Over4Remove(address) => removed(self.over4.remove(address), maps::BANS4_OVER),
            Op::Ban6Set {
                bucket,
                slot,
                net,
                state,
            } => {
                let bucket = self.bans6.at(*bucket, maps::BANS6)?;
                let ban = &bucket.bans[usize::from(*slot) % bucket.bans.len()];
                if ban.net.load(Acquire) != *net {
                    // Or a reader could join the old network with the new end.
                    ban.state.store(LIFTED.into(), Release);
                    ban.net.store(*net, Release);
                }
                ban.state.store(*state, Release);
                Ok(())
            }
            Op::Over6Set(net, state) => self
                .over6
                .insert(net, state, 0)
                .map_err(Error::map(maps::BANS6_OVER, "insert a ban")),
            Op::Over6Remove(net) => removed(self.over6.remove(net), maps::BANS6_OVER),
            Op::Exact6Set(address, until) => self
                .exact6
                .insert(address, until, 0)
                .map_err(Error::map(maps::BANS6_EXACT, "insert a ban")),
            Op::Exact6Remove(address) => removed(self.exact6.remove(address), maps::BANS6_EXACT),
            Op::FilterSet(word, bits) => {
                self.head()?.filter[usize::from(*word) % FILTER_WORDS].store(*bits, Release);
                Ok(())
            }
            Op::Observe(mask) => {
                self.head()?.observe.store(*mask, Release);
                Ok(())
            }
        }
    }

    /// Gates that only observe, by bit ([`Head::observe`]).
    pub fn observing(&self) -> Result<u32, Error> {
        Ok(self.head()?.observe.load(Acquire))
    }
}

/// Nobody can see the node yet; the store that leads to it is released after these.
fn fill(node: &Node, codes: &[u16; 256]) -> Result<(), Error> {
    for (place, code) in node.codes.iter().zip(codes) {
        place.store(*code, Release);
    }
    Ok(())
}

fn removed(done: Result<(), MapError>, map: &'static str) -> Result<(), Error> {
    match done {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(error) if super::error::errno(&error) == Some(libc::ENOENT) => Ok(()),
        Err(error) => Err(Error::map(map, "remove an entry")(error)),
    }
}

/// All of a map that is read by keys; entries that vanish meanwhile are left out.
pub(super) fn entries<K: Pod, V: Pod, E>(
    iter: impl Iterator<Item = Result<(K, V), MapError>>,
    map: &'static str,
    mut each: impl FnMut(K, V) -> E,
) -> Result<Vec<E>, Error> {
    iter.map(|entry| {
        entry
            .map(|(key, value)| each(key, value))
            .map_err(Error::map(map, "read it"))
    })
    .collect()
}
