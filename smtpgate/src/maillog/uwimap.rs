//! The University of Washington's imapd, ipop3d and ipop2d, and Panda. `host=NAME [ADDRESS]` is the last of a line; the
//! user's name before it is free text.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{host, mentions, rsplit_once, split_once};
use super::weight;

/// UW imapd.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Uwimap,
    program: "ipop3d",
    writes: |program| matches!(program, b"imapd" | b"ipop3d" | b"ipop2d" | b"uw-imapd" | b"uw-ipop3d"),
    forms: &[Form {
        name: "login",
        versions: "imap-4.1 to 2007f",
        sample: "Login failed user=bob auth=bob host=mx.example.com [192.0.2.1]",
        read: login,
    }],
};

/// `WHAT user=USER [auth=USER] host=CLIENT`
fn login(message: &[u8]) -> Option<Reading<'_>> {
    let (before, client) = rsplit_once(message, b" host=")?;
    let (address, rest) = host(client)?;
    rest.is_empty().then_some(())?;
    let failed = before.starts_with(b"Login failed")
        || before.starts_with(b"Login excessive login failures")
        || before.starts_with(b"Login disabled")
        || before.starts_with(b"APOP failed")
        || (before.starts_with(b"AUTHENTICATE ") && mentions(before, &[" failure"]));
    let passed = before.starts_with(b"Login user=") || before.starts_with(b"Authenticated user=");
    if !failed && !passed {
        return None;
    }
    let user =
        split_once(before, b" user=").map(|(_, user)| rsplit_once(user, b" auth=").map_or(user, |(user, _)| user));
    Some(Reading {
        address: Some(address),
        user,
        weight: if failed { weight::PASSWORD } else { 0 },
        ..Reading::of(if failed { Kind::AuthFailed } else { Kind::AuthOk })
    })
}
