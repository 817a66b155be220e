//! What this kernel can do, and whether this process may: asked before anything is made, so that what is missing is
//! named instead of an `EPERM` from the depths.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;

use super::error::Error;

/// linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// Features that newer kernels have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// XDP programs for frames in several buffers: Linux 5.18.
    pub frags: bool,
    /// tc programs in links: Linux 6.6.
    pub tcx: bool,
    /// What an IP tunnel has unpacked begins with its own header: Linux 5.14 (730eed2772e7 for sit, and its siblings).
    /// Before, tc is shown the outer header, and the packet in it would pass unread.
    pub tunnels: bool,
}

impl Kernel {
    /// Of the running kernel; an error when it cannot run the gate at all.
    pub fn probe() -> Result<Self, Error> {
        Self::of(&release())
    }

    fn of(release: &str) -> Result<Self, Error> {
        let version = version(release);
        if version < (5, 10) {
            return Err(Error::KernelTooOld {
                running: release.to_owned(),
            });
        }
        Ok(Self {
            frags: version >= (5, 18),
            tcx: version >= (6, 6),
            tunnels: version >= (5, 14),
        })
    }
}

/// As `uname -r` has it (uname(2)).
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Major and minor number; (0, 0) when a release does not begin with them.
pub fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Everything for which the gate could not be put up now with these pins.
pub fn trouble(pins: &Path) -> Vec<Error> {
    [Kernel::probe().map(drop), privileges(), bpffs(pins)]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

/// Whether this process may load programs and attach them to interfaces (capabilities(7)).
pub(super) fn privileges() -> Result<(), Error> {
    let effective = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    missing(effective).map_or(Ok(()), |capability| Err(Error::Capability { capability }))
}

fn missing(effective: CapabilitySet) -> Option<&'static str> {
    if !effective.intersects(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN) {
        return Some("CAP_BPF");
    }
    if !effective.contains(CapabilitySet::NET_ADMIN) {
        return Some("CAP_NET_ADMIN");
    }
    None
}

/// Lifts the limit on locked memory, against which kernels before 5.11 count maps and programs. A failure shows when
/// they are made, with the kernel's own words.
pub(super) fn lift_memlock() {
    if version(&release()) >= (5, 11) {
        return;
    }
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if setrlimit(Resource::Memlock, unlimited).is_err() {
        let maximum = getrlimit(Resource::Memlock).maximum;
        let _ = setrlimit(
            Resource::Memlock,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
}

/// Whether `pins`, or the nearest folder above it that exists, is on a BPF file system.
pub(super) fn bpffs(pins: &Path) -> Result<(), Error> {
    let no = || Error::NoBpfFs {
        path: pins.to_owned(),
        mount: mount_point(pins),
    };
    let existing = pins.ancestors().find(|path| path.exists()).ok_or_else(no)?;
    let stat = rustix::fs::statfs(existing).map_err(|_| no())?;
    // The type's width differs between architectures, the magic number has 32 bits.
    #[allow(clippy::cast_sign_loss, reason = "compared in its low 32 bits")]
    let kind = stat.f_type as u64 & 0xffff_ffff;
    if kind == BPF_FS_MAGIC { Ok(()) } else { Err(no()) }
}

/// Where a BPF file system is to be mounted for these pins: at the usual place if they lie there, else at the pins.
fn mount_point(pins: &Path) -> PathBuf {
    let usual = Path::new("/sys/fs/bpf");
    if pins.starts_with(usual) {
        usual.to_owned()
    } else {
        pins.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dataplane_kernel_knows_what_came_when() {
        let table = [
            ("5.4.0-216-generic", None),
            ("5.9.16", None),
            ("5.10.0-32-cloud-amd64", Some((false, false))),
            ("5.17.9-arch1-1", Some((false, false))),
            ("5.18", Some((true, false))),
            ("6.1.0-40-amd64", Some((true, false))),
            ("6.6.0", Some((true, true))),
            ("6.12-rc3", Some((true, true))),
            ("7.2.0", Some((true, true))),
            ("10.0.1", Some((true, true))),
            ("", None),
            ("unknown", None),
        ];
        for (release, expected) in table {
            let found = Kernel::of(release).ok();
            assert_eq!(found.map(|kernel| (kernel.frags, kernel.tcx)), expected, "{release}");
        }
        let error = Kernel::of("4.19.0-27-amd64").unwrap_err().to_string();
        assert!(error.contains("4.19.0-27-amd64") && error.contains("5.10"), "{error}");
    }

    #[test]
    fn dataplane_kernel_names_the_missing_capability() {
        let (bpf, net, all) = (CapabilitySet::BPF, CapabilitySet::NET_ADMIN, CapabilitySet::SYS_ADMIN);
        for (name, has, expected) in [
            ("none", CapabilitySet::empty(), Some("CAP_BPF")),
            ("network alone", net, Some("CAP_BPF")),
            ("bpf alone", bpf, Some("CAP_NET_ADMIN")),
            ("both", bpf | net, None),
            ("old root", all | net, None),
        ] {
            assert_eq!(missing(has), expected, "{name}");
        }
    }

    #[test]
    fn dataplane_kernel_says_how_to_mount_the_bpf_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let pins = folder.path().join("a/b");
        let error = bpffs(&pins).unwrap_err().to_string();
        assert!(
            error.contains(&format!("mount -t bpf bpf {}", pins.display())),
            "{error}"
        );
        assert_eq!(mount_point(Path::new("/sys/fs/bpf/smtpgate")), Path::new("/sys/fs/bpf"));
    }
}
