//! smtpd's lines about AUTH, as `smtpd_sasl_glue.c` and the SASL libraries' plug-ins format them.

use super::super::client::client;
use super::super::event::{Kind, Step};
use super::super::parse::Reading;
use super::super::weight;

/// `warning: CLIENT: SASL MECH authentication failed: REASON, sasl_username=USER`, or `… authentication aborted`.
pub(super) fn failed(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"warning: ")?)?;
    let rest = rest.strip_prefix(b" SASL ")?;
    let (mechanism, rest) = rest.split_at_checked(memchr::memchr(b' ', rest)?)?;
    let mut reading = Reading {
        address: Some(address),
        mechanism: Some(mechanism),
        step: Some(Step::Answered),
        ..Reading::of(Kind::SaslAuthFailed)
    };
    if rest == b" authentication aborted" {
        // The client gave up with `*` (RFC 4954, section 4), as Thunderbird does when it has no Kerberos ticket.
        return Some(reading);
    }
    let rest = rest.strip_prefix(b" authentication failed")?;
    let text = match rest {
        [] => rest,
        [b':', text @ ..] => text.trim_ascii(),
        _ => return None,
    };
    // The reason is the server's own text: the first mark ends it, and all others are within the user name.
    const MARK: &[u8] = b", sasl_username=";
    let (reason, user) = match memchr::memmem::find(text, MARK) {
        Some(at) => (text.get(..at)?, text.get(at + MARK.len()..)),
        None => (text, None),
    };
    reading.user = user.filter(|user| !user.is_empty() && *user != b"(unavailable)");
    // A mechanism that is not offered: a client that is set up wrongly, and no password was tried.
    let guessed = !is_our_fault(reason) && !reason.starts_with(b"Invalid authentication mechanism");
    reading.weight = if guessed { weight::PASSWORD } else { 0 };
    Some(reading)
}

/// Reasons that tell of a broken password backend, and nothing about the client. It must never be banned for them: when
/// Dovecot is down, every user fails.
fn is_our_fault(reason: &[u8]) -> bool {
    const REASONS: [&[u8]; 9] = [
        // xsasl_dovecot_server.c
        b"Connection lost to authentication server",
        b"Can't connect to authentication server",
        b"Authentication backend error",
        // Dovecot's `reason=` with `temp`, and RFC 4954, section 6.
        b"Temporary authentication failure",
        b"Temporary internal failure",
        // Cyrus SASL: sasl_errstring() of SASL_FAIL, SASL_UNAVAIL, SASL_NOMEM and SASL_TRYAGAIN.
        b"generic failure",
        b"remote authentication server unavailable",
        b"no memory available",
        b"transient failure",
    ];
    REASONS.iter().any(|known| {
        reason
            .get(..known.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(known))
    })
}

/// `warning: SASL: Connect to private/auth failed: …` (Dovecot) and `warning: SASL authentication failure: cannot
/// connect to saslauthd server: …` (Cyrus).
pub(super) fn backend_down(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"warning: SASL")?;
    let down = rest.starts_with(b": Connect to ")
        || rest.starts_with(b": Couldn't send handshake")
        || rest.starts_with(b": Protocol version mismatch")
        || rest.starts_with(b" authentication failure: cannot connect to saslauthd server");
    down.then_some(Reading {
        step: Some(Step::BackendDown),
        ..Reading::of(Kind::SaslAuthFailed)
    })
}
