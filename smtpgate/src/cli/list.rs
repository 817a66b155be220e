//! `smtpgate list`: bans and exceptions in force.

use super::{
    Global, Output,
    ask::ask,
    output::{table, when},
};
use crate::daemon::{
    failure::Failure,
    protocol::Request,
    report::{BanState, List},
};

pub(super) fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let list: List = ask(global, Request::List)?;
    output.document(&list, text);
    Ok(())
}

fn text(list: &List) -> String {
    let mut rows = vec![
        ["BANNED", "UNTIL", "RULE", "TIMES", "REASON"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(list.bans.iter().map(|ban| {
        vec![
            bare(ban),
            until(ban),
            ban.rule.clone(),
            ban.times.to_string(),
            ban.reason.clone(),
        ]
    }));
    let mut text = if list.bans.is_empty() {
        "No bans.\n".to_owned()
    } else {
        table(&rows)
    };
    if !list.exceptions.is_empty() {
        let mut rows = vec![["ALLOWED", "GATE", "SINCE", "NOTE"].map(str::to_owned).to_vec()];
        rows.extend(list.exceptions.iter().map(|exception| {
            vec![
                super::output::prefix(&exception.prefix),
                exception.gate.clone().unwrap_or_else(|| "every".to_owned()),
                when(exception.since),
                exception.note.clone(),
            ]
        }));
        text.push_str(&table(&rows));
    }
    text
}

fn bare(ban: &BanState) -> String {
    super::output::prefix(&ban.prefix)
}

pub(super) fn until(ban: &BanState) -> String {
    ban.until.map_or_else(|| "unban".to_owned(), when)
}
