//! Waiting for a descriptor to become readable.
#![allow(
    unsafe_code,
    reason = "tokio cannot see that a descriptor stays the same; the types here can be told to"
)]

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Owners of a descriptor.
///
/// # Safety
/// The descriptor stays open and the same for as long as the owner lives.
pub(super) unsafe trait Steady: AsRawFd {}

// SAFETY: it owns its descriptor and never swaps it.
unsafe impl Steady for netlink_sys::Socket {}
// SAFETY: the map owns its descriptor and never swaps it.
unsafe impl Steady for aya::maps::RingBuf<aya::maps::MapData> {}

/// Registers `inner` with the current tokio runtime; there must be one.
pub(super) fn readable<T: Steady>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `Steady` says that `as_raw_fd` names one open descriptor until `inner` is dropped.
    unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) }.map_err(io::Error::from)
}
