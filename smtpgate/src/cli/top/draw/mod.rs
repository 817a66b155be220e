//! The screen as cells of a terminal. Nothing is said by colour alone; what comes from a log is cleaned before it is shown.

use std::borrow::Cow;

use jiff::{Timestamp, tz::TimeZone};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Clear, Paragraph, Widget as _, Wrap},
};

use super::{
    graph::{graph, rate_now, unwanted},
    screen::{List, Over, Question, Screen, TIMES},
    words::{Marks, short},
};
use crate::{
    cli::output::prefix,
    daemon::report::{Counter, Top},
};

mod bans;
mod columns;
mod help;
mod sources;
mod split;

/// Less than this shows nothing that is of use.
const LEAST: (u16, u16) = (40, 8);

/// How the terminal wants it.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The signs that it knows.
    pub(super) marks: &'static Marks,
    /// Whether it has colours, and they are wanted.
    pub(super) colour: bool,
    /// In which times of day are told.
    pub(super) zone: TimeZone,
    /// A picture for paper: nothing is chosen, and there are no keys.
    pub(super) still: bool,
}

impl Look {
    fn coloured(&self, style: Style, colour: Color) -> Style {
        if self.colour { style.fg(colour) } else { style }
    }

    fn heading(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    fn alarm(&self) -> Style {
        self.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Red)
    }

    fn warning(&self) -> Style {
        self.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Yellow)
    }

    fn chosen(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Draws all of it.
pub(super) fn draw(area: Rect, buffer: &mut Buffer, screen: &Screen, look: &Look) {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return too_small(buffer, area);
    }
    let Some(top) = &screen.top else {
        let text = screen.lost.as_deref().unwrap_or("asking the daemon …");
        Paragraph::new(look.marks.clean(text).into_owned())
            .wrap(Wrap { trim: true })
            .render(area, buffer);
        return;
    };
    let rows = Rows::of(area, look);
    put(buffer, rows.head, head(screen, top, look, area.width));
    put(buffer, rows.totals, totals(top, look, area.width));
    let lines = graph(
        &top.pulses,
        top.now,
        rows.graph.width.into(),
        rows.graph.height.into(),
        look.marks,
    );
    let bars = look.coloured(Style::new(), Color::Cyan);
    for (row, line) in rows.graph.rows().zip(lines) {
        put(buffer, row, Line::styled(line, bars));
    }
    split::draw(buffer, rows.split, top, look);
    let in_list = |list: List| !look.still && screen.list == list;
    let place = in_list(List::Sources).then(|| screen.source_place());
    sources::draw(buffer, rows.sources, top, place, look);
    let place = in_list(List::Bans).then(|| screen.ban_place());
    bans::draw(buffer, rows.bans, top, place, look);
    over(buffer, rows.body, screen, look);
    if !look.still {
        put(buffer, rows.foot, foot(screen, look, area.width));
    }
}

fn put(buffer: &mut Buffer, area: Rect, line: Line<'_>) {
    if area.height > 0 {
        buffer.set_line(area.x, area.y, &line, area.width);
    }
}

fn too_small(buffer: &mut Buffer, area: Rect) {
    let text = format!(
        "This window is too small ({}x{}): smtpgate top needs {}x{}, and shows all from 80x24 on. q quits",
        area.width, area.height, LEAST.0, LEAST.1
    );
    Paragraph::new(text).wrap(Wrap { trim: true }).render(area, buffer);
}

/// Where everything is. A low window goes without the graph's axis and the split, then without the graph.
struct Rows {
    head: Rect,
    totals: Rect,
    graph: Rect,
    split: Rect,
    sources: Rect,
    bans: Rect,
    /// All but head and foot.
    body: Rect,
    foot: Rect,
}

impl Rows {
    fn of(area: Rect, look: &Look) -> Self {
        let foot = u16::from(!look.still);
        let (graph, split) = match area.height {
            22.. => (((area.height - 4) / 4).min(12), (area.height / 5).clamp(5, 9)),
            14..22 => (3, 0),
            _ => (0, 0),
        };
        let lists = area.height - 2 - graph - split - foot;
        let sources = lists.div_ceil(2);
        let mut y = area.y;
        let mut take = |height: u16| {
            let taken = Rect { y, height, ..area };
            y += height;
            taken
        };
        Self {
            head: take(1),
            totals: take(1),
            graph: take(graph),
            split: take(split),
            sources: take(sources),
            bans: take(lists - sources),
            foot: take(foot),
            body: Rect {
                y: area.y + 1,
                height: area.height - 1 - foot,
                ..area
            },
        }
    }
}

/// Is it enforcing, where, and when was that so.
fn head<'t>(screen: &Screen, top: &Top, look: &Look, width: u16) -> Line<'t> {
    let state = match (&screen.lost, top.enforcing, top.mode.as_str()) {
        (Some(_), ..) => Span::styled("NO ANSWER", look.alarm()),
        (None, true, "mixed") => Span::styled("ENFORCING, some gates observe", look.warning()),
        (None, true, _) => Span::styled(
            "ENFORCING",
            look.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Green),
        ),
        (None, false, "observe") => Span::styled("OBSERVING, nothing is refused", look.warning()),
        (None, false, _) => Span::styled("NOT ENFORCING", look.alarm()),
    };
    let interfaces: Vec<String> = top
        .interfaces
        .iter()
        .map(|interface| format!("{} {}", interface.name, interface.attach))
        .collect();
    let mut left = vec![Span::raw("smtpgate  "), state];
    if top.attention > 0 {
        let needs = if top.attention == 1 { "needs" } else { "need" };
        let text = format!("  ! {} {needs} attention", top.attention);
        left.push(Span::styled(text, look.warning()));
    }
    left.push(Span::raw(format!("  {}", look.marks.clean(&interfaces.join(", ")))));
    let bans = if top.bans_in_force == 1 { "ban" } else { "bans" };
    let right = format!(
        "{} {bans}  {}",
        short(top.bans_in_force),
        look.zone.to_datetime(top.now).strftime("%T")
    );
    both_ends(left, right, width, look)
}

/// The rate now, and what it came to.
fn totals<'t>(top: &Top, look: &Look, width: u16) -> Line<'t> {
    let mut text = format!("{}  last", rate_now(&top.pulses, unwanted));
    for span in &top.traffic {
        let refused: u64 = refused(&span.counters).map(|row| row.packets).sum();
        text.push_str(&format!(" {} {} ", span.span, short(refused)));
    }
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let left = vec![
        Span::styled(refused_word(&top.mode), bold),
        Span::raw(format!("  {text}")),
    ];
    let right = format!("let in {}", rate_now(&top.pulses, |pulse| pulse.passed));
    both_ends(left, right, width, look)
}

fn refused_word(mode: &str) -> &'static str {
    match mode {
        "observe" => "Would be refused",
        "mixed" => "Refused, or would be",
        _ => "Refused",
    }
}

/// What was refused, or would have been.
fn refused(counters: &[Counter]) -> impl Iterator<Item = &Counter> {
    counters.iter().filter(|row| row.verdict != "pass")
}

/// Left and right end of a line; where there is no room for both, the right one goes on, the left one is cut.
fn both_ends<'t>(left: Vec<Span<'t>>, right: String, width: u16, look: &Look) -> Line<'t> {
    let width = usize::from(width);
    let mut room = width.saturating_sub(right.len() + 2);
    let mut spans = Vec::new();
    for span in left {
        let text = look.marks.fit(&span.content, room);
        let span = Span::styled(text, span.style);
        room -= span.width();
        spans.push(span);
    }
    spans.push(Span::raw(" ".repeat(room + 2)));
    spans.push(Span::raw(right));
    Line::from(spans)
}

/// Between two times, none below zero.
fn seconds_to(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

/// What lies over the lists.
fn over(buffer: &mut Buffer, area: Rect, screen: &Screen, look: &Look) {
    match &screen.over {
        Over::Nothing | Over::Question(_) => {}
        Over::Help => {
            Clear.render(area, buffer);
            help::draw(buffer, area, look);
        }
        Over::Page { title, text, above } => {
            Clear.render(area, buffer);
            let [head, body] = split_head(area);
            let heading = look.marks.left(&format!("Explain {title}"), area.width.into());
            put(buffer, head, Line::styled(heading, look.heading()));
            let lines = wrapped(text, area.width);
            for (row, line) in body.rows().zip(lines.into_iter().skip((*above).into())) {
                put(buffer, row, Line::raw(look.marks.clean(&line)));
            }
        }
    }
}

/// What a line has too much goes on a little further in than the line begins.
fn wrapped(text: &str, width: u16) -> Vec<String> {
    let wrap = |line: &str| {
        let text = line.trim_start();
        let indent = " ".repeat(line.len() - text.len());
        let further = format!("{indent}    ");
        let options = textwrap::Options::new(width.into())
            .initial_indent(&indent)
            .subsequent_indent(&further);
        let lines = textwrap::wrap(text, options);
        lines.into_iter().map(Cow::into_owned).collect::<Vec<_>>()
    };
    text.lines().flat_map(wrap).collect()
}

fn split_head(area: Rect) -> [Rect; 2] {
    let head = Rect {
        height: area.height.min(1),
        ..area
    };
    let body = Rect {
        y: area.y + head.height,
        height: area.height - head.height,
        ..area
    };
    [head, body]
}

/// What is asked, was said, is wrong; else the keys.
fn foot<'t>(screen: &Screen, look: &Look, width: u16) -> Line<'t> {
    let fit = |text: &str| look.marks.left(text, width.into());
    let keys = |text: &'static str| Line::raw(look.marks.fit(text, width.into()));
    match (&screen.over, &screen.said, &screen.lost) {
        (Over::Question(Question::Ban { prefix: who, time }), ..) => {
            let time = match TIMES.get(*time) {
                Some((Some(_), words)) => format!("for {words}"),
                Some((None, words)) => (*words).to_owned(),
                None => String::new(),
            };
            let text = format!("Ban {} {time}? y/N   t other time", prefix(who));
            Line::styled(fit(&text), look.chosen().add_modifier(Modifier::BOLD))
        }
        (Over::Question(Question::Unban { prefix: who }), ..) => {
            let text = format!("Lift the ban of {}? y/N", prefix(who));
            Line::styled(fit(&text), look.chosen().add_modifier(Modifier::BOLD))
        }
        (_, Some(said), _) if said.bad => Line::styled(fit(&format!("! {}", said.text)), look.alarm()),
        (_, Some(said), _) => Line::styled(fit(&said.text), Style::new().add_modifier(Modifier::BOLD)),
        (_, None, Some(lost)) => Line::styled(fit(&format!("! trying again: {lost}")), look.alarm()),
        (Over::Help, ..) => keys("any key: back   q quit"),
        (Over::Page { .. }, ..) => keys("Esc back   Up Down PgUp PgDn scroll"),
        (Over::Nothing, ..) => keys("q quit   b ban   u unban   e explain   Tab other list   Up Down choose   ? help"),
    }
}

#[cfg(test)]
mod tests;
