//! Passwords in log lines. Some daemons log them when they are told to (`auth_verbose_passwords`, vpopmail's
//! `--enable-logging=v`); all that log what a client said log its answers to AUTH, when it gives them at the wrong time. A
//! line that is kept, as evidence or in the ledger, is kept without them.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::{memchr2_iter, memmem};

use super::event::{Daemon, Kind};

/// What stands in a password's place.
const MASK: &[u8] = b"***";

/// The line without the passwords in it, plain, hashed, or in base64.
///
/// Where nothing tells where a password ends, the rest of the line goes with it.
pub fn redact(daemon: Daemon, kind: Kind, line: &[u8]) -> Cow<'_, [u8]> {
    let mut secrets = Vec::new();
    initial_responses(line, &mut secrets);
    if let Some(from) = spoken(daemon, kind, line) {
        commands(line, from, &mut secrets);
    }
    if let Some(from) = given(daemon, line) {
        secrets.push(from..line.len());
    }
    if secrets.is_empty() {
        return Cow::Borrowed(line);
    }
    secrets.sort_unstable_by_key(|secret| secret.start);
    let mut kept = Vec::with_capacity(line.len());
    let mut at = 0;
    for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
        if let Some(before) = line.get(at..secret.start) {
            kept.extend_from_slice(before);
            kept.extend_from_slice(MASK);
        }
        at = at.max(secret.end);
    }
    kept.extend_from_slice(line.get(at..).unwrap_or_default());
    Cow::Owned(kept)
}

/// Where a password begins that the daemon itself logs.
fn given(daemon: Daemon, line: &[u8]) -> Option<usize> {
    let marks: &[&[u8]] = match daemon {
        Daemon::Dovecot => &[b" (given password: ", b" (SHA1 of given password: "],
        Daemon::Qmail => &[b" (pass: "],
        _ => &[],
    };
    let ends = marks
        .iter()
        .filter_map(|mark| Some(memmem::find(line, mark)? + mark.len()));
    ends.min()
}

/// Behind `AUTH MECHANISM` (RFC 4954, section 4) or `AUTHENTICATE MECHANISM`, whoever logs it.
fn initial_responses(line: &[u8], secrets: &mut Vec<Range<usize>>) {
    for h in memchr2_iter(b'h', b'H', line) {
        let verb = h.checked_sub(3).and_then(|start| line.get(start..h));
        let before = line.get(..h.saturating_sub(3)).unwrap_or_default();
        // `\n` and `\012` end a command, too.
        let first = match before {
            [.., b'\\', _] => true,
            [.., last] => !last.is_ascii_alphabetic(),
            [] => true,
        };
        if !first || !verb.is_some_and(|verb| verb.eq_ignore_ascii_case(b"aut")) {
            continue;
        }
        let mut at = h + 1;
        const ENTICATE: &[u8] = b"enticate";
        let long = line.get(at..at + ENTICATE.len());
        if long.is_some_and(|rest| rest.eq_ignore_ascii_case(ENTICATE)) {
            at += ENTICATE.len();
        }
        let mechanism = match line.get(at) {
            Some(b' ') => run(line, at + 1, |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
            _ => continue,
        };
        if mechanism.is_empty() || line.get(mechanism.end) != Some(&b' ') {
            continue;
        }
        let response = run(line, mechanism.end + 1, is_base64);
        // A word of ours would be `AUTH from`, `AUTH LOGIN failed`.
        let word = |text: &[u8]| text.iter().all(u8::is_ascii_lowercase);
        let text = line.get(response.clone()).unwrap_or_default();
        if ends_here(line, response.end) && !word(text) && decode(text).is_some() {
            secrets.push(response);
        }
    }
}

/// Where the words of a client may begin, for a daemon that logs them.
fn spoken(daemon: Daemon, kind: Kind, line: &[u8]) -> Option<usize> {
    match daemon {
        Daemon::Postfix if kind == Kind::ProtocolAbuse => {
            const MARKS: [&[u8]; 6] = [
                b"non-SMTP command from ",
                b"NON-SMTP COMMAND from ",
                b" instead of SMTP command: ",
                b" command pipelining after ",
                b"COMMAND PIPELINING from ",
                b"PREGREET ",
            ];
            MARKS.iter().filter_map(|mark| memmem::find(line, mark)).min()
        }
        Daemon::Exim | Daemon::Courier | Daemon::Opensmtpd | Daemon::Sendmail => Some(0),
        _ => None,
    }
}

/// Commands that are passwords, or hold one: each begins behind `: `, a quotation mark, or an escaped control character.
fn commands(line: &[u8], from: usize, secrets: &mut Vec<Range<usize>>) {
    let mut at = from;
    while let Some(&byte) = line.get(at) {
        at = match (byte, line.get(at + 1)) {
            (b':', Some(b' ')) => at + 2,
            (b'"', _) => at + 1,
            // `\r`, `\015`
            (b'\\', Some(b'0'..=b'7')) => run(line, at + 1, |b| b.is_ascii_digit()).end.min(at + 4),
            (b'\\', Some(_)) => at + 2,
            _ => {
                at += 1;
                continue;
            }
        };
        let answer = run(line, at, is_base64);
        let text = line.get(answer.clone()).unwrap_or_default();
        if ends_here(line, answer.end) && line.get(answer.end) != Some(&b' ') && is_answer(text) {
            at = answer.end;
            secrets.push(answer);
        } else if let Some(password) = plain_login(line.get(at..).unwrap_or_default()) {
            secrets.push(at + password..line.len());
            return;
        }
    }
}

/// `PASS PASSWORD` (RFC 1939), `TAG LOGIN USER PASSWORD` (RFC 9051): where the password begins, or the user.
fn plain_login(command: &[u8]) -> Option<usize> {
    let is = |word: Range<usize>, verb: &[u8]| command.get(word).is_some_and(|word| word.eq_ignore_ascii_case(verb));
    if is(0..5, b"PASS ") {
        return Some(5);
    }
    let tag = run(command, 0, |b| b.is_ascii_alphanumeric() || *b == b'.').end;
    (tag > 0 && !is(0..tag, b"AUTH") && is(tag..tag + 7, b" LOGIN ")).then_some(tag + 7)
}

/// The bytes from `start` on that are `of` a kind.
fn run(line: &[u8], start: usize, of: impl Fn(&u8) -> bool) -> Range<usize> {
    let length = line.iter().skip(start).take_while(|byte| of(byte)).count();
    start..start + length
}

fn is_base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// A word may end before that byte: Postfix has `?` for a control character.
fn ends_here(line: &[u8], at: usize) -> bool {
    line.get(at)
        .is_none_or(|byte| matches!(byte, b' ' | b'"' | b'\'' | b'\\' | b'?'))
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    // A daemon may have cut the text, and many clients do not pad.
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
    if text.is_empty() {
        return None;
    }
    let whole = if text.len() % 4 == 1 {
        text.get(..text.len() - 1)?
    } else {
        text
    };
    BASE64.decode(whole).ok()
}

/// A word that is a client's answer in a SASL exchange, and not a command of its own.
fn is_answer(word: &[u8]) -> bool {
    /// Too long, and too mixed, for any command.
    const LONG: usize = 20;
    let Some(decoded) = decode(word).filter(|_| word.len() >= 4) else {
        return false;
    };
    let text = |text: &str| {
        !text
            .chars()
            .any(|char| char.is_control() && !matches!(char, '\0' | '\x01'))
    };
    let mixed = word.iter().any(u8::is_ascii_lowercase) && word.iter().any(u8::is_ascii_uppercase);
    word.ends_with(b"=") || (word.len() >= LONG && mixed) || std::str::from_utf8(&decoded).is_ok_and(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_secret_is_not_kept() {
        let cases = [
            (
                "plain",
                Daemon::Dovecot,
                "auth: sql(bob,192.0.2.1): Password mismatch (given password: a (b) c) - trying the next passdb",
                "auth: sql(bob,192.0.2.1): Password mismatch (given password: ***",
            ),
            (
                "hashed",
                Daemon::Dovecot,
                "auth: sql(bob,192.0.2.1): unknown user (SHA1 of given password: f638ff)",
                "auth: sql(bob,192.0.2.1): unknown user (SHA1 of given password: ***",
            ),
            (
                "vpopmail",
                Daemon::Qmail,
                "vchkpw-smtp: password fail (pass: 'secret') bob@example.com:192.0.2.1",
                "vchkpw-smtp: password fail (pass: ***",
            ),
            (
                "Exim, AUTH where it is not offered",
                Daemon::Exim,
                "SMTP protocol error in \"AUTH PLAIN AGJvYgBodW50ZXIy\" H=(mx) [192.0.2.1]:4711 AUTH command used when not \
                 advertised",
                "SMTP protocol error in \"AUTH PLAIN ***\" H=(mx) [192.0.2.1]:4711 AUTH command used when not advertised",
            ),
            (
                "Exim, an answer to a question that was not asked",
                Daemon::Exim,
                "SMTP syntax error in \"aHVudGVyMg==\" H=(mx) [192.0.2.1]:4711 unrecognized command",
                "SMTP syntax error in \"***\" H=(mx) [192.0.2.1]:4711 unrecognized command",
            ),
            (
                "Exim, POP3 at the wrong door",
                Daemon::Exim,
                "SMTP syntax error in \"pass hunter2\" H=(mx) [192.0.2.1]:4711 unrecognized command",
                "SMTP syntax error in \"pass ***",
            ),
            (
                "Exim, IMAP at the wrong door",
                Daemon::Exim,
                "SMTP syntax error in \"a1 LOGIN bob hunter2\" H=(mx) [192.0.2.1]:4711 unrecognized command",
                "SMTP syntax error in \"a1 LOGIN ***",
            ),
            (
                "Exim, by its last command",
                Daemon::Exim,
                "SMTP call from [192.0.2.1] dropped: too many syntax or protocol errors (last command was \"auth login \
                 Ym9i\")",
                "SMTP call from [192.0.2.1] dropped: too many syntax or protocol errors (last command was \"auth login ***\")",
            ),
            (
                "Courier",
                Daemon::Courier,
                "error,relay=::ffff:192.0.2.1,msg=\"535 Authentication failed.\",cmd: aHVudGVyMg==",
                "error,relay=::ffff:192.0.2.1,msg=\"535 Authentication failed.\",cmd: ***",
            ),
            (
                "Courier, a name, as it decodes it",
                Daemon::Courier,
                "error,relay=::ffff:192.0.2.1,msg=\"535 Authentication failed.\",cmd: AUTH LOGIN Bob@example.com",
                "error,relay=::ffff:192.0.2.1,msg=\"535 Authentication failed.\",cmd: AUTH LOGIN Bob@example.com",
            ),
            (
                "OpenSMTPD",
                Daemon::Opensmtpd,
                "c1a89cb774083905 smtp failed-command command=\"aHVudGVyMg\" result=\"500 5.5.1 Invalid command: Command \
                 unrecognized\"",
                "c1a89cb774083905 smtp failed-command command=\"***\" result=\"500 5.5.1 Invalid command: Command \
                 unrecognized\"",
            ),
            (
                "Postfix, a password that begins with a small letter is no SMTP command",
                Daemon::Postfix,
                "warning: non-SMTP command from unknown[192.0.2.1]: aHVudGVyMg==",
                "warning: non-SMTP command from unknown[192.0.2.1]: ***",
            ),
            (
                "Postfix, answers that came with the command",
                Daemon::Postfix,
                r"improper command pipelining after AUTH from unknown[192.0.2.1]: Ym9i\r\naHVudGVyMg==\r\nQUIT\r\n",
                r"improper command pipelining after AUTH from unknown[192.0.2.1]: ***\r\n***\r\nQUIT\r\n",
            ),
            (
                "Postfix, control characters in octal",
                Daemon::Postfix,
                r"improper command pipelining after AUTH from unknown[192.0.2.1]: \000\015aHVudGVyMg==\012",
                r"improper command pipelining after AUTH from unknown[192.0.2.1]: \000\015***\012",
            ),
            (
                "postscreen, before the greeting",
                Daemon::Postfix,
                r"PREGREET 41 after 0.1 from [192.0.2.1]:4711: EHLO x\r\nAUTH PLAIN AGJvYgBodW50ZXIy\r\n",
                r"PREGREET 41 after 0.1 from [192.0.2.1]:4711: EHLO x\r\nAUTH PLAIN ***\r\n",
            ),
            (
                "whatever an admin's own pattern reads",
                Daemon::Pattern,
                "client [192.0.2.1] said AUTHENTICATE XOAUTH2 dXNlcj1ib2IBYXV0aD1CZWFyZXIgeAEB and was refused",
                "client [192.0.2.1] said AUTHENTICATE XOAUTH2 *** and was refused",
            ),
        ];
        for (name, daemon, line, want) in cases {
            assert_eq!(
                String::from_utf8_lossy(&redact(daemon, Kind::ProtocolAbuse, line.as_bytes())),
                want,
                "{name}"
            );
        }
    }

    #[test]
    fn maillog_secret_all_else_is_kept() {
        let cases = [
            (Daemon::Dovecot, "auth: sql(bob,192.0.2.1): Password mismatch"),
            (
                Daemon::Postfix,
                "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
            ),
            (
                Daemon::Postfix,
                "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=test",
            ),
            (Daemon::Postfix, "too many errors after AUTH from unknown[192.0.2.1]"),
            (
                Daemon::Postfix,
                "warning: non-SMTP command from unknown[192.0.2.1]: x (given password: y",
            ),
            (
                Daemon::Postfix,
                "warning: non-SMTP command from unknown[192.0.2.1]: GET / HTTP/1.1",
            ),
            (
                Daemon::Postfix,
                r"improper command pipelining after EHLO from unknown[192.0.2.1]: NOOP\r\nSTARTTLS\r\nQUIT\r\nRSET\r\nDATA\r\n",
            ),
            (
                Daemon::Postfix,
                r"PREGREET 14 after 0.08 from [192.0.2.1]:50001: EHLO ylmf-pc\r\n",
            ),
            (
                Daemon::Exim,
                "SMTP protocol error in \"AUTH LOGIN\" H=(mx) [192.0.2.1]:4711 AUTH command used when not advertised",
            ),
            (
                Daemon::Exim,
                "H=mx.example.com [192.0.2.1] F=<eve@example.net> rejected RCPT <bob@example.org>: Unknown",
            ),
            (
                Daemon::Opensmtpd,
                "smtp-in: Failed command on session c1a89cb774083905: \"AUTH LOGIN (password)\" => 535 Authentication failed",
            ),
            (
                Daemon::Sendmail,
                "s1P819mk027713: AUTH failure (LOGIN): authentication failure (-13), user=bob, relay=mx.example.com [192.0.2.1]",
            ),
        ];
        for (daemon, line) in cases {
            assert_eq!(
                String::from_utf8_lossy(&redact(daemon, Kind::ProtocolAbuse, line.as_bytes())),
                line
            );
        }
    }
}
