//! What several tasks need: cargo, root, and the programs of the distribution.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A program, and the Debian package that brings it.
pub(crate) type Tool = (&'static str, &'static str);

/// What the lab is made of.
pub(crate) const LAB: &[Tool] = &[
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("debootstrap", "debootstrap"),
];

/// What else keeps addresses out: the gate's peers in `bench --peers`.
pub(crate) const PEERS: &[Tool] = &[
    ("nft", "nftables"),
    ("ipset", "ipset"),
    ("iptables-restore", "iptables"),
    ("chrt", "util-linux"),
    ("renice", "bsdutils"),
];

/// What writes mail logs as real hosts have them.
pub(crate) const LOGS: &[Tool] = &[
    ("logrotate", "logrotate"),
    ("journalctl", "systemd"),
    ("systemd-journal-remote", "systemd-journal-remote"),
];

/// What boots other kernels.
pub(crate) const KERNELS: &[Tool] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("xz", "xz-utils"),
    ("strip", "binutils"),
    ("ldd", "libc-bin"),
];

/// What compiles the fuzzer.
pub(crate) const FUZZ: &[Tool] = &[("g++", "g++")];

/// What makes the disks of whole machines, and the packages that are installed in them.
pub(crate) const MACHINES: &[Tool] = &[("mke2fs", "e2fsprogs"), ("debugfs", "e2fsprogs")];

/// What links the packages' binary. A compiler for musl, since SQLite and zstd are C.
pub(crate) const PACKAGES: &[Tool] = &[("musl-gcc", "musl-tools"), ("strip", "binutils")];

/// What shows the report's page. A font is a file, and no program on any path.
pub(crate) const BROWSER: &[Tool] = &[
    ("chromium", "chromium"),
    (
        "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
        "fonts-noto-cjk",
    ),
];

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// `cargo VERB` on the workspace.
pub(crate) fn cargo(verb: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).arg(verb);
    cargo
}

/// The toolchain's folder.
pub(crate) fn sysroot() -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    let said = said(rustc.current_dir(workspace()).args(["--print", "sysroot"]))?;
    Ok(said.trim().into())
}

/// Brings the standard library for a target, if it is not there.
pub(crate) fn rust_target(triple: &str) -> Result<()> {
    if sysroot()?.join("lib/rustlib").join(triple).join("lib").exists() {
        return Ok(());
    }
    succeed(
        Command::new("rustup")
            .current_dir(workspace())
            .args(["target", "add", triple]),
    )
}

/// A program of crates.io in exactly this version, installed under `target/tools` and nowhere else.
pub(crate) fn pinned(name: &str, version: &str) -> Result<PathBuf> {
    let root = workspace().join("target/tools");
    let mut install = cargo("install");
    install.args(["--quiet", "--locked", name, "--version", version, "--root"]);
    // Does nothing, and asks nobody, when it is there in this version.
    succeed(install.arg(&root)).with_context(|| format!("{name} {version} is needed"))?;
    Ok(root.join("bin").join(name))
}

/// Runs it to its end; anything but success is an error that names it.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{}: cannot be started", name(command)))?;
    if !status.success() {
        bail!("{}: {status}", name(command));
    }
    Ok(())
}

/// [`succeed`], for what it prints; an error has what it complained of.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    let out = command
        .output()
        .with_context(|| format!("{}: cannot be started", name(command)))?;
    if !out.status.success() {
        bail!(
            "{}: {}\n{}",
            name(command),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8(out.stdout)?)
}

fn name(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `program`, run as root: by sudo when this process is not.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if !on_path("sudo") {
        bail!("this needs root, and sudo is not installed: run the same command as root");
    }
    let mut command = Command::new("sudo");
    command.arg("--").arg(program);
    Ok(command)
}

/// `program` as root in a mount namespace of its own with a bpffs at its place: pins need one, not every system mounts it,
/// and what is mounted here is gone with the program.
pub(crate) fn with_bpffs(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = as_root("unshare")?;
    command
        .args([
            "--mount",
            "sh",
            "-c",
            "mount -t bpf bpf /sys/fs/bpf && exec \"$0\" \"$@\"",
        ])
        .arg(program);
    Ok(command)
}

/// Installs what is missing of `tools`. Who is not root is told the one command that does it.
pub(crate) fn install(tools: &[Tool]) -> Result<()> {
    let mut packages: Vec<&str> = tools
        .iter()
        .filter(|(tool, _)| !on_path(tool))
        .map(|(_, package)| *package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    if !is_root() || !on_path("apt-get") {
        bail!(
            "programs are missing; this brings them: sudo apt-get install {}",
            packages.join(" ")
        );
    }
    println!("installing {}", packages.join(", "));
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        apt
    };
    succeed(apt().args(["--quiet", "update"]))?;
    succeed(
        apt()
            .args(["--quiet", "install", "--yes", "--no-install-recommends"])
            .args(&packages),
    )
}

fn on_path(program: &str) -> bool {
    // System programs are not on every user's path.
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/lib/systemd"].map(Into::into);
    env::split_paths(&path)
        .chain(usual)
        .any(|folder| folder.join(program).is_file())
}
