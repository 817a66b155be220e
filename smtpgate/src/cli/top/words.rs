//! Text for a terminal: numbers and times that fit, cells of one width, and nothing in it that steers the terminal.

use std::borrow::Cow;

use crate::{cli::output::grouped, unseen::is_unseen};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The signs that the screen is drawn with.
#[derive(Debug)]
pub(super) struct Marks {
    /// A column of the graph in eighths: none to full.
    pub(super) bars: [&'static str; 9],
    /// The graph's base line.
    pub(super) base: &'static str,
    /// Something was cut here.
    pub(super) cut: char,
    /// Whether the terminal shows more than ASCII.
    pub(super) wide: bool,
}

/// For terminals that read UTF-8. Eighths of a block are in the fonts of the Linux console, too; braille is not.
pub(super) const UNICODE: Marks = Marks {
    bars: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    base: "─",
    cut: '…',
    wide: true,
};

/// For all others.
pub(super) const ASCII: Marks = Marks {
    bars: [" ", ".", ".", ":", ":", "|", "|", "#", "#"],
    base: "-",
    cut: '~',
    wide: false,
};

impl Marks {
    /// By the locale: the first that is set of `LC_ALL`, `LC_CTYPE`, `LANG` (locale(7)). None set is the C locale.
    pub(super) fn of_locale(variable: impl Fn(&str) -> Option<String>) -> &'static Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(variable)
            .find(|value| !value.is_empty());
        let utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        if utf8 { &UNICODE } else { &ASCII }
    }

    /// The text without what steers a terminal or turns the direction of writing, and in ASCII where that is all it can.
    pub(super) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let shown = |char: char| !is_unseen(char) && (self.wide || char.is_ascii());
        if text.chars().all(shown) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text.chars().map(|char| if shown(char) { char } else { '?' }).collect())
    }

    /// Cleaned, and cut to `width` columns of the terminal.
    pub(super) fn fit(&self, text: &str, width: usize) -> String {
        let text = self.clean(text);
        if text.width() <= width {
            return text.into_owned();
        }
        let mut cut = String::new();
        let mut left = width.saturating_sub(1);
        for char in text.chars() {
            let wide = char.width().unwrap_or(0);
            if wide > left {
                break;
            }
            left -= wide;
            cut.push(char);
        }
        if width > 0 {
            cut.push(self.cut);
        }
        cut
    }

    /// A cell of exactly `width` columns, the text at its left.
    pub(super) fn left(&self, text: &str, width: usize) -> String {
        let mut cell = self.fit(text, width);
        let gap = width.saturating_sub(cell.width());
        cell.extend(std::iter::repeat_n(' ', gap));
        cell
    }

    /// A cell of exactly `width` columns, the text at its right.
    pub(super) fn right(&self, text: &str, width: usize) -> String {
        let text = self.fit(text, width);
        let gap = width.saturating_sub(text.width());
        let mut cell = " ".repeat(gap);
        cell.push_str(&text);
        cell
    }
}

/// A number in at most seven columns: exact below a million.
pub(super) fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
    ];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| number >= *unit) else {
        return grouped(number);
    };
    let (whole, thousandths) = (number / unit, number % unit / (unit / 1000));
    match whole {
        0..10 => format!("{whole}.{:02} {name}", thousandths / 10),
        10..100 => format!("{whole}.{} {name}", thousandths / 100),
        _ => format!("{} {name}", grouped(whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_numbers_fit_in_seven_columns() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (12_345, "12,345"),
            (999_999, "999,999"),
            (1_000_000, "1.00 M"),
            (12_345_678, "12.3 M"),
            (999_999_999, "999 M"),
            (1_234_000_000, "1.23 G"),
        ];
        for (number, expected) in cases {
            assert_eq!(short(number), expected);
        }
        for power in 0..=19 {
            let number = 10_u64.pow(power);
            for number in [number - 1, number] {
                assert!(short(number).len() <= 8, "{number}: {}", short(number));
            }
        }
    }

    #[test]
    fn top_text_cannot_steer_the_terminal() {
        let cases = [
            ("plain", "plain"),
            ("\u{1b}]0;owned\u{7}", "?]0;owned?"),
            ("a\u{9b}31mb", "a?31mb"),
            ("one\r\ntwo\tthree", "one??two?three"),
            ("user\u{202e}gpj", "user?gpj"),
            ("日本 é", "日本 é"),
        ];
        for (text, expected) in cases {
            assert_eq!(UNICODE.clean(text), expected, "{text:?}");
        }
        assert_eq!(ASCII.clean("日本 é\u{1b}"), "?? ??");
    }

    #[test]
    fn top_cells_are_as_wide_as_they_should_be() {
        let cases = [
            ("abc", 5, "abc  ", "  abc"),
            ("abcdef", 4, "abc…", "abc…"),
            ("日本語", 6, "日本語", "日本語"),
            ("日本語", 5, "日本…", "日本…"),
            ("日本語", 4, "日… ", " 日…"),
            ("x", 0, "", ""),
            ("e\u{301}cole", 5, "e\u{301}cole", "e\u{301}cole"),
        ];
        for (text, width, left, right) in cases {
            assert_eq!(UNICODE.left(text, width), left);
            assert_eq!(UNICODE.right(text, width), right);
        }
    }

    #[test]
    fn top_signs_follow_the_locale() {
        let of = |pairs: &'static [(&str, &str)]| {
            Marks::of_locale(|name| {
                let found = pairs.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
            .wide
        };
        assert!(of(&[("LANG", "ja_JP.UTF-8")]));
        assert!(of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!of(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]));
        assert!(!of(&[]));
    }
}
