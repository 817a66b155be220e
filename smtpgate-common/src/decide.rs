//! The verdict on one frame: structure first, then port and flags, then the source.

use core::sync::atomic::Ordering::Relaxed;

use crate::{
    abi::{EXACT, NO_GATE, OBSERVE_STRUCTURE},
    ban::{self, word4},
    cell::Cell,
    frame::{Frame, Link, be16},
    front::{ASK_TRIE, FIRST_NODE},
    reason::{Family, Reason},
    tables::{Lookup, Tables},
    walk::{Tcp, Walk, walk},
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
    /// Where the IP header begins in the frame; only meaningful with a family.
    pub ip: usize,
    /// The gate only observes: a drop passes, and is counted as would-drop.
    pub observed: bool,
}

impl Decision {
    const PASS: Self = Self {
        reason: Reason::None,
        family: Family::Other,
        gate: NO_GATE,
        port: 0,
        ip: 0,
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
    match walk(frame, link) {
        Walk::Other => Decision::PASS,
        Walk::Malformed(family) => Decision {
            reason: Reason::Malformed,
            family,
            ..Decision::PASS
        },
        Walk::Refused(reason, family) => structural(tables, reason, family, NO_GATE, 0),
        Walk::Tcp(tcp) => segment(frame, tcp, tables),
    }
}

#[inline(always)]
fn structural<T: Tables>(tables: &T, reason: Reason, family: Family, gate: u8, port: u16) -> Decision {
    let observe = tables.lookup().map_or(0, |lookup| lookup.observe());
    let bit = if gate < NO_GATE { 1 << gate } else { OBSERVE_STRUCTURE };
    Decision {
        reason,
        family,
        gate,
        port,
        observed: observe & bit != 0,
        ..Decision::PASS
    }
}

#[inline(always)]
fn segment<F: Frame + ?Sized, T: Tables>(frame: &F, tcp: Tcp, tables: &T) -> Decision {
    let family = tcp.family;
    if tcp.at + 14 > tcp.end {
        return cut_segment(frame, tcp, tables);
    }
    let Some(header) = frame.header::<14>(tcp.at) else {
        return structural(tables, Reason::HeaderChain, family, NO_GATE, 0);
    };
    // Other flags beside SYN do not matter: Linux opens on SYN+PSH too.
    if header[13] & (SYN | ACK) != SYN {
        return Decision::PASS;
    }
    let port = be16(header, 2);
    let Some(gate) = tables.gate(port) else {
        return Decision::PASS;
    };
    let Some(lookup) = tables.lookup() else {
        return Decision::PASS;
    };
    let reason = match family {
        Family::V6 => match frame.header::<16>(tcp.ip + 8) {
            Some(source) => judge(&lookup, gate, &Source::V6(*source)),
            None => return Decision::PASS,
        },
        _ => match frame.header::<4>(tcp.ip + 12) {
            Some(source) => judge(&lookup, gate, &Source::V4(*source)),
            None => return Decision::PASS,
        },
    };
    let observed = reason.drops() && lookup.observe() >> (gate & 15) & 1 != 0;
    Decision {
        reason,
        family,
        gate,
        port,
        ip: tcp.ip,
        observed,
    }
}

/// A TCP header that ends before its flags.
#[inline(always)]
fn cut_segment<F: Frame + ?Sized, T: Tables>(frame: &F, tcp: Tcp, tables: &T) -> Decision {
    let family = tcp.family;
    let port = if tcp.at + 4 > tcp.end {
        None
    } else {
        match frame.header::<4>(tcp.at) {
            Some(ports) => Some(be16(ports, 2)),
            None => return structural(tables, Reason::HeaderChain, family, NO_GATE, 0),
        }
    };
    let gate = port.and_then(|port| tables.gate(port));
    match (port, gate) {
        (Some(_), None) => Decision::PASS,
        // RFC 1858: the rest of the header would come in the next fragment, unseen.
        _ if tcp.first_fragment => structural(
            tables,
            Reason::Fragment,
            family,
            gate.unwrap_or(NO_GATE),
            port.unwrap_or(0),
        ),
        _ => Decision {
            reason: Reason::Malformed,
            family,
            ..Decision::PASS
        },
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
    let cell = match source {
        Source::V4(address) => cell4(lookup, *address),
        Source::V6(address) => cell6(lookup, *address),
    };
    if cell.trusted() {
        return Reason::Trusted;
    }
    if cell.blocked() {
        return Reason::Blocklist;
    }
    if !cell.allows(gate) {
        return Reason::Outside;
    }
    let single = match source {
        Source::V4(address) => single4(lookup, u32::from_be_bytes(*address)),
        Source::V6(address) => single6(lookup, *address),
    };
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
fn cell4<L: Lookup>(lookup: &L, address: [u8; 4]) -> Cell {
    let mut code = lookup.root4(u16::from_be_bytes([address[0], address[1]]));
    if code >= FIRST_NODE {
        code = lookup
            .node4(u32::from(code - FIRST_NODE), address[2])
            .unwrap_or(ASK_TRIE);
    }
    if code >= FIRST_NODE {
        code = lookup
            .node4(u32::from(code - FIRST_NODE), address[3])
            .unwrap_or(ASK_TRIE);
    }
    if code < ASK_TRIE {
        return lookup.class(code as u8);
    }
    lookup.trie4(address).unwrap_or(Cell::EMPTY)
}

#[inline(always)]
fn cell6<L: Lookup>(lookup: &L, address: [u8; 16]) -> Cell {
    let mut code = lookup.root6(u16::from_be_bytes([address[0], address[1]]));
    macro_rules! step {
        ($byte:literal) => {
            if code >= FIRST_NODE {
                code = lookup
                    .node6(u32::from(code - FIRST_NODE), address[$byte])
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
    if code < ASK_TRIE {
        return lookup.class(code as u8);
    }
    lookup.trie6(address).unwrap_or(Cell::EMPTY)
}

/// End of the ban of a single IPv4 address; 0 when it has none.
#[inline(always)]
fn single4<L: Lookup>(lookup: &L, address: u32) -> u32 {
    let Some(bucket) = lookup.bucket4(address) else {
        return 0;
    };
    let key = word4(address, 0) >> 32;
    let mut full = true;
    macro_rules! look {
        ($($slot:literal)*) => {
            $(
                // One load a word: address and end belong together.
                let word = bucket.words[$slot].load(Relaxed);
                if word >> 32 == key && word != 0 {
                    return word as u32;
                }
                full &= word != 0;
            )*
        };
    }
    look!(0 1 2 3 4 5 6 7);
    if full { lookup.over4(address).unwrap_or(0) } else { 0 }
}

/// End of the ban of a single IPv6 address or of its /64, whichever is later; 0 when there is none.
#[inline(always)]
fn single6<L: Lookup>(lookup: &L, address: [u8; 16]) -> u32 {
    if !lookup.any_bans6() {
        return 0;
    }
    let [a, b, c, d, e, f, g, h, ..] = address;
    let net = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let Some(bucket) = lookup.bucket6(net) else { return 0 };
    let mut state = 0;
    let mut full = true;
    macro_rules! look {
        ($($slot:literal)*) => {
            $(
                let ban = &bucket.bans[$slot];
                if ban.net.load(Relaxed) == net {
                    let found = ban.state.load(Relaxed);
                    // The place may be given to another network between the two loads; its writer sets LIFTED first.
                    if found != 0 && ban.net.load(Relaxed) == net {
                        state = found;
                    }
                }
                full &= ban.state.load(Relaxed) != 0;
            )*
        };
    }
    look!(0 1 2 3);
    if state == 0 && full {
        state = lookup.over6(net).unwrap_or(0);
    }
    let until = state as u32;
    if state & EXACT == 0 {
        return until;
    }
    let exact = lookup.exact6(address).unwrap_or(0);
    if exact > until { exact } else { until }
}
