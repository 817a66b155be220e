//! The disk of the machine, kept under `target/machines/`: Debian by debootstrap, with its own kernel, as one ext4.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

use crate::kernels::succeed;
use crate::lab::root::{Suite, lab_folder, make};

/// A mail host, and what makes a machine of it.
const PACKAGES: &str = "postfix,dovecot-core,dovecot-imapd,rsyslog,openssl,\
                        systemd-sysv,udev,iproute2,ethtool,initramfs-tools,zstd,linux-image-cloud-amd64";
/// Where the disk with the packages and the guest's program is mounted.
pub(super) const LAB: &str = "/lab";
/// Room on the disk; a sparse file.
const SIZE: &str = "3G";

/// Files that are laid into the root, below `/`.
const FILES: [(&str, &str); 2] = [
    ("etc/fstab", "/dev/vda / ext4 defaults 0 0\n/dev/vdb /lab ext4 ro 0 0\n"),
    ("etc/hostname", "mail.example.com\n"),
];

/// A machine that was never booted.
#[derive(Debug)]
pub struct Image {
    folder: PathBuf,
}

impl Image {
    /// The suite's image, made now if this recipe was not made before: some minutes, and 300 MiB from a Debian mirror.
    pub fn of(suite: Suite) -> Result<Self> {
        let machines = lab_folder()?.with_file_name("machines");
        fs::create_dir_all(&machines).with_context(|| format!("{}: cannot be made", machines.display()))?;
        let mut hasher = DefaultHasher::new();
        (suite.recipe(PACKAGES), FILES, SIZE).hash(&mut hasher);
        let folder = machines.join(format!("{}-{:016x}", suite.name(), hasher.finish()));
        let lock = File::create(machines.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        if !folder.exists() {
            let draft = machines.join("draft");
            if draft.exists() {
                fs::remove_dir_all(&draft).with_context(|| format!("{}: left over", draft.display()))?;
            }
            for old in fs::read_dir(&machines)?.flatten() {
                if old.file_name().to_string_lossy().starts_with(suite.name()) {
                    fs::remove_dir_all(old.path()).with_context(|| format!("{}: outdated", old.path().display()))?;
                }
            }
            println!("making {}", folder.display());
            compose(suite, &draft)?;
            // It gets its name last: a folder that is there is complete.
            fs::rename(&draft, &folder)?;
        }
        Ok(Self { folder })
    }

    /// Its kernel.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The kernel's first file system, as Debian makes it.
    #[must_use]
    pub fn initramfs(&self) -> PathBuf {
        self.folder.join("initrd.img")
    }

    /// A disk of its own for one machine.
    pub fn copy(&self, to: &Path) -> Result<()> {
        let disk = self.folder.join("disk.ext4");
        succeed(
            Command::new("cp")
                .args(["--sparse=always", "--reflink=auto"])
                .arg(disk)
                .arg(to),
        )?;
        Ok(())
    }
}

fn compose(suite: Suite, draft: &Path) -> Result<()> {
    let root = draft.join("root");
    fs::create_dir_all(&root)?;
    make(suite, PACKAGES, &root)?;
    for (path, text) in FILES {
        fs::write(root.join(path), text).with_context(|| format!("{path} in the root folder"))?;
    }
    fs::create_dir_all(root.join(LAB.trim_start_matches('/')))?;
    for entry in fs::read_dir(root.join("boot"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        for kept in ["vmlinuz", "initrd.img"] {
            if name.starts_with(kept) {
                fs::copy(root.join("boot").join(&name), draft.join(kept))?;
            }
        }
    }
    file_system(&root, &draft.join("disk.ext4"), SIZE)?;
    fs::remove_dir_all(&root)?;
    Ok(())
}

/// An ext4 that holds a folder.
pub(super) fn file_system(folder: &Path, file: &Path, size: &str) -> Result<()> {
    succeed(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .arg(folder)
            .arg(file)
            .arg(size),
    )?;
    Ok(())
}
