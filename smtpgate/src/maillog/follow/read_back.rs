//! How far back to read a log that is seen for the first time.

use std::fs::File;
use std::io;

use jiff::Timestamp;

use super::reading::read_at;
use crate::maillog::{Clock, time};

/// However busy the log, not more than that.
const MOST: u64 = 64 << 20;
/// Enough to find a line with a time in.
const PROBE: usize = 32 * 1024;

/// The start of the first line that is from `since` or later, in a log of `len` bytes whose lines are more or less in
/// order of time.
pub(super) fn read_back(file: &File, len: u64, since: Timestamp, clock: &Clock) -> io::Result<u64> {
    let (mut from, mut to) = (len.saturating_sub(MOST), len);
    // `from` is before the line; from `to` on all lines are recent.
    while to - from > PROBE as u64 {
        let middle = from + (to - from) / 2;
        match first_recent(file, middle, Timestamp::MIN, clock)? {
            Some((_, at)) if at < since => from = middle,
            _ => to = middle,
        }
    }
    let recent = match first_recent(file, from, since, clock)? {
        // A long stretch without any time.
        None => first_recent(file, to, Timestamp::MIN, clock)?,
        recent => recent,
    };
    Ok(recent.map_or(len, |(start, _)| start).min(len))
}

/// The first line that starts at or after `from` (an offset within a line means the next) with a time of `since` or
/// later, within what is reasonable to read.
fn first_recent(file: &File, from: u64, since: Timestamp, clock: &Clock) -> io::Result<Option<(u64, Timestamp)>> {
    // One byte before, to see whether `from` is the start of a line.
    let at = from.saturating_sub(1);
    let mut buffer = vec![0; 2 * PROBE];
    let got = read_at(file, &mut buffer, at)?;
    buffer.truncate(got);
    let mut start = match memchr::memchr(b'\n', &buffer) {
        _ if from == 0 => 0,
        Some(end) => end + 1,
        None => return Ok(None),
    };
    while let Some(rest) = buffer.get(start..)
        && let Some(end) = memchr::memchr(b'\n', rest)
    {
        let line = rest.get(..end).unwrap_or_default();
        if let Some(written) = time(line)
            .and_then(|time| clock.resolve(time))
            .filter(|written| *written >= since)
        {
            return Ok(Some((at + start as u64, written)));
        }
        start += end + 1;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Write as _;

    use jiff::SignedDuration;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn maillog_read_back_finds_the_time() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let clock = Clock {
            now,
            zone: TimeZone::UTC,
        };
        for lines in [0, 1, 10, 1000, 20_000] {
            // One a second up to now, some without a time.
            let mut log = String::new();
            let mut starts = Vec::new();
            for ago in (0..lines).rev() {
                let stamp = (now - SignedDuration::from_secs(ago)).to_zoned_datetime(TimeZone::UTC);
                starts.push(log.len() as u64);
                writeln!(
                    log,
                    "{} mx1 postfix/smtpd[1]: line {ago}",
                    stamp.strftime("%b %e %H:%M:%S")
                )
                .unwrap();
                if ago % 7 == 0 {
                    writeln!(log, "no time in this").unwrap();
                }
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(log.as_bytes()).unwrap();
            let len = log.len() as u64;
            for back in [1, 5, 600, 10_000, 100_000] {
                let since = now - SignedDuration::from_secs(back);
                let first = usize::try_from((lines - back - 1).max(0)).unwrap();
                let want = starts.get(first).copied().unwrap_or(len);
                assert_eq!(
                    read_back(&file, len, since, &clock).unwrap(),
                    want,
                    "{lines} lines, {back} s back"
                );
            }
            assert_eq!(
                read_back(&file, len, now + SignedDuration::from_secs(1), &clock).unwrap(),
                len,
                "{lines}: none"
            );
        }
    }
}
