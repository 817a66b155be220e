//! How large the maps must be for a table, and whether that is allowed, before anything is written.

use smtpgate_common::{
    ban::{bucket4, bucket6},
    front::NODES_MAX,
};
use thiserror::Error;

use super::{
    front::regions,
    ops::Sizes,
    prefix::Side,
    table::{GateTable, Single},
};

/// What the configuration allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `[limits] prefixes`: entries of a family.
    pub prefixes: u32,
    /// `[limits] bans`: single sources, banned or listed, both families together.
    pub bans: u32,
    /// `[limits] headroom`: per cent that each map gets beyond what it holds, so that changes need no new maps.
    pub headroom: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            prefixes: 1 << 20,
            bans: 1 << 20,
            headroom: 25,
        }
    }
}

/// A policy is larger than the configuration, or its maps, allow.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the policy has {needed} {what}, the limit is {limit}: raise `{key}`, or use fewer or wider sources")]
pub struct DoesNotFit {
    /// Of what there is too much.
    pub what: &'static str,
    /// How many there are.
    pub needed: u64,
    /// How many there may be.
    pub limit: u64,
    /// Configuration key that sets the limit.
    pub key: &'static str,
}

/// Least room in any map: an empty policy takes some thousand entries before it needs new maps.
const LEAST: u64 = 4096;
/// Least nodes of a front table: 256 KiB.
const LEAST_NODES: u64 = 512;
/// Least room for bans that find their bucket full.
const LEAST_OVER: u64 = 1024;

impl Sizes {
    /// Sizes of the maps for a table, with head-room.
    pub fn for_table(table: &GateTable, limits: &Limits) -> Result<Self, DoesNotFit> {
        for (side, what) in [(Side::V4, "IPv4 prefixes"), (Side::V6, "IPv6 prefixes")] {
            within(what, table.cells(side).len(), limits.prefixes, "limits.prefixes")?;
        }
        let singles = "banned and listed single addresses";
        within(singles, table.singles.len(), limits.bans, "limits.bans")?;

        let mut v4 = Vec::new();
        let mut nets = Vec::new();
        let mut exact = 0_u64;
        for (single, _) in &table.singles {
            match single {
                Single::V4(address) => v4.push(*address),
                Single::Net6(net) => nets.push(*net),
                Single::V6([a, b, c, d, e, f, g, h, ..]) => {
                    exact += 1;
                    nets.push(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
                }
            }
        }
        nets.sort_unstable();
        nets.dedup();
        let grown = |count: u64, least: u64| count + count * u64::from(limits.headroom) / 100 + least;
        // Half full with all head-room, so that a bucket is rarely full; and not larger, because every miss is paid for.
        let bans4_log2 = log2(grown(v4.len() as u64, LEAST) / 5);
        let bans6_log2 = log2(grown(nets.len() as u64, LEAST) / 2);
        let over4 = beyond(
            8,
            bans4_log2,
            v4.iter().map(|address| bucket4(*address, 32 - bans4_log2)),
        );
        let over6 = beyond(4, bans6_log2, nets.iter().map(|net| bucket6(*net, 64 - bans6_log2)));
        let nodes = |side| {
            let wanted = regions(side, table.cells(side))
                .iter()
                .map(|count| u64::from(*count))
                .sum();
            narrow(grown(wanted, LEAST_NODES)).min(NODES_MAX)
        };
        Ok(Self {
            trie4: narrow(grown(table.cells4.len() as u64, LEAST)),
            trie6: narrow(grown(table.cells6.len() as u64, LEAST)),
            nodes4: nodes(Side::V4),
            nodes6: nodes(Side::V6),
            bans4_log2,
            over4: narrow(over4 * 2 + (1 << bans4_log2) / 8 + LEAST_OVER),
            bans6_log2,
            over6: narrow(over6 * 2 + (1 << bans6_log2) / 4 + LEAST_OVER),
            exact6: narrow(grown(exact, LEAST)),
        })
    }
}

pub(super) fn within(what: &'static str, needed: usize, limit: u32, key: &'static str) -> Result<(), DoesNotFit> {
    let (needed, limit) = (needed as u64, u64::from(limit));
    if needed > limit {
        return Err(DoesNotFit {
            what,
            needed,
            limit,
            key,
        });
    }
    Ok(())
}

/// Entries that find their bucket full.
fn beyond(places: u32, log2: u32, numbers: impl Iterator<Item = u32>) -> u64 {
    let mut held = vec![0_u32; 1 << log2];
    for number in numbers {
        held[number as usize] += 1;
    }
    held.iter().map(|held| u64::from(held.saturating_sub(places))).sum()
}

/// log2 of the least power of two that is not below `buckets`.
fn log2(buckets: u64) -> u32 {
    buckets.max(2).next_power_of_two().ilog2().min(31)
}

fn narrow(entries: u64) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX)
}
