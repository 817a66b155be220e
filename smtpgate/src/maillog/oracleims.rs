//! Oracle Communications Messaging Server (Sun's, iPlanet's): the MTA's log in XML (`LOG_FORMAT=4`). Values are escaped, so
//! a client's text never ends one.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, mentions, split_once};
use super::weight;

/// Oracle Communications Messaging Server.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Oracleims,
    program: "oracleims",
    writes: |program| program == b"oracleims",
    forms: &[Form {
        name: "authentication",
        versions: "7 and later",
        sample: "pi=\"123f.715.7116\" sc=\"tcp_local\" dr=\"+\" ac=\"U\" tr=\"TCP|198.51.100.25|25|192.0.2.1|4711\" ap=\"SMTP\" mi=\"Bad password\" us=\"bob\" di=\"535 5.7.8 Bad username or password (Authentication failed).\"/>",
        read: authentication,
    }],
};

fn value<'a>(message: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    Some(split_once(split_once(message, start)?.1, b"\"")?.0)
}

/// `tr="TCP|OURS|PORT|ADDRESS|PORT" … mi="TEXT" us="USER" di="ANSWER"`
fn authentication(message: &[u8]) -> Option<Reading<'_>> {
    let mut transport = value(message, b" tr=\"")?.split(|&b| b == b'|').skip(3);
    let address = address(transport.next()?)?;
    let text = value(message, b" mi=\"")?;
    let (kind, weight) = if text.starts_with(b"Authentication successful") {
        (Kind::AuthOk, 0)
    } else if mentions(
        text,
        &[
            "bad password",
            "no such user",
            "user not found",
            "authentication failed",
            "auth failed",
        ],
    ) || value(message, b" di=\"").is_some_and(|answer| answer.starts_with(b"535"))
    {
        (Kind::SaslAuthFailed, weight::PASSWORD)
    } else {
        return None;
    };
    Some(Reading {
        address: Some(address),
        user: value(message, b" us=\""),
        weight,
        ..Reading::of(kind)
    })
}
