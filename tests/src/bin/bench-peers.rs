//! The gate beside its peers: `bench-peers SMTPGATE REPEATS|quick FILE [FILTER]` measures, and writes what it found as
//! JSON; with FILTER only that one.
//!
//! Needs root. Works in network namespaces and on a BPF file system of its own.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use smtpgate_tests::peers::{Plan, run};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some((smtpgate, rest)), 3..=4) = (arguments.split_first(), arguments.len()) else {
        bail!("usage: bench-peers SMTPGATE REPEATS|quick FILE [FILTER]")
    };
    let (repeats, file) = (&rest[0], &rest[1]);
    let mut plan = match repeats.as_str() {
        "quick" => Plan::quick(),
        number => Plan::whole(number.parse().context("REPEATS is a number")?),
    };
    plan.only = rest.get(2).cloned();
    let found = run(&plan, PathBuf::from(smtpgate))?;
    std::fs::write(file, serde_json::to_vec_pretty(&found)?).with_context(|| file.clone())
}
