//! Roundcube: its error log, userlogins.log, syslog, and the fail2ban plugin's file.
//!
//! A user's name is free text before the address; what the browser sends in `X-Forwarded-For` stands after it
//! (`rcube_utils::remote_ip()`). So nobody is blamed when not all that looks like the address agrees.

use std::net::IpAddr;

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, agreed, rsplit_once, split_once};
use super::weight;

/// Roundcube.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Roundcube,
    program: "roundcube",
    writes: |program| program.starts_with(b"roundcube"),
    forms: &[
        Form {
            name: "error",
            versions: "0.2 and later; `against HOST` since 1.4",
            sample: "<a1b2c3d4> IMAP Error: Login failed for bob against localhost from 192.0.2.1. AUTHENTICATE PLAIN: Authentication failed. in /usr/share/roundcube/program/lib/Roundcube/rcube_imap.php on line 211 (POST /?_task=login)",
            read: error,
        },
        Form {
            name: "userlogins",
            versions: "0.6 and later (`log_logins`)",
            sample: "<a1b2c3d4> Failed login for bob from 192.0.2.1 in session a1b2c3d4e5f6 (error: 0)",
            read: failed_login,
        },
        Form {
            name: "userlogins_ok",
            versions: "0.6 and later (`log_logins`)",
            sample: "<a1b2c3d4> Successful login for bob (ID: 1) from 192.0.2.1 in session a1b2c3d4e5f6",
            read: successful_login,
        },
        Form {
            name: "plugin",
            versions: "roundcube-fail2ban-plugin 1.0 and later",
            sample: "FAILED login for bob from 192.0.2.1",
            read: plugin,
        },
    ],
};

/// What stands after the session's id.
fn body(message: &[u8]) -> &[u8] {
    let session = |text: &[u8]| text.len() <= 64 && text.iter().all(u8::is_ascii_alphanumeric);
    match message.strip_prefix(b"<").and_then(|text| split_once(text, b"> ")) {
        Some((id, rest)) if session(id) => rest,
        _ => message,
    }
}

const FROM: &[u8] = b" from ";

/// `ADDRESS` or `ADDRESS(X-Real-IP: …,X-Forwarded-For: …)` at the start of `text`.
fn client(text: &[u8]) -> Option<IpAddr> {
    let end = text
        .iter()
        .position(|b| !(b.is_ascii_hexdigit() || b".:".contains(b)))
        .unwrap_or(text.len());
    let text = text.get(..end)?;
    // A sentence's full stop.
    address(text.strip_suffix(b".").unwrap_or(text))
}

/// `USER[ against HOST] from ADDRESS`. An address at the very end counts.
fn user_and_client(text: &[u8]) -> Option<(&[u8], IpAddr)> {
    if let Some((user, last)) = rsplit_once(text, FROM)
        && let Some(address) = address(last)
    {
        return Some((user, address));
    }
    let (user, _) = split_once(text, FROM)?;
    Some((user, agreed(text, FROM, client)?))
}

/// What stands before Roundcube's own ` in session ID[ (error: N)]`.
fn before_session(text: &[u8]) -> Option<&[u8]> {
    Some(rsplit_once(text, b" in session ")?.0)
}

fn error(message: &[u8]) -> Option<Reading<'_>> {
    let text = body(message).strip_prefix(b"IMAP Error: Login failed for ")?;
    let (user, address) = user_and_client(text)?;
    // What the IMAP server said comes after the first full stop and blank behind the address.
    let said = split_once(text, FROM)
        .and_then(|(_, rest)| split_once(rest, b". "))
        .map_or(&b""[..], |(_, said)| said);
    let down = [
        &b"Could not connect"[..],
        b"Empty startup greeting",
        b"Error reading",
        b"Unable to negotiate TLS",
        b"Connection",
    ];
    Some(Reading {
        address: Some(address),
        user: Some(split_once(user, b" against ").map_or(user, |(user, _)| user)),
        weight: if down.iter().any(|text| said.starts_with(text)) {
            0
        } else {
            weight::PASSWORD
        },
        ..Reading::of(Kind::AuthFailed)
    })
}

fn failed_login(message: &[u8]) -> Option<Reading<'_>> {
    let (user, address) = user_and_client(before_session(body(message).strip_prefix(b"Failed login for ")?)?)?;
    Some(Reading {
        address: Some(address),
        user: Some(user),
        weight: weight::PASSWORD,
        ..Reading::of(Kind::AuthFailed)
    })
}

fn successful_login(message: &[u8]) -> Option<Reading<'_>> {
    let text = before_session(body(message).strip_prefix(b"Successful login for ")?)?;
    let (user, address) = user_and_client(text)?;
    let (user, _) = rsplit_once(user, b" (ID: ")?;
    Some(Reading {
        address: Some(address),
        user: Some(user),
        ..Reading::of(Kind::AuthOk)
    })
}

/// The address is last.
fn plugin(message: &[u8]) -> Option<Reading<'_>> {
    let (user, client) = rsplit_once(body(message).strip_prefix(b"FAILED login for ")?, FROM)?;
    Some(Reading {
        address: Some(address(client.trim_ascii_end())?),
        user: Some(user),
        weight: weight::PASSWORD,
        ..Reading::of(Kind::AuthFailed)
    })
}
