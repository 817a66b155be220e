//! The lab without the gate: what the tests of the gate take for granted, and that they could fail.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::Internet;
use smtpgate_tests::lab::probe::{self, Stream};
use smtpgate_tests::lab::root::{PASSWORD, USERS};
use smtpgate_tests::lab::smtp::Smtp;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_mail_greets_every_site_on_every_port_and_logs_it() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    for site in [&internet.tokyo, &internet.america, &internet.russia] {
        for from in site.both(7) {
            for port in [25, 465, 587] {
                let mut smtp = Smtp::connect(site, from, port).unwrap();
                assert_eq!(smtp.say("EHLO client.example.net").unwrap().code, 250);
                assert_eq!(smtp.say("QUIT").unwrap().code, 221);
            }
            host.wait_for_line(&["connect from", &format!("[{from}]")]).unwrap();
        }
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_mail_knows_right_from_wrong_passwords_by_both_mechanisms() {
    let internet = Internet::new().unwrap();
    for log in [MailLog::Rfc3339, MailLog::Traditional, MailLog::Postlog] {
        let host = MailHost::boot(&internet.mail, log).unwrap();
        let from = internet.tokyo.v4(9).into();
        for port in [465, 587] {
            let mut smtp = Smtp::connect(&internet.tokyo, from, port).unwrap();
            smtp.say("EHLO client.example.net").unwrap();
            if port == 587 {
                smtp = smtp.starttls().unwrap();
                smtp.say("EHLO client.example.net").unwrap();
            }
            assert_eq!(smtp.auth_plain(USERS[0], "wrong").unwrap().code, 535);
            assert_eq!(smtp.auth_login(USERS[1], "wrong").unwrap().code, 535);
            assert_eq!(smtp.auth_login(USERS[1], PASSWORD).unwrap().code, 235);
        }
        for word in ["postfix/submission/smtpd", "postfix/submissions/smtpd"] {
            for method in ["PLAIN", "LOGIN"] {
                let failed = format!("[{from}]: SASL {method} authentication failed");
                host.wait_for_line(&[word, &failed]).unwrap();
            }
        }
        host.wait_for_line(&["sasl_username=hanako"]).unwrap();
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_mail_closed_port_answers_with_a_refusal_not_with_silence() {
    let internet = Internet::new().unwrap();
    for from in internet.russia.both(3) {
        let error = internet.russia.connect(from, 80, PATIENCE).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{from}");
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_mail_probes_are_answered_by_an_open_port_and_only_by_it() {
    let internet = Internet::new().unwrap();
    let _listener = internet
        .mail
        .run(|| Ok(std::net::TcpListener::bind("[::]:25")?))
        .unwrap();
    let sources: Vec<IpAddr> = (0..50).flat_map(|n| internet.russia.both(n)).collect();
    let open = probe::volley(&internet.russia, sources.clone(), vec![25], 1000).unwrap();
    assert_eq!((open.sent, open.answered.len(), open.silent.len()), (1000, 1000, 0));
    let closed = probe::volley(&internet.russia, sources.clone(), vec![26], 1000).unwrap();
    assert_eq!(
        (closed.sent, closed.answered.len(), closed.silent.len()),
        (1000, 0, 1000)
    );
    let stream = Stream::start(&internet.russia, sources, vec![25]).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let open = stream.stop().unwrap();
    assert!(open.sent > 1000, "{} probes in two seconds", open.sent);
    assert_eq!(open.silent, []);
}
