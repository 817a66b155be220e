//! The verdict on one frame: structure first, then port and flags, then the source.

use core::sync::atomic::Ordering::Relaxed;

use crate::{
    abi::{Bucket6, EXACT, NO_GATE, OBSERVE_STRUCTURE},
    ban,
    cell::Cell,
    frame::{Frame, Link, be16},
    front::{ASK_TRIE, FIRST_NODE},
    reason::{Family, Reason},
    tables::{Lookup, Tables},
    walk::{Network, Tcp, Walk, Within, ipv4, ipv6, network, within},
};

/// What becomes of a frame, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// [`Reason::None`] is not counted.
    pub reason: Reason,
    /// As far as it is known.
    pub family: Family,
    /// Gate number, or [`NO_GATE`].
    pub gate: u8,
    /// Destination port, host order; 0 when it was not read.
    pub port: u16,
    /// Source address as it lies in the packet, read as a little-endian number; IPv4 in the first four bytes. 0 when no TCP
    /// header was found. A number, because the compiler for BPF keeps it in registers.
    pub source: u128,
    /// The gate only observes: a drop passes, and is counted as would-drop.
    pub observed: bool,
}

impl Decision {
    const PASS: Self = Self {
        reason: Reason::None,
        family: Family::Other,
        gate: NO_GATE,
        port: 0,
        source: 0,
        observed: false,
    };

    /// Whether the frame is dropped.
    #[inline(always)]
    pub const fn drops(&self) -> bool {
        self.reason.drops() && !self.observed
    }
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Decides over a frame. Pure but for what `tables` reads.
#[inline(always)]
pub fn decide<F: Frame + ?Sized, T: Tables>(frame: &F, link: Link, tables: &T) -> Decision {
    decide_then(frame, link, tables, |decision| decision)
}

/// Decides over a frame and goes on with `then`. It is compiled into each of the ways there, which part early and never
/// meet again, so that most of a decision is constants where it is used, and not words on the stack.
#[inline(always)]
pub fn decide_then<F: Frame + ?Sized, T: Tables, R>(
    frame: &F,
    link: Link,
    tables: &T,
    then: impl Fn(Decision) -> R,
) -> R {
    match network(frame, link) {
        Network::Other => then(Decision::PASS),
        Network::Refused => then(structural(tables, Reason::HeaderChain, Family::Other)),
        Network::V4(at) => match ipv4(frame, at) {
            Walk::Tcp(tcp) => then(segment(frame, tcp, Family::V4, tables)),
            walk => then(no_segment(walk, Family::V4, tables)),
        },
        Network::V6(at) => match ipv6(frame, at) {
            Walk::Tcp(tcp) => then(segment(frame, tcp, Family::V6, tables)),
            walk => then(no_segment(walk, Family::V6, tables)),
        },
    }
}

#[inline(always)]
fn no_segment<T: Tables>(walk: Walk, family: Family, tables: &T) -> Decision {
    match walk {
        Walk::Other | Walk::Tcp(_) => Decision::PASS,
        Walk::Malformed => Decision {
            reason: Reason::Malformed,
            family,
            ..Decision::PASS
        },
        Walk::Fragment => structural(tables, Reason::Fragment, family),
        Walk::HeaderChain => structural(tables, Reason::HeaderChain, family),
    }
}

/// A refusal before any gate is known.
#[inline(always)]
fn structural<T: Tables>(tables: &T, reason: Reason, family: Family) -> Decision {
    Decision {
        reason,
        family,
        observed: observed(tables, OBSERVE_STRUCTURE),
        ..Decision::PASS
    }
}

#[inline(always)]
fn observed<T: Tables>(tables: &T, bit: u32) -> bool {
    tables.lookup().is_some_and(|lookup| lookup.observe() & bit != 0)
}

#[inline(always)]
fn segment<F: Frame + ?Sized, T: Tables>(frame: &F, tcp: Tcp, family: Family, tables: &T) -> Decision {
    let header: &[u8; 14] = match within(frame, tcp.at, tcp.end) {
        Within::Whole(header) => header,
        Within::Short => return cut_segment(frame, tcp, family, tables),
        Within::Hidden => return structural(tables, Reason::HeaderChain, family),
    };
    // Other flags beside SYN do not matter: Linux opens on SYN+PSH too.
    if header[13] & (SYN | ACK) != SYN {
        return Decision::PASS;
    }
    let port = be16(header, 2);
    let Some(lookup) = tables.lookup() else {
        return Decision::PASS;
    };
    let Some(gate) = lookup.gate(port) else {
        return Decision::PASS;
    };
    let reason = match family {
        Family::V6 => judge6(&lookup, gate, tcp.source),
        _ => judge4(&lookup, gate, tcp.source as u32),
    };
    Decision {
        reason,
        family,
        gate,
        port,
        observed: reason.drops() && lookup.observe() >> (gate & 15) & 1 != 0,
        source: tcp.source,
    }
}

/// A TCP header that ends before its flags.
#[inline(always)]
fn cut_segment<F: Frame + ?Sized, T: Tables>(frame: &F, tcp: Tcp, family: Family, tables: &T) -> Decision {
    let (port, gate) = match within::<F, 4>(frame, tcp.at, tcp.end) {
        Within::Whole(ports) => {
            let port = be16(ports, 2);
            match tables.lookup().and_then(|lookup| lookup.gate(port)) {
                Some(gate) => (port, gate),
                None => return Decision::PASS,
            }
        }
        Within::Short => (0, NO_GATE),
        Within::Hidden => return structural(tables, Reason::HeaderChain, family),
    };
    let decision = Decision {
        family,
        source: tcp.source,
        ..Decision::PASS
    };
    if !tcp.first_fragment {
        return Decision {
            reason: Reason::Malformed,
            ..decision
        };
    }
    // RFC 1858: the rest of the header would come in the next fragment, unseen.
    let bit = if gate < NO_GATE { 1 << gate } else { OBSERVE_STRUCTURE };
    Decision {
        reason: Reason::Fragment,
        gate,
        port,
        observed: observed(tables, bit),
        ..decision
    }
}

/// A source address in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

/// The reason for which a SYN of `source` passes or is refused at gate number `gate` (below 16).
#[inline(always)]
pub fn judge<L: Lookup>(lookup: &L, gate: u8, source: &Source) -> Reason {
    match source {
        Source::V4(address) => judge4(lookup, gate, u32::from_le_bytes(*address)),
        Source::V6(address) => judge6(lookup, gate, u128::from_le_bytes(*address)),
    }
}

// Addresses are little-endian numbers below, as a load from the packet gives them.

#[inline(always)]
fn judge4<L: Lookup>(lookup: &L, gate: u8, address: u32) -> Reason {
    let cell = cell4(lookup, address);
    match by_cell(cell, gate) {
        Some(reason) => reason,
        None => by_ban(lookup, cell, single4(lookup, address.swap_bytes())),
    }
}

#[inline(always)]
fn judge6<L: Lookup>(lookup: &L, gate: u8, address: u128) -> Reason {
    let cell = cell6(lookup, address);
    match by_cell(cell, gate) {
        Some(reason) => reason,
        None => by_ban(lookup, cell, single6(lookup, address)),
    }
}

/// What the cell alone decides; `None` for a source that is allowed unless it is banned.
#[inline(always)]
const fn by_cell(cell: Cell, gate: u8) -> Option<Reason> {
    if cell.trusted() {
        Some(Reason::Trusted)
    } else if cell.blocked() {
        Some(Reason::Blocklist)
    } else if !cell.allows(gate) {
        Some(Reason::Outside)
    } else {
        None
    }
}

/// `single` is the end of the ban of the address itself.
#[inline(always)]
fn by_ban<L: Lookup>(lookup: &L, cell: Cell, single: u32) -> Reason {
    if single == ban::NEVER {
        return Reason::Blocklist;
    }
    let until = if single > cell.until() { single } else { cell.until() };
    if until != 0 && lookup.now() < until {
        Reason::Banned
    } else {
        Reason::Allowed
    }
}

#[inline(always)]
fn cell4<L: Lookup>(lookup: &L, address: u32) -> Cell {
    let mut code = lookup.root4((address as u16).swap_bytes());
    macro_rules! step {
        ($byte:literal) => {
            if code >= FIRST_NODE {
                code = lookup
                    .node4(u32::from(code - FIRST_NODE), (address >> (8 * $byte)) as u8)
                    .unwrap_or(ASK_TRIE);
            }
        };
    }
    step!(2);
    step!(3);
    if code < ASK_TRIE {
        return lookup.class(code as u8);
    }
    lookup.trie4(address.to_le_bytes()).unwrap_or(Cell::EMPTY)
}

#[inline(always)]
fn cell6<L: Lookup>(lookup: &L, address: u128) -> Cell {
    let mut code = lookup.root6((address as u16).swap_bytes());
    macro_rules! step {
        ($byte:literal) => {
            if code >= FIRST_NODE {
                code = lookup
                    .node6(u32::from(code - FIRST_NODE), (address >> (8 * $byte)) as u8)
                    .unwrap_or(ASK_TRIE);
            }
        };
    }
    step!(2);
    step!(3);
    step!(4);
    step!(5);
    step!(6);
    step!(7);
    step!(8);
    step!(9);
    step!(10);
    step!(11);
    step!(12);
    step!(13);
    step!(14);
    step!(15);
    if code < ASK_TRIE {
        return lookup.class(code as u8);
    }
    lookup.trie6(address.to_le_bytes()).unwrap_or(Cell::EMPTY)
}

/// Whether a ban table need be asked.
#[inline(always)]
fn may_be_banned<L: Lookup>(lookup: &L, (word, bits): (u16, u64)) -> bool {
    lookup.filter(word) & bits == bits
}

/// End of the ban of a single IPv4 address (a big-endian number); 0 when it has none.
#[inline(always)]
fn single4<L: Lookup>(lookup: &L, address: u32) -> u32 {
    if !may_be_banned(lookup, ban::filter4(address)) {
        return 0;
    }
    let Some(bucket) = lookup.bucket4(address) else {
        return 0;
    };
    macro_rules! look {
        ($($slot:literal)*) => {
            $(
                // One load a word: address and end belong together. Free places are not asked for: a branch on each of
                // them is one that no processor foretells.
                let word = bucket.words[$slot].load(Relaxed);
                if (word >> 32) as u32 == address {
                    return word as u32;
                }
            )*
        };
    }
    look!(0 1 2 3 4 5 6 7);
    if bucket.words[7].load(Relaxed) != 0 {
        lookup.over4(address).unwrap_or(0)
    } else {
        0
    }
}

/// End of the ban of a single IPv6 address or of its /64, whichever is later; 0 when there is none.
#[inline(always)]
fn single6<L: Lookup>(lookup: &L, address: u128) -> u32 {
    let net = (address as u64).swap_bytes();
    if !may_be_banned(lookup, ban::filter6(net)) {
        return 0;
    }
    let Some(bucket) = lookup.bucket6(net) else { return 0 };
    let state = state6(lookup, bucket, net);
    let until = state as u32;
    if state & EXACT == 0 {
        return until;
    }
    let exact = lookup.exact6(address.to_le_bytes()).unwrap_or(0);
    if exact > until { exact } else { until }
}

/// What stands of a /64 in its bucket or in the overflow; 0 when nothing does.
#[inline(always)]
fn state6<L: Lookup>(lookup: &L, bucket: &Bucket6, net: u64) -> u64 {
    macro_rules! look {
        ($($slot:literal)*) => {
            $(
                let ban = &bucket.bans[$slot];
                if ban.net.load(Relaxed) == net {
                    let state = ban.state.load(Relaxed);
                    // The place may be given to another network between the two loads; its writer sets LIFTED first.
                    if state != 0 && ban.net.load(Relaxed) == net {
                        return state;
                    }
                }
            )*
        };
    }
    look!(0 1 2 3);
    if bucket.bans[3].state.load(Relaxed) != 0 {
        lookup.over6(net).unwrap_or(0)
    } else {
        0
    }
}
