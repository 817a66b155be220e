//! The SMTP server, smtpd: its log messages as `smtpd.c` formats them.
//!
//! What a client can put into these lines: its commands, its SASL mechanism (one word), its user name, and the PTR name
//! of its address (letters, digits, `-`, `_`, `.`).

use super::super::client::client;
use super::super::event::{Kind, Step};
use super::super::grammar::Form;
use super::super::parse::Reading;
use super::super::weight;
use super::{queue_id, reject, sasl};

/// The forms of smtpd.
pub(super) static FORMS: &[Form] = &[
    Form {
        name: "connect",
        versions: "2.0 and later",
        sample: "connect from mail.example.com[192.0.2.1]",
        read: connect,
    },
    Form {
        name: "disconnect",
        versions: "3.0 and later (without counters before)",
        sample: "disconnect from unknown[192.0.2.1] ehlo=1 auth=0/3 quit=1 commands=2/5",
        read: disconnect,
    },
    Form {
        name: "sasl_failed",
        versions: "2.0 and later; `(reason unavailable)` and sasl_username since 3.8.3, 3.7.8, 3.6.12 and 3.5.22",
        sample: "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=bob",
        read: sasl::failed,
    },
    Form {
        name: "client",
        versions: "2.0 and later",
        sample: "4FB2C1A0D3: client=mail.example.com[192.0.2.1], sasl_method=PLAIN, sasl_username=bob@example.com",
        read: accepted,
    },
    Form {
        name: "reject",
        versions: "2.0 and later",
        sample: "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 454 4.7.1 <to@example.org>: Relay access denied; \
                 from=<from@example.com> to=<to@example.org> proto=ESMTP helo=<mail>",
        read: reject::smtpd,
    },
    Form {
        name: "ended",
        versions: "2.0 and later",
        sample: "lost connection after CONNECT from unknown[192.0.2.1]",
        read: ended,
    },
    Form {
        name: "pipelining",
        versions: "2.6 and later",
        sample: r"improper command pipelining after EHLO from unknown[192.0.2.1]: MAIL FROM:<from@example.com>\r\n",
        read: pipelining,
    },
    Form {
        name: "not_smtp",
        versions: "2.1 and later",
        sample: "warning: non-SMTP command from unknown[192.0.2.1]: GET / HTTP/1.1",
        read: not_smtp,
    },
    Form {
        name: "header_as_command",
        versions: "2.0 to 2.10",
        sample: "warning: unknown[192.0.2.1] sent message header instead of SMTP command: Subject: hello",
        read: header_as_command,
    },
    Form {
        name: "overlong",
        versions: "2.0 and later",
        sample: "warning: unknown[192.0.2.1]: request longer than 2048: NOOP AAAAAAAAAAAAAAAAAAAAAAAAA...",
        read: overlong,
    },
    Form {
        name: "limit",
        versions: "2.1 and later",
        sample: "warning: Connection rate limit exceeded: 61 from unknown[192.0.2.1] for service smtp",
        read: limit,
    },
    Form {
        name: "bad_address",
        versions: "2.3 and later",
        sample: "warning: Illegal address syntax from unknown[192.0.2.1] in MAIL command: <@>",
        read: bad_address,
    },
    Form {
        name: "bad_bdat",
        versions: "3.4 and later, as a warning since 3.10",
        sample: "NOQUEUE: malformed BDAT command syntax from unknown[192.0.2.1]: BDAT x",
        read: bad_bdat,
    },
    Form {
        name: "tls_failed",
        versions: "2.2 and later",
        sample: "SSL_accept error from unknown[192.0.2.1]: lost connection",
        read: tls_failed,
    },
    Form {
        name: "backend_down",
        versions: "2.3 and later (Dovecot), 2.0 and later (Cyrus)",
        sample: "warning: SASL: Connect to private/auth failed: No such file or directory",
        read: sasl::backend_down,
    },
];

/// The form of anvil, smtpd's memory of rates.
pub(super) static ANVIL: &[Form] = &[Form {
    name: "statistics",
    versions: "2.1 and later",
    sample: "statistics: max connection rate 12/60s for (192.0.2.25:smtp:192.0.2.1) at Nov 24 02:27:08",
    read: statistics,
}];

fn connect(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"connect from ")?)?;
    let reading = Reading {
        address: Some(address),
        step: Some(Step::Open),
        ..Reading::of(Kind::Connect)
    };
    rest.is_empty().then_some(reading)
}

/// `disconnect from CLIENT ehlo=1 auth=0/3 unknown=0/2 commands=1/6`: of 3 AUTH commands 0 succeeded, and 2 were no SMTP at
/// all. One without counters, or without such failures, says nothing that is of use.
fn disconnect(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"disconnect from ")?)?;
    if let Some(failed) = failed(rest, b" auth=") {
        return Some(Reading {
            step: Some(Step::Close),
            ..Reading::blame(Kind::DisconnectAuthFail, failed).by(address)
        });
    }
    // One may be an extension that we do not have.
    let junk = failed(rest, b" unknown=")? > 1;
    junk.then(|| Reading::blame(Kind::ProtocolAbuse, weight::ERRORS).by(address))
}

/// How many of the commands behind `mark` failed: `0/3` is 3, and `3` none.
fn failed(counters: &[u8], mark: &[u8]) -> Option<u16> {
    let counter = counters.get(memchr::memmem::find(counters, mark)? + mark.len()..)?;
    let counter = counter.split(|&b| b == b' ').next()?;
    let (good, all) = std::str::from_utf8(counter).ok()?.split_once('/')?;
    let failed = all.parse::<u64>().ok()?.checked_sub(good.parse().ok()?)?;
    (failed > 0).then(|| u16::try_from(failed).unwrap_or(u16::MAX))
}

/// `QUEUEID: client=CLIENT[, sasl_method=METHOD, sasl_username=USER]`: a recipient was accepted.
fn accepted(message: &[u8]) -> Option<Reading<'_>> {
    let (queue_id, rest) = queue_id(message)?;
    let (address, rest) = client(rest.strip_prefix(b"client=")?)?;
    let mut reading = Reading {
        address: Some(address),
        queue_id,
        ..Reading::of(Kind::Received)
    };
    let Some(rest) = rest.strip_prefix(b" sasl_method=") else {
        return Some(reading);
    };
    const MARK: &[u8] = b", sasl_username=";
    let at = memchr::memmem::find(rest, MARK)?;
    let user = rest.get(at + MARK.len()..)?;
    const NEXT: [&[u8]; 3] = [b", sasl_sender=", b", orig_queue_id=", b", orig_client="];
    let is_next = |at: &usize| {
        user.get(*at..)
            .is_some_and(|rest| NEXT.iter().any(|next| rest.starts_with(next)))
    };
    let end = memchr::memchr_iter(b',', user).find(is_next).unwrap_or(user.len());
    reading.kind = Kind::AuthOk;
    reading.mechanism = rest.get(..at);
    reading.user = user.get(..end);
    Some(reading)
}

/// `lost connection after CONNECT from CLIENT`, `timeout after …`, `too many errors after …`.
///
/// Only sessions that ended before they began count: lost later, it may be a bad line, a sender's address verification,
/// or a client that does not trust our certificate. One that hung up before it said a word is a port check: balancers and
/// monitoring make one every few seconds. One that left before AUTH was answered learned nothing about the
/// password; a phone does this, and every client does while the password backend hangs.
fn ended(message: &[u8]) -> Option<Reading<'_>> {
    // With a queue id before it, or `NOQUEUE`, since 3.10.
    let message = queue_id(message).map_or(message, |(_, rest)| rest);
    let (too_many, rest) = if let Some(rest) = message.strip_prefix(b"lost connection after ") {
        (false, rest)
    } else if let Some(rest) = message.strip_prefix(b"timeout after ") {
        (false, rest)
    } else {
        (true, message.strip_prefix(b"too many errors after ")?)
    };
    // What comes first is one of smtpd's own words, or `DATA (123 bytes)`.
    let from = memchr::memmem::find(rest, b" from ")?;
    let (after, rest) = rest.split_at_checked(from)?;
    let (address, rest) = client(rest.strip_prefix(b" from ")?)?;
    let auth = after == b"AUTH";
    let reading = match too_many {
        // Each of the AUTH commands has counted.
        true if auth => Reading::blame(Kind::ProtocolAbuse, weight::PASSWORD),
        true => Reading::blame(Kind::ProtocolAbuse, weight::ERRORS),
        false => {
            let waited = message.starts_with(b"timeout ");
            let nothing = matches!(after, b"HELO" | b"EHLO" | b"UNKNOWN") || (waited && after == b"CONNECT");
            let mut reading = Reading::blame(Kind::DdosConnect, if nothing { weight::NOTHING } else { 0 });
            reading.step = auth.then_some(Step::Answered);
            reading
        }
    };
    rest.is_empty().then_some(reading.by(address))
}

/// `improper command pipelining after EHLO from CLIENT: TEXT`
fn pipelining(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"improper command pipelining after ")?;
    let from = memchr::memmem::find(rest, b" from ")?;
    let (address, _) = client(rest.get(from + 6..)?)?;
    Some(Reading::blame(Kind::ProtocolAbuse, weight::ABUSE).by(address))
}

/// `warning: non-SMTP command from CLIENT: TEXT`
fn not_smtp(message: &[u8]) -> Option<Reading<'_>> {
    let (address, _) = client(message.strip_prefix(b"warning: non-SMTP command from ")?)?;
    Some(Reading::blame(Kind::ProtocolAbuse, weight::ABUSE).by(address))
}

/// `warning: CLIENT sent message header instead of SMTP command: TEXT`
fn header_as_command(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"warning: ")?)?;
    let known = rest.starts_with(b" sent ") && memchr::memmem::find(rest, b" instead of SMTP command: ").is_some();
    known.then(|| Reading::blame(Kind::ProtocolAbuse, weight::ABUSE).by(address))
}

/// `warning: CLIENT: request longer than 2048: TEXT`
fn overlong(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"warning: ")?)?;
    rest.starts_with(b" request longer than ")
        .then(|| Reading::blame(Kind::ProtocolAbuse, weight::ERRORS).by(address))
}

/// `warning: Connection rate limit exceeded: 61 from CLIENT for service smtp`, and all other limits that anvil keeps.
fn limit(message: &[u8]) -> Option<Reading<'_>> {
    const MARK: &[u8] = b" limit exceeded: ";
    let rest = message.strip_prefix(b"warning: ")?;
    let at = memchr::memmem::find(rest, MARK)?;
    let what = rest.get(..at)?;
    let known = what.ends_with(b" rate") || what.ends_with(b" concurrency");
    if !known || !what.iter().all(|&b| b.is_ascii_alphabetic() || b == b' ') {
        return None;
    }
    let rest = rest.get(at + MARK.len()..)?;
    let digits = rest
        .iter()
        .position(|b| !b.is_ascii_digit())
        .filter(|&digits| digits > 0)?;
    let (address, rest) = client(rest.get(digits..)?.strip_prefix(b" from ")?)?;
    let mut reading = Reading::blame(Kind::DdosConnect, weight::LIMIT).by(address);
    // This line accounts for the AUTH command, which was not tried.
    reading.step = (what == b"AUTH command rate").then_some(Step::Answered);
    rest.starts_with(b" for service ").then_some(reading)
}

/// `warning: Illegal address syntax from CLIENT in MAIL command: TEXT`
fn bad_address(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"warning: Illegal address syntax from ")?)?;
    let reading = Reading::blame(Kind::ProtocolAbuse, weight::REJECTED).by(address);
    rest.starts_with(b" in ").then_some(reading)
}

/// `[warning: ]QUEUEID: malformed BDAT command syntax from CLIENT: TEXT`, and others.
fn bad_bdat(message: &[u8]) -> Option<Reading<'_>> {
    const WHAT: [&[u8]; 3] = [
        b"malformed BDAT command syntax from ",
        b"null BDAT request from ",
        b"too much BDAT content -- disabling further input from ",
    ];
    // `warning: ` since 3.10.
    let (_, rest) = queue_id(message.strip_prefix(b"warning: ").unwrap_or(message))?;
    let (address, _) = client(WHAT.iter().find_map(|what| rest.strip_prefix(*what))?)?;
    Some(Reading::blame(Kind::ProtocolAbuse, weight::ERRORS).by(address))
}

/// `SSL_accept error from CLIENT: REASON`. A client that does not trust our certificate looks the same: no offence, or an
/// expired certificate bans everybody.
fn tls_failed(message: &[u8]) -> Option<Reading<'_>> {
    let (address, _) = client(message.strip_prefix(b"SSL_accept error from ")?)?;
    Some(Reading::blame(Kind::DdosConnect, 0).by(address))
}

/// `statistics: max connection rate 12/60s for (SERVICE:ADDRESS) at …`: a maximum, also where nothing is wrong with it.
/// SERVICE may hold an address of ours, with colons: ADDRESS is the longest end that is one.
fn statistics(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"statistics: max ")?;
    let open = memchr::memmem::find(rest, b" for (")?;
    let rest = rest.get(open + 6..)?;
    let ident = std::str::from_utf8(rest.get(..memchr::memchr(b')', rest)?)?).ok()?;
    let address = ident
        .match_indices(':')
        .find_map(|(at, _)| ident.get(at + 1..)?.parse::<std::net::IpAddr>().ok())?;
    Some(Reading::blame(Kind::DdosConnect, 0).by(address.to_canonical()))
}
