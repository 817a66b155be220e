//! What stands before the message: time, host, program and process, as syslog daemons, postlogd and `journalctl` write it.
//! What daemons write that have a log of their own is in [`own`].

mod own;

use super::time::LogTime;

/// The parts of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) time: LogTime<'a>,
    /// Empty when the line has none.
    pub(super) host: &'a [u8],
    /// `postfix/submission/smtpd`
    pub(super) program: &'a [u8],
    pub(super) pid: Option<u32>,
    /// How many times the message happened: rsyslog (`$RepeatedMsgReduction`, on in Ubuntu) joins equal ones.
    pub(super) times: u16,
    pub(super) message: &'a [u8],
}

/// Splits a line. `None` for whatever has no such header.
pub(super) fn parse(line: &[u8]) -> Option<Header<'_>> {
    // A file system that lost power leaves a run of NULs before the next line.
    let start = line.iter().position(|&b| b != 0)?;
    let line = priority(line.get(start..)?);
    let Some((time, rest)) = stamp(line) else {
        return own::parse(line);
    };
    let (mut host, mut rest) = word(rest)?;
    if host.starts_with(b"<") && host.ends_with(b">") {
        // FreeBSD's syslogd -v: `<mail.info> host program[pid]:`
        (host, rest) = word(rest)?;
    }
    let (host, tag, message) = match host.strip_suffix(b":") {
        Some(tag) => (&b""[..], tag, rest),
        None => tagged(host, rest)?,
    };
    let (program, pid) = process(tag);
    // `sogod [26818]:`, as GNUstep's programs write it into their own files.
    let (host, program) = if program.is_empty() {
        (program, host)
    } else {
        (host, program)
    };
    let (times, message) = repeated(message);
    Some(Header {
        time,
        host,
        program,
        pid,
        times,
        message,
    })
}

/// Host, tag and message of what begins with a host's name.
fn tagged<'a>(host: &'a [u8], rest: &'a [u8]) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
    if host == b"HORDE" {
        // Horde's own file: `HORDE [error] [imp] FAILED LOGIN`
        return Some((b"", host, rest));
    }
    if host.contains(&b'(') {
        // No host, but `auth(USER,…)` of Dovecot's own log: what looks like a tag behind it is within a client's user name.
        return None;
    }
    let (mut tag, mut message) = word(rest)?;
    if tag.starts_with(b"mail.") {
        // BusyBox's syslogd: `host mail.info program[pid]:`
        (tag, message) = word(message)?;
    }
    Some((host, tag.strip_suffix(b":")?, message))
}

/// Drops `<22>`, with which a relay's raw datagrams begin.
fn priority(line: &[u8]) -> &[u8] {
    match line {
        [b'<', rest @ ..] => match rest.iter().take(4).position(|&b| b == b'>') {
            Some(end) if rest.iter().take(end).all(u8::is_ascii_digit) => rest.get(end + 1..).unwrap_or(line),
            _ => line,
        },
        _ => line,
    }
}

fn stamp(line: &[u8]) -> Option<(LogTime<'_>, &[u8])> {
    if line.first()? == &b'@' {
        let (text, rest) = word(line)?;
        let hex = text.len() == 25 && text.iter().skip(1).all(u8::is_ascii_hexdigit);
        return hex.then_some((LogTime::Tai64n(text), rest));
    }
    if line.first()?.is_ascii_digit() {
        let (text, rest) = word(line)?;
        let dated = text.len() >= 20 && text.get(4) == Some(&b'-') && text.get(10) == Some(&b'T');
        return dated.then_some((LogTime::Rfc3339(text), rest));
    }
    // `Nov  4 02:27:08 `: the day is padded, though not by everybody.
    let clock = match line.get(3..)? {
        [b' ', b' ', b'0'..=b'9', b' ', ..] | [b' ', b'0'..=b'9', b'0'..=b'9', b' ', ..] => 7,
        [b' ', b'0'..=b'9', b' ', ..] => 6,
        _ => return None,
    };
    match line.get(clock..)? {
        [_, _, b':', _, _, b':', _, _, b' ', rest @ ..] => Some((LogTime::Rfc3164(line.get(..clock + 8)?), rest)),
        _ => None,
    }
}

/// The bytes up to a space, and those after it. An empty word is none.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text).filter(|&end| end > 0)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// `program[pid]`
fn process(tag: &[u8]) -> (&[u8], Option<u32>) {
    let split = || {
        let body = tag.strip_suffix(b"]")?;
        let open = memchr::memrchr(b'[', body)?;
        let pid = std::str::from_utf8(body.get(open + 1..)?).ok()?.parse().ok()?;
        Some((body.get(..open)?, Some(pid)))
    };
    split().unwrap_or((tag, None))
}

/// `message repeated 3 times: [ MESSAGE]`
fn repeated(message: &[u8]) -> (u16, &[u8]) {
    let open = || {
        let rest = message.strip_prefix(b"message repeated ")?;
        let (count, rest) = word(rest)?;
        let inner = rest.strip_prefix(b"times: [")?.strip_suffix(b"]")?;
        let count = std::str::from_utf8(count).ok()?.parse::<u64>().ok()?;
        Some((
            u16::try_from(count).unwrap_or(u16::MAX),
            inner.strip_prefix(b" ").unwrap_or(inner),
        ))
    };
    open().unwrap_or((1, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_header_forms() {
        let traditional = LogTime::Rfc3164(b"Nov  4 02:27:08");
        let plain = Header {
            time: traditional,
            host: b"mx1",
            program: b"postfix/smtpd",
            pid: Some(467),
            times: 1,
            message: b"hello: there",
        };
        let cases: &[(&str, &[u8], Option<Header<'_>>)] = &[
            (
                "traditional",
                b"Nov  4 02:27:08 mx1 postfix/smtpd[467]: hello: there",
                Some(plain),
            ),
            (
                "with priority",
                b"<22>Nov  4 02:27:08 mx1 postfix/smtpd[467]: hello: there",
                Some(plain),
            ),
            (
                "after NULs",
                b"\0\0\0Nov  4 02:27:08 mx1 postfix/smtpd[467]: hello: there",
                Some(plain),
            ),
            (
                "FreeBSD -v",
                b"Nov  4 02:27:08 <mail.info> mx1 postfix/smtpd[467]: hello: there",
                Some(plain),
            ),
            (
                "BusyBox",
                b"Nov  4 02:27:08 mx1 mail.info postfix/smtpd[467]: hello: there",
                Some(plain),
            ),
            (
                "unpadded day",
                b"Nov 4 02:27:08 mx1 postfix/smtpd[467]: hello: there",
                Some(Header {
                    time: LogTime::Rfc3164(b"Nov 4 02:27:08"),
                    ..plain
                }),
            ),
            (
                "RFC 3339 with fraction",
                b"2026-11-04T02:27:08.123456+09:00 mx1 postfix/smtpd[467]: hello: there",
                Some(Header {
                    time: LogTime::Rfc3339(b"2026-11-04T02:27:08.123456+09:00"),
                    ..plain
                }),
            ),
            (
                "RFC 3339 UTC",
                b"2026-11-04T02:27:08Z mx1 postfix/smtpd[467]: hello: there",
                Some(Header {
                    time: LogTime::Rfc3339(b"2026-11-04T02:27:08Z"),
                    ..plain
                }),
            ),
            (
                "without host",
                b"Nov  4 02:27:08 postfix/smtpd[467]: hello: there",
                Some(Header { host: b"", ..plain }),
            ),
            (
                "multilog",
                b"@400000004c91b044077a9e94 postfix/smtpd[467]: hello: there",
                Some(Header {
                    time: LogTime::Tai64n(b"@400000004c91b044077a9e94"),
                    host: b"",
                    ..plain
                }),
            ),
            (
                "without process",
                b"Nov  4 02:27:08 mx1 postfix/smtpd: hello: there",
                Some(Header { pid: None, ..plain }),
            ),
            (
                "joined by rsyslog",
                b"Nov  4 02:27:08 mx1 postfix/smtpd[467]: message repeated 3 times: [ hello: there]",
                Some(Header { times: 3, ..plain }),
            ),
            (
                "joined too often to count",
                b"Nov  4 02:27:08 mx1 postfix/smtpd[467]: message repeated 99999999 times: [ hello: there]",
                Some(Header {
                    times: u16::MAX,
                    ..plain
                }),
            ),
            (
                "a space before the process",
                b"Nov  4 02:27:08 postfix/smtpd [467]: hello: there",
                Some(Header { host: b"", ..plain }),
            ),
            (
                "Horde's own file",
                b"Nov  4 02:27:08 HORDE [error] [imp] hello",
                Some(Header {
                    host: b"",
                    program: b"HORDE",
                    pid: None,
                    message: b"[error] [imp] hello",
                    ..plain
                }),
            ),
            (
                "old syslogd's repeat",
                b"Nov  4 02:27:08 mx1 last message repeated 3 times",
                None,
            ),
            ("no tag", b"Nov  4 02:27:08 mx1 hello there", None),
            ("no time", b"mx1 postfix/smtpd[467]: hello: there", None),
            ("cut in the time", b"Nov  4 02:2", None),
            ("cut after the time", b"Nov  4 02:27:08 ", None),
            ("cut in the tag", b"Nov  4 02:27:08 mx1 postfix/smt", None),
            ("only NULs", b"\0\0\0", None),
            ("empty", b"", None),
        ];
        for (name, line, want) in cases {
            assert_eq!(parse(line), *want, "{name}");
        }
    }
}
