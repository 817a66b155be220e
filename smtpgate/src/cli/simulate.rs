//! `smtpgate simulate`: what the configuration would have done to logs of the past.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, Read},
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{
    Global, Output,
    output::{prefix, table, when},
};
use crate::{
    config::Config,
    daemon::{clock, failure::Failure, report::Simulation, simulate::Simulator},
    maillog::{self, Lines, journal},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Maillogs, also rotated ones packed by gzip, xz or zstd, in any order; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let config = Config::load(global.config.as_deref()).map_err(Failure::usage)?;
    output.document(&simulate(&config, &args.files)?, text);
    Ok(())
}

/// What `config` would have done to these logs.
pub(super) fn simulate(config: &Config, files: &[PathBuf]) -> Result<Simulation, Failure> {
    let mut simulator = Simulator::new(config, clock::of_the_log())?;
    let files = in_order(files, &simulator)?;
    let bar = progress(&files);
    for file in files {
        let mut log = open(&file, &bar)?;
        let mut lines = Lines::default();
        while let Some(line) = lines.next_line(&mut log).map_err(|error| at(&file, &error))? {
            simulator.line(line);
        }
    }
    bar.finish_and_clear();
    Ok(simulator.end())
}

/// What `config` would have done to this host's journal since then.
pub(super) fn simulate_journal(config: &Config, since: Timestamp) -> Result<Simulation, Failure> {
    let mut simulator = Simulator::new(config, clock::of_the_log())?;
    journal::past(since, |line| simulator.line(line))
        .map_err(|error| Failure::Failed(format!("the systemd journal: {error}")))?;
    Ok(simulator.end())
}

fn at(file: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", file.display()))
}

fn open<'b>(file: &Path, bar: &'b ProgressBar) -> Result<Box<dyn BufRead + 'b>, Failure> {
    let log: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(|error| at(file, &error))?)
    };
    maillog::open(bar.wrap_read(log)).map_err(|error| at(file, &error))
}

/// By the time of their first line: a shell names `mail.log` before `mail.log.1`.
fn in_order(files: &[PathBuf], simulator: &Simulator) -> Result<Vec<PathBuf>, Failure> {
    if files.len() < 2 {
        return Ok(files.to_vec());
    }
    let hidden = ProgressBar::hidden();
    let mut dated: Vec<(Option<Timestamp>, PathBuf)> = Vec::new();
    for file in files {
        if file.as_os_str() == "-" {
            return Err(Failure::Usage(
                "- (standard input) is read alone, not with files".to_owned(),
            ));
        }
        let mut log = open(file, &hidden)?;
        let mut lines = Lines::default();
        let mut first = None;
        while first.is_none()
            && let Some(line) = lines.next_line(&mut log).map_err(|error| at(file, &error))?
        {
            first = simulator.time(line);
        }
        dated.push((first, file.clone()));
    }
    dated.sort_by_key(|(first, _)| *first);
    Ok(dated.into_iter().map(|(_, file)| file).collect())
}

/// On a terminal's standard error only.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let size = files
        .iter()
        .filter_map(|file| file.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn text(simulation: &Simulation) -> String {
    let lines = simulation.lines;
    let refused = simulation.refused;
    let mut text = format!(
        "Read {} lines, understood {}, {} offences.\n\
         The gates would have refused {} connections; {} offences would not have come.\n",
        lines.read, lines.understood, lines.offences, refused.connections, refused.offences
    );
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for ban in &simulation.bans {
        *by_rule.entry(ban.rule.name()).or_default() += 1;
    }
    let rules: Vec<String> = by_rule
        .iter()
        .map(|(rule, number)| format!("{number} {rule}"))
        .collect();
    text.push_str(&format!("\n{} bans", simulation.bans.len()));
    text.push_str(&if rules.is_empty() {
        "\n".to_owned()
    } else {
        format!(": {}\n", rules.join(", "))
    });
    text.push_str(&table(
        &simulation
            .bans
            .iter()
            .map(|ban| {
                vec![
                    when(ban.at),
                    prefix(&ban.prefix),
                    format!("until {}", when(ban.until)),
                    ban.rule.name().to_owned(),
                    cut(&ban.reason),
                ]
            })
            .collect::<Vec<_>>(),
    ));
    text.push_str(&format!("\n{} alarms\n", simulation.alarms.len()));
    for alarm in &simulation.alarms {
        let prefixes: Vec<String> = alarm.prefixes.iter().map(prefix).collect();
        text.push_str(&format!(
            "  {}  {}  {}\n",
            when(alarm.at),
            alarm.kind.name(),
            alarm.text
        ));
        if !prefixes.is_empty() {
            text.push_str(&format!("      {}\n", prefixes.join(" ")));
        }
    }
    if simulation.lost.is_empty() {
        text.push_str("\nNo legitimate mail would have been lost.\n");
        return text;
    }
    text.push_str("\nLegitimate mail that would have been lost\n");
    let head = ["sender", "network", "country", "messages", "logins"];
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    rows.extend(simulation.lost.iter().map(|lost| {
        vec![
            if lost.sender.is_empty() {
                "<>".to_owned()
            } else {
                lost.sender.clone()
            },
            lost.network.to_string(),
            lost.country.clone().unwrap_or_else(|| "-".to_owned()),
            lost.messages.to_string(),
            lost.logins.to_string(),
        ]
    }));
    text.push_str(&table(&rows));
    text.push_str("\nAdd to the gates' `allow` to keep it:\n");
    for spec in &simulation.allow {
        text.push_str(&format!("    \"{spec}\",\n"));
    }
    text
}

/// So much of a reason as a line has room for; `--json` has it whole.
fn cut(reason: &str) -> String {
    const ROOM: usize = 60;
    match reason.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}
