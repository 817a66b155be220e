//! The verbs, with a daemon and without one: the same work, seen from the network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write as _;
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
