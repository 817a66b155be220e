//! Lines in Postfix's format, honest and forged. 192.0.2.1 is the client; 203.0.113.9 is whom it wants to have blamed.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::maillog::{Event, parse};

const CLIENT: &str = "192.0.2.1";

/// Kind, address, user, weight.
type Want<'a> = (Kind, Option<&'a str>, Option<&'a str>, u16);

fn got<'a>(event: &Event<'a>) -> (Kind, Option<IpAddr>, Option<&'a [u8]>, u16) {
    (event.kind, event.address, event.user, event.weight)
}

fn check(name: &str, line: &[u8], want: Option<Want<'_>>) {
    let event = parse(line);
    let want = want.map(|(kind, address, user, weight)| {
        (
            kind,
            address.map(|address| address.parse().unwrap()),
            user.map(str::as_bytes),
            weight,
        )
    });
    assert_eq!(
        event.as_ref().map(got),
        want,
        "{name}: {}",
        String::from_utf8_lossy(line)
    );
}

fn smtpd(message: &str) -> Vec<u8> {
    format!("Nov 24 02:27:08 mx1 postfix/smtpd[467]: {message}").into_bytes()
}

#[test]
fn maillog_postfix_forms_read_their_samples() {
    for form in SMTPD {
        let readers: Vec<_> = SMTPD
            .iter()
            .filter(|other| (other.read)(form.sample.as_bytes()).is_some())
            .map(|other| other.name)
            .collect();
        assert_eq!(readers, [form.name], "{} ({})", form.sample, form.versions);
    }
}

#[test]
fn maillog_postfix_sasl_failures() {
    use Kind::SaslAuthFailed as Failed;
    let client = Some(CLIENT);
    let cases: &[(&str, &str, Option<Want<'_>>)] = &[
        (
            "without reason (before 3.5.22)",
            "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed:",
            Some((Failed, client, None, 1)),
        ),
        (
            "with a space behind",
            "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: ",
            Some((Failed, client, None, 1)),
        ),
        (
            "Dovecot, challenge as reason",
            "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
            Some((Failed, client, None, 1)),
        ),
        (
            "Dovecot (3.7.8)",
            "warning: host.example[192.0.2.1]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=bob@example.com",
            Some((Failed, client, Some("bob@example.com"), 1)),
        ),
        (
            "Cyrus",
            "warning: unknown[192.0.2.1]: SASL CRAM-MD5 authentication failed: authentication failure, sasl_username=bob",
            Some((Failed, client, Some("bob"), 1)),
        ),
        (
            "user unknown to Postfix",
            "warning: unknown[192.0.2.1]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=(unavailable)",
            Some((Failed, client, None, 1)),
        ),
        (
            "user empty",
            "warning: unknown[192.0.2.1]: SASL PLAIN authentication failed: x, sasl_username=",
            Some((Failed, client, None, 1)),
        ),
        (
            "SCRAM",
            "warning: unknown[192.0.2.1]: SASL SCRAM-SHA-256 authentication failed: x",
            Some((Failed, client, None, 1)),
        ),
        (
            "OAUTHBEARER",
            "warning: unknown[192.0.2.1]: SASL OAUTHBEARER authentication failed: x",
            Some((Failed, client, None, 1)),
        ),
        (
            "XOAUTH2",
            "warning: unknown[192.0.2.1]: SASL XOAUTH2 authentication failed: eyJzdGF0dXMiOiI0MDAifQ==",
            Some((Failed, client, None, 1)),
        ),
        (
            "GSSAPI",
            "warning: unknown[192.0.2.1]: SASL GSSAPI authentication failed: x",
            Some((Failed, client, None, 1)),
        ),
        (
            "as the client spelled it",
            "warning: unknown[192.0.2.1]: SASL pLaIn authentication failed: x",
            Some((Failed, client, None, 1)),
        ),
        (
            "a mechanism that is not offered",
            "warning: unknown[192.0.2.1]: SASL X authentication failed: Invalid authentication mechanism",
            Some((Failed, client, None, 1)),
        ),
        (
            "with port",
            "warning: unknown[192.0.2.1]:55729: SASL LOGIN authentication failed: x",
            Some((Failed, client, None, 1)),
        ),
        (
            "IPv6",
            "warning: unknown[2001:db8::25]: SASL LOGIN authentication failed: x",
            Some((Failed, Some("2001:db8::25"), None, 1)),
        ),
        (
            "IPv4-mapped",
            "warning: unknown[::ffff:192.0.2.1]: SASL LOGIN authentication failed: x",
            Some((Failed, client, None, 1)),
        ),
        (
            "given up",
            "warning: unknown[192.0.2.1]: SASL GSSAPI authentication aborted",
            Some((Failed, client, None, 0)),
        ),
        (
            "address unknown",
            "warning: unknown[unknown]: SASL LOGIN authentication failed: x",
            None,
        ),
        (
            "another word",
            "warning: unknown[192.0.2.1]: SASL LOGIN authentication failedx: x",
            None,
        ),
    ];
    for (name, message, want) in cases {
        check(name, &smtpd(message), *want);
    }
}

#[test]
fn maillog_postfix_broken_backend_is_nobodys_offence() {
    for reason in [
        "Connection lost to authentication server",
        "Can't connect to authentication server",
        "Authentication backend error",
        "Temporary authentication failure",
        "Temporary internal failure, sasl_username=bob",
        "generic failure",
        "Connection lost to authentication server, sasl_username=(unavailable)",
    ] {
        let message = format!("warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: {reason}");
        let line = smtpd(&message);
        let event = parse(&line).unwrap();
        assert!(!event.is_offence(), "{reason}");
        assert_eq!(event.address, Some(CLIENT.parse().unwrap()), "{reason}");
    }
    // The user's name is not the reason.
    let message = "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=generic failure";
    assert!(parse(&smtpd(message)).unwrap().is_offence());
    for message in [
        "warning: SASL: Connect to private/auth failed: No such file or directory",
        "warning: SASL: Connect to inet:127.0.0.1:12345 failed: Connection refused",
        "warning: SASL authentication failure: cannot connect to saslauthd server: No such file or directory",
    ] {
        check(
            "no client in it",
            &smtpd(message),
            Some((Kind::SaslAuthFailed, None, None, 0)),
        );
    }
    check(
        "not about the backend",
        &smtpd("warning: SASL authentication failure: Password verification failed"),
        None,
    );
}

#[test]
fn maillog_postfix_other_forms() {
    let client = Some(CLIENT);
    let bob = Some("bob@example.com");
    let cases: &[(&str, &str, Option<Want<'_>>)] = &[
        (
            "connect",
            "connect from host.example[192.0.2.1]",
            Some((Kind::Connect, client, None, 0)),
        ),
        (
            "connect with port",
            "connect from host.example[192.0.2.1]:4711",
            Some((Kind::Connect, client, None, 0)),
        ),
        (
            "disconnect, AUTH failed",
            "disconnect from unknown[192.0.2.1] ehlo=1 auth=0/3 quit=1 commands=2/5",
            Some((Kind::DisconnectAuthFail, client, None, 3)),
        ),
        (
            "disconnect, AUTH failed and succeeded",
            "disconnect from unknown[192.0.2.1] ehlo=1 auth=1/3 commands=2/4",
            Some((Kind::DisconnectAuthFail, client, None, 2)),
        ),
        (
            "disconnect, too often to count",
            "disconnect from unknown[192.0.2.1] auth=0/99999999",
            Some((Kind::DisconnectAuthFail, client, None, u16::MAX)),
        ),
        (
            "disconnect, AUTH succeeded",
            "disconnect from unknown[192.0.2.1] ehlo=2 starttls=1 auth=1 mail=1 quit=1 commands=6",
            None,
        ),
        (
            "disconnect, others failed",
            "disconnect from unknown[192.0.2.1] ehlo=1 mail=0/1 commands=1/2",
            None,
        ),
        ("disconnect, before 3.0", "disconnect from unknown[192.0.2.1]", None),
        (
            "disconnect, senseless counter",
            "disconnect from unknown[192.0.2.1] auth=3/1",
            None,
        ),
        (
            "accepted, logged in",
            "4FB2C1A0D3: client=host.example[192.0.2.1], sasl_method=PLAIN, sasl_username=bob@example.com",
            Some((Kind::AuthOk, client, bob, 0)),
        ),
        (
            "accepted, with more behind",
            "3ZxYbW0Jyrz1: client=host.example[192.0.2.1]:4711, sasl_method=LOGIN, sasl_username=bob@example.com, sasl_sender=x@example.com, orig_client=unknown[203.0.113.9]",
            Some((Kind::AuthOk, client, bob, 0)),
        ),
        (
            "accepted",
            "4FB2C1A0D3: client=host.example[192.0.2.1]",
            Some((Kind::Received, client, None, 0)),
        ),
        (
            "accepted before the queue",
            "NOQUEUE: client=host.example[192.0.2.1]",
            Some((Kind::Received, client, None, 0)),
        ),
        (
            "accepted from a filter",
            "4FB2C1A0D3: client=localhost[127.0.0.1], orig_queue_id=3ZxYbW0Jyrz1, orig_client=unknown[203.0.113.9]",
            Some((Kind::Received, Some("127.0.0.1"), None, 0)),
        ),
        (
            "lost in AUTH",
            "lost connection after AUTH from unknown[192.0.2.1]",
            Some((Kind::DdosConnect, client, None, 0)),
        ),
        (
            "timed out in AUTH",
            "timeout after AUTH from unknown[192.0.2.1]",
            Some((Kind::DdosConnect, client, None, 0)),
        ),
        (
            "lost elsewhere",
            "lost connection after DATA (12 bytes) from unknown[192.0.2.1]",
            None,
        ),
        (
            "too many errors",
            "too many errors after AUTH from unknown[192.0.2.1]",
            Some((Kind::ProtocolAbuse, client, None, 1)),
        ),
    ];
    for (name, message, want) in cases {
        check(name, &smtpd(message), *want);
    }
}

#[test]
fn maillog_postfix_any_service_and_instance() {
    let message = "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x";
    let cases = [
        ("postfix/smtpd[467]", true),
        ("postfix/submission/smtpd[467]", true),
        ("postfix/submissions/smtpd[467]", true),
        ("postfix/smtps/smtpd[467]", true),
        ("postfix-in/smtps/smtpd[467]", true),
        ("mail.out/10025/smtpd[467]", true),
        ("postfix/smtpd", true),
        ("smtpd[467]", false),
        ("postfix/smtp[467]", false),
        ("postfix/cleanup[467]", false),
        ("postfix/qmgr[467]", false),
        ("postfix/notsmtpd[467]", false),
    ];
    for (program, ours) in cases {
        let line = format!("2026-11-24T02:27:08.123456+09:00 mx1 {program}: {message}");
        assert_eq!(parse(line.as_bytes()).is_some(), ours, "{program}");
    }
    let joined = format!("Nov 24 02:27:08 mx1 postfix/smtpd[467]: message repeated 3 times: [ {message}]");
    check(
        "joined by rsyslog",
        joined.as_bytes(),
        Some((Kind::SaslAuthFailed, Some(CLIENT), None, 3)),
    );
}

#[test]
fn maillog_postfix_blames_nobody_but_the_client() {
    let failed = |user: &str| {
        format!(
            "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: (reason unavailable), sasl_username={user}"
        )
    };
    for user in [
        "[203.0.113.9]",
        "203.0.113.9",
        "x[203.0.113.9]",
        "bob@[203.0.113.9]",
        "warning: x[203.0.113.9]: SASL LOGIN authentication failed: x",
        "x, sasl_username=unknown[203.0.113.9]",
        "]: SASL LOGIN authentication failed: unknown[203.0.113.9]",
        "x?Nov 24 02:27:08 mx1 postfix/smtpd[1]: warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x",
        "x\\nNov 24 02:27:08 mx1 postfix/smtpd[1]: warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x",
        "x\rwarning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x",
        "x rip=203.0.113.9, lip=192.0.2.25",
        "客[203.0.113.9]",
        "\u{1b}[31m[203.0.113.9]",
        "x]",
    ] {
        check(
            "user",
            &smtpd(&failed(user)),
            Some((Kind::SaslAuthFailed, Some(CLIENT), Some(user), 1)),
        );
    }
    for name in [
        "203.0.113.9.example",
        "203-0-113-9.example",
        "203.0.113.9",
        "x[203.0.113.9]",
        "x[203.0.113.9]:25:",
        "x]",
        "[203.0.113.9]",
        "client=x[203.0.113.9],",
    ] {
        let message = format!("warning: {name}[192.0.2.1]: SASL LOGIN authentication failed: x");
        check(
            "PTR",
            &smtpd(&message),
            Some((Kind::SaslAuthFailed, Some(CLIENT), None, 1)),
        );
        check(
            "PTR",
            &smtpd(&format!("connect from {name}[192.0.2.1]")),
            Some((Kind::Connect, Some(CLIENT), None, 0)),
        );
    }
    let mechanism =
        "warning: unknown[192.0.2.1]: SASL x[203.0.113.9]: authentication failed: Invalid authentication mechanism";
    check(
        "mechanism",
        &smtpd(mechanism),
        Some((Kind::SaslAuthFailed, Some(CLIENT), None, 1)),
    );
    for (name, message) in [
        (
            "command",
            "warning: non-SMTP command from unknown[192.0.2.1]: warning: x[203.0.113.9]: SASL LOGIN authentication failed: x",
        ),
        (
            "pipelining",
            "improper command pipelining after CONNECT from unknown[192.0.2.1]: connect from x[203.0.113.9]",
        ),
        (
            "HELO",
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 504 5.5.2 <x>: Helo command rejected: x; helo=<: client=x[203.0.113.9]>",
        ),
        ("host name", "warning: numeric hostname: 203.0.113.9"),
        (
            "PTR that does not resolve",
            "warning: hostname x[203.0.113.9]: does not resolve to address 192.0.2.1",
        ),
        (
            "Message-ID of another program's form",
            "4FB2C1A0D3: message-id=<client=x[203.0.113.9]>",
        ),
    ] {
        let line = smtpd(message);
        let blamed = parse(&line).and_then(|event| event.address);
        assert_ne!(blamed, Some("203.0.113.9".parse().unwrap()), "{name}");
    }
}

#[test]
fn maillog_postfix_takes_any_bytes() {
    let line = b"Nov 24 02:27:08 mx1 postfix/smtpd[467]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=\xff\xfe\0bob";
    assert_eq!(parse(line).unwrap().user, Some(&b"\xff\xfe\0bob"[..]));
    // Cut anywhere, it is either nothing or about the same client.
    for end in 0..line.len() {
        let blamed = parse(&line[..end]).and_then(|event| event.address);
        assert!(
            blamed.is_none_or(|address| address == CLIENT.parse::<IpAddr>().unwrap()),
            "cut at {end}"
        );
    }
}

/// What a client can have its PTR name look like, at worst: anything without a space (`valid_hostname()` allows far less).
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[!-~]{1,40}".prop_map(String::into_bytes),
        Just(b"x[203.0.113.9]:".to_vec()),
        prop::collection::vec(
            any::<u8>().prop_filter("no space or line end", |b| ![b' ', b'\n'].contains(b)),
            1..40
        ),
    ]
}

/// Free text of a client's: everything but a line end.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>().prop_filter("no line end", |b| *b != b'\n'), 0..80),
        Just(b"x, sasl_username=unknown[203.0.113.9]: SASL LOGIN authentication failed: y".to_vec()),
        "( |warning: |connect from |client=|unknown|\\[203\\.0\\.113\\.9\\]|:|, |SASL LOGIN authentication failed|auth=0/9|\\[|\\])*"
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    /// Whatever bytes stand where a client puts them, the address is the daemon's own.
    #[test]
    fn maillog_postfix_address_is_the_daemons(name in name(), user in text(), mechanism in "[!-~]{1,20}", v6 in any::<bool>()) {
        let client = if v6 { "2001:db8::25" } else { CLIENT };
        let with = |parts: &[&[u8]]| {
            let mut line = b"Nov 24 02:27:08 mx1 postfix/smtpd[467]: ".to_vec();
            parts.iter().for_each(|part| line.extend_from_slice(part));
            line
        };
        let address = format!("[{client}]");
        let (client, address) = (client.parse::<IpAddr>().unwrap(), address.as_bytes());
        let lines = [
            with(&[b"connect from ", &name, address]),
            with(&[b"warning: ", &name, address, b": SASL ", mechanism.as_bytes(), b" authentication failed: x, sasl_username=", &user]),
            with(&[b"disconnect from ", &name, address, b" ehlo=1 auth=0/1 commands=1/2"]),
            with(&[b"4FB2C1A0D3: client=", &name, address, b", sasl_method=", mechanism.as_bytes(), b", sasl_username=", &user]),
            with(&[b"lost connection after AUTH from ", &name, address]),
            with(&[b"too many errors after AUTH from ", &name, address]),
        ];
        for line in lines {
            let event = parse(&line);
            prop_assert!(event.is_some(), "not understood: {}", String::from_utf8_lossy(&line));
            prop_assert_eq!(event.unwrap().address, Some(client), "{}", String::from_utf8_lossy(&line));
        }
    }

    /// Any bytes at all: no panic.
    #[test]
    fn maillog_postfix_survives(line in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..60) {
        parse(&line);
        let mut behind = b"Nov 24 02:27:08 mx1 postfix/smtpd[467]: warning: unknown[192.0.2.1]: SASL"[..cut].to_vec();
        behind.extend(&line);
        parse(&behind);
    }
}
