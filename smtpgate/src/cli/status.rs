//! `smtpgate status`: is it enforcing, where and since when; what was refused, and why; what needs attention.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Global, Output,
    ask::ask,
    output::{grouped, hanging, rough, table, when},
};
use crate::daemon::{
    failure::Failure,
    protocol::Request,
    report::{Counter, Status},
};

pub(super) fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let mut status: Status = ask(global, Request::Status)?;
    if status.daemon.is_none() && status.up_since.is_some() {
        let alone = "no daemon runs: the gate refuses, and bans end in time, but nobody reads the maillog, and no new \
                     data comes in; start it (`systemctl start smtpgate`, or `smtpgate run`)";
        status.attention.push(alone.to_owned());
    }
    output.document(&status, |status| text(status, Timestamp::now()));
    if status.enforcing {
        return Ok(());
    }
    Err(Failure::NotEnforcing("not enforcing".to_owned()))
}

fn text(status: &Status, now: Timestamp) -> String {
    let mut text = String::new();
    let state = match (status.enforcing, status.mode.as_str()) {
        (true, "mixed") => "ENFORCING, but for gates that observe",
        (true, _) => "ENFORCING",
        (false, _) => "NOT ENFORCING",
    };
    text.push_str(&format!("smtpgate {}: {state}\n", status.version));
    text.push_str(&table(
        &status
            .interfaces
            .iter()
            .map(|interface| {
                let how = match (interface.attach.as_str(), status.mode.as_str()) {
                    ("none", _) => "NOT GUARDED".to_owned(),
                    (attach, "observe") => format!("only watched, {attach} mode"),
                    (attach, _) => format!("guarded, {attach} mode"),
                };
                let why = interface.note.clone().unwrap_or_default();
                vec![interface.name.clone(), how, why]
            })
            .collect::<Vec<_>>(),
    ));
    let ago = |since: Timestamp| rough(now.duration_since(since).as_secs().unsigned_abs());
    let gate = match status.up_since {
        Some(since) => format!("up since {} ({})", when(since), ago(since)),
        None => "not up".to_owned(),
    };
    let daemon = match &status.daemon {
        Some(daemon) => format!("daemon {} since {}", daemon.pid, when(daemon.since)),
        None => "no daemon runs".to_owned(),
    };
    text.push_str(&format!("  {gate}; {daemon}\n\n"));

    text.push_str(&traffic(status));
    text.push('\n');

    if status.attention.is_empty() {
        text.push_str("Nothing needs attention.\n");
    } else {
        text.push_str("Needs attention\n");
        for line in &status.attention {
            text.push_str(&hanging("  ! ", line));
        }
    }
    text.push('\n');
    text.push_str(&rest(status, now));
    text
}

/// What came and what became of it, by reason: a column for each span.
fn traffic(status: &Status) -> String {
    let mut heads = vec![(
        String::new(),
        status.traffic.iter().map(|span| span.span.clone()).collect(),
    )];
    let verdicts = [("drop", "refused"), ("would_drop", "would refuse"), ("pass", "let in")];
    for (verdict, word) in verdicts {
        let reasons: BTreeSet<&str> = status
            .traffic
            .iter()
            .flat_map(|span| &span.counters)
            .filter(|row| row.verdict == verdict)
            .map(|row| row.reason.as_str())
            .collect();
        // The first question has an answer also when it is nothing.
        if reasons.is_empty() && verdict == "would_drop" {
            continue;
        }
        let row = |reason: Option<&str>| -> Vec<String> {
            let wanted = |row: &&Counter| row.verdict == verdict && reason.is_none_or(|reason| row.reason == reason);
            let sum = |rows: &[Counter]| rows.iter().filter(wanted).map(|row| row.packets).sum();
            status.traffic.iter().map(|span| grouped(sum(&span.counters))).collect()
        };
        heads.push((word.to_owned(), row(None)));
        for reason in reasons {
            heads.push((format!("  {reason}"), row(Some(reason))));
        }
    }
    let mut text = String::new();
    for (head, cells) in heads {
        text.push_str(&format!("  {head:<16}"));
        for cell in cells {
            text.push_str(&format!("{cell:>14}"));
        }
        text.push('\n');
    }
    text
}

/// For those who read on.
fn rest(status: &Status, now: Timestamp) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    for gate in &status.gates {
        let allow = if gate.allow.is_empty() {
            "nobody but trust".to_owned()
        } else {
            gate.allow.join(" ")
        };
        let mode = if gate.mode == "observe" { ", only observes" } else { "" };
        rows.push((
            format!("gate {}", gate.name),
            format!("port {}{mode}: lets in {allow}", ports(&gate.ports)),
        ));
    }
    let mut origins: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for source in &status.sources {
        let Some(date) = &source.date else { continue };
        let specs = origins.entry((&source.origin, date)).or_default();
        if !specs.contains(&source.spec.as_str()) {
            specs.push(&source.spec);
        }
    }
    for ((origin, date), specs) in origins {
        rows.push((
            "data".to_owned(),
            format!("{} from {origin} of {date}", specs.join(" ")),
        ));
    }
    let fullest = status
        .maps
        .iter()
        .max_by_key(|map| map.entries * 1000 / map.capacity.max(1));
    let mut bans = format!("{} in force", grouped(status.bans));
    if let Some(map) = fullest {
        bans.push_str(&format!(
            "; {:.1} MiB of kernel memory, its fullest table at {} %",
            status.kernel_bytes as f64 / f64::from(1 << 20),
            map.entries * 100 / map.capacity.max(1)
        ));
    }
    rows.push(("bans".to_owned(), bans));
    for follow in &status.follow {
        rows.push(("maillog".to_owned(), follow.clone()));
    }
    if let (Some(maillog), Some(daemon)) = (status.maillog, &status.daemon) {
        let behind = match (maillog.behind_bytes, maillog.behind_seconds) {
            (0, _) => "read to its end".to_owned(),
            (bytes, seconds) => format!("{} bytes, {seconds} s behind", grouped(bytes)),
        };
        let since = rough(now.duration_since(daemon.since).as_secs().unsigned_abs());
        rows.push((
            String::new(),
            format!(
                "{behind}; {} lines and {} offences in {since}",
                grouped(maillog.lines),
                grouped(maillog.offences)
            ),
        ));
    }
    let widest = rows.iter().map(|(head, _)| head.len()).max().unwrap_or_default();
    let row = |(head, text): &(String, String)| hanging(&format!("  {head:<widest$}  "), text);
    rows.iter().map(row).collect()
}

pub(super) fn ports(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}
