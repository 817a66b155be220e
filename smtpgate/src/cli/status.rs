//! `smtpgate status`: is it enforcing, where, and what was refused.

use super::{Global, Output, ask::ask, output::table};
use crate::daemon::{failure::Failure, protocol::Request, report::Status};

pub(super) fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let status: Status = ask(global, Request::Status)?;
    output.document(&status, text);
    if status.enforcing {
        return Ok(());
    }
    Err(Failure::NotEnforcing(match status.mode.as_str() {
        "observe" => "not enforcing: every gate only observes".to_owned(),
        _ => "not enforcing: start `smtpgate run`, or put the gate up alone with `smtpgate load`".to_owned(),
    }))
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let state = if status.enforcing { "enforcing" } else { "NOT ENFORCING" };
    let daemon = match &status.daemon {
        Some(daemon) => format!("daemon {} since {}", daemon.pid, super::output::when(daemon.since)),
        None => "no daemon".to_owned(),
    };
    text.push_str(&format!(
        "smtpgate {}: {state} ({}), {daemon}\n",
        status.version, status.mode
    ));

    for line in &status.attention {
        text.push_str(&format!("  ! {line}\n"));
    }

    text.push_str("\nInterfaces\n");
    text.push_str(&table(
        &status
            .interfaces
            .iter()
            .map(|interface| {
                vec![
                    interface.name.clone(),
                    interface.attach.clone(),
                    interface.note.clone().unwrap_or_default(),
                ]
            })
            .collect::<Vec<_>>(),
    ));

    text.push_str("\nGates\n");
    text.push_str(&table(
        &status
            .gates
            .iter()
            .map(|gate| {
                vec![
                    gate.name.clone(),
                    ports(&gate.ports),
                    gate.mode.clone(),
                    gate.allow.join(" "),
                ]
            })
            .collect::<Vec<_>>(),
    ));

    text.push_str("\nPackets since load\n");
    if status.counters.is_empty() {
        text.push_str("  none yet\n");
    }
    text.push_str(&table(
        &status
            .counters
            .iter()
            .map(|row| {
                vec![
                    row.gate.clone().unwrap_or_else(|| "-".to_owned()),
                    row.verdict.clone(),
                    row.reason.clone(),
                    row.family.clone(),
                    row.packets.to_string(),
                ]
            })
            .collect::<Vec<_>>(),
    ));

    text.push_str("\nSources\n");
    text.push_str(&table(
        &status
            .sources
            .iter()
            .map(|source| {
                vec![
                    source.list.clone(),
                    source.spec.clone(),
                    format!("{} prefixes", source.prefixes),
                    source.origin.clone(),
                    source.date.clone().unwrap_or_default(),
                ]
            })
            .collect::<Vec<_>>(),
    ));

    text.push_str(&format!(
        "\nBans {}   kernel memory {:.1} MiB\n",
        status.bans,
        status.kernel_bytes as f64 / f64::from(1 << 20)
    ));
    text.push_str(&table(
        &status
            .maps
            .iter()
            .filter(|map| map.entries > 0)
            .map(|map| {
                let percent = map.entries * 100 / map.capacity.max(1);
                vec![
                    map.name.clone(),
                    format!("{} of {}", map.entries, map.capacity),
                    format!("{percent} %"),
                ]
            })
            .collect::<Vec<_>>(),
    ));
    for follow in &status.follow {
        text.push_str(&format!("Maillog {follow}\n"));
    }
    if let Some(maillog) = status.maillog.filter(|maillog| maillog.behind_bytes > 0) {
        text.push_str(&format!(
            "Maillog {} bytes, {} s behind\n",
            maillog.behind_bytes, maillog.behind_seconds
        ));
    }
    text
}

pub(super) fn ports(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}
