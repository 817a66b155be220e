//! The heaviest sources, a line each.

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Line};

use super::{
    super::words::short,
    Look,
    columns::{Column, line, narrowed, widest},
    put, split_head,
};
use crate::{
    cli::output::rough,
    daemon::report::{SourceSeen, Top},
};

const OWNER: &str = "NETWORK OWNER";

/// `chosen` is the place in the list that the keys are about, if they are.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &Top, chosen: Option<usize>, look: &Look) {
    let [head, body] = split_head(area);
    let height = usize::from(body.height);
    let above = chosen.map_or(0, |place| (place + 1).saturating_sub(height));
    let shown: Vec<(usize, &SourceSeen)> = top.sources.iter().enumerate().skip(above).take(height).collect();
    let addresses: Vec<String> = shown.iter().map(|(_, seen)| seen.source.to_string()).collect();

    let column = |name, width, right, goes| Column {
        name,
        width,
        right,
        goes,
    };
    let reasons = shown.iter().map(|(_, seen)| seen.reason.as_str());
    let gates = shown.iter().filter_map(|(_, seen)| seen.gate.as_deref());
    let mut columns = vec![
        column(
            "HEAVIEST SOURCES",
            widest(addresses.iter().map(String::as_str), 16, 39),
            false,
            0,
        ),
        column("CC", 2, false, 0),
        column("REFUSED", 7, true, 0),
        column("LAST", 7, true, 2),
        column("REASON", widest(reasons, 7, 12), false, 1),
        column("GATE", widest(gates, 4, 16), false, 3),
    ];
    // Without a file that knows them there is no column; with one it is wide enough to tell them apart.
    let named = top.sources.iter().any(|seen| seen.owner.is_some());
    let (name, least) = if named { (OWNER, 24) } else { ("", 0) };
    columns.push(column(name, 0, false, 0));
    narrowed(&mut columns, usize::from(area.width).saturating_sub(2), least);

    let heading = line(&columns, look.marks, |column| column.name.to_owned());
    put(buffer, head, Line::styled(format!("  {heading}"), look.heading()));
    if shown.is_empty() {
        put(buffer, body, Line::raw("  none has been refused yet"));
    }
    for (row, ((place, seen), address)) in body.rows().zip(shown.iter().zip(&addresses)) {
        let text = line(&columns, look.marks, |column| match column.name {
            "HEAVIEST SOURCES" => address.clone(),
            "CC" => seen.country.clone().unwrap_or_else(|| "?".to_owned()),
            "REFUSED" => short(seen.refusals),
            "LAST" => rough(super::seconds_to(seen.last, top.now)),
            "REASON" => seen.reason.clone(),
            "GATE" => seen.gate.clone().unwrap_or_else(|| "-".to_owned()),
            OWNER => seen.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            _ => String::new(),
        });
        let (mark, style) = if chosen == Some(*place) {
            ("> ", look.chosen())
        } else {
            ("  ", Style::new())
        };
        put(buffer, row, Line::styled(format!("{mark}{text}"), style));
    }
}
