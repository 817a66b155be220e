//! The gate in front of a real Postfix: who is greeted, who hears nothing, and what becomes of a guesser.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io;
use std::net::{IpAddr, TcpListener};
use std::time::{Duration, Instant};

use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::probe;
use smtpgate_tests::lab::root::USERS;
use smtpgate_tests::lab::smtp::Smtp;

const PORTS: [u16; 3] = [25, 465, 587];
/// After it, no answer is silence: three SYNs were sent by then (at 0, 1 and 3 seconds).
const SILENCE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(30);

fn greeted(site: &Site, from: IpAddr, port: u16) {
    let mut smtp = Smtp::connect(site, from, port).unwrap();
    assert_eq!(smtp.say("EHLO client.example.net").unwrap().code, 250);
    assert_eq!(smtp.say("QUIT").unwrap().code, 221);
}

/// Connects from each source to each port, all at once, and expects that nothing is heard.
fn silence(site: &Site, sources: &[IpAddr], ports: &[u16]) {
    std::thread::scope(|scope| {
        for (from, port) in sources
            .iter()
            .flat_map(|from| ports.iter().map(move |port| (*from, *port)))
        {
            scope.spawn(move || {
                let connected = site.connect(from, port, SILENCE).unwrap();
                let error = connected
                    .err()
                    .unwrap_or_else(|| panic!("{from} was let in to port {port}"));
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{from} to port {port}");
            });
        }
    });
}

/// Tries `count` wrong passwords, each in the same conversation.
fn guess(smtp: &mut Smtp, count: u32) {
    for n in 0..count {
        // By turns, as guessers do.
        let said = if n % 2 == 0 {
            smtp.auth_plain(USERS[0], "wrong")
        } else {
            smtp.auth_login(USERS[1], "wrong")
        };
        assert_eq!(said.unwrap().code, 535);
    }
}

/// One more wrong password, for which the guesser is banned. Postfix writes its line before it answers the client, so the
/// cut may be faster than the answer. Returns whether it was.
fn last_guess(smtp: &mut Smtp) -> bool {
    match smtp.auth_plain(USERS[0], "wrong") {
        Ok(said) => {
            assert_eq!(said.code, 535);
            false
        }
        Err(error) => {
            let reset = error.downcast_ref::<io::Error>().is_some_and(|error| {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            });
            assert!(reset, "{error:#}");
            true
        }
    }
}

/// The lines of the maillog beyond the first `known`.
fn new_lines(host: &MailHost, known: usize) -> Vec<String> {
    host.read_maillog()
        .unwrap()
        .lines()
        .skip(known)
        .map(str::to_owned)
        .collect()
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_gate_greets_tokyo_and_the_rest_of_the_world_hears_nothing() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let _web = internet.mail.run(|| Ok(TcpListener::bind("[::]:80")?)).unwrap();
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    gate.start().unwrap();

    for from in internet.tokyo.both(1) {
        for port in PORTS {
            greeted(&internet.tokyo, from, port);
        }
        for daemon in ["postfix/smtpd", "postfix/submission/smtpd", "postfix/submissions/smtpd"] {
            host.wait_for_line(&[daemon, "disconnect from", &format!("[{from}]")])
                .unwrap();
        }
    }
    let known = host.read_maillog().unwrap().lines().count();

    for site in [&internet.america, &internet.russia] {
        silence(site, &site.both(1), &PORTS);
        for from in site.both(1) {
            let web = site.connect(from, 80, PATIENCE).unwrap();
            assert!(web.is_ok(), "{from} to port 80: {web:?}");
        }
        let sources: Vec<IpAddr> = (0..100).flat_map(|n| site.both(n)).collect();
        let probes = probe::volley(site, sources, PORTS.to_vec(), 1000).unwrap();
        assert_eq!((probes.sent, probes.answered), (1000, vec![]));
    }

    // The log is alive: one more from Tokyo is in it, and nobody else.
    let last: IpAddr = internet.tokyo.v4(99).into();
    greeted(&internet.tokyo, last, 25);
    host.wait_for_line(&["disconnect from", &format!("[{last}]")]).unwrap();
    for line in new_lines(&host, known) {
        assert!(line.contains(&last.to_string()), "{line}");
    }

    let status = gate.json(&["status"]).unwrap();
    assert_eq!(status["enforcing"], true, "{status:#}");
    assert_eq!(status["interfaces"][0]["attach"], "native", "{status:#}");
    let counters = status["counters"].as_array().unwrap();
    let outside = counters
        .iter()
        .filter(|row| row["verdict"] == "drop" && row["reason"] == "outside");
    let refused: u64 = outside.filter_map(|row| row["packets"].as_u64()).sum();
    assert!(
        refused >= 2000,
        "{refused} of more than 2,000 refusals are counted: {status:#}"
    );
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_gate_bans_a_guesser_at_the_fifth_try_cuts_it_off_and_forgives_after_bantime() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    // With a daemon, and with one that was killed while the ban ran: the kernel ends it.
    for (killed, host_number) in [(false, 66), (true, 67)] {
        for guesser in internet.tokyo.both(host_number) {
            let mut gate = Gate::new(&host, &Gate::japan(&host, "maxretry = 5\nbantime = \"12s\"")).unwrap();
            gate.start().unwrap();
            let site = &internet.tokyo;

            let mut idle = Smtp::connect(site, guesser, 465).unwrap();
            let mut talk = Smtp::connect(site, guesser, 587).unwrap();
            talk.say("EHLO client.example.net").unwrap();
            guess(&mut talk, 4);
            assert!(
                talk.ended(Duration::from_secs(2)).unwrap().is_none(),
                "{guesser}: cut after four tries"
            );
            assert_eq!(talk.say("NOOP").unwrap().code, 250);
            let cut = last_guess(&mut talk);
            let fifth = Instant::now();
            for (connection, smtp) in [("talking", &mut talk), ("idle", &mut idle)] {
                if cut && connection == "talking" {
                    continue;
                }
                let end = smtp.ended(PATIENCE).unwrap();
                assert!(
                    matches!(end, Some(Err(_))),
                    "{guesser}: the {connection} connection: {end:?}"
                );
            }
            if killed {
                gate.kill().unwrap();
            }

            // Postfix writes down that its connections were lost; from then on there is nothing more to write.
            for daemon in ["postfix/submission/smtpd", "postfix/submissions/smtpd"] {
                host.wait_for_line(&[daemon, "disconnect from", &format!("[{guesser}]")])
                    .unwrap();
            }
            let known = host.read_maillog().unwrap().lines().count();
            let probes = probe::volley(site, vec![guesser], PORTS.to_vec(), 100).unwrap();
            assert_eq!((probes.sent, probes.answered), (100, vec![]), "{guesser}: banned");
            silence(site, &[guesser], &PORTS);
            assert_eq!(new_lines(&host, known), Vec::<String>::new());
            for neighbour in site.both(1) {
                greeted(site, neighbour, 587);
            }

            while site.connect(guesser, 587, Duration::from_secs(1)).unwrap().is_err() {
                assert!(fifth.elapsed() < 3 * PATIENCE, "{guesser}: the ban does not end");
            }
            let banned = fifth.elapsed();
            assert!(
                banned >= Duration::from_secs(11),
                "{guesser}: back after {banned:?} of 12 s"
            );
            for port in PORTS {
                greeted(site, guesser, port);
            }
        }
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_gate_never_bans_the_trusted() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let [trusted4, trusted6] = internet.russia.both(1);
    let config = format!(
        "trust = [\"cidr:{trusted4}/32\"]\nignoreip = [\"cidr:{trusted6}/128\"]\n{}",
        Gate::japan(&host, "maxretry = 2")
    );
    let mut gate = Gate::new(&host, &config).unwrap();
    gate.start().unwrap();
    for trusted in [trusted4, trusted6] {
        let mut smtp = Smtp::connect(&internet.russia, trusted, 587).unwrap();
        smtp.say("EHLO client.example.net").unwrap();
        guess(&mut smtp, 6);
        host.wait_for_line(&[&format!("[{trusted}]: SASL LOGIN authentication failed")])
            .unwrap();
        // Someone else's ban comes after in the same log: by then the trusted one would have had its own.
        let other = internet.tokyo.v4(if trusted.is_ipv4() { 70 } else { 71 }).into();
        let mut guesser = Smtp::connect(&internet.tokyo, other, 587).unwrap();
        guesser.say("EHLO client.example.net").unwrap();
        guess(&mut guesser, 2);
        assert!(guesser.ended(PATIENCE).unwrap().is_some(), "{other} is not banned");
        assert_eq!(smtp.say("NOOP").unwrap().code, 250);
        greeted(&internet.russia, trusted, 25);
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_gate_reads_every_form_of_the_maillog_and_follows_it_through_rotation() {
    for log in [MailLog::Rfc3339, MailLog::Traditional, MailLog::Postlog] {
        let internet = Internet::new().unwrap();
        let host = MailHost::boot(&internet.mail, log).unwrap();
        let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
        gate.start().unwrap();
        let guesser = internet.tokyo.v4(80).into();
        let mut smtp = Smtp::connect(&internet.tokyo, guesser, 587).unwrap();
        smtp.say("EHLO client.example.net").unwrap();
        guess(&mut smtp, 3);
        rotate(&host, log);
        guess(&mut smtp, 2);
        let end = smtp.ended(PATIENCE).unwrap();
        assert!(matches!(end, Some(Err(_))), "{log:?}: {end:?}\n{}", gate.said());
        silence(&internet.tokyo, &[guesser], &[587]);
    }
}

/// As logrotate does it on Debian: rename, then tell the writer.
fn rotate(host: &MailHost, log: MailLog) {
    let script = match log {
        MailLog::Postlog => "postfix logrotate",
        MailLog::Rfc3339 | MailLog::Traditional => {
            "mv /var/log/mail.log /var/log/mail.log.1 && kill -HUP $(cat /run/rsyslogd.pid) && \
             while [ ! -e /var/log/mail.log ]; do logger -p mail.info rotated; sleep 0.1; done"
        }
    };
    let out = host.command_in_root("sh").args(["-c", script]).output().unwrap();
    assert!(
        out.status.success(),
        "{log:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}
