//! `cargo xtask bench`: what a verdict costs on this machine, and how fast the daemon is.

use anyhow::Result;

use crate::tools;

/// Measures what a verdict costs, frame kind by frame kind, beside a program that only drops; how soon a guesser's SYN is
/// dropped after the line that convicts it was written; and how soon a daemon with 100,000 bans is ready.
///
/// Needs root, and nothing else: no second machine, no C compiler, no packet that leaves a namespace of its own. The
/// figures are of warm caches.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of each kind of frame; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    tools::install(tools::LAB)?;
    tools::succeed(tools::cargo("build").args([
        "--release",
        "--package",
        "smtpgate",
        "--package",
        "smtpgate-tests",
        "--bins",
    ]))?;
    let release = tools::target().join("release");
    let mut bench = tools::with_bpffs(release.join("bench-testrun"))?;
    tools::succeed(bench.arg(args.rounds.to_string()))?;
    let mut bench = tools::with_bpffs(release.join("bench-daemon"))?;
    tools::succeed(bench.arg(release.join("smtpgate")))
}
