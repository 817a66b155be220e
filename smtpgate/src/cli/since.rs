//! A time in the past, as people give it: how long ago, or when.

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use crate::config::duration;

/// Reads `2h`, `7d`, `2026-11-24`, `2026-11-24 08:00` (both in this machine's zone) or an RFC 3339 time.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    read(text, Timestamp::now(), TimeZone::system())
}

fn read(text: &str, now: Timestamp, zone: TimeZone) -> Result<Timestamp, String> {
    if let Ok(length) = duration::parse(text) {
        let ago = SignedDuration::try_from(length)
            .ok()
            .and_then(|ago| now.checked_sub(ago).ok());
        return ago.ok_or_else(|| format!("`{text}` is before all time"));
    }
    let local = |time: civil::DateTime| zone.to_timestamp(time);
    let time = text
        .parse::<Timestamp>()
        .or_else(|_| text.parse::<civil::DateTime>().and_then(local))
        .or_else(|_| text.parse::<civil::Date>().and_then(|day| local(day.into())));
    match time {
        Ok(time) if time > now => Err(format!("`{text}` lies in the future")),
        Ok(time) => Ok(time),
        Err(_) => Err(format!(
            "`{text}` is no time: write how long ago (2h, 7d), a day (2026-11-24), or a day and a time (\"2026-11-24 08:00\")"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_read_as_people_write_it() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        for (text, expected) in [
            ("2h", "2026-11-24T10:00:00Z"),
            ("7d", "2026-11-17T12:00:00Z"),
            ("2026-11-24", "2026-11-23T15:00:00Z"),
            ("2026-11-24 08:00", "2026-11-23T23:00:00Z"),
            ("2026-11-24T08:00:00+00:00", "2026-11-24T08:00:00Z"),
        ] {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(read(text, now, zone.clone()), Ok(expected), "{text}");
        }
        for text in ["2026-11-25", "2026-11-25T00:00:00Z", "yesterday", ""] {
            let error = read(text, now, zone.clone()).unwrap_err();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
