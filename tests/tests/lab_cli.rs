//! The verbs, with a daemon and without one: the same work, seen from the network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpListener};
use std::process::Stdio;

use serde_json::Value;
use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::probe;

/// Whether `from` is answered on port 25.
fn answered(site: &Site, from: IpAddr) -> bool {
    let outcome = probe::volley(site, vec![from], vec![25], 3).unwrap();
    assert!(
        outcome.answered.is_empty() || outcome.silent.is_empty(),
        "{from}: some answered, some not: {outcome:?}"
    );
    outcome.silent.is_empty()
}

fn verb(gate: &Gate<'_>, words: &[&str]) {
    let out = gate.cli(words).unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success(),
        "smtpgate {}: {} {said}",
        words.join(" "),
        out.status
    );
}

/// The verdicts that `explain` gives for `from`, one a gate; the kernel's must agree.
fn explained(gate: &Gate<'_>, from: IpAddr) -> Vec<(String, String)> {
    let document = gate.json(&["explain", &from.to_string()]).unwrap();
    assert_eq!(document["agrees"], Value::Bool(true), "{document:#}");
    let word = |gate: &Value, key: &str| gate[key].as_str().unwrap().to_owned();
    let gates = document["gates"].as_array().unwrap();
    gates
        .iter()
        .map(|gate| (word(gate, "verdict"), word(gate, "reason")))
        .collect()
}

fn both_gates(verdict: &str, reason: &str) -> Vec<(String, String)> {
    vec![(verdict.to_owned(), reason.to_owned()); 2]
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_cli_verbs_do_the_same_with_and_without_a_daemon() {
    for with_daemon in [true, false] {
        let internet = Internet::new().unwrap();
        let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
        let (tokyo, russia) = (&internet.tokyo, &internet.russia);
        let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
        assert_eq!(
            gate.cli(&["status"]).unwrap().status.code(),
            Some(3),
            "nothing is loaded yet"
        );
        if with_daemon {
            gate.start().unwrap();
        } else {
            verb(&gate, &["load"]);
        }
        verb(&gate, &["status"]);
        for n in [1, 2] {
            let (wanted, foreign) = (tokyo.both(n), russia.both(n));
            for (from, other) in wanted.into_iter().zip(foreign) {
                let (text, other_text) = (from.to_string(), other.to_string());
                assert!(answered(tokyo, from) && !answered(russia, other));
                assert_eq!(explained(&gate, from), both_gates("pass", "allowed"));
                assert_eq!(explained(&gate, other), both_gates("drop", "outside"));

                verb(&gate, &["ban", &text, "--for", "1h", "--reason", "a test"]);
                assert!(!answered(tokyo, from), "{from} is banned");
                assert_eq!(explained(&gate, from), both_gates("drop", "banned"));
                let list = gate.json(&["list"]).unwrap();
                assert!(list.to_string().contains("a test"), "{list:#}");
                verb(&gate, &["unban", &text]);
                assert!(answered(tokyo, from), "{from} is no longer banned");

                verb(&gate, &["allow", &other_text]);
                assert!(answered(russia, other), "{other} is allowed");
                verb(&gate, &["disallow", &other_text]);
                assert!(!answered(russia, other), "{other} is no longer allowed");
            }
        }
        let (net, neighbour) = (tokyo.v4(0x0501), tokyo.v4(0x0601));
        verb(&gate, &["ban", "133.11.5.0/24"]);
        assert!(!answered(tokyo, net.into()) && answered(tokyo, neighbour.into()));
        verb(&gate, &["unban", "133.11.5.0/24"]);
        assert!(answered(tokyo, net.into()));

        if with_daemon {
            assert!(gate.stop().unwrap().success());
            assert!(!answered(russia, russia.v4(1).into()), "the gate outlives the daemon");
        }
        verb(&gate, &["unload"]);
        assert!(answered(russia, russia.v4(1).into()), "the gate is down");
        assert_eq!(gate.cli(&["status"]).unwrap().status.code(), Some(3));
        let pins = host.seen("/sys/fs/bpf/smtpgate".as_ref());
        let left = std::fs::read_dir(&pins).map_or(0, Iterator::count);
        assert_eq!(left, 0, "pins are left in {}", pins.display());
    }
}

/// Packets by reason in the minute, hour or day of a `status`.
fn refused(status: &Value, span: &str) -> u64 {
    let spans = status["traffic"].as_array().unwrap();
    let span = spans.iter().find(|found| found["span"] == span).unwrap();
    let rows = span["counters"].as_array().unwrap().iter();
    rows.filter(|row| row["verdict"] == "drop" && row["reason"] == "outside")
        .map(|row| row["packets"].as_u64().unwrap())
        .sum()
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_cli_status_tells_what_was_refused_also_after_a_restart_and_an_unload() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let russia = &internet.russia;
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    let screen = |gate: &Gate<'_>, code: i32, words: &[&str]| {
        let out = gate.cli(&["status"]).unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(code), "{text}");
        for word in words {
            assert!(text.contains(word), "`{word}` is not in\n{text}");
        }
        assert!(
            text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 80),
            "more than a screen\n{text}"
        );
    };
    screen(&gate, 3, &["NOT ENFORCING", "nothing is loaded"]);
    gate.start().unwrap();
    screen(&gate, 0, &["ENFORCING", "eth0", "native", "Nothing needs attention"]);
    assert!(!answered(russia, russia.v4(1).into()));
    let three = |status: &Value| ["minute", "hour", "day"].map(|span| refused(status, span));
    assert_eq!(three(&gate.json(&["status"]).unwrap()), [3; 3]);

    gate.kill().unwrap();
    assert!(!answered(russia, russia.v4(1).into()));
    screen(&gate, 0, &["ENFORCING", "no daemon runs"]);
    gate.start().unwrap();
    let status = gate.json(&["status"]).unwrap();
    assert_eq!(three(&status), [6; 3], "with what came while no daemon ran: {status:#}");

    verb(&gate, &["unload"]);
    assert!(gate.stop().unwrap().success());
    let out = gate.cli(&["status", "--json"]).unwrap();
    let status: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(
        three(&status),
        [6; 3],
        "counters that are gone are not forgotten: {status:#}"
    );
    gate.start().unwrap();
    assert!(!answered(russia, russia.v4(1).into()));
    let status = gate.json(&["status"]).unwrap();
    assert_eq!(three(&status), [9; 3], "{status:#}");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_cli_watch_and_list_tell_who_and_why() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let (tokyo, russia, america) = (&internet.tokyo, &internet.russia, &internet.america);
    let mut gate = Gate::new(&host, &Gate::japan(&host, "maxretry = 2")).unwrap();
    let early = gate.cli(&["watch"]).unwrap();
    assert_eq!(early.status.code(), Some(1), "no daemon runs");
    gate.start().unwrap();

    let mut watch = gate
        .command(&["watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(watch.stdout.take().unwrap()).lines();
    // What happens until it listens is not told: asked until the first word comes.
    let mut next = move |event: &str, about: &str| -> Value {
        loop {
            let line = told.next().unwrap().unwrap();
            let news: Value = serde_json::from_str(&line).unwrap();
            if news["event"] == event && line.contains(about) {
                return news;
            }
        }
    };
    let (foreign, guesser) = (russia.v4(9).to_string(), tokyo.v4(77).to_string());
    let knocking = probe::Stream::start(russia, vec![foreign.parse().unwrap()], vec![25]).unwrap();
    let news = next("refused", &foreign);
    knocking.stop().unwrap();
    assert_eq!(
        [
            &news["source"],
            &news["country"],
            &news["reason"],
            &news["gate"],
            &news["interface"]
        ],
        [&foreign, "RU", "outside", "mx", "eth0"],
        "{news:#}"
    );
    let mut log = std::fs::File::options()
        .append(true)
        .open(host.seen(&host.maillog()))
        .unwrap();
    for _ in 0..2 {
        let failed = "SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=info@example.jp";
        let time = jiff::Timestamp::now();
        writeln!(
            log,
            "{time} mail postfix/smtpd[7]: warning: unknown[{guesser}]: {failed}"
        )
        .unwrap();
    }
    let news = next("ban", &guesser);
    assert_eq!([&news["rule"], &news["country"]], ["maxretry", "JP"], "{news:#}");
    assert!(news["evidence"].to_string().contains("info@example.jp"), "{news:#}");
    let american = america.v4(1).to_string();
    verb(&gate, &["ban", &american, "--for", "1h", "--reason", "Spam run"]);
    assert_eq!(next("ban", &american)["reason"], "Spam run");
    verb(&gate, &["ban", "2001:db8:7::/48"]);

    let listed = |words: &[&str]| -> Vec<String> {
        let list = gate.json(&[&["list"], words].concat()).unwrap();
        assert_eq!(list["all"], 3, "{list:#}");
        let bans = list["bans"].as_array().unwrap().iter();
        bans.map(|ban| ban["prefix"].as_str().unwrap().to_owned()).collect()
    };
    let (guesser, american, documentation) = (
        format!("{guesser}/32"),
        format!("{american}/32"),
        "2001:db8:7::/48".to_owned(),
    );
    let all = [&documentation, &american, &guesser].map(Clone::clone);
    assert_eq!(listed(&[]), all, "the newest first");
    assert_eq!(listed(&["--since", "1h"]), all);
    for (words, expected) in [
        (["--country", "US,CN"], &american),
        (["--prefix", "2001:db8:7::1"], &documentation),
        (["--reason", "spam"], &american),
        (["--reason", "maxretry"], &guesser),
        (["--user", "info"], &guesser),
    ] {
        assert_eq!(listed(&words), std::slice::from_ref(expected), "{words:?}");
    }
    assert_eq!(listed(&["--user", "nobody"]), <[String; 0]>::default());
    assert_eq!(
        listed(&["--sort", "until"]),
        [&guesser, &american, &documentation].map(Clone::clone)
    );
    verb(&gate, &["unban", &american]);
    next("unban", &american);
    assert!(gate.stop().unwrap().success());
    assert_eq!(watch.wait().unwrap().code(), Some(1), "the daemon has ended");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_cli_run_ephemeral_takes_the_gate_down_and_tells_what_it_refuses() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let russia = &internet.russia;
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    gate.start_with(&["--ephemeral"]).unwrap();
    let foreign = russia.v4(5).into();
    assert!(!answered(russia, foreign));
    let told = gate.wait_told(&[&foreign.to_string(), "outside"]).unwrap();
    assert!(told.contains("25") && told.contains("eth0"), "{told}");
    assert!(gate.stop().unwrap().success());
    assert!(answered(russia, foreign), "the gate is down");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_cli_observe_lets_pass_and_counts_what_it_would_have_refused() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    gate.start_with(&["--observe"]).unwrap();
    for from in internet.russia.both(1) {
        assert!(answered(&internet.russia, from));
        assert_eq!(explained(&gate, from), both_gates("would_drop", "outside"));
    }
    let out = gate.cli(&["status", "--json"]).unwrap();
    assert_eq!(out.status.code(), Some(3), "nothing is refused");
    let status: Value = serde_json::from_slice(&out.stdout).unwrap();
    for family in ["ipv4", "ipv6"] {
        let counters = status["counters"].as_array().unwrap();
        let row = counters
            .iter()
            .find(|row| row["verdict"] == "would_drop" && row["family"] == family);
        assert_eq!(
            row.map(|row| (&row["reason"], &row["packets"])),
            Some((&"outside".into(), &3.into())),
            "{status:#}"
        );
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_cli_bans_from_standard_input_all_or_none() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let _web = internet.mail.run(|| Ok(TcpListener::bind("[::]:80")?)).unwrap();
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    gate.start().unwrap();
    let tokyo = &internet.tokyo;
    let feed = |lines: &str| {
        let mut child = gate
            .command(&["ban", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let [first, second] = tokyo.both(7);
    let out = feed(&format!("{first}\n{second}\n133.11.0.300\n"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("133.11.0.300") && said.contains('3'), "{said}");
    assert!(answered(tokyo, first) && answered(tokyo, second), "nothing was changed");
    assert!(feed(&format!("{first}\n{second}\n")).status.success());
    assert!(!answered(tokyo, first) && !answered(tokyo, second));
}
