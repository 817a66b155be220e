//! Kerio Connect (Kerio MailServer): security.log and warning.log.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, mentions, rsplit_once, split_once, word};
use super::weight;

/// Kerio Connect.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Kerio,
    program: "kerio",
    writes: |program| program == b"kerio",
    forms: &[
        Form {
            name: "client_first",
            versions: "6 to 10",
            sample: "SMTP Spam attack detected from 192.0.2.1, client sent data before SMTP greeting",
            read: client_first,
        },
        Form {
            name: "login_failed",
            versions: "8 and later",
            sample: "SMTP: User bob@example.org doesn't exist. Attempt from IP address 192.0.2.1.",
            read: login_failed,
        },
        Form {
            name: "unknown_recipient",
            versions: "6 and later",
            sample: "Attempt to deliver to unknown recipient <bob@example.org>, from <eve@example.net>, IP address 192.0.2.1",
            read: unknown_recipient,
        },
    ],
};

/// Kerio's own words, and then the client.
fn client_first(message: &[u8]) -> Option<Reading<'_>> {
    const STARTS: [(&[u8], Kind, u16); 8] = [
        (
            b"SMTP Spam attack detected from ",
            Kind::ProtocolAbuse,
            weight::PREGREET,
        ),
        (b"Relay attempt from IP address ", Kind::RelayDenied, weight::RELAY),
        (b"IP address ", Kind::Rbl, weight::LISTED),
        (b"Client with IP address ", Kind::RejectedRcpt, weight::REJECTED),
        (b"Message from IP address ", Kind::RejectedRcpt, weight::REJECTED),
        (
            b"Administration login into Web Administration from ",
            Kind::AuthFailed,
            weight::PASSWORD,
        ),
        (
            b"Administration login into Administration Console from ",
            Kind::AuthFailed,
            weight::PASSWORD,
        ),
        (b"Directory harvest attack from ", Kind::UnknownUser, weight::ERRORS),
    ];
    // `Failed SMTP login from ADDRESS with SASL method CRAM-MD5.`
    let failed = message
        .strip_prefix(b"Failed ")
        .and_then(|rest| word(rest).1.strip_prefix(b"login from "))
        .map(|rest| (rest, Kind::SaslAuthFailed, weight::PASSWORD));
    let (rest, kind, weight) = failed.or_else(|| {
        STARTS
            .iter()
            .find_map(|(start, kind, weight)| Some((message.strip_prefix(*start)?, *kind, *weight)))
    })?;
    let end = rest.iter().position(|b| b" ,".contains(b)).unwrap_or(rest.len());
    let (client, rest) = rest.split_at_checked(end)?;
    let client = client.strip_suffix(b".").unwrap_or(client);
    let fits = match kind {
        Kind::Rbl => mentions(rest, &[" found in dns blacklist"]),
        Kind::AuthFailed => rest.starts_with(b" failed"),
        Kind::RejectedRcpt => mentions(rest, &["rejected"]),
        _ => true,
    };
    fits.then_some(())?;
    Some(Reading {
        address: Some(address(client)?),
        weight,
        ..Reading::of(kind)
    })
}

/// `PROTOCOL: User USER doesn't exist. Attempt from IP address ADDRESS.`, or `Invalid password for user USER. …`
fn login_failed(message: &[u8]) -> Option<Reading<'_>> {
    let (before, client) = rsplit_once(message, b". Attempt from IP address ")?;
    let (protocol, text) = split_once(before, b": ")?;
    let unknown = text
        .strip_prefix(b"User ")
        .and_then(|text| text.strip_suffix(b" doesn't exist"));
    let user = unknown.or_else(|| text.strip_prefix(b"Invalid password for user "))?;
    let smtp = protocol.starts_with(b"SMTP");
    Some(Reading {
        address: Some(address(client.strip_suffix(b".").unwrap_or(client))?),
        user: Some(user),
        weight: if unknown.is_some() {
            weight::UNKNOWN_LOGIN
        } else {
            weight::PASSWORD
        },
        ..Reading::of(if smtp { Kind::SaslAuthFailed } else { Kind::AuthFailed })
    })
}

/// The client is last.
fn unknown_recipient(message: &[u8]) -> Option<Reading<'_>> {
    let rest = message.strip_prefix(b"Attempt to deliver to unknown recipient ")?;
    let (_, client) = rsplit_once(rest, b", IP address ")?;
    Some(Reading {
        address: Some(address(client)?),
        weight: weight::UNKNOWN_RECIPIENT,
        ..Reading::of(Kind::UnknownUser)
    })
}
