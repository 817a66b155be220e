//! What was refused over time, as one picture: HTML for its words, so that they stay readable on a phone, and SVG for its shapes.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use maud::{Markup, html};

use super::words::{Language, fill};
use crate::{cli::output::grouped, daemon::report::Step};

/// Marks on the time axis at the most.
const MARKS: usize = 9;

/// The series of a while that ends at `until`; empty when nothing was refused.
pub(super) fn draw(series: &[Step], until: Timestamp, language: Language, zone: &TimeZone) -> Option<Markup> {
    let height = |step: &Step| step.refused + step.would_refuse;
    let highest = series
        .iter()
        .max_by_key(|step| height(step))
        .filter(|step| height(step) > 0)?;
    let first = series.first()?.at;
    let length = series
        .get(1)
        .map_or(until.duration_since(first), |second| second.at.duration_since(first));
    let span = length.as_secs_f64() * series.len() as f64;
    let top = ceiling(height(highest));
    let words = language.words();
    let observed = series.iter().any(|step| step.would_refuse > 0);
    let marks = marks(first, span, language, zone);
    Some(html! {
        p.what {
            (fill(words.every, &[&language.length(length.as_secs()), &language.zone(zone, until)])) " "
            (fill(words.peak, &[&grouped(height(highest)), &language.short_time(highest.at, zone)]))
        }
        figure.chart role="img" aria-label=(words.over_time) style=(format!("padding-left:{}ch", grouped(top).len() + 1)) {
            div.plot {
                @for part in (0..=4_u64).rev() {
                    div.line style=(format!("top:{}%", 100 - part * 25)) {
                        @if part > 0 { span { (grouped(top * part / 4)) } }
                    }
                }
                svg viewBox=(format!("0 0 {} 1000", series.len() * 10)) preserveAspectRatio="none" {
                    @if observed { path.would d=(outline(series, top, height)) {} }
                    path.refused d=(outline(series, top, |step| step.refused)) {}
                    @for (number, step) in series.iter().enumerate().filter(|(_, step)| height(step) > 0) {
                        rect x=(number * 10) y="0" width="10" height="1000" { title { (said(step, language, zone)) } }
                    }
                }
            }
            div.axis {
                @for mark in &marks {
                    span.mark.(mark.place) style=(format!("left:{:.2}%", mark.at * 100.0)) { (mark.text) }
                }
            }
            @if observed {
                figcaption.legend {
                    span { i.refused {} (words.refused) }
                    span { i.would {} (words.would_refuse) }
                }
            }
        }
    })
}

fn said(step: &Step, language: Language, zone: &TimeZone) -> String {
    let words = language.words();
    let mut text = format!(
        "{}\n{}: {}",
        language.short_time(step.at, zone),
        words.refused,
        grouped(step.refused)
    );
    if step.would_refuse > 0 {
        let _ = write!(text, "\n{}: {}", words.would_refuse, grouped(step.would_refuse));
    }
    let _ = write!(text, "\n{}: {}", words.let_in, grouped(step.passed));
    text
}

/// Steps of 10 units' width, 1000 units high.
fn outline(series: &[Step], top: u64, height: impl Fn(&Step) -> u64) -> String {
    let mut path = "M0,1000".to_owned();
    for (number, step) in series.iter().enumerate() {
        // What is there shall be seen.
        let value = u128::from(height(step));
        let high = if value == 0 {
            0
        } else {
            (value * 1000 / u128::from(top)).max(4)
        };
        let _ = write!(path, "V{}H{}", 1000 - high, (number + 1) * 10);
    }
    path.push_str("V1000z");
    path
}

/// The next number whose quarters are whole and easy to read.
fn ceiling(highest: u64) -> u64 {
    let mut decade = 1_u64;
    loop {
        for leading in [4, 8, 12, 20, 40] {
            let top = decade.saturating_mul(leading);
            if top >= highest {
                return top;
            }
        }
        decade = decade.saturating_mul(10);
    }
}

/// A time at the axis.
struct Mark {
    /// Where, from 0 to 1.
    at: f64,
    text: String,
    /// Class that keeps it inside the picture, or leaves it out on narrow screens.
    place: &'static str,
}

/// Round times of the zone: the smallest distance that gives not too many.
fn marks(first: Timestamp, seconds: f64, language: Language, zone: &TimeZone) -> Vec<Mark> {
    const HOURS: [i64; 9] = [1, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24];
    let few = |hours: &&i64| seconds / (**hours as f64 * 3600.0) < MARKS as f64;
    let distance = HOURS.iter().find(few).copied().unwrap_or(28 * 24);
    // Wall-clock steps from a midnight: a day that is longer or shorter than others still begins at 0:00.
    let mut time = zone.to_datetime(first).date().to_datetime(civil::Time::midnight());
    let mut marks = Vec::new();
    while let Ok(at) = zone.to_timestamp(time) {
        let place = at.duration_since(first).as_secs_f64() / seconds;
        if place > 1.0 {
            break;
        }
        let this = time;
        time = time.saturating_add(SignedDuration::from_hours(distance));
        if place < 0.0 || time == this {
            continue;
        }
        let text = if this.hour() == 0 {
            language.day(at, zone)
        } else {
            this.strftime("%-H:%M").to_string()
        };
        let class = match (place, marks.len() % 2) {
            (..0.04, _) => "first",
            (0.96.., _) => "last",
            (_, 1) => "odd",
            _ => "even",
        };
        marks.push(Mark {
            at: place,
            text,
            place: class,
        });
    }
    marks
}
