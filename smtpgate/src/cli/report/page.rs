//! The page: a pure function from what was to HTML. No script, nothing fetched, every text of others escaped.

use std::collections::BTreeMap;

use jiff::{SignedDuration, tz::TimeZone};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    chart,
    map::World,
    words::{Language, fill, reason, rule},
};
use crate::{
    cli::output::{grouped, prefix},
    daemon::{
        period::{LINES, SYNS},
        report::{BanState, Counter, Period},
    },
    unseen::is_unseen,
};

/// Nothing may be loaded or run, whatever an attacker gets into a line of the log.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
const STYLE: &str = include_str!("style.css");

/// Rows of the tables of countries, networks and accounts.
const ROWS: usize = 12;
/// Bans that are shown.
const BANS: usize = 50;

/// The whole document.
pub(super) fn page(period: &Period, language: Language, zone: &TimeZone) -> String {
    let page = Page {
        period,
        language,
        zone,
        world: World::new(language),
    };
    page.document().into_string()
}

struct Page<'a> {
    period: &'a Period,
    language: Language,
    zone: &'a TimeZone,
    world: World,
}

/// A row of a table whose last column is a number with its share of all.
struct Row {
    name: Markup,
    number: u64,
}

impl Page<'_> {
    fn document(&self) -> Markup {
        let words = self.language.words();
        let host = shown(&self.period.host);
        html! {
            (DOCTYPE)
            html lang=(self.language.code()) {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="no-referrer";
                    meta name="robots" content="noindex";
                    // Else a browser asks the server for one.
                    link rel="icon" href="data:,";
                    title { (host) " – " (words.report) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.head(&host))
                    main {
                        (self.tiles())
                        section { h2 { (words.over_time) } (self.chart()) }
                        div.pair {
                            section { h2 { (words.reasons) } (self.reasons()) }
                            section { h2 { (words.gates) } (self.gates()) }
                        }
                        section { h2 { (words.countries) } (self.countries()) }
                        div.pair {
                            section { h2 { (words.networks) } (self.networks()) }
                            section { h2 { (words.accounts) } (self.accounts()) }
                        }
                        section { h2 { (words.bans) } (self.bans()) }
                    }
                    (self.notes())
                }
            }
        }
    }

    fn head(&self, host: &str) -> Markup {
        let words = self.language.words();
        let (mode, note) = match self.period.mode.as_str() {
            "enforce" | "mixed" if !self.period.enforcing => (words.not_enforcing, Some(words.not_enforcing_note)),
            "enforce" => (words.enforcing, None),
            "observe" => (words.observing, Some(words.observing_note)),
            _ => (words.mixed, Some(words.mixed_note)),
        };
        let time = |time| self.language.time(time, self.zone);
        html! {
            header {
                p.kind { (words.report) " " span.mode.careful[note.is_some()] { (mode) } }
                h1 { bdi { (host) } }
                p.while {
                    (time(self.period.since)) " – " (time(self.period.until)) " "
                    span.zone { (self.language.zone(self.zone, self.period.until)) }
                }
                @if let Some(note) = note { p.note { (note) } }
            }
        }
    }

    fn tiles(&self) -> Markup {
        let words = self.language.words();
        let (refused, would) = (self.packets("drop"), self.packets("would_drop"));
        let bans: u64 = self.period.bans_by_rule.values().sum();
        let tile = |name: &str, number: String, what: &str| {
            html! { div.tile { dt { (name) } dd { strong { (number) } span { (what) } } } }
        };
        html! {
            dl.tiles {
                (tile(words.refused_tile, grouped(refused), &fill(words.refused_what, &[&grouped(refused / SYNS)])))
                @if would > 0 { (tile(words.would_tile, grouped(would), words.would_what)) }
                (tile(words.spared_tile, format!("≈ {}", grouped(self.period.lines_spared)), words.spared_what))
                (tile(words.offences_tile, grouped(self.period.offences), self.offences_since().as_deref().unwrap_or(words.offences_what)))
                (tile(words.bans_tile, grouped(bans), words.bans_what))
            }
        }
    }

    fn packets(&self, verdict: &str) -> u64 {
        let rows = self.period.counters.iter().filter(|row| row.verdict == verdict);
        rows.map(|row| row.packets).sum()
    }

    fn chart(&self) -> Markup {
        let chart = chart::draw(&self.period.series, self.period.until, self.language, self.zone);
        chart.unwrap_or_else(|| html! { p.empty { (self.language.words().nothing_refused) } })
    }

    fn reasons(&self) -> Markup {
        let words = self.language.words();
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for row in self.period.counters.iter().filter(|row| refused(row)) {
            *sums.entry(&row.reason).or_default() += row.packets;
        }
        if sums.is_empty() {
            return html! { p.empty { (words.nothing_refused) } };
        }
        let mut rows: Vec<Row> = sums
            .into_iter()
            .map(|(code, number)| {
                let (name, meaning) = reason(self.language, code);
                let name = html! { (shown(name)) " " small { (meaning) } };
                Row { name, number }
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.number));
        let all = rows.iter().map(|row| row.number).sum();
        self.table([words.reason, words.packets], &rows, all, longest(&rows))
    }

    fn gates(&self) -> Markup {
        let words = self.language.words();
        // What no gate is known of comes last.
        let mut sums: BTreeMap<(bool, &str), [u64; 3]> = BTreeMap::new();
        for row in &self.period.counters {
            let [drop, would, pass] = sums
                .entry((row.gate.is_none(), row.gate.as_deref().unwrap_or(words.no_gate)))
                .or_default();
            *match row.verdict.as_str() {
                "drop" => drop,
                "would_drop" => would,
                _ => pass,
            } += row.packets;
        }
        let observed = sums.values().any(|[_, would, _]| *would > 0);
        html! {
            table {
                thead { tr {
                    th { (words.gate) }
                    th.number { (words.refused) }
                    @if observed { th.number { (words.would_refuse) } }
                    th.number { (words.let_in) }
                } }
                tbody {
                    @for ((none, gate), [drop, would, pass]) in &sums {
                        tr {
                            th scope="row" {
                                @if *none { small { (gate) } } @else { (shown(gate)) }
                            }
                            td.number { (grouped(*drop)) }
                            @if observed { td.number { (grouped(*would)) } }
                            td.number { (grouped(*pass)) }
                        }
                    }
                }
            }
        }
    }

    fn countries(&self) -> Markup {
        let words = self.language.words();
        let seen = &self.period.countries;
        if seen.is_empty() {
            return html! { p.empty { (words.no_source) } };
        }
        let numbers: BTreeMap<&str, u64> = seen
            .iter()
            .filter_map(|country| Some((country.country.as_deref()?, country.refusals)))
            .collect();
        let rows: Vec<Row> = seen
            .iter()
            .map(|country| Row {
                name: self.country(country.country.as_deref()),
                number: country.refusals,
            })
            .collect();
        let (left, right) = rows.split_at(rows.len().min(ROWS));
        let all: u64 = rows.iter().map(|row| row.number).sum();
        let refused = self.packets("drop") + self.packets("would_drop");
        html! {
            p.what {
                // The sample is kept by the hour, so its begin is not quite that of the while.
                @if self.period.sampled >= refused - refused / 50 { (words.all_seen) }
                @else { (fill(words.sampled, &[&grouped(self.period.sampled), &grouped(refused)])) }
            }
            (self.world.draw(&numbers))
            (self.part([words.country, words.seen], left, right, all, words.more_countries))
        }
    }

    /// Name and code of a country.
    fn country(&self, code: Option<&str>) -> Markup {
        match code {
            Some(code) => html! { (shown(self.world.name(code))) " " small { (shown(code)) } },
            None => html! { (self.language.words().unknown) },
        }
    }

    fn networks(&self) -> Markup {
        let words = self.language.words();
        let seen = &self.period.networks;
        if seen.is_empty() {
            return html! { p.empty { (words.no_source) } };
        }
        let rows: Vec<Row> = seen
            .iter()
            .take(ROWS)
            .map(|network| Row {
                name: html! {
                    code { (prefix(&network.network)) } " "
                    small {
                        (self.country_name(network.country.as_deref()))
                        @if let Some(owner) = &network.owner { ", " bdi translate="no" { (shown(&owner.to_string())) } }
                    }
                },
                number: network.refusals,
            })
            .collect();
        html! {
            p.what { (words.networks_what) }
            (self.table([words.network, words.seen], &rows, self.period.sampled, longest(&rows)))
        }
    }

    fn accounts(&self) -> Markup {
        let words = self.language.words();
        let seen = &self.period.accounts;
        if seen.is_empty() {
            return html! { p.empty { (words.no_accounts) } };
        }
        html! {
            p.what {
                (words.accounts_what)
                @if let Some(since) = self.offences_since() { " (" (since) ")" }
            }
            table {
                thead { tr {
                    th { (words.account) }
                    th.number { (words.attempts) }
                    th.number { (words.addresses) }
                    th.number.wide { (words.last) }
                } }
                tbody {
                    @for account in seen.iter().take(ROWS) {
                        tr {
                            th scope="row" { bdi translate="no" { (shown(&account.user)) } }
                            td.number { (grouped(account.offences)) }
                            td.number { (grouped(account.addresses)) }
                            td.number.wide { (self.language.short_time(account.last, self.zone)) }
                        }
                    }
                }
            }
            @if seen.len() > ROWS {
                p.more { (fill(words.more_accounts, &[&grouped((seen.len() - ROWS) as u64)])) }
            }
        }
    }

    /// Offences are forgotten before the rest.
    fn offences_since(&self) -> Option<String> {
        let since = self.period.offences_since;
        let time = self.language.short_time(since, self.zone);
        let later = since.duration_since(self.period.since);
        (later > SignedDuration::from_hours(1)).then(|| fill(self.language.words().offences_since, &[&time]))
    }

    fn bans(&self) -> Markup {
        let words = self.language.words();
        let all: u64 = self.period.bans_by_rule.values().sum();
        if self.period.bans.is_empty() {
            return html! { p.empty { (words.no_bans) } };
        }
        let number = self.period.bans.len().min(BANS) as u64;
        let mut rules: Vec<_> = self.period.bans_by_rule.iter().collect();
        rules.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        html! {
            p.what {
                @for (code, number) in rules {
                    span.tag { (shown(rule(self.language, code))) " " b { (grouped(*number)) } } " "
                }
                @if number < all {
                    (fill(words.newest, &[&grouped(number), &grouped(all)]))
                }
            }
            div.bans { @for ban in self.period.bans.iter().take(BANS) { (self.ban(ban)) } }
        }
    }

    fn ban(&self, ban: &BanState) -> Markup {
        let words = self.language.words();
        let time = |time| self.language.short_time(time, self.zone);
        html! {
            details {
                summary {
                    code { (prefix(&ban.prefix)) }
                    span.from { (self.country_name(ban.country.as_deref())) }
                    span.tag { (shown(rule(self.language, &ban.rule))) }
                    span.when {
                        (time(ban.since)) ", "
                        @if let Some(until) = ban.until { (fill(words.until, &[&time(until)])) }
                        @else { (words.until_lifted) }
                    }
                }
                p lang="en" { (shown(&ban.reason)) }
                @if ban.times > 1 { p { (fill(words.times, &[&grouped(u64::from(ban.times))])) } }
                @if ban.evidence.is_empty() {
                    p.empty { (words.no_evidence) }
                } @else {
                    ul.log translate="no" { @for line in &ban.evidence { li { bdi { (shown(line)) } } } }
                }
            }
        }
    }

    fn country_name(&self, code: Option<&str>) -> String {
        code.map_or_else(String::new, |code| shown(self.world.name(code)))
    }

    /// A table, or two of them side by side where there is room.
    fn part(&self, heads: [&str; 2], left: &[Row], right: &[Row], all: u64, more: &str) -> Markup {
        let (right, rest) = right.split_at(right.len().min(ROWS));
        let unnamed: u64 = rest.iter().map(|row| row.number).sum();
        html! {
            div.pair {
                (self.table(heads, left, all, longest(left)))
                @if !right.is_empty() { (self.table(heads, right, all, longest(left))) }
            }
            @if !rest.is_empty() {
                p.more { (fill(more, &[&grouped(rest.len() as u64)])) ": " (grouped(unnamed)) }
            }
        }
    }

    /// Names with their numbers, their shares of `all`, and bars, of which that of `longest` is as wide as can be.
    fn table(&self, heads: [&str; 2], rows: &[Row], all: u64, longest: u64) -> Markup {
        let words = self.language.words();
        let all = all.max(1);
        let longest = longest.max(1);
        html! {
            table.shares {
                thead { tr {
                    th { (heads[0]) }
                    th.number { (heads[1]) }
                    th.number { (words.share) }
                } }
                tbody {
                    @for row in rows {
                        @let percent = |of: u64| row.number as f64 * 100.0 / of as f64;
                        tr {
                            th scope="row" {
                                (row.name)
                                span.bar { i style=(format!("width:{:.1}%", percent(longest))) {} }
                            }
                            td.number { (grouped(row.number)) }
                            td.number { (share(percent(all))) }
                        }
                    }
                }
            }
        }
    }

    fn notes(&self) -> Markup {
        let words = self.language.words();
        let made = self.language.time(self.period.until, self.zone);
        html! {
            footer {
                h2 { (words.notes) }
                ul {
                    li { (words.note_exact) }
                    li { (words.note_sample) }
                    li { (fill(words.note_spared, &[&grouped(SYNS), &grouped(LINES)])) }
                    li { (words.note_country) }
                    li { (words.note_map) }
                }
                p { (fill(words.made, &[&made, env!("CARGO_PKG_VERSION")])) }
            }
        }
    }
}

fn refused(row: &Counter) -> bool {
    matches!(row.verdict.as_str(), "drop" | "would_drop")
}

fn longest(rows: &[Row]) -> u64 {
    rows.iter().map(|row| row.number).max().unwrap_or_default()
}

fn share(percent: f64) -> String {
    if percent > 0.0 && percent < 0.1 {
        "< 0.1 %".to_owned()
    } else {
        format!("{percent:.1} %")
    }
}

/// Text of others as it may be seen: what has no shape, or turns the direction of what follows, as its code.
pub(super) fn shown(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unseen(c) {
            seen.extend(c.escape_unicode());
        } else {
            seen.push(c);
        }
    }
    seen
}
