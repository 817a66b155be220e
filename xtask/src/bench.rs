//! `cargo xtask bench`: what a verdict costs on this machine, how fast the daemon is, and how both compare with what else
//! an admin could have used.

mod figures;
mod page;
mod peers;
mod plot;

use anyhow::Result;

use crate::tools;

/// Measures what a verdict costs, frame kind by frame kind, beside a program that only drops; how soon a guesser's SYN is
/// dropped after the line that convicts it was written; and how soon a daemon with 100,000 bans is ready.
///
/// With --peers: the same policy by smtpgate, nftables, ipset and a list of iptables rules under the same flood, at sizes up
/// to 500,000 prefixes and a million bans. The figures go to target/bench-peers.json. Half an hour of an idle machine with
/// two processors or more.
///
/// Needs root, and nothing else: no second machine, no C compiler, no packet that leaves a namespace of its own. The
/// figures are of warm caches.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of each kind of frame; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Beside nftables, ipset and iptables
    #[arg(long)]
    peers: bool,
    /// How often all peers are measured, in turn
    #[arg(long, default_value_t = 5, requires = "peers")]
    repeats: u32,
    /// Only whether it works: one small policy, in seconds
    #[arg(long, requires = "peers")]
    quick: bool,
    /// Write docs/performance.md and its pictures from the figures
    #[arg(long, requires = "peers", conflicts_with = "quick")]
    write: bool,
    /// Measure nothing: the figures are there
    #[arg(long, requires = "write")]
    only_write: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.peers {
        return peers::run(args);
    }
    tools::install(tools::LAB)?;
    build(&["bench-testrun", "bench-daemon"])?;
    let release = tools::target().join("release");
    let mut bench = tools::with_bpffs(release.join("bench-testrun"))?;
    tools::succeed(bench.arg(args.rounds.to_string()))?;
    let mut bench = tools::with_bpffs(release.join("bench-daemon"))?;
    tools::succeed(bench.arg(release.join("smtpgate")))
}

/// The command, and programs that measure it.
fn build(programs: &[&str]) -> Result<()> {
    let mut cargo = tools::cargo("build");
    cargo.args(["--release", "--package", "smtpgate", "--package", "smtpgate-tests"]);
    for program in [&["smtpgate"], programs].concat() {
        cargo.args(["--bin", program]);
    }
    tools::succeed(&mut cargo)
}
