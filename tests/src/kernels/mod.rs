//! Whole kernels: Debian's, from 5.10 on, booted in QEMU with a test binary of ours as their first process.
//!
//! [`debian`] fetches kernels, [`initramfs`] packs the file system they boot into, [`machine`] boots them and reads what
//! the guest says, [`guest`] is the other side: what runs in there.

pub mod debian;
pub mod guest;
pub mod initramfs;
pub mod machine;
mod rights;

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Runs a command to its end and gives what it printed; an error holds what it complained of.
pub(crate) fn succeed(command: &mut Command) -> Result<String> {
    let out = command
        .output()
        .with_context(|| format!("{}: cannot be started", command.get_program().display()))?;
    if !out.status.success() {
        bail!(
            "{command:?}: {}\n{}",
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
