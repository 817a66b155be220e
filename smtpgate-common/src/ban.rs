//! The table of single banned sources: one cache line a look-up, whatever its size.
//!
//! Ends are counted in ticks of 2^27 ns (0.134 s) since boot, so that the kernel needs one shift and no division;
//! 32 bits of them last 18 years. A clock is read only once an address has matched.

use crate::abi::{FILTER4_WORDS, FILTER6_WORDS};

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

const _: () = assert!(FILTER4_WORDS == 1 << (64 - 50) && FILTER6_WORDS == 1 << (64 - 52));

/// log2 of a tick in nanoseconds.
pub const TICK_SHIFT: u32 = 27;

/// End that never comes: the address stands in a `block` source, and is counted as that.
pub const NEVER: u32 = u32::MAX;

/// Last end that a ban can have.
pub const LAST: u32 = u32::MAX - 1;

/// End of a ban that was lifted: long past, but its word is not 0, so that the search goes on to the overflow.
pub const LIFTED: u32 = 1;

/// Ticks since boot, from nanoseconds since boot; rounded down.
#[inline(always)]
pub const fn ticks(boot_ns: u64) -> u32 {
    (boot_ns >> TICK_SHIFT) as u32
}

/// A word of a [`crate::abi::Bucket4`]: address (big-endian number) in the high half, end in the low one.
#[inline(always)]
pub const fn word4(address: u32, until: u32) -> u64 {
    (address as u64) << 32 | until as u64
}

/// Word and bits of [`crate::abi::Head::filter`] for an IPv4 address (a big-endian number). All bits of a banned one are
/// set; of 100 others, 3 have all set at 100,000 bans. A Bloom filter in one word: Putze, Sanders and Singler, Cache-,
/// Hash- and Space-Efficient Bloom Filters, 2007.
#[inline(always)]
pub const fn filter4(address: u32) -> (u16, u64) {
    let hash = (address as u64).wrapping_mul(GOLDEN);
    ((hash >> 50) as u16, two_bits(hash))
}

/// As [`filter4`], for a /64 network.
#[inline(always)]
pub const fn filter6(net: u64) -> (u16, u64) {
    let hash = net.wrapping_mul(GOLDEN);
    (FILTER4_WORDS as u16 + (hash >> 52) as u16, two_bits(hash))
}

#[inline(always)]
const fn two_bits(hash: u64) -> u64 {
    1 << (hash >> 44 & 63) | 1 << (hash >> 38 & 63)
}

/// Bucket of an IPv4 address. `shift` is 32 minus log2 of the number of buckets (1 to 31). Fibonacci hashing: Knuth,
/// The Art of Computer Programming 3, 6.4.
#[inline(always)]
pub const fn bucket4(address: u32, shift: u32) -> u32 {
    address.wrapping_mul(0x9E37_79B1) >> (shift & 31)
}

/// Bucket of a /64 network. `shift` is 64 minus log2 of the number of buckets (33 to 63).
#[inline(always)]
pub const fn bucket6(net: u64, shift: u32) -> u32 {
    (net.wrapping_mul(GOLDEN) >> (shift & 63)) as u32
}
