//! What the command writes: text for people or JSON for programs, never both.

use std::{
    cell::Cell,
    io::{self, Write as _},
};

use serde::Serialize;

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

    /// One object of a stream, on a line of its own.
    pub(crate) fn line<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        let body = if self.json {
            serde_json::to_string(value).unwrap_or_default()
        } else {
            text(value)
        };
        write(&body);
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

/// A reader that went away (`| head`) is no error of ours.
fn write(body: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(body.as_bytes());
    if !body.ends_with('\n') {
        let _ = stdout.write_all(b"\n");
    }
    let _ = stdout.flush();
}

/// Columns, each as wide as its widest cell; the last one is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
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
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A prefix; a single address without its length.
pub(crate) fn prefix(prefix: &ipnet::IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

/// A time in the machine's zone, to the second.
pub(crate) fn when(time: jiff::Timestamp) -> String {
    jiff::tz::TimeZone::system()
        .to_datetime(time)
        .strftime("%F %T")
        .to_string()
}
