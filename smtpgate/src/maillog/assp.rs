//! ASSP, the anti-spam SMTP proxy. Before the client's address are only its own tags.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, mentions, word};
use super::weight;

/// ASSP.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Assp,
    program: "assp",
    writes: |program| program == b"assp",
    forms: &[Form {
        name: "client",
        versions: "1.9 and 2",
        sample: "m1-13060-05386 [Worker_1] [TLS-out] 192.0.2.1 [SMTP Error] 535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6",
        read: client,
    }],
};

/// `[ID] [[TAG]…] [Blocking] ADDRESS TEXT`
fn client(message: &[u8]) -> Option<Reading<'_>> {
    let mut rest = message;
    let mut tags = 0;
    let (client, text) = loop {
        let (first, after) = word(rest);
        if let Some(address) = address(first) {
            break (address, after);
        }
        let tag = first.starts_with(b"[") && first.ends_with(b"]");
        let id = tags == 0 && first.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        if !(tag || id) || tags == 8 {
            return None;
        }
        tags += 1;
        rest = after;
    };
    let (kind, weight) = if mentions(text, &["relay attempt blocked"]) {
        (Kind::RelayDenied, weight::RELAY)
    } else if mentions(text, &["max sender authentication errors", "too much auth errors"]) {
        (Kind::SaslAuthFailed, weight::ERRORS)
    } else if mentions(text, &["[smtp error] 535", "authentication failed"]) {
        (Kind::SaslAuthFailed, weight::PASSWORD)
    } else if text.starts_with(b"SSL negotiation with client failed") {
        (Kind::ProtocolAbuse, weight::NOTHING)
    } else if mentions(text, &["invalid address rejected", "user unknown", "unknown user"]) {
        (Kind::UnknownUser, weight::UNKNOWN_RECIPIENT)
    } else if mentions(text, &["[smtp error] 55"]) {
        (Kind::RejectedRcpt, weight::REJECTED)
    } else {
        return None;
    };
    Some(Reading {
        address: Some(client),
        weight,
        ..Reading::of(kind)
    })
}
