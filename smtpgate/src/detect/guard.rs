//! At most so many new bans a minute: what a wrong grammar, or a wrong threshold, can do at its worst.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;
use jiff::Timestamp;

use super::detector::Decision;

/// In milliseconds.
const MINUTE: i64 = 60_000;
/// Bans that may wait; beyond that the least are forgotten, which only means that they have to be earned again.
const WAITING: usize = 10_000;
/// An alarm is told again after that long.
const AGAIN: i64 = 60 * MINUTE;

/// How bad it is, and of equals the one that came first is the worse.
type Rank = (u32, Reverse<u64>);

#[derive(Debug, Default)]
pub(super) struct Guard {
    /// When the running minute began, Unix milliseconds.
    since: i64,
    /// Bans made in it.
    made: u32,
    /// Those that wait, the worst last.
    waiting: BTreeMap<Rank, Decision>,
    ranks: HashMap<IpNet, Rank, foldhash::fast::RandomState>,
    /// How many have ever had to wait.
    came: u64,
    told: Option<i64>,
}

impl Guard {
    /// Makes a ban that waits more urgent; false when there is none.
    pub(super) fn urge(&mut self, prefix: IpNet, score: u32) -> bool {
        let Some(rank) = self.ranks.get_mut(&prefix) else {
            return false;
        };
        let before = *rank;
        rank.0 = rank.0.saturating_add(score);
        if let Some(decision) = self.waiting.remove(&before) {
            self.waiting.insert(*rank, decision);
        }
        true
    }

    /// Whether there is room for one more that is as bad as `score`.
    pub(super) fn has_room(&self, score: u32) -> bool {
        let least = self.waiting.first_key_value();
        self.waiting.len() < WAITING || least.is_some_and(|((least, _), _)| *least < score)
    }

    /// A ban that does not wait yet, for which there is room.
    pub(super) fn ask(&mut self, decision: Decision, score: u32) {
        if self.waiting.len() >= WAITING
            && let Some((_, least)) = self.waiting.pop_first()
        {
            self.ranks.remove(&least.prefix);
        }
        self.came += 1;
        let rank = (score, Reverse(self.came));
        self.ranks.insert(decision.prefix, rank);
        self.waiting.insert(rank, decision);
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
        let mut released = Vec::new();
        while self.made < most
            && let Some((_, decision)) = self.waiting.pop_last()
        {
            self.ranks.remove(&decision.prefix);
            self.made += 1;
            released.push(starting(decision, now));
        }
        released.sort_unstable_by_key(|decision| decision.prefix);
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
        if let Some(rank) = self.ranks.remove(&prefix) {
            self.waiting.remove(&rank);
        }
    }
}

/// The ban as one that begins now.
fn starting(mut decision: Decision, now: Timestamp) -> Decision {
    let length = decision.until.duration_since(decision.since);
    decision.since = now;
    decision.until = now.checked_add(length).unwrap_or(Timestamp::MAX);
    decision
}
