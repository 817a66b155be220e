//! The refusal rate as columns of text: pulses in, lines out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::words::{Marks, short};
use crate::daemon::report::Pulse;

/// What the graph covers.
const SECONDS: i64 = 600;
/// Columns of the axis at the left: `1,000/min ` at the widest.
const AXIS: usize = 10;

/// `height` lines of `width` columns, the last of them the time axis. The rate is of what was refused or would have been.
pub(super) fn graph(pulses: &[Pulse], now: Timestamp, width: usize, height: usize, marks: &Marks) -> Vec<String> {
    let columns = width.saturating_sub(AXIS);
    let rows = height.saturating_sub(1);
    if columns < 10 || rows == 0 {
        return Vec::new();
    }
    let columns_i64 = i64::try_from(columns).unwrap_or(i64::MAX);
    let step = SECONDS.div_euclid(columns_i64) + i64::from(SECONDS % columns_i64 > 0);
    let rates = rates(pulses, now, step, columns);
    let scale = Scale::of(rates.iter().copied().fold(0.0, f64::max));

    let mut lines: Vec<String> = (0..rows)
        .map(|row| {
            let label = match row {
                0 => scale.label(),
                _ => String::new(),
            };
            let from_below = rows - 1 - row;
            let mut line = format!("{} ", marks.right(&label, AXIS - 1));
            for rate in &rates {
                line.push_str(marks.bars[filled(scale.part(*rate), rows, from_below)]);
            }
            line
        })
        .collect();
    lines.push(axis(columns, step, marks));
    lines
}

/// Refusals a second, column by column. Columns are cut by the clock, not by the last pulse, so that they wander to the left
/// and keep their height; only the last one, which is not over yet, reaches back into the one before.
fn rates(pulses: &[Pulse], now: Timestamp, step: i64, columns: usize) -> Vec<f64> {
    let mut sums: BTreeMap<i64, u64> = BTreeMap::new();
    for pulse in pulses {
        // A pulse's time is its end, and belongs to the second before.
        let column = (pulse.at.as_millisecond() - 1).div_euclid(1000 * step);
        *sums.entry(column).or_default() += unwanted(pulse);
    }
    let last = (now.as_millisecond() - 1).div_euclid(1000 * step);
    let first = last - i64::try_from(columns).unwrap_or(i64::MAX) + 1;
    let over = (first..last).map(|column| sums.get(&column).copied().unwrap_or(0) as f64 / step as f64);
    over.chain([rate(pulses, usize::try_from(step).unwrap_or(1), unwanted)])
        .collect()
}

/// What was refused in a second, or would have been.
pub(super) const fn unwanted(pulse: &Pulse) -> u64 {
    pulse.refused + pulse.would_refuse
}

/// The average a second of the last `seconds`.
fn rate(pulses: &[Pulse], seconds: usize, of: impl Fn(&Pulse) -> u64) -> f64 {
    let last = pulses.iter().rev().take(seconds);
    last.map(of).sum::<u64>() as f64 / seconds as f64
}

/// The rate now, in words: over ten seconds, as one is too short for an eye.
pub(super) fn rate_now(pulses: &[Pulse], of: impl Fn(&Pulse) -> u64) -> String {
    let rate = rate(pulses, 10, of);
    let scale = Scale::of(rate);
    let number = (rate * scale.unit).round();
    // The bounds are those of u64, or below.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a saturating cast is what is meant"
    )]
    let number = number as u64;
    format!("{}/{}", short(number), scale.unit_name())
}

/// How much of a cell is filled, in eighths; what is not nothing is seen.
fn filled(part: f64, rows: usize, from_below: usize) -> usize {
    let eighths = (part * 8.0 * rows as f64).round();
    let eighths = if part > 0.0 { eighths.max(1.0) } else { eighths };
    let above = eighths - 8.0 * from_below as f64;
    (1..=8_u8)
        .rev()
        .find(|full| above >= f64::from(*full))
        .map_or(0, usize::from)
}

/// The top of the graph: a round number, by the minute where less than one a second comes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    /// At the top, by the unit.
    top: u64,
    /// Seconds of the unit: 1 or 60.
    unit: f64,
}

impl Scale {
    fn of(highest: f64) -> Self {
        let unit = if highest < 1.0 { 60.0 } else { 1.0 };
        let round = (0..12).flat_map(|power| [1, 2, 3, 4, 5, 6, 8].map(|digit| digit * 10_u64.pow(power)));
        let top = round
            .into_iter()
            .find(|top| *top as f64 >= highest * unit)
            .unwrap_or(u64::MAX);
        Self { top, unit }
    }

    fn label(self) -> String {
        format!("{}/{}", short(self.top), self.unit_name())
    }

    fn unit_name(self) -> &'static str {
        if self.unit > 1.0 { "min" } else { "s" }
    }

    fn part(self, rate: f64) -> f64 {
        (rate * self.unit / self.top as f64).clamp(0.0, 1.0)
    }
}

/// `-10 min ──── -5 min ──── now`, each word where its time is.
fn axis(columns: usize, step: i64, marks: &Marks) -> String {
    let mut cells: Vec<String> = vec![marks.base.to_owned(); columns];
    let mut put = |column: usize, word: &str| {
        for (place, char) in word.chars().enumerate() {
            if let Some(cell) = cells.get_mut(column + place) {
                *cell = char.to_string();
            }
        }
    };
    put(columns - 4, " now");
    for minutes in [8, 6, 4, 2] {
        let back = usize::try_from(minutes * 60 / step).unwrap_or(0);
        let word = format!(" -{minutes} min ");
        if let Some(column) = columns.checked_sub(1 + back)
            && back > word.len() + 4
            && columns > 40
        {
            put(column, &word);
        }
    }
    format!("{} {}", marks.right("0", AXIS - 1), cells.concat())
}

#[cfg(test)]
mod tests {
    use super::super::words::{ASCII, UNICODE};
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pulse(second: i64, refused: u64) -> Pulse {
        Pulse {
            at: at(second),
            refused,
            would_refuse: 0,
            passed: 7,
        }
    }

    #[test]
    fn top_graph_scales_to_a_round_number_above_the_highest_rate() {
        let cases = [
            (0.0, "1/min"),
            (1.0 / 60.0, "1/min"),
            (0.05, "3/min"),
            (0.99, "60/min"),
            (1.0, "1/s"),
            (3.0, "3/s"),
            (20.0, "20/s"),
            (21.0, "30/s"),
            (71.0, "80/s"),
            (9_000_000.0, "10.0 M/s"),
            (123.0, "200/s"),
        ];
        for (highest, label) in cases {
            let scale = Scale::of(highest);
            assert_eq!(scale.label(), label, "{highest}");
            assert!(scale.part(highest) <= 1.0);
            assert!(scale.label().len() < AXIS);
        }
    }

    #[test]
    fn top_graph_shows_a_single_refusal_and_fills_at_the_top() {
        for (part, rows, column) in [
            (0.0, 2, [0, 0]),
            (0.001, 2, [1, 0]),
            (0.5, 2, [8, 0]),
            (0.75, 2, [8, 4]),
            (1.0, 2, [8, 8]),
        ] {
            let filled: Vec<usize> = (0..rows).map(|row| filled(part, rows, row)).collect();
            assert_eq!(filled, column, "{part}");
        }
    }

    #[test]
    fn top_graph_columns_keep_their_height_as_time_goes_on() {
        let pulses: Vec<Pulse> = (0..300).map(|n| pulse(NOW - 300 + n, n.unsigned_abs() % 17)).collect();
        let before = rates(&pulses, at(NOW), 10, 60);
        let after = rates(&pulses, at(NOW + 10), 10, 60);
        assert_eq!(before[1..59], after[..58]);
        assert!(before[..29].iter().all(|rate| *rate == 0.0) && before[31..].iter().all(|rate| *rate > 0.0));
    }

    #[test]
    fn top_graph_is_not_misled_by_a_column_that_is_cut() {
        // One refusal every 13 s; the oldest and the newest column hold a part of their seconds only.
        let pulses: Vec<Pulse> = (0..600).map(|n| pulse(NOW - 599 + n, u64::from(n % 13 == 0))).collect();
        for second in 0..9 {
            let rates = rates(
                &pulses[..=590 + second],
                at(NOW - 9 + i64::try_from(second).unwrap()),
                9,
                67,
            );
            assert!(rates.iter().all(|rate| *rate <= 1.0 / 9.0), "{rates:?}");
        }
    }

    #[test]
    fn top_tells_the_rate_by_the_unit_that_it_needs() {
        let told = |each| rate_now(&(0..10).map(|n| pulse(NOW + n, each)).collect::<Vec<_>>(), unwanted);
        assert_eq!(
            (told(0), told(1), told(7_000)),
            ("0/min".to_owned(), "1/s".to_owned(), "7,000/s".to_owned())
        );
        assert_eq!(rate_now(&[pulse(NOW, 1)], unwanted), "6/min");
    }

    #[test]
    fn top_graph_has_the_size_that_it_is_given() {
        for (width, height) in [(80, 5), (140, 10), (60, 3), (40, 2)] {
            for marks in [&UNICODE, &ASCII] {
                let lines = graph(&[pulse(NOW, 1_000_000)], at(NOW), width, height, marks);
                assert_eq!(lines.len(), height);
                for line in &lines {
                    assert_eq!(line.chars().count(), width, "{line}");
                }
                assert!(marks.wide || lines.iter().all(|line| line.is_ascii()));
            }
        }
        assert!(graph(&[], at(NOW), 15, 5, &UNICODE).is_empty());
    }
}
