//! The newest bans, a line each and the log lines that led to them.

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Line};

use super::{
    Look,
    columns::{Column, line, narrowed, widest},
    put, split_head,
};
use crate::{
    cli::output::{prefix, rough},
    daemon::report::{BanState, Top},
    maillog,
};

/// From this height on each ban has its last line of evidence; below, only the chosen one.
const ROOMY: usize = 8;

/// `chosen` is the place in the list that the keys are about, if they are.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &Top, chosen: Option<usize>, look: &Look) {
    let [head, body] = split_head(area);
    let height = usize::from(body.height);
    let told = chosen.unwrap_or(0);
    let evidence = |place: usize, ban: &BanState| {
        if height >= ROOMY || place == told {
            ban.evidence.last().cloned()
        } else {
            None
        }
    };
    let lines_of = |place: usize, ban: &BanState| 1 + usize::from(evidence(place, ban).is_some());
    // As many above the chosen one as leave it in view.
    let mut above = 0;
    let until_told = |above: usize| {
        let upto = top.bans.iter().enumerate().take(told + 1).skip(above);
        upto.map(|(place, ban)| lines_of(place, ban)).sum::<usize>()
    };
    while above < told && until_told(above) > height {
        above += 1;
    }
    let shown = || top.bans.iter().enumerate().skip(above).take(height);
    let names: Vec<String> = shown().map(|(_, ban)| prefix(&ban.prefix)).collect();
    let rules = shown().map(|(_, ban)| ban.rule.as_str());

    let column = |name, width, right, goes| Column {
        name,
        width,
        right,
        goes,
    };
    let mut columns = vec![
        column(
            "NEWEST BANS",
            widest(names.iter().map(String::as_str), 16, 43),
            false,
            0,
        ),
        column("CC", 2, false, 0),
        column("AGO", 7, true, 2),
        column("LEFT", 7, true, 1),
        column("TIMES", 5, true, 4),
        column("RULE", widest(rules, 4, 12), false, 3),
        column("REASON", 0, false, 0),
    ];
    narrowed(&mut columns, usize::from(area.width).saturating_sub(2), 28);

    let heading = line(&columns, look.marks, |column| column.name.to_owned());
    put(buffer, head, Line::styled(format!("  {heading}"), look.heading()));
    if top.bans.is_empty() {
        put(buffer, body, Line::raw("  none"));
    }
    let mut rows = body.rows();
    for ((place, ban), name) in shown().zip(&names) {
        let text = line(&columns, look.marks, |column| match column.name {
            "NEWEST BANS" => name.clone(),
            "CC" => ban.country.clone().unwrap_or_else(|| "?".to_owned()),
            "AGO" => rough(super::seconds_to(ban.since, top.now)),
            "LEFT" => ban
                .until
                .map_or_else(|| "unban".to_owned(), |until| rough(super::seconds_to(top.now, until))),
            "TIMES" => ban.times.to_string(),
            "RULE" => ban.rule.clone(),
            _ => ban.reason.clone(),
        });
        let (mark, style) = if chosen == Some(place) {
            ("> ", look.chosen())
        } else {
            ("  ", Style::new())
        };
        let Some(row) = rows.next() else { return };
        put(buffer, row, Line::styled(format!("{mark}{text}"), style));
        if let Some(evidence) = evidence(place, ban) {
            let Some(row) = rows.next() else { return };
            // Time, host and program are alike for all, and there is little room.
            let text = maillog::message(&evidence).unwrap_or(&evidence);
            let text = look.marks.fit(text, usize::from(row.width).saturating_sub(6));
            put(buffer, row, Line::raw(format!("      {text}")));
        }
    }
}
