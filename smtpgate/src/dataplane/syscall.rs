//! The two commands of bpf(2) for links that aya keeps to itself.
#![allow(
    unsafe_code,
    reason = "aya opens links by their pins, but neither shows the descriptor nor detaches"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// Opens what is pinned at `path`.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr().addr() as u64;
    let fd = bpf(bpf_cmd::BPF_OBJ_GET, &attr)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes a link's program off its interface now, whoever else holds the link: Linux 5.9. Dropping a link does the same
/// some time later.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_detach.link_fd = link.as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_LINK_DETACH, &attr).map(drop)
}

fn zeroed() -> bpf_attr {
    // SAFETY: a union of structs of integers.
    unsafe { std::mem::zeroed() }
}

fn bpf(command: bpf_cmd, attr: &bpf_attr) -> io::Result<RawFd> {
    // SAFETY: both commands here read `attr`, and what it points to, and write nothing.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_ref(attr),
            size_of::<bpf_attr>(),
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        RawFd::try_from(done).map_err(io::Error::other)
    }
}
