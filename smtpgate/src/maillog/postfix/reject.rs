//! Refusals by smtpd and postscreen: `QUEUEID: reject: WHERE from CLIENT: CODE DSN TEXT; from=<…> to=<…> …`
//! (`log_whatsup()` in `smtpd_check.c`, `psc_smtpd_rcpt_cmd()` and others in `postscreen_smtpd.c`).

use super::super::client::client;
use super::super::event::Kind;
use super::super::parse::Reading;
use super::super::weight;
use super::queue_id;

/// Reads such a line of smtpd's. `reject_warning` (`warn_if_reject`) tells of the same and refuses nothing.
pub(super) fn smtpd(message: &[u8]) -> Option<Reading<'_>> {
    let (queue_id, rest) = queue_id(message)?;
    let (what, rest) = rest.split_at_checked(memchr::memchr(b':', rest)?)?;
    let refused = match what {
        b"reject" | b"milter-reject" | b"abort" => true,
        b"reject_warning" | b"discard" | b"milter-discard" | b"note" | b"warn" => false,
        _ => return None,
    };
    // WHERE is one of smtpd's own words.
    let from = memchr::memmem::find(rest, b" from ")?;
    let (address, rest) = client(rest.get(from + 6..)?)?;
    let text = rest.strip_prefix(b" ")?;
    let (kind, weight) = if what == b"milter-reject" {
        milter(text)
    } else {
        refusal(text)
    };
    let mut reading = Reading::blame(kind, if refused { weight } else { 0 }).by(address);
    reading.queue_id = queue_id;
    Some(reading)
}

/// A milter's reply: `CODE DSN TEXT` or `DSN TEXT`. Later is not never: greylisting is no offence.
pub(super) fn milter(text: &[u8]) -> (Kind, u16) {
    let weight = if text.first() == Some(&b'5') {
        weight::CONTENT
    } else {
        0
    };
    (Kind::RejectedRcpt, weight)
}

/// What a reply tells of its client, and how much that counts.
pub(super) fn refusal(text: &[u8]) -> (Kind, u16) {
    let (reply, text) = reply(text);
    if text.starts_with(b"bare <") {
        // `smtpd_forbid_bare_newline`: SMTP smuggling.
        return (Kind::ProtocolAbuse, weight::ABUSE);
    }
    let (class, reason) = classified(text);
    let own_trouble = matches!(reply.dsn, Some([_, b'.', b'3', ..] | [_, b'.', b'2', b'.', b'2', ..]));
    let later = reply.code.is_some_and(|code| code.starts_with(b"4"));
    let says = |words: &[u8]| reason.starts_with(words);
    match class {
        Class::Relay => (Kind::RelayDenied, weight::RELAY),
        Class::Listed => (Kind::Rbl, weight::LISTED),
        _ if own_trouble => (Kind::RejectedRcpt, 0),
        Class::Client | Class::Data if says(b"Improper use of SMTP command pipelining") => {
            (Kind::ProtocolAbuse, weight::ABUSE)
        }
        Class::Protocol => (Kind::ProtocolAbuse, weight::REJECTED),
        Class::Helo => (Kind::HeloReject, weight::HELO),
        Class::Recipient if says(b"User unknown") => (Kind::UnknownUser, weight::UNKNOWN_RECIPIENT),
        Class::Recipient if says(b"undeliverable address") => (Kind::UnknownUser, weight::UNKNOWN_RECIPIENT),
        // A logged-in user who writes under another name of theirs.
        Class::Sender if says(b"not owned by user") => (Kind::RejectedRcpt, 0),
        // Greylisting, address verification under way, a policy that asks to come back.
        Class::Recipient if later && !(says(b"Access denied") || says(b"Domain not found")) => (Kind::RejectedRcpt, 0),
        Class::Sender if later && says(b"unverified address") => (Kind::RejectedRcpt, 0),
        Class::Limit => (Kind::DdosConnect, weight::LIMIT),
        Class::Busy => (Kind::DdosConnect, 0),
        // `Must issue a STARTTLS command first`: a client that is set up wrongly.
        Class::Other if later || reply.code == Some(b"530") => (Kind::RejectedRcpt, 0),
        Class::Client | Class::Sender | Class::Recipient | Class::Data | Class::Other => {
            (Kind::RejectedRcpt, weight::REJECTED)
        }
    }
}

struct Reply<'a> {
    code: Option<&'a [u8]>,
    dsn: Option<&'a [u8]>,
}

/// `450 4.7.1 TEXT`. The enhanced code came with Postfix 2.3.
fn reply(text: &[u8]) -> (Reply<'_>, &[u8]) {
    let mut found = Reply { code: None, dsn: None };
    let mut rest = text;
    while let Some((word, after)) =
        memchr::memchr(b' ', rest).and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?)))
    {
        if found.code.is_none() && found.dsn.is_none() && word.len() == 3 && word.iter().all(u8::is_ascii_digit) {
            found.code = Some(word);
        } else if found.dsn.is_none() && matches!(word, [b'2' | b'4' | b'5', b'.', b'0'..=b'9', ..]) {
            found.dsn = Some(word);
        } else {
            break;
        }
        rest = after;
    }
    (found, rest)
}

#[derive(Clone, Copy)]
enum Class {
    Relay,
    Listed,
    Client,
    Helo,
    Sender,
    Recipient,
    Data,
    Protocol,
    Limit,
    Busy,
    Other,
}

/// What is refused, and the reason that follows. `<WHAT>: RULE rejected: REASON`, with WHAT free text; or without WHAT.
/// A client that puts a rule into WHAT changes what it is itself refused for, and nothing else.
fn classified(text: &[u8]) -> (Class, &[u8]) {
    const RULES: [(&[u8], Class); 15] = [
        (b"Relay access denied", Class::Relay),
        (b"Recipient address rejected: ", Class::Recipient),
        (b"Sender address rejected: ", Class::Sender),
        (b"Helo command rejected: ", Class::Helo),
        (b"Client host rejected: ", Class::Client),
        (b"Unverified Client host rejected: ", Class::Client),
        (b"Data command rejected: ", Class::Data),
        (b"End-of-data rejected: ", Class::Data),
        (b"Etrn command rejected: ", Class::Data),
        (b"Protocol error", Class::Protocol),
        (b"Error: SMTP protocol synchronization", Class::Protocol),
        (b"too many connections", Class::Limit),
        (b"No client certificate presented", Class::Client),
        (b"Client certificate not trusted", Class::Client),
        (b"Access denied", Class::Client),
    ];
    let rule = |text| {
        RULES
            .iter()
            .find_map(|&(rule, class)| <[u8]>::strip_prefix(text, rule).map(|reason| (class, reason)))
    };
    // `default_rbl_reply` and what postscreen makes of it.
    if let Some(rest) = text.strip_prefix(b"Service unavailable; ") {
        return (Class::Listed, rest);
    }
    if text.starts_with(b"all ") && memchr::memmem::find(text, b" ports busy").is_some() {
        return (Class::Busy, text);
    }
    // `< >: ` lost its name where a filter took it for markup.
    let text = text.strip_prefix(b": ").unwrap_or(text);
    if !text.starts_with(b"<") {
        return rule(text).unwrap_or((Class::Other, text));
    }
    memchr::memmem::find_iter(text, b">: ")
        .find_map(|at| rule(text.get(at + 3..)?))
        .unwrap_or((Class::Other, text))
}
