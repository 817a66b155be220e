//! OpenSMTPD, as `smtp_session.c` formats it. Only the line of the connection has the client's address; all others of
//! the session are joined to it by their first word, the session's id. Ids are the daemon's: 16 hexadecimal digits.

use super::event::{Daemon, Kind};
use super::grammar::{Form, Grammar};
use super::parse::Reading;
use super::scan::{address, mentions, rsplit_once, split_once, word};
use super::weight;

/// OpenSMTPD's smtpd.
pub(super) static GRAMMAR: Grammar = Grammar {
    daemon: Daemon::Opensmtpd,
    program: "smtpd",
    // Postfix's has a path (`postfix/smtpd`), whatever the instance is named.
    writes: |program| matches!(program, b"smtpd" | b"opensmtpd" | b"mail.smtpd"),
    forms: FORMS,
};

const FORMS: &[Form] = &[
    Form {
        name: "connected",
        versions: "6.0 and later (`event=` before 6.6)",
        sample: "c1a89cb774083905 smtp connected address=192.0.2.1 host=mx.example.com",
        read: connected,
    },
    Form {
        name: "authentication",
        versions: "6.0 and later",
        sample: "c1a89cb774083905 smtp authentication user=bob result=permfail",
        read: authentication,
    },
    Form {
        name: "failed_command",
        versions: "6.0 and later",
        sample: "c1a89cb774083905 smtp failed-command command=\"RCPT TO:<eve@example.org>\" result=\"550 Invalid recipient: <eve@example.org>\"",
        read: failed_command,
    },
    Form {
        name: "bad_input",
        versions: "6.0 and later",
        sample: "c1a89cb774083905 smtp bad-input result=\"500 5.5.1 Invalid command: Pipelining not supported\"",
        read: bad_input,
    },
    Form {
        name: "message",
        versions: "6.6 and later",
        sample: "c1a89cb774083905 smtp message msgid=0c3b5a1e size=1024 nrcpt=1 proto=ESMTP",
        read: message_accepted,
    },
    Form {
        name: "failed_command_5",
        versions: "5.9 and earlier",
        sample: "smtp-in: Failed command on session c1a89cb774083905: \"AUTH LOGIN (password)\" => 535 Authentication failed",
        read: failed_command_5,
    },
    Form {
        name: "connected_5",
        versions: "5.9 and earlier",
        sample: "smtp-in: New session c1a89cb774083905 from host mx.example.com [192.0.2.1]",
        read: connected_5,
    },
];

fn session(text: &[u8]) -> Option<&[u8]> {
    (text.len() == 16 && text.iter().all(u8::is_ascii_hexdigit)).then_some(text)
}

/// `ID smtp [event=]NAME REST`
fn event<'a>(message: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (id, rest) = word(message);
    let rest = rest.strip_prefix(b"smtp ")?;
    let rest = rest.strip_prefix(b"event=").unwrap_or(rest);
    let rest = rest.strip_prefix(name)?.strip_prefix(b" ")?;
    Some((session(id)?, rest))
}

/// `address=ADDRESS host=NAME`; `[ADDRESS]` for IPv6, `local` for a client on this host.
fn connected(message: &[u8]) -> Option<Reading<'_>> {
    let (id, rest) = event(message, b"connected")?;
    let text = word(rest.strip_prefix(b"address=")?).0;
    let text = text
        .strip_prefix(b"[")
        .and_then(|text| text.strip_suffix(b"]"))
        .unwrap_or(text);
    let text = text.strip_prefix(b"IPv6:").unwrap_or(text);
    Some(Reading {
        address: Some(address(text)?),
        queue_id: Some(id),
        ..Reading::of(Kind::Connect)
    })
}

/// `user=USER result=ok|permfail|tempfail`. The result is the last word. A failure's own line is the failed command.
fn authentication(message: &[u8]) -> Option<Reading<'_>> {
    let (id, rest) = event(message, b"authentication")?;
    let (user, result) = rsplit_once(rest.strip_prefix(b"user=")?, b" result=")?;
    let kind = if result == b"ok" {
        Kind::AuthOk
    } else {
        Kind::SaslAuthFailed
    };
    Some(Reading {
        queue_id: Some(id),
        user: Some(user),
        ..Reading::of(kind)
    })
}

/// `command="COMMAND" result="CODE TEXT"`
fn failed_command(message: &[u8]) -> Option<Reading<'_>> {
    let (id, rest) = event(message, b"failed-command")?;
    // strnvis() leaves quotes as they are, but the result never holds this mark: it repeats an address at most.
    let (command, result) = rsplit_once(rest.strip_prefix(b"command=\"")?, b"\" result=\"")?;
    Some(failure(id, command, result))
}

/// `smtp-in: Failed command on session ID: "COMMAND" => CODE TEXT`
fn failed_command_5(message: &[u8]) -> Option<Reading<'_>> {
    let (id, rest) = split_once(message.strip_prefix(b"smtp-in: Failed command on session ")?, b": \"")?;
    let (command, result) = rsplit_once(rest, b"\" => ")?;
    Some(failure(session(id)?, command, result))
}

/// `smtp-in: New session ID from host NAME [ADDRESS]`
fn connected_5(message: &[u8]) -> Option<Reading<'_>> {
    let (id, rest) = split_once(message.strip_prefix(b"smtp-in: New session ")?, b" from host ")?;
    Some(Reading {
        address: Some(super::scan::host(rest)?.0),
        queue_id: Some(session(id)?),
        ..Reading::of(Kind::Connect)
    })
}

fn failure<'a>(id: &'a [u8], command: &[u8], result: &[u8]) -> Reading<'a> {
    let (kind, weight) = judge(command, result);
    Reading {
        queue_id: Some(id),
        // 4xx: greylisting, or our own trouble.
        weight: if result.starts_with(b"5") { weight } else { 0 },
        ..Reading::of(kind)
    }
}

fn judge(command: &[u8], result: &[u8]) -> (Kind, u16) {
    let begins = |word: &str| {
        command
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    if begins("AUTH") && result.starts_with(b"535") {
        (Kind::SaslAuthFailed, weight::PASSWORD)
    } else if begins("AUTH") {
        // Where it is not offered, or before TLS.
        (Kind::ProtocolAbuse, weight::ABUSE)
    } else if begins("RCPT") {
        // `550 Invalid recipient` is all it says, to relay attempts as well.
        (Kind::RejectedRcpt, weight::REJECTED)
    } else if begins("HELO") || begins("EHLO") {
        (Kind::HeloReject, weight::HELO)
    } else if command.is_empty() || begins("MAIL") || begins("DATA") {
        // A filter's refusal, of the connection if there was no command yet.
        (Kind::RejectedRcpt, weight::REJECTED)
    } else if mentions(
        result,
        &["invalid command", "not supported", "not implemented", "unknown"],
    ) {
        (Kind::ProtocolAbuse, weight::ERRORS)
    } else {
        (Kind::RejectedRcpt, weight::REJECTED)
    }
}

fn bad_input(message: &[u8]) -> Option<Reading<'_>> {
    let (id, _) = event(message, b"bad-input")?;
    Some(Reading {
        queue_id: Some(id),
        weight: weight::ABUSE,
        ..Reading::of(Kind::ProtocolAbuse)
    })
}

fn message_accepted(message: &[u8]) -> Option<Reading<'_>> {
    let (id, rest) = event(message, b"message")?;
    let (_, rest) = split_once(rest, b" nrcpt=")?;
    let recipients = std::str::from_utf8(word(rest).0).ok()?.parse().ok()?;
    Some(Reading {
        queue_id: Some(id),
        recipients,
        ..Reading::of(Kind::Received)
    })
}
