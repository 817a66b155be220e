//! Sendmail 8, as `srvrsmtp.c`, `envelope.c`, `deliver.c` and `srvrsmtp.c`'s rule sets format it.
//!
//! A client is `NAME [ADDRESS]` or `[ADDRESS]`, both perhaps with ` (may be forged)`: the macro `_`. NAME is from DNS,
//! with `USER@` before it where RFC 1413 was asked; Sendmail lets neither hold a blank (`cleanstrcpy()`). Lines begin with
//! the client, or name it in `relay=`. There a client's text (`arg1=`, `user=`, `from=`, `msgid=`) may stand before it.

use std::net::IpAddr;

use memchr::memmem;

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{agreed, host, mentions, rsplit_once, split_once, word};
use super::weight;

/// Sendmail 8.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Sendmail,
    program: "sm-mta",
    // `sendmail`, `sm-mta`, `sm-msp-queue`; admins name their daemons (`-L sm-acceptingconnections`).
    writes: |program| program.starts_with(b"sendmail") || program.starts_with(b"sm-"),
    forms: FORMS,
};

const FORMS: &[Form] = &[
    Form {
        name: "ruleset",
        versions: "8.9 and later",
        sample: "s1P819mk027713: ruleset=check_rcpt, arg1=<bob@example.org>, relay=mx.example.com [192.0.2.1], reject=550 5.7.1 <bob@example.org>... Relaying denied",
        read: ruleset,
    },
    Form {
        name: "auth_failed",
        versions: "8.12 and later; user= since 8.14",
        sample: "s1P819mk027713: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=bob, relay=mx.example.com [192.0.2.1]",
        read: auth_failed,
    },
    Form {
        name: "auth_ok",
        versions: "8.10 and later",
        sample: "s1P819mk027713: AUTH=server, relay=mx.example.com [192.0.2.1], authid=bob, mech=PLAIN, bits=0",
        read: auth_ok,
    },
    Form {
        name: "from",
        versions: "8.0 and later",
        sample: "s1P819mk027713: from=<bob@example.com>, size=1024, class=0, nrcpts=1, proto=ESMTP, daemon=MTA, relay=mx.example.com [192.0.2.1]",
        read: from,
    },
    Form {
        name: "client_first",
        versions: "8.9 and later",
        sample: "s1P819mk027713: mx.example.com [192.0.2.1] (may be forged) did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA",
        read: client_first,
    },
    Form {
        name: "rejecting_commands",
        versions: "8.13 and later",
        sample: "s1P819mk027713: rejecting commands from mx.example.com [192.0.2.1] due to pre-greeting traffic after 0 seconds",
        read: rejecting_commands,
    },
    Form {
        name: "lost_input",
        versions: "8.9 and later",
        sample: "s1P819mk027713: lost input channel from mx.example.com [192.0.2.1] to MTA after rcpt",
        read: lost_input,
    },
    Form {
        name: "unknown_user",
        versions: "8.0 and later; it names no client",
        sample: "s1P819mk027713: <eve@example.org>... User unknown",
        read: unknown_user,
    },
];

/// What stands after the message's id, and the id. `NOQUEUE` is none.
fn body(message: &[u8]) -> (&[u8], Option<&[u8]>) {
    match split_once(message, b": ") {
        Some((id, rest)) if (5..=24).contains(&id.len()) && id.iter().all(u8::is_ascii_alphanumeric) => {
            (rest, Some(id).filter(|id| *id != b"NOQUEUE"))
        }
        _ => (message, None),
    }
}

/// A client up to the end of `text`.
fn relay(text: &[u8]) -> Option<IpAddr> {
    let (address, rest) = host(text)?;
    matches!(rest, b"" | b" (may be forged)").then_some(address)
}

/// What follows an address in angle brackets. Quoted strings are skipped, and what is escaped. `None` for what Sendmail
/// (`prescan()`) lets hold more than that: comments and brackets within brackets.
fn after_path(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"<")?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inside.iter().position(|&byte| {
        let special = !quoted && !escaped && matches!(byte, b'>' | b'(' | b'<');
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        special
    })?;
    inside.get(end..)?.strip_prefix(b">")
}

/// `ruleset=NAME, arg1=TEXT[, arg2=TEXT], relay=CLIENT, reject=CODE TEXT`
fn ruleset(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    let (name, rest) = split_once(text.strip_prefix(b"ruleset=")?, b", ")?;
    const MARK: &[u8] = b", relay=";
    let at = |text: &[u8]| Some(host(text)?.0);
    let argument = rest.strip_prefix(b"arg1=").and_then(|argument| {
        let behind = after_path(argument)?;
        let path = argument.strip_suffix(behind)?;
        // The reason repeats the argument: if what seems to be its end goes on there as it does here, it is not the end.
        (memmem::find_iter(rest, &[path, MARK].concat()).count() == 1).then_some(behind)
    });
    // Long arguments are cut in their middle (`shortenstring()`), and quotes with it.
    let cut = memmem::find(rest, b"...").is_some_and(|at| at < memmem::find(rest, MARK).unwrap_or(0));
    let address = match argument.and_then(|text| text.strip_prefix(MARK)) {
        Some(text) if !cut => at(text)?,
        _ if name == b"check_relay" && !cut => at(split_once(rest, MARK)?.1)?,
        _ => agreed(rest, MARK, at)?,
    };
    // The last: what the client sent is before it, and in it.
    let (_, reject) = rsplit_once(rest, b", reject=")?;
    let (kind, weight) = judge(name, reject);
    Some(Reading {
        address: Some(address),
        queue_id: id,
        // 4xx: not for good. Greylisting is of these.
        weight: if reject.starts_with(b"4") && kind != Kind::DdosConnect && kind != Kind::RelayDenied {
            0
        } else {
            weight
        },
        ..Reading::of(kind)
    })
}

/// By the texts of `cf/m4/proto.m4` and of the features `dnsbl`, `enhdnsbl`, `access_db`, `ratecontrol`, `conncontrol`.
fn judge(ruleset: &[u8], reject: &[u8]) -> (Kind, u16) {
    // After the address and its dots is the rule's own text.
    let text = split_once(reject, b"... ").map_or(reject, |(_, text)| text);
    if mentions(
        text,
        &["rate limit exceeded", "too many open connections", "connection limit"],
    ) {
        (Kind::DdosConnect, weight::LIMIT)
    } else if mentions(text, &["relaying"]) {
        // `Relaying temporarily denied` is the same refusal, when the client's name could not be looked up.
        let passing = reject.starts_with(b"4");
        (
            Kind::RelayDenied,
            if passing { weight::REJECTED } else { weight::RELAY },
        )
    } else if mentions(
        text,
        &["user unknown", "unknown user", "no such user", "mailbox unavailable"],
    ) {
        (Kind::UnknownUser, weight::UNKNOWN_RECIPIENT)
    } else if mentions(
        text,
        &[
            "blacklist",
            "black list",
            "blocklist",
            "block list",
            "dnsbl",
            "rbl",
            "spamhaus",
            "spamcop",
            "sorbs",
            "listed",
            "mail from",
        ],
    ) {
        (Kind::Rbl, weight::LISTED)
    } else if ruleset == b"check_helo" {
        (Kind::HeloReject, weight::HELO)
    } else {
        (Kind::RejectedRcpt, weight::REJECTED)
    }
}

/// `AUTH failure (MECHANISM): TEXT (CODE) DETAIL[, user=USER], relay=CLIENT`
fn auth_failed(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    let (mechanism, rest) = split_once(text.strip_prefix(b"AUTH failure (")?, b"): ")?;
    let (rest, client) = rsplit_once(rest, b", relay=")?;
    let (reason, user) = split_once(rest, b", user=").map_or((rest, None), |(reason, user)| (reason, Some(user)));
    // SASL_FAIL, SASL_NOMEM, SASL_TRYAGAIN and SASL_UNAVAIL: the server could not ask. SASL_NOUSER: nobody has that name.
    let weight = if [&b"(-1) "[..], b"(-2) ", b"(-8) ", b"(-24) "]
        .iter()
        .any(|code| memmem::find(reason, code).is_some())
    {
        0
    } else if reason.starts_with(b"user not found (-20)") {
        weight::UNKNOWN_LOGIN
    } else {
        weight::PASSWORD
    };
    Some(Reading {
        address: Some(relay(client)?),
        mechanism: Some(mechanism),
        queue_id: id,
        user,
        weight,
        ..Reading::of(Kind::SaslAuthFailed)
    })
}

/// `AUTH=server, relay=CLIENT, authid=USER, mech=MECHANISM, bits=N`
fn auth_ok(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    let (address, rest) = host(text.strip_prefix(b"AUTH=server, relay=")?)?;
    let (_, rest) = split_once(rest, b", authid=")?;
    let (user, rest) = rsplit_once(rest, b", mech=")?;
    Some(Reading {
        address: Some(address),
        mechanism: Some(split_once(rest, b",").map_or(rest, |(mechanism, _)| mechanism)),
        queue_id: id,
        user: Some(user),
        ..Reading::of(Kind::AuthOk)
    })
}

/// `from=SENDER, size=N, …, nrcpts=N, …, relay=CLIENT`: a transaction ended. Without recipients it came to nothing.
fn from(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    let path = text.strip_prefix(b"from=")?;
    let (_, client) = rsplit_once(path, b", relay=")?;
    let address = relay(client)?;
    // Some clients leave the brackets out.
    let (sender, rest) = match after_path(path) {
        Some(rest) => (path.get(1..path.len() - rest.len() - 1)?, rest),
        None => path.split_at_checked(memchr::memchr(b',', path)?)?,
    };
    let recipients = split_once(rest, b", nrcpts=").and_then(|(_, rest)| number(rest))?;
    let kind = if recipients == 0 {
        Kind::RejectedRcpt
    } else {
        Kind::Received
    };
    Some(Reading {
        address: Some(address),
        queue_id: id,
        sender: Some(sender),
        recipients,
        ..Reading::of(kind)
    })
}

fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

/// What begins with the client. A recipient stands there, too, in its brackets: see [`unknown_user`].
fn client_first(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    if text.starts_with(b"<") {
        return None;
    }
    let (address, rest) = host(text)?;
    let rest = rest.strip_prefix(b" (may be forged)").unwrap_or(rest);
    let (kind, weight) = if rest.starts_with(b" did not issue ") {
        (Kind::ProtocolAbuse, weight::NOTHING)
    } else if rest.starts_with(b": possible SMTP attack: command=AUTH") {
        (Kind::SaslAuthFailed, weight::ERRORS)
    } else if rest.starts_with(b": possible SMTP attack: ") {
        (Kind::ProtocolAbuse, weight::ERRORS)
    } else if rest.starts_with(b": probable open proxy: ") {
        (Kind::ProtocolAbuse, weight::ABUSE)
    } else if matches!(word(rest.strip_prefix(b": ")?).0, b"VRFY" | b"EXPN" | b"ETRN") && rest.ends_with(b" [rejected]")
    {
        (Kind::RejectedRcpt, weight::REJECTED)
    } else {
        return None;
    };
    Some(Reading {
        address: Some(address),
        queue_id: id,
        weight,
        ..Reading::of(kind)
    })
}

/// `rejecting commands from CLIENT due to pre-greeting traffic after N seconds`, or due to a connection or rate limit.
fn rejecting_commands(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    let (address, rest) = host(text.strip_prefix(b"rejecting commands from ")?)?;
    let (kind, weight) = if mentions(rest, &["pre-greeting traffic"]) {
        (Kind::ProtocolAbuse, weight::PREGREET)
    } else {
        (Kind::RejectedRcpt, weight::REJECTED)
    };
    Some(Reading {
        address: Some(address),
        queue_id: id,
        weight,
        ..Reading::of(kind)
    })
}

/// A bad line does this as well as a bad client.
fn lost_input(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    let (address, _) = host(text.strip_prefix(b"lost input channel from ")?)?;
    Some(Reading {
        address: Some(address),
        queue_id: id,
        ..Reading::of(Kind::DdosConnect)
    })
}

/// `<RECIPIENT>... User unknown`: by the id, the line of the transaction's end tells whose it was.
fn unknown_user(message: &[u8]) -> Option<Reading<'_>> {
    let (text, id) = body(message);
    let rest = after_path(text)?;
    let reason = rest.strip_prefix(b"... ")?;
    mentions(reason, &["user unknown", "no such user", "unknown user"]).then_some(())?;
    Some(Reading {
        queue_id: Some(id?),
        ..Reading::of(Kind::UnknownUser)
    })
}
