//! What the kernel counted, over time. Its counters are looked at once a minute; what they gained since the last look is
//! a stretch in the ledger. So an answer for the last day needs no daemon that ran all day.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::{
    engine::Engine,
    failure::Failure,
    report::{Counter, Pulse, Span},
    views,
};
use crate::{
    dataplane::{Count, Dataplane},
    ledger::{Fate, Mark, Packets, Stretch},
};

/// Seconds that are remembered one by one.
const PULSES: usize = 600;

/// A span of time that people ask for, and its name.
pub(super) type Named = (&'static str, SignedDuration);
pub(super) const MINUTE: Named = ("minute", SignedDuration::from_mins(1));
pub(super) const HOUR: Named = ("hour", SignedDuration::from_hours(1));
pub(super) const DAY: Named = ("day", SignedDuration::from_hours(24));

/// What is known of the counters' past.
#[derive(Debug, Default)]
pub(super) struct History {
    /// As the ledger has it.
    mark: Option<Mark>,
    pulses: VecDeque<Pulse>,
    /// The sums of the last second, and which counters gave them.
    last: Option<(u32, Sums)>,
    /// Why the ledger cannot be written to; it has been said.
    failing: Option<String>,
}

impl History {
    /// Why what is counted is not recorded, while it is not.
    pub(super) fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }
}

impl From<Option<Mark>> for History {
    fn from(mark: Option<Mark>) -> Self {
        Self {
            mark,
            ..Self::default()
        }
    }
}

impl Engine {
    /// Has the ledger learn what was counted, and which refusals were seen.
    pub(super) fn record_traffic(&mut self) {
        self.count();
        let seen = self.sightings.take();
        if seen.is_empty() {
            return;
        }
        if let Err(error) = self.ledger.sample(&seen, Timestamp::now()) {
            tracing::warn!("{error}; a report will not know where some refusals came from");
        }
    }

    /// Records what was counted since the last time. What cannot be recorded now is so with the next.
    pub(super) fn count(&mut self) {
        let done = self.uncounted(Timestamp::now()).and_then(|found| {
            let Some((stretch, mark)) = found else { return Ok(()) };
            self.ledger.count(&stretch, &mark).map_err(Failure::failed)?;
            self.history.mark = Some(mark);
            Ok(())
        });
        match done {
            Ok(()) => self.history.failing = None,
            Err(failure) => {
                let why = failure.to_string();
                if self.history.failing.is_none() {
                    tracing::warn!("{why}; verdicts are not touched, but the history of them has to wait");
                }
                self.history.failing = Some(why);
            }
        }
    }

    /// What was counted since the last record; none where nothing is loaded.
    fn uncounted(&self, now: Timestamp) -> Result<Option<(Stretch, Mark)>, Failure> {
        let Some(plane) = &self.plane else { return Ok(None) };
        let counts = plane.counts().map_err(Failure::failed)?;
        let begin = plane.since().map_err(Failure::failed)?;
        let found = gained(
            self.history.mark.as_ref(),
            &name(plane, begin),
            begin,
            &counts,
            now,
            |gate| views::gate_name(&self.config, gate),
        );
        Ok(Some(found))
    }

    /// Stretches from `since` on, with what is not recorded yet.
    pub(super) fn stretches(&self, since: Timestamp, now: Timestamp) -> Result<Vec<Stretch>, Failure> {
        let mut stretches = self.ledger.traffic(since, now).map_err(Failure::failed)?;
        stretches.extend(self.uncounted(now)?.map(|(stretch, _)| stretch));
        Ok(stretches)
    }

    /// What the gate did in each of these spans up to now.
    pub(super) fn spans(&self, spans: &[Named], now: Timestamp) -> Result<Vec<Span>, Failure> {
        let ago = |length: SignedDuration| now.checked_sub(length).unwrap_or(now);
        let longest = spans.iter().map(|(_, length)| *length).max().unwrap_or_default();
        let stretches = self.stretches(ago(longest), now)?;
        let span = |(name, length): &Named| Span {
            span: (*name).to_owned(),
            seconds: length.as_secs().unsigned_abs(),
            counters: rows(within(&stretches, ago(*length), now)),
        };
        Ok(spans.iter().map(span).collect())
    }

    /// Takes the pulse: what passed and what did not in the last second.
    pub(super) fn pulse(&mut self) {
        let Some(plane) = &self.plane else { return };
        let gates = u8::try_from(self.config.gates.len()).unwrap_or(u8::MAX);
        let Ok(counts) = plane.counts_of(gates) else { return };
        let sums = Sums::of(&counts);
        let counters = plane.counters_id();
        let before = self.history.last.replace((counters, sums));
        let before = before
            .filter(|(known, _)| *known == counters)
            .map_or(sums, |(_, sums)| sums);
        if self.history.pulses.len() >= PULSES {
            self.history.pulses.pop_front();
        }
        self.history.pulses.push_back(Pulse {
            at: Timestamp::now(),
            refused: sums.refused.saturating_sub(before.refused),
            would_refuse: sums.would_refuse.saturating_sub(before.would_refuse),
            passed: sums.passed.saturating_sub(before.passed),
        });
    }

    /// The seconds that are remembered, the oldest first.
    pub(super) fn pulses(&self) -> Vec<Pulse> {
        self.history.pulses.iter().copied().collect()
    }
}

/// Names counters for good: no other map of a boot has their number, and no other boot made one at that time. The boot's
/// own id stands in a file that a sandbox may hide.
fn name(plane: &Dataplane, begin: Timestamp) -> String {
    format!("{}@{}", plane.counters_id(), begin.as_nanosecond())
}

/// What `counts` gained since `mark`, and the new mark. Counters that the mark does not know have counted since `begin`.
fn gained(
    mark: Option<&Mark>,
    counters: &str,
    begin: Timestamp,
    counts: &[Count],
    now: Timestamp,
    gate: impl Fn(u8) -> String,
) -> (Stretch, Mark) {
    let mark = mark.filter(|mark| mark.counters == counters);
    let mut packets = Packets::new();
    let mut totals = BTreeMap::new();
    for count in counts {
        let place = count.place();
        totals.insert(place, count.frames);
        let before = mark.and_then(|mark| mark.totals.get(&place)).copied().unwrap_or(0);
        let new = count.frames.saturating_sub(before);
        if new > 0 {
            *packets.entry(fate(count, &gate)).or_default() += new;
        }
    }
    let since = mark.map_or(begin, |mark| mark.at);
    // A clock that was set back must not make a stretch that ends before it begins.
    let shortest = now.checked_sub(SignedDuration::from_millis(1)).unwrap_or(now);
    let stretch = Stretch {
        since: since.min(shortest),
        until: now,
        packets,
    };
    let mark = Mark {
        counters: counters.to_owned(),
        at: now,
        totals,
    };
    (stretch, mark)
}

fn fate(count: &Count, gate: impl Fn(u8) -> String) -> Fate {
    Fate {
        gate: count.gate.map(gate),
        verdict: views::verdict(count.reason, count.observed).to_owned(),
        reason: count.reason.name().to_owned(),
        family: count.family.name().to_owned(),
    }
}

/// What the stretches say of the time from `since` to `until`.
pub(super) fn within(stretches: &[Stretch], since: Timestamp, until: Timestamp) -> Packets {
    let mut sums = Packets::new();
    // A report asks this for each of its hundreds of steps, over thousands of stretches.
    let meets = |stretch: &&Stretch| stretch.until > since && stretch.since < until;
    for stretch in stretches.iter().filter(meets) {
        for (fate, packets) in &stretch.packets {
            let share = stretch.share(*packets, since, until);
            if share > 0 {
                *sums.entry(fate.clone()).or_default() += share;
            }
        }
    }
    sums
}

pub(super) fn rows(packets: Packets) -> Vec<Counter> {
    packets
        .into_iter()
        .map(|(fate, packets)| Counter {
            gate: fate.gate,
            verdict: fate.verdict,
            reason: fate.reason,
            family: fate.family,
            packets,
        })
        .collect()
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    refused: u64,
    would_refuse: u64,
    passed: u64,
}

impl Sums {
    fn of(counts: &[Count]) -> Self {
        let mut sums = Self::default();
        for count in counts {
            let sum = match (count.reason.drops(), count.observed) {
                (true, false) => &mut sums.refused,
                (true, true) => &mut sums.would_refuse,
                (false, _) => &mut sums.passed,
            };
            *sum += count.frames;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use smtpgate_common::{Family, Reason};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn outside(frames: u64) -> Count {
        Count {
            gate: Some(0),
            reason: Reason::Outside,
            family: Family::V4,
            observed: false,
            frames,
        }
    }

    /// The stretches that looks at `(second, counters, packets)` give, the first mark being none.
    fn looks(looks: &[(i64, &str, u64)]) -> Vec<Stretch> {
        let mut mark = None;
        let mut stretches = Vec::new();
        for (second, counters, frames) in looks {
            let (stretch, new) = gained(mark.as_ref(), counters, at(0), &[outside(*frames)], at(*second), |_| {
                "mx".to_owned()
            });
            mark = Some(new);
            stretches.push(stretch);
        }
        stretches
    }

    fn sum(stretches: &[Stretch], since: i64, until: i64) -> u64 {
        within(stretches, at(since), at(until)).values().sum()
    }

    #[test]
    fn history_counts_each_packet_once() {
        let seen = looks(&[(60, "a", 10), (120, "a", 10), (180, "a", 35)]);
        assert_eq!(sum(&seen, 0, 180), 35);
        assert_eq!(
            [sum(&seen, 0, 60), sum(&seen, 60, 120), sum(&seen, 120, 180)],
            [10, 0, 25]
        );
    }

    #[test]
    fn history_spreads_what_came_while_nobody_looked() {
        let seen = looks(&[(60, "a", 0), (60 + 3 * 3600, "a", 3000)]);
        assert_eq!(
            sum(&seen, 60 + 2 * 3600, 60 + 3 * 3600),
            1000,
            "the last of three hours"
        );
    }

    #[test]
    fn history_of_counters_that_began_again_loses_nothing() {
        let seen = looks(&[(60, "a", 100), (120, "b", 7)]);
        assert_eq!(sum(&seen, 0, 120), 107);
    }

    #[test]
    fn history_survives_a_clock_that_was_set_back() {
        let seen = looks(&[(60, "a", 100), (30, "a", 150)]);
        assert_eq!(seen[1].until, at(30));
        assert!(seen[1].since < seen[1].until);
        assert_eq!(sum(&seen, 0, 60), 150);
    }
}
