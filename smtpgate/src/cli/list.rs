//! `smtpgate list`: bans and exceptions in force.

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    Global, Output,
    ask::ask,
    output::{grouped, prefix, roughly_when, table},
    since,
};
use crate::{
    daemon::{
        failure::Failure,
        protocol::{Filter, Request, Sort},
        report::{BanState, List},
    },
    sources::{Country, net},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only bans in these countries, such as RU,CN
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    country: Vec<Country>,
    /// Only bans inside this prefix, or around it
    #[arg(long = "prefix", value_name = "ADDR|PREFIX", value_parser = net::parse)]
    within: Option<IpNet>,
    /// Only bans by this rule, or with this text in their reason
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only bans of those who tried this login name; without `@`, at any domain
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only bans that began since then: 2h, 7d, 2026-11-24, "2026-11-24 08:00"
    #[arg(long, value_name = "TIME", value_parser = since::parse)]
    since: Option<Timestamp>,
    /// The order
    #[arg(long, value_enum, value_name = "BY", default_value = "since")]
    sort: Sort,
    /// Turn the order round
    #[arg(long)]
    reverse: bool,
}

pub(super) fn run(global: &Global, output: &Output, args: Args) -> Result<(), Failure> {
    let filter = Filter {
        country: args.country,
        within: args.within,
        reason: args.reason,
        user: args.user,
        since: args.since,
        sort: args.sort,
        reverse: args.reverse,
    };
    let list: List = ask(global, Request::List(filter))?;
    output.document(&list, text);
    Ok(())
}

fn text(list: &List) -> String {
    let mut text = match (list.bans.len() as u64, list.all) {
        (_, 0) => "No bans.\n".to_owned(),
        (0, all) => format!("None of the {} bans is such.\n", grouped(all)),
        (some, all) => {
            let number = if some == all {
                format!("{} bans", grouped(all))
            } else {
                format!("{} of {} bans", grouped(some), grouped(all))
            };
            let mut rows = vec![
                ["BANNED", "IN", "SINCE", "UNTIL", "RULE", "TIMES", "REASON"]
                    .map(str::to_owned)
                    .to_vec(),
            ];
            rows.extend(list.bans.iter().map(|ban| {
                vec![
                    prefix(&ban.prefix),
                    ban.country.clone().unwrap_or_else(|| "-".to_owned()),
                    roughly_when(ban.since),
                    until(ban),
                    ban.rule.clone(),
                    ban.times.to_string(),
                    ban.reason.clone(),
                ]
            }));
            format!("{number}\n{}", table(&rows))
        }
    };
    if !list.exceptions.is_empty() {
        let mut rows = vec![["ALLOWED", "GATE", "SINCE", "NOTE"].map(str::to_owned).to_vec()];
        rows.extend(list.exceptions.iter().map(|exception| {
            vec![
                prefix(&exception.prefix),
                exception.gate.clone().unwrap_or_else(|| "every".to_owned()),
                roughly_when(exception.since),
                exception.note.clone(),
            ]
        }));
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}

pub(super) fn until(ban: &BanState) -> String {
    ban.until.map_or_else(|| "lifted".to_owned(), roughly_when)
}
