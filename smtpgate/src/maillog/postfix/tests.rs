//! Postfix's forms on lines of our own, and with hostile text in everything that a client supplies.

use std::net::IpAddr;

use proptest::prelude::*;

use super::PROGRAMS;
use crate::maillog::event::{Daemon, Kind, Step};
use crate::maillog::hostile::text;
use crate::maillog::{Reader, parse, weight};

fn line(program: &str, message: &str) -> Vec<u8> {
    format!("Nov 24 02:27:08 mx1 postfix/{program}[467]: {message}").into_bytes()
}

#[test]
fn maillog_postfix_samples() {
    for program in PROGRAMS {
        for form in program.forms {
            let read: Vec<_> = program
                .forms
                .iter()
                .filter(|other| (other.read)(form.sample.as_bytes()).is_some())
                .map(|other| other.name)
                .collect();
            assert_eq!(read, [form.name], "{}: {}", program.name, form.sample);
            let event = program.read(form.sample.as_bytes()).unwrap();
            let want = form.sample.contains("192.0.2.1") && !matches!(program.name, "cleanup");
            let want = want.then(|| "192.0.2.1".parse::<IpAddr>().unwrap());
            assert_eq!(event.address, want, "{}: {}", program.name, form.sample);
        }
    }
}

#[test]
fn maillog_postfix_lines() {
    // Name, program, message, kind, weight.
    let cases: &[(&str, &str, &str, Kind, u16)] = &[
        (
            "relay, permanent",
            "smtpd",
            "NOQUEUE: reject: RCPT from host.example[192.0.2.1]: 554 5.7.1 <a@example.org>: Relay access denied; from=<> \
             to=<a@example.org> proto=ESMTP helo=<x>",
            Kind::RelayDenied,
            weight::RELAY,
        ),
        (
            "relay, under another service and instance",
            "submission/smtpd",
            "NOQUEUE: reject: RCPT from host.example[192.0.2.1]:4711: 454 4.7.1 <a@example.org>: Relay access denied; from=<>",
            Kind::RelayDenied,
            weight::RELAY,
        ),
        (
            "BDAT with a size that is none, 3.4",
            "smtpd",
            "4FB2C1A0D3: malformed BDAT command syntax from host.example[192.0.2.1]: BDAT x, from unknown[198.51.100.7]: y",
            Kind::ProtocolAbuse,
            weight::ERRORS,
        ),
        (
            "BDAT with a size that is none, 3.10",
            "smtpd",
            "warning: NOQUEUE: malformed BDAT command syntax from host.example[192.0.2.1]: BDAT x",
            Kind::ProtocolAbuse,
            weight::ERRORS,
        ),
        (
            "relay, before 2.3",
            "smtpd",
            "NOQUEUE: reject: RCPT from host.example[192.0.2.1]: 554 <a@example.org>: Relay access denied; from=<>",
            Kind::RelayDenied,
            weight::RELAY,
        ),
        (
            "DNS list of clients",
            "smtpd",
            "NOQUEUE: reject: RCPT from host.example[192.0.2.1]: 554 5.7.1 Service unavailable; Client host [192.0.2.1] \
             blocked using dnsbl.example; https://dnsbl.example/192.0.2.1; from=<> to=<a@example.com>",
            Kind::Rbl,
            weight::LISTED,
        ),
        (
            "DNS list of senders",
            "smtpd",
            "NOQUEUE: reject: RCPT from host.example[192.0.2.1]: 554 5.7.1 Service unavailable; Sender address [a@b.example] \
             blocked using dbl.example; from=<a@b.example>",
            Kind::Rbl,
            weight::LISTED,
        ),
        (
            "HELO",
            "smtpd",
            "NOQUEUE: reject: EHLO from unknown[192.0.2.1]: 504 5.5.2 <User>: Helo command rejected: need fully-qualified \
             hostname; proto=SMTP helo=<User>",
            Kind::HeloReject,
            weight::HELO,
        ),
        (
            "unknown recipient",
            "smtpd",
            "4FB2C1A0D3: reject: RCPT from unknown[192.0.2.1]: 550 5.1.1 <nobody@example.com>: Recipient address rejected: \
             User unknown in local recipient table; from=<> to=<nobody@example.com>",
            Kind::UnknownUser,
            weight::UNKNOWN_RECIPIENT,
        ),
        (
            "VRFY",
            "smtpd",
            "NOQUEUE: reject: VRFY from unknown[192.0.2.1]: 550 5.1.1 <bob>: Recipient address rejected: User unknown in \
             virtual mailbox table; to=<bob> proto=SMTP",
            Kind::UnknownUser,
            weight::UNKNOWN_RECIPIENT,
        ),
        (
            "undeliverable, as address verification has it",
            "smtpd",
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 450 4.1.1 <nobody@example.com>: Recipient address rejected: \
             undeliverable address: host mx.example[203.0.113.1] said: 550 no; from=<>",
            Kind::UnknownUser,
            weight::UNKNOWN_RECIPIENT,
        ),
        (
            "not verified yet",
            "smtpd",
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 450 4.1.1 <nobody@example.com>: Recipient address rejected: \
             unverified address: Address verification in progress; from=<>",
            Kind::RejectedRcpt,
            0,
        ),
        (
            "without the name",
            "smtpd",
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 450 4.7.1 : Helo command rejected: Host not found; from=<>",
            Kind::HeloReject,
            weight::HELO,
        ),
        (
            "no name in DNS",
            "smtpd",
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 450 4.7.25 Client host rejected: cannot find your hostname, \
             [192.0.2.1]; from=<> to=<a@example.com>",
            Kind::RejectedRcpt,
            weight::REJECTED,
        ),
        (
            "access list",
            "smtpd",
            "NOQUEUE: reject: CONNECT from unknown[192.0.2.1]: 554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access \
             denied; proto=SMTP",
            Kind::RejectedRcpt,
            weight::REJECTED,
        ),
        (
            "sender's domain",
            "smtpd",
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 550 5.1.8 <a@nowhere.example>: Sender address rejected: Domain not \
             found; from=<a@nowhere.example>",
            Kind::RejectedRcpt,
            weight::REJECTED,
        ),
        (
            "a user of ours under another name",
            "submission/smtpd",
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 553 5.7.1 <a@example.com>: Sender address rejected: not owned by \
             user bob; from=<a@example.com>",
            Kind::RejectedRcpt,
            0,
        ),
        (
            "greylisted by a policy server",
            "smtpd",
            "NOQUEUE: reject: RCPT from host.example[192.0.2.1]: 450 4.7.1 <a@example.com>: Recipient address rejected: \
             Greylisted for 5 minutes; from=<>",
            Kind::RejectedRcpt,
            0,
        ),
        (
            "greylisted by a milter",
            "smtpd",
            "NOQUEUE: milter-reject: RCPT from host.example[192.0.2.1]: 451 4.7.1 Greylisting in action; from=<>",
            Kind::RejectedRcpt,
            0,
        ),
        (
            "refused by a milter",
            "smtpd",
            "NOQUEUE: milter-reject: RCPT from host.example[192.0.2.1]: 550 5.7.1 SPF fail; from=<>",
            Kind::RejectedRcpt,
            weight::CONTENT,
        ),
        (
            "mailbox full",
            "smtpd",
            "NOQUEUE: reject: RCPT from host.example[192.0.2.1]: 552 5.2.2 <a@example.com>: Recipient address rejected: \
             Mailbox full; from=<>",
            Kind::RejectedRcpt,
            0,
        ),
        (
            "our own trouble",
            "smtpd",
            "NOQUEUE: reject: RCPT from host.example[192.0.2.1]: 451 4.3.0 <a@example.com>: Temporary lookup failure; from=<>",
            Kind::RejectedRcpt,
            0,
        ),
        (
            "only a warning",
            "smtpd",
            "NOQUEUE: reject_warning: RCPT from host.example[192.0.2.1]: 554 5.7.1 Service unavailable; Client host \
             [192.0.2.1] blocked using dnsbl.example; from=<>",
            Kind::Rbl,
            0,
        ),
        (
            "no client certificate",
            "smtpd",
            "NOQUEUE: abort: TLS from host.example[192.0.2.1]: No client certificate presented; proto=SMTP",
            Kind::RejectedRcpt,
            weight::REJECTED,
        ),
        (
            "smuggling",
            "smtpd",
            "4FB2C1A0D3: reject: END-OF-MESSAGE from host.example[192.0.2.1]: bare <LF> received; from=<> to=<a@example.com>",
            Kind::ProtocolAbuse,
            weight::ABUSE,
        ),
        (
            "pipelining, as a restriction",
            "smtpd",
            "NOQUEUE: reject: DATA from host.example[192.0.2.1]: 503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP \
             command pipelining; from=<>",
            Kind::ProtocolAbuse,
            weight::ABUSE,
        ),
        (
            "HTTP",
            "smtpd",
            "warning: non-SMTP command from unknown[192.0.2.1]: POST / HTTP/1.1",
            Kind::ProtocolAbuse,
            weight::ABUSE,
        ),
        (
            "junk commands",
            "smtpd",
            "disconnect from unknown[192.0.2.1] unknown=0/4 commands=0/4",
            Kind::ProtocolAbuse,
            weight::ERRORS,
        ),
        (
            "too many errors",
            "smtpd",
            "too many errors after RCPT from unknown[192.0.2.1]",
            Kind::ProtocolAbuse,
            weight::ERRORS,
        ),
        (
            "lost in the middle",
            "smtpd",
            "lost connection after DATA (1234 bytes) from host.example[192.0.2.1]",
            Kind::DdosConnect,
            0,
        ),
        (
            "lost, as 3.10 has it",
            "smtpd",
            "NOQUEUE: lost connection after EHLO from host.example[192.0.2.1]",
            Kind::DdosConnect,
            weight::NOTHING,
        ),
        (
            "AUTH rate",
            "submission/smtpd",
            "warning: AUTH command rate limit exceeded: 21 from unknown[192.0.2.1] for service submission",
            Kind::DdosConnect,
            weight::LIMIT,
        ),
        (
            "SCRAM",
            "submission/smtpd",
            "warning: unknown[192.0.2.1]: SASL SCRAM-SHA-256 authentication failed: (reason unavailable), sasl_username=bob",
            Kind::SaslAuthFailed,
            weight::PASSWORD,
        ),
        (
            "OAUTHBEARER, with what the server sent as reason",
            "submission/smtpd",
            "warning: unknown[192.0.2.1]: SASL OAUTHBEARER authentication failed: eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=",
            Kind::SaslAuthFailed,
            weight::PASSWORD,
        ),
        (
            "Cyrus",
            "submission/smtpd",
            "warning: unknown[192.0.2.1]: SASL CRAM-MD5 authentication failed: authentication failure, sasl_username=bob",
            Kind::SaslAuthFailed,
            weight::PASSWORD,
        ),
        (
            "a mechanism that is not offered",
            "submission/smtpd",
            "warning: unknown[192.0.2.1]: SASL CRAM-MD5 authentication failed: Invalid authentication mechanism",
            Kind::SaslAuthFailed,
            0,
        ),
        (
            "a backend that is down",
            "submission/smtpd",
            "warning: unknown[192.0.2.1]: SASL PLAIN authentication failed: generic failure",
            Kind::SaslAuthFailed,
            0,
        ),
        (
            "postscreen, too many connections",
            "postscreen",
            "NOQUEUE: reject: CONNECT from [192.0.2.1]:50001: too many connections",
            Kind::DdosConnect,
            weight::LIMIT,
        ),
        (
            "postscreen, busy itself",
            "postscreen",
            "NOQUEUE: reject: CONNECT from [192.0.2.1]:50001: all server ports busy",
            Kind::DdosConnect,
            0,
        ),
        (
            "postscreen, after its tests of the protocol",
            "postscreen",
            "NOQUEUE: reject: RCPT from [192.0.2.1]:50001: 450 4.3.2 Service currently unavailable; from=<>, to=<a@example.com>",
            Kind::RejectedRcpt,
            0,
        ),
        (
            "postscreen, IPv4-mapped",
            "postscreen",
            "BARE NEWLINE from [::ffff:192.0.2.1]:50001 after EHLO",
            Kind::ProtocolAbuse,
            weight::ABUSE,
        ),
        (
            "postscreen, old word",
            "postscreen",
            "BLACKLISTED [192.0.2.1]:50001",
            Kind::RejectedRcpt,
            weight::DENYLISTED,
        ),
        (
            "postscreen, slow",
            "postscreen",
            "COMMAND TIME LIMIT from [192.0.2.1]:50001 after RCPT",
            Kind::DdosConnect,
            weight::NOTHING,
        ),
        (
            "postscreen, allowed",
            "postscreen",
            "PASS OLD [192.0.2.1]:50001",
            Kind::Connect,
            0,
        ),
        (
            "anvil, IPv4-mapped",
            "anvil",
            "statistics: max message rate 7/60s for ([2001:db8::25]:smtp:::ffff:192.0.2.1) at Nov 24 02:27:08",
            Kind::DdosConnect,
            0,
        ),
    ];
    for (name, program, message, kind, weight) in cases {
        let line = line(program, message);
        let event = parse(&line).unwrap_or_else(|| panic!("{name}: not understood"));
        assert_eq!(
            (event.daemon, event.kind, event.weight),
            (Daemon::Postfix, *kind, *weight),
            "{name}"
        );
        assert_eq!(event.address, Some("192.0.2.1".parse().unwrap()), "{name}");
    }
}

#[test]
fn maillog_postfix_says_nothing_of() {
    let cases = [
        (
            "smtpd",
            "Anonymous TLS connection established from unknown[192.0.2.1]: TLSv1.3",
        ),
        ("smtpd", "disconnect from unknown[192.0.2.1] ehlo=1 quit=1 commands=2"),
        (
            "smtpd",
            "disconnect from unknown[192.0.2.1] ehlo=1 unknown=0/1 commands=1/2",
        ),
        ("smtpd", "warning: numeric hostname: 198.51.100.7"),
        (
            "smtpd",
            "warning: hostname host.example does not resolve to address 198.51.100.7",
        ),
        ("smtpd", "connect from unknown[unknown]"),
        ("cleanup", "4FB2C1A0D3: message-id=<unknown[198.51.100.7]@example.com>"),
        (
            "cleanup",
            "4FB2C1A0D3: warning: header Subject: x from unknown[198.51.100.7]; from=<> to=<>",
        ),
        (
            "smtp",
            "4FB2C1A0D3: to=<a@example.org>, relay=mx.example[198.51.100.7]:25, delay=1, dsn=5.0.0, status=bounced (x)",
        ),
        ("postscreen", "DISCONNECT [198.51.100.7]:50001"),
        ("qmgr", "4FB2C1A0D3: removed"),
    ];
    for (program, message) in cases {
        assert_eq!(parse(&line(program, message)), None, "{message}");
    }
    assert_eq!(
        parse(b"Nov 24 02:27:08 mx1 smtpd[467]: connect from unknown[192.0.2.1]"),
        None
    );
}

#[test]
fn maillog_postfix_session_steps() {
    let cases = [
        ("connect from unknown[192.0.2.1]", Some(Step::Open)),
        (
            "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x",
            Some(Step::Answered),
        ),
        (
            "lost connection after AUTH from unknown[192.0.2.1]",
            Some(Step::Answered),
        ),
        ("lost connection after EHLO from unknown[192.0.2.1]", None),
        (
            "warning: AUTH command rate limit exceeded: 9 from unknown[192.0.2.1] for service smtp",
            Some(Step::Answered),
        ),
        (
            "disconnect from unknown[192.0.2.1] auth=0/2 commands=0/2",
            Some(Step::Close),
        ),
        (
            "warning: SASL: Connect to private/auth failed: Connection refused",
            Some(Step::BackendDown),
        ),
    ];
    for (message, step) in cases {
        let line = line("smtpd", message);
        assert_eq!(
            parse(&line).unwrap().session.map(|session| session.step),
            step,
            "{message}"
        );
    }
}

#[test]
fn maillog_postfix_joins_a_message_to_its_client() {
    let mut reader = Reader::default();
    let mut read = |program: &str, message: &str| {
        let line = line(program, message);
        reader.read(&line).map(|event| {
            let text = |text: Option<&[u8]>| text.map(|text| String::from_utf8_lossy(text).into_owned());
            (
                event.kind,
                event.address.map(|address| address.to_string()),
                text(event.user),
                text(event.sender),
                event.recipients,
            )
        })
    };
    let client = Some("192.0.2.1".to_owned());
    let bob = Some("bob".to_owned());
    let sender = Some("bob@example.com".to_owned());
    let login = "A1: client=unknown[192.0.2.1], sasl_method=PLAIN, sasl_username=bob";
    let active = "A1: from=<bob@example.com>, size=9, nrcpt=2 (queue active)";
    let sent = "A1: to=<a@example.org>, relay=local, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (ok)";
    assert_eq!(
        read("submission/smtpd", login),
        Some((Kind::AuthOk, client.clone(), bob.clone(), None, 0))
    );
    assert_eq!(
        read("qmgr", active),
        Some((Kind::Received, client.clone(), bob.clone(), sender.clone(), 2))
    );
    for _ in 0..2 {
        assert_eq!(
            read("local", sent),
            Some((Kind::Delivered, client.clone(), bob.clone(), sender.clone(), 0))
        );
    }
    // Tried again later: no new recipients.
    assert_eq!(
        read("qmgr", active),
        Some((Kind::Received, client.clone(), bob.clone(), sender.clone(), 0))
    );
    // Another message.
    assert_eq!(
        read("lmtp", "A2: to=<a@example.org>, relay=x, dsn=2.0.0, status=sent (ok)"),
        Some((Kind::Delivered, None, None, None, 0))
    );
    // The same id, from this host.
    assert_eq!(
        read("pickup", "A1: uid=0 from=<root>"),
        Some((Kind::Received, None, None, None, 0))
    );
    assert_eq!(read("local", sent), Some((Kind::Delivered, None, None, None, 0)));
}

#[test]
fn maillog_postfix_content_reject_is_the_clients() {
    let cases = [
        "A1: reject: header Subject: x from unknown[198.51.100.7]; from=<> from unknown[192.0.2.1]; from=<a@example.com> \
         to=<b@example.com> proto=SMTP helo=<x>: 5.7.1 no thanks",
        "A1: milter-reject: END-OF-MESSAGE from unknown[192.0.2.1]: 5.7.1 Spam; from=<a@example.com>",
    ];
    for message in cases {
        let mut reader = Reader::default();
        let refusal = line("cleanup", message);
        assert_eq!(reader.read(&refusal).unwrap().address, None, "{message}");
        reader.read(&line("smtpd", "A1: client=unknown[192.0.2.1]")).unwrap();
        let event = reader.read(&refusal).unwrap();
        assert_eq!(event.address, Some("192.0.2.1".parse().unwrap()), "{message}");
        assert_eq!(
            (event.kind, event.weight),
            (Kind::RejectedRcpt, weight::CONTENT),
            "{message}"
        );
    }
}

#[test]
fn maillog_postfix_reader_memory_is_bounded() {
    let mut reader = Reader::default();
    let first = line("smtpd", "FIRST: client=unknown[192.0.2.1]");
    reader.read(&first).unwrap();
    for number in 0..200_000 {
        reader
            .read(&line("smtpd", &format!("{number:X}: client=unknown[192.0.2.2]")))
            .unwrap();
    }
    assert!(reader.len() <= 2 * 65_536, "{} messages", reader.len());
    let sent = line(
        "local",
        "FIRST: to=<a@example.com>, relay=local, dsn=2.0.0, status=sent (ok)",
    );
    assert_eq!(reader.read(&sent).unwrap().address, None);
    let sent = line(
        "local",
        "30D3F: to=<a@example.com>, relay=local, dsn=2.0.0, status=sent (ok)",
    );
    assert_eq!(reader.read(&sent).unwrap().address, Some("192.0.2.2".parse().unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    /// Whatever stands in the fields that a client supplies, the address is Postfix's own.
    #[test]
    fn maillog_postfix_address_is_its_own(
        name in "[a-zA-Z0-9._\\[\\]:,-]{1,40}",
        word in "[!-~]{1,20}",
        (a, b, c) in (text(), text(), text()),
        form in 0..18_usize,
    ) {
        let client = format!("{name}[192.0.2.1]");
        let peer = "[192.0.2.1]:50001";
        let (program, message) = match form {
            0 => ("smtpd", format!("connect from {client}")),
            1 => ("smtpd", format!("warning: {client}: SASL {word} authentication failed: reason, sasl_username={a}")),
            2 => ("smtpd", format!("4F1: client={client}, sasl_method={word}, sasl_username={a}, sasl_sender={b}")),
            3 => ("smtpd", format!("NOQUEUE: reject: RCPT from {client}: 554 5.7.1 <{a}>: Relay access denied; from=<{b}> to=<{a}> proto=SMTP helo=<{c}>")),
            4 => ("smtpd", format!("4F1: reject: RCPT from {client}: 450 4.7.1 <{a}>: Helo command rejected: Host not found; from=<{b}> to=<{c}> proto=SMTP helo=<{a}>")),
            5 => ("smtpd", format!("improper command pipelining after EHLO from {client}: {a}")),
            6 => ("smtpd", format!("warning: non-SMTP command from {client}: {a}")),
            7 => ("smtpd", format!("warning: Illegal address syntax from {client} in MAIL command: {a}")),
            8 => ("smtpd", format!("warning: {client}: request longer than 2048: {a}")),
            9 => ("smtpd", format!("disconnect from {client} ehlo=1 auth=0/2 commands=1/3")),
            10 => ("smtpd", format!("NOQUEUE: milter-reject: RCPT from {client}: 550 5.7.1 {a}; from=<{b}> to=<{c}>")),
            11 => ("postscreen", format!("PREGREET 14 after 0.08 from {peer}: {a}")),
            12 => ("postscreen", format!("COMMAND PIPELINING from {peer} after EHLO: {a}")),
            13 => ("postscreen", format!("NOQUEUE: reject: RCPT from {peer}: 550 5.7.1 Service unavailable; client [192.0.2.1] blocked using d.example; from=<{a}>, to=<{b}>, proto=SMTP, helo=<{c}>")),
            14 => ("cleanup", format!("4F1: reject: header Subject: {a} from {client}; from=<{b}> to=<{c}>: 5.7.1 no")),
            15 => ("cleanup", format!("4F1: message-id={a}")),
            16 => ("qmgr", format!("4F1: from=<{a}>, size=9, nrcpt=1 (queue active)")),
            _ => ("smtp", format!("4F1: to=<{a}>, relay=mx.example[203.0.113.1]:25, delay=1, dsn=2.0.0, status=sent (250 {b})")),
        };
        let mut reader = Reader::default();
        let begun = line("smtpd", "4F1: client=host.example[192.0.2.1]");
        prop_assert!(reader.read(&begun).is_some());
        let line = line(program, &message);
        let own: IpAddr = "192.0.2.1".parse().unwrap();
        if form < 14 {
            prop_assert_eq!(parse(&line).map(|event| event.address), Some(Some(own)), "{}", message);
        } else {
            prop_assert_eq!(parse(&line).and_then(|event| event.address), None, "{}", message);
        }
        if let Some(address) = reader.read(&line).and_then(|event| event.address) {
            prop_assert_eq!(address, own, "{}", message);
        }
    }
}
