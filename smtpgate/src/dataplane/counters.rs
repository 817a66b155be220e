//! The exact counts, summed over the CPUs.

use aya::maps::{Map, MapData, PerCpuArray};
use smtpgate_common::abi::{COUNTER_COUNT, NO_GATE, counter_index, maps};
use smtpgate_common::{Family, Reason};

use super::error::Error;

/// One count of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Gate number; `None` for structural drops, where no gate is known.
    pub gate: Option<u8>,
    /// Why.
    pub reason: Reason,
    /// Of which address family.
    pub family: Family,
    /// True for what would have been dropped, had the gate not only observed.
    pub observed: bool,
    /// Frames since the gate was first loaded.
    pub frames: u64,
}

impl Count {
    /// Its place in the kernel's map.
    pub fn place(&self) -> u32 {
        counter_index(
            self.gate.unwrap_or(NO_GATE),
            self.reason as u8,
            self.family as u8,
            self.observed,
        )
    }
}

/// The counters, which outlive generations and processes.
pub(super) struct Counters {
    map: PerCpuArray<MapData, u64>,
    id: u32,
}

impl Counters {
    pub(super) fn new(map: MapData) -> Result<Self, Error> {
        let id = map
            .info()
            .map_err(Error::map(maps::COUNTERS, "ask for its number"))?
            .id();
        let map = Map::from_map_data(map)
            .and_then(PerCpuArray::try_from)
            .map_err(Error::map(maps::COUNTERS, "use it"))?;
        Ok(Self { map, id })
    }

    /// The kernel's number of the map, which no other gets until the machine boots again.
    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// The counts that are not zero, by gate, reason, family: of the first so many gates, and of what belongs to none.
    /// Costs one system call for each counter that can be.
    pub(super) fn read(&self, gates: u8) -> Result<Vec<Count>, Error> {
        let mut found = Vec::new();
        for (index, mut count) in places().filter(|(_, count)| count.gate.is_none_or(|gate| gate < gates)) {
            let cpus = self.map.get(&index, 0).map_err(Error::map(maps::COUNTERS, "read it"))?;
            count.frames = cpus.iter().fold(0, |sum: u64, frames| sum.wrapping_add(*frames));
            if count.frames != 0 {
                found.push(count);
            }
        }
        Ok(found)
    }
}

/// Whether a pinned map can go on counting for this program: the same shape.
pub(super) fn fits(map: &MapData) -> bool {
    map.info().is_ok_and(|info| {
        info.map_type()
            .is_ok_and(|kind| kind == aya::maps::MapType::PerCpuArray)
            && info.value_size() == 8
            && info.max_entries() == COUNTER_COUNT
    })
}

/// Every counter that a frame can reach, with its place in the map.
fn places() -> impl Iterator<Item = (u32, Count)> {
    (0..=NO_GATE).flat_map(|gate| {
        Reason::ALL
            .into_iter()
            .filter(|reason| *reason != Reason::None)
            .flat_map(move |reason| {
                Family::ALL.into_iter().flat_map(move |family| {
                    [false, true]
                        .into_iter()
                        .filter(move |observed| reason.drops() || !observed)
                        .map(move |observed| {
                            let count = Count {
                                gate: (gate < NO_GATE).then_some(gate),
                                reason,
                                family,
                                observed,
                                frames: 0,
                            };
                            (counter_index(gate, reason as u8, family as u8, observed), count)
                        })
                })
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dataplane_counters_places_are_distinct_and_in_the_map() {
        let mut seen: Vec<_> = places().map(|(index, _)| index).collect();
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
        assert!(seen.iter().all(|index| *index < COUNTER_COUNT));
        assert!(places().all(|(index, count)| count.place() == index));
    }

    #[test]
    fn dataplane_counters_know_what_can_be_observed() {
        assert!(places().all(|(_, count)| count.reason.drops() || !count.observed));
        assert!(places().any(|(_, count)| count.reason == Reason::Fragment && count.gate.is_none() && count.observed));
    }
}
