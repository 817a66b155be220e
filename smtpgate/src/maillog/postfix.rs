//! Postfix's SMTP server, smtpd, under any instance and service name (`syslog_name`): its log messages as `smtpd.c` and
//! `smtpd_sasl_glue.c` format them.
//!
//! What a client can put into these lines: its SASL mechanism (one word), its user name, and the PTR name of its
//! address (letters, digits, `-`, `_`, `.`). Every form begins with Postfix's own words and then the client, so the
//! address is read before anything that the client chose.

use super::client::client;
use super::event::{Daemon, Kind, Step};
use super::parse::Reading;

/// A message form: where it comes from, a line of it, and its reader.
pub struct Form {
    /// Its name, for tests and documentation.
    pub name: &'static str,
    /// The versions that write it.
    pub versions: &'static str,
    /// A message of that form.
    pub sample: &'static str,
    read: fn(&[u8]) -> Option<Reading<'_>>,
}

/// The forms of smtpd, the more frequent first.
pub static SMTPD: &[Form] = &[
    Form {
        name: "connect",
        versions: "2.0 and later",
        sample: "connect from mail.example.com[192.0.2.1]",
        read: connect,
    },
    Form {
        name: "sasl_failed",
        versions: "2.0 and later; `(reason unavailable)` and sasl_username since 3.8.3, 3.7.8, 3.6.12 and 3.5.22",
        sample: "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=bob",
        read: sasl,
    },
    Form {
        name: "disconnect",
        versions: "3.0 and later (without counters before)",
        sample: "disconnect from unknown[192.0.2.1] ehlo=1 auth=0/3 quit=1 commands=2/5",
        read: disconnect,
    },
    Form {
        name: "client",
        versions: "2.0 and later",
        sample: "4FB2C1A0D3: client=mail.example.com[192.0.2.1], sasl_method=PLAIN, sasl_username=bob@example.com",
        read: accepted,
    },
    Form {
        name: "lost_in_auth",
        versions: "2.0 and later",
        sample: "lost connection after AUTH from unknown[192.0.2.1]",
        read: lost_in_auth,
    },
    Form {
        name: "too_many_errors",
        versions: "2.0 and later",
        sample: "too many errors after AUTH from unknown[192.0.2.1]",
        read: too_many_errors,
    },
    Form {
        name: "backend_down",
        versions: "2.3 and later (Dovecot), 2.0 and later (Cyrus)",
        sample: "warning: SASL: Connect to private/auth failed: No such file or directory",
        read: backend_down,
    },
];

/// Reads a message of `program`. `None` when it is not Postfix's, or of no known form.
pub(super) fn read<'a>(program: &[u8], message: &'a [u8]) -> Option<(Daemon, Reading<'a>)> {
    // `postfix/smtpd`, `postfix/submission/smtpd`, `postfix-in/smtps/smtpd`. OpenSMTPD's smtpd has no such path.
    if !program.ends_with(b"/smtpd") {
        return None;
    }
    let reading = SMTPD.iter().find_map(|form| (form.read)(message))?;
    Some((Daemon::Postfix, reading))
}

fn connect(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"connect from ")?)?;
    let reading = Reading {
        address: Some(address),
        step: Some(Step::Open),
        ..Reading::of(Kind::Connect)
    };
    rest.is_empty().then_some(reading)
}

/// `warning: CLIENT: SASL MECH authentication failed: REASON, sasl_username=USER`, or `… authentication aborted`.
fn sasl(message: &[u8]) -> Option<Reading<'_>> {
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
    reading.weight = u16::from(!is_our_fault(reason));
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
fn backend_down(message: &[u8]) -> Option<Reading<'_>> {
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

/// `disconnect from CLIENT ehlo=1 auth=0/3 commands=1/4`: of 3 AUTH commands 0 succeeded. One without counters, or
/// without failures, says nothing that is of use.
fn disconnect(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"disconnect from ")?)?;
    let counter = rest
        .split(|&b| b == b' ')
        .find_map(|word| word.strip_prefix(b"auth="))?;
    let (good, all) = std::str::from_utf8(counter).ok()?.split_once('/')?;
    let failed = all
        .parse::<u64>()
        .ok()?
        .checked_sub(good.parse().ok()?)
        .filter(|&failed| failed > 0)?;
    Some(Reading {
        address: Some(address),
        weight: u16::try_from(failed).unwrap_or(u16::MAX),
        step: Some(Step::Close),
        ..Reading::of(Kind::DisconnectAuthFail)
    })
}

/// `QUEUEID: client=CLIENT[, sasl_method=METHOD, sasl_username=USER]`: a recipient was accepted.
fn accepted(message: &[u8]) -> Option<Reading<'_>> {
    let colon = memchr::memchr(b':', message)?;
    let (queue_id, rest) = message.split_at_checked(colon)?;
    if queue_id.is_empty() || !queue_id.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let (address, rest) = client(rest.strip_prefix(b": client=")?)?;
    let mut reading = Reading {
        address: Some(address),
        ..Reading::of(Kind::Received)
    };
    let Some(rest) = rest.strip_prefix(b" sasl_method=") else {
        return Some(reading);
    };
    const MARK: &[u8] = b", sasl_username=";
    let at = memchr::memmem::find(rest, MARK)?;
    let user = rest.get(at + MARK.len()..)?;
    let end = [&b", sasl_sender="[..], b", orig_queue_id=", b", orig_client="]
        .iter()
        .filter_map(|next| memchr::memmem::find(user, next))
        .min()
        .unwrap_or(user.len());
    reading.kind = Kind::AuthOk;
    reading.mechanism = rest.get(..at);
    reading.user = user.get(..end);
    Some(reading)
}

/// The client left before AUTH was answered: it learned nothing about the password. A phone on a bad line does this, and
/// every client does while the password backend hangs.
fn lost_in_auth(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message
        .strip_prefix(b"lost connection after AUTH from ")
        .or_else(|| message.strip_prefix(b"timeout after AUTH from "))?;
    let (address, rest) = client(rest)?;
    let reading = Reading {
        address: Some(address),
        step: Some(Step::Answered),
        ..Reading::of(Kind::DdosConnect)
    };
    rest.is_empty().then_some(reading)
}

/// smtpd hung up on a client that went over `smtpd_hard_error_limit` with an AUTH command.
fn too_many_errors(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"too many errors after AUTH from ")?)?;
    let reading = Reading {
        address: Some(address),
        weight: 1,
        ..Reading::of(Kind::ProtocolAbuse)
    };
    rest.is_empty().then_some(reading)
}
