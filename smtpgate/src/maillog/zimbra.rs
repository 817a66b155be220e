//! Zimbra's mailboxd: audit.log and mailbox.log. The client's address (`oip=`, behind Zimbra's own proxy; else `ip=`) stands
//! between the user's name and the browser's, which are both free text.

use memchr::memmem;

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, agreed, mentions, split_once};
use super::weight;

/// Zimbra.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Zimbra,
    program: "zimbra",
    writes: |program| program == b"zimbra",
    forms: &[Form {
        name: "auth",
        versions: "7 to 10",
        sample: "WARN  [qtp509886383-17164] [name=bob@example.org;oip=192.0.2.1;ua=ZimbraWebClient;] security - cmd=Auth; account=bob@example.org; protocol=soap; error=authentication failed for [bob@example.org], invalid password;",
        read: auth,
    }],
};

/// `LEVEL [THREAD] [name=USER;oip=ADDRESS;ua=TEXT;] security - cmd=Auth; account=USER; protocol=PROTOCOL[; error=TEXT];`
fn auth(message: &[u8]) -> Option<Reading<'_>> {
    let (_, rest) = split_once(message, b"] security - cmd=Auth; account=")?;
    let client = |text: &[u8]| address(split_once(text, b";")?.0);
    let mark: &[u8] = if memmem::find(message, b"oip=").is_some() {
        b"oip="
    } else {
        b"ip="
    };
    let address = agreed(message, mark, client)?;
    let (user, rest) = split_once(rest, b"; protocol=")?;
    let (protocol, rest) = split_once(rest, b";")?;
    let smtp = protocol == b"smtp";
    let (kind, weight) = match split_once(rest, b" error=authentication failed for [") {
        Some((_, text)) if mentions(text, &["account not found"]) => (Kind::AuthFailed, weight::UNKNOWN_LOGIN),
        Some(_) => (Kind::AuthFailed, weight::PASSWORD),
        None if rest.is_empty() => (Kind::AuthOk, 0),
        None => (Kind::AuthFailed, 0),
    };
    Some(Reading {
        address: Some(address),
        user: Some(user),
        weight,
        ..Reading::of(if smtp && kind == Kind::AuthFailed {
            Kind::SaslAuthFailed
        } else {
            kind
        })
    })
}
