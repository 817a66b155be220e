//! `cargo xtask bench`: what a verdict costs on this machine.

use anyhow::Result;

use crate::tools;

/// Measures what a verdict costs, frame kind by frame kind, beside a program that only drops.
///
/// Needs root, and nothing else: no second machine, no C compiler, no packet. The figures are of warm caches.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    tools::install(tools::LAB)?;
    tools::succeed(tools::cargo("build").args(["--release", "--package", "smtpgate-tests", "--bin", "bench-testrun"]))?;
    let mut bench = tools::with_bpffs(tools::target().join("release/bench-testrun"))?;
    tools::succeed(bench.arg(args.rounds.to_string()))
}
