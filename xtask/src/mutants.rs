//! `cargo xtask mutants`: whether the tests notice when the code is made wrong.

use anyhow::{Result, bail};

use crate::tools;

/// The newest that Rust 1.95 builds.
const VERSION: &str = "27.1.0";

/// Where bugs cost most: what is made wrong, and the tests that must notice.
struct Room {
    name: &'static str,
    package: &'static str,
    files: &'static str,
    tests: &'static [&'static str],
}

const ROOMS: [Room; 3] = [
    Room {
        name: "common",
        package: "smtpgate-common",
        files: "smtpgate-common/src/**",
        tests: &[],
    },
    Room {
        name: "policy",
        package: "smtpgate",
        files: "smtpgate/src/policy/**",
        tests: &["--lib", "policy::"],
    },
    Room {
        name: "detect",
        package: "smtpgate",
        files: "smtpgate/src/detect/**",
        tests: &["--lib", "detect::"],
    },
];

/// Makes the code of a room wrong in one place after the other, and runs the room's tests: those must fail.
///
/// What is wrong and passes is a survivor: a test is missing, or it is no fault; then .cargo/mutants.toml says why. Takes
/// minutes for common, hours for the others. What came of it is in target/mutants/ROOM.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// common, policy or detect; without it, one after the other
    room: Option<String>,
    /// Only what is wrong in this file, as its path ends
    #[arg(long)]
    file: Option<String>,
    /// Only the part K of N, as `0/8`
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = |room: &&Room| args.room.as_ref().is_none_or(|name| name == room.name);
    let rooms: Vec<&Room> = ROOMS.iter().filter(wanted).collect();
    if rooms.is_empty() {
        bail!(
            "there is no such room: there are {}",
            ROOMS.map(|room| room.name).join(", ")
        );
    }
    let program = tools::pinned("cargo-mutants", VERSION)?;
    let target = tools::target().join("mutants");
    let mut survived = Vec::new();
    for room in rooms {
        println!("\n=== {}", room.name);
        let mut mutants = std::process::Command::new(&program);
        mutants
            .current_dir(tools::workspace())
            // The copy that is made wrong takes the dependencies from there, and leaves them.
            .env("CARGO_TARGET_DIR", target.join("target"))
            .args([
                "mutants",
                "--jobs",
                "1",
                "--minimum-test-timeout",
                "20",
                "--package",
                room.package,
            ])
            .arg("--output")
            .arg(target.join(room.name));
        match &args.file {
            Some(file) => mutants.args(["--file", &format!("**/{file}")]),
            None => mutants.args(["--file", room.files]),
        };
        if let Some(shard) = &args.shard {
            mutants.args(["--shard", shard]);
        }
        if !room.tests.is_empty() {
            mutants.arg("--").args(room.tests);
        }
        if let Err(error) = tools::succeed(&mut mutants) {
            println!("failed: {error:#}");
            survived.push(room.name);
        }
    }
    if !survived.is_empty() {
        bail!("there are survivors, or it did not run: {}", survived.join(", "));
    }
    Ok(())
}
