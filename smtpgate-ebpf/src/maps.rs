//! All maps, by the names of `smtpgate_common::abi::maps`. Numbers of entries are placeholders: the loader sets them
//! from the policy.
#![allow(unsafe_code, reason = "the macro exports the maps by name")]

use core::ptr::read_volatile;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf},
    macros::btf_map,
};
use smtpgate_common::abi::{Bucket4, Bucket6, COUNTER_COUNT, Head, Node};

const SHARED: usize = BPF_F_MMAPABLE as usize;
/// Elements are allocated as they come, and freed after a grace period: a reader never sees a place reused under it.
const GROWING: usize = BPF_F_NO_PREALLOC as usize;
/// Overridden by the loader.
const ANY: usize = 2;

#[btf_map]
pub(crate) static HEAD: Array<Head, 1, SHARED> = Array::new();
#[btf_map]
pub(crate) static NODES4: Array<Node, ANY, SHARED> = Array::new();
#[btf_map]
pub(crate) static NODES6: Array<Node, ANY, SHARED> = Array::new();
/// The value is a [`smtpgate_common::cell::Cell`] in two halves, low one first: the kernel aligns it to four bytes only.
#[btf_map]
pub(crate) static TRIE4: LpmTrie<[u8; 4], [u32; 2], ANY> = LpmTrie::new();
#[btf_map]
pub(crate) static TRIE6: LpmTrie<[u8; 16], u64, ANY> = LpmTrie::new();
#[btf_map]
pub(crate) static BANS4: Array<Bucket4, ANY, SHARED> = Array::new();
#[btf_map]
pub(crate) static BANS4_OVER: HashMap<u32, u32, ANY, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static BANS6: Array<Bucket6, ANY, SHARED> = Array::new();
#[btf_map]
pub(crate) static BANS6_OVER: HashMap<u64, u64, ANY, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static BANS6_EXACT: HashMap<[u8; 16], u32, ANY, GROWING> = HashMap::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<u64, { COUNTER_COUNT as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static TOKENS: PerCpuArray<u64, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static EVENTS: RingBuf<(), { 1 << 18 }> = RingBuf::new();

/// The kernel opens some helpers only to licenses that it takes for compatible with its own.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

// Not `aya_ebpf::Global`: it is a union in BTF, whose generic name bpf-linker leaves as it is and the kernel refuses.
#[unsafe(no_mangle)]
static BANS4_SHIFT: u32 = 31;
#[unsafe(no_mangle)]
static BANS6_SHIFT: u32 = 63;

/// The constant of that name, as the loader set it.
#[inline(always)]
pub(crate) fn bans4_shift() -> u32 {
    // SAFETY: a static; volatile, because its value here is not the one at run time.
    unsafe { read_volatile(&raw const BANS4_SHIFT) }
}

/// The constant of that name, as the loader set it.
#[inline(always)]
pub(crate) fn bans6_shift() -> u32 {
    // SAFETY: as in bans4_shift.
    unsafe { read_volatile(&raw const BANS6_SHIFT) }
}
