//! qmail and what runs around it: vpopmail's vchkpw, ucspi-tcp's rblsmtpd, s/qmail's SMTP server. By syslog (splogger puts
//! `1157520813.485077 PROGRAM: ` before) or by multilog.

use std::net::{IpAddr, Ipv4Addr};

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, mentions, rsplit_once, split_once, word};
use super::weight;

/// qmail.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Qmail,
    program: "vpopmail",
    writes: |program| {
        const PROGRAMS: [&[u8]; 9] = [
            b"vpopmail",
            b"smtpd",
            b"smtp",
            b"submission",
            b"smtps",
            b"pop3d",
            b"pop3",
            b"rblsmtpd",
            b"smtpd-ssl",
        ];
        program.starts_with(b"qmail-")
            || program == b"qmail"
            || program.starts_with(b"vchkpw")
            || PROGRAMS.contains(&program)
    },
    forms: &[
        Form {
            name: "vchkpw",
            versions: "vpopmail 4.9 and later; `(pass: '…')` when it is built to log passwords",
            sample: "vchkpw-smtp: password fail (pass: 'secret') bob@example.com:192.0.2.1",
            read: vchkpw,
        },
        Form {
            name: "rblsmtpd",
            versions: "ucspi-tcp 0.80 and later",
            sample: "rblsmtpd: 192.0.2.1 pid 4711: 451 http://dnsbl.example.org/lookup",
            read: rblsmtpd,
        },
        Form {
            name: "rblsmtpd_ip",
            versions: "ucspi-tcp with badiprbl",
            sample: "rblsmtpd: 421 badiprbl: ip 192.0.2.1 rbl: listed",
            read: rblsmtpd_ip,
        },
        Form {
            name: "rblsmtpd_blocked",
            versions: "rblsmtpd 0.70",
            sample: "rblsmtpd: dnsbl.example.org blocked 192.0.2.1 mx.example.com -",
            read: rblsmtpd_blocked,
        },
        Form {
            name: "sqmail_reject",
            versions: "s/qmail 3 and 4, spamcontrol 2.5 and later",
            sample: "qmail-smtpd: pid 4711 Reject::AUTH::login P:ESMTPA S:192.0.2.1:mx.example.com H:mx F: T: ?~ 'bob'",
            read: sqmail,
        },
    ],
};

/// What stands after splogger's time stamp and the program's own name. multilog's header has that name already.
fn body<'a>(message: &'a [u8], program: &[u8]) -> Option<&'a [u8]> {
    let (stamp, rest) = word(message);
    let stamped = !stamp.is_empty() && stamp.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    let message = if stamped { rest } else { message };
    match message.strip_prefix(program) {
        Some(rest) => rest.strip_prefix(b": "),
        None => Some(message),
    }
}

/// `vchkpw[-SERVICE]: TEXT USER@DOMAIN:ADDRESS`, the address last. IPv4 only: an IPv6 address behind a colon could have
/// begun within the user's name.
fn vchkpw(message: &[u8]) -> Option<Reading<'_>> {
    let (service, rest) = match message.strip_prefix(b"vchkpw") {
        Some(rest) => split_once(rest, b": ")?,
        None => (&b""[..], message),
    };
    let smtp = matches!(service, b"-smtp" | b"-submission" | b"-smtps");
    let (before, client) = rsplit_once(rest, b":")?;
    let client = IpAddr::V4(std::str::from_utf8(client).ok()?.parse::<Ipv4Addr>().ok()?);
    let failed = if smtp { Kind::SaslAuthFailed } else { Kind::AuthFailed };
    const TEXTS: [(&[u8], Option<u16>); 12] = [
        (b"vpopmail user not found", Some(weight::UNKNOWN_LOGIN)),
        (b"system user not found", Some(weight::UNKNOWN_LOGIN)),
        (b"system user shadow entry not found", Some(weight::UNKNOWN_LOGIN)),
        (b"invalid user/domain characters", Some(weight::UNKNOWN_LOGIN)),
        (b"password fail", Some(weight::PASSWORD)),
        (b"system password fail", Some(weight::PASSWORD)),
        (b"null user name given", Some(weight::PASSWORD)),
        (b"null password given", Some(weight::PASSWORD)),
        (b"user has no password", Some(weight::PASSWORD)),
        (b"access denied", Some(weight::PASSWORD)),
        (b"login success", None),
        (b"(", None),
    ];
    let (text, weight) = TEXTS.iter().find(|(text, _)| before.starts_with(text))?;
    if *text == b"(" && !mentions(before, &["login success"]) {
        return None;
    }
    // The name is the last word: what the password was stays where it is.
    let user = rsplit_once(before, b" ").map(|(_, user)| user)?;
    Some(Reading {
        address: Some(client),
        user: Some(user.strip_suffix(b"@").unwrap_or(user)).filter(|user| !user.is_empty()),
        weight: weight.unwrap_or(0),
        ..Reading::of(if weight.is_some() { failed } else { Kind::AuthOk })
    })
}

fn listed<'a>(client: &[u8]) -> Option<Reading<'a>> {
    Some(Reading {
        address: Some(address(client)?),
        weight: weight::LISTED,
        ..Reading::of(Kind::Rbl)
    })
}

/// `rblsmtpd: ADDRESS pid N: CODE TEXT`
fn rblsmtpd(message: &[u8]) -> Option<Reading<'_>> {
    let (client, rest) = word(body(message, b"rblsmtpd")?);
    rest.starts_with(b"pid ").then(|| listed(client)).flatten()
}

/// `rblsmtpd: CODE badiprbl: ip ADDRESS rbl: TEXT`
fn rblsmtpd_ip(message: &[u8]) -> Option<Reading<'_>> {
    let (code, rest) = word(body(message, b"rblsmtpd")?);
    code.iter().all(u8::is_ascii_digit).then_some(())?;
    listed(word(rest.strip_prefix(b"badiprbl: ip ")?).0)
}

/// `rblsmtpd: LIST blocked ADDRESS NAME -`
fn rblsmtpd_blocked(message: &[u8]) -> Option<Reading<'_>> {
    let (_list, rest) = word(body(message, b"rblsmtpd")?);
    listed(word(rest.strip_prefix(b"blocked ")?).0)
}

/// `qmail-smtpd: pid N Reject::CLASS::WHY P:PROTOCOL S:ADDRESS:NAME H:HELO F:SENDER T:RECIPIENT …`
fn sqmail(message: &[u8]) -> Option<Reading<'_>> {
    let (_pid, rest) = word(body(message, b"qmail-smtpd")?.strip_prefix(b"pid ")?);
    let (class, rest) = word(rest);
    let (_protocol, rest) = word(rest.strip_prefix(b"P:")?);
    let (client, rest) = word(rest.strip_prefix(b"S:")?);
    // NAME has no colon, and is always there.
    let client = address(rsplit_once(client, b":")?.0)?;
    let user = rest
        .strip_suffix(b"'")
        .and_then(|rest| rsplit_once(rest, b" '"))
        .map(|(_, user)| user);
    let (kind, weight) = if class.starts_with(b"Accept::AUTH::") {
        (Kind::AuthOk, 0)
    } else if class.starts_with(b"Accept::") {
        (Kind::Received, 0)
    } else {
        let why = class.strip_prefix(b"Reject::")?;
        if why.starts_with(b"AUTH::") {
            (Kind::SaslAuthFailed, weight::PASSWORD)
        } else if mentions(why, &["relay"]) {
            (Kind::RelayDenied, weight::RELAY)
        } else if why.starts_with(b"RCPT::") {
            (Kind::UnknownUser, weight::UNKNOWN_RECIPIENT)
        } else if mentions(why, &["helo"]) {
            (Kind::HeloReject, weight::HELO)
        } else if mentions(why, &["rbl"]) {
            (Kind::Rbl, weight::LISTED)
        } else {
            (Kind::RejectedRcpt, weight::REJECTED)
        }
    };
    Some(Reading {
        address: Some(client),
        user,
        weight,
        ..Reading::of(kind)
    })
}
