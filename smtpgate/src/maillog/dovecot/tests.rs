//! Dovecot's forms on lines of our own, and with hostile text in everything that a client supplies.

use std::net::IpAddr;

use proptest::prelude::*;

use super::{AUTH, LOGIN};
use crate::maillog::event::{Daemon, Kind, Step};
use crate::maillog::hostile::text;
use crate::maillog::{parse, weight};

#[test]
fn maillog_dovecot_samples() {
    for forms in [LOGIN, AUTH] {
        for form in forms {
            let read =
                super::find(forms, form.sample.as_bytes()).unwrap_or_else(|| panic!("{} is not read", form.sample));
            assert_eq!(read.address, Some("192.0.2.1".parse().unwrap()), "{}", form.sample);
            assert!(
                (form.read)(form.sample.as_bytes()).is_some(),
                "{} by its own form",
                form.name
            );
        }
    }
}

#[test]
fn maillog_dovecot_lines() {
    // Name, line behind the time, kind, weight, user.
    type Case<'a> = (&'a str, &'a str, Kind, u16, Option<&'a str>);
    let cases: &[Case<'_>] = &[
        (
            "syslog",
            "mx1 dovecot: imap-login: Disconnected (auth failed, 2 attempts in 9 secs): user=<bob>, method=PLAIN, \
             rip=192.0.2.1, lip=192.0.2.25, TLS, session=<x>",
            Kind::AuthFailed,
            2,
            Some("bob"),
        ),
        (
            "syslog with process",
            "mx1 dovecot[442]: pop3-login: Aborted login (auth failed, 1 attempts): user=<bob>, method=PLAIN, rip=192.0.2.1, \
             lip=192.0.2.25",
            Kind::AuthFailed,
            1,
            Some("bob"),
        ),
        (
            "another instance",
            "mx1 dovecot-in: submission-login: Client has quit the connection (auth failed, 1 attempts in 2 secs): \
             user=<bob>, method=LOGIN, rip=192.0.2.1, lip=192.0.2.25",
            Kind::AuthFailed,
            1,
            Some("bob"),
        ),
        (
            "own file",
            "managesieve-login: Info: Disconnected: Inactivity (auth failed, 1 attempts in 178 secs): user=<bob>, \
             method=PLAIN, rip=192.0.2.1, lip=192.0.2.25",
            Kind::AuthFailed,
            1,
            Some("bob"),
        ),
        (
            "2.4",
            "mx1 dovecot: imap-login: Login aborted: Connection closed (auth failed, 3 attempts in 16 secs) (auth_failed): \
             user=<bob>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.25, TLS, session=<x>",
            Kind::AuthFailed,
            3,
            Some("bob"),
        ),
        (
            "no user, no method, no TLS",
            "mx1 dovecot: imap-login: Disconnected: Connection closed: read(size=1003) failed: Connection reset by peer \
             (auth failed, 1 attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.25",
            Kind::AuthFailed,
            1,
            None,
        ),
        (
            "behind a proxy",
            "mx1 dovecot: imap-login: Disconnected (proxy dest auth failed): user=<bob>, method=PLAIN, rip=192.0.2.1, \
             lip=192.0.2.25",
            Kind::AuthFailed,
            1,
            Some("bob"),
        ),
        (
            "without TLS",
            "mx1 dovecot: imap-login: Aborted login (tried to use disallowed plaintext auth): user=<>, rip=192.0.2.1, \
             lip=192.0.2.25",
            Kind::AuthFailed,
            weight::NOT_OFFERED,
            None,
        ),
        (
            "our own trouble",
            "mx1 dovecot: imap-login: Login aborted: Connection closed (auth service reported temporary failure, 2 attempts in \
             3 secs) (temp_fail): user=<bob>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.25",
            Kind::DdosConnect,
            0,
            Some("bob"),
        ),
        (
            "not TLS",
            "mx1 dovecot: imap-login: Disconnected: Connection closed: SSL_accept() failed: error:1408F10B:SSL \
             routines:ssl3_get_record:wrong version number (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, \
             lip=192.0.2.25, TLS handshaking: SSL_accept() failed: error:1408F10B:wrong version number",
            Kind::DdosConnect,
            weight::NOTHING,
            None,
        ),
        (
            "does not trust our certificate",
            "mx1 dovecot: imap-login: Disconnected: Connection closed: SSL_accept() failed: error:14094415:SSL \
             routines:ssl3_read_bytes:sslv3 alert certificate expired: SSL alert number 45 (no auth attempts in 0 secs): \
             user=<>, rip=192.0.2.1, lip=192.0.2.25, TLS handshaking",
            Kind::DdosConnect,
            0,
            None,
        ),
        (
            "garbage",
            "mx1 dovecot: imap-login: Disconnected: Too many invalid commands (no auth attempts in 1 secs): user=<>, \
             rip=192.0.2.1, lip=192.0.2.25",
            Kind::ProtocolAbuse,
            weight::ERRORS,
            None,
        ),
        (
            "login",
            "mx1 dovecot: pop3-login: Login: user=<bob@example.com>, method=SCRAM-SHA-256, rip=192.0.2.1, lip=192.0.2.25, \
             mpid=17, TLS, session=<x>",
            Kind::AuthOk,
            0,
            Some("bob@example.com"),
        ),
        (
            "rip before user, as an administrator has it",
            "mx1 dovecot: imap-login: Disconnected (auth failed, 1 attempts): rip=192.0.2.1 user=<x, rip=198.51.100.7, lip=>",
            Kind::AuthFailed,
            1,
            None,
        ),
        (
            "passwd-file",
            "mx1 dovecot: auth: passwd-file(bob,192.0.2.1): Password mismatch",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "sql, IPv4-mapped, in a worker",
            "mx1 dovecot: auth-worker(31326): sql(bob,::ffff:192.0.2.1,<n4JLdHNVngZGpV2j>): unknown user",
            Kind::AuthFailed,
            weight::UNKNOWN_LOGIN,
            Some("bob"),
        ),
        (
            "ldap, password's hash logged",
            "mx1 dovecot: auth: ldap(bob,192.0.2.1,<x>): unknown user (SHA1 of given password: f638ff)",
            Kind::AuthFailed,
            weight::UNKNOWN_LOGIN,
            Some("bob"),
        ),
        (
            "another backend is asked next",
            "mx1 dovecot: auth: sql(bob,192.0.2.1): unknown user (given password: hunter2) - trying the next passdb",
            Kind::AuthFailed,
            0,
            Some("bob"),
        ),
        (
            "pam",
            "mx1 dovecot: auth-worker(7): pam(bob,192.0.2.1): pam_authenticate() failed: Authentication failure (Password \
             mismatch?) (given password: hunter2)",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "worker of 2.3",
            "auth-worker(80180): Info: conn unix:auth-worker (pid=7,uid=143): auth-worker<8>: sql(bob,192.0.2.1): Password mismatch",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "master user",
            "mx1 dovecot: auth: passwd-file(bob,192.0.2.1,master,<x>): unknown user",
            Kind::AuthFailed,
            weight::UNKNOWN_LOGIN,
            Some("bob"),
        ),
        (
            "2.4 through syslog",
            "mx1 dovecot: auth(bob,192.0.2.1,sasl:plain)<x>: passwd-file: Password mismatch",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "2.4 worker",
            "mx1 dovecot: auth-worker(bob,192.0.2.1,sasl:login)<77><x>: request [3]: sql: unknown user",
            Kind::AuthFailed,
            weight::UNKNOWN_LOGIN,
            Some("bob"),
        ),
        (
            "2.4 own file",
            "auth(bob,192.0.2.1,sasl:plain,master)<x>: Info: passwd-file: Password mismatch",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "2.4 worker, own file",
            "auth-worker(bob,192.0.2.1)<220><x>: request [1]: Info: pam: pam_authenticate() failed: Authentication failure \
             (Password mismatch?)",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "2.4, logged in",
            "imap-login: Info: Logged in: user=<bob>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.25, mpid=227, session=<x>",
            Kind::AuthOk,
            0,
            Some("bob"),
        ),
        (
            "2.4, mechanism that is not there",
            "imap-login: Info: Login aborted: Logged out (tried to use unsupported auth mechanism, 1 attempts in 0 secs) \
             (invalid_mech): user=<>, method=FOO, rip=192.0.2.1, lip=192.0.2.25, session=<x>",
            Kind::AuthFailed,
            weight::NOT_OFFERED,
            None,
        ),
        (
            "no name that may be one",
            "mx1 dovecot: auth: plain(?,192.0.2.1): Username character disallowed by auth_username_chars: 0x5b (username: [x])",
            Kind::AuthFailed,
            weight::UNKNOWN_LOGIN,
            None,
        ),
        (
            "1.x, by logwatch",
            "mx1 dovecot[7]: dovecot: auth(default): pam(bob,192.0.2.1): pam_authenticate() failed: User not known to the \
             underlying authentication module: 2 Time(s)",
            Kind::AuthFailed,
            weight::UNKNOWN_LOGIN,
            Some("bob"),
        ),
        (
            "1.x, own file",
            "auth-worker(default): Info: pam(bob,192.0.2.1): pam_authenticate() failed: Authentication failure (password \
             mismatch?)",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "LDAP bind",
            "mx1 dovecot: auth: ldap(bob,192.0.2.1,<x>): Password mismatch (for LDAP bind) (SHA1 of given password: f638ff)",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "policy server",
            "mx1 dovecot: auth: policy(bob,192.0.2.1,<x>): Authentication failure due to policy server refusal",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "policy server, with its message",
            "mx1 dovecot: auth(bob,192.0.2.1,sasl:plain)<x>: policy: Authentication failure due to policy server refusal: go away",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "PAM itself",
            "mx1 auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=bob \
             rhost=192.0.2.1",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
        (
            "PAM with a known user",
            "mx1 dovecot-auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=bob \
             rhost=192.0.2.1  user=bob",
            Kind::AuthFailed,
            weight::PASSWORD,
            Some("bob"),
        ),
    ];
    for (name, rest, kind, weight, user) in cases {
        let stamps = ["Nov 24 02:27:08", "@400000004c91b044077a9e94", "2026-11-24 02:27:08"];
        // With a host it is a syslog daemon's line, which has no other stamp than the first.
        let possible = if rest.starts_with("mx1") { 1 } else { stamps.len() };
        for stamp in &stamps[..possible] {
            let line = format!("{stamp} {rest}");
            let event = parse(line.as_bytes()).unwrap_or_else(|| panic!("{name}: not understood"));
            assert_eq!(
                (event.daemon, event.kind, event.weight),
                (Daemon::Dovecot, *kind, *weight),
                "{name}"
            );
            assert_eq!(event.address, Some("192.0.2.1".parse().unwrap()), "{name}");
            assert_eq!(event.user, user.map(str::as_bytes), "{name}");
        }
    }
}

#[test]
fn maillog_dovecot_says_nothing_of() {
    for rest in [
        "dovecot: auth: Error: auth client 0 disconnected with 1 pending requests: EOF",
        "dovecot: auth: Debug: client in: AUTH 1 PLAIN service=imap rip=198.51.100.7",
        "dovecot: imap(bob)<7><x>: Disconnected: Logged out in=1 out=2",
        "dovecot: lmtp(bob)<7><x>: msgid=<x>: saved mail to INBOX",
        "dovecot: master: Warning: Killed with signal 15",
        "dovecot: auth: passwd-file(bob): unknown user",
        "dovecot: auth: pam_unix(sshd:auth): authentication failure; ruser= rhost=198.51.100.7",
    ] {
        let line = format!("Nov 24 02:27:08 mx1 {rest}");
        assert_eq!(parse(line.as_bytes()), None, "{rest}");
    }
}

#[test]
fn maillog_dovecot_blames_nobody_in_doubt() {
    for rest in [
        // USER is `x,198.51.100.7): Password mismatch (given password: `, or the password is what looks like a tag.
        "auth: sql(x,198.51.100.7): Password mismatch (given password: ,192.0.2.1): Password mismatch (given password: y)",
        "auth: pam_unix(dovecot:auth): authentication failure; tty=dovecot ruser=x rhost=198.51.100.7 rhost=192.0.2.1",
        "auth: pam_unix(dovecot:auth): authentication failure; tty=dovecot ruser=,198.51.100.7): unknown user rhost=",
        "lmtp(x,198.51.100.7): Password mismatch",
    ] {
        let line = format!("Nov 24 02:27:08 mx1 dovecot: {rest}");
        let event = parse(line.as_bytes());
        assert_eq!(event.and_then(|event| event.address), None, "{rest}");
    }
    // In Dovecot's own log file, where USER is what looks like a request's tag and text.
    for (user, rest) in [
        (
            ",198.51.100.7,<s>): passwd-file: Empty username",
            "passwd-file: unknown user",
        ),
        (
            ",198.51.100.7,<s>): passwd-file: unknown user",
            "passwd-file: unknown user",
        ),
        (
            ",198.51.100.7)<s>: Info: passwd-file: unknown user",
            "passwd-file: Password mismatch",
        ),
        // Without the level that Dovecot writes there; its own text ends as the forged one has to.
        (
            "?,198.51.100.7): passwd-file: Password mismatch (given password:",
            "passwd-file: pam_authenticate() failed: Authentication failure (Password mismatch?)",
        ),
        (
            ",198.51.100.7,sasl:plain)<s>: Info: sql: Password mismatch (",
            "sql: Password mismatch (given password: x)",
        ),
    ] {
        let line = format!("Nov 24 02:27:08 auth({user},192.0.2.1,sasl:plain)<x>: Info: {rest}");
        let own: IpAddr = "192.0.2.1".parse().unwrap();
        let found = parse(line.as_bytes()).and_then(|event| event.address);
        assert!(found.is_none_or(|address| address == own), "{found:?} of {line}");
    }
    // But not where all is clear.
    let line = b"Nov 24 02:27:08 mx1 dovecot: auth: sql(x,198.51.100.7): unknown user,192.0.2.1): unknown user";
    assert_eq!(parse(line).unwrap().address, Some("192.0.2.1".parse().unwrap()));
}

#[test]
fn maillog_dovecot_witnesses() {
    let step = |rest: &str| {
        let line = format!("Nov 24 02:27:08 mx1 dovecot: {rest}");
        parse(line.as_bytes()).unwrap().session.unwrap().step
    };
    let login = step("imap-login: Disconnected (auth failed, 1 attempts): user=<a>, rip=192.0.2.1, lip=192.0.2.25");
    assert_eq!(login, Step::Login);
    let sql = step("auth: sql(a,192.0.2.1): unknown user");
    assert!(matches!(sql, Step::Backend(_)));
    assert_eq!(step("auth(a,192.0.2.1,sasl:plain)<x>: sql: unknown user"), sql);
    assert_ne!(step("auth: passwd-file(a,192.0.2.1): unknown user"), sql);
}

/// As `str_sanitize()` has it.
fn cut(text: &str, length: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let end = (0..=length.min(clean.len()))
        .rev()
        .find(|&end| clean.is_char_boundary(end))
        .unwrap();
    let dots = if end < clean.len() { "..." } else { "" };
    format!("{}{dots}", &clean[..end])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(6_000)))]

    /// Whatever stands in the fields that a client supplies, the address is Dovecot's own, or there is none.
    #[test]
    fn maillog_dovecot_address_is_its_own(
        (a, b) in (text(), text()),
        form in 0..18_usize,
        session in prop_oneof![Just(""), Just(",<n4JLdHNVngZGpV2j>")],
        verdict in proptest::sample::select(&[
            "unknown user",
            "Password mismatch",
            "pam_authenticate() failed: Authentication failure (Password mismatch?)",
            "a message that nobody knows (with this)",
            "oauth2 failed: expired",
        ][..]),
    ) {
        let user = cut(&a, 64);
        let known = cut(&a, 80);
        let method = cut(&b, 64);
        let message = match form {
            0 => format!("auth: passwd-file({user},192.0.2.1{session}): {verdict}"),
            1 => format!("auth: sql({user},192.0.2.1{session}): {verdict} (given password: {b})"),
            2 => format!("auth: plain(?,192.0.2.1{session}): Username character disallowed by auth_username_chars: 0x3e (username: {a})"),
            3 => format!("auth-worker(7): pam({user},192.0.2.1,master{session}): {verdict}"),
            4 => format!("auth({user},192.0.2.1,sasl:plain)<x>: passwd-file: {verdict}"),
            5 => format!("auth-worker({user},192.0.2.1,sasl:plain)<7><x>: request [1]: sql: {verdict} (given password: {b})"),
            6 => format!("auth(?,192.0.2.1,sasl:plain): plain: Username character disallowed by auth_username_chars: 0x3e (username: {a})"),
            7 => format!("imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{known}>, method={method}, rip=192.0.2.1, lip=192.0.2.25, TLS, session=<x>"),
            8 => format!("pop3-login: Login aborted: Connection closed (auth failed, 1 attempts in 2 secs) (auth_failed): user=<{known}>, rip=192.0.2.1, lip=192.0.2.25, session=<x>"),
            9 => format!("imap-login: Login: user=<{known}>, method={method}, rip=192.0.2.1, lip=192.0.2.25, mpid=7, TLS, session=<x>"),
            10 => format!("auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser={user} rhost=192.0.2.1"),
            11 => format!("conn unix:auth-worker (pid=7,uid=8): auth-worker<9>: sql({user},192.0.2.1): {verdict}"),
            12 => format!("auth: passwd-file({user},192.0.2.1{session}): {verdict} - trying the next passdb"),
            13 => format!("auth({user},192.0.2.1,sasl:plain)<x>: Info: passwd-file: {verdict}"),
            14 => format!("auth({user},192.0.2.1,sasl:plain)<x>: Info: passwd-file: {verdict} (given password: {b})"),
            15 => format!("auth-worker({user},192.0.2.1)<220><x>: request [1]: Info: pam: {verdict}"),
            16 => format!("imap-login: proxy({known}): started proxying to 192.0.2.26:143: user=<{known}>, method={method}, rip=192.0.2.1, lip=192.0.2.25"),
            _ => format!("auth: passwd-file({user},192.0.2.1{session}): allow_nets check failed: IP not in allowed networks"),
        };
        // Through syslog, or in Dovecot's own log.
        let host = if matches!(form, 13..=15) { "" } else { "mx1 dovecot: " };
        let line = format!("Nov 24 02:27:08 {host}{message}");
        let found = parse(line.as_bytes()).and_then(|event| event.address);
        let own: IpAddr = "192.0.2.1".parse().unwrap();
        prop_assert!(found.is_none_or(|address| address == own), "{:?} of {}", found, message);
        // Not a mere silence: where nothing is in doubt, it is found.
        if matches!(form, 7..=9) || (form == 0 && matches!(verdict, "unknown user" | "Password mismatch")) {
            prop_assert_eq!(found, Some(own), "{}", message);
        }
    }
}
