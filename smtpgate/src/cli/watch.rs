//! `smtpgate watch`: what happens, as it happens.

use super::{
    Global, Output,
    output::{prefix, until, when},
};
use crate::{
    config::{Config, Paths},
    daemon::{
        client,
        failure::Failure,
        report::{News, Refusal},
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only these, such as ban,alarm
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    only: Vec<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// SYNs that were refused, or would have been: a sample under flood
    Refused,
    /// Bans
    Ban,
    /// Bans that were lifted by hand
    Unban,
    /// A list of accounts under siege, a stolen account, too many bans at once
    Alarm,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let paths = Config::load(global.config.as_deref())
        .map_or_else(|_| Paths::peek(global.config.as_deref()), |config| config.paths);
    let Some(news) = client::watch(&paths.run)? else {
        return Err(no_daemon());
    };
    for news in news {
        let news = news?;
        let wanted = kind(&news).is_none_or(|kind| args.only.is_empty() || args.only.contains(&kind));
        if wanted && !output.line(&news, text) {
            return Ok(());
        }
    }
    Err(Failure::Failed("the daemon has ended".to_owned()))
}

pub(super) fn no_daemon() -> Failure {
    Failure::Failed(
        "no daemon runs, and only a daemon sees what happens: `systemctl start smtpgate`, or `smtpgate run`".to_owned(),
    )
}

/// None for what everybody must know.
const fn kind(news: &News) -> Option<Kind> {
    match news {
        News::Refused(_) => Some(Kind::Refused),
        News::Ban(_) => Some(Kind::Ban),
        News::Unban { .. } => Some(Kind::Unban),
        News::Alarm(_) => Some(Kind::Alarm),
        News::Missed { .. } => None,
    }
}

fn text(news: &News) -> String {
    match news {
        News::Refused(told) => refusal(told),
        News::Ban(ban) => {
            let until = until(ban.until);
            let who = place(prefix(&ban.prefix), ban.country.as_deref());
            format!(
                "{}  banned        {who}  until {until}, by {}: {}",
                when(ban.since),
                ban.rule,
                ban.reason
            )
        }
        News::Unban { time, prefix: whose } => format!("{}  unbanned      {}", when(*time), prefix(whose)),
        News::Alarm(alarm) => format!("{}  ALARM         {}", when(alarm.at), alarm.text),
        News::Missed { events } => format!("({events} events came too fast to be shown)"),
    }
}

pub(super) fn refusal(told: &Refusal) -> String {
    let word = if told.verdict == "drop" {
        "refused     "
    } else {
        "would refuse"
    };
    let source = told.source.map_or_else(|| "?".to_owned(), |source| source.to_string());
    let who = place(source, told.country.as_deref());
    let port = told.port.map(|port| format!("  port {port}")).unwrap_or_default();
    let interface = told.interface.as_deref().unwrap_or("?");
    format!(
        "{}  {word}  {who}  {}{port} on {interface}",
        when(told.time),
        told.reason
    )
}

fn place(who: String, country: Option<&str>) -> String {
    match country {
        Some(country) => format!("{who} ({country})"),
        None => who,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::report::BanState;

    #[test]
    fn watch_tells_in_one_line() {
        let at: jiff::Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
        let refused = News::Refused(Refusal {
            time: at,
            verdict: "would_drop".to_owned(),
            reason: "outside".to_owned(),
            source: Some("203.0.113.9".parse().unwrap()),
            country: Some("US".to_owned()),
            gate: Some("mx".to_owned()),
            port: Some(25),
            interface: Some("eth0".to_owned()),
        });
        let banned = News::Ban(BanState {
            prefix: "203.0.113.9/32".parse().unwrap(),
            country: None,
            since: at,
            until: None,
            rule: "operator".to_owned(),
            reason: "enough".to_owned(),
            times: 1,
            evidence: vec!["a line".to_owned()],
        });
        for (news, expected) in [
            (&refused, "  would refuse  203.0.113.9 (US)  outside  port 25 on eth0"),
            (
                &banned,
                "  banned        203.0.113.9  until lifted, by operator: enough",
            ),
            (&News::Missed { events: 3 }, "(3 events came too fast to be shown)"),
        ] {
            let told = text(news);
            assert!(told.ends_with(expected), "{told}");
            assert!(!told.contains('\n'), "{told}");
        }
    }
}
