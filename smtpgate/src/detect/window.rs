//! Offences of the last `findtime`, by source, in bounded memory.
//!
//! One queue in order of time holds them all; each source has the sum of its own. An offence leaves at the queue's other
//! end, by age or because there are too many, and takes its weight out of the sum. Nothing is ever searched.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::evidence::{EVIDENCE_LINES, Lines, Place};

/// Offences kept. A million sources with one each, and their lines, are under 256 MiB.
const OFFENCES: usize = 1 << 20;
/// Bytes of evidence kept.
const EVIDENCE: usize = 64 << 20;

/// Who is counted: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    V4(u32),
    V6(u64),
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    source: Source,
    weight: u16,
    line: Place,
    /// Number of the source's offence before this one.
    before: Option<u64>,
}

#[derive(Debug)]
struct Sum {
    weight: u64,
    /// Number of the first offence that is in the sum: older ones in the queue are of a time before it was reset.
    first: u64,
    /// Number of the last one.
    last: u64,
}

#[derive(Debug)]
pub(super) struct Window {
    queue: VecDeque<Entry>,
    /// Number of the queue's first entry, counted from the first ever.
    start: u64,
    sums: HashMap<Source, Sum>,
    lines: Lines,
    capacity: usize,
    /// The latest time seen: a clock that goes back a little does not reorder the queue.
    now: Timestamp,
}

impl Window {
    pub(super) fn new() -> Self {
        Self::with_capacity(OFFENCES, EVIDENCE)
    }

    pub(super) fn with_capacity(capacity: usize, evidence: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            start: 0,
            sums: HashMap::new(),
            lines: Lines::new(evidence),
            capacity,
            now: Timestamp::MIN,
        }
    }

    /// Adds an offence, and returns the sum of its source over the last `findtime`.
    pub(super) fn add(&mut self, source: Source, weight: u16, line: &str, now: Timestamp, findtime: Duration) -> u64 {
        let now = self.advance(now, findtime);
        let number = self.start + self.queue.len() as u64;
        let line = self.lines.push(line);
        let sum = self.sums.entry(source).or_insert(Sum {
            weight: 0,
            first: number,
            last: number,
        });
        let before = (sum.last != number).then_some(sum.last);
        sum.weight += u64::from(weight);
        sum.last = number;
        let total = sum.weight;
        self.queue.push_back(Entry {
            at: now,
            source,
            weight,
            line,
            before,
        });
        while self.queue.len() > self.capacity {
            self.drop_oldest();
        }
        total
    }

    /// The source starts again at nothing.
    pub(super) fn reset(&mut self, source: Source) {
        self.sums.remove(&source);
    }

    /// The source's last lines, oldest first.
    pub(super) fn evidence(&self, source: Source) -> Vec<String> {
        let mut next = self.sums.get(&source).map(|sum| sum.last);
        let mut lines = Vec::new();
        while let Some(number) = next.take()
            && lines.len() < EVIDENCE_LINES
            && let Some(entry) = number
                .checked_sub(self.start)
                .and_then(|at| self.queue.get(usize::try_from(at).ok()?))
        {
            lines.extend(self.lines.get(entry.line));
            next = entry.before;
        }
        lines.reverse();
        lines
    }

    /// Lets offences older than `findtime` go. A clock that was set back by more than that makes all of them worthless.
    fn advance(&mut self, now: Timestamp, findtime: Duration) -> Timestamp {
        let findtime = SignedDuration::try_from(findtime).unwrap_or(SignedDuration::MAX);
        if self.now.duration_since(now) > findtime {
            self.start += self.queue.len() as u64;
            self.queue.clear();
            self.sums.clear();
            self.now = now;
        }
        self.now = self.now.max(now);
        while self
            .queue
            .front()
            .is_some_and(|entry| self.now.duration_since(entry.at) >= findtime)
        {
            self.drop_oldest();
        }
        self.now
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.queue.pop_front() else { return };
        let number = self.start;
        self.start += 1;
        if let Some(sum) = self.sums.get_mut(&entry.source)
            && sum.first <= number
        {
            sum.weight -= u64::from(entry.weight);
            if sum.last == number {
                self.sums.remove(&entry.source);
            }
        }
    }
}
