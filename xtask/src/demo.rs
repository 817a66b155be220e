//! `cargo xtask demo`: the gate shown in a throw-away lab.

use anyhow::Result;

use crate::tools;

pub(crate) fn run() -> Result<()> {
    tools::install(tools::LAB)?;
    tools::succeed(tools::cargo("build").args(["--package", "smtpgate", "--package", "smtpgate-tests", "--bins"]))?;
    tools::succeed(&mut tools::with_bpffs(tools::target().join("debug/lab-demo"))?)
}
