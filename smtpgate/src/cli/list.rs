//! `smtpgate list`: bans and exceptions in force.

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    Global, Output,
    ask::ask,
    output::{grouped, prefix, rough, table},
    since,
};
use crate::{
    daemon::{
        failure::Failure,
        protocol::{Filter, Request, Sort},
        report::List,
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
    output.document(&list, |list| text(list, Timestamp::now()));
    Ok(())
}

/// The times are how long ago and how long yet, as in `top`: rows have to fit a terminal. `explain` has them in full.
fn text(list: &List, now: Timestamp) -> String {
    let apart = |one: Timestamp, other: Timestamp| rough(one.duration_since(other).as_secs().max(0).unsigned_abs());
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
                ["BANNED", "IN", "AGO", "LEFT", "TIMES", "RULE", "REASON"]
                    .map(str::to_owned)
                    .to_vec(),
            ];
            rows.extend(list.bans.iter().map(|ban| {
                vec![
                    prefix(&ban.prefix),
                    ban.country.clone().unwrap_or_else(|| "-".to_owned()),
                    apart(now, ban.since),
                    ban.until.map_or_else(|| "no end".to_owned(), |until| apart(until, now)),
                    ban.times.to_string(),
                    ban.rule.clone(),
                    ban.reason.clone(),
                ]
            }));
            format!("{number}\n{}", table(&rows))
        }
    };
    if !list.exceptions.is_empty() {
        let mut rows = vec![["ALLOWED", "GATE", "AGO", "NOTE"].map(str::to_owned).to_vec()];
        rows.extend(list.exceptions.iter().map(|exception| {
            vec![
                prefix(&exception.prefix),
                exception.gate.clone().unwrap_or_else(|| "every".to_owned()),
                apart(now, exception.since),
                exception.note.clone(),
            ]
        }));
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::report::{BanState, Exception};

    #[test]
    fn list_rows_fit_a_terminal() {
        let now: Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
        let ban = |prefix: &str, left: Option<i64>, rule: &str, reason: &str| BanState {
            prefix: prefix.parse().unwrap(),
            country: Some("RU".to_owned()),
            since: now - jiff::SignedDuration::from_mins(3),
            until: left.map(|left| now + jiff::SignedDuration::from_hours(left)),
            rule: rule.to_owned(),
            reason: reason.to_owned(),
            times: 2,
            evidence: Vec::new(),
        };
        let list = List {
            bans: vec![
                ban("203.0.113.199/32", Some(24 * 7), "maxretry", "5 points in 3 min"),
                ban("2001:db8:1234:5678::/64", None, "operator", "enough"),
            ],
            all: 2,
            exceptions: vec![Exception {
                prefix: "198.51.100.0/24".parse().unwrap(),
                gate: None,
                since: now - jiff::SignedDuration::from_hours(50),
                note: "the new office".to_owned(),
            }],
        };
        let expected = "\
2 bans
  BANNED                   IN  AGO    LEFT    TIMES  RULE      REASON
  203.0.113.199            RU  3 min  7 days  2      maxretry  5 points in 3 min
  2001:db8:1234:5678::/64  RU  3 min  no end  2      operator  enough

  ALLOWED          GATE   AGO     NOTE
  198.51.100.0/24  every  2 days  the new office
";
        assert_eq!(text(&list, now), expected);
        assert!(expected.lines().all(|line| line.len() <= 80));
    }
}
