//! The shapes of everything that lies in a BPF map, asserted at compile time. User space reads and writes the arrays
//! through shared memory, so what both sides touch at once is atomic.
//!
//! A change of any shape or meaning here is a new [`LAYOUT`]: a daemon never adopts maps of another layout, it loads
//! its own beside them and replaces the program in the link.

use crate::{
    cell::Cell,
    shared::{AtomicU8, AtomicU16, AtomicU32, AtomicU64},
};

/// Version of all shapes below.
pub const LAYOUT: u32 = 1;

/// Gates at the most; a gate's number is its bit in a [`GateMask`].
pub const GATES: usize = 16;

/// One bit a gate.
pub type GateMask = u16;

/// What stands for "no gate" where a gate number is counted.
pub const NO_GATE: u8 = 16;

/// Cells that the front tables can name.
pub const CLASSES: usize = 256;

/// Words of the filter before `BANS4`: 128 KiB, which the cache next to the CPU holds.
pub const FILTER4_WORDS: usize = 16_384;
/// Words of the filter before `BANS6`: 32 KiB, since few ban IPv6 by the ten thousand.
pub const FILTER6_WORDS: usize = 4096;
/// Words of both.
pub const FILTER_WORDS: usize = FILTER4_WORDS + FILTER6_WORDS;

/// Map names, as the object, the pins and `bpftool` have them (15 characters at the most).
pub mod maps {
    /// ARRAY(1) of [`super::Head`], mmapable.
    pub const HEAD: &str = "HEAD";
    /// ARRAY of [`super::Node`], mmapable: front table of IPv4 below its root.
    pub const NODES4: &str = "NODES4";
    /// ARRAY of [`super::Node`], mmapable: front table of IPv6 below its root.
    pub const NODES6: &str = "NODES6";
    /// LPM_TRIE, 4-byte network-order address to [`super::Cell`].
    pub const TRIE4: &str = "TRIE4";
    /// LPM_TRIE, 16-byte network-order address to [`super::Cell`].
    pub const TRIE6: &str = "TRIE6";
    /// ARRAY of [`super::Bucket4`], mmapable.
    pub const BANS4: &str = "BANS4";
    /// HASH, address (u32, host order) to end (u32): bans that found their bucket full.
    pub const BANS4_OVER: &str = "BANS4_OVER";
    /// ARRAY of [`super::Bucket6`], mmapable.
    pub const BANS6: &str = "BANS6";
    /// HASH, /64 network (u64, host order) to [`super::Ban6`]'s second word.
    pub const BANS6_OVER: &str = "BANS6_OVER";
    /// HASH, 16-byte network-order address to end (u32): bans of single IPv6 addresses.
    pub const BANS6_EXACT: &str = "BANS6_EXACT";
    /// PERCPU_ARRAY of u64, see [`super::counter_index`].
    pub const COUNTERS: &str = "COUNTERS";
    /// PERCPU_ARRAY(1) of u64: events this CPU may still write; user space refills.
    pub const TOKENS: &str = "TOKENS";
    /// RINGBUF of [`super::Event`].
    pub const EVENTS: &str = "EVENTS";
}

/// Program names in the object.
pub mod programs {
    /// XDP, one buffer a frame: may be tail-called and chained, and is all that kernels before 5.18 know.
    pub const XDP: &str = "smtpgate";
    /// XDP for frames in several buffers (`xdp.frags`, Linux 5.18), for MTUs beyond one page.
    pub const XDP_FRAGS: &str = "smtpgate_frags";
    /// tc classifier on links with an Ethernet header.
    pub const TC: &str = "smtpgate_tc";
    /// tc classifier on links without one (tun, ppp, wireguard).
    pub const TC_L3: &str = "smtpgate_tc_l3";
}

/// Constants of the program that user space sets before it loads it (`.rodata`).
pub mod globals {
    /// u32: 32 minus log2 of the number of buckets in `BANS4`.
    pub const BANS4_SHIFT: &str = "BANS4_SHIFT";
    /// u32: 64 minus log2 of the number of buckets in `BANS6`.
    pub const BANS6_SHIFT: &str = "BANS6_SHIFT";
}

/// The first words of the gate table, and the roots of both front tables. Host byte order throughout.
#[repr(C)]
#[derive(Debug)]
pub struct Head {
    /// [`LAYOUT`].
    pub layout: AtomicU32,
    /// Gates that only observe, by bit; [`OBSERVE_STRUCTURE`] for the structural drops.
    pub observe: AtomicU32,
    /// Packed [`Cell`]s that front codes below [`crate::front::ASK_TRIE`] name. Number 0 is the empty cell.
    pub classes: [AtomicU64; CLASSES],
    /// Bits of [`crate::ban::filter4`] and [`crate::ban::filter6`] for every source in the ban tables, set before it gets
    /// there: what keeps nearly all others from the tables, which no cache holds. Bits of sources that went stay until
    /// the next filling.
    pub filter: [AtomicU64; FILTER_WORDS],
    /// By the first two bytes of an IPv4 address, big-endian.
    pub root4: [AtomicU16; 65_536],
    /// By the first two bytes of an IPv6 address, big-endian.
    pub root6: [AtomicU16; 65_536],
    /// By TCP destination port: the gate's number plus one; 0 is no gate.
    pub ports: [AtomicU8; 65_536],
}

/// Empty: every source is outside.
impl Default for Head {
    fn default() -> Self {
        Self {
            layout: AtomicU32::new(LAYOUT),
            observe: AtomicU32::new(0),
            classes: [const { AtomicU64::new(0) }; CLASSES],
            filter: [const { AtomicU64::new(0) }; FILTER_WORDS],
            root4: [const { AtomicU16::new(0) }; 65_536],
            root6: [const { AtomicU16::new(0) }; 65_536],
            ports: [const { AtomicU8::new(0) }; 65_536],
        }
    }
}

/// Bit of [`Head::observe`] under which structural drops (no gate is known) pass and are counted as would-drop.
pub const OBSERVE_STRUCTURE: u32 = 1 << 16;

/// One step of a front table: a code for each value of the next address byte.
#[repr(C)]
#[derive(Debug)]
pub struct Node {
    /// See [`crate::front`].
    pub codes: [AtomicU16; 256],
}

impl Default for Node {
    fn default() -> Self {
        Self {
            codes: [const { AtomicU16::new(0) }; 256],
        }
    }
}

/// One cache line of banned IPv4 addresses: eight words of [`crate::ban::word4`].
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Bucket4 {
    /// 0 is a free place. While anything of this line stands in the overflow, the last word is not 0.
    pub words: [AtomicU64; 8],
}

/// A banned /64, or the mark that single addresses of it are.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Ban6 {
    /// The network: the first eight bytes of the address as a big-endian number.
    pub net: AtomicU64,
    /// Low half: end of the ban of the whole /64 (0: not banned). High half: [`EXACT`] or 0. 0 as a whole: a free place.
    pub state: AtomicU64,
}

/// Mark in the high half of [`Ban6::state`]: ask `BANS6_EXACT` for the address.
pub const EXACT: u64 = 1 << 32;

/// One cache line of banned /64 networks.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Bucket6 {
    /// Free where `state` is 0. Before a place is given to another network its state is set to
    /// [`crate::ban::LIFTED`], so that no reader joins one network with the other's end. While anything of this line
    /// stands in the overflow, the last `state` is not 0.
    pub bans: [Ban6; 4],
}

/// What the kernel tells of a refused SYN, as far as the tokens go.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub boot_ns: u64,
    /// Network order; IPv4 in the first four bytes, the rest 0.
    pub source: [u8; 16],
    /// Interface index.
    pub ifindex: u32,
    /// Destination port, host order; 0 when it could not be read.
    pub port: u16,
    /// Gate number, or [`NO_GATE`].
    pub gate: u8,
    /// [`crate::Reason`] as its code.
    pub reason: u8,
    /// [`crate::Family`] as its code.
    pub family: u8,
    /// 1 when the frame passed because its gate only observes.
    pub observed: u8,
    /// Zero. Numbers, not an array, which the compiler would fill by a call.
    pub pad: u16,
    /// Zero.
    pub pad2: u32,
}

/// Families that are counted apart, see [`crate::Family`].
pub const FAMILIES: usize = 3;
/// Room for reason codes; they are append-only.
pub const REASONS: usize = 16;
/// Entries of `COUNTERS`.
pub const COUNTER_COUNT: u32 = ((GATES + 1) * REASONS * FAMILIES * 2) as u32;

/// Place of a counter. `gate` is at most [`NO_GATE`]; `observed` counts what would have been dropped.
#[inline(always)]
pub const fn counter_index(gate: u8, reason: u8, family: u8, observed: bool) -> u32 {
    ((gate as u32 * REASONS as u32 + reason as u32) * FAMILIES as u32 + family as u32) * 2 + observed as u32
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Cell>() == 8);
    assert!(offset_of!(Head, classes) == 8);
    assert!(offset_of!(Head, root4) == 8 + 8 * (CLASSES + FILTER_WORDS));
    assert!(offset_of!(Head, root6) == 8 + 8 * (CLASSES + FILTER_WORDS) + 131_072);
    assert!(offset_of!(Head, ports) == 8 + 8 * (CLASSES + FILTER_WORDS) + 262_144);
    assert!(size_of::<Head>() == 8 + 8 * (CLASSES + FILTER_WORDS) + 327_680);
    assert!(size_of::<Node>() == 512);
    assert!(size_of::<Bucket4>() == 64 && align_of::<Bucket4>() == 64);
    assert!(size_of::<Bucket6>() == 64 && align_of::<Bucket6>() == 64);
    assert!(size_of::<Event>() == 40 && align_of::<Event>() == 8);
    assert!(offset_of!(Event, source) == 8 && offset_of!(Event, ifindex) == 24 && offset_of!(Event, port) == 28);
    assert!(offset_of!(Event, gate) == 30 && offset_of!(Event, observed) == 33);
    assert!(counter_index(NO_GATE, 15, 2, true) == COUNTER_COUNT - 1);
};
