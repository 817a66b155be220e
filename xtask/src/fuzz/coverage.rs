//! What of the code that a target is for its inputs reach: which lines, and which functions not at all.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::tools;

/// The files that each target is for, as their paths begin; with `!` those that it is not for nevertheless.
const FOR: [(&str, &[&str]); 12] = [
    ("config", &["smtpgate/src/config/", "smtpgate/src/sources/spec.rs"]),
    ("control", &["smtpgate/src/daemon/protocol.rs"]),
    ("follow", &["smtpgate/src/maillog/follow/"]),
    ("follow_lines", &["smtpgate/src/maillog/follow/lines.rs"]),
    ("forged", LINES),
    ("ledger", &["smtpgate/src/ledger/"]),
    ("maillog", LINES),
    ("mmdb", &["smtpgate/src/sources/mmdb.rs"]),
    (
        "packed",
        &["smtpgate/src/sources/packed.rs", "smtpgate/src/sources/table.rs"],
    ),
    ("packet", &["smtpgate-common/src/"]),
    ("pattern", &["smtpgate/src/maillog/pattern"]),
    (
        "source_list",
        &["smtpgate/src/sources/list.rs", "smtpgate/src/sources/net.rs"],
    ),
];
/// From a line to an event.
const LINES: &[&str] = &[
    "smtpgate/src/maillog/",
    "!smtpgate/src/maillog/batch.rs",
    "!smtpgate/src/maillog/follow/",
    "!smtpgate/src/maillog/input.rs",
    "!smtpgate/src/maillog/journal",
];

/// Of one target.
struct Reached {
    target: String,
    lines: u64,
    covered: u64,
    /// Place and first line of each function that no input reached.
    unreached: Vec<(String, String)>,
}

/// Runs what is known of these targets, and prints what it reached.
pub(super) fn print(targets: &[String], folders: impl Fn(&str) -> Vec<PathBuf>) -> Result<()> {
    let llvm = llvm()?;
    let folder = tools::target().join("coverage");
    let replay = build(&folder)?;
    let mut reached = Vec::new();
    for target in targets {
        reached.push(measure(&llvm, &folder, &replay, target, &folders(target))?);
    }
    for target in &reached {
        println!("\n{}: {} functions not reached", target.target, target.unreached.len());
        for (place, text) in &target.unreached {
            println!("  {place}  {text}");
        }
    }
    println!("\n{:<14}{:>8}{:>9}{:>9}", "target", "lines", "reached", "");
    for target in &reached {
        let percent = target.covered as f64 * 100.0 / target.lines.max(1) as f64;
        println!(
            "{:<14}{:>8}{:>9}{percent:>8.1}%",
            target.target, target.lines, target.covered
        );
    }
    Ok(())
}

/// Where the pinned toolchain has LLVM's own programs.
fn llvm() -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = tools::sysroot()?.join("lib/rustlib").join(triple).join("bin");
    if !folder.join("llvm-cov").exists() {
        let mut rustup = Command::new("rustup");
        rustup.current_dir(tools::workspace());
        tools::succeed(rustup.args(["component", "add", "llvm-tools"]))?;
    }
    Ok(folder)
}

/// Builds what runs inputs. Only our own crates count: a compiler between cargo and rustc sees to that, and what we rely on
/// is that which is built already.
fn build(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let rustc = folder.join("rustc");
    fs::write(&rustc, "#!/bin/sh\nexec \"$@\" -Cinstrument-coverage\n")?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    let mut cargo = tools::cargo("build");
    cargo.args(["--package", "smtpgate-fuzz", "--bin", "replay"]);
    // Build scripts and macros count, too, and would leave their figures where they are run.
    cargo
        .env("RUSTC_WORKSPACE_WRAPPER", &rustc)
        .env("LLVM_PROFILE_FILE", "/dev/null");
    tools::succeed(&mut cargo)?;
    Ok(tools::target().join("debug/replay"))
}

fn measure(llvm: &Path, folder: &Path, replay: &Path, target: &str, inputs: &[PathBuf]) -> Result<Reached> {
    let wanted = FOR.iter().find(|(name, _)| *name == target);
    let (_, wanted) = wanted.with_context(|| format!("{target}: which files is it for? Say so in {}", file!()))?;
    let raw = folder.join(format!("{target}.profraw"));
    let profile = folder.join(format!("{target}.profdata"));
    tools::succeed(
        Command::new(replay)
            .arg(target)
            .args(inputs)
            .env("LLVM_PROFILE_FILE", &raw),
    )?;
    tools::succeed(
        Command::new(llvm.join("llvm-profdata"))
            .args(["merge", "--sparse", "--output"])
            .arg(&profile)
            .arg(&raw),
    )?;
    fs::remove_file(&raw)?;
    let report = tools::said(
        Command::new(llvm.join("llvm-cov"))
            .args(["export", "--format=text", "--instr-profile"])
            .arg(&profile)
            .arg(replay),
    )?;
    let report: Value = serde_json::from_str(&report).context("llvm-cov's report")?;
    read(target, wanted, &report["data"][0])
}

/// The format: llvm/tools/llvm-cov/CoverageExporterJson.cpp.
fn read(target: &str, wanted: &[&str], report: &Value) -> Result<Reached> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut reached = Reached {
        target: target.to_owned(),
        lines: 0,
        covered: 0,
        unreached: Vec::new(),
    };
    for file in list(&report["files"]) {
        if ours(file["filename"].as_str(), wanted).is_some() {
            let lines = &file["summary"]["lines"];
            reached.lines += lines["count"].as_u64().unwrap_or(0);
            reached.covered += lines["covered"].as_u64().unwrap_or(0);
        }
    }
    if reached.lines == 0 {
        bail!("{target}: none of the files that it is for was built: {wanted:?}");
    }
    // A generic function is there once for each type, and reached when one of them is.
    let mut functions: BTreeMap<(String, usize), bool> = BTreeMap::new();
    for function in list(&report["functions"]) {
        let Some(path) = ours(function["filenames"][0].as_str(), wanted) else {
            continue;
        };
        let line = function["regions"][0][0].as_u64().unwrap_or(0);
        let count = function["count"].as_u64().unwrap_or(0);
        *functions.entry((path, usize::try_from(line)?)).or_default() |= count > 0;
    }
    for ((path, line), _) in functions.into_iter().filter(|(_, reached)| !reached) {
        let text = fs::read_to_string(tools::workspace().join(&path))?;
        let text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
        // The others are closures of functions, and what the compiler derives.
        if text.contains("fn ") {
            reached.unreached.push((format!("{path}:{line}"), text.to_owned()));
        }
    }
    Ok(reached)
}

/// A file's path in the workspace, when it is one of those that are wanted.
fn ours(path: Option<&str>, wanted: &[&str]) -> Option<String> {
    let path = Path::new(path?);
    let path = path.strip_prefix(tools::workspace()).unwrap_or(path).to_str()?;
    let begins = |prefix: &str| path.starts_with(prefix);
    let left_out = wanted.iter().filter_map(|prefix| prefix.strip_prefix('!')).any(begins);
    (!left_out && wanted.iter().any(|prefix| begins(prefix))).then(|| path.to_owned())
}
