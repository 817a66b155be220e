//! `sweep SLICE [FILE]`: every IPv4 address (or one /16 network in SLICE) and millions of IPv6 ones, at every gate of
//! several policies, against the policy's words. FILE is a country database in MaxMind's format, for one more policy.
//! Needs root, as the maps are the kernel's; nothing is attached and no packet is sent.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use smtpgate_tests::sweep::{policies, sweep};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let slice = args.next().context("usage: sweep SLICE [FILE]")?;
    let slice: u32 = slice.parse().context("SLICE is a number")?;
    let mut all = policies::built_in()?;
    if let Some(file) = args.next() {
        all.push(policies::database(file.as_ref())?);
    }
    let mut differences = 0;
    for policy in all {
        let start = Instant::now();
        let outcome = sweep(&policy, slice)?;
        println!(
            "{}: {} IPv4 and {} IPv6 addresses at {} gates, {} differences, {:.0?}",
            policy.name,
            outcome.addresses4,
            outcome.addresses6,
            policy.intent.gates.len(),
            outcome.differences,
            start.elapsed()
        );
        for line in outcome.told {
            println!("  {line}");
        }
        differences += outcome.differences;
    }
    ensure!(differences == 0, "{differences} verdicts are not what the policy says");
    Ok(())
}
