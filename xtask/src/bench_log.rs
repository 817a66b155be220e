//! `cargo xtask bench-log`: how fast log lines become bans on this machine.

use anyhow::Result;

use crate::tools;

/// Measures parse and detect over a million mixed lines, and the memory that a million offenders take. Needs no root.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    tools::succeed(tools::cargo("build").args(["--release", "--package", "smtpgate-tests", "--bin", "bench-log"]))?;
    let program = tools::target().join("release/bench-log");
    tools::succeed(&mut std::process::Command::new(&program))?;
    tools::succeed(std::process::Command::new(&program).arg("memory"))
}
