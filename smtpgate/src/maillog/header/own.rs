//! Headers of daemons that keep a log of their own. None has the daemon's name in its lines: the shape tells it.

use super::{Header, LogTime, process, word};

/// A shape of header.
struct Shape {
    /// What a line begins with: `0` stands for a digit, `a` for a letter, all else for itself.
    mask: &'static [u8],
    /// The `strptime` format of the time, which begins after [`Self::skip`] bytes.
    format: &'static str,
    skip: usize,
    /// Splits what follows the mask: the rest of the time, the program, its process and the message.
    split: fn(&[u8]) -> Option<Split<'_>>,
}

/// What follows the mask.
struct Split<'a> {
    /// How many bytes of it belong to the time.
    time: usize,
    /// The time's format, where it is not the shape's.
    format: Option<&'static str>,
    program: &'a [u8],
    pid: Option<u32>,
    message: &'a [u8],
}

const SHAPES: &[Shape] = &[
    // Zimbra's audit.log and mailbox.log.
    Shape {
        mask: b"0000-00-00 00:00:00,000 ",
        format: "%Y-%m-%d %H:%M:%S,%f ",
        skip: 0,
        split: |rest| Some(Split::of(b"zimbra", rest)),
    },
    // Exim's main log and reject log, and Domino's console log with ISO dates.
    Shape {
        mask: b"0000-00-00 00:00:00",
        format: "%Y-%m-%d %H:%M:%S%.f",
        skip: 0,
        split: exim,
    },
    // Roundcube (`log_date_format`): errors.log and userlogins.log.
    Shape {
        mask: b"[00-aaa-0000 00:00:00",
        format: "%d-%b-%Y %H:%M:%S%.f %z",
        skip: 1,
        split: |rest| closed(rest, b"roundcube"),
    },
    // Kerio Connect: security.log, warning.log.
    Shape {
        mask: b"[00/aaa/0000 00:00:00",
        format: "%d/%b/%Y %H:%M:%S%.f",
        skip: 1,
        split: |rest| closed(rest, b"kerio"),
    },
    // Group-Office.
    Shape {
        mask: b"[0000-00-00 00:00:00",
        format: "%Y-%m-%d %H:%M:%S%.f",
        skip: 1,
        split: |rest| closed(rest, b"groupoffice"),
    },
    // Domino's console log: `03-07-2026 23:07:20   SMTP Server: `, and with slashes.
    Shape {
        mask: b"00-00-0000 00:00:00",
        format: "%d-%m-%Y %H:%M:%S",
        skip: 0,
        split: domino,
    },
    Shape {
        mask: b"00/00/0000 00:00:00 aM ",
        format: "%m/%d/%Y %I:%M:%S %p ",
        skip: 0,
        split: domino,
    },
    // SquirrelMail's Squirrel Logger plugin.
    Shape {
        mask: b"00/00/0000 00:00:00 [",
        format: "%m/%d/%Y %H:%M:%S [",
        skip: 0,
        split: |rest| Some(Split::of(b"squirrelmail", rest)),
    },
    // ASSP: `Apr-07-26 07:08:36 `
    Shape {
        mask: b"aaa-00-00 00:00:00 ",
        format: "%b-%d-%y %H:%M:%S ",
        skip: 0,
        split: |rest| Some(Split::of(b"assp", rest)),
    },
    // Open WebMail: `Sat Dec 28 19:03:53 2026 - `
    Shape {
        mask: b"aaa aaa 00 00:00:00 0000 - ",
        format: "%a %b %d %H:%M:%S %Y - ",
        skip: 0,
        split: |rest| Some(Split::of(b"openwebmail", rest)),
    },
    Shape {
        mask: b"aaa aaa  0 00:00:00 0000 - ",
        format: "%a %b %e %H:%M:%S %Y - ",
        skip: 0,
        split: |rest| Some(Split::of(b"openwebmail", rest)),
    },
    // Oracle Communications Messaging Server (LOG_FORMAT=4): `<co ts="2026-06-02T22:02:13.94" `
    Shape {
        mask: b"<co ts=\"0000-00-00T00:00:00",
        format: "%Y-%m-%dT%H:%M:%S%.f",
        skip: 8,
        split: |rest| {
            let end = memchr::memchr(b'"', rest)?;
            Some(Split {
                time: end,
                ..Split::of(b"oracleims", rest.get(end + 2..)?)
            })
        },
    },
];

impl<'a> Split<'a> {
    fn of(program: &'a [u8], message: &'a [u8]) -> Self {
        Self {
            time: 0,
            format: None,
            program,
            pid: None,
            message,
        }
    }
}

pub(super) fn parse(line: &[u8]) -> Option<Header<'_>> {
    // Domino, with `Debug_ThreadID`: `[28325:00010-3735542592] 22-06-2026 09:56:12   smtp: `
    let thread = |word: &[u8]| word.ends_with(b"]") && word.iter().filter(|&&b| b == b':' || b == b'-').count() == 2;
    let line = match word(line) {
        Some((first, rest)) if first.starts_with(b"[") && thread(first) => rest,
        _ => line,
    };
    let shape = SHAPES.iter().find(|shape| fits(line, shape.mask))?;
    let split = (shape.split)(line.get(shape.mask.len()..)?)?;
    Some(Header {
        time: LogTime::Own {
            text: line.get(shape.skip..shape.mask.len() + split.time)?,
            format: split.format.unwrap_or(shape.format),
        },
        host: b"",
        program: split.program,
        pid: split.pid,
        times: 1,
        message: split.message,
    })
}

fn fits(line: &[u8], mask: &[u8]) -> bool {
    line.get(..mask.len()).is_some_and(|start| {
        start.iter().zip(mask).all(|(byte, mask)| match mask {
            b'0' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            mask => byte == mask,
        })
    })
}

/// `]: MESSAGE` or `]MESSAGE`, after a zone or fraction if there is one.
fn closed<'a>(rest: &'a [u8], program: &'static [u8]) -> Option<Split<'a>> {
    let end = memchr::memchr(b']', rest).filter(|&end| end <= 16)?;
    let message = rest.get(end + 1..)?;
    let message = message.strip_prefix(b":").unwrap_or(message).trim_ascii_start();
    Some(Split {
        time: end,
        ..Split::of(program, message)
    })
}

/// `  smtp: MESSAGE`
fn domino(rest: &[u8]) -> Option<Split<'_>> {
    Some(Split::of(b"domino", rest.trim_ascii_start()))
}

/// `[.123][ +0900] [[PID]] MESSAGE` (`log_selector = +millisec +pid`, `log_timezone`); `   smtp: ` is Domino's.
fn exim(rest: &[u8]) -> Option<Split<'_>> {
    if rest.starts_with(b"   ") {
        return domino(rest);
    }
    let fraction = match rest {
        [b'.', digits @ ..] => 1 + digits.iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    let after = rest.get(fraction..)?.strip_prefix(b" ")?;
    let (time, format, message) = match after {
        [b'+' | b'-', a, b, c, d, b' ', message @ ..] if [a, b, c, d].iter().all(|b| b.is_ascii_digit()) => {
            (fraction + 6, Some("%Y-%m-%d %H:%M:%S%.f %z"), message)
        }
        message => (fraction, None, message),
    };
    let split = forwarded(message)
        .or_else(|| dovecot(message))
        .unwrap_or(Split::of(b"exim", message));
    Some(Split { time, format, ..split })
}

/// `mx1 exim[8001]: MESSAGE`: a syslog daemon that writes such dates. One plain word before the tag, or none; Exim itself
/// has none of a client's text there.
fn forwarded(message: &[u8]) -> Option<Split<'_>> {
    let plain = |text: &[u8]| {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-_./".contains(b);
        !text.is_empty() && text.iter().all(allowed)
    };
    let tagged = |text| {
        let (tag, message) = word(text)?;
        let (program, pid) = process(tag.strip_suffix(b":")?);
        (pid.is_some() && plain(program)).then_some(Split {
            pid,
            ..Split::of(program, message)
        })
    };
    tagged(message).or_else(|| {
        let (host, rest) = word(message)?;
        plain(host).then(|| tagged(rest)).flatten()
    })
}

/// `imap-login: Info: MESSAGE`: Dovecot's own log with such dates (`log_timestamp`). Exim has no such level.
fn dovecot(message: &[u8]) -> Option<Split<'_>> {
    let (tag, rest) = word(message)?;
    let tag = tag.strip_suffix(b":")?;
    let known = rest.starts_with(b"Info: ") || rest.starts_with(b"request [");
    known.then(|| Split::of(tag, rest))
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn maillog_header_own_forms() {
        // name, line, (time, program, process, message)
        type Want<'a> = Option<(&'a str, &'a str, Option<u32>, &'a str)>;
        let cases: &[(&str, &str, Want<'_>)] = &[
            (
                "Exim",
                "2026-11-24 12:00:00 hello there",
                Some(("2026-11-24 12:00:00", "exim", None, "hello there")),
            ),
            (
                "Exim, milliseconds",
                "2026-11-24 12:00:00.123 hello",
                Some(("2026-11-24 12:00:00.123", "exim", None, "hello")),
            ),
            (
                "Exim, zone",
                "2026-11-24 12:00:00 +0900 hello",
                Some(("2026-11-24 12:00:00 +0900", "exim", None, "hello")),
            ),
            (
                "Exim, process",
                "2026-11-24 12:00:00 [12] hello",
                Some(("2026-11-24 12:00:00", "exim", None, "[12] hello")),
            ),
            (
                "such dates by syslog",
                "2026-11-24 12:00:00 mx1 exim[12]: hello",
                Some(("2026-11-24 12:00:00", "exim", Some(12), "hello")),
            ),
            (
                "Dovecot with such dates",
                "2026-11-24 12:00:00 imap-login: Info: hello",
                Some(("2026-11-24 12:00:00", "imap-login", None, "Info: hello")),
            ),
            (
                "a tag in a client's text",
                "2026-11-24 12:00:00 H=(a exim[12]: hello",
                Some(("2026-11-24 12:00:00", "exim", None, "H=(a exim[12]: hello")),
            ),
            (
                "Roundcube",
                "[24-Nov-2026 12:00:00 +0900]: <a> hello",
                Some(("24-Nov-2026 12:00:00 +0900", "roundcube", None, "<a> hello")),
            ),
            (
                "Kerio",
                "[24/Nov/2026 12:00:00] hello",
                Some(("24/Nov/2026 12:00:00", "kerio", None, "hello")),
            ),
            (
                "Group-Office",
                "[2026-11-24 12:00:00]hello",
                Some(("2026-11-24 12:00:00", "groupoffice", None, "hello")),
            ),
            (
                "Domino",
                "24-11-2026 12:00:00   smtp: hello",
                Some(("24-11-2026 12:00:00", "domino", None, "smtp: hello")),
            ),
            (
                "Domino, ISO",
                "2026-11-24 12:00:00   smtp: hello",
                Some(("2026-11-24 12:00:00", "domino", None, "smtp: hello")),
            ),
            (
                "Domino, threads",
                "[01234:00010-37] 24-11-2026 12:00:00   smtp: hello",
                Some(("24-11-2026 12:00:00", "domino", None, "smtp: hello")),
            ),
            (
                "ASSP",
                "Nov-24-26 12:00:00 hello",
                Some(("Nov-24-26 12:00:00 ", "assp", None, "hello")),
            ),
            (
                "Open WebMail",
                "Tue Nov 24 12:00:00 2026 - hello",
                Some(("Tue Nov 24 12:00:00 2026 - ", "openwebmail", None, "hello")),
            ),
            (
                "Oracle",
                "<co ts=\"2026-11-24T12:00:00.94\" pi=\"1\"/>",
                Some(("2026-11-24T12:00:00.94", "oracleims", None, "pi=\"1\"/>")),
            ),
            ("a date alone", "2026-11-24 12:00:00", None),
            ("a header line in Exim's reject log", "  Received: from a", None),
            ("its folding", "\t2026-11-24 12:00:00 hello", None),
        ];
        for (name, line, want) in cases {
            let got = parse(line.as_bytes()).map(|header| {
                let time = match header.time {
                    super::LogTime::Own { text, .. } => text,
                    other => panic!("{name}: {other:?}"),
                };
                let text = |bytes| std::str::from_utf8(bytes).unwrap();
                (text(time), text(header.program), header.pid, text(header.message))
            });
            assert_eq!(got, *want, "{name}");
        }
    }
}
