//! Offences of the last `findtime`, by source, in bounded memory.
//!
//! One queue in order of time holds them all; each source has the sum of its own. An offence leaves at the queue's other
//! end, by age or because there are too many, and takes its weight out of the sum. Nothing is ever searched.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

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
    /// Unix milliseconds.
    at: i64,
    source: Source,
    /// Number of the source's offence before this one, or [`NONE`].
    before: u64,
    line: Place,
    weight: u16,
}

const NONE: u64 = u64::MAX;

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
    /// The latest time seen, Unix milliseconds: a clock that goes back a little does not reorder the queue.
    now: i64,
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
            now: i64::MIN,
        }
    }

    /// Adds an offence, and returns the sum of its source over the last `findtime`.
    pub(super) fn add(&mut self, source: Source, weight: u16, line: &str, now: Timestamp, findtime: Duration) -> u64 {
        let now = self.advance(now.as_millisecond(), findtime);
        while self.queue.len() >= self.capacity {
            self.drop_oldest();
        }
        let number = self.start + self.queue.len() as u64;
        let line = self.lines.push(line);
        let sum = self.sums.entry(source).or_insert(Sum {
            weight: 0,
            first: number,
            last: number,
        });
        let before = if sum.last == number { NONE } else { sum.last };
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
        let mut number = self.sums.get(&source).map_or(NONE, |sum| sum.last);
        let mut lines = Vec::new();
        while lines.len() < EVIDENCE_LINES
            && let Some(entry) = number
                .checked_sub(self.start)
                .and_then(|at| self.queue.get(usize::try_from(at).ok()?))
        {
            lines.extend(self.lines.get(entry.line));
            number = entry.before;
        }
        lines.reverse();
        lines
    }

    /// Lets offences older than `findtime` go. A clock that was set back by more than that makes all of them worthless.
    fn advance(&mut self, now: i64, findtime: Duration) -> i64 {
        let findtime = i64::try_from(findtime.as_millis()).unwrap_or(i64::MAX);
        if self.now.saturating_sub(now) > findtime {
            self.start += self.queue.len() as u64;
            self.queue.clear();
            self.sums.clear();
            self.now = now;
        }
        self.now = self.now.max(now);
        while self
            .queue
            .front()
            .is_some_and(|entry| self.now.saturating_sub(entry.at) >= findtime)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detect_window_is_bounded_and_drops_the_oldest() {
        let findtime = Duration::from_secs(600);
        let mut window = Window::with_capacity(4, 1 << 10);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(window.add(Source::V4(1), 1, "first", now, findtime), 1);
        for other in 2..=4 {
            assert_eq!(window.add(Source::V4(other), 1, "other", now, findtime), 1);
        }
        assert_eq!(
            window.add(Source::V4(4), 1, "other", now, findtime),
            2,
            "the first had to go"
        );
        assert_eq!(window.add(Source::V4(1), 1, "again", now, findtime), 1);
        assert_eq!(window.evidence(Source::V4(1)), ["again"]);
        assert_eq!((window.queue.len(), window.sums.len()), (4, 3));
        for number in 0..10_000 {
            window.add(Source::V6(number), 1, "a line of twenty by.", now, findtime);
        }
        assert_eq!((window.queue.len(), window.sums.len()), (4, 4));
    }

    #[test]
    fn detect_window_reset_leaves_no_debt() {
        let findtime = Duration::from_secs(10);
        let second = |second| Timestamp::from_second(second).unwrap();
        let mut window = Window::new();
        window.add(Source::V4(1), 3, "before", second(0), findtime);
        window.reset(Source::V4(1));
        assert_eq!(window.add(Source::V4(1), 2, "after", second(5), findtime), 2);
        assert_eq!(
            window.add(Source::V4(1), 1, "later", second(10), findtime),
            3,
            "what was reset is not taken off again"
        );
        assert_eq!(window.evidence(Source::V4(1)), ["after", "later"]);
        assert_eq!(window.add(Source::V4(1), 1, "last", second(15), findtime), 2);
    }
}
