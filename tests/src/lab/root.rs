//! The Debian root folders that the mail host runs from: real Postfix, Dovecot and rsyslog, and what else refuses on mail
//! hosts (fail2ban, ipset, nftables), kept under `target/lab/`.
//!
//! Each is made once by debootstrap and never changed after: each mail host works on an overlay of its own.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

const PACKAGES: &str = "postfix,dovecot-core,dovecot-imapd,rsyslog,openssl,fail2ban,ipset,nftables";

/// A Debian release, and so the versions of its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12: Postfix 3.7, Dovecot 2.3.
    Bookworm,
    /// Debian 13: Postfix 3.10, Dovecot 2.4.
    Trixie,
}

impl Suite {
    /// Debian's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Files that are laid into the root, below `/`.
    fn files(self) -> [(&'static str, &'static str); 5] {
        let dovecot = match self {
            Self::Bookworm => include_str!("mail/dovecot-2.3.conf"),
            Self::Trixie => include_str!("mail/dovecot-2.4.conf"),
        };
        [
            ("etc/postfix/main.cf", include_str!("mail/main.cf")),
            ("etc/postfix/master.cf", include_str!("mail/master.cf")),
            ("etc/dovecot/dovecot.conf", dovecot),
            ("etc/rsyslog.conf", include_str!("mail/rsyslog.conf")),
            ("prepare.sh", include_str!("mail/prepare.sh")),
        ]
    }

    /// Changes with everything that [`make`] makes of these packages.
    pub(crate) fn recipe(self, packages: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.name(), packages, self.files(), USERS, PASSWORD).hash(&mut hasher);
        hasher.finish()
    }
}

/// The users that Dovecot knows, each with the password `right-password`.
pub const USERS: [&str; 2] = ["taro", "hanako"];
/// The password of all [`USERS`].
pub const PASSWORD: &str = "right-password";

/// The folder in which the lab keeps what is worth keeping: `target/lab`.
pub fn lab_folder() -> Result<PathBuf> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    };
    let folder = target.join("lab");
    fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    Ok(folder.canonicalize()?)
}

/// The suite's root folder, made now if this recipe was not made before: about a minute, and 300 MiB from a Debian mirror.
///
/// Processes that want it at the same time wait for the one that makes it. A folder that is there is complete: it gets
/// its name last.
pub fn debian(suite: Suite) -> Result<PathBuf> {
    let lab = lab_folder()?;
    let root = lab.join(format!("{}-{:016x}", suite.name(), suite.recipe(PACKAGES)));
    let lock = lab.join("lock");
    let lock = File::create(&lock).with_context(|| format!("{}: cannot be made", lock.display()))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if !root.exists() {
        let draft = lab.join("draft");
        make(suite, PACKAGES, &draft)?;
        for old in fs::read_dir(&lab)?.flatten() {
            if old.file_name().to_string_lossy().starts_with(suite.name()) {
                fs::remove_dir_all(old.path()).with_context(|| format!("{}: outdated", old.path().display()))?;
            }
        }
        fs::rename(&draft, &root)?;
    }
    Ok(root)
}

/// Debian with these packages and the lab's configuration of its servers, in the new folder `draft`.
pub(crate) fn make(suite: Suite, packages: &str, draft: &Path) -> Result<()> {
    if draft.exists() {
        fs::remove_dir_all(draft).with_context(|| format!("{}: left over, cannot be removed", draft.display()))?;
    }
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .args(["--variant=minbase", &format!("--include={packages}"), suite.name()])
        .arg(draft);
    succeed(
        debootstrap
            .output()
            .context("debootstrap: cannot be started; apt-get install debootstrap")?,
    )
    .context("debootstrap (needs root and a Debian mirror)")?;
    for (path, text) in suite.files() {
        fs::write(draft.join(path), text).with_context(|| format!("{path} in the root folder"))?;
    }
    let users: String = USERS
        .iter()
        .map(|user| format!("{user}:{{PLAIN}}{PASSWORD}\n"))
        .collect();
    fs::write(draft.join("etc/dovecot/users"), users)?;
    succeed(Command::new("chroot").arg(draft).args(["sh", "/prepare.sh"]).output()?).context("prepare.sh")
}

fn succeed(out: Output) -> Result<()> {
    if out.status.success() {
        return Ok(());
    }
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.lines().rev().take(20).collect();
    bail!(
        "{}:\n{}",
        out.status,
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    )
}
