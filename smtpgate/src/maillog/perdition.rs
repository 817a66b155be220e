//! Perdition, the IMAP and POP3 proxy. The client comes first in all it writes.

use std::net::IpAddr;

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, rsplit_once, split_once};
use super::weight;

/// Perdition.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Perdition,
    program: "perdition.imaps",
    writes: |program| program.starts_with(b"perdition"),
    forms: &[
        Form {
            name: "auth",
            versions: "1.17 and later",
            sample: "Auth: 192.0.2.1:4711->198.51.100.25:993 client-secure=ssl authorisation_id=NONE authentication_id=\"bob\" server=\"imap.example.com:993\" protocol=IMAP4S server-secure=ssl status=\"failed: Re-Authentication Failure\"",
            read: auth,
        },
        Form {
            name: "no_auth",
            versions: "1.17 and later",
            sample: "Fatal Error reading authentication information from client 192.0.2.1:4711->198.51.100.25:993: Exiting child",
            read: no_auth,
        },
    ],
};

/// `ADDRESS:PORT->` at the start of `text`, and what follows.
fn client(text: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (client, rest) = split_once(text, b"->")?;
    let (client, port) = rsplit_once(client, b":")?;
    port.iter().all(u8::is_ascii_digit).then_some(())?;
    Some((address(client)?, rest))
}

fn auth(message: &[u8]) -> Option<Reading<'_>> {
    let (address, rest) = client(message.strip_prefix(b"Auth: ")?)?;
    // The status is last; what the user is called stands before it.
    let (before, status) = rsplit_once(rest, b" status=\"")?;
    let user = split_once(before, b" authentication_id=\"")
        .and_then(|(_, rest)| rsplit_once(rest, b"\" server=\""))
        .map(|(user, _)| user);
    let failed = status.starts_with(b"failed: ");
    Some(Reading {
        address: Some(address),
        user,
        weight: if failed { weight::PASSWORD } else { 0 },
        ..Reading::of(if failed { Kind::AuthFailed } else { Kind::AuthOk })
    })
}

fn no_auth(message: &[u8]) -> Option<Reading<'_>> {
    let (address, _) = client(message.strip_prefix(b"Fatal Error reading authentication information from client ")?)?;
    Some(Reading {
        address: Some(address),
        weight: weight::NOTHING,
        ..Reading::of(Kind::AuthFailed)
    })
}
