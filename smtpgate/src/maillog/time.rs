//! The time stamps of log lines. Kept as they stand in the line until somebody needs an instant.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A time stamp, by its shape; whether its numbers make sense shows when it is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTime<'a> {
    /// `Nov  4 02:27:08`: local time without a year (RFC 3164, section 4.1.2; postlogd writes the same).
    Rfc3164(&'a [u8]),
    /// `2026-11-04T02:27:08+09:00`, with or without a fraction (RFC 3339; also the `+0900` of `journalctl -o short-iso`).
    Rfc3339(&'a [u8]),
    /// The daemon's own way to write it in a log of its own, by its `strptime` format. Local time unless the format has
    /// a zone.
    Own {
        /// As it stands in the line.
        text: &'a [u8],
        /// What it looks like.
        format: &'static str,
    },
    /// `@400000004c91b044077a9e94`: seconds since 1970 as TAI, plus 2^62, then nanoseconds (multilog, svlogd, s6-log).
    Tai64n(&'a [u8]),
}

/// What a time stamp without year and zone is read against.
#[derive(Clone, Debug)]
pub struct Clock {
    /// No line is from much later than this.
    pub now: Timestamp,
    /// The zone in which the host writes its log.
    pub zone: TimeZone,
}

/// How far ahead of `now` a line without a year may be before it is taken for last year's: another host's clock, or a
/// zone that is not ours.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

impl Clock {
    /// Now, in the zone of this host.
    pub fn system() -> Self {
        Self {
            now: Timestamp::now(),
            zone: TimeZone::system(),
        }
    }

    /// The instant, or `None` when there is no such date.
    pub fn resolve(&self, time: LogTime<'_>) -> Option<Timestamp> {
        match time {
            LogTime::Rfc3339(text) => DateTimeParser::new().parse_timestamp(text).ok(),
            LogTime::Rfc3164(text) => self.latest_year(text),
            LogTime::Own { text, format } => {
                let read = BrokenDownTime::parse(format, text).ok()?;
                match read.offset() {
                    Some(_) => read.to_timestamp().ok(),
                    None => self.instant(read.to_datetime().ok()?),
                }
            }
            LogTime::Tai64n(text) => tai64n(text),
        }
    }

    /// The latest such day that is not in the future. Up to eight years back, for 29 February.
    fn latest_year(&self, text: &[u8]) -> Option<Timestamp> {
        let (month, day, [hour, minute, second]) = fields(text)?;
        let this_year = self.zone.to_datetime(self.now).year();
        (0..=9).find_map(|back| {
            // A leap second has no name in civil time.
            let local = DateTime::new(this_year + 1 - back, month, day, hour, minute, second.min(59), 0).ok()?;
            let at = self.instant(local)?;
            (at <= self.now.saturating_add(AHEAD).ok()?).then_some(at)
        })
    }

    /// In the hour that the end of summer time repeats, the later reading, unless that is still to come.
    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let read = self.zone.to_ambiguous_timestamp(local);
        if let AmbiguousOffset::Fold { after, .. } = read.offset() {
            let later = after.to_timestamp(local).ok()?;
            if later <= self.now {
                return Some(later);
            }
        }
        read.compatible().ok()
    }
}

/// The loggers count 10 seconds from TAI to UTC, and no leap second since (cr.yp.to/libtai/tai64.html).
fn tai64n(text: &[u8]) -> Option<Timestamp> {
    let digits = std::str::from_utf8(text.get(1..25)?).ok()?;
    let (seconds, nanoseconds) = digits.split_at_checked(16)?;
    let seconds = u64::from_str_radix(seconds, 16).ok()?.checked_sub((1 << 62) + 10)?;
    let nanoseconds = i32::from_str_radix(nanoseconds, 16).ok()?;
    Timestamp::new(i64::try_from(seconds).ok()?, nanoseconds).ok()
}

/// Month, day and time of `Nov  4 02:27:08`.
fn fields(text: &[u8]) -> Option<(i8, i8, [i8; 3])> {
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
    ];
    let (name, rest) = text.split_at_checked(3)?;
    let month = (1..)
        .zip(MONTHS)
        .find_map(|(number, month)| (month == name).then_some(number))?;
    let mut words = rest.split(|&b| b == b' ').filter(|word| !word.is_empty());
    let day = number(words.next()?)?;
    let mut clock = words.next()?.split(|&b| b == b':').map(number);
    Some((month, day, [clock.next()??, clock.next()??, clock.next()??]))
}

fn number(digits: &[u8]) -> Option<i8> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_time_resolves() {
        let cases = [
            // name, now, zone, stamp, instant
            (
                "same day",
                "2026-11-24T12:00:00Z",
                "UTC",
                "Nov 24 02:27:08",
                Some("2026-11-24T02:27:08Z"),
            ),
            (
                "padded day",
                "2026-11-24T12:00:00Z",
                "UTC",
                "Nov  4 02:27:08",
                Some("2026-11-04T02:27:08Z"),
            ),
            (
                "unpadded day",
                "2026-11-24T12:00:00Z",
                "UTC",
                "Nov 4 02:27:08",
                Some("2026-11-04T02:27:08Z"),
            ),
            (
                "local zone",
                "2026-11-24T12:00:00Z",
                "Asia/Tokyo",
                "Nov 24 02:27:08",
                Some("2026-11-23T17:27:08Z"),
            ),
            (
                "over New Year",
                "2027-01-01T00:00:10Z",
                "UTC",
                "Dec 31 23:59:59",
                Some("2026-12-31T23:59:59Z"),
            ),
            (
                "New Year there already",
                "2026-12-31T20:00:00Z",
                "UTC",
                "Jan  1 00:30:00",
                Some("2027-01-01T00:30:00Z"),
            ),
            (
                "a month ahead is last year",
                "2026-11-24T12:00:00Z",
                "UTC",
                "Dec 24 00:00:00",
                Some("2025-12-24T00:00:00Z"),
            ),
            (
                "leap day",
                "2027-03-01T00:00:00Z",
                "UTC",
                "Feb 29 10:00:00",
                Some("2024-02-29T10:00:00Z"),
            ),
            (
                "leap second",
                "2026-11-24T12:00:00Z",
                "UTC",
                "Nov 24 02:27:60",
                Some("2026-11-24T02:27:59Z"),
            ),
            ("no such day", "2026-11-24T12:00:00Z", "UTC", "Nov 31 02:27:08", None),
            ("no such month", "2026-11-24T12:00:00Z", "UTC", "Xyz 24 02:27:08", None),
            (
                "repeated hour, first",
                "2026-10-25T00:30:00Z",
                "Europe/Berlin",
                "Oct 25 02:20:00",
                Some("2026-10-25T00:20:00Z"),
            ),
            (
                "repeated hour, second",
                "2026-10-25T01:30:00Z",
                "Europe/Berlin",
                "Oct 25 02:20:00",
                Some("2026-10-25T01:20:00Z"),
            ),
            (
                "skipped hour",
                "2026-03-29T12:00:00Z",
                "Europe/Berlin",
                "Mar 29 02:30:00",
                Some("2026-03-29T01:30:00Z"),
            ),
        ];
        for (name, now, zone, stamp, instant) in cases {
            let clock = Clock {
                now: now.parse().unwrap(),
                zone: TimeZone::get(zone).unwrap(),
            };
            let want = instant.map(|t| t.parse::<Timestamp>().unwrap());
            assert_eq!(clock.resolve(LogTime::Rfc3164(stamp.as_bytes())), want, "{name}");
        }
        let clock = Clock {
            now: "2026-11-24T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        for (stamp, instant) in [
            ("2026-11-24T02:27:08Z", Some("2026-11-24T02:27:08Z")),
            ("2026-11-24T02:27:08.123456+09:00", Some("2026-11-23T17:27:08.123456Z")),
            ("2026-11-24T02:27:08+0900", Some("2026-11-23T17:27:08Z")),
            ("2026-11-44T02:27:08Z", None),
        ] {
            let want = instant.map(|t| t.parse::<Timestamp>().unwrap());
            assert_eq!(clock.resolve(LogTime::Rfc3339(stamp.as_bytes())), want, "{stamp}");
        }
        for (stamp, instant) in [
            ("@400000004c91b044077a9e94", Some("2010-09-16T05:50:50.125476500Z")),
            ("@400000004c91b044", None),
            ("@0000000000000000077a9e94", None),
        ] {
            let want = instant.map(|t| t.parse::<Timestamp>().unwrap());
            assert_eq!(clock.resolve(LogTime::Tai64n(stamp.as_bytes())), want, "{stamp}");
        }
    }

    #[test]
    fn maillog_time_of_logs_of_their_own() {
        let clock = Clock {
            now: "2026-11-24T12:00:00Z".parse().unwrap(),
            zone: TimeZone::get("Asia/Tokyo").unwrap(),
        };
        let cases = [
            // name, format, stamp, instant
            (
                "local",
                "%Y-%m-%d %H:%M:%S",
                "2026-11-24 12:00:00",
                Some("2026-11-24T03:00:00Z"),
            ),
            (
                "zoned",
                "%d-%b-%Y %H:%M:%S %z",
                "24-Nov-2026 12:00:00 +0100",
                Some("2026-11-24T11:00:00Z"),
            ),
            (
                "fraction",
                "%Y-%m-%d %H:%M:%S%.f",
                "2026-11-24 12:00:00.25",
                Some("2026-11-24T03:00:00.25Z"),
            ),
            ("no such day", "%Y-%m-%d %H:%M:%S", "2026-11-44 12:00:00", None),
            ("another shape", "%Y-%m-%d %H:%M:%S", "24/11/2026 12:00:00", None),
        ];
        for (name, format, stamp, instant) in cases {
            let want = instant.map(|t| t.parse::<Timestamp>().unwrap());
            let time = LogTime::Own {
                text: stamp.as_bytes(),
                format,
            };
            assert_eq!(clock.resolve(time), want, "{name}");
        }
    }
}
