//! Changes that nobody confirms: the former policy comes back, with the daemon alive, killed, or never there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::probe;

fn answered(site: &Site, from: IpAddr) -> bool {
    let outcome = probe::volley(site, vec![from], vec![25], 3).unwrap();
    outcome.silent.is_empty()
}

fn verb(gate: &Gate<'_>, words: &[&str]) {
    let out = gate.cli(words).unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "smtpgate {}: {said}", words.join(" "));
}

/// Waits until `from` is answered, or is not, as `wanted` says.
fn becomes(site: &Site, from: IpAddr, wanted: bool, after: &str) {
    let deadline = Instant::now() + Duration::from_secs(25);
    while answered(site, from) != wanted {
        assert!(Instant::now() < deadline, "{after}: {from} is not as it was");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_confirm_a_reload_that_nobody_confirms_is_undone_daemon_or_none() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let tokyo = &internet.tokyo;
    let wanted = tokyo.v4(1).into();
    let good = Gate::japan(&host, "");
    let locked_out = good.replace("country:JP", "country:US");
    let mut gate = Gate::new(&host, &good).unwrap();
    for end in ["alive", "killed", "killed and started again"] {
        gate.configure(&good).unwrap();
        gate.start().unwrap();
        if end != "alive" {
            // What was undone stays undone until a reload.
            verb(&gate, &["reload"]);
        }
        assert!(answered(tokyo, wanted), "{end}: before");
        gate.configure(&locked_out).unwrap();
        // The last of them has to start again within it.
        let within = if end == "killed and started again" { "12s" } else { "6s" };
        verb(&gate, &["reload", "--confirm", within]);
        assert!(!answered(tokyo, wanted), "{end}: the change is in force");
        let status = gate.json(&["status"]).unwrap();
        assert_eq!(
            status["pending"]["what"],
            "reload",
            "{end}: {status:#}\n{}",
            gate.said()
        );
        let second = gate.cli(&["allow", "192.0.2.1"]).unwrap();
        assert_eq!(second.status.code(), Some(1), "{end}: a second change");
        assert!(String::from_utf8_lossy(&second.stderr).contains("waits for its confirm"));
        if end != "alive" {
            gate.kill().unwrap();
        }
        if end == "killed and started again" {
            gate.start().unwrap();
            assert!(!answered(tokyo, wanted), "{end}: not yet over");
        }
        becomes(tokyo, wanted, true, end);
        if end != "killed" {
            let status = gate.json(&["status"]).unwrap();
            assert!(
                status["pending"].is_null() && status["files_differ"] == true,
                "{status:#}"
            );
            assert!(status["attention"].to_string().contains("not confirmed"), "{status:#}");
        }
    }
    gate.kill().unwrap();
    gate.start().unwrap();
    assert!(answered(tokyo, wanted), "a start keeps to what was in force");
    verb(&gate, &["reload"]);
    assert!(!answered(tokyo, wanted), "a reload brings the files into force");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_confirm_bans_exceptions_and_first_loads_are_undone_or_kept() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let (tokyo, russia) = (&internet.tokyo, &internet.russia);
    let (wanted, foreign) = (tokyo.v4(1).into(), russia.v4(1).into());
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();

    verb(&gate, &["load", "--confirm", "3s"]);
    assert!(!answered(russia, foreign), "loaded");
    becomes(russia, foreign, true, "a load without daemon");

    gate.start_with(&["--confirm", "4s"]).unwrap();
    gate.kill().unwrap();
    assert!(!answered(russia, foreign), "the gate outlives its daemon");
    becomes(russia, foreign, true, "a first start whose daemon was killed");

    gate.start().unwrap();
    verb(&gate, &["ban", "133.11.0.0/16", "--confirm", "3s"]);
    assert!(!answered(tokyo, wanted), "banned");
    becomes(tokyo, wanted, true, "a wide ban");
    verb(&gate, &["allow", &foreign.to_string(), "--confirm", "1h"]);
    assert!(answered(russia, foreign), "allowed");
    verb(&gate, &["confirm", "--undo"]);
    assert!(!answered(russia, foreign), "taken back at once");
    verb(&gate, &["allow", &foreign.to_string(), "--confirm", "3s"]);
    verb(&gate, &["confirm"]);
    std::thread::sleep(Duration::from_secs(5));
    assert!(answered(russia, foreign), "confirmed, so kept");
    assert_eq!(gate.cli(&["confirm"]).unwrap().status.code(), Some(1), "nothing waits");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_confirm_survives_kill_9_and_a_reboot() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let (tokyo, russia) = (&internet.tokyo, &internet.russia);
    let (wanted, foreign): (IpAddr, IpAddr) = (tokyo.v4(1).into(), russia.v4(1).into());
    let good = Gate::japan(&host, "");
    let mut gate = Gate::new(&host, &good).unwrap();

    // A first `run` that is killed: its gate goes down by itself.
    gate.start_with(&["--confirm", "3s"]).unwrap();
    assert!(!answered(russia, foreign), "a gate is up");
    gate.kill().unwrap();
    assert!(!answered(russia, foreign), "not yet over");
    becomes(russia, foreign, true, "run --confirm, killed");

    // A ban that is killed over.
    gate.start().unwrap();
    verb(&gate, &["ban", "133.11.0.0/16", "--confirm", "3s"]);
    gate.kill().unwrap();
    assert!(!answered(tokyo, wanted), "banned");
    becomes(tokyo, wanted, true, "ban --confirm, killed");

    // A ban that replaced an older one gives way to it with nobody slipping in.
    gate.start().unwrap();
    let (one, net) = (tokyo.v4(77), "133.11.9.0/24");
    let held = vec![one.into(), "133.11.9.9".parse().unwrap()];
    verb(
        &gate,
        &["ban", &one.to_string(), net, "--for", "1h", "--reason", "older"],
    );
    verb(
        &gate,
        &["ban", &one.to_string(), net, "--reason", "newer", "--confirm", "2s"],
    );
    let flow = probe::Stream::start(tokyo, held, vec![25]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let list = gate.json(&["list"]).unwrap();
        let reasons: Vec<_> = list["bans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ban| &ban["reason"])
            .collect();
        if reasons == ["older", "older"] {
            break;
        }
        assert!(Instant::now() < deadline, "{list:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let outcome = flow.stop().unwrap();
    let slipped: Vec<_> = outcome.answered.iter().take(5).collect();
    assert!(
        slipped.is_empty(),
        "of {} SYNs some slipped in: {slipped:?}",
        outcome.sent
    );
    gate.kill().unwrap();
    gate.start().unwrap();
    let list = gate.json(&["list"]).unwrap();
    assert!(
        list["bans"]
            .as_array()
            .unwrap()
            .iter()
            .all(|ban| !ban["until"].is_null()),
        "{list:#}"
    );
    verb(&gate, &["unban", "--all"]);

    // A reboot while a change waits: no daemon, no guard, no gate. The start undoes it before it loads anything.
    gate.configure(&good.replace("country:JP", "country:US")).unwrap();
    verb(&gate, &["reload", "--confirm", "4s"]);
    gate.kill().unwrap();
    end_guards(&gate);
    std::fs::remove_dir_all(host.seen(std::path::Path::new("/sys/fs/bpf/smtpgate"))).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    assert!(answered(russia, foreign), "after the reboot nothing is loaded");
    gate.start().unwrap();
    assert!(answered(tokyo, wanted), "the former policy, at once");
    let status = gate.json(&["status"]).unwrap();
    assert!(
        status["pending"].is_null() && status["files_differ"] == true,
        "{status:#}"
    );
}

/// Ends the guards of this gate, and only of this: those that wait with its configuration.
fn end_guards(gate: &Gate<'_>) {
    let config = gate.path("config.toml");
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(process.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let ours = line.contains("smtpgate") && line.contains(config.to_str().unwrap());
        let pid = process.file_name().to_string_lossy().parse().ok();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw).filter(|_| ours) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
