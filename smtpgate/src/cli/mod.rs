//! One file per verb: arguments in, text or JSON out. Thin: the work is in [`crate::daemon`].
//!
//! A verb asks the running daemon when there is one; otherwise it takes the lock and does the same work through the same
//! [`crate::daemon::engine::Engine`].

use std::{path::PathBuf, process::ExitCode, sync::OnceLock};

use clap::{CommandFactory as _, Parser, Subcommand};

mod allow;
mod ask;
mod ban;
mod check;
mod confirm;
mod explain;
mod export;
mod helper;
mod import;
mod list;
mod load;
mod log;
mod metrics;
mod output;
mod reconcile;
mod report;
mod run;
mod setup;
mod simulate;
mod since;
mod status;
mod test_log;
mod top;
mod watch;

use crate::{daemon::hooks, sources::builtin};
use output::Output;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 usage or configuration error, 3 not enforcing.
Files: /etc/smtpgate/config.toml and config.d/*.toml, /var/lib/smtpgate/, /run/smtpgate/, /sys/fs/bpf/smtpgate/";

/// Refuses SYNs to the mail ports at the NIC, from where your mail does not come from
#[derive(Debug, Parser)]
#[command(name = "smtpgate", version, long_version = long_version(), after_help = AFTER_HELP, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Behind the verb's own options.
const EVERY_VERB: &str = "Options of every verb";

/// What every verb takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Configuration, with config.d/*.toml beside it [default: /etc/smtpgate/config.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERY_VERB, display_order = 1000)]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON: one document, or one object a line for streams
    #[arg(long, global = true, help_heading = EVERY_VERB, display_order = 1001)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Look at this host and propose a configuration, with reasons, and what it would have done to the last log
    Setup(setup::Args),
    /// Enforce the policy, follow the maillog and ban, in the foreground
    #[command(
        after_help = "Examples:\n  smtpgate run --observe             count, refuse nothing\n  smtpgate run --confirm 10m         take it down again unless confirmed"
    )]
    Run(run::Args),
    /// Validate the configuration and every source; load nothing
    Check,
    /// Show whether it enforces, where and since when, and what was refused
    Status,
    /// List bans and exceptions in force, by country, prefix, reason, user or age
    #[command(
        after_help = "Examples:\n  smtpgate list --country RU,CN --since 2h\n  smtpgate list --user info --sort until\n  smtpgate list --prefix 203.0.113.0/24 --json"
    )]
    List(list::Args),
    /// Print refusals, bans and alarms as they happen
    #[command(
        after_help = "Examples:\n  smtpgate watch --only ban,alarm\n  smtpgate watch --only refused --json | jq -r .source"
    )]
    Watch(watch::Args),
    /// Show a live screen: what is refused, by whom, who was banned; with keys to ban, unban, explain
    #[command(
        after_help = "Examples:\n  smtpgate top\n  smtpgate top --once                one picture, as text\n  smtpgate top --json | jq -c '.sources[0]'"
    )]
    Top(top::Args),
    /// Report what was refused, from where, and who was banned, as text or as one page for a browser
    Report(report::Args),
    /// Print numbers for Prometheus, in its text format; with --json what `status --json` prints
    Metrics,
    /// Explain for one address which rule decides, at each gate, and whether the kernel agrees
    Explain(explain::Args),
    /// Refuse an address or prefix at every gate
    #[command(
        after_help = "Examples:\n  smtpgate ban 203.0.113.9 --for 10d\n  smtpgate ban 203.0.113.0/24 --reason \"only guessers\" --confirm 5m\n  smtpgate ban - < addresses"
    )]
    Ban(ban::BanArgs),
    /// Lift a ban
    #[command(after_help = "Examples:\n  smtpgate unban 203.0.113.9\n  smtpgate unban --all")]
    Unban(ban::UnbanArgs),
    /// Let an address or prefix in, beside what the configuration allows
    #[command(
        after_help = "Examples:\n  smtpgate allow 198.51.100.0/24 --note \"branch office\"\n  smtpgate allow 2001:db8:7::/48 --gate submission --confirm 5m"
    )]
    Allow(allow::AllowArgs),
    /// Take back what `allow` gave
    Disallow(allow::DisallowArgs),
    /// Take over what hosts.allow, a firewall's rules or fail2ban let in and refuse
    Import(import::Args),
    /// Write what is in force for other tools: prefixes, ipset, nftables, Postfix
    Export(export::Args),
    /// Compare the kernel's maps with the policy now, and put right what differs
    Reconcile,
    /// Read configuration and sources again and apply them; bad ones change nothing
    #[command(after_help = "Examples:\n  smtpgate check && smtpgate reload --confirm 5m\n  smtpgate confirm")]
    Reload(load::ReloadArgs),
    /// Keep a change made with `--confirm`, which is undone otherwise
    Confirm(confirm::Args),
    /// Put the gate up without a daemon
    Load(load::LoadArgs),
    /// Take the gate down: programs, maps and pins
    Unload,
    /// Show what each line of a maillog is read as
    TestLog(test_log::Args),
    /// Show what this configuration would have done to a maillog: bans, alarms, and legitimate mail that it would lose
    #[command(after_help = "Examples:\n  smtpgate simulate /var/log/mail.log*")]
    Simulate(simulate::Args),
    /// Run the programs of [hooks] for what the daemon tells on standard input
    #[command(hide = true, name = hooks::VERB)]
    Helper,
}

/// Verbs and options: what man pages and completions are made of.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command with this process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.global.json);
    let global = &arguments.global;
    let done = match arguments.verb {
        Verb::Setup(args) => setup::run(global, &output, &args),
        Verb::Run(args) => run::run(global, args),
        Verb::Check => check::run(global, &output),
        Verb::Status => status::run(global, &output),
        Verb::List(args) => list::run(global, &output, args),
        Verb::Top(args) => top::run(global, &output, &args),
        Verb::Watch(args) => watch::run(global, &output, &args),
        Verb::Report(args) => report::run(global, &output, &args),
        Verb::Metrics => metrics::run(global, &output),
        Verb::Explain(args) => explain::run(global, &output, &args),
        Verb::Ban(args) => ban::ban(global, &output, args),
        Verb::Unban(args) => ban::unban(global, &output, args),
        Verb::Allow(args) => allow::allow(global, &output, args),
        Verb::Disallow(args) => allow::disallow(global, &output, args),
        Verb::Import(args) => import::run(global, &output, &args),
        Verb::Export(args) => export::run(global, &output, &args),
        Verb::Reconcile => reconcile::run(global, &output),
        Verb::Reload(args) => load::reload(global, &output, &args),
        Verb::Confirm(args) => confirm::run(global, &output, &args),
        Verb::Load(args) => load::load(global, &output, &args),
        Verb::Unload => load::unload(global, &output),
        Verb::TestLog(args) => test_log::run(global, &output, &args),
        Verb::Simulate(args) => simulate::run(global, &output, &args),
        Verb::Helper => helper::run(global),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure.to_string(), failure.exit_code());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn long_version() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{}\n\n{}", env!("CARGO_PKG_VERSION"), builtin::ATTRIBUTION))
}
