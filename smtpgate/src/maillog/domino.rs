//! HCL (IBM, Lotus) Domino: the console log. The client stands behind the user's name, at the end.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, rsplit_once, split_once};
use super::weight;

/// Domino.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Domino,
    program: "domino",
    writes: |program| program == b"domino",
    forms: &[
        Form {
            name: "auth_failed",
            versions: "6 and later",
            sample: "SMTP Server: Authentication failed for user bob ; connecting host 192.0.2.1",
            read: auth_failed,
        },
        Form {
            name: "auth_failure",
            versions: "8.5 and later",
            sample: "smtp: bob [192.0.2.1] authentication failure using internet password",
            read: auth_failure,
        },
    ],
};

fn reading<'a>(task: &[u8], client: &[u8], user: &'a [u8]) -> Option<Reading<'a>> {
    let client = client
        .strip_prefix(b"[")
        .and_then(|text| text.strip_suffix(b"]"))
        .unwrap_or(client);
    let smtp = task.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"smtp"));
    Some(Reading {
        address: Some(address(client)?),
        user: Some(user.trim_ascii()),
        weight: weight::PASSWORD,
        ..Reading::of(if smtp { Kind::SaslAuthFailed } else { Kind::AuthFailed })
    })
}

/// `TASK: Authentication failed for user USER ; connecting host ADDRESS`
fn auth_failed(message: &[u8]) -> Option<Reading<'_>> {
    let (task, rest) = split_once(message, b": ")?;
    let (user, client) = rsplit_once(
        rest.strip_prefix(b"Authentication failed for user ")?,
        b"; connecting host ",
    )?;
    reading(task, client.trim_ascii_end(), user)
}

/// `TASK: USER [ADDRESS] authentication failure using internet password`; the brackets are not always there.
fn auth_failure(message: &[u8]) -> Option<Reading<'_>> {
    let (task, rest) = split_once(message, b": ")?;
    let before = rest
        .trim_ascii_end()
        .strip_suffix(b" authentication failure using internet password")?;
    let (user, client) = rsplit_once(before, b" ").unwrap_or((b"", before));
    reading(task, client, user)
}
