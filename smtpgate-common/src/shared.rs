//! Numbers that lie in memory which kernel and user space share, under the names of [`core::sync::atomic`].
//!
//! rustc has no atomics below 64 bits for BPF, and LLVM 22 cannot select a relaxed load of 64. A plain aligned load is
//! one there (`ldxh`, `ldxw`, `ldxdw`), and loads are all that the kernel program does to these.

#[cfg(not(target_arch = "bpf"))]
pub use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
pub use bpf::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

// Tests have it too, so that Miri sees what nothing else runs outside of a kernel.
#[cfg(any(target_arch = "bpf", test))]
#[allow(unsafe_code, reason = "volatile loads: user space writes while they are read")]
#[cfg_attr(
    test,
    allow(unreachable_pub, reason = "only the kernel program has the name for them")
)]
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

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering::Relaxed;

    use super::bpf;

    /// As in a map: numbers of every width side by side, which lie where the other side has them.
    #[derive(Debug, Default)]
    #[repr(C)]
    struct Shared {
        words: [bpf::AtomicU64; 2],
        halves: [bpf::AtomicU32; 2],
        shorts: [bpf::AtomicU16; 2],
        bytes: [bpf::AtomicU8; 3],
    }

    #[test]
    fn a_load_gives_the_whole_number_and_none_of_its_neighbours() {
        let shared = Shared {
            words: [1, u64::MAX].map(bpf::AtomicU64::new),
            halves: [2, u32::MAX].map(bpf::AtomicU32::new),
            shorts: [3, u16::MAX].map(bpf::AtomicU16::new),
            bytes: [4, 5, u8::MAX].map(bpf::AtomicU8::new),
        };
        assert_eq!(shared.words.each_ref().map(|word| word.load(Relaxed)), [1, u64::MAX]);
        assert_eq!(shared.halves.each_ref().map(|half| half.load(Relaxed)), [2, u32::MAX]);
        assert_eq!(shared.shorts.each_ref().map(|short| short.load(Relaxed)), [3, u16::MAX]);
        assert_eq!(shared.bytes.each_ref().map(|byte| byte.load(Relaxed)), [4, 5, u8::MAX]);
    }

    #[test]
    fn shapes_are_those_of_user_space() {
        use core::mem::{align_of, size_of};
        macro_rules! same {
            ($($name:ident)*) => {
                $(
                    assert_eq!(size_of::<bpf::$name>(), size_of::<super::$name>());
                    assert_eq!(align_of::<bpf::$name>(), align_of::<super::$name>());
                )*
            };
        }
        same!(AtomicU8 AtomicU16 AtomicU32 AtomicU64);
    }

    #[test]
    #[allow(
        unsafe_code,
        reason = "the other side's write, which comes by another way than this reference"
    )]
    fn a_number_is_loaded_again_each_time_it_is_asked_for() {
        let shared = Shared::default();
        let word = &shared.words[1];
        assert_eq!(word.load(Relaxed), 0);
        // SAFETY: the number is in a cell, aligned, alive, and of this one thread.
        unsafe { core::ptr::from_ref(word).cast::<u64>().cast_mut().write_volatile(7) };
        assert_eq!(word.load(Relaxed), 7);
    }
}
