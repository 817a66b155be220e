//! Solid POP3 server. The client, address or name and address, is the last of a line.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, bracketed, rsplit_once, split_once};
use super::weight;

/// solid-pop3d.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::SolidPop3d,
    program: "solid-pop3d",
    writes: |program| program == b"solid-pop3d" || program == b"spop3d",
    forms: &[Form {
        name: "auth_failed",
        versions: "0.15 and later",
        sample: "authentication failed: no such user: bob - 192.0.2.1",
        read: auth_failed,
    }],
};

/// `TEXT[USER] - ADDRESS`
fn auth_failed(message: &[u8]) -> Option<Reading<'_>> {
    let (text, client) = rsplit_once(message, b" - ")?;
    const TEXTS: [(&[u8], u16); 9] = [
        (b"authentication failed: no such user: ", weight::UNKNOWN_LOGIN),
        (b"authentication failed: can't map user name: ", weight::UNKNOWN_LOGIN),
        (b"authentication failed: ", weight::PASSWORD),
        (b"authentication failed for user ", weight::PASSWORD),
        (b"APOP authentication failed for user ", weight::PASSWORD),
        (b"can't find APOP secret for user ", weight::PASSWORD),
        (b"can't map user name: ", weight::UNKNOWN_LOGIN),
        (b"user authentication failed", weight::PASSWORD),
        (b"root login not allowed", weight::UNKNOWN_LOGIN),
    ];
    let (start, weight) = TEXTS.iter().find(|(start, _)| text.starts_with(start))?;
    let client = address(client).or_else(|| Some(bracketed(client.get(memchr::memchr(b'[', client)?..)?)?.0))?;
    let user = text.strip_prefix(*start)?;
    Some(Reading {
        address: Some(client),
        user: Some(split_once(user, b": ").map_or(user, |(_, user)| user)).filter(|user| !user.is_empty()),
        weight: *weight,
        ..Reading::of(Kind::AuthFailed)
    })
}
