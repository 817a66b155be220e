//! A pinned link, as the kernel tells of it.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use super::syscall::{detach_link, open_pin};

/// An open link.
#[derive(Debug)]
pub(super) struct Link {
    fd: OwnedFd,
    /// The program that it runs, by id.
    pub(super) program: u32,
    /// The interface that it is on, by index; 0 when that is gone.
    pub(super) interface: u32,
}

impl Link {
    pub(super) fn open(pin: &Path) -> io::Result<Self> {
        let fd = open_pin(pin)?;
        let text = fdinfo(fd.as_raw_fd())?;
        // `bpf_link_show_fdinfo`, `bpf_xdp_link_show_fdinfo`, `tcx_link_fdinfo`.
        let field = |name| {
            number(&text, name).ok_or_else(|| io::Error::other(format!("this is no link: its fdinfo has no {name}")))
        };
        Ok(Self {
            program: field("prog_id")?,
            interface: field("ifindex")?,
            fd,
        })
    }

    /// Takes the program off the interface, before this returns. A link whose interface is gone has nothing to take off.
    pub(super) fn detach(&self) -> io::Result<()> {
        match detach_link(self.fd.as_fd()) {
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(()),
            other => other,
        }
    }
}

/// What the kernel tells of an open descriptor of this process (proc(5)).
pub(super) fn fdinfo(fd: i32) -> io::Result<String> {
    fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))
}

/// A number in an `fdinfo` text: `name:<tab>number`.
pub(super) fn number<N: std::str::FromStr>(text: &str, name: &str) -> Option<N> {
    text.lines().find_map(|line| {
        line.split_once(':')
            .filter(|(key, _)| *key == name)?
            .1
            .trim()
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dataplane_link_reads_fdinfo() {
        let text = "pos:\t0\nflags:\t02000000\nlink_type:\txdp\nlink_id:\t14\nprog_id:\t9\nifindex:\t3\n";
        assert_eq!(number::<u32>(text, "prog_id"), Some(9));
        assert_eq!(number::<u32>(text, "ifindex"), Some(3));
        assert_eq!(number::<u64>(text, "memlock"), None);
    }
}
