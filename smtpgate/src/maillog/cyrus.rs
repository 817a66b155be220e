//! Cyrus IMAP: imapd, pop3d, lmtpd, timsieved, nntpd, httpd. As `imapd.c` and its like format it: the client comes first,
//! as `NAME [ADDRESS]`, `NAME[ADDRESS]` (timsieved before 2.4) or `[ADDRESS]`.

use std::net::IpAddr;

use memchr::memmem;

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{bracketed, host, rsplit_once, split_once, word};
use super::weight;

/// Cyrus IMAP.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Cyrus,
    program: "cyrus/imap",
    writes: |program| {
        const SERVICES: [&[u8]; 20] = [
            b"imap",
            b"imaps",
            b"imapd",
            b"pop3",
            b"pop3s",
            b"pop3d",
            b"lmtp",
            b"lmtpd",
            b"lmtpunix",
            b"sieve",
            b"timsieved",
            b"managesieve",
            b"nntp",
            b"nntps",
            b"nntpd",
            b"http",
            b"https",
            b"httpd",
            b"mupdate",
            b"csync",
        ];
        program.starts_with(b"cyrus") || SERVICES.contains(&program)
    },
    forms: &[
        Form {
            name: "badlogin",
            versions: "1.5 and later",
            sample: "badlogin: mx.example.com [192.0.2.1] plaintext bob SASL(-13): authentication failure: checkpass failed",
            read: badlogin,
        },
        Form {
            name: "login",
            versions: "1.5 and later",
            sample: "login: mx.example.com [192.0.2.1] bob plaintext+TLS User logged in",
            read: login,
        },
    ],
};

/// The client, and what follows. A name from DNS may look like `NAME[ADDRESS]` itself, and what a client gives as the
/// mechanism like an address in brackets: when there are two, they must agree.
fn client(text: &[u8]) -> Option<(IpAddr, &[u8])> {
    let spaced = host(text);
    let (first, rest) = word(text);
    let joined = first.strip_suffix(b"]").and_then(|_| {
        let open = memchr::memrchr(b'[', first).filter(|&open| open > 0)?;
        Some((bracketed(first.get(open..)?)?.0, rest))
    });
    match (spaced, joined) {
        (Some((one, _)), Some((other, _))) if one != other => None,
        (found, other) => found.or(other),
    }
}

/// `badlogin: CLIENT MECHANISM [DETAIL]` or `badlogin: CLIENT plaintext USER DETAIL`
fn badlogin(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"badlogin: ")?)?;
    let (mechanism, rest) = word(rest.trim_ascii_start());
    const DETAIL: &[u8] = b" SASL(";
    let (user, detail) = match rest.strip_prefix(b"[SASL(") {
        Some(detail) => (None, Some(detail)),
        None => match rsplit_once(rest, DETAIL) {
            Some((user, detail)) => (Some(user), Some(detail)),
            None => (
                mechanism.eq_ignore_ascii_case(b"plaintext").then_some(word(rest).0),
                None,
            ),
        },
    };
    let code = detail.and_then(|detail| split_once(detail, b")")).map(|(code, _)| code);
    let weight = match code {
        // SASL_FAIL, SASL_NOMEM, SASL_TRYAGAIN and SASL_UNAVAIL: the server could not ask.
        Some(b"-1" | b"-2" | b"-8" | b"-24") => 0,
        Some(b"-20") => weight::UNKNOWN_LOGIN,
        _ if detail.is_some_and(|detail| memmem::find(detail, b"): user not found").is_some()) => weight::UNKNOWN_LOGIN,
        _ => weight::PASSWORD,
    };
    Some(Reading {
        address: Some(address),
        mechanism: Some(mechanism).filter(|mechanism| !mechanism.is_empty()),
        user: user.filter(|user| !user.is_empty()),
        weight,
        ..Reading::of(Kind::AuthFailed)
    })
}

/// `login: CLIENT USER MECHANISM User logged in`
fn login(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"login: ")?)?;
    let (rest, _) = split_once(rest.trim_ascii_start(), b" User logged in")?;
    let (user, mechanism) = rsplit_once(rest, b" ").unwrap_or((rest, b""));
    Some(Reading {
        address: Some(address),
        user: Some(user),
        mechanism: Some(mechanism).filter(|mechanism| !mechanism.is_empty()),
        ..Reading::of(Kind::AuthOk)
    })
}
