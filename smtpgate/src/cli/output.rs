//! What the command writes: text for people or JSON for programs, never both.

use std::{
    cell::Cell,
    io::{self, Write as _},
};

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

/// Columns of a terminal that nobody made wider.
const WIDTH: usize = 80;

/// The one place that writes to standard output.
pub(crate) struct Output {
    json: bool,
    /// A document is out: it is the only one.
    told: Cell<bool>,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self {
            json,
            told: Cell::new(false),
        }
    }

    /// One document.
    pub(crate) fn document<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        let body = if self.json {
            serde_json::to_string_pretty(value).unwrap_or_default()
        } else {
            text(value)
        };
        self.told.set(true);
        write(&body);
    }

    /// One object of a stream, on a line of its own. False when nobody reads any more.
    pub(crate) fn line<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> bool {
        let body = if self.json {
            serde_json::to_string(value).unwrap_or_default()
        } else {
            text(value)
        };
        write(&body)
    }

    /// The end of a verb that failed. A program gets it as the document, unless it has one already: `status` of a gate
    /// that does not enforce.
    pub(super) fn failure(&self, message: &str, code: u8) {
        if self.json && !self.told.get() {
            write(&serde_json::json!({ "error": message, "exit_code": code }).to_string());
        } else {
            let _ = writeln!(io::stderr(), "smtpgate: {message}");
        }
    }
}

/// A reader that went away (`| head`) is no error of ours, but false.
fn write(body: &str) -> bool {
    let mut stdout = io::stdout().lock();
    let end = if body.ends_with('\n') { "" } else { "\n" };
    let written = stdout.write_all(body.as_bytes());
    let written = written.and_then(|()| stdout.write_all(end.as_bytes()));
    written.and_then(|()| stdout.flush()).is_ok()
}

/// Columns, each as wide as its widest cell; the last one is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.width();
            match widths.get_mut(column) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if column + 1 < row.len() {
                let width = widths.get(column).copied().unwrap_or_default();
                line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines of a text behind `head`, none wider than a terminal is by custom; the further ones begin below the first.
pub(crate) fn hanging(head: &str, text: &str) -> String {
    let indent = " ".repeat(head.width());
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(head)
        .subsequent_indent(&indent)
        .break_words(false);
    textwrap::fill(text, options) + "\n"
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time in its largest unit of which there are at least two.
pub(crate) fn rough(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A prefix; a single address without its length.
pub(crate) fn prefix(prefix: &ipnet::IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

/// The end of a ban, where it has one: in the machine's zone, to the minute.
pub(crate) fn until(end: Option<jiff::Timestamp>) -> String {
    let zone = jiff::tz::TimeZone::system();
    end.map_or_else(
        || "lifted".to_owned(),
        |end| zone.to_datetime(end).strftime("%F %H:%M").to_string(),
    )
}

/// A time in the machine's zone, to the second.
pub(crate) fn when(time: jiff::Timestamp) -> String {
    jiff::tz::TimeZone::system()
        .to_datetime(time)
        .strftime("%F %T")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_long_text_hangs_below_its_begin() {
        let text = hanging("  ! ", &"word ".repeat(20));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        assert!(
            lines[0].starts_with("  ! word") && lines[1].starts_with("    word"),
            "{text}"
        );
    }

    #[test]
    fn output_numbers_and_lengths_are_for_people() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
        for (seconds, expected) in [
            (7, "7 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7200, "2 h"),
            (200_000, "2 days"),
        ] {
            assert_eq!(rough(seconds), expected);
        }
    }
}
