//! All grammars against their own samples, named lines, and clients that try to have somebody else blamed.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::maillog::{Kind, Reader, parse};

const CLIENT: &str = "192.0.2.1";

#[test]
fn maillog_grammar_samples_are_read_by_their_own_form() {
    let nameless = [
        "unknown_user",
        "auth_failure",
        "authentication",
        "failed_command",
        "bad_input",
        "message",
        "failed_command_5",
    ];
    for grammar in GRAMMARS {
        assert!((grammar.writes)(grammar.program.as_bytes()), "{:?}", grammar.daemon);
        for form in grammar.forms {
            let first = grammar
                .forms
                .iter()
                .find(|form_| (form_.read)(form.sample.as_bytes()).is_some())
                .map(|form| form.name);
            assert_eq!(first, Some(form.name), "{:?}", grammar.daemon);
            let line = line(grammar.program, form.sample);
            let event = parse(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(event.daemon, grammar.daemon, "{line}");
            let blind =
                matches!(grammar.daemon, Daemon::Opensmtpd | Daemon::Saslauthd) || event.kind == Kind::UnknownUser;
            let want = (!(blind && nameless.contains(&form.name))).then(|| CLIENT.parse::<IpAddr>().unwrap());
            assert_eq!(event.address, want, "{line}");
        }
    }
}

#[test]
fn maillog_grammar_named_lines() {
    use Kind::*;
    // name, program, message, (kind, address, user, weight)
    type Want = Option<(Kind, Option<&'static str>, Option<&'static str>, u16)>;
    let blamed = |kind, weight| Some((kind, Some(CLIENT), None, weight));
    let login = |kind, user, weight| Some((kind, Some(CLIENT), Some(user), weight));
    let cases: &[(&str, &str, &str, Want)] = &[
        (
            "Exim, no set_id",
            "exim",
            "login authenticator failed for (x) [192.0.2.1]: 535 Incorrect authentication data",
            blamed(SaslAuthFailed, 1),
        ),
        (
            "Exim, its database down",
            "exim",
            "login authenticator failed for (x) [192.0.2.1]: 435 Unable to authenticate at present (set_id=bob): down",
            login(SaslAuthFailed, "bob", 0),
        ),
        (
            "Exim, cancelled",
            "exim",
            "login authenticator failed for (x) [192.0.2.1]: 501 Authentication cancelled",
            blamed(SaslAuthFailed, 0),
        ),
        (
            "Exim, by syslog",
            "exim4",
            "2026-11-24 12:00:00 login authenticator failed for (x) [192.0.2.1] U=a: 535 Incorrect authentication data",
            blamed(SaslAuthFailed, 1),
        ),
        (
            "Exim, process and id",
            "exim",
            "[4711] 1akDqs-0005aQ-9b H=(x) [192.0.2.1]:4711 I=[198.51.100.25]:25 F=<> rejected after DATA: spam",
            blamed(RejectedRcpt, 1),
        ),
        (
            "Exim, IPv6",
            "exim",
            "H=[2001:db8::1]:4711 F=<a@example.com> rejected RCPT <b@example.org>: Unrouteable address",
            Some((UnknownUser, Some("2001:db8::1"), None, 1)),
        ),
        (
            "Exim, HELO is an address",
            "exim",
            "H=([198.51.100.7]) [192.0.2.1] F=<a@example.com> rejected RCPT <b@example.org>: found in dnsbl",
            blamed(Rbl, 2),
        ),
        (
            "Exim, greylisted",
            "exim",
            "H=mx [192.0.2.1] F=<a@example.com> temporarily rejected RCPT <b@example.org>: greylisted",
            blamed(RejectedRcpt, 0),
        ),
        (
            "Exim, a user of ours",
            "exim",
            "H=mx [192.0.2.1] X=TLS1.3 A=plain:bob F=<a@example.com> rejected RCPT <b@example.org>: Unrouteable address",
            blamed(UnknownUser, 0),
        ),
        (
            "Exim, recipient named relay",
            "exim",
            "H=mx [192.0.2.1] F=<a@example.com> rejected RCPT <relay not permitted@example.org>: Unknown user",
            blamed(UnknownUser, 1),
        ),
        (
            "Exim, connect ACL",
            "exim",
            "H=[192.0.2.1]:4711 rejected connection in \"connect\" ACL: listed at example.org",
            blamed(Rbl, 2),
        ),
        (
            "Exim, HELO refused",
            "exim",
            "H=mx (x y) [192.0.2.1] rejected EHLO or HELO x y: no",
            blamed(HeloReject, 2),
        ),
        (
            "Exim, HELO of no form",
            "exim",
            "rejected EHLO from mx [192.0.2.1]: syntactically invalid argument(s): x y",
            blamed(HeloReject, 2),
        ),
        (
            "Exim, before the greeting",
            "exim",
            "SMTP protocol synchronization error (input sent without waiting for greeting): rejected connection from H=[192.0.2.1]:4711 input=\"GET / HTTP/1.1\\r\\n\"",
            blamed(ProtocolAbuse, 3),
        ),
        (
            "Exim, AUTH twice in a command",
            "exim",
            "SMTP protocol error in \"aUtH\" H=(t) [198.51.100.7]\" H=(x) [192.0.2.1] AUTH command used when not advertised",
            blamed(ProtocolAbuse, 3),
        ),
        (
            "Exim, too many connections",
            "exim",
            "Connection from [192.0.2.1]:4711 refused: too many connections from that IP address",
            blamed(DdosConnect, 1),
        ),
        ("Exim, warning", "exim", "H=mx [192.0.2.1] Warning: no PTR", None),
        (
            "Exim, delivery",
            "exim",
            "1akDqs-0005aQ-9b => bob@example.com R=dnslookup T=remote_smtp H=mx [192.0.2.1]",
            None,
        ),
        (
            "Exim, received plainly",
            "exim",
            "1akDqs-0005aQ-9b <= a@example.com H=mx [192.0.2.1] P=esmtps S=1 id=\" A=plain:root",
            blamed(Received, 0),
        ),
        (
            "Exim, sender with blanks and no quotes",
            "exim",
            "1akDqs-0005aQ-9b <= a H=x [198.51.100.7] P=esmtpa A=x:root H=mx (mx) [192.0.2.1]:4711 P=esmtpsa A=plain:bob S=1",
            None,
        ),
        (
            "Exim, quoted sender",
            "exim",
            "1akDqs-0005aQ-9b <= \"a H=(x) [198.51.100.7] P=esmtpa A=x:root\"@example.com H=mx [192.0.2.1] P=esmtp S=1",
            None,
        ),
        (
            "Sendmail, IPv6",
            "sm-mta",
            "s1P819mk027713: AUTH failure (LOGIN): authentication failure (-13) x, relay=[IPv6:2001:db8::1]",
            Some((SaslAuthFailed, Some("2001:db8::1"), None, 1)),
        ),
        (
            "Sendmail, user has a relay",
            "sendmail",
            "s1P819mk027713: AUTH failure (LOGIN): authentication failure (-13) x, user=a, relay=[198.51.100.7], relay=[192.0.2.1] (may be forged)",
            login(SaslAuthFailed, "a, relay=[198.51.100.7]", 1),
        ),
        (
            "Sendmail, nobody of that name",
            "sm-mta",
            "s1P819mk027713: AUTH failure (CRAM-MD5): user not found (-20) x, user=bob, relay=[192.0.2.1]",
            login(SaslAuthFailed, "bob", 2),
        ),
        (
            "Sendmail, its database down",
            "sm-mta",
            "s1P819mk027713: AUTH failure (LOGIN): generic failure (-1) x, user=bob, relay=[192.0.2.1]",
            login(SaslAuthFailed, "bob", 0),
        ),
        (
            "Sendmail, quoted recipient",
            "sm-mta",
            "s1P819mk027713: ruleset=check_rcpt, arg1=<\"a, relay=x [198.51.100.7], reject=550 \"@example.org>, relay=mx [192.0.2.1], reject=550 5.7.1 <\"a, relay=x [198.51.100.7], reject=550 \"@example.org>... Relaying denied",
            blamed(RelayDenied, 3),
        ),
        (
            "Sendmail, comment before the recipient",
            "sm-mta",
            "s1P819mk027713: ruleset=check_rcpt, arg1=(, relay=x [198.51.100.7], reject=550 )<a@example.org>, relay=mx [192.0.2.1], reject=550 5.7.1 x... Relaying denied",
            None,
        ),
        (
            "Sendmail, greylisted",
            "sm-mta",
            "s1P819mk027713: ruleset=check_rcpt, arg1=<a@example.org>, relay=mx [192.0.2.1], reject=451 4.7.1 <a@example.org>... Please try again later",
            blamed(RejectedRcpt, 0),
        ),
        (
            "Sendmail, too fast",
            "sm-mta",
            "ruleset=check_relay, arg1=mx, arg2=192.0.2.1, relay=mx [192.0.2.1], reject=421 4.3.2 Connection rate limit exceeded.",
            blamed(DdosConnect, 1),
        ),
        (
            "Sendmail, guessing within a session",
            "sm-mta",
            "s1P819mk027713: [192.0.2.1]: possible SMTP attack: command=AUTH, count=5",
            blamed(SaslAuthFailed, 2),
        ),
        (
            "Sendmail, harvesting",
            "sm-mta",
            "s1P819mk027713: mx [192.0.2.1]: EXPN root [rejected]",
            blamed(RejectedRcpt, 1),
        ),
        (
            "Sendmail, NOQUEUE",
            "sm-mta",
            "NOQUEUE: mx [192.0.2.1] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA",
            blamed(ProtocolAbuse, 1),
        ),
        (
            "Sendmail, came to nothing",
            "sm-mta",
            "s1P819mk027713: from=<a@example.com>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=mx [192.0.2.1]",
            blamed(RejectedRcpt, 0),
        ),
        (
            "Sendmail, message id has a relay",
            "sm-mta",
            "s1P819mk027713: from=<a@example.com>, size=1, class=0, nrcpts=2, msgid=<, relay=[198.51.100.7]>, relay=mx [192.0.2.1]",
            blamed(Received, 0),
        ),
        (
            "Cyrus, PTR in brackets",
            "cyrus/imap",
            "badlogin: a[198.51.100.7] [192.0.2.1] plaintext bob SASL(-13): x",
            None,
        ),
        (
            "Cyrus, timsieved of old",
            "sieve",
            "badlogin: mx.example.com[192.0.2.1] PLAIN authentication failure",
            blamed(AuthFailed, 1),
        ),
        (
            "Cyrus, no name",
            "imaps",
            "badlogin: [192.0.2.1] plaintext bob SASL(-13): authentication failure: checkpass failed",
            login(AuthFailed, "bob", 1),
        ),
        (
            "Cyrus, nobody of that name",
            "cyrus/imaps",
            "badlogin: mx [192.0.2.1] plain [SASL(-13): user not found: user: bob@x property: y]",
            blamed(AuthFailed, 2),
        ),
        (
            "Cyrus, saslauthd down",
            "imap",
            "badlogin: mx [192.0.2.1] plaintext bob SASL(-1): generic failure: checkpass failed",
            login(AuthFailed, "bob", 0),
        ),
        (
            "Courier, no name learnt",
            "imapd",
            "LOGIN FAILED, method=PLAIN, ip=[::ffff:192.0.2.1]",
            blamed(AuthFailed, 1),
        ),
        (
            "Courier, user has an address",
            "pop3d-ssl",
            "LOGIN FAILED, user=a, ip=[198.51.100.7], ip=[192.0.2.1], port=[1]",
            login(AuthFailed, "a, ip=[198.51.100.7]", 1),
        ),
        (
            "Courier, password in base64",
            "courieresmtpd",
            "error,relay=::ffff:192.0.2.1,msg=\"535 Authentication failed.\",cmd: c2VjcmV0",
            blamed(SaslAuthFailed, 1),
        ),
        (
            "Courier, unknown recipient",
            "courieresmtpd",
            "error,relay=192.0.2.1,from=<a>: 5@example.com>,to=<b@example.org>: 550 User unknown.",
            blamed(UnknownUser, 1),
        ),
        (
            "vchkpw, nobody of that name",
            "vpopmail",
            "vchkpw-pop3: vpopmail user not found bob@:192.0.2.1",
            login(AuthFailed, "bob", 2),
        ),
        (
            "vchkpw, good",
            "vpopmail",
            "vchkpw-submission: (PLAIN) login success bob@example.com:192.0.2.1",
            login(AuthOk, "bob@example.com", 0),
        ),
        (
            "vchkpw, an IPv6 address could begin anywhere",
            "vpopmail",
            "vchkpw-smtp: password fail a:2001:db8::1",
            None,
        ),
        (
            "splogger",
            "qmail",
            "1157520813.485077 rblsmtpd: 421 badiprbl: ip 192.0.2.1 rbl: x",
            blamed(Rbl, 2),
        ),
        (
            "s/qmail, relay",
            "qmail-smtpd",
            "qmail-smtpd: pid 1 Reject::SNDR::Invalid_Relay P:SMTP S:192.0.2.1:unknown H:x F:a T:b",
            blamed(RelayDenied, 3),
        ),
        (
            "Roundcube, behind a proxy",
            "roundcube",
            "<a1> IMAP Error: Login failed for bob from 192.0.2.1(X-Real-IP: 198.51.100.7,X-Forwarded-For: 198.51.100.8). AUTHENTICATE PLAIN: x",
            login(AuthFailed, "bob", 1),
        ),
        (
            "Roundcube, IMAP server down",
            "roundcube",
            "<a1> IMAP Error: Login failed for bob against localhost from 192.0.2.1. Could not connect to localhost:143: x",
            login(AuthFailed, "bob", 0),
        ),
        (
            "Roundcube, user has an address",
            "roundcube",
            "Failed login for a from 198.51.100.7 in session x from 192.0.2.1 in session y (error: 0)",
            login(AuthFailed, "a from 198.51.100.7 in session x", 1),
        ),
        (
            "Roundcube, user and browser have one",
            "roundcube",
            "Failed login for a from 198.51.100.7 b from 192.0.2.1(X-Forwarded-For: x) in session y (error: 0)",
            None,
        ),
        (
            "Roundcube, address last",
            "roundcube",
            "IMAP Error: Login failed for a from 198.51.100.7. x from 192.0.2.1",
            login(AuthFailed, "a from 198.51.100.7. x", 1),
        ),
        (
            "Kerio, SASL",
            "kerio",
            "Failed SMTP login from 192.0.2.1 with SASL method CRAM-MD5.",
            blamed(SaslAuthFailed, 1),
        ),
        (
            "SOGo behind a private proxy",
            "sogod",
            "SOGoRootPage Login from '192.0.2.1, 10.0.0.1' for user 'bob' might not have worked - x",
            login(AuthFailed, "bob", 1),
        ),
        (
            "SOGo, first address is the client's word",
            "sogod",
            "SOGoRootPage Login from '198.51.100.7, 192.0.2.1' for user 'bob' might not have worked - x",
            login(AuthFailed, "bob", 1),
        ),
        (
            "SOGo, quotes",
            "sogod",
            "SOGoRootPage Login from '198.51.100.7' for user 'a' might not have worked, 192.0.2.1' for user 'bob' might not have worked - x",
            None,
        ),
        (
            "Horde 5",
            "HORDE",
            "[horde] FAILED LOGIN for bob to horde (192.0.2.1) [pid 4711 on line 198 of \"/horde/login.php\"]",
            login(AuthFailed, "bob", 1),
        ),
        (
            "Horde, user has an address",
            "HORDE",
            "[imp] FAILED LOGIN for a [198.51.100.7] to b [192.0.2.1] to {x}",
            None,
        ),
        (
            "Kerio, protocol",
            "kerio",
            "IMAP: Invalid password for user bob@example.org. Attempt from IP address 192.0.2.1.",
            login(AuthFailed, "bob@example.org", 1),
        ),
        (
            "Domino, no brackets",
            "domino",
            "smtp: a b 192.0.2.1 authentication failure using internet password",
            login(SaslAuthFailed, "a b", 1),
        ),
        (
            "ASSP, relay",
            "assp",
            "m1-1 [Worker_1] [RelayAttempt] 192.0.2.1 <a@example.com> relay attempt blocked for (parsing): <b@example.org>",
            blamed(RelayDenied, 3),
        ),
        (
            "perdition, good",
            "perdition.imap4s",
            "Auth: 192.0.2.1:1->198.51.100.25:993 client-secure=ssl authorisation_id=NONE authentication_id=\"bob\" server=\"x:993\" protocol=IMAP4S server-secure=ssl status=\"ok\"",
            login(AuthOk, "bob", 0),
        ),
        (
            "OpenSMTPD, on this host",
            "smtpd",
            "c1a89cb774083905 smtp connected address=local host=mx",
            None,
        ),
        (
            "OpenSMTPD, IPv6",
            "smtpd",
            "c1a89cb774083905 smtp event=connected address=[2001:db8::1] host=mx",
            Some((Connect, Some("2001:db8::1"), None, 0)),
        ),
        (
            "OpenSMTPD, greylisted",
            "smtpd",
            "c1a89cb774083905 smtp failed-command command=\"RCPT TO:<a@example.org>\" result=\"451 Try again later\"",
            Some((RejectedRcpt, None, None, 0)),
        ),
        (
            "OpenSMTPD, password",
            "smtpd",
            "c1a89cb774083905 smtp failed-command command=\"AUTH LOGIN (password)\" result=\"535 Authentication failed\"",
            Some((SaslAuthFailed, None, None, 1)),
        ),
        (
            "not a daemon of ours",
            "sshd",
            "Failed password for bob from 192.0.2.1 port 22",
            None,
        ),
    ];
    for (name, program, message, want) in cases {
        let line = line(program, message);
        let event = parse(line.as_bytes());
        let got = event.as_ref().map(|event| {
            let user = event.user.map(|user| std::str::from_utf8(user).unwrap());
            (event.kind, event.address, user, event.weight)
        });
        let want = want.map(|(kind, address, user, weight)| (kind, address.map(|a| a.parse().unwrap()), user, weight));
        assert_eq!(got, want, "{name}: {line}");
    }
}

/// Exim's reject log has a copy of the message's header below the line, and a rule of dashes.
#[test]
fn maillog_grammar_exim_reject_log() {
    let log = "2026-11-24 12:00:00 1akDqs-0005aQ-9b H=(x) [192.0.2.1] F=<a@example.com> rejected after DATA: spam\n\
               Envelope-from: <a@example.com>\n\
               Envelope-to: <b@example.org>\n\
               P Received: from [198.51.100.7]\n\
               \tby mx; 2026-11-24 12:00:00\n\
               \t2026-11-24 12:00:00 login authenticator failed for (x) [198.51.100.7]: 535 Incorrect authentication data\n\
               T To: 2026-11-24 12:00:00 login authenticator failed for (x) [198.51.100.7]: 535 x\n\
               ----------------------------------------------------------------------\n";
    let read: Vec<_> = log
        .lines()
        .filter_map(|line| parse(line.as_bytes()))
        .map(|event| event.address)
        .collect();
    assert_eq!(read, [Some(CLIENT.parse().unwrap())]);
}

#[test]
fn maillog_grammar_sessions_are_joined_to_their_client() {
    let mut reader = Reader::default();
    let mut read = |message: &str| {
        let (program, message) = message.split_once(' ').unwrap();
        let line = line(program, message);
        reader.read(line.as_bytes()).map(|event| {
            (
                event.kind,
                event.address.map(|address| address.to_string()),
                event.weight,
            )
        })
    };
    let client = || Some(CLIENT.to_owned());
    let opensmtpd = [
        (
            "smtpd c1a89cb774083905 smtp connected address=192.0.2.1 host=x",
            Kind::Connect,
            client(),
            0,
        ),
        (
            "smtpd c1a89cb774083906 smtp connected address=198.51.100.7 host=y",
            Kind::Connect,
            Some("198.51.100.7".to_owned()),
            0,
        ),
        (
            "smtpd c1a89cb774083905 smtp authentication user=bob result=permfail",
            Kind::SaslAuthFailed,
            client(),
            0,
        ),
        (
            "smtpd c1a89cb774083905 smtp failed-command command=\"AUTH LOGIN (password)\" result=\"535 Authentication failed\"",
            Kind::SaslAuthFailed,
            client(),
            1,
        ),
        (
            "smtpd c1a89cb774083907 smtp bad-input result=\"500 x\"",
            Kind::ProtocolAbuse,
            None,
            3,
        ),
        (
            "smtpd c1a89cb774083906 smtp message msgid=1 size=1 nrcpt=2 proto=ESMTP",
            Kind::Received,
            Some("198.51.100.7".to_owned()),
            0,
        ),
    ];
    let sendmail = [
        (
            "sm-mta s1P819mk027713: <a@example.org>... User unknown",
            Kind::UnknownUser,
            None,
            0,
        ),
        (
            "sm-mta s1P819mk027713: <b@example.org>... No such user here",
            Kind::UnknownUser,
            None,
            0,
        ),
        (
            "sm-mta s1P819mk027713: from=<c@example.com>, size=0, class=0, nrcpts=0, proto=SMTP, daemon=MTA, relay=[192.0.2.1]",
            Kind::UnknownUser,
            client(),
            2,
        ),
        (
            "sm-mta s1P819mk027714: from=<c@example.com>, size=0, class=0, nrcpts=0, proto=SMTP, daemon=MTA, relay=[192.0.2.1]",
            Kind::RejectedRcpt,
            client(),
            0,
        ),
    ];
    for (message, kind, address, weight) in opensmtpd.into_iter().chain(sendmail) {
        assert_eq!(read(message), Some((kind, address, weight)), "{message}");
    }
}

/// Messages with `{}` where a client's own text stands; what `{word}` stands for has no blank (a name from DNS).
const FORGEABLE: &[(&str, &[&str])] = &[
    (
        "exim",
        &[
            "H=({}) [192.0.2.1]:4711 F=<{}> rejected RCPT <{}>: relay not permitted",
            "H={word} ({}) [192.0.2.1] X=TLS F=<{}> rejected RCPT <{}>: Unknown user",
            "H={word} [192.0.2.1] sender verify fail for <{}>: Unrouteable address",
            "H=({}) [192.0.2.1] rejected EHLO or HELO {}: no",
            "plain authenticator failed for {word} ({}) [192.0.2.1]:4711: 535 Incorrect authentication data (set_id={})",
            "SMTP protocol error in \"{}\" H=({}) [192.0.2.1] AUTH command used when not advertised",
            "SMTP syntax error in \"{}\" H={word} ({}) [192.0.2.1]:4711 malformed address: {} may not follow {}",
            "SMTP call from {word} ({}) [192.0.2.1] dropped: too many nonmail commands (last was \"{}\")",
            "SMTP protocol synchronization error (next input sent too soon: pipelining was not advertised): rejected \"{}\" H=({}) [192.0.2.1] next input=\"{}\"",
            "SMTP protocol synchronization error (input sent without waiting for greeting): rejected connection from H=[192.0.2.1] input=\"{}\"",
            "no MAIL in SMTP connection from ({}) [192.0.2.1] D=0s C=EHLO,AUTH,QUIT",
            "rejected EHLO from ({}) [192.0.2.1]: syntactically invalid argument(s): {}",
            "1akDqs-0005aQ-9b <= {word} H={word} ({}) [192.0.2.1] P=esmtpsa X=TLS SNI=\"{}\" A=plain:{} S=1 id={}",
            "1akDqs-0005aQ-9b F={} H={word} ({}) [192.0.2.1] P=smtp rejected by local_scan(): no",
            "1akDqs-0005aQ-9b SA: Action: silently tossed message: score=9 (scanned in 1/1 secs | Message-Id: {}). From <{}> (host={word} [192.0.2.1]) for {}",
        ],
    ),
    (
        "sm-mta",
        &[
            "s1P819mk027713: ruleset=check_rcpt, arg1=<\"{quoted}\"@example.org>, relay={word} [192.0.2.1] (may be forged), reject=550 5.7.1 <\"{quoted}\"@example.org>... Relaying denied",
            "s1P819mk027713: ruleset=check_rcpt, arg1=({})<a@example.org>, relay=[192.0.2.1], reject=550 5.1.1 x... User unknown",
            "s1P819mk027713: ruleset=check_rcpt, arg1=<a({})@example.org>, relay=[192.0.2.1], reject=550 5.1.1 x... User unknown",
            "s1P819mk027713: ruleset=check_mail, arg1=<<{}>>, relay={word} [192.0.2.1], reject=553 5.1.8 x... Domain does not exist",
            "s1P819mk027713: AUTH failure (LOGIN): authentication failure (-13) x: {}, user={}, relay={word} [192.0.2.1]",
            "s1P819mk027713: AUTH=server, relay={word} [192.0.2.1], authid={}, mech=PLAIN, bits=0",
            "s1P819mk027713: from={}, size=1, class=0, nrcpts=1, msgid=<{}>, proto=ESMTP, daemon=MTA, relay={word} [192.0.2.1]",
            "s1P819mk027713: {word} [192.0.2.1]: VRFY {} [rejected]",
        ],
    ),
    (
        "smtpd",
        &[
            "c1a89cb774083905 smtp connected address=192.0.2.1 host={word}",
            "c1a89cb774083905 smtp failed-command command=\"{}\" result=\"550 Invalid recipient: <{}>\"",
            "c1a89cb774083905 smtp authentication user={} result=ok",
        ],
    ),
    (
        "saslauthd",
        &["do_auth         : auth failure: [user={}] [service=smtp] [realm={}] [mech=pam] [reason=PAM auth error]"],
    ),
    (
        "cyrus/imap",
        &[
            "badlogin: {word} [192.0.2.1] {word} [SASL(-13): authentication failure: {}]",
            "badlogin: {word} [192.0.2.1] plaintext {} SASL(-13): authentication failure: checkpass failed",
            "login: {word} [192.0.2.1] {} plaintext+TLS User logged in",
        ],
    ),
    (
        "imapd",
        &[
            "LOGIN FAILED, user={}, ip=[::ffff:192.0.2.1], port=[4711]",
            "LOGIN FAILED, method={}, ip=[::ffff:192.0.2.1]",
            "LOGIN, user={}, ip=[192.0.2.1], port=[4711], protocol=IMAP",
            "Login failed user={} auth={} host={word} [192.0.2.1]",
        ],
    ),
    (
        "courieresmtpd",
        &[
            "error,relay=::ffff:192.0.2.1,from=<{}>,to=<{}>: 550 User unknown.",
            "error,relay=192.0.2.1,port=4711,msg=\"535 Authentication failed.\",cmd: {}",
        ],
    ),
    (
        "vpopmail",
        &[
            "vchkpw-smtp: password fail (pass: '{}') {}:192.0.2.1",
            "vchkpw-pop3: vpopmail user not found {}@{}:192.0.2.1",
        ],
    ),
    (
        "qmail-smtpd",
        &["qmail-smtpd: pid 1 Reject::AUTH::login P:ESMTPA S:192.0.2.1:{name} H:{} F:{} T:{} ?~ '{}'"],
    ),
    (
        "roundcube",
        &[
            "<a1b2> IMAP Error: Login failed for {} from 192.0.2.1. AUTHENTICATE PLAIN: Authentication failed. in /x.php on line 1 (POST /{})",
            "<a1b2> IMAP Error: Login failed for {} against localhost from 192.0.2.1(X-Forwarded-For: {}). LOGIN: no",
            "<a1b2> Failed login for {} from 192.0.2.1(X-Real-IP: {}) in session a1b2 (error: 0)",
            "<a1b2> Successful login for {} (ID: 1) from 192.0.2.1(X-Real-IP: {}) in session a1b2",
            "FAILED login for {} from 192.0.2.1",
        ],
    ),
    (
        "perdition.imaps",
        &[
            "Auth: 192.0.2.1:4711->198.51.100.25:993 client-secure=ssl authorisation_id=NONE authentication_id=\"{}\" server=\"x:993\" protocol=IMAP4S status=\"failed: x\"",
        ],
    ),
    (
        "solid-pop3d",
        &[
            "authentication failed: no such user: {} - 192.0.2.1",
            "APOP authentication failed for user {} - 192.0.2.1",
        ],
    ),
    (
        "sogod",
        &[
            "SOGoRootPage Login from '192.0.2.1' for user '{}' might not have worked - password policy: 65535",
            "SOGoRootPage Login from '{}, 192.0.2.1' for user '{}' might not have worked - password policy: 65535",
        ],
    ),
    (
        "HORDE",
        &[
            "[error] [imp] FAILED LOGIN for {} [192.0.2.1] to {imap} [on line 1]",
            "[horde] FAILED LOGIN for {} to horde (192.0.2.1) [pid 1]",
        ],
    ),
    (
        "squirrelmail",
        &["[LOGIN_ERROR] {} ({}) from 192.0.2.1: Unknown user or password incorrect."],
    ),
    (
        "openwebmail",
        &["[4711] (192.0.2.1) {} - login error - auth_unix.pl, ret -4, User {} does not exist"],
    ),
    ("groupoffice", &["LOGIN FAILED for user: \"{}\" from IP: 192.0.2.1"]),
    (
        "kerio",
        &[
            "SMTP: User {} doesn't exist. Attempt from IP address 192.0.2.1.",
            "Attempt to deliver to unknown recipient <{}>, from <{}>, IP address 192.0.2.1",
        ],
    ),
    (
        "domino",
        &[
            "smtp: {} [192.0.2.1] authentication failure using internet password",
            "SMTP Server: Authentication failed for user {} ; connecting host 192.0.2.1",
        ],
    ),
    (
        "zimbra",
        &[
            "WARN  [qtp-1] [name={};oip=192.0.2.1;ua={};] security - cmd=Auth; account={}; protocol=soap; error=authentication failed for [{}], invalid password;",
        ],
    ),
    (
        "assp",
        &["m1-1 [Worker_1] 192.0.2.1 <{}> relay attempt blocked for (parsing): <{}>"],
    ),
];

/// Pieces of every message form, with another address in them.
const PIECES: &[&str] = &[
    "[198.51.100.7]",
    " [198.51.100.7]",
    "198.51.100.7",
    ") [198.51.100.7]",
    "(x) [198.51.100.7]:25 ",
    ") [198.51.100.7] F=<a> rejected RCPT <b>: ",
    "\" H=(x) [198.51.100.7] AUTH command used when not advertised",
    "\" H=x [198.51.100.7]",
    " H=(x) [198.51.100.7]",
    "(host=x [198.51.100.7])",
    ", relay=x [198.51.100.7]",
    ", relay=[198.51.100.7], reject=550 5.7.1 ",
    ">, relay=x [198.51.100.7], reject=550 ",
    "relay=[198.51.100.7]",
    ", ip=[198.51.100.7]",
    ", port=[1]",
    " from 198.51.100.7",
    " from 198.51.100.7. ",
    " from 198.51.100.7 in session ",
    " against x from 198.51.100.7",
    ":198.51.100.7",
    " - 198.51.100.7",
    "' for user 'x' might not have worked",
    "198.51.100.7' for user '",
    " host=x [198.51.100.7]",
    "(198.51.100.7)",
    " (x) from 198.51.100.7: ",
    "\" from IP: 198.51.100.7",
    ", IP address 198.51.100.7",
    ". Attempt from IP address 198.51.100.7.",
    "; connecting host 198.51.100.7",
    " 198.51.100.7 authentication failure using internet password",
    " status=\"failed: x\"",
    "198.51.100.7:1->",
    " rip=198.51.100.7",
    " to {x} [198.51.100.7]",
    " to horde (198.51.100.7)",
    "badlogin: x [198.51.100.7] ",
    " SASL(-13): x",
    " User logged in",
    "S:198.51.100.7:x ",
    "\"",
    "\\",
    "<",
    ">",
    "(",
    ")",
    "[",
    "]",
    "'",
    ", ",
    ": ",
    " ",
    "=",
    "...",
    "{",
    "}",
    "\u{e9}",
    "?",
    "a",
    "root",
    "x@y",
    "Nov 24 12:00:00 mx1 postfix/smtpd[1]: connect from x[198.51.100.7]",
    "2026-11-24 12:00:00 H=x [198.51.100.7] rejected ",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => "[ -~]{0,12}"];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn fill(template: &str, texts: &[String]) -> String {
    let mut out = String::new();
    let mut rest = template;
    let mut texts = texts.iter().cycle();
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').unwrap() + open;
        out.push_str(&rest[..open]);
        let text = texts.next().unwrap();
        match &rest[open + 1..close] {
            "" => out.push_str(text),
            // A name from DNS: one word that no resolver leaves empty.
            "word" => out.push_str(&format!("n{}", text.replace([' ', '(', ')', '"'], "."))),
            "name" => out.extend(text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.')),
            "quoted" => out.push_str(&text.replace('\\', "\\\\").replace('"', "\\\"")),
            other => out.push_str(&format!("{{{other}}}")),
        }
        rest = &rest[close + 1..];
    }
    out + rest
}

#[test]
fn maillog_grammar_templates_are_read_when_nobody_forges() {
    let plain: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    for (program, templates) in FORGEABLE {
        for template in *templates {
            let line = line(program, &fill(template, &plain));
            let event = parse(line.as_bytes()).unwrap_or_else(|| panic!("not read: {line}"));
            if template.contains(CLIENT) {
                assert_eq!(event.address, Some(CLIENT.parse().unwrap()), "{line}");
            }
        }
    }
}

proptest! {
    #[test]
    fn maillog_grammar_nobody_else_is_ever_blamed(texts in prop::collection::vec(text(), 4)) {
        for (program, templates) in FORGEABLE {
            for template in *templates {
                let line = line(program, &fill(template, &texts));
                if let Some(address) = parse(line.as_bytes()).and_then(|event| event.address) {
                    prop_assert_eq!(address, CLIENT.parse::<IpAddr>().unwrap(), "{}", line);
                }
            }
        }
    }

    #[test]
    fn maillog_grammar_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for grammar in GRAMMARS {
            let mut text = line(grammar.program, "").into_bytes();
            text.extend(&bytes);
            let _ = parse(&text);
            for form in grammar.forms {
                // A sample, cut off and gone on with anything.
                let cut = bytes.first().map_or(0, |&at| usize::from(at)) % form.sample.len();
                let mut text = line(grammar.program, &form.sample[..cut]).into_bytes();
                text.extend(&bytes);
                let _ = parse(&text);
            }
        }
    }
}
