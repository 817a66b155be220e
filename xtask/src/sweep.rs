//! `cargo xtask sweep`: the whole of the IPv4 Internet at every gate.

use std::path::PathBuf;

use anyhow::Result;

use crate::tools;

/// Asks the gate table, as the kernel holds it, about every IPv4 address there is and a hundred million IPv6 ones, at every
/// gate of several policies, and compares each verdict with what the policy's lists say one by one.
///
/// Needs root for the kernel's maps; nothing is attached and no packet is sent.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only one /16 network in so many (a power of two), and as many of the IPv6 addresses
    #[arg(long, default_value_t = 1, value_name = "N")]
    slice: u32,
    /// One more policy: Japan by this country database in MaxMind's format
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    tools::succeed(tools::cargo("build").args(["--release", "--package", "smtpgate-tests", "--bin", "sweep"]))?;
    let mut sweep = tools::with_bpffs(tools::target().join("release/sweep"))?;
    sweep.arg(args.slice.to_string()).args(&args.database);
    tools::succeed(&mut sweep)
}
