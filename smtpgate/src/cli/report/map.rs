//! The map of the world: each country in the colour of its number.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::words::Language;
use crate::cli::output::grouped;

/// Made by `cargo xtask world`: width, height and the outlines of what belongs to no code; then a country a line. After its
/// code come, for each language, name, place of a dot and outline: Japan's maps have Japan in the middle.
static TABLE: &str = include_str!("../../../data/world.tsv");

/// Colours beside that of nothing.
const SHADES: u32 = 5;

pub(super) struct World {
    language: Language,
    width: &'static str,
    height: &'static str,
    nobody: &'static str,
    countries: BTreeMap<&'static str, Country>,
}

struct Country {
    name: &'static str,
    place: Option<(&'static str, &'static str)>,
    outline: &'static str,
}

impl World {
    /// As the language's readers know it.
    pub(super) fn new(language: Language) -> Self {
        let column = match language {
            Language::En => 0,
            Language::Ja => 1,
        };
        let mut lines = TABLE.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let field = |line: &[&'static str], number: usize| line.get(number).copied().unwrap_or_default();
        let first = lines.next().unwrap_or_default();
        Self {
            language,
            width: field(&first, 0),
            height: field(&first, 1),
            nobody: field(&first, 2 + column),
            countries: lines
                .map(|line| {
                    let own = |number: usize| field(&line, 1 + 3 * column + number);
                    let country = Country {
                        name: own(0),
                        place: own(1).split_once(','),
                        outline: own(2),
                    };
                    (field(&line, 0), country)
                })
                .collect(),
        }
    }

    /// What its readers call a country; the code where the table has no name.
    pub(super) fn name<'a>(&self, code: &'a str) -> &'a str {
        self.countries.get(code).map_or(code, |country| country.name)
    }

    /// The map with its legend, for numbers by code.
    pub(super) fn draw(&self, numbers: &BTreeMap<&str, u64>) -> Markup {
        let scale = Scale::up_to(numbers.values().copied().max().unwrap_or(0));
        let title = |code: &str, number: u64| format!("{}: {}", self.name(code), grouped(number));
        let coloured = |code: &str| numbers.get(code).copied().filter(|number| *number > 0);
        html! {
            figure.map {
                svg role="img" viewBox=(format!("0 0 {} {}", self.width, self.height)) aria-label=(self.language.words().map_label) {
                    path d=(self.nobody) {}
                    @for (code, country) in self.countries.iter().filter(|(_, country)| !country.outline.is_empty()) {
                        @if let Some(number) = coloured(code) {
                            path class=(scale.class(number)) d=(country.outline) { title { (title(code, number)) } }
                        } @else {
                            path d=(country.outline) {}
                        }
                    }
                    @for (code, country) in &self.countries {
                        @if let (Some((x, y)), Some(number)) = (country.place, coloured(code)) {
                            circle class=(scale.class(number)) cx=(x) cy=(y) r="9" { title { (title(code, number)) } }
                        }
                    }
                }
                figcaption.legend {
                    span { i.s0 {} (self.language.words().none_refused) }
                    @for (class, text) in scale.legend() { span { i class=(class) {} (text) } }
                }
            }
        }
    }
}

/// Each colour is for ten times as many as the one before: a handful of countries sends nearly all.
struct Scale {
    /// Powers of ten below the largest number.
    decades: u32,
}

impl Scale {
    fn up_to(largest: u64) -> Self {
        Self {
            decades: largest.checked_ilog10().unwrap_or(0),
        }
    }

    /// The lowest that has the lightest colour in use holds all that is smaller, too.
    fn shade(&self, number: u64) -> u32 {
        let below = self.decades.saturating_sub(number.checked_ilog10().unwrap_or(0));
        SHADES.saturating_sub(below).max(1)
    }

    fn class(&self, number: u64) -> String {
        format!("s{}", self.shade(number))
    }

    fn legend(&self) -> Vec<(String, String)> {
        let lowest = SHADES.saturating_sub(self.decades).max(1);
        (lowest..=SHADES)
            .map(|shade| {
                let decade = self.decades - (SHADES - shade);
                let from = if shade == lowest { 1 } else { 10_u64.pow(decade) };
                let text = match (shade == SHADES, 10_u64.checked_pow(decade + 1)) {
                    (false, Some(end)) => format!("{}–{}", grouped(from), grouped(end - 1)),
                    _ => format!("{}+", grouped(from)),
                };
                (format!("s{shade}"), text)
            })
            .collect()
    }
}
