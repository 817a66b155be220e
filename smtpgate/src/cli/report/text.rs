//! The report on a terminal, or in the mail that cron sends: the same figures, cut short.

use std::fmt::Write as _;

use jiff::{SignedDuration, tz::TimeZone};

use super::{map::World, page::shown, words::Language};
use crate::{
    cli::output::{grouped, prefix, table},
    daemon::{
        period::SYNS,
        report::{Period, Step},
    },
};

/// Rows of each table.
const ROWS: usize = 8;
/// Columns of the picture of the time.
const COLUMNS: usize = 60;
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) fn text(period: &Period, zone: &TimeZone) -> String {
    let when = |time| zone.to_datetime(time).strftime("%F %H:%M").to_string();
    let zone_name = Language::En.zone(zone, period.until);
    let mode = match period.mode.as_str() {
        "enforce" | "mixed" if !period.enforcing => "NOT ENFORCING",
        "enforce" => "enforcing",
        "observe" => "ONLY OBSERVING",
        _ => "PARTLY OBSERVING",
    };
    let mut text = format!(
        "{}: {} to {}, {zone_name}, now {mode}\n\n",
        shown(&period.host),
        when(period.since),
        when(period.until)
    );
    let packets = |verdict: &str| -> u64 {
        let rows = period.counters.iter().filter(|row| row.verdict == verdict);
        rows.map(|row| row.packets).sum()
    };
    let (refused, would) = (packets("drop"), packets("would_drop"));
    let mut rules: Vec<_> = period.bans_by_rule.iter().collect();
    rules.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let rules: Vec<String> = rules
        .iter()
        .map(|(rule, number)| format!("{} {rule}", grouped(**number)))
        .collect();
    let bans: u64 = period.bans_by_rule.values().sum();
    let mut rows = vec![figure(
        "refused",
        refused,
        &format!("packets, of about {} attempts", grouped(refused / SYNS)),
    )];
    if would > 0 {
        rows.push(figure(
            "would be refused",
            would,
            "packets that a gate let in because it only observes",
        ));
    }
    rows.push(figure("let in", packets("pass"), "packets"));
    rows.push(figure(
        "log lines spared",
        period.lines_spared,
        "an estimate, on the low side",
    ));
    let later = period.offences_since.duration_since(period.since);
    let known = if later > SignedDuration::from_hours(1) {
        format!("in the log since {}", when(period.offences_since))
    } else {
        "in the log".to_owned()
    };
    rows.push(figure("offences", period.offences, &known));
    rows.push(figure("bans", bans, &rules.join(", ")));
    text.push_str(&table(&aligned(rows, 1)));

    if let Some(graph) = graph(&period.series) {
        let ends = [period.since, period.until].map(when);
        let between = graph.chars().count().saturating_sub(ends[0].len());
        let _ = write!(
            text,
            "\nRefused over time\n  {graph}\n  {}{:>between$}\n",
            ends[0], ends[1]
        );
    }

    let world = World::new(Language::En);
    let named = |code: Option<&str>| code.map_or("unknown".to_owned(), |code| shown(world.name(code)));
    if !period.countries.is_empty() {
        let all = refused + would;
        let _ = if period.sampled >= all - all / 50 {
            writeln!(text, "\nWhere from")
        } else {
            writeln!(
                text,
                "\nWhere from (a sample: {} of {} packets)",
                grouped(period.sampled),
                grouped(all)
            )
        };
        let rows = period.countries.iter().take(ROWS);
        let rows = rows.map(|seen| {
            vec![
                named(seen.country.as_deref()),
                grouped(seen.refusals),
                percent(seen.refusals, period.sampled),
            ]
        });
        text.push_str(&table(&aligned(rows.collect(), 1)));
        text.push_str(&more(period.countries.len()));
    }
    if !period.networks.is_empty() {
        text.push_str("\nNetworks\n");
        let rows = period.networks.iter().take(ROWS);
        let rows = rows.map(|seen| {
            let owner = seen.owner.as_ref().map(|owner| shown(&owner.to_string()));
            let place: Vec<String> = [named(seen.country.as_deref())].into_iter().chain(owner).collect();
            vec![
                prefix(&seen.network),
                grouped(seen.refusals),
                cut(&place.join(", "), 48),
            ]
        });
        text.push_str(&table(&aligned(rows.collect(), 1)));
        text.push_str(&more(period.networks.len()));
    }
    if !period.accounts.is_empty() {
        text.push_str("\nAccounts under attack\n");
        let rows = period.accounts.iter().take(ROWS);
        let rows = rows.map(|seen| {
            let from = format!("from {} addresses, last {}", grouped(seen.addresses), when(seen.last));
            vec![cut(&shown(&seen.user), 32), grouped(seen.offences), from]
        });
        text.push_str(&table(&aligned(rows.collect(), 1)));
        text.push_str(&more(period.accounts.len()));
    }
    if !period.bans.is_empty() {
        text.push_str("\nNewest bans\n");
        let rows = period.bans.iter().take(ROWS);
        let rows = rows.map(|ban| vec![when(ban.since), prefix(&ban.prefix), cut(&shown(&ban.reason), 60)]);
        text.push_str(&table(&rows.collect::<Vec<_>>()));
    }
    text.push_str("\nWith a map and the evidence: smtpgate report --html FILE\n");
    text
}

fn figure(name: &str, number: u64, what: &str) -> Vec<String> {
    vec![name.to_owned(), grouped(number), what.to_owned()]
}

/// The numbers of a column stand at its right.
fn aligned(mut rows: Vec<Vec<String>>, column: usize) -> Vec<Vec<String>> {
    let widest = rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    for cell in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
        *cell = format!("{cell:>width$}", width = widest.unwrap_or_default());
    }
    rows
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn percent(part: u64, all: u64) -> String {
    format!("{:4.1} %", part as f64 * 100.0 / all.max(1) as f64)
}

fn more(all: usize) -> String {
    match all.saturating_sub(ROWS) {
        0 => String::new(),
        rest => format!("  and {} more\n", grouped(rest as u64)),
    }
}

/// One line, a column for one or more steps; none when nothing was refused.
fn graph(series: &[Step]) -> Option<String> {
    let steps = series.len().div_ceil(COLUMNS).max(1);
    let sum = |steps: &[Step]| -> u64 { steps.iter().map(|step| step.refused + step.would_refuse).sum() };
    let columns: Vec<u64> = series.chunks(steps).map(sum).collect();
    let highest = columns.iter().copied().max().filter(|highest| *highest > 0)?;
    let level = |column: u64| {
        // What is there shall be seen.
        let level = (u128::from(column) * 8).div_ceil(u128::from(highest));
        usize::try_from(level)
            .ok()
            .and_then(|level| LEVELS.get(level))
            .copied()
            .unwrap_or('█')
    };
    Some(columns.into_iter().map(level).collect())
}
