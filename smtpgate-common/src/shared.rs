//! Numbers that lie in memory which kernel and user space share, under the names of [`core::sync::atomic`].
//!
//! rustc has no atomics below 64 bits for BPF, and LLVM 22 cannot select a relaxed load of 64. A plain aligned load is
//! one there (`ldxh`, `ldxw`, `ldxdw`), and loads are all that the kernel program does to these.

#[cfg(not(target_arch = "bpf"))]
pub use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
pub use bpf::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
#[allow(unsafe_code, reason = "volatile loads: user space writes while they are read")]
mod bpf {
    use core::{cell::Cell, sync::atomic::Ordering};

    macro_rules! loads {
        ($($name:ident $number:ty),*) => {
            $(
                /// Loads only, and these as if relaxed.
                #[repr(transparent)]
                #[derive(Debug, Default)]
                pub struct $name(Cell<$number>);

                impl $name {
                    /// Starts as `number`.
                    pub const fn new(number: $number) -> Self {
                        Self(Cell::new(number))
                    }

                    /// The number as it stands now: asked twice, it is loaded twice, and in that order.
                    #[inline(always)]
                    pub fn load(&self, _: Ordering) -> $number {
                        // SAFETY: the pointer of a live cell.
                        unsafe { self.0.as_ptr().read_volatile() }
                    }
                }
            )*
        };
    }

    loads!(AtomicU8 u8, AtomicU16 u16, AtomicU32 u32, AtomicU64 u64);
}
