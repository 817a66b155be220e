//! The machine from power-on to its last word.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::image::{Image, file_system};
use crate::kernels::machine::{Parts, qemu, watch};
use crate::kernels::succeed;
use crate::lab::root::lab_folder;

/// From power-on to the end, emulated, on a machine that is busy. A machine with time takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(3000);

const UNIT: &str = include_str!("guest.service");

/// A machine with its disks, which are gone with it.
#[derive(Debug)]
pub struct Machine {
    image: Image,
    /// Holds both disks.
    folder: tempfile::TempDir,
}

impl Machine {
    /// A fresh machine, with the two newest packages of smtpgate and the guest's program at hand.
    pub fn new(image: Image, guest: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(lab_folder()?)?;
        let root = folder.path().join("root.ext4");
        image.copy(&root)?;
        put(UNIT, &root, "/etc/systemd/system/guest.service")?;
        let lab = folder.path().join("lab");
        fs::create_dir(&lab)?;
        for (revision, package) in [1, 2].into_iter().zip(packages()?) {
            fs::copy(&package, lab.join(format!("{revision}.deb"))).with_context(|| package.display().to_string())?;
        }
        program(guest, &lab)?;
        file_system(&lab, &folder.path().join("lab.ext4"), "256M")?;
        Ok(Self { image, folder })
    }

    /// Boots it, and gives what it reported until it went off or wanted to boot again.
    pub fn boot(&self) -> Result<Parts> {
        let append = [
            // Debian's names for the disks hold while there is one of each kind of way to them.
            "root=/dev/vda rw console=ttyS0 panic=-1 loglevel=4 mitigations=off",
            "systemd.wants=guest.service systemd.mask=serial-getty@ttyS0.service",
            // Emulated, Postfix takes more than the usual 90 s.
            "systemd.default_timeout_start_sec=900 systemd.show_status=auto",
            // So that a failure shows what was said before.
            "systemd.journald.forward_to_console=1 systemd.journald.max_level_console=notice",
        ]
        .join(" ");
        let mut machine = qemu(LIMIT, &self.image.kernel(), &self.image.initramfs(), &append);
        for disk in ["root.ext4", "lab.ext4"] {
            let file = self.folder.path().join(disk);
            machine
                .arg("-drive")
                .arg(format!("file={},format=raw,if=virtio,cache=unsafe", file.display()));
        }
        watch(&mut machine)
    }
}

/// Writes a file into an ext4 that nobody has mounted.
fn put(text: &str, disk: &Path, path: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), text)?;
    let request = format!("write {} {path}", file.path().display());
    succeed(Command::new("debugfs").args(["-w", "-R", &request]).arg(disk))?;
    Ok(())
}

/// Revisions 1 and 2 of the .deb, as `cargo xtask test --full` makes them.
fn packages() -> Result<[PathBuf; 2]> {
    let folder = lab_folder()?.with_file_name("package");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            found.push(path);
        }
    }
    found.sort();
    let Ok(packages) = <[PathBuf; 2]>::try_from(found) else {
        bail!(
            "{}: not two .deb files; `cargo xtask test --full` makes them",
            folder.display()
        );
    };
    Ok(packages)
}

/// A program of this machine with its libraries and their loader, so that it runs whatever the other one has.
fn program(program: &Path, folder: &Path) -> Result<()> {
    succeed(
        Command::new("strip")
            .arg("-o")
            .arg(folder.join("machine-guest"))
            .arg(program),
    )?;
    let libraries = succeed(Command::new("ldd").env("LC_ALL", "C").arg(program))?;
    for line in libraries.lines() {
        let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) else {
            continue;
        };
        let path = Path::new(library);
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .context("a library's name")?;
        let name = if name.starts_with("ld-linux") { "loader" } else { name };
        fs::copy(path, folder.join(name)).with_context(|| library.to_owned())?;
    }
    ensure!(
        folder.join("loader").exists(),
        "{}: not linked dynamically",
        program.display()
    );
    Ok(())
}
