//! The login processes (imap-login, pop3-login, submission-login, managesieve-login): `client-common.c`.
//!
//! `TEXT: user=<USER>, method=METHOD, rip=ADDRESS, lip=ADDRESS, …` (`login_log_format_elements`).

use std::net::IpAddr;

use memchr::memmem;

use super::super::event::{Kind, Step};
use super::super::grammar::Form;
use super::super::parse::Reading;
use super::super::weight;

/// The forms of a login process.
pub(super) static FORMS: &[Form] = &[
    Form {
        name: "login",
        versions: "1.0 and later; `Logged in` in some 2.4",
        sample: "Login: user=<bob>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.25, mpid=17, TLS, session=<x>",
        read: ok,
    },
    Form {
        name: "proxied",
        versions: "2.0 and later",
        sample: "proxy(bob): started proxying to 192.0.2.26:143: user=<bob>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.25",
        read: proxied,
    },
    Form {
        name: "failed",
        versions: "1.1 and later (`in N secs` since 2.2; `Login aborted: … (auth_failed)` in 2.4)",
        sample: "Disconnected: Inactivity (auth failed, 3 attempts in 16 secs): user=<bob>, method=PLAIN, \
                 rip=192.0.2.1, lip=192.0.2.25, TLS, session=<x>",
        read: failed,
    },
    Form {
        name: "not_offered",
        versions: "1.1 and later (`disabled plaintext`, later `disallowed plaintext`, in 2.4 `disallowed cleartext`)",
        sample: "Aborted login (tried to use disallowed plaintext auth): user=<>, rip=192.0.2.1, lip=192.0.2.25",
        read: not_offered,
    },
    Form {
        name: "abuse",
        versions: "1.1 and later",
        sample: "Disconnected: Too many invalid commands (no auth attempts in 1 secs): user=<>, rip=192.0.2.1, \
                 lip=192.0.2.25",
        read: abuse,
    },
    Form {
        name: "nothing",
        versions: "1.1 and later",
        sample: "Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.25, TLS handshaking",
        read: nothing,
    },
];

/// A line taken apart.
struct Line<'a> {
    /// The process' own words.
    text: &'a [u8],
    user: Option<&'a [u8]>,
    mechanism: Option<&'a [u8]>,
    address: IpAddr,
}

const RIP: &[u8] = b" rip=";

/// Of a message in whose words no client has a part. A proxy's begin with the user's name, and are [`proxied`] only.
fn line(message: &[u8]) -> Option<Line<'_>> {
    (!message.starts_with(b"proxy(")).then(|| elements(message))?
}

/// The elements begin at the first `user=<`. The address is the last `rip=`; but where an administrator has put `rip`
/// before `user`, it is the one before the user's name.
fn elements(message: &[u8]) -> Option<Line<'_>> {
    const USER: &[u8] = b" user=<";
    const METHOD: &[u8] = b", method=";
    let (text, elements) = match memmem::find(message, USER) {
        Some(at) => (message.get(..at)?, message.get(at + USER.len()..)),
        None => (message, None),
    };
    let (before, after) = match (memmem::rfind(text, RIP), elements) {
        (Some(at), _) => (None, text.get(at + RIP.len()..)?),
        (None, Some(elements)) => {
            let at = memmem::rfind(elements, RIP)?;
            (elements.get(..at), elements.get(at + RIP.len()..)?)
        }
        (None, None) => return None,
    };
    let mut line = Line {
        text,
        user: None,
        mechanism: None,
        address: address(after)?,
    };
    if let Some(before) = before {
        let before = before.strip_suffix(b",").unwrap_or(before);
        let user = match memmem::rfind(before, METHOD) {
            Some(at) => {
                line.mechanism = before.get(at + METHOD.len()..);
                before.get(..at)?
            }
            None => before,
        };
        line.user = Some(user.strip_suffix(b">").unwrap_or(user)).filter(|user| !user.is_empty());
    }
    Some(line)
}

/// The address that it begins with.
fn address(text: &[u8]) -> Option<IpAddr> {
    let end = text.iter().position(|b| matches!(b, b',' | b' ')).unwrap_or(text.len());
    let address = std::str::from_utf8(text.get(..end)?).ok()?;
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

impl<'a> Line<'a> {
    fn reading(self, kind: Kind, weight: u16) -> Reading<'a> {
        Reading {
            user: self.user,
            mechanism: self.mechanism,
            ..Reading::blame(kind, weight).by(self.address)
        }
    }

    fn says(&self, words: &[u8]) -> bool {
        memmem::find(self.text, words).is_some()
    }
}

fn ok(message: &[u8]) -> Option<Reading<'_>> {
    let known = message.starts_with(b"Login: ") || message.starts_with(b"Logged in: ");
    known.then(|| line(message))?.map(|line| line.reading(Kind::AuthOk, 0))
}

fn proxied(message: &[u8]) -> Option<Reading<'_>> {
    if !message.starts_with(b"proxy(") && !message.starts_with(b"Started proxying to ") {
        return None;
    }
    let line = elements(message)?;
    // The user's name stands before the elements, too, and may hold whatever they hold.
    let mut addresses = memmem::find_iter(message, RIP).map(|at| address(message.get(at + RIP.len()..)?));
    let known = line.says(b"tarted proxying to ") && addresses.all(|address| address == Some(line.address));
    known.then(|| line.reading(Kind::AuthOk, 0))
}

/// `(auth failed, 3 attempts in 16 secs)`, and what else a login can fail for that is the client's doing. The reasons
/// are `client_auth_fail_code_reasons` of 2.4; a password that has expired or a server that is out of order is not in
/// the list.
fn failed(message: &[u8]) -> Option<Reading<'_>> {
    const REASONS: [&[u8]; 6] = [
        b"(auth failed, ",
        b"(proxy dest auth failed",
        b"(authorization failed, ",
        b"(user disabled, ",
        b"(sent invalid base64 in response, ",
        b"(anonymous logins disabled, ",
    ];
    let line = line(message)?;
    let (at, reason) = REASONS
        .iter()
        .find_map(|reason| Some((memmem::find(line.text, reason)?, *reason)))?;
    let count = line.text.get(at + reason.len()..)?;
    let count = count.strip_prefix(b", ").unwrap_or(count);
    let digits = count.iter().position(|b| !b.is_ascii_digit()).unwrap_or(count.len());
    let attempts = std::str::from_utf8(count.get(..digits)?).ok()?;
    if count.get(digits..).is_some_and(|rest| rest.starts_with(b"/")) {
        // `1/3 successful auths`: they know the password.
        return Some(line.reading(Kind::AuthFailed, 0));
    }
    let failures = attempts
        .parse::<u64>()
        .map_or(1, |count| u16::try_from(count).unwrap_or(u16::MAX));
    Some(Reading {
        step: Some(Step::Login),
        ..line.reading(Kind::AuthFailed, failures.saturating_mul(weight::PASSWORD))
    })
}

fn not_offered(message: &[u8]) -> Option<Reading<'_>> {
    let line = line(message)?;
    let known = line.says(b"(tried to use disabled ")
        || line.says(b"(tried to use disallowed ")
        || line.says(b"(tried to use unsupported ");
    known.then(|| line.reading(Kind::AuthFailed, weight::NOT_OFFERED))
}

fn abuse(message: &[u8]) -> Option<Reading<'_>> {
    let line = line(message)?;
    let known = line.says(b"Too many invalid ") || line.says(b"Too many bad ") || line.says(b"Input buffer full");
    known.then(|| line.reading(Kind::ProtocolAbuse, weight::ERRORS))
}

/// A connection without a login. Health checks and phones on a bad line make such, and clients that do not trust our
/// certificate: no offence, other than plain text where TLS is spoken.
fn nothing(message: &[u8]) -> Option<Reading<'_>> {
    const STARTS: [&[u8]; 5] = [
        b"Disconnected",
        b"Aborted login",
        b"Login aborted",
        b"Remote closed connection",
        b"Client has quit the connection",
    ];
    if !STARTS.iter().any(|start| message.starts_with(start)) {
        return None;
    }
    let line = line(message)?;
    let not_tls = line.says(b"SSL_accept() failed: error:")
        && [
            &b"wrong version number"[..],
            b"http request",
            b"https proxy request",
            b"unknown protocol",
        ]
        .iter()
        .any(|words| line.says(words));
    let weight = if not_tls { weight::NOTHING } else { 0 };
    Some(line.reading(Kind::DdosConnect, weight))
}
