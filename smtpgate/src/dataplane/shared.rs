//! Arrays that this process and the kernel's program touch at once, through one piece of memory.
#![allow(unsafe_code, reason = "a mapped array becomes a slice of atomics in one place")]

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::MapData;
use memmap2::{MmapOptions, MmapRaw};
use smtpgate_common::abi::{Bucket4, Bucket6, Head, Node};

use super::error::{Error, because};

/// Values that lie in a map as they are in Rust.
///
/// # Safety
/// Every byte pattern is a valid value, all that ever changes is atomic, and the size is a multiple of eight, as the
/// kernel's stride in an array map is (`array_map_alloc`).
pub(super) unsafe trait Atoms: Sync {}

// SAFETY: asserted in `smtpgate_common::abi`: atomics alone.
unsafe impl Atoms for Head {}
// SAFETY: 256 atomic codes; 512 bytes.
unsafe impl Atoms for Node {}
// SAFETY: eight atomic words; 64 bytes.
unsafe impl Atoms for Bucket4 {}
// SAFETY: eight atomic words; 64 bytes.
unsafe impl Atoms for Bucket6 {}

/// A whole array map, mapped for reading and writing as long as this lives.
#[derive(Debug)]
pub(super) struct Shared<T> {
    memory: MmapRaw,
    len: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: Atoms> Shared<T> {
    /// Maps `map`, called `name` in errors; it must be an array of `T` with `BPF_F_MMAPABLE`.
    pub(super) fn map(map: &MapData, name: &'static str) -> Result<Self, Error> {
        let error = |reason: String| Error::Map {
            map: name,
            what: "map it into memory",
            reason,
        };
        let info = map.info().map_err(Error::map(name, "ask its size"))?;
        let (size, len) = (size_of::<T>(), usize::try_from(info.max_entries()).unwrap_or(0));
        if usize::try_from(info.value_size()).ok() != Some(size) || len == 0 {
            return Err(error(format!(
                "it holds {} values of {} bytes, not of {size}",
                info.max_entries(),
                info.value_size()
            )));
        }
        let bytes = size.checked_mul(len).ok_or_else(|| error("too large".to_owned()))?;
        let memory = MmapOptions::new()
            .len(bytes)
            .map_raw(map.fd().as_fd().as_raw_fd())
            .map_err(|source| error(because(&source)))?;
        Ok(Self {
            memory,
            len,
            kind: std::marker::PhantomData,
        })
    }

    /// All values.
    pub(super) fn values(&self) -> &[T] {
        // SAFETY: the mapping is page-aligned, `len` values long and lives as long as the borrow (a BPF map is never
        // truncated); `Atoms` promises that any bytes are a `T` and that concurrent writes meet atomics.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }

    /// The value at `place`; `name` is for the error.
    pub(super) fn at(&self, place: u32, name: &'static str) -> Result<&T, Error> {
        let values = self.values();
        usize::try_from(place)
            .ok()
            .and_then(|place| values.get(place))
            .ok_or_else(|| Error::OutOfMap {
                map: name,
                place,
                size: u32::try_from(values.len()).unwrap_or(u32::MAX),
            })
    }
}
