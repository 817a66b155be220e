//! At most so many new bans a minute: what a wrong grammar, or a wrong threshold, can do at its worst.

use std::collections::HashMap;

use ipnet::IpNet;
use jiff::Timestamp;

use super::detector::Decision;

/// In milliseconds.
const MINUTE: i64 = 60_000;
/// Bans that may wait; beyond that the least are forgotten, which only means that they have to be earned again.
const WAITING: usize = 10_000;
/// An alarm is told again after that long.
const AGAIN: i64 = 60 * MINUTE;

#[derive(Debug, Default)]
pub(super) struct Guard {
    /// When the running minute began, Unix milliseconds.
    since: i64,
    /// Bans made in it.
    made: u32,
    /// By prefix, with how bad it is.
    waiting: HashMap<IpNet, (u32, Decision)>,
    told: Option<i64>,
}

impl Guard {
    /// Makes a ban that waits more urgent; false when there is none.
    pub(super) fn urge(&mut self, prefix: IpNet, score: u32) -> bool {
        let waiting = self.waiting.get_mut(&prefix);
        waiting.map(|(known, _)| *known = known.saturating_add(score)).is_some()
    }

    /// A ban that does not wait yet.
    pub(super) fn ask(&mut self, decision: Decision, score: u32) {
        if self.waiting.len() >= WAITING {
            let mut scores: Vec<u32> = self.waiting.values().map(|(score, _)| *score).collect();
            let middle = scores.len() / 2;
            let (_, &mut median, _) = scores.select_nth_unstable(middle);
            self.waiting.retain(|_, (score, _)| *score > median);
        }
        self.waiting.insert(decision.prefix, (score, decision));
    }

    /// The bans that may be made now, the worst first. `true` when others wait, once an hour.
    pub(super) fn release(&mut self, now: Timestamp, most: u32) -> (Vec<Decision>, bool) {
        if self.waiting.is_empty() {
            return (Vec::new(), false);
        }
        let at = now.as_millisecond();
        if !(0..MINUTE).contains(&at.saturating_sub(self.since)) {
            self.since = at;
            self.made = 0;
        }
        let room = usize::try_from(most.saturating_sub(self.made)).unwrap_or(usize::MAX);
        if room == 0 {
            return (Vec::new(), self.tell(at));
        }
        let mut worst: Vec<(u32, IpNet)> = self.waiting.values().map(|(score, of)| (*score, of.prefix)).collect();
        if room < worst.len() {
            worst.sort_unstable_by(|a, b| b.cmp(a));
            worst.truncate(room);
        }
        let mut released: Vec<Decision> = worst
            .into_iter()
            .filter_map(|(_, prefix)| self.waiting.remove(&prefix))
            .map(|(_, decision)| starting(decision, now))
            .collect();
        released.sort_unstable_by_key(|decision| decision.prefix);
        self.made = self
            .made
            .saturating_add(u32::try_from(released.len()).unwrap_or(u32::MAX));
        let tell = !self.waiting.is_empty() && self.tell(at);
        (released, tell)
    }

    fn tell(&mut self, at: i64) -> bool {
        let tell = self
            .told
            .is_none_or(|told| !(0..AGAIN).contains(&at.saturating_sub(told)));
        if tell {
            self.told = Some(at);
        }
        tell
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The operator wants none of it.
    pub(super) fn forget(&mut self, prefix: IpNet) {
        self.waiting.remove(&prefix);
    }
}

/// The ban as one that begins now.
fn starting(mut decision: Decision, now: Timestamp) -> Decision {
    let length = decision.until.duration_since(decision.since);
    decision.since = now;
    decision.until = now.checked_add(length).unwrap_or(Timestamp::MAX);
    decision
}
