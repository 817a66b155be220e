//! Refusals by gate, by reason and by country, side by side.

use std::{cmp::Reverse, collections::BTreeMap};

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{super::words::short, Look, put, refused, split_head};
use crate::daemon::report::{Counter, Top};

/// A number, and the space before it.
const NUMBER: usize = 8;
/// Room for a name: the longest reason at the least.
const NAME: [usize; 2] = [12, 22];

pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &Top, look: &Look) {
    let width = usize::from(area.width);
    let gap = if width < 100 { 2 } else { 5 };
    let countries = (width / 4).clamp(18, 24);
    let part = width.saturating_sub(countries + 2 * gap) / 2;
    let spans = (part.saturating_sub(NAME[0]) / NUMBER).clamp(1, top.traffic.len().max(1));
    // A number far from its name is read with another one's.
    let part = part.min(NAME[1] + spans * NUMBER);
    let [head, body] = split_head(area);

    let gap = " ".repeat(gap);
    let parts = [
        counted(top, "BY GATE", part, spans, look, |row| {
            row.gate.clone().unwrap_or_else(|| "no gate".to_owned())
        }),
        counted(top, "BY REASON", part, spans, look, |row| row.reason.clone()),
        by_country(top, countries, look),
    ];
    let line = |place: usize| {
        let cells = parts.iter().map(|part| part.get(place).cloned());
        let widths = [part, part, countries];
        let cells = cells
            .zip(widths)
            .map(|(cell, width)| cell.unwrap_or_else(|| " ".repeat(width)));
        cells.collect::<Vec<_>>().join(&gap)
    };
    put(
        buffer,
        head,
        Line::styled(look.marks.left(&line(0), width), look.heading()),
    );
    for (place, row) in body.rows().enumerate() {
        put(buffer, row, Line::raw(line(place + 1)));
    }
}

/// A heading and a line a name: packets in each of the first `spans` spans, the most first.
fn counted(
    top: &Top,
    heading: &str,
    width: usize,
    spans: usize,
    look: &Look,
    name: impl Fn(&Counter) -> String,
) -> Vec<String> {
    let mut sums: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (place, span) in top.traffic.iter().take(spans).enumerate() {
        for row in refused(&span.counters) {
            let sum = sums.entry(name(row)).or_insert_with(|| vec![0; spans]);
            sum[place] += row.packets;
        }
    }
    let mut rows: Vec<(String, Vec<u64>)> = sums.into_iter().collect();
    rows.sort_by_key(|(_, sums)| Reverse(sums.clone()));

    let first = width.saturating_sub(NUMBER * spans);
    let line = |name: &str, numbers: &mut dyn Iterator<Item = String>| {
        let mut line = look.marks.left(name, first);
        for number in numbers {
            line.push_str(&look.marks.right(&number, NUMBER));
        }
        line
    };
    let mut headings = top.traffic.iter().take(spans).map(|span| span.span.to_uppercase());
    let mut lines = vec![line(heading, &mut headings)];
    lines.extend(
        rows.iter()
            .map(|(name, sums)| line(name, &mut sums.iter().map(|sum| short(*sum)))),
    );
    lines
}

fn by_country(top: &Top, width: usize, look: &Look) -> Vec<String> {
    let all = top.sample.refusals;
    let of = format!("of {}", short(all));
    let heading = format!("{}{}", look.marks.left("COUNTRY", 8), look.marks.right(&of, width - 8));
    let mut lines = vec![heading];
    lines.extend(top.countries.iter().map(|seen| {
        let share = seen.refusals * 100 / all.max(1);
        let share = if share == 0 {
            "< 1 %".to_owned()
        } else {
            format!("{share} %")
        };
        let number = look.marks.right(&short(seen.refusals), NUMBER);
        format!(
            "{}{number}{}",
            look.marks.left(seen.country.as_deref().unwrap_or("?"), 4),
            look.marks.right(&share, width - 4 - NUMBER)
        )
    }));
    lines
}
