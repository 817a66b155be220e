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

/// What every verb takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Configuration file [default: /etc/smtpgate/config.toml and config.d/*.toml beside it]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON: one document, or one object a line for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Enforce the policy, follow the maillog and ban, in the foreground
    Run(run::Args),
    /// Validate the configuration and every source; load nothing
    Check,
    /// Is it enforcing, where, since when, and what was refused
    Status,
    /// Bans and operator's exceptions now in force, by country, prefix, reason, user or age
    List(list::Args),
    /// Tell what happens as it happens: refusals, bans, alarms
    Watch(watch::Args),
    /// What is refused now, by whom, and who was banned, on a screen that lives; with keys to ban, unban and explain
    Top(top::Args),
    /// What was refused, from where, and who was banned, as text or as one page for a browser
    Report(report::Args),
    /// Numbers for Prometheus, in its text format; with --json what `status --json` prints
    Metrics,
    /// Say for one address which rule decides, at each gate, and whether the kernel agrees
    Explain(explain::Args),
    /// Refuse an address or prefix at every gate
    Ban(ban::BanArgs),
    /// Lift a ban
    Unban(ban::UnbanArgs),
    /// Let an address or prefix in, beside what the configuration allows
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
    Reload(load::ReloadArgs),
    /// Keep a change made with `--confirm`, which is undone otherwise
    Confirm(confirm::Args),
    /// Put the gate up without a daemon
    Load(load::LoadArgs),
    /// Take the gate down: programs, maps and pins
    Unload,
    /// Say what each line of a maillog is read as
    TestLog(test_log::Args),
    /// Say what this configuration would have done to a maillog: bans, alarms, and the legitimate mail it would lose
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
