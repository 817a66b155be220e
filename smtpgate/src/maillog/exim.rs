//! Exim 4: main log, reject log, or through syslog. As `smtp_in.c`, `acl.c`, `receive.c` and `host_and_ident()` of
//! `smtp_in.c` format it.
//!
//! A client is written `[H=]NAME (HELO) [ADDRESS]:PORT`. NAME comes from DNS and is one word. HELO is the client's. By
//! default Exim takes only letters, digits, `-`, `_`, `.` or an address in brackets for it; with
//! `helo_accept_junk_hosts` it is free text, which may hold a finished `) [ADDRESS]`. Then what follows may be the
//! client's or Exim's, so nobody is blamed when such addresses disagree. The reject log's copies of message headers begin
//! with a letter or a blank, never with a date: they are no lines to us.

use std::net::IpAddr;

use memchr::memmem;

use super::event::{Daemon, Kind, Step};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{agreed, bracketed, mentions, rsplit_once, split_once, word};
use super::weight;

/// Exim 4.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Exim,
    program: "exim",
    writes: |program| program.starts_with(b"exim"),
    forms: FORMS,
};

const FORMS: &[Form] = &[
    Form {
        name: "received",
        versions: "4.00 and later",
        sample: "1vNq2a-000000001Ab-0CdE <= bob@example.com H=mx.example.com (mx) [192.0.2.1]:4711 P=esmtpsa X=TLS1.3 A=plain:bob S=1024",
        read: received,
    },
    Form {
        name: "auth_failed",
        versions: "4.00 and later; set_id since 4.42, `H=` never",
        sample: "plain_login authenticator failed for mx.example.com (USER) [192.0.2.1]:4711 I=[198.51.100.25]:587: 535 Incorrect authentication data (set_id=bob)",
        read: auth_failed,
    },
    Form {
        name: "refused_by_acl",
        versions: "4.00 and later",
        sample: "H=mx.example.com (mx) [192.0.2.1]:4711 F=<eve@example.net> rejected RCPT <bob@example.org>: relay not permitted",
        read: refused_by_acl,
    },
    Form {
        name: "command_error",
        versions: "4.00 and later",
        sample: "SMTP protocol error in \"AUTH LOGIN\" H=(mx) [192.0.2.1]:4711 AUTH command used when not advertised",
        read: command_error,
    },
    Form {
        name: "synchronization",
        versions: "4.20 and later",
        sample: "SMTP protocol synchronization error (next input sent too soon: pipelining was not advertised): rejected \"RSET\" H=(mx) [192.0.2.1] next input=\"QUIT\\r\\n\"",
        read: synchronization,
    },
    Form {
        name: "connection",
        versions: "4.00 and later",
        sample: "SMTP call from mx.example.com [192.0.2.1]:4711 dropped: too many nonmail commands (last was \"RSET\")",
        read: connection,
    },
    Form {
        name: "local_scan",
        versions: "4.00 and later, with a local_scan()",
        sample: "1vNq2a-000000001Ab-0CdE F=eve@example.net H=mx.example.com [192.0.2.1] P=smtp rejected by local_scan(): spam",
        read: local_scan,
    },
    Form {
        name: "sa_exim",
        versions: "sa-exim 3 and 4",
        sample: "1vNq2a-000000001Ab-0CdE SA: Action: silently tossed message: score=31.0 required=5.0 (scanned in 6/6 secs | Message-Id: x). From <eve@example.net> (host=mx.example.com [192.0.2.1]) for bob@example.org",
        read: sa_exim,
    },
];

/// What stands after `2026-11-24 12:00:00` (which Exim also writes to syslog), `[PID]` and the message's id, and the id.
fn body(message: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut message = message;
    if let [y, _, _, _, b'-', _, _, b'-', _, _, b' ', ..] = message
        && y.is_ascii_digit()
    {
        message = message.get(11..).map(word).map_or(message, |(_clock, rest)| rest);
    }
    if let Some((pid, rest)) = message.strip_prefix(b"[").and_then(|text| split_once(text, b"] "))
        && pid.iter().all(u8::is_ascii_digit)
    {
        message = rest;
    }
    // `1vNq2a-0005aQ-9b`, since 4.97 `1vNq2a-000000001Ab-0CdE`.
    let (id, rest) = word(message);
    let parts = |first, second| {
        let digits = |(at, byte): (usize, &u8)| {
            if at == first || at == second {
                *byte == b'-'
            } else {
                byte.is_ascii_alphanumeric()
            }
        };
        id.iter().enumerate().all(digits)
    };
    let is_id = match id.len() {
        16 => parts(6, 13),
        23 => parts(6, 18),
        _ => false,
    };
    if is_id { (rest, Some(id)) } else { (message, None) }
}

/// Every address that may be that of `[H=]NAME (HELO) [ADDRESS]:PORT` at the start of `text`: after a HELO name the
/// *whole* rest is searched for an end of it. With each, what follows it.
fn possible<'a>(text: &'a [u8], found: &mut impl FnMut(IpAddr, &'a [u8])) {
    let text = text.strip_prefix(b"H=").unwrap_or(text);
    let text = match text.first() {
        Some(b'[' | b'(') => text,
        _ => split_once(text, b" ").map_or(&b""[..], |(_name, rest)| rest),
    };
    let starts = text.starts_with(b"[").then_some(0).into_iter();
    let helo = text
        .starts_with(b"(")
        .then(|| memmem::find_iter(text, b") ["))
        .into_iter()
        .flatten();
    for at in starts.chain(helo.map(|at| at + 2)) {
        if let Some((address, rest)) = text.get(at..).and_then(bracketed) {
            found(address, rest);
        }
    }
}

/// The client at the start of `text`, and what follows it, if there is no doubt about it.
fn client(text: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (mut first, mut doubt) = (None, false);
    possible(text, &mut |address, rest| {
        doubt |= first.get_or_insert((address, rest)).0 != address
    });
    let (address, rest) = first.filter(|_| !doubt)?;
    let rest = match rest {
        [b':', port @ ..] => {
            let digits = port.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 { rest } else { port.get(digits..)? }
        }
        rest => rest,
    };
    Some((address, rest))
}

/// The client behind any `mark`, where one of the marks is Exim's own and the others a client's.
fn behind(text: &[u8], mark: &[u8]) -> Option<IpAddr> {
    let (mut first, mut doubt) = (None, false);
    for at in memmem::find_iter(text, mark) {
        let text = text.get(at + mark.len()..).unwrap_or_default();
        possible(text, &mut |address, _| {
            doubt |= *first.get_or_insert(address) != address
        });
    }
    first.filter(|_| !doubt)
}

/// The client at the end of `text`, where only Exim's own words follow it: `[ADDRESS]:PORT I=[OURS]:PORT Ci=N`.
fn client_at_end(text: &[u8]) -> Option<IpAddr> {
    let (rest, mut last) = rsplit_once(text, b" ")?;
    let mut rest = rest;
    while last.starts_with(b"I=[") || last.starts_with(b"Ci=") {
        (rest, last) = rsplit_once(rest, b" ")?;
    }
    let (address, port) = bracketed(last)?;
    matches!(port, [] | [b':', ..]).then_some(address)
}

/// `NAME authenticator failed for CLIENT: CODE TEXT (set_id=USER)`
fn auth_failed(message: &[u8]) -> Option<Reading<'_>> {
    // NAME is the configuration's.
    let (_, rest) = split_once(body(message).0, b" ")?;
    let (address, rest) = client(rest.strip_prefix(b"authenticator failed for ")?)?;
    let (_, answer) = split_once(rest, b": ")?;
    let user = rsplit_once(answer, b")").and_then(|(answer, _)| split_once(answer, b"(set_id="));
    Some(Reading {
        address: Some(address),
        // Dovecot may have been asked (`driver = dovecot`), or PAM.
        step: Some(Step::Login),
        user: user.map(|(_, user)| user),
        // 435: Exim could not ask its password database. 501: the client gave up, or sent what is no base64.
        weight: if answer.starts_with(b"535") {
            weight::PASSWORD
        } else {
            0
        },
        ..Reading::of(Kind::SaslAuthFailed)
    })
}

/// `H=CLIENT [X=…] [A=…] [F=<SENDER>] rejected WHAT: REASON`, and the result of a sender's verification.
fn refused_by_acl(message: &[u8]) -> Option<Reading<'_>> {
    let text = body(message).0;
    if !text.starts_with(b"H=") {
        return None;
    }
    let (address, rest) = client(text)?;
    let reading = |kind, weight| {
        // A user of ours who mistypes a recipient is no offender.
        let known = memmem::find(split_once(rest, b" F=").map_or(rest, |(before, _)| before), b" A=").is_some();
        Some(Reading {
            address: Some(address),
            weight: if known { 0 } else { weight },
            ..Reading::of(kind)
        })
    };
    if memmem::find(rest, b" sender verify fail for ").is_some() {
        return reading(Kind::RejectedRcpt, weight::REJECTED);
    }
    let (before, what) = split_once(rest, b" rejected ")?;
    let passing = before.ends_with(b" temporarily");
    // What the client sent is before the first colon, unless it holds one; then the reason is read as having more of it.
    let reason = split_once(what, b": ").map_or(&b""[..], |(_, reason)| reason);
    let (kind, weight) = if what.starts_with(b"EHLO or HELO ") {
        (Kind::HeloReject, weight::HELO)
    } else if what.starts_with(b"RCPT ") || what.starts_with(b"connection ") || what.starts_with(b"MAIL ") {
        reason_of(reason)
    } else if what.starts_with(b"AUTH") || what.starts_with(b"STARTTLS") {
        (Kind::ProtocolAbuse, weight::REJECTED)
    } else if what.starts_with(b"VRFY") || what.starts_with(b"EXPN") || what.starts_with(b"ETRN") {
        (Kind::RejectedRcpt, weight::REJECTED)
    } else {
        // After DATA, by an ACL for MIME, DKIM or non-SMTP content.
        (Kind::RejectedRcpt, weight::CONTENT)
    };
    reading(kind, if passing { 0 } else { weight })
}

/// Why: the words of the default configuration and of those that are passed around.
fn reason_of(reason: &[u8]) -> (Kind, u16) {
    const RELAY: &[&str] = &[
        "relay not permitted",
        "relaying denied",
        "relay access denied",
        "not permitted to relay",
        "relaying not",
    ];
    const UNKNOWN: &[&str] = &[
        "unrouteable address",
        "unroutable address",
        "unknown user",
        "user unknown",
        "no such user",
        "no such recipient",
        "no such mailbox",
        "no such address",
        "unknown recipient",
        "mailbox unavailable",
    ];
    const LISTED: &[&str] = &[
        "dnsbl",
        "black list",
        "blacklist",
        "block list",
        "blocklist",
        "rbl",
        "listed at",
        "listed in",
        "listed by",
        "spamhaus",
        "spamcop",
        "sorbs",
        "barracuda",
    ];
    if mentions(reason, RELAY) {
        (Kind::RelayDenied, weight::RELAY)
    } else if mentions(reason, UNKNOWN) {
        (Kind::UnknownUser, weight::UNKNOWN_RECIPIENT)
    } else if mentions(reason, LISTED) {
        (Kind::Rbl, weight::LISTED)
    } else {
        (Kind::RejectedRcpt, weight::REJECTED)
    }
}

/// `SMTP protocol|syntax error in "COMMAND" H=CLIENT REASON`
fn command_error(message: &[u8]) -> Option<Reading<'_>> {
    let text = body(message).0;
    let protocol = text.strip_prefix(b"SMTP protocol error in \"");
    let rest = protocol.or_else(|| text.strip_prefix(b"SMTP syntax error in \""))?;
    // Of a protocol error these reasons hold nothing of the client's: then Exim's own mark is the last. The reason of a
    // syntax error may repeat an address.
    const FIXED: [&[u8]; 8] = [
        b" AUTH command used when not advertised",
        b" STARTTLS command used when not advertised",
        b" sender not yet given",
        b" sender already given",
        b" HELO or EHLO required",
        b" HELO, EHLO, or STARTTLS required",
        b" valid RCPT command must precede DATA",
        b" already authenticated",
    ];
    let fixed = FIXED.iter().find_map(|reason| rest.strip_suffix(*reason));
    let address = match fixed.filter(|_| protocol.is_some()).and_then(client_at_end) {
        Some(address) => address,
        None => behind(rest, b"\" H=")?,
    };
    Some(Reading {
        address: Some(address),
        weight: weight::ABUSE,
        ..Reading::of(Kind::ProtocolAbuse)
    })
}

/// `SMTP protocol synchronization error (…): rejected "COMMAND" H=CLIENT next input="…"`, or `rejected connection from
/// H=CLIENT input="…"` before the greeting.
fn synchronization(message: &[u8]) -> Option<Reading<'_>> {
    let rest = body(message).0.strip_prefix(b"SMTP protocol synchronization error (")?;
    let (_, rest) = split_once(rest, b"): rejected ")?;
    let (address, weight) = match rest.strip_prefix(b"connection from ") {
        Some(rest) => (client(rest)?.0, weight::PREGREET),
        None => (behind(rest.strip_prefix(b"\"")?, b"\" H=")?, weight::ABUSE),
    };
    Some(Reading {
        address: Some(address),
        weight,
        ..Reading::of(Kind::ProtocolAbuse)
    })
}

/// What begins with Exim's own words, and then the client.
fn connection(message: &[u8]) -> Option<Reading<'_>> {
    type Judge = fn(&[u8]) -> Option<(Kind, u16)>;
    const STARTS: &[(&[u8], Judge)] = &[
        (b"no MAIL in SMTP connection from ", |_| {
            Some((Kind::DdosConnect, weight::NOTHING))
        }),
        (b"SMTP connection from ", smtp_connection),
        (b"SMTP call from ", |rest| {
            mentions(rest, &[" dropped: "]).then_some((Kind::ProtocolAbuse, weight::ERRORS))
        }),
        (b"unexpected disconnection while reading SMTP command from ", |_| {
            Some((Kind::DdosConnect, 0))
        }),
        (b"SMTP command timeout on connection from ", |_| {
            Some((Kind::DdosConnect, 0))
        }),
        (b"SMTP command timeout on TLS connection from ", |_| {
            Some((Kind::DdosConnect, 0))
        }),
        (b"SMTP data timeout (message abandoned) on connection from ", |_| {
            Some((Kind::DdosConnect, 0))
        }),
        (b"TLS error on connection from ", |_| Some((Kind::DdosConnect, 0))),
        (b"refused connection from ", |_| {
            Some((Kind::RejectedRcpt, weight::REJECTED))
        }),
        (b"Connection from ", |rest| {
            rest.starts_with(b" refused: too many connections")
                .then_some((Kind::DdosConnect, weight::LIMIT))
        }),
        (b"rejected HELO from ", |_| Some((Kind::HeloReject, weight::HELO))),
        (b"rejected EHLO from ", |_| Some((Kind::HeloReject, weight::HELO))),
    ];
    let text = body(message).0;
    STARTS.iter().find_map(|(start, judge)| {
        let (address, rest) = client(text.strip_prefix(*start)?)?;
        let (kind, weight) = judge(rest)?;
        Some(Reading {
            address: Some(address),
            weight,
            ..Reading::of(kind)
        })
    })
}

/// `closed by DROP in ACL`, `closed by QUIT`, `lost …`, `TCP/IP connection count = N`
fn smtp_connection(rest: &[u8]) -> Option<(Kind, u16)> {
    if mentions(rest, &["closed by drop in acl"]) {
        return Some((Kind::DdosConnect, weight::REJECTED));
    }
    let connected = mentions(rest, &["tcp/ip connection count"]);
    Some((if connected { Kind::Connect } else { Kind::DdosConnect }, 0))
}

/// `F=SENDER H=CLIENT P=… rejected by local_scan(): …`. The sender may hold all of it.
fn local_scan(message: &[u8]) -> Option<Reading<'_>> {
    let rest = body(message).0.strip_prefix(b"F=")?;
    let address = behind(rest, b" H=")?;
    memmem::find(rest, b" rejected by local_scan()")?;
    Some(Reading {
        address: Some(address),
        weight: weight::CONTENT,
        ..Reading::of(Kind::RejectedRcpt)
    })
}

/// `SA: Action: … From <SENDER> (host=NAME [ADDRESS]) for RECIPIENTS`
fn sa_exim(message: &[u8]) -> Option<Reading<'_>> {
    let rest = body(message).0.strip_prefix(b"SA: Action: ")?;
    let address = agreed(rest, b"(host=", |text| Some(super::scan::host(text)?.0))?;
    let passed = [
        &b"flagged as Spam but accepted"[..],
        b"scanned but message isn't spam",
        b"temporarily",
    ];
    Some(Reading {
        address: Some(address),
        weight: if passed.iter().any(|start| rest.starts_with(start)) {
            0
        } else {
            weight::CONTENT
        },
        ..Reading::of(Kind::RejectedRcpt)
    })
}

/// `ID <= SENDER [R=…] H=CLIENT P=PROTOCOL [X=…] [A=MECHANISM:USER] S=SIZE …`
fn received(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    let rest = text.strip_prefix(b"<= ")?;
    // A quoted local part may hold blanks, and with them whatever a line has.
    let (sender, rest) = word(rest);
    if memchr::memchr(b'"', sender).is_some() {
        return None;
    }
    let (_, rest) = split_once(rest, b"H=").filter(|(before, _)| before.is_empty() || before.starts_with(b"R="))?;
    let (address, rest) = client(rest)?;
    // An address has no blanks without quotes (RFC 5321 4.1.2); should Exim take one that has, it holds what a line has, too.
    if behind(text, b" H=") != Some(address) {
        return None;
    }
    let mut reading = Reading {
        address: Some(address),
        queue_id: id,
        sender: Some(if sender == b"<>" { b"" } else { sender }),
        // The line does not say how many (`log_selector = +received_recipients` would).
        recipients: 1,
        ..Reading::of(Kind::Received)
    };
    // The protocol's last letter is Exim's own word for "authenticated": `esmtpsa`.
    let (protocol, rest) = split_once(rest, b" P=").map(|(_, rest)| word(rest))?;
    if protocol.ends_with(b"a") && protocol.starts_with(b"e") {
        let login = if rest.starts_with(b"A=") {
            rest.get(2..)
        } else {
            split_once(rest, b" A=").map(|(_, rest)| rest)
        };
        let (mechanism, user) = split_once(word(login?).0, b":").unwrap_or((word(login?).0, b""));
        reading.kind = Kind::AuthOk;
        reading.mechanism = Some(mechanism);
        reading.user = Some(user).filter(|user| !user.is_empty());
    }
    Some(reading)
}
