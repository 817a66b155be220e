//! The package on a whole Debian with systemd: install, start, ban, upgrade, restart, reboot, remove, purge.

use std::path::Path;

use anyhow::{Result, ensure};
use smtpgate_tests::kernels::machine::Parts;
use smtpgate_tests::lab::root::Suite;
use smtpgate_tests::machine::boot::Machine;
use smtpgate_tests::machine::guest::{FIRST, SECOND};
use smtpgate_tests::machine::image::Image;

fn lives_and_goes_on(suite: Suite) -> Result<()> {
    let guest = Path::new(env!("CARGO_BIN_EXE_machine-guest"));
    let machine = Machine::new(Image::of(suite)?, guest)?;
    all_done(&machine.boot()?, &FIRST.map(|(name, _)| name))?;
    all_done(&machine.boot()?, &SECOND.map(|(name, _)| name))
}

/// Every part is there and went well.
fn all_done(parts: &Parts, expected: &[&str]) -> Result<()> {
    for (name, outcome) in parts {
        match outcome {
            Ok(text) => println!("  {name}: {text}"),
            Err(text) => println!("  FAILED {name}: {text}"),
        }
    }
    let done: Vec<&str> = parts
        .iter()
        .filter(|(_, outcome)| outcome.is_ok())
        .map(|(name, _)| name.as_str())
        .collect();
    ensure!(done == expected, "done: {done:?}, of {expected:?}");
    Ok(())
}

#[test]
#[ignore = "root: cargo xtask test --full"]
fn long_install_on_trixie() {
    lives_and_goes_on(Suite::Trixie).unwrap();
}

#[test]
#[ignore = "root: cargo xtask test --full"]
fn long_install_on_bookworm() {
    lives_and_goes_on(Suite::Bookworm).unwrap();
}
