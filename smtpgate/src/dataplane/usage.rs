//! How full the maps are, and what the kernel holds for them.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::Ordering::Acquire;

use aya::maps::MapData;
use smtpgate_common::abi::{COUNTER_COUNT, Node, maps};
use smtpgate_common::front::FIRST_NODE;

use super::error::Error;
use super::generation::Dataplane;
use super::link::{fdinfo, number};
use super::live::pinned;

/// One map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its name.
    pub map: &'static str,
    /// Entries in use; `None` where that has no meaning.
    pub used: Option<u64>,
    /// Entries it has room for.
    pub capacity: u64,
    /// Bytes of kernel memory, as the kernel counts them; for maps that grow with their entries, those that it would
    /// hold when full on kernels before 6.4.
    pub bytes: u64,
}

impl Dataplane {
    /// All maps. Reads every key of tries and hashes: milliseconds for a country, a second for a million prefixes.
    pub fn usage(&self) -> Result<Vec<Usage>, Error> {
        let live = self.live();
        let words4 = live.bans4.values().iter().flat_map(|bucket| &bucket.words);
        let places6 = live.bans6.values().iter().flat_map(|bucket| &bucket.bans);
        let head = live.head()?;
        let mut found = vec![
            self.of(maps::HEAD, None, 1)?,
            self.of(maps::NODES4, Some(nodes(head.root4.iter(), live.nodes4.values())), 1)?,
            self.of(maps::NODES6, Some(nodes(head.root6.iter(), live.nodes6.values())), 1)?,
            self.of(maps::TRIE4, Some(keys(live.trie4.keys(), maps::TRIE4)?), 1)?,
            self.of(maps::TRIE6, Some(keys(live.trie6.keys(), maps::TRIE6)?), 1)?,
            self.of(
                maps::BANS4,
                Some(count(words4.filter(|word| word.load(Acquire) != 0))),
                8,
            )?,
            self.of(maps::BANS4_OVER, Some(keys(live.over4.keys(), maps::BANS4_OVER)?), 1)?,
            self.of(
                maps::BANS6,
                Some(count(places6.filter(|ban| ban.state.load(Acquire) != 0))),
                4,
            )?,
            self.of(maps::BANS6_OVER, Some(keys(live.over6.keys(), maps::BANS6_OVER)?), 1)?,
            self.of(maps::BANS6_EXACT, Some(keys(live.exact6.keys(), maps::BANS6_EXACT)?), 1)?,
            self.of(maps::TOKENS, None, 1)?,
            self.of(maps::EVENTS, None, 1)?,
        ];
        let counters = MapData::from_pin(self.counters_pin()).map_err(Error::map(maps::COUNTERS, "open its pin"))?;
        found.push(Usage {
            map: maps::COUNTERS,
            used: None,
            capacity: COUNTER_COUNT.into(),
            bytes: memory(&counters),
        });
        Ok(found)
    }

    /// `places` a value of the map.
    fn of(&self, map: &'static str, used: Option<u64>, places: u64) -> Result<Usage, Error> {
        let data = pinned(&self.folder(), map)?;
        let entries = data.info().map_err(Error::map(map, "ask its size"))?.max_entries();
        Ok(Usage {
            map,
            used,
            capacity: u64::from(entries) * places,
            bytes: memory(&data),
        })
    }
}

/// `memlock` of a map's fdinfo (`bpf_map_show_fdinfo`); 0 when `/proc` does not tell.
fn memory(map: &MapData) -> u64 {
    let text = fdinfo(map.fd().as_fd().as_raw_fd()).ok();
    text.and_then(|text| number(&text, "memlock")).unwrap_or(0)
}

fn keys<K>(mut keys: impl Iterator<Item = Result<K, aya::maps::MapError>>, map: &'static str) -> Result<u64, Error> {
    keys.try_fold(0, |sum, key| key.map(|_| sum + 1))
        .map_err(Error::map(map, "read its keys"))
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    items.fold(0, |sum, _| sum + 1)
}

/// Nodes that a code names: each is named once.
fn nodes<'a>(root: impl Iterator<Item = &'a std::sync::atomic::AtomicU16>, nodes: &[Node]) -> u64 {
    let mut named = 0;
    let mut open: Vec<u16> = root
        .map(|code| code.load(Acquire))
        .filter(|code| *code >= FIRST_NODE)
        .collect();
    while let Some(code) = open.pop() {
        let Some(node) = nodes.get(usize::from(code - FIRST_NODE)) else {
            continue;
        };
        named += 1;
        // In maps that are being changed a code may be read twice; a loop cannot be.
        if named >= u64::try_from(nodes.len()).unwrap_or(u64::MAX) {
            break;
        }
        open.extend(
            node.codes
                .iter()
                .map(|code| code.load(Acquire))
                .filter(|code| *code >= FIRST_NODE),
        );
    }
    named
}
