//! How many events each CPU may still tell of. The kernel only takes, this refills: the flood pays nothing for a clock,
//! and user space is woken no more often than it asked for.

use std::time::Duration;

use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues};
use smtpgate_common::abi::maps;

use super::error::Error;

/// Events a second and CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u32);

impl Default for Rate {
    fn default() -> Self {
        Self(200)
    }
}

impl Rate {
    /// How often the tokens are refilled.
    pub const EVERY: Duration = Duration::from_millis(250);

    /// Tokens for one round, at least one unless the rate is 0.
    fn burst(self) -> u64 {
        let rounds = 4;
        u64::from(self.0).div_ceil(rounds)
    }
}

/// The tokens of one generation.
pub struct Tokens {
    map: PerCpuArray<MapData, u64>,
}

impl Tokens {
    pub(super) fn new(map: MapData) -> Result<Self, Error> {
        let map = Map::from_map_data(map)
            .and_then(PerCpuArray::try_from)
            .map_err(Error::map(maps::TOKENS, "use it"))?;
        Ok(Self { map })
    }

    /// Gives every CPU its tokens for the next [`Rate::EVERY`]. What was left over is lost, so that a quiet hour does
    /// not save up for a flood.
    pub fn refill(&mut self, rate: Rate) -> Result<(), Error> {
        let error = |source: std::io::Error| Error::Map {
            map: maps::TOKENS,
            what: "refill it",
            reason: source.to_string(),
        };
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| error(source))?;
        let values = PerCpuValues::try_from(vec![rate.burst(); cpus]).map_err(error)?;
        self.map
            .set(0, values, 0)
            .map_err(Error::map(maps::TOKENS, "refill it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dataplane_tokens_add_up_to_the_rate() {
        assert_eq!(Duration::from_secs(1).as_millis() / Rate::EVERY.as_millis(), 4);
        for (rate, burst) in [(0, 0), (1, 1), (4, 1), (200, 50), (u32::MAX, 1 << 30)] {
            assert_eq!(Rate(rate).burst(), burst, "{rate} a second");
        }
    }
}
