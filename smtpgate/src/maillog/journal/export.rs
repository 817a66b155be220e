//! The journal export format (systemd.io/JOURNAL_EXPORT_FORMATS): an entry is a run of fields, ended by an empty line. A
//! field is `NAME=text` on one line, or, when its value holds control characters or is no UTF-8, `NAME`, a line end, its
//! length (64 bits, little endian), the bytes, a line end.

use std::io::{self, BufRead, Read};
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::maillog::follow::LINE_MAX;
use crate::maillog::follow::lines::Lines;

/// No value is longer: journald's own limit is 768 MiB (`DATA_SIZE_MAX`, journald-native.c).
const VALUE_MAX: u64 = 1 << 30;

/// Users who log in (systemd.io/UIDS-GIDS, "Regular users"). Everybody may write to the journal, with any facility and under
/// any name: what one of them wrote is no mail daemon's.
const LOGIN_USERS: RangeInclusive<u32> = 1000..=60000;

/// What is read of an entry. Values are cut at [`LINE_MAX`]; a field that was not there is empty.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) cursor: Vec<u8>,
    /// Microseconds since 1970.
    time: Vec<u8>,
    host: Vec<u8>,
    identifier: Vec<u8>,
    command: Vec<u8>,
    /// As the program gave it.
    told_pid: Vec<u8>,
    /// As journald saw it.
    pid: Vec<u8>,
    /// Of the process that wrote it, as journald saw it.
    user: Vec<u8>,
    message: Vec<u8>,
    /// The message was longer than is kept.
    pub(super) cut: bool,
}

impl Entry {
    fn clear(&mut self) {
        let Self {
            cursor,
            time,
            host,
            identifier,
            command,
            told_pid,
            pid,
            user,
            message,
            cut,
        } = self;
        for field in [cursor, time, host, identifier, command, told_pid, pid, user, message] {
            field.clear();
        }
        *cut = false;
    }

    /// Where the value of a field goes.
    fn field(&mut self, name: &[u8]) -> Option<&mut Vec<u8>> {
        Some(match name {
            b"__CURSOR" => &mut self.cursor,
            b"__REALTIME_TIMESTAMP" => &mut self.time,
            b"_HOSTNAME" => &mut self.host,
            b"SYSLOG_IDENTIFIER" => &mut self.identifier,
            b"_COMM" => &mut self.command,
            b"SYSLOG_PID" => &mut self.told_pid,
            b"_PID" => &mut self.pid,
            b"_UID" => &mut self.user,
            b"MESSAGE" => &mut self.message,
            _ => return None,
        })
    }

    fn put(&mut self, name: &[u8], value: &[u8], cut: bool) {
        let Some(field) = self.field(name) else { return };
        // A program can give a field twice: the first counts.
        if field.is_empty() {
            field.extend_from_slice(value);
            self.cut |= cut && name == b"MESSAGE";
        }
    }

    /// When journald took it in.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let microseconds = std::str::from_utf8(&self.time).ok()?.parse().ok()?;
        Timestamp::from_microsecond(microseconds).ok()
    }

    /// Appends the entry as a syslog daemon would have written it, on one line whatever the message holds. False when it
    /// is no log line, or not a daemon's.
    pub(super) fn line(&self, lines: &mut Vec<u8>) -> bool {
        let identifier = if self.identifier.is_empty() {
            &self.command
        } else {
            &self.identifier
        };
        let host = if self.host.is_empty() { b"-" } else { &self.host[..] };
        // A program's name is its own choice: with blanks in, it could look like another's.
        let word = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
        let user = std::str::from_utf8(&self.user).ok().and_then(|user| user.parse().ok());
        let daemon = !user.is_some_and(|user| LOGIN_USERS.contains(&user));
        let Some(time) = self.time().filter(|_| daemon && word(identifier) && word(host)) else {
            return false;
        };
        let pid = [&self.told_pid, &self.pid]
            .into_iter()
            .find(|pid| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit));
        lines.extend_from_slice(format!("{time:.6} ").as_bytes());
        lines.extend_from_slice(host);
        lines.push(b' ');
        lines.extend_from_slice(identifier);
        if let Some(pid) = pid {
            lines.push(b'[');
            lines.extend_from_slice(pid);
            lines.push(b']');
        }
        lines.extend_from_slice(b": ");
        lines.extend(self.message.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
        lines.push(b'\n');
        true
    }
}

/// Reads entries in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Export {
    lines: Lines,
    value: Vec<u8>,
}

impl Export {
    /// Reads the next entry. False at the end; what is left of an entry then is no entry.
    pub(super) fn next_entry(&mut self, from: &mut impl BufRead, entry: &mut Entry) -> io::Result<bool> {
        entry.clear();
        let mut any = false;
        while self.lines.next_line(from)?.is_some() {
            let (line, cut) = self.lines.last();
            if line.is_empty() {
                if any {
                    return Ok(true);
                }
                continue;
            }
            any = true;
            match memchr::memchr(b'=', line).map(|at| line.split_at(at)) {
                Some((name, value)) => entry.put(name, value.get(1..).unwrap_or_default(), cut),
                None => {
                    let cut = binary(from, &mut self.value)?;
                    entry.put(line, &self.value, cut);
                }
            }
        }
        Ok(false)
    }
}

/// Reads a binary value. Whether it was longer than is kept.
fn binary(from: &mut impl BufRead, value: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > VALUE_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a value of {length} bytes: this is not the export format"),
        ));
    }
    value.clear();
    let kept = length.min(LINE_MAX as u64);
    let got = from.by_ref().take(kept).read_to_end(value)? as u64;
    let rest = length - kept + 1;
    if got < kept || io::copy(&mut from.take(rest), &mut io::sink())? < rest {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(length > kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary_field(name: &str, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u64).to_le_bytes();
        [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
    }

    fn lines(export: &[u8]) -> Vec<(String, bool)> {
        let mut from = io::BufReader::with_capacity(7, export);
        let (mut reader, mut entry) = (Export::default(), Entry::default());
        let mut got = Vec::new();
        while reader.next_entry(&mut from, &mut entry).unwrap() {
            let mut line = Vec::new();
            if entry.line(&mut line) {
                got.push((String::from_utf8_lossy(&line).into_owned(), entry.cut));
            }
        }
        got
    }

    const HEAD: &str = "__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795498401000019\n_HOSTNAME=mx1\n";

    #[test]
    fn maillog_journal_entries_become_lines() {
        let long = vec![b'x'; 1 << 20];
        let head = "2026-11-24T05:33:21.000019Z mx1 ";
        type Case = (&'static str, Vec<u8>, Option<(String, bool)>);
        let cases: [Case; 14] = [
            (
                "syslog",
                b"SYSLOG_IDENTIFIER=postfix/smtpd\nSYSLOG_PID=7\n_PID=8\nMESSAGE=connect from unknown[192.0.2.1]\n"
                    .to_vec(),
                Some((
                    format!("{head}postfix/smtpd[7]: connect from unknown[192.0.2.1]\n"),
                    false,
                )),
            ),
            (
                "standard output of a unit",
                b"_COMM=dovecot\n_PID=8\nMESSAGE=auth: Info: x\n".to_vec(),
                Some((format!("{head}dovecot[8]: auth: Info: x\n"), false)),
            ),
            (
                "no process",
                b"SYSLOG_IDENTIFIER=exim\nMESSAGE=x=y\n".to_vec(),
                Some((format!("{head}exim: x=y\n"), false)),
            ),
            (
                "a message of several lines is one line",
                [
                    b"SYSLOG_IDENTIFIER=exim\n".to_vec(),
                    binary_field("MESSAGE", b"a\nNov 24 05:33:21 mx1 postfix/smtpd[1]: b"),
                ]
                .concat(),
                Some((
                    format!("{head}exim: a Nov 24 05:33:21 mx1 postfix/smtpd[1]: b\n"),
                    false,
                )),
            ),
            (
                "not UTF-8",
                [
                    binary_field("MESSAGE", b"a\xff\0b"),
                    b"SYSLOG_IDENTIFIER=exim\n".to_vec(),
                ]
                .concat(),
                Some((format!("{head}exim: a\u{fffd}\0b\n"), false)),
            ),
            (
                "the first of two",
                b"SYSLOG_IDENTIFIER=exim\nMESSAGE=a\nMESSAGE=b\n".to_vec(),
                Some((format!("{head}exim: a\n"), false)),
            ),
            (
                "long text",
                [
                    b"SYSLOG_IDENTIFIER=exim\nMESSAGE=".to_vec(),
                    long.clone(),
                    b"\n".to_vec(),
                ]
                .concat(),
                Some((
                    format!("{head}exim: {}\n", "x".repeat(LINE_MAX - "MESSAGE=".len())),
                    true,
                )),
            ),
            (
                "long and binary",
                [b"SYSLOG_IDENTIFIER=exim\n".to_vec(), binary_field("MESSAGE", &long)].concat(),
                Some((format!("{head}exim: {}\n", "x".repeat(LINE_MAX)), true)),
            ),
            (
                "other fields, also binary ones with what looks like an end in",
                [
                    binary_field("OTHER", b"a\n\nMESSAGE=b\n"),
                    b"SYSLOG_IDENTIFIER=exim\nMESSAGE=a\nX=\n".to_vec(),
                ]
                .concat(),
                Some((format!("{head}exim: a\n"), false)),
            ),
            ("no program", b"MESSAGE=a\n".to_vec(), None),
            (
                "a daemon's user",
                b"SYSLOG_IDENTIFIER=exim\n_UID=110\nMESSAGE=a\n".to_vec(),
                Some((format!("{head}exim: a\n"), false)),
            ),
            (
                "whoever types `logger -p mail.info -t exim`",
                b"SYSLOG_IDENTIFIER=exim\n_UID=1000\nMESSAGE=a\n".to_vec(),
                None,
            ),
            (
                "a name that would be a header",
                b"SYSLOG_IDENTIFIER=a: Nov 24 05:33:21 mx1 postfix/smtpd\nMESSAGE=a\n".to_vec(),
                None,
            ),
            (
                "a process that is no number",
                b"SYSLOG_IDENTIFIER=exim\nSYSLOG_PID=]: x\nMESSAGE=a\n".to_vec(),
                Some((format!("{head}exim: a\n"), false)),
            ),
        ];
        let mut all = Vec::new();
        for (name, fields, want) in &cases {
            let entry = [HEAD.as_bytes(), fields, b"\n"].concat();
            assert_eq!(lines(&entry), want.iter().cloned().collect::<Vec<_>>(), "{name}");
            all.extend(entry);
        }
        all.extend_from_slice(HEAD.as_bytes());
        let want: Vec<_> = cases.into_iter().filter_map(|(_, _, want)| want).collect();
        assert_eq!(lines(&all), want, "one after the other, and the last without its end");
    }

    #[test]
    fn maillog_journal_refuses_what_is_no_export() {
        let (mut reader, mut entry) = (Export::default(), Entry::default());
        let mut from = &b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff"[..];
        assert!(reader.next_entry(&mut from, &mut entry).is_err());
        let mut from = &b"MESSAGE\n\x05\0\0\0\0\0\0\0abc"[..];
        assert!(reader.next_entry(&mut from, &mut entry).is_err());
    }
}
