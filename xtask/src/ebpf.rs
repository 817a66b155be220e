//! `cargo xtask ebpf`: the kernel program, from source to the committed object that user space embeds.
//!
//! Toolchain and linker are pinned together: bpf-linker uses the LLVM inside the toolchain, and other pairs fail. The
//! object holds no path of the machine that built it, so that two clones give the same bytes.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::bpf_object;
use crate::tools::{pinned, sysroot, workspace};

/// The linker that fits the LLVM of the pinned toolchain.
const LINKER_VERSION: &str = "0.10.1";
/// Little-endian: x86-64 and arm64 servers.
const TARGET: &str = "bpfel-unknown-none";
/// Where the committed object lies.
const COMMITTED: &str = "smtpgate/data/smtpgate.bpf.o";

/// Path of the committed object.
pub(crate) fn committed() -> PathBuf {
    workspace().join(COMMITTED)
}

/// What to do with the source.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Lint it for its own target instead of building it
    #[arg(long)]
    lint: bool,
}

/// `cargo xtask ebpf`: builds the object and puts it where user space embeds it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.lint {
        return clippy();
    }
    let object = build()?;
    let path = committed();
    fs::create_dir_all(path.parent().unwrap_or(workspace()))?;
    fs::write(&path, &object).with_context(|| format!("cannot write {}", path.display()))?;
    print!("{}", bpf_object::summary(&object)?);
    println!("written: {COMMITTED}");
    Ok(())
}

/// Builds the kernel program and gives the object as it is committed.
pub(crate) fn build() -> Result<Vec<u8>> {
    let linker = pinned("bpf-linker", LINKER_VERSION)?;
    let mut cargo = kernel_cargo("build")?;
    cargo.arg("--release");
    cargo.env("PATH", path_with(linker.parent().unwrap_or(workspace()))?);
    status(&mut cargo)?;
    let path = workspace()
        .join("target/ebpf")
        .join(TARGET)
        .join("release/smtpgate-ebpf");
    let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    bpf_object::strip(&object)
}

/// Lints the kernel program, for the target that it is built for.
pub(crate) fn clippy() -> Result<()> {
    let mut cargo = kernel_cargo("clippy")?;
    cargo.args(["--", "-D", "warnings"]);
    status(&mut cargo)
}

/// `cargo VERB` for the kernel crate, as far as the arguments are the same for all verbs.
fn kernel_cargo(verb: &str) -> Result<Command> {
    ensure_source()?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).arg(verb);
    cargo.args([
        "--package",
        "smtpgate-ebpf",
        "--target",
        TARGET,
        "--target-dir",
        "target/ebpf",
    ]);
    // The standard library's core for this target exists as source only, and building it is an unstable flag; the
    // compiler is the pinned stable one all the same.
    cargo.args(["-Z", "build-std=core"]).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rustflags()?);
    Ok(cargo)
}

/// Flags, separated as cargo wants them.
fn rustflags() -> Result<OsString> {
    let cargo_home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"),
    };
    let mut flags: Vec<OsString> = vec![
        // Jumps on 32-bit halves, which Linux knows since 5.1.
        "-Ctarget-cpu=v3".into(),
        // Packets are read as they lie. x86-64 and arm64 load unaligned words; the verifier refuses it elsewhere.
        "-Ctarget-feature=+allows-misaligned-mem-access".into(),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
    ];
    for (from, to) in [(workspace(), "smtpgate"), (&cargo_home, "cargo"), (&sysroot()?, "rust")] {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    }
    Ok(flags.join("\x1f".as_ref()))
}

fn path_with(first: &Path) -> Result<OsString> {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_path_buf()).chain(env::split_paths(&inherited));
    env::join_paths(folders).context("PATH cannot be extended")
}

/// The source of `core`.
fn ensure_source() -> Result<()> {
    if sysroot()?.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists() {
        return Ok(());
    }
    status(
        Command::new("rustup")
            .current_dir(workspace())
            .args(["component", "add", "rust-src"]),
    )
    .context("the kernel program needs the source of core: rustup component add rust-src")
}

fn status(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
