//! What can go wrong between the gate and the kernel, in words for the person who has to mend it.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

/// Errors of the data plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The running kernel is older than the program needs.
    #[error(
        "kernel {running} is too old: the gate needs Linux 5.10 or later (BPF links, mmapable arrays, ring buffer); boot a newer kernel"
    )]
    KernelTooOld {
        /// As `uname -r` has it.
        running: String,
    },
    /// A capability is missing.
    #[error("{capability} is missing: run as root, or give the service CAP_BPF and CAP_NET_ADMIN")]
    Capability {
        /// Its name.
        capability: &'static str,
    },
    /// The pins folder is not on a BPF file system.
    #[error("{} is not on a BPF file system, so the gate could not outlive the daemon: mount -t bpf bpf {}", .path.display(), .mount.display())]
    NoBpfFs {
        /// The folder for the pins.
        path: PathBuf,
        /// Where one is to be mounted.
        mount: PathBuf,
    },
    /// A file operation in the pins folder.
    #[error("{}: cannot {what}: {source}", .path.display())]
    Pins {
        /// Which pin or folder.
        path: PathBuf,
        /// What was to be done with it.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The embedded object could not be loaded.
    #[error("the kernel refused the gate's maps: {reason}")]
    Load {
        /// The kernel's words.
        reason: String,
    },
    /// The verifier, or the lack of a feature.
    #[error("the kernel refused program {program}: {reason}")]
    Program {
        /// Its name in the object.
        program: String,
        /// The kernel's words.
        reason: String,
    },
    /// A map could not be read or written.
    #[error("map {map}: cannot {what}: {reason}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What was to be done.
        what: &'static str,
        /// The kernel's words.
        reason: String,
    },
    /// An operation names a place that the map does not have.
    #[error("map {map}: place {place} lies beyond its {size} entries; reload, so that it is made anew")]
    OutOfMap {
        /// Its name.
        map: &'static str,
        /// What was asked for.
        place: u32,
        /// What there is.
        size: u32,
    },
    /// No gate is loaded under these pins.
    #[error("{}: no gate is loaded; start the daemon, or run `smtpgate load`", .pins.display())]
    NotLoaded {
        /// The folder for the pins.
        pins: PathBuf,
    },
    /// The maps are of a version that this binary does not know.
    #[error("{}: the loaded gate has map layout {found}, this binary knows {}; run `smtpgate load` to replace it (it goes on filtering meanwhile)", .pins.display(), smtpgate_common::abi::LAYOUT)]
    Layout {
        /// The folder for the pins.
        pins: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// No such interface.
    #[error("interface {name} does not exist here; `ip link` lists those that do")]
    NoInterface {
        /// Its name.
        name: String,
    },
    /// The loopback interface.
    #[error(
        "interface {name} is the loopback: what it carries comes from this host itself, and is never gated; name the interfaces that lead outside"
    )]
    Loopback {
        /// Its name.
        name: String,
    },
    /// An IP tunnel on a kernel that shows tc its outer header.
    #[error(
        "interface {name} is an IP tunnel, whose packets kernels before 5.14 show the gate with the outer header first: boot Linux 5.14 or later to guard it"
    )]
    Tunnel {
        /// Its name.
        name: String,
    },
    /// A link-layer header that the program cannot read.
    #[error(
        "interface {name} has link-layer type {kind} (ARPHRD), which the gate cannot read; attach to an Ethernet or IP interface"
    )]
    LinkLayer {
        /// Its name.
        name: String,
        /// linux/if_arp.h.
        kind: u16,
    },
    /// Every way to attach failed.
    #[error("interface {name}: the program could not be attached: {tried}")]
    Attach {
        /// Its name.
        name: String,
        /// Each way with the reason why it failed.
        tried: String,
    },
    /// The program in a link could not be replaced; the old one goes on filtering.
    #[error("{}: the program in the link could not be replaced, the old one goes on filtering: {reason}", .link.display())]
    Replace {
        /// The link's pin.
        link: PathBuf,
        /// The kernel's words.
        reason: String,
    },
    /// The program could not be taken off an interface.
    #[error("{}: the gate could not be taken off, it goes on filtering: {reason}", .link.display())]
    Detach {
        /// The link's pin.
        link: PathBuf,
        /// The kernel's words.
        reason: String,
    },
    /// A netlink request failed.
    #[error("netlink: cannot {what}: {source}")]
    Netlink {
        /// What was asked.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// Whether it is the kind of interface that the gate cannot read, whatever is done.
    pub const fn is_of_the_link(&self) -> bool {
        matches!(
            self,
            Self::Loopback { .. } | Self::Tunnel { .. } | Self::LinkLayer { .. }
        )
    }

    pub(super) fn map(map: &'static str, what: &'static str) -> impl FnOnce(aya::maps::MapError) -> Self {
        move |error| Self::Map {
            map,
            what,
            reason: because(&error),
        }
    }

    pub(super) fn netlink(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Netlink { what, source }
    }
}

/// An error with all that caused it, on one line: aya keeps the kernel's answer in the source.
pub(super) fn because(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The error number at the end of an error's causes.
pub(super) fn errno(error: &(dyn StdError + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(code);
        }
        if let Some(code) = error
            .downcast_ref::<aya::sys::SyscallError>()
            .and_then(|error| error.io_error.raw_os_error())
        {
            return Some(code);
        }
        if let Some(code) = error
            .downcast_ref::<aya::programs::tc::TcError>()
            .and_then(|error| match error {
                aya::programs::tc::TcError::NetlinkError(error) => error.raw_os_error(),
                _ => None,
            })
        {
            return Some(code);
        }
        next = error.source();
    }
    None
}
