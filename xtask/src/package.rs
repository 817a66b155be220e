//! `cargo xtask package`: a .deb and an .rpm, made of one tree of files.
//!
//! The binary is linked statically with musl: one build runs on every Debian and every RHEL, whatever glibc they have and
//! whatever this machine has.

mod man;
mod notices;

use std::env::consts::ARCH;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap_complete::Shell;

use crate::tools;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Makes target/package/smtpgate_VERSION_ARCH.deb and smtpgate-VERSION.ARCH.rpm.
///
/// Installs what it needs for that: musl's compiler by apt, Rust's target by rustup, cargo-deb and cargo-generate-rpm under
/// target/tools. Needs no root once they are there.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which packaging of this version it is; a higher one upgrades a lower one
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    revision: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for package in build(&[args.revision])? {
        println!("{}", package.display());
    }
    Ok(())
}

/// A .deb and an .rpm of each revision, and no other, in target/package.
pub(crate) fn build(revisions: &[u32]) -> Result<Vec<PathBuf>> {
    tools::install(tools::PACKAGES)?;
    let triple = format!("{ARCH}-unknown-linux-musl");
    tools::rust_target(&triple)?;
    tools::succeed(tools::cargo("build").args(["--release", "--package", "smtpgate", "--target", &triple]))?;

    // The manifests of both packages name this place, wherever cargo builds.
    let folder = tools::workspace().join("target/package");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{}: the last packages", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    tools::succeed(
        Command::new("strip")
            .arg("-o")
            .arg(folder.join("smtpgate"))
            .arg(tools::target().join(&triple).join("release/smtpgate")),
    )?;
    lay_out(&folder, &triple)?;

    let mut packages = Vec::new();
    for revision in revisions {
        packages.push(deb(&folder, &triple, *revision)?);
        packages.push(rpm(&folder, &triple, *revision)?);
    }
    Ok(packages)
}

fn deb(folder: &Path, triple: &str, revision: u32) -> Result<PathBuf> {
    let deb = folder.join(format!("smtpgate_{VERSION}-{revision}_{}.deb", debian_architecture()));
    let mut cargo_deb = Command::new(tools::pinned("cargo-deb", "3.8.0")?);
    cargo_deb
        .current_dir(tools::workspace())
        .args([
            "--package",
            "smtpgate",
            "--target",
            triple,
            "--no-build",
            "--no-strip",
            "--quiet",
        ])
        .arg(format!("--deb-revision={revision}"))
        .arg("--output")
        .arg(&deb)
        // It tells the path, as we do.
        .stdout(Stdio::null());
    tools::succeed(&mut cargo_deb)?;
    Ok(deb)
}

fn rpm(folder: &Path, triple: &str, revision: u32) -> Result<PathBuf> {
    let rpm = folder.join(format!("smtpgate-{VERSION}-{revision}.{ARCH}.rpm"));
    let mut generate_rpm = Command::new(tools::pinned("cargo-generate-rpm", "0.21.1")?);
    generate_rpm
        .current_dir(tools::workspace())
        // A static binary needs no library, and the way to find some asks for a distribution's own scripts.
        .args(["--package", "smtpgate", "--target", triple, "--auto-req", "disabled"])
        .arg(format!("--set-metadata=release = \"{revision}\""))
        .arg("--output")
        .arg(&rpm);
    tools::succeed(&mut generate_rpm)?;
    Ok(rpm)
}

/// What Debian calls this machine's kind.
fn debian_architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Lays out what is in the packages as it will lie on the host: `common` for both, and what each has elsewhere.
fn lay_out(folder: &Path, triple: &str) -> Result<()> {
    let dist = tools::workspace().join("dist");
    let file = |path: &str| {
        let path = tools::workspace().join(path);
        fs::read(&path).with_context(|| path.display().to_string())
    };
    let common = Tree(folder.join("common"));
    common.put("usr/bin/smtpgate", &fs::read(folder.join("smtpgate"))?)?;
    common.put(
        "usr/lib/systemd/system/smtpgate.service",
        &file("dist/systemd/smtpgate.service")?,
    )?;
    common.put(
        "usr/lib/sysusers.d/smtpgate.conf",
        &file("dist/sysusers/smtpgate.conf")?,
    )?;
    common.put("usr/share/smtpgate/next-steps", &file("dist/next-steps")?)?;
    let doc = "usr/share/doc/smtpgate";
    common.put(&format!("{doc}/config.toml"), &file("dist/config.toml")?)?;
    common.put(&format!("{doc}/NOTICE"), &file("NOTICE")?)?;
    common.put_packed(&format!("{doc}/third-party.txt"), notices::all(triple)?.as_bytes())?;
    for entry in fs::read_dir(&dist)? {
        // What an admin may want to put somewhere; the rest of `dist` has its place, or is for the packages themselves.
        let name = entry?.file_name();
        let known = ["deb", "rpm", "systemd", "sysusers", "next-steps", "config.toml"];
        if !known.iter().any(|known| name == *known) {
            common.put_all(&format!("{doc}/examples"), &dist, &dist.join(name))?;
        }
    }
    for (name, page) in man::commands(smtpgate::cli::command())? {
        common.put_packed(&format!("usr/share/man/man1/{name}"), &page)?;
    }
    let page = man::configuration(&String::from_utf8(file("docs/configuration.md")?)?)?;
    common.put_packed("usr/share/man/man5/smtpgate.toml.5", page.as_bytes())?;
    common.put(
        "usr/share/bash-completion/completions/smtpgate",
        &completions(Shell::Bash),
    )?;
    common.put(
        "usr/share/fish/vendor_completions.d/smtpgate.fish",
        &completions(Shell::Fish),
    )?;

    let deb = Tree(folder.join("deb"));
    deb.put("usr/share/zsh/vendor-completions/_smtpgate", &completions(Shell::Zsh))?;
    deb.put(
        "usr/lib/systemd/system/smtpgate.service.d/debian.conf",
        &file("dist/systemd/debian.conf")?,
    )?;

    let rpm = Tree(folder.join("rpm"));
    rpm.put("usr/share/zsh/site-functions/_smtpgate", &completions(Shell::Zsh))?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT", "LICENSE-GPL-2.0"] {
        rpm.put(&format!("usr/share/licenses/smtpgate/{licence}"), &file(licence)?)?;
    }
    Ok(())
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut smtpgate::cli::command(), "smtpgate", &mut script);
    script
}

/// A folder that stands for `/`.
struct Tree(PathBuf);

impl Tree {
    fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, content).with_context(|| path.display().to_string())
    }

    /// As `path.gz`: Debian wants man pages and long texts so.
    fn put_packed(&self, path: &str, content: &[u8]) -> Result<()> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(content)?;
        self.put(&format!("{path}.gz"), &gzip.finish()?)
    }

    /// A file, or all files of a folder, below `path` as they lie below `base`.
    fn put_all(&self, path: &str, base: &Path, from: &Path) -> Result<()> {
        if from.is_dir() {
            for entry in fs::read_dir(from)? {
                self.put_all(path, base, &entry?.path())?;
            }
            return Ok(());
        }
        let below = from.strip_prefix(base)?;
        ensure!(from.is_file(), "{}: neither file nor folder", from.display());
        self.put(&format!("{path}/{}", below.display()), &fs::read(from)?)
    }
}
