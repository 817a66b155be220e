//! `smtpgate top` on a terminal, beside a gate that refuses real SYNs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::probe;
use smtpgate_tests::lab::terminal::Terminal;

/// Whether `from` is answered on port 25.
fn answered(site: &Site, from: IpAddr) -> bool {
    let outcome = probe::volley(site, vec![from], vec![25], 3).unwrap();
    outcome.silent.is_empty()
}

fn code(gate: &Gate<'_>, words: &[&str]) -> Option<i32> {
    gate.cli(words).unwrap().status.code()
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_top_shows_who_is_refused_and_bans_on_the_wire() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    gate.start().unwrap();
    let russia = &internet.russia;
    let foreign: IpAddr = russia.v4(9).into();
    let shown = foreign.to_string();
    assert!(!answered(russia, foreign));

    let mut top = Terminal::start(&gate.command(&["top"]), 24, 80).unwrap();
    let row = format!("> {shown}");
    let text = top.wait_for(&[&row, "ENFORCING"]).unwrap();
    let source = text.lines().find(|line| line.starts_with(&row)).unwrap();
    assert!(
        source.contains("RU") && source.contains("outside") && source.contains("mx"),
        "{source}"
    );
    assert!(text.lines().count() <= 24, "{text}");

    // No is the answer to a stray key.
    top.press("b").unwrap();
    top.wait_for(&[&format!("Ban {shown} for 1 h? y/N")]).unwrap();
    top.press("x").unwrap();
    top.wait_for(&["nothing was changed"]).unwrap();
    assert!(!gate.json(&["list"]).unwrap().to_string().contains(&shown));

    // An exception lets it in; the ban has the last word.
    top.press("by").unwrap();
    top.wait_for(&[&format!("banned {shown} until"), "NEWEST BANS"])
        .unwrap();
    assert_eq!(code(&gate, &["allow", &shown]), Some(0));
    assert!(!answered(russia, foreign), "{shown} is banned");
    top.press("e").unwrap();
    let page = top
        .wait_for(&[&format!("Explain {shown}"), "in top", "Esc back"])
        .unwrap();
    assert!(page.contains("banned") && page.contains("exception"), "{page}");
    top.press("\x1b").unwrap();
    top.wait_for(&["? help", "1 ban "]).unwrap();
    top.press("\tuy").unwrap();
    top.wait_for(&[&format!("no longer banned: {shown}"), "0 bans"])
        .unwrap();
    assert!(answered(russia, foreign), "{shown} is no longer banned");

    top.resize(40, 140).unwrap();
    top.wait_for(&["BY GATE", "DAY"]).unwrap();
    top.resize(5, 30).unwrap();
    top.wait_for(&["too small"]).unwrap();
    top.resize(24, 80).unwrap();
    top.wait_for(&["BY GATE", "0 bans"]).unwrap();

    gate.kill().unwrap();
    top.wait_for(&["NO ANSWER"]).unwrap();
    top.press("j").unwrap();
    top.wait_for(&["the daemon has ended", "trying again"]).unwrap();
    gate.start().unwrap();
    top.wait_for(&["ENFORCING"]).unwrap();
    top.press("q").unwrap();
    assert!(top.wait_end().unwrap().success());
    assert!(top.is_as_it_was().unwrap());
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_top_gives_the_terminal_back_and_says_what_it_cannot_show() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    assert_eq!(
        code(&gate, &["top", "--once"]),
        Some(3),
        "nothing is loaded, and no daemon runs"
    );
    gate.start().unwrap();
    assert!(!answered(&internet.america, internet.america.v4(7).into()));

    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut top = Terminal::start(&gate.command(&["top"]), 24, 80).unwrap();
        top.wait_for(&["ENFORCING"]).unwrap();
        top.signal(signal).unwrap();
        top.wait_end().unwrap();
        assert!(top.is_as_it_was().unwrap(), "{signal:?}");
    }
    let mut top = Terminal::start(&gate.command(&["top"]), 24, 80).unwrap();
    top.wait_for(&["ENFORCING"]).unwrap();
    top.press("\x03").unwrap();
    assert!(top.wait_end().unwrap().success());
    assert!(top.is_as_it_was().unwrap());

    let dumb = with_term(gate.command(&["top"]), "dumb");
    let mut top = Terminal::start(&dumb, 24, 80).unwrap();
    assert_eq!(top.wait_end().unwrap().code(), Some(2));
    top.wait_for(&["TERM=dumb", "--once"]).unwrap();
    assert_eq!(code(&gate, &["top"]), Some(2), "standard output is no terminal");

    let picture = gate.cli(&["top", "--once"]).unwrap();
    let picture = String::from_utf8(picture.stdout).unwrap();
    assert!(picture.contains("12.34.0.7") && !picture.contains('\x1b'), "{picture}");
    let document = gate.json(&["top", "--once"]).unwrap();
    assert_eq!(document["sources"][0]["source"], "12.34.0.7", "{document:#}");
    let lines = two_lines(gate.command(&["top", "--json"]));
    for line in &lines {
        assert_eq!(line["enforcing"], true);
    }
    assert_ne!(lines[0]["now"], lines[1]["now"]);

    assert!(gate.stop().unwrap().success());
    let out = gate.cli(&["top", "--json"]).unwrap();
    assert_eq!(out.status.code(), Some(1), "the gate is up, but no daemon runs");
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(said["error"].as_str().unwrap().contains("no daemon runs"), "{said}");
    assert_eq!(code(&gate, &["unload"]), Some(0));
    assert_eq!(code(&gate, &["top", "--once"]), Some(3));
}

fn with_term(mut command: Command, term: &str) -> Command {
    command.env("TERM", term);
    command
}

/// The first two lines of a stream; nobody reads the rest.
fn two_lines(mut command: Command) -> Vec<Value> {
    use std::io::{BufRead as _, BufReader};
    let mut process = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let reader = BufReader::new(process.stdout.take().unwrap());
    let lines = reader.lines().take(2);
    let lines = lines
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    // Who writes to nobody ends by itself.
    let status = process.wait().unwrap();
    assert!(status.success(), "{status}");
    lines
}
