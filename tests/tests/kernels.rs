//! The packet table on whole kernels, from the oldest that the gate knows to the newest of Debian.

use std::path::Path;

use anyhow::{Result, ensure};
use smtpgate_tests::kernels::debian::Kernel;
use smtpgate_tests::kernels::guest::PARTS;
use smtpgate_tests::kernels::machine::boot;

/// Boots the present kernel of a Debian suite, which must be of this version.
fn proves_the_table(suite: &str, version: &str) -> Result<()> {
    let kernel = Kernel::of(suite)?;
    let release = kernel.release()?;
    println!("{suite}: {release}");
    ensure!(release.starts_with(version), "{suite} has {release}, not {version}");
    let parts = boot(&kernel, Path::new(env!("CARGO_BIN_EXE_kernel-guest")))?;
    let mut failed = Vec::new();
    for (name, outcome) in &parts {
        match outcome {
            Ok(text) => println!("  {name}: {text}"),
            Err(text) => failed.push(format!("{name}: {text}")),
        }
    }
    ensure!(failed.is_empty(), "on {release}:\n{}", failed.join("\n"));
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == PARTS, "on {release}: {names:?}");
    let booted = parts[0].1.as_deref().unwrap_or_default();
    ensure!(booted.starts_with(&release), "{booted} was booted, not {release}");
    Ok(())
}

#[test]
#[ignore = "root: cargo xtask test"]
fn kernels_5_10_proves_the_packet_table() {
    proves_the_table("bullseye", "5.10.").unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn kernels_6_1_proves_the_packet_table() {
    proves_the_table("bookworm", "6.1.").unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn kernels_6_12_proves_the_packet_table() {
    proves_the_table("trixie", "6.12.").unwrap();
}

/// Whatever sid has: 7.2 or newer.
#[test]
#[ignore = "root: cargo xtask test"]
fn kernels_7_2_or_newer_proves_the_packet_table() {
    proves_the_table("sid", "7.").unwrap();
}
