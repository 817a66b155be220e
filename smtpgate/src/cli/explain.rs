//! `smtpgate explain ADDR`: which rule decides, at each gate, and whether the kernel agrees.

use std::net::IpAddr;

use super::{
    Global, Output,
    ask::ask,
    output::{hanging, prefix, table, until, when},
    status::ports,
};
use crate::daemon::{failure::Failure, protocol::Request, report::Explanation};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Source address, IPv4 or IPv6
    #[arg(value_name = "ADDR")]
    address: IpAddr,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let explanation: Explanation = ask(global, Request::Explain { address: args.address })?;
    output.document(&explanation, text);
    if explanation.agrees == Some(false) {
        return Err(Failure::Failed(
            "the kernel's maps do not say what the policy says; `smtpgate reload` puts them right".to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn text(explanation: &Explanation) -> String {
    let owner = explanation.owner.as_ref().map(ToString::to_string);
    let place: Vec<String> = explanation.country.clone().into_iter().chain(owner).collect();
    let mut text = explanation.address.to_string();
    if !place.is_empty() {
        text.push_str(&format!(" ({})", place.join(", ")));
    }
    text.push('\n');
    let mut rows = vec![
        ["GATE", "PORTS", "VERDICT", "REASON", "KERNEL"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(explanation.gates.iter().map(|gate| {
        let kernel = match &gate.kernel {
            None => "nothing loaded".to_owned(),
            Some(kernel) if kernel.verdict == gate.verdict && kernel.reason == gate.reason => "agrees".to_owned(),
            Some(kernel) => format!("DIFFERS: {} {}", kernel.verdict, kernel.reason),
        };
        vec![
            gate.gate.clone(),
            ports(&gate.ports),
            gate.verdict.clone(),
            gate.reason.clone(),
            kernel,
        ]
    }));
    text.push_str(&table(&rows));
    if explanation.matches.is_empty() {
        text.push_str("In no source and no exception.\n");
    }
    for found in &explanation.matches {
        let date = found.date.as_ref().map(|date| format!(", {date}")).unwrap_or_default();
        let place = format!(
            "{} by {} ({}), from {}{date}",
            found.list,
            found.spec,
            prefix(&found.prefix),
            found.origin
        );
        text.push_str(&hanging("In ", &place));
    }
    for ban in &explanation.bans {
        let why = format!(
            "{} since {}, until {}, by {}: {}",
            prefix(&ban.prefix),
            when(ban.since),
            until(ban.until),
            ban.rule,
            ban.reason
        );
        text.push_str(&hanging("Banned as ", &why));
        // Whole, as in the log: they are searched for there.
        for line in &ban.evidence {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}
