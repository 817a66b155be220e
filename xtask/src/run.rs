//! `cargo xtask run`: the gate on this machine, until Ctrl-C.

use std::os::unix::process::CommandExt as _;

use anyhow::{Result, anyhow};

use crate::tools;

/// Builds the gate and runs it in front of this machine, until Ctrl-C takes it down again.
///
/// Without a configuration (/etc/smtpgate/config.toml) it guards 25, 465 and 587 on the interfaces of the default routes,
/// lets Japan and private networks in, and prints what it refuses as it happens. It needs root, and asks sudo for it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments of `smtpgate run`, for example `--observe` or `--interface eth1`
    #[arg(last = true, value_name = "ARGS")]
    more: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    tools::succeed(tools::cargo("build").args(["--release", "--package", "smtpgate"]))?;
    let binary = tools::target().join("release/smtpgate");
    let mut command = if bpffs_mounted() {
        tools::as_root(&binary)?
    } else {
        tools::with_bpffs(&binary)?
    };
    command.args(["run", "--ephemeral"]).args(&args.more);
    // Takes this process's place: Ctrl-C and the exit code are the gate's own.
    let error = command.exec();
    Err(anyhow!(error).context(format!("{}: cannot be started", binary.display())))
}

/// With the system's own bpffs, other terminals' `smtpgate status` sees the pins too.
fn bpffs_mounted() -> bool {
    /// BPF_FS_MAGIC of linux/magic.h.
    const BPF_FS: u32 = 0xcafe_4a11;
    rustix::fs::statfs("/sys/fs/bpf").is_ok_and(|fs| u32::try_from(fs.f_type) == Ok(BPF_FS))
}
