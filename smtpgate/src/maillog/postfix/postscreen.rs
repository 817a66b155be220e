//! postscreen, which meets clients before smtpd does, and dnsblog, which asks DNS lists for it: `postscreen*.c`,
//! `dnsblog.c`. The client is `[ADDRESS]:PORT` throughout, right behind postscreen's own words.

use std::net::IpAddr;

use super::super::event::Kind;
use super::super::grammar::Form;
use super::super::parse::Reading;
use super::super::weight;
use super::{queue_id, reject};

/// The forms of postscreen, all 2.8 and later.
pub(super) static FORMS: &[Form] = &[
    Form {
        name: "connect",
        versions: "2.8 and later",
        sample: "CONNECT from [192.0.2.1]:50001 to [192.0.2.25]:25",
        read: connect,
    },
    Form {
        name: "passed",
        versions: "2.8 and later; ALLOWLISTED since 3.6, WHITELISTED before",
        sample: "PASS NEW [192.0.2.1]:50001",
        read: passed,
    },
    Form {
        name: "reject",
        versions: "2.8 and later",
        sample: "NOQUEUE: reject: RCPT from [192.0.2.1]:50001: 550 5.7.1 Service unavailable; client [192.0.2.1] \
                 blocked using dnsbl.example; from=<from@example.com>, to=<to@example.org>, proto=ESMTP, helo=<mail>",
        read: rejected,
    },
    Form {
        name: "pregreet",
        versions: "2.8 and later",
        sample: r"PREGREET 14 after 0.08 from [192.0.2.1]:50001: EHLO ylmf-pc\r\n",
        read: pregreet,
    },
    Form {
        name: "dnsbl",
        versions: "2.8 and later",
        sample: "DNSBL rank 6 for [192.0.2.1]:50001",
        read: dnsbl,
    },
    Form {
        name: "denylisted",
        versions: "DENYLISTED since 3.6, BLACKLISTED before",
        sample: "DENYLISTED [192.0.2.1]:50001",
        read: denylisted,
    },
    Form {
        name: "hangup",
        versions: "2.8 and later",
        sample: "HANGUP after 0.5 from [192.0.2.1]:50001 in tests before SMTP handshake",
        read: hangup,
    },
    Form {
        name: "abuse",
        versions: "2.8 and later",
        sample: "NON-SMTP COMMAND from [192.0.2.1]:50001 after CONNECT: GET / HTTP/1.1",
        read: abuse,
    },
];

/// The form of dnsblog.
pub(super) static DNSBLOG: &[Form] = &[Form {
    name: "listed",
    versions: "2.8 and later",
    sample: "addr 192.0.2.1 listed by domain dnsbl.example as 127.0.0.4",
    read: listed,
}];

/// `[ADDRESS]:PORT` at the start of `text`, and what follows it.
fn peer(text: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (address, rest) = text
        .strip_prefix(b"[")?
        .split_at_checked(memchr::memchr(b']', text)? - 1)?;
    let port = rest.strip_prefix(b"]:")?;
    let digits = port.iter().position(|b| !b.is_ascii_digit()).unwrap_or(port.len());
    let address = std::str::from_utf8(address).ok()?;
    let address = address.split_once('%').map_or(address, |(address, _scope)| address);
    Some((
        address.parse::<IpAddr>().ok()?.to_canonical(),
        port.get(digits..).filter(|_| digits > 0)?,
    ))
}

fn connect(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = peer(message.strip_prefix(b"CONNECT from ")?)?;
    rest.starts_with(b" to [")
        .then(|| Reading::of(Kind::Connect).by(address))
}

/// `PASS NEW`, `PASS OLD`: it may speak to smtpd. An access list's word goes before all tests.
fn passed(message: &[u8]) -> Option<Reading<'_>> {
    const WORDS: [&[u8]; 6] = [
        b"PASS OLD ",
        b"PASS NEW ",
        b"ALLOWLISTED ",
        b"WHITELISTED ",
        b"ALLOWLIST VETO ",
        b"WHITELIST VETO ",
    ];
    let rest = WORDS.iter().find_map(|word| <[u8]>::strip_prefix(message, *word))?;
    let (address, rest) = peer(rest)?;
    rest.is_empty().then(|| Reading::of(Kind::Connect).by(address))
}

fn rejected(message: &[u8]) -> Option<Reading<'_>> {
    let (_, rest) = queue_id(message)?;
    let rest = rest.strip_prefix(b"reject: ")?;
    let from = memchr::memmem::find(rest, b" from ")?;
    let (address, rest) = peer(rest.get(from + 6..)?)?;
    let (kind, weight) = reject::refusal(rest.strip_prefix(b": ")?);
    Some(Reading::blame(kind, weight).by(address))
}

/// `PREGREET COUNT after SECONDS from CLIENT: TEXT`
fn pregreet(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"PREGREET ")?;
    let from = memchr::memmem::find(rest, b" from ")?;
    let (address, _) = peer(rest.get(from + 6..)?)?;
    Some(Reading::blame(Kind::ProtocolAbuse, weight::PREGREET).by(address))
}

/// `DNSBL rank SCORE for CLIENT`: over the threshold.
fn dnsbl(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"DNSBL rank ")?;
    let mark = memchr::memmem::find(rest, b" for ")?;
    let (address, rest) = peer(rest.get(mark + 5..)?)?;
    rest.is_empty()
        .then(|| Reading::blame(Kind::Dnsbl, weight::RANKED).by(address))
}

fn denylisted(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message
        .strip_prefix(b"DENYLISTED ")
        .or_else(|| message.strip_prefix(b"BLACKLISTED "))?;
    let (address, rest) = peer(rest)?;
    rest.is_empty()
        .then(|| Reading::blame(Kind::RejectedRcpt, weight::DENYLISTED).by(address))
}

/// `HANGUP after SECONDS from CLIENT in tests before SMTP handshake`: a port check.
fn hangup(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"HANGUP after ")?;
    let from = memchr::memmem::find(rest, b" from ")?;
    let (address, _) = peer(rest.get(from + 6..)?)?;
    Some(Reading::of(Kind::DdosConnect).by(address))
}

/// What a client did wrong in the tests after the handshake: `WHAT from CLIENT after COMMAND: TEXT`.
fn abuse(message: &[u8]) -> Option<Reading<'_>> {
    const WHAT: [(&[u8], Kind, u16); 8] = [
        (b"NON-SMTP COMMAND from ", Kind::ProtocolAbuse, weight::ABUSE),
        (b"COMMAND PIPELINING from ", Kind::ProtocolAbuse, weight::ABUSE),
        (b"BARE NEWLINE from ", Kind::ProtocolAbuse, weight::ABUSE),
        (b"COMMAND LENGTH LIMIT from ", Kind::ProtocolAbuse, weight::ERRORS),
        (b"COMMAND COUNT LIMIT from ", Kind::ProtocolAbuse, weight::ERRORS),
        (b"DATA without valid RCPT from ", Kind::ProtocolAbuse, weight::ERRORS),
        (b"BDAT without valid RCPT from ", Kind::ProtocolAbuse, weight::ERRORS),
        (b"COMMAND TIME LIMIT from ", Kind::DdosConnect, weight::NOTHING),
    ];
    WHAT.iter().find_map(|&(what, kind, weight)| {
        let (address, _) = peer(message.strip_prefix(what)?)?;
        Some(Reading::blame(kind, weight).by(address))
    })
}

/// `addr ADDRESS listed by domain LIST as REPLY`: one list's word, of which postscreen makes a rank.
fn listed(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"addr ")?;
    let (address, rest) = rest.split_at_checked(memchr::memchr(b' ', rest)?)?;
    let address = std::str::from_utf8(address).ok()?.parse::<IpAddr>().ok()?;
    rest.starts_with(b" listed by domain ")
        .then(|| Reading::of(Kind::Dnsbl).by(address.to_canonical()))
}
