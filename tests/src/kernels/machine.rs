//! A virtual machine that boots one kernel into one archive, and what it says on its serial line.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::debian::Kernel;
use super::guest::{self, Line};
use super::initramfs::{Archive, find};
use crate::packets::generated::Amount;

/// From power-on to power-off. A machine with time takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(240);
/// And for each generated frame, which takes a tenth of it, too.
const A_FRAME: Duration = Duration::from_millis(10);
/// Programs that the lab calls.
const TOOLS: [&str; 4] = ["ip", "ethtool", "setpriv", "nsenter"];
/// Lines of the console that a failure shows.
const TAIL: usize = 60;

/// What a guest reported: a part's name, and what came of it.
pub type Parts = Vec<(String, Result<String, String>)>;

/// Boots `kernel` with `init` as its first process, and gives what the guest reported: one entry a part.
///
/// An error is a guest that did not come to its end, with the last it said. The parts of a guest that did may still have
/// failed.
pub fn boot(kernel: &Kernel, init: &Path) -> Result<Parts> {
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("initramfs");
    fs::write(&archive, pack(kernel, init)?)?;
    let amount = Amount::asked()?;
    let append = format!(
        // What the kernel does not know it hands to its first process as environment.
        "console=ttyS0 panic=-1 loglevel=4 mitigations=off {}={} {}={}",
        Amount::FRAMES,
        amount.frames,
        Amount::SEED,
        amount.seed
    );
    let limit = LIMIT + A_FRAME * u32::try_from(amount.frames)?;
    watch(&mut qemu(limit, &kernel.image(), &archive, &append))
}

/// A machine with two processors, no network, and its serial line at our standard output. It ends when it would reboot.
pub(crate) fn qemu(limit: Duration, image: &Path, initramfs: &Path, append: &str) -> Command {
    let mut qemu = Command::new("timeout");
    qemu.arg(limit.as_secs().to_string())
        .arg("qemu-system-x86_64")
        // KVM is not to be had everywhere; emulated, the kernel is the same.
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024"])
        .args(["-nographic", "-no-reboot", "-nic", "none", "-kernel"])
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", append]);
    qemu
}

/// Lets the machine run to its end, and gives what the guest reported on its serial line.
pub(crate) fn watch(qemu: &mut Command) -> Result<Parts> {
    let mut qemu = qemu
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("timeout: cannot be started; apt-get install coreutils qemu-system-x86")?;
    let start = Instant::now();
    let mut console = Vec::new();
    let mut parts = Vec::new();
    let mut done = false;
    if let Some(output) = qemu.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
            match guest::parse(&line) {
                Some(Line::Part(name, outcome)) => parts.push((name, outcome)),
                Some(Line::Done) => done = true,
                None => {}
            }
            console.push(line);
        }
    }
    let out = qemu.wait_with_output()?;
    if !done {
        bail!(
            "the guest did not come to its end in {:.0?} (qemu: {} {}), but to:\n{}",
            start.elapsed(),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim(),
            console[console.len().saturating_sub(TAIL)..].join("\n")
        );
    }
    Ok(parts)
}

fn pack(kernel: &Kernel, init: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["/dev", "/proc", "/sys", "/tmp", "/run"] {
        archive.folder(folder);
    }
    archive.program(init, "/init")?;
    for tool in TOOLS {
        archive.program(&find(tool)?, &format!("/usr/bin/{tool}"))?;
    }
    for module in kernel.modules()? {
        let name = module
            .file_name()
            .and_then(|name| name.to_str())
            .context("module's name")?;
        archive.file(&format!("{}/{name}", guest::MODULES), &fs::read(&module)?);
    }
    Ok(archive.finish())
}
