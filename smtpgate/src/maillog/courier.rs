//! Courier: imapd, pop3d and their TLS twins, the ESMTP server, SqWebMail. Free text of clients is in `user=`, `from=`,
//! `to=` and `cmd:`; Courier's own `relay=` comes before all of them, and its own `ip=` after.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, mentions, rsplit_once, split_once};
use super::weight;

/// Courier.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Courier,
    program: "imapd",
    writes: |program| {
        // `INFO: ` is all that stands before it in multilog's files.
        const PROGRAMS: [&[u8]; 14] = [
            b"imapd",
            b"imapd-ssl",
            b"imaplogin",
            b"pop3d",
            b"pop3d-ssl",
            b"pop3login",
            b"courieresmtpd",
            b"courieresmtpd-ssl",
            b"esmtpd",
            b"esmtpd-ssl",
            b"esmtpd-msa",
            b"sqwebmaild",
            b"sqwebmail",
            b"INFO",
        ];
        program.starts_with(b"courier") || PROGRAMS.contains(&program)
    },
    forms: &[
        Form {
            name: "login_failed",
            versions: "Courier-IMAP 1.0 and later; port= since 4.2",
            sample: "LOGIN FAILED, user=bob, ip=[::ffff:192.0.2.1], port=[4711]",
            read: login_failed,
        },
        Form {
            name: "login",
            versions: "Courier-IMAP 1.0 and later",
            sample: "LOGIN, user=bob, ip=[::ffff:192.0.2.1], port=[4711], protocol=IMAP",
            read: login,
        },
        Form {
            name: "esmtp_error",
            versions: "Courier 0.30 and later; port= since 0.66",
            sample: "error,relay=::ffff:192.0.2.1,port=4711,msg=\"535 Authentication failed.\",cmd: AUTH LOGIN bob",
            read: esmtp_error,
        },
        Form {
            name: "esmtp_started",
            versions: "Courier 0.30 and later",
            sample: "started,ip=[::ffff:192.0.2.1],port=[4711]",
            read: esmtp_started,
        },
    ],
};

/// What stands after `INFO: `, `ERR: ` and their like, which courierlogger takes off.
fn body(message: &[u8]) -> &[u8] {
    message.strip_prefix(b"INFO: ").unwrap_or(message)
}

/// `user=USER, ip=[ADDRESS][, port=[N]…]`: the last `, ip=[`, as all that follows it is Courier's own.
fn user_and_client(text: &[u8]) -> Option<(&[u8], std::net::IpAddr)> {
    let (user, rest) = rsplit_once(text.strip_prefix(b"user=")?, b", ip=[")?;
    Some((user, address(split_once(rest, b"]")?.0)?))
}

fn login_failed(message: &[u8]) -> Option<Reading<'_>> {
    let rest = body(message).strip_prefix(b"LOGIN FAILED, ")?;
    // `LOGIN FAILED, method=PLAIN, ip=[…]`, where no name was learnt.
    let (user, address) = match rest.strip_prefix(b"method=") {
        Some(rest) => {
            let (_, rest) = rsplit_once(rest, b", ip=[")?;
            (&b""[..], address(split_once(rest, b"]")?.0)?)
        }
        None => user_and_client(rest)?,
    };
    Some(Reading {
        address: Some(address),
        user: Some(user).filter(|user| !user.is_empty()),
        weight: weight::PASSWORD,
        ..Reading::of(Kind::AuthFailed)
    })
}

fn login(message: &[u8]) -> Option<Reading<'_>> {
    let (user, address) = user_and_client(body(message).strip_prefix(b"LOGIN, ")?)?;
    Some(Reading {
        address: Some(address),
        user: Some(user),
        ..Reading::of(Kind::AuthOk)
    })
}

/// `error,relay=ADDRESS[,port=N],[from=<…>,to=<…>: CODE TEXT | msg="CODE TEXT",cmd: TEXT]`
fn esmtp_error(message: &[u8]) -> Option<Reading<'_>> {
    let rest = body(message).strip_prefix(b"error,relay=")?;
    let (client, rest) = split_once(rest, b",")?;
    let client = client
        .strip_prefix(b"[")
        .and_then(|text| text.strip_suffix(b"]"))
        .unwrap_or(client);
    let rest = match rest.strip_prefix(b"port=") {
        Some(rest) => split_once(rest, b",")?.1,
        None => rest,
    };
    let mut user = None;
    let answer = match rest.strip_prefix(b"msg=\"") {
        Some(rest) => {
            let (answer, command) = split_once(rest, b"\",cmd: ").unwrap_or((rest, b""));
            // The initial response stands behind the mechanism, decoded: it is a name, never a password.
            user = command.strip_prefix(b"AUTH LOGIN ");
            answer
        }
        // The recipient may hold a colon; the answer begins with its code.
        None => rsplit_once(rest, b">: ")?.1,
    };
    let (kind, weight) = judge(answer);
    Some(Reading {
        address: Some(address(client)?),
        user,
        weight: if answer.starts_with(b"4") { 0 } else { weight },
        ..Reading::of(kind)
    })
}

/// By the texts of `courier/module.esmtp` and `courier/submit.C`.
fn judge(answer: &[u8]) -> (Kind, u16) {
    if answer.starts_with(b"535") {
        (Kind::SaslAuthFailed, weight::PASSWORD)
    } else if mentions(answer, &["unknown", "no such"]) {
        (Kind::UnknownUser, weight::UNKNOWN_RECIPIENT)
    } else if mentions(answer, &["relay", "513 "]) {
        (Kind::RelayDenied, weight::RELAY)
    } else if mentions(
        answer,
        &["blacklist", "blocked", "blocklist", "spamhaus", "listed", "see http"],
    ) {
        (Kind::Rbl, weight::LISTED)
    } else if answer.starts_with(b"502") || answer.starts_with(b"500") || answer.starts_with(b"503") {
        (Kind::ProtocolAbuse, weight::ERRORS)
    } else {
        (Kind::RejectedRcpt, weight::REJECTED)
    }
}

fn esmtp_started(message: &[u8]) -> Option<Reading<'_>> {
    let (client, _) = split_once(body(message).strip_prefix(b"started,ip=[")?, b"]")?;
    Some(Reading {
        address: Some(address(client)?),
        ..Reading::of(Kind::Connect)
    })
}
