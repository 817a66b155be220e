//! The gate table as it lies in the maps.
#![allow(unsafe_code, reason = "the inline assembly and the hash maps of aya want it")]

use core::{arch::asm, sync::atomic::Ordering::Relaxed};

use aya_ebpf::{btf_maps::lpm_trie::Key, helpers::bpf_ktime_get_boot_ns};
use smtpgate_common::{
    Lookup, Tables,
    abi::{Bucket4, Bucket6, FILTER_WORDS, Head},
    ban::{bucket4, bucket6, ticks},
    cell::Cell,
};

use crate::maps::{
    BANS4, BANS4_OVER, BANS6, BANS6_EXACT, BANS6_OVER, HEAD, NODES4, NODES6, TRIE4, TRIE6, bans4_shift, bans6_shift,
};

/// The maps, none of them looked up yet.
pub(crate) struct Table;

/// The maps.
pub(crate) struct Maps {
    head: &'static Head,
}

impl Tables for Table {
    type Lookup<'a> = Maps;

    #[inline(always)]
    fn lookup(&self) -> Option<Maps> {
        HEAD.get(0).map(|head| Maps { head })
    }
}

/// A 16-bit index as the verifier of Linux 6.1 and older sees it bounded: it takes a byte-swapped number for any number,
/// and the compiler drops a mask that it knows to change nothing.
#[inline(always)]
fn bounded(index: u16) -> usize {
    let mut index = u64::from(index);
    // SAFETY: register arithmetic.
    unsafe { asm!("{index} &= 65535", index = inout(reg) index, options(pure, nomem, nostack)) };
    index as usize
}

/// Keys lie so on the stack that their addresses are aligned to 8 bytes: the verifier refuses unaligned accesses there,
/// which the compiler, allowed to read packets unaligned, otherwise makes.
#[repr(C, align(8))]
struct Key4(Key<[u8; 4]>);
#[repr(C, align(8))]
struct Key6(u32, Key<[u8; 16]>);
#[repr(C, align(8))]
struct Exact6([u8; 16]);

impl Lookup for Maps {
    #[inline(always)]
    fn gate(&self, port: u16) -> Option<u8> {
        // SAFETY: below the 65,536 ports.
        let gate = unsafe { self.head.ports.get_unchecked(bounded(port)) }.load(Relaxed);
        gate.checked_sub(1)
    }

    #[inline(always)]
    fn observe(&self) -> u32 {
        self.head.observe.load(Relaxed)
    }

    #[inline(always)]
    fn class(&self, id: u8) -> Cell {
        Cell::from_bits(self.head.classes[usize::from(id)].load(Relaxed))
    }

    #[inline(always)]
    fn root4(&self, index: u16) -> u16 {
        // SAFETY: below the root's 65,536 entries.
        unsafe { self.head.root4.get_unchecked(bounded(index)) }.load(Relaxed)
    }

    #[inline(always)]
    fn root6(&self, index: u16) -> u16 {
        // SAFETY: below the root's 65,536 entries.
        unsafe { self.head.root6.get_unchecked(bounded(index)) }.load(Relaxed)
    }

    #[inline(always)]
    fn node4(&self, node: u32, byte: u8) -> Option<u16> {
        Some(NODES4.get(node)?.codes[usize::from(byte)].load(Relaxed))
    }

    #[inline(always)]
    fn node6(&self, node: u32, byte: u8) -> Option<u16> {
        Some(NODES6.get(node)?.codes[usize::from(byte)].load(Relaxed))
    }

    #[inline(always)]
    fn trie4(&self, address: [u8; 4]) -> Option<Cell> {
        let [low, high] = *TRIE4.get(&Key4(Key::new(32, address)).0)?;
        Some(Cell::from_bits(u64::from(high) << 32 | u64::from(low)))
    }

    #[inline(always)]
    fn trie6(&self, address: [u8; 16]) -> Option<Cell> {
        TRIE6
            .get(&Key6(0, Key::new(128, address)).1)
            .copied()
            .map(Cell::from_bits)
    }

    #[inline(always)]
    fn bucket4(&self, address: u32) -> Option<&Bucket4> {
        BANS4.get(bucket4(address, bans4_shift()))
    }

    #[inline(always)]
    fn over4(&self, address: u32) -> Option<u32> {
        // SAFETY: without preallocation an element is not reused while a program may read it.
        unsafe { BANS4_OVER.get(address) }.copied()
    }

    #[inline(always)]
    fn filter(&self, word: u16) -> u64 {
        self.head.filter[usize::from(word) % FILTER_WORDS].load(Relaxed)
    }

    #[inline(always)]
    fn bucket6(&self, net: u64) -> Option<&Bucket6> {
        BANS6.get(bucket6(net, bans6_shift()))
    }

    #[inline(always)]
    fn over6(&self, net: u64) -> Option<u64> {
        // SAFETY: as in over4.
        unsafe { BANS6_OVER.get(net) }.copied()
    }

    #[inline(always)]
    fn exact6(&self, address: [u8; 16]) -> Option<u32> {
        let aligned = Exact6(address);
        let key: &[u8; 16] = &aligned.0;
        // SAFETY: as in over4.
        unsafe { BANS6_EXACT.get(key) }.copied()
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: a helper without arguments.
        ticks(unsafe { bpf_ktime_get_boot_ns() })
    }
}
