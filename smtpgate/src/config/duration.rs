//! Durations as admins write them: `10m`, `1h30m`, `7d`; plain numbers are seconds, as fail2ban reads them.

use std::fmt;
use std::time::Duration;

/// The units, in seconds, longest first. Months and years are left out: their length is anybody's guess.
const UNITS: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// The longest duration: ten years. The kernel keeps the end of a ban in 32 bits of boot time, which reach for 18.
pub const MAX: Duration = Duration::from_secs(3_650 * 86_400);

const ALLOWED: &str = "write it like 600, 10m, 1h30m or 7d (units s, m, h, d, w)";

/// Why a text is no duration. Its display says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDuration(String);

impl fmt::Display for BadDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadDuration {}

/// Reads a duration: whole seconds, from 1 s up to [`MAX`].
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let bad = |why: &str| BadDuration(format!("`{text}` is no duration: {why}; {ALLOWED}"));
    let mut seconds: u64 = 0;
    let mut rest = text.trim();
    let mut last_unit = u64::MAX;
    if rest.is_empty() {
        return Err(bad("it is empty"));
    }
    // fail2ban's `bantime = -1`.
    if rest.starts_with('-') {
        return Err(bad(
            "it is negative (what is to be refused for good belongs in `block`)",
        ));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if digits == 0 {
            return Err(bad(&format!("a number is missing before `{rest}`")));
        }
        let number: u64 = rest[..digits].parse().map_err(|_| bad("the number is too large"))?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let name = rest[..letters].trim();
        rest = &rest[letters..];
        let unit = match name {
            "" if last_unit == u64::MAX => 1,
            "" => return Err(bad("the last number has no unit")),
            name => match UNITS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) {
                Some((_, unit)) => *unit,
                None => return Err(bad(&format!("`{name}` is no unit"))),
            },
        };
        // `5m1h` is more likely a slip than a wish.
        if unit >= last_unit {
            return Err(bad("longer units come first, each once"));
        }
        last_unit = unit;
        let part = number.checked_mul(unit);
        seconds = part
            .and_then(|part| seconds.checked_add(part))
            .ok_or_else(|| bad("the number is too large"))?;
    }
    match Duration::from_secs(seconds) {
        Duration::ZERO => Err(bad("it must be at least 1s")),
        duration if duration > MAX => Err(bad("it must be at most 3650d")),
        duration => Ok(duration),
    }
}

/// Shows a duration the way [`parse`] reads it (`1h30m`, `7d`), cut to whole seconds.
#[derive(Debug, Clone, Copy)]
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut seconds = self.0.as_secs();
        if seconds == 0 {
            return f.write_str("0s");
        }
        // Weeks are read but never shown: everybody says 7d and 30d.
        for (name, unit) in &UNITS[1..] {
            if seconds >= *unit {
                write!(f, "{}{name}", seconds / unit)?;
                seconds %= unit;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_that_are_read() {
        for (text, seconds) in [
            ("600", 600),
            ("10m", 600),
            ("1h", 3_600),
            ("7d", 604_800),
            ("30d", 2_592_000),
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            ("1d12h", 129_600),
            ("2w", 1_209_600),
            ("10M", 600),
            ("90s", 90),
            (" 5 m ", 300),
            ("3650d", MAX.as_secs()),
        ] {
            assert_eq!(parse(text).map(|d| d.as_secs()), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn durations_that_are_refused() {
        for (text, why) in [
            ("", "it is empty"),
            ("0", "it must be at least 1s"),
            ("0h", "it must be at least 1s"),
            (
                "-1",
                "it is negative (what is to be refused for good belongs in `block`)",
            ),
            ("h", "a number is missing before `h`"),
            ("10x", "`x` is no unit"),
            ("10min", "`min` is no unit"),
            ("1.5h", "`.` is no unit"),
            ("30m1h", "longer units come first, each once"),
            ("1h2h", "longer units come first, each once"),
            ("1h30", "the last number has no unit"),
            ("3651d", "it must be at most 3650d"),
            ("99999999999999999999", "the number is too large"),
            ("9999999999999999d", "the number is too large"),
        ] {
            let expected = format!("`{text}` is no duration: {why}; {ALLOWED}");
            assert_eq!(parse(text).map_err(|e| e.to_string()), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn duration_shown_is_read_back(seconds in 1..=MAX.as_secs()) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&Human(duration).to_string()), Ok(duration));
        }

        #[test]
        fn duration_parse_never_panics(text in "\\PC{0,12}") {
            let _ = parse(&text);
        }
    }
}
