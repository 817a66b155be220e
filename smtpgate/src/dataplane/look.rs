//! The kernel's maps under the kernel's own decision code: what it would say to a source, read from where it reads.

use std::cell::RefCell;
use std::sync::atomic::Ordering::Acquire;

use aya::maps::MapError;
use aya::maps::lpm_trie::Key;
use smtpgate_common::abi::{Bucket4, Bucket6, FILTER_WORDS, maps};
use smtpgate_common::ban::{bucket4, bucket6, ticks};
use smtpgate_common::cell::Cell;
use smtpgate_common::{Lookup, Reason, Source, Tables, judge};

use super::error::Error;
use super::live::Live;

impl Live {
    /// The reason for which the kernel lets a SYN of `source` pass at gate number `gate` (below 16) or refuses it.
    pub fn judge(&self, gate: u8, source: &Source) -> Result<Reason, Error> {
        let look = Look::at(self);
        let reason = judge(&&look, gate, source);
        look.done(reason)
    }

    /// Number of the gate that `port` belongs to.
    pub fn gate(&self, port: u16) -> Result<Option<u8>, Error> {
        let look = Look::at(self);
        let gate = (&look).gate(port);
        look.done(gate)
    }
}

/// One look at the maps.
struct Look<'a> {
    live: &'a Live,
    /// The first error: [`Lookup`] has no place for one.
    failed: RefCell<Option<Error>>,
}

impl<'a> Look<'a> {
    const fn at(live: &'a Live) -> Self {
        Self {
            live,
            failed: RefCell::new(None),
        }
    }

    fn done<T>(self, answer: T) -> Result<T, Error> {
        self.failed.into_inner().map_or(Ok(answer), Err)
    }

    /// What a look-up found.
    fn found<T>(&self, answer: Result<T, MapError>, map: &'static str) -> Option<T> {
        match answer {
            Ok(value) => Some(value),
            Err(MapError::KeyNotFound | MapError::ElementNotFound) => None,
            Err(error) => {
                self.failed
                    .borrow_mut()
                    .get_or_insert_with(|| Error::map(map, "look it up")(error));
                None
            }
        }
    }

    /// As [`Look::found`], for shared memory.
    fn there<T>(&self, answer: Result<T, Error>) -> Option<T> {
        answer
            .map_err(|error| self.failed.borrow_mut().get_or_insert(error).to_string())
            .ok()
    }
}

/// log2 of a length that is a power of two.
fn log2(len: usize) -> u32 {
    len.checked_ilog2().unwrap_or(0)
}

impl Tables for Look<'_> {
    type Lookup<'a>
        = &'a Self
    where
        Self: 'a;

    fn lookup(&self) -> Option<&Self> {
        Some(self)
    }
}

impl Lookup for &Look<'_> {
    fn gate(&self, port: u16) -> Option<u8> {
        let head = self.there(self.live.head())?;
        head.ports[usize::from(port)].load(Acquire).checked_sub(1)
    }

    fn observe(&self) -> u32 {
        self.there(self.live.head())
            .map_or(0, |head| head.observe.load(Acquire))
    }

    fn class(&self, id: u8) -> Cell {
        self.there(self.live.head()).map_or(Cell::EMPTY, |head| {
            Cell::from_bits(head.classes[usize::from(id)].load(Acquire))
        })
    }

    fn root4(&self, index: u16) -> u16 {
        self.there(self.live.head())
            .map_or(0, |head| head.root4[usize::from(index)].load(Acquire))
    }

    fn root6(&self, index: u16) -> u16 {
        self.there(self.live.head())
            .map_or(0, |head| head.root6[usize::from(index)].load(Acquire))
    }

    fn node4(&self, node: u32, byte: u8) -> Option<u16> {
        Some(self.live.nodes4.at(node, maps::NODES4).ok()?.codes[usize::from(byte)].load(Acquire))
    }

    fn node6(&self, node: u32, byte: u8) -> Option<u16> {
        Some(self.live.nodes6.at(node, maps::NODES6).ok()?.codes[usize::from(byte)].load(Acquire))
    }

    fn trie4(&self, address: [u8; 4]) -> Option<Cell> {
        self.found(self.live.trie4.get(&Key::new(32, address), 0), maps::TRIE4)
            .map(Cell::from_bits)
    }

    fn trie6(&self, address: [u8; 16]) -> Option<Cell> {
        self.found(self.live.trie6.get(&Key::new(128, address), 0), maps::TRIE6)
            .map(Cell::from_bits)
    }

    fn bucket4(&self, address: u32) -> Option<&Bucket4> {
        let bucket = bucket4(address, 32 - log2(self.live.bans4.values().len()));
        self.there(self.live.bans4.at(bucket, maps::BANS4))
    }

    fn over4(&self, address: u32) -> Option<u32> {
        self.found(self.live.over4.get(&address, 0), maps::BANS4_OVER)
    }

    fn filter(&self, word: u16) -> u64 {
        self.there(self.live.head())
            .map_or(0, |head| head.filter[usize::from(word) % FILTER_WORDS].load(Acquire))
    }

    fn bucket6(&self, net: u64) -> Option<&Bucket6> {
        let bucket = bucket6(net, 64 - log2(self.live.bans6.values().len()));
        self.there(self.live.bans6.at(bucket, maps::BANS6))
    }

    fn over6(&self, net: u64) -> Option<u64> {
        self.found(self.live.over6.get(&net, 0), maps::BANS6_OVER)
    }

    fn exact6(&self, address: [u8; 16]) -> Option<u32> {
        self.found(self.live.exact6.get(&address, 0), maps::BANS6_EXACT)
    }

    fn now(&self) -> u32 {
        ticks(boot_ns())
    }
}

/// Nanoseconds since boot, as the kernel's program counts them: suspended time counts.
pub fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanoseconds) = (
        u64::try_from(now.tv_sec).unwrap_or(0),
        u64::try_from(now.tv_nsec).unwrap_or(0),
    );
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
