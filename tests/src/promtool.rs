//! Prometheus' own checker, kept under `target/prometheus/`.
//!
//! Downloaded and unpacked, not installed: the package would start a server on this machine.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// What `promtool check metrics` says of a text; nothing where all is well.
pub fn check_metrics(text: &str) -> Result<String> {
    let mut promtool = Command::new(promtool()?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Dropped after it, so that promtool sees an end.
    promtool.stdin.take().context("no pipe")?.write_all(text.as_bytes())?;
    said(&promtool.wait_with_output()?)
}

/// What `promtool check rules` says against a file of rules; nothing where all is well.
pub fn check_rules(path: &Path) -> Result<String> {
    let out = Command::new(promtool()?).args(["check", "rules"]).arg(path).output()?;
    if out.status.success() {
        return Ok(String::new());
    }
    said(&out)
}

fn said(out: &std::process::Output) -> Result<String> {
    let said = [&out.stdout, &out.stderr].map(|text| String::from_utf8_lossy(text));
    let said = said.concat();
    if !out.status.success() && said.is_empty() {
        bail!("promtool: {}", out.status);
    }
    Ok(said)
}

fn promtool() -> Result<PathBuf> {
    let folder = crate::lab::root::lab_folder()?.with_file_name("prometheus");
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let found = folder.join("promtool");
    if !found.exists() {
        let draft = tempfile::tempdir_in(&folder)?;
        // apt's own user cannot write into a folder of root's.
        let download = [
            "--option",
            "APT::Sandbox::User=root",
            "--quiet",
            "download",
            "prometheus",
        ];
        succeed(Command::new("apt-get").args(download).current_dir(&draft))?;
        let mut packages = fs::read_dir(draft.path())?;
        let package = packages.next().context("apt-get brought nothing")??.path();
        succeed(
            Command::new("dpkg")
                .arg("-x")
                .arg(package)
                .arg(draft.path().join("tree")),
        )?;
        // It gets its name last: a file that is there is complete.
        fs::rename(draft.path().join("tree/usr/bin/promtool"), &found)?;
    }
    Ok(found)
}

fn succeed(command: &mut Command) -> Result<()> {
    let out = command.output()?;
    if !out.status.success() {
        bail!("{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}
