//! Packets over time: what the kernel's counters counted, in stretches; and where the sampled refusals came from.
//!
//! The kernel counts whether a daemon runs or not. What it counted between two looks is one stretch, a minute long while
//! a daemon runs and as long as its absence when there was none. Of a stretch that a question cuts in two, each part gets
//! its share. Stretches that are more than a day old are joined to hours.

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::values::{canonical, parsed, time};
use super::{Ledger, Result};

/// What became of a packet, at which gate, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fate {
    /// Gate, or none where no gate is known (structural drops, malformed frames).
    pub gate: Option<String>,
    /// `pass`, `drop` or `would_drop`.
    pub verdict: String,
    /// Reason code's name.
    pub reason: String,
    /// `ipv4`, `ipv6`, `other`.
    pub family: String,
}

/// Packets by what became of them.
pub type Packets = BTreeMap<Fate, u64>;

/// Where the counters stood when they were last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which counters: those of another boot, or of a gate that was taken down, began at 0 again.
    pub counters: String,
    /// When.
    pub at: Timestamp,
    /// What they said, by their place in the kernel's map.
    pub totals: BTreeMap<u32, u64>,
}

/// Packets of a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Begin.
    pub since: Timestamp,
    /// End, after the begin.
    pub until: Timestamp,
    /// What was counted.
    pub packets: Packets,
}

/// A country's or a network's part of the sampled refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// ISO 3166 code; none where the country table has none.
    pub country: Option<String>,
    /// An IPv4 /24 or an IPv6 /48; none for the many that are not kept one by one.
    pub network: Option<IpNet>,
    /// Refusals that were seen.
    pub packets: u64,
}

const MINUTES_KEPT: SignedDuration = SignedDuration::from_hours(25);
/// How far back a report can reach.
pub const KEPT: SignedDuration = SignedDuration::from_hours(35 * 24);
const HOUR_MS: i64 = 3_600_000;
/// Networks of an hour that are kept one by one.
const NETWORKS: u32 = 100;

impl Ledger {
    /// Where the counters stood.
    pub fn mark(&self) -> Result<Option<Mark>> {
        self.read("read the traffic of", |db| {
            let found = db.query_row("SELECT counters, at, totals FROM mark", [], |row| {
                Ok(Mark {
                    counters: row.get(0)?,
                    at: time(row, 1)?,
                    totals: parsed(row, 2, |text| serde_json::from_str(text).ok())?,
                })
            });
            found.optional()
        })
    }

    /// Adds a stretch, and where the counters stand at its end. Both or neither: nothing is counted twice.
    pub fn count(&mut self, stretch: &Stretch, mark: &Mark) -> Result<()> {
        let (since, until) = (stretch.since.as_millisecond(), stretch.until.as_millisecond());
        self.write("record the traffic in", |tx| {
            let mut insert = tx.prepare_cached(
                "INSERT INTO traffic (since, until, gate, verdict, reason, family, packets)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET packets = packets + excluded.packets",
            )?;
            for (fate, packets) in &stretch.packets {
                let gate = fate.gate.as_deref().unwrap_or_default();
                let packets = i64::try_from(*packets).unwrap_or(i64::MAX);
                insert.execute(params![
                    since,
                    until,
                    gate,
                    fate.verdict,
                    fate.reason,
                    fate.family,
                    packets
                ])?;
            }
            let totals = serde_json::to_string(&mark.totals)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            tx.execute(
                "INSERT OR REPLACE INTO mark (id, counters, at, totals) VALUES (1, ?1, ?2, ?3)",
                params![mark.counters, mark.at.as_millisecond(), totals],
            )?;
            Ok(())
        })
    }

    /// The stretches that reach into the time from `since` to `until`, the oldest first.
    pub fn traffic(&self, since: Timestamp, until: Timestamp) -> Result<Vec<Stretch>> {
        self.read("read the traffic of", |db| {
            let mut query = db.prepare_cached(
                "SELECT since, until, gate, verdict, reason, family, packets FROM traffic
                  WHERE until > ?1 AND since < ?2 ORDER BY until, since",
            )?;
            let mut rows = query.query(params![since.as_millisecond(), until.as_millisecond()])?;
            let mut stretches: Vec<Stretch> = Vec::new();
            while let Some(row) = rows.next()? {
                let (since, until) = (time(row, 0)?, time(row, 1)?);
                let gate: String = row.get(2)?;
                let fate = Fate {
                    gate: (!gate.is_empty()).then_some(gate),
                    verdict: row.get(3)?,
                    reason: row.get(4)?,
                    family: row.get(5)?,
                };
                let packets = u64::try_from(row.get::<_, i64>(6)?).unwrap_or_default();
                match stretches.last_mut() {
                    Some(last) if (last.since, last.until) == (since, until) => {
                        last.packets.insert(fate, packets);
                    }
                    _ => stretches.push(Stretch {
                        since,
                        until,
                        packets: BTreeMap::from([(fate, packets)]),
                    }),
                }
            }
            Ok(stretches)
        })
    }

    /// Adds refusals that were seen since the last call.
    pub fn sample(&mut self, sampled: &[Sampled], now: Timestamp) -> Result<()> {
        let hour = now.as_millisecond().div_euclid(HOUR_MS) * HOUR_MS;
        self.write("record the traffic in", |tx| {
            let mut insert = tx.prepare_cached(
                "INSERT INTO sampled (hour, country, network, packets) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET packets = packets + excluded.packets",
            )?;
            for part in sampled {
                let country = part.country.as_deref().unwrap_or_default();
                let network = part
                    .network
                    .map(|network| canonical(network).to_string())
                    .unwrap_or_default();
                let packets = i64::try_from(part.packets).unwrap_or(i64::MAX);
                insert.execute(params![hour, country, network, packets])?;
            }
            Ok(())
        })
    }

    /// Where the refusals that were seen since `since` came from; to the hour. The most first.
    pub fn sampled(&self, since: Timestamp) -> Result<Vec<Sampled>> {
        self.read("read the traffic of", |db| {
            let mut query = db.prepare_cached(
                "SELECT country, network, sum(packets) FROM sampled WHERE hour + 3600000 > ?1
                  GROUP BY country, network ORDER BY sum(packets) DESC, network",
            )?;
            let rows = query.query_map([since.as_millisecond()], |row| {
                let country: String = row.get(0)?;
                Ok(Sampled {
                    country: (!country.is_empty()).then_some(country),
                    network: parsed(row, 1, |text| {
                        if text.is_empty() {
                            Some(None)
                        } else {
                            text.parse().ok().map(Some)
                        }
                    })?,
                    packets: u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default(),
                })
            })?;
            rows.collect()
        })
    }
}

/// Joins what is old, forgets what is too old. Returns how many rows went.
pub(super) fn prune(tx: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    let before = |length: SignedDuration| now.as_millisecond().saturating_sub(length.as_hours() * HOUR_MS);
    let kept = before(KEPT);
    let mut gone = tx.execute("DELETE FROM traffic WHERE until <= ?1", [kept])?;
    gone += tx.execute("DELETE FROM sampled WHERE hour + 3600000 <= ?1", [kept])?;

    // Whole hours: what belongs to one of them is joined at once, so that no row is met twice.
    let joined = before(MINUTES_KEPT).div_euclid(HOUR_MS) * HOUR_MS;
    tx.execute(
        "INSERT INTO traffic (since, until, gate, verdict, reason, family, packets)
         SELECT since / 3600000 * 3600000 AS hour, since / 3600000 * 3600000 + 3600000, gate, verdict, reason, family,
                sum(packets)
           FROM traffic WHERE until <= ?1 AND until - since < 3600000
          GROUP BY hour, gate, verdict, reason, family
         ON CONFLICT DO UPDATE SET packets = packets + excluded.packets",
        [joined],
    )?;
    gone += tx.execute(
        "DELETE FROM traffic WHERE until <= ?1 AND until - since < 3600000",
        [joined],
    )?;

    let hour = now.as_millisecond().div_euclid(HOUR_MS) * HOUR_MS;
    let small =
        "(SELECT hour, country, network, packets, row_number() OVER (PARTITION BY hour ORDER BY packets DESC) AS place
                    FROM sampled WHERE network <> '' AND hour < ?1)";
    tx.execute(
        &format!(
            "INSERT INTO sampled (hour, country, network, packets)
             SELECT hour, country, '', sum(packets) FROM {small} WHERE place > ?2 GROUP BY hour, country
             ON CONFLICT DO UPDATE SET packets = packets + excluded.packets"
        ),
        params![hour, NETWORKS],
    )?;
    gone += tx.execute(
        &format!(
            "DELETE FROM sampled WHERE (hour, country, network) IN
               (SELECT hour, country, network FROM {small} WHERE place > ?2)"
        ),
        params![hour, NETWORKS],
    )?;
    Ok(gone)
}

impl Stretch {
    /// The part of `packets` that falls into the time from `since` to `until`.
    pub fn share(&self, packets: u64, since: Timestamp, until: Timestamp) -> u64 {
        let length = |from: Timestamp, to: Timestamp| {
            u128::try_from(to.as_millisecond().saturating_sub(from.as_millisecond())).unwrap_or_default()
        };
        let whole = length(self.since, self.until).max(1);
        let inside = length(self.since.max(since), self.until.min(until)).min(whole);
        // Rounded, so that a lone packet is not lost between two halves.
        u64::try_from((u128::from(packets) * inside + whole / 2) / whole).unwrap_or(u64::MAX)
    }
}
