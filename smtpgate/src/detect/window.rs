//! Offences of the last while, by source, in bounded memory, counted over two spans: `findtime`, and a long one for those
//! who guess slowly.
//!
//! One queue in order of time holds them all; each source has the sums of its own. A mark in the queue divides the short
//! span from the long one. An offence that passes the mark, or leaves at the queue's end by age or because there are too
//! many, takes its weight out of the sum. Nothing is ever searched.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::net::IpAddr;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::evidence::{EVIDENCE_LINES, Lines, Place};
use super::source::Source;

/// Offences kept. A million sources with one each, and their lines, are under 256 MiB.
const OFFENCES: usize = 1 << 20;
/// Bytes of evidence kept.
const EVIDENCE: usize = 48 << 20;
/// Offences of one source that are looked at for what led to a ban.
const LOOK_BACK: usize = 256;

#[derive(Debug)]
struct Entry {
    /// Unix milliseconds.
    at: i64,
    address: IpAddr,
    line: Place,
    /// Place of the source in `sums`.
    source: u32,
    /// How many entries back the source's offence before this one is; 0 = there is none.
    back: u32,
    weight: u16,
    /// Of a login name that other failures of the source had, too.
    repeated: bool,
}

#[derive(Debug)]
struct Sum {
    source: Source,
    /// Weight within the short span.
    short: u32,
    /// Weight within the long span.
    long: u32,
    /// Of `short`, what repeats one login name.
    repeated: u32,
    /// Number of the first offence that is in the sums: older ones in the queue are of a time before they were reset.
    first: u64,
    /// Number of the last one.
    last: u64,
    /// Hash of the first login name that failed.
    name: u64,
}

/// What a source has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    /// Weight within the short span.
    pub(super) short: u32,
    /// Weight within the long span.
    pub(super) long: u32,
    /// Of `short`, what repeats the source's first login name: one stale password, or one name guessed on.
    pub(super) repeated: u32,
}

/// An offence to be added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act<'a> {
    pub(super) address: IpAddr,
    pub(super) weight: u16,
    /// Hash of the login name, of failed logins.
    pub(super) name: Option<u64>,
    pub(super) line: &'a str,
}

/// The spans, in milliseconds; `long` is not shorter than `short`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    pub(super) short: i64,
    pub(super) long: i64,
}

#[derive(Debug)]
pub(super) struct Window {
    queue: VecDeque<Entry>,
    /// Number of the queue's first entry, counted from the first ever.
    start: u64,
    /// Number of the first entry within the short span.
    mark: u64,
    sums: Vec<Sum>,
    free: Vec<u32>,
    /// Places in `sums`, by their source. No copy of it: a million sources are common under attack.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
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
            mark: 0,
            sums: Vec::new(),
            free: Vec::new(),
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            lines: Lines::new(evidence),
            capacity,
            now: i64::MIN,
        }
    }

    /// Adds an offence at `now` (Unix milliseconds), and returns what its source has done by now.
    pub(super) fn add(&mut self, source: Source, act: &Act<'_>, now: i64, spans: Spans) -> Total {
        let now = self.advance(now, spans);
        while self.queue.len() >= self.capacity {
            self.drop_oldest();
        }
        let number = self.start + self.queue.len() as u64;
        let line = self.lines.push(act.line);
        let place = self.place(source, number);
        let Some(sum) = self.sums.get_mut(place as usize) else {
            return Total::default();
        };
        let back = if sum.last == number {
            0
        } else {
            u32::try_from(number - sum.last).unwrap_or(0)
        };
        // 0 = no name yet.
        let name = act.name.map_or(0, |name| name | 1);
        let repeated = name != 0 && sum.name == name;
        if sum.name == 0 {
            sum.name = name;
        }
        let weight = u32::from(act.weight);
        sum.short = sum.short.saturating_add(weight);
        sum.long = sum.long.saturating_add(weight);
        sum.repeated = sum.repeated.saturating_add(if repeated { weight } else { 0 });
        sum.last = number;
        let total = Total {
            short: sum.short,
            long: sum.long,
            repeated: sum.repeated,
        };
        self.queue.push_back(Entry {
            at: now,
            address: act.address,
            line,
            source: place,
            back,
            weight: act.weight,
            repeated,
        });
        total
    }

    fn place(&mut self, source: Source, number: u64) -> u32 {
        if let Some(place) = self.find(source) {
            return place;
        }
        let sum = Sum {
            source,
            short: 0,
            long: 0,
            repeated: 0,
            first: number,
            last: number,
            name: 0,
        };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(old) = self.sums.get_mut(place as usize) {
                    *old = sum;
                }
                place
            }
            None => {
                self.sums.push(sum);
                u32::try_from(self.sums.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let Self {
            sums, places, hasher, ..
        } = self;
        let hash = |place: &u32| hasher.hash_one(sums.get(*place as usize).map(|sum| sum.source));
        places.insert_unique(hasher.hash_one(Some(source)), place, hash);
        place
    }

    fn find(&self, source: Source) -> Option<u32> {
        let is = |place: &u32| self.sums.get(*place as usize).is_some_and(|sum| sum.source == source);
        self.places.find(self.hasher.hash_one(Some(source)), is).copied()
    }

    /// The source starts again at nothing.
    pub(super) fn reset(&mut self, source: Source) {
        let next = self.start + self.queue.len() as u64;
        if let Some(sum) = self.find(source).and_then(|place| self.sums.get_mut(place as usize)) {
            (sum.short, sum.long, sum.repeated, sum.name) = (0, 0, 0, 0);
            sum.first = next;
        }
    }

    /// The source's last lines, oldest first.
    pub(super) fn evidence(&self, source: Source) -> Vec<String> {
        let mut lines: Vec<String> = self
            .entries(source)
            .filter_map(|entry| self.lines.get(entry.line))
            .take(EVIDENCE_LINES)
            .collect();
        lines.reverse();
        lines
    }

    /// The addresses of the source's last offences, each once.
    pub(super) fn addresses(&self, source: Source) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self
            .entries(source)
            .take(LOOK_BACK)
            .map(|entry| entry.address)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The source's offences that count, the newest first.
    fn entries(&self, source: Source) -> impl Iterator<Item = &Entry> {
        let sum = self.find(source).and_then(|place| self.sums.get(place as usize));
        let first = sum.map_or(u64::MAX, |sum| sum.first).max(self.start);
        let mut next = sum.map(|sum| sum.last);
        std::iter::from_fn(move || {
            let number = next.filter(|number| *number >= first)?;
            let entry = self.queue.get(usize::try_from(number - self.start).ok()?)?;
            next = match entry.back {
                0 => None,
                back => number.checked_sub(u64::from(back)),
            };
            Some(entry)
        })
    }

    /// Lets offences that are too old go. A clock that was set back by more than the short span makes all worthless.
    fn advance(&mut self, now: i64, spans: Spans) -> i64 {
        if self.now.saturating_sub(now) > spans.short {
            self.start += self.queue.len() as u64;
            self.mark = self.start;
            self.queue.clear();
            self.sums.clear();
            self.free.clear();
            self.places.clear();
            self.now = now;
        }
        self.now = self.now.max(now);
        while let Some(entry) = usize::try_from(self.mark - self.start)
            .ok()
            .and_then(|at| self.queue.get(at))
            .filter(|entry| self.now.saturating_sub(entry.at) >= spans.short)
        {
            if let Some(sum) = self
                .sums
                .get_mut(entry.source as usize)
                .filter(|sum| sum.first <= self.mark)
            {
                sum.short -= u32::from(entry.weight).min(sum.short);
                if entry.repeated {
                    sum.repeated -= u32::from(entry.weight).min(sum.repeated);
                }
            }
            self.mark += 1;
        }
        while self
            .queue
            .front()
            .is_some_and(|entry| self.now.saturating_sub(entry.at) >= spans.long)
        {
            self.drop_oldest();
        }
        self.now
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.queue.pop_front() else { return };
        let number = self.start;
        self.start += 1;
        let Some(sum) = self.sums.get_mut(entry.source as usize) else {
            return;
        };
        if sum.first <= number {
            sum.long -= u32::from(entry.weight).min(sum.long);
            if self.mark <= number {
                sum.short -= u32::from(entry.weight).min(sum.short);
                if entry.repeated {
                    sum.repeated -= u32::from(entry.weight).min(sum.repeated);
                }
            }
        }
        if sum.last == number {
            let hash = self.hasher.hash_one(Some(sum.source));
            if let Ok(found) = self.places.find_entry(hash, |place| *place == entry.source) {
                found.remove();
            }
            self.free.push(entry.source);
        }
        self.mark = self.mark.max(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: Spans = Spans {
        short: 10_000,
        long: 60_000,
    };

    fn act(weight: u16, line: &str) -> Act<'_> {
        Act {
            address: IpAddr::from([192, 0, 2, 1]),
            weight,
            name: None,
            line,
        }
    }

    #[test]
    fn detect_window_is_bounded_and_drops_the_oldest() {
        let mut window = Window::with_capacity(4, 1 << 10);
        let mut add = |source, line| window.add(source, &act(1, line), 0, SPANS).short;
        assert_eq!(add(Source::V4(1), "first"), 1);
        for other in 2..=4 {
            assert_eq!(add(Source::V4(other), "other"), 1);
        }
        assert_eq!(add(Source::V4(4), "other"), 2, "the first had to go");
        assert_eq!(add(Source::V4(1), "again"), 1);
        assert_eq!(window.evidence(Source::V4(1)), ["again"]);
        assert_eq!((window.queue.len(), window.places.len()), (4, 3));
        for number in 0..10_000 {
            window.add(Source::V6(number), &act(1, "a line of twenty by."), 0, SPANS);
        }
        assert_eq!((window.queue.len(), window.places.len()), (4, 4));
        assert!(window.sums.len() <= 5, "places are used again");
    }

    #[test]
    fn detect_window_reset_leaves_no_debt() {
        let mut window = Window::new();
        let mut add = |second: i64, weight, line| {
            if line == "reset" {
                window.reset(Source::V4(1));
                return (0, 0);
            }
            let total = window.add(Source::V4(1), &act(weight, line), second * 1000, SPANS);
            (total.short, total.long)
        };
        assert_eq!(add(0, 3, "before"), (3, 3));
        add(0, 0, "reset");
        assert_eq!(add(5, 2, "after"), (2, 2));
        assert_eq!(add(10, 1, "later"), (3, 3), "what was reset is not taken off again");
        assert_eq!(
            add(15, 1, "last"),
            (2, 4),
            "the short span forgets, the long one does not"
        );
        assert_eq!(add(65, 1, "much later"), (1, 3));
        assert_eq!(window.evidence(Source::V4(1)), ["later", "last", "much later"]);
    }

    #[test]
    fn detect_window_knows_one_name_tried_again() {
        let mut window = Window::new();
        let mut add = |name| {
            let act = Act {
                name: Some(name),
                ..act(1, "")
            };
            window.add(Source::V4(1), &act, 0, SPANS).repeated
        };
        assert_eq!([add(2), add(2), add(4), add(2), add(4)], [0, 1, 1, 2, 2]);
    }
}
