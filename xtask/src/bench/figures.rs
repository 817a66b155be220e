//! The figures of a run, by filter, size and name: what several repeats gave is a median with its ends.

use std::fmt;

use serde_json::Value;

/// As in the report's order.
pub(super) const FILTERS: [&str; 6] = ["xdp-drop", "smtpgate", "nftables", "ipset", "iptables", "none"];

/// Prefixes and bans.
pub(super) type Size = (u64, u64);

/// Everything that was measured.
pub(super) struct Figures(Value);

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Figures {
    pub(super) const fn new(found: Value) -> Self {
        Self(found)
    }

    /// Anything by its JSON pointer.
    pub(super) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Text by its JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or("?")
    }

    pub(super) fn base(&self) -> Size {
        let number = |pointer| self.at(pointer).as_u64().unwrap_or(0);
        (number("/base/prefixes"), number("/base/bans"))
    }

    /// Floods beside which a client connected, SYNs a second.
    pub(super) fn rates(&self) -> Vec<u64> {
        self.rows("rates").filter_map(Value::as_u64).collect()
    }

    /// Sizes at which a filter was measured, the smallest first.
    pub(super) fn sizes(&self, filter: &str) -> Vec<Size> {
        let mut sizes: Vec<Size> = self
            .rows("rows")
            .filter(|row| row["filter"] == filter)
            .filter_map(size)
            .collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// The largest size of all.
    pub(super) fn largest(&self) -> Size {
        self.sizes("smtpgate").pop().unwrap_or_default()
    }

    /// Sizes at which more than the gate was measured.
    pub(super) fn common_sizes(&self) -> Vec<Size> {
        self.sizes("nftables")
    }

    /// A figure of a filter's rows, by its JSON pointer.
    pub(super) fn of(&self, filter: &str, at: Size, pointer: &str) -> Option<Figure> {
        let rows = self
            .rows("rows")
            .filter(|row| row["filter"] == filter && size(row) == Some(at));
        Figure::of(rows.filter_map(|row| row.pointer(pointer)?.as_f64()).collect())
    }

    /// How many times the bare drop's figure of the same repeat.
    pub(super) fn against_floor(&self, filter: &str, at: Size, pointer: &str) -> Option<Figure> {
        let ratio = |row: &Value| {
            let floor = self.rows("rows").find(|other| {
                other["filter"] == FILTERS[0] && size(other) == Some(at) && other["repeat"] == row["repeat"]
            })?;
            Some(row.pointer(pointer)?.as_f64()? / floor.pointer(pointer)?.as_f64()?)
        };
        let rows = self
            .rows("rows")
            .filter(|row| row["filter"] == filter && size(row) == Some(at));
        Figure::of(rows.filter_map(ratio).collect())
    }

    /// A figure of what changes in the kernel took at a size.
    pub(super) fn change(&self, at: Size, name: &str) -> Option<Figure> {
        let rows = self.rows("changes").filter(|row| size(row) == Some(at));
        Figure::of(rows.filter_map(|row| row[name].as_f64()).collect())
    }

    fn rows(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.0[name].as_array().into_iter().flatten()
    }
}

fn size(row: &Value) -> Option<Size> {
    Some((row["prefixes"].as_u64()?, row["bans"].as_u64()?))
}

impl Figure {
    fn of(mut found: Vec<f64>) -> Option<Self> {
        found.sort_by(f64::total_cmp);
        Some(Self {
            median: *found.get(found.len() / 2)?,
            least: *found.first()?,
            most: *found.last()?,
        })
    }

    /// In another unit.
    pub(super) fn times(self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            least: self.least * factor,
            most: self.most * factor,
        }
    }

    /// The unit's inverse, times a factor.
    pub(super) fn inverse(self, factor: f64) -> Self {
        Self {
            median: factor / self.median,
            least: factor / self.most,
            most: factor / self.least,
        }
    }
}

/// `12.3 (11.9–14.0)`, with as many digits as say something.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", number(self.median))?;
        if number(self.least) != number(self.most) {
            write!(f, " ({}–{})", number(self.least), number(self.most))?;
        }
        Ok(())
    }
}

/// Three digits, and thousands apart.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_figure_is_the_median_of_its_repeats_and_their_ends() {
        let row =
            |repeat: u32, ns: f64| json!({"filter": "smtpgate", "prefixes": 1, "bans": 2, "repeat": repeat, "ns": ns});
        let floor = json!({"filter": "xdp-drop", "prefixes": 1, "bans": 2, "repeat": 1, "ns": 10.0});
        let figures = Figures::new(json!({"rows": [row(0, 30.0), row(1, 12.0), row(2, 20.0), floor]}));
        let found = figures.of("smtpgate", (1, 2), "/ns").unwrap();
        assert_eq!((found.least, found.median, found.most), (12.0, 20.0, 30.0));
        assert_eq!(figures.against_floor("smtpgate", (1, 2), "/ns").unwrap().median, 1.2);
        assert_eq!(figures.of("smtpgate", (2, 2), "/ns"), None);
    }

    #[test]
    fn numbers_have_three_digits_that_say_something() {
        let said: Vec<String> = [1_234_567.0, 999.6, 123.4, 12.34, 1.234, 0.0123].map(number).into();
        assert_eq!(said, ["1,234,567", "1000", "123", "12.3", "1.23", "0.012"]);
    }
}
