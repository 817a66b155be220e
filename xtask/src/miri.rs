//! `cargo xtask miri`: what is unsafe in `smtpgate-common`, and the decision over it, by an interpreter that knows every rule
//! of the language.

use std::process::Command;

use anyhow::Result;

use crate::tools;

/// Miri comes with nightly toolchains only. Whichever is there is taken: a newer one knows more rules.
const TOOLCHAIN: &str = "nightly";
/// Of each property; an interpreter is slow.
const CASES: &str = "8";
/// Pointers are what their origin allows, alignment is never luck. Not isolated: proptest asks where it is.
const FLAGS: &str = "-Zmiri-strict-provenance -Zmiri-symbolic-alignment-check -Zmiri-disable-isolation";

pub(crate) fn run() -> Result<()> {
    install()?;
    let mut miri = Command::new("rustup");
    miri.current_dir(tools::workspace())
        .args([
            "run",
            TOOLCHAIN,
            "cargo",
            "miri",
            "test",
            "--package",
            "smtpgate-common",
        ])
        .env("MIRIFLAGS", FLAGS)
        .env("PROPTEST_CASES", CASES);
    tools::succeed(&mut miri)
}

/// The toolchain with Miri, when it is not there.
fn install() -> Result<()> {
    let there = Command::new("rustup")
        .args(["run", TOOLCHAIN, "cargo", "miri", "--version"])
        .output()
        .is_ok_and(|out| out.status.success());
    if there {
        return Ok(());
    }
    println!("installing Miri in the {TOOLCHAIN} toolchain");
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", TOOLCHAIN, "--profile", "minimal"]);
    tools::succeed(rustup.args(["--component", "miri", "--component", "rust-src"]))
}
