//! From the frame's first byte to its TCP header, or to the reason why there is none (DESIGN: verdict on a frame).
//!
//! A header ends where the IP length says: padding behind it never supplies anything. Loops are unrolled by hand, since
//! verifiers up to Linux 6.1 refuse some of the loops that the compiler makes of them.

use crate::frame::{Frame, Link, be16};

/// What the link layer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Nothing of ours.
    Other,
    /// More VLAN tags than anyone needs, or where they cannot be read.
    Refused,
    /// An IPv4 header should begin here.
    V4(usize),
    /// An IPv6 header should begin here.
    V6(usize),
}

/// Where the walk over an IP packet ended. One variant alone has something in it: where two had, the compiler would take
/// the numbers of the one apart at the bytes of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Nothing of ours: not TCP, or a later fragment.
    Other,
    /// Not whole, or it contradicts itself; the stack rejects it.
    Malformed,
    /// A fragment built to hide what it carries ([`crate::Reason::Fragment`]).
    Fragment,
    /// More headers than anyone needs, or where they cannot be read ([`crate::Reason::HeaderChain`]).
    HeaderChain,
    /// A TCP header.
    Tcp(Tcp),
}

/// A TCP header, or as much as the frame has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    /// As in [`crate::Decision::source`].
    pub(crate) source: u128,
    /// Where the TCP header begins; not beyond `end`.
    pub(crate) at: usize,
    /// Where the IP packet ends.
    pub(crate) end: usize,
    /// More fragments follow.
    pub(crate) first_fragment: bool,
}

/// Bits of a place in the headers: 4 tags and 8 extension headers of 2,048 bytes are below.
const PLACES: usize = 0x7fff;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_8021Q: u16 = 0x8100;
const ETHERTYPE_8021AD: u16 = 0x88a8;
/// VLAN tags that an honest frame may have. Linux strips any number whose VLAN id is 0.
const TAGS_MAX: u8 = 4;

const PROTO_HOP_BY_HOP: u8 = 0;
const PROTO_TCP: u8 = 6;
const PROTO_ROUTING: u8 = 43;
const PROTO_FRAGMENT: u8 = 44;
const PROTO_AH: u8 = 51;
const PROTO_DESTINATION: u8 = 60;

/// Walks a frame to its IP header.
#[inline(always)]
pub(crate) fn network<F: Frame + ?Sized>(frame: &F, link: Link) -> Network {
    match link {
        Link::Ip => match frame.header::<2>(0) {
            Some([version, _]) if version >> 4 == 4 => Network::V4(0),
            Some([version, _]) if version >> 4 == 6 => Network::V6(0),
            _ => Network::Other,
        },
        Link::Ethernet { stripped } => match frame.header::<14>(0) {
            Some(header) => match be16(header, 12) {
                ethertype if is_tag(ethertype) => tagged(frame, stripped),
                ethertype => untagged(ethertype, 14),
            },
            None => Network::Other,
        },
    }
}

const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_8021Q | ETHERTYPE_8021AD)
}

/// Strips the tags of a frame that has one.
#[inline(always)]
fn tagged<F: Frame + ?Sized>(frame: &F, stripped: u8) -> Network {
    let mut at = 14;
    macro_rules! strip_tag {
        ($seen:literal) => {
            if $seen + stripped >= TAGS_MAX {
                return Network::Refused;
            }
            let ethertype = match within(frame, at, frame.len()) {
                Within::Whole(tag) => be16::<4>(tag, 2),
                Within::Short => return Network::Other,
                Within::Hidden => return Network::Refused,
            };
            at += 4;
            if !is_tag(ethertype) {
                return untagged(ethertype, frame.settle(at, PLACES));
            }
        };
    }
    strip_tag!(0);
    strip_tag!(1);
    strip_tag!(2);
    strip_tag!(3);
    let _ = at;
    Network::Refused
}

const fn untagged(ethertype: u16, at: usize) -> Network {
    match ethertype {
        ETHERTYPE_IPV4 => Network::V4(at),
        ETHERTYPE_IPV6 => Network::V6(at),
        _ => Network::Other,
    }
}

/// A header that a packet should have.
pub(crate) enum Within<'a, const N: usize> {
    /// All of it.
    Whole(&'a [u8; N]),
    /// The packet ends before it does.
    Short,
    /// The packet has it where it cannot be read in place, which no honest host's headers are.
    Hidden,
}

/// `N` bytes at `at` of a packet that ends at `end`.
#[inline(always)]
pub(crate) fn within<F: Frame + ?Sized, const N: usize>(frame: &F, at: usize, end: usize) -> Within<'_, N> {
    match frame.header(at) {
        Some(header) if at + N <= end => Within::Whole(header),
        None if at + N <= end => Within::Hidden,
        _ => Within::Short,
    }
}

/// `N` bytes at `at` of the frame: as [`within`] it, without the comparison that cannot fail.
#[inline(always)]
fn leading<F: Frame + ?Sized, const N: usize>(frame: &F, at: usize) -> Within<'_, N> {
    match frame.header(at) {
        Some(header) => Within::Whole(header),
        None if at + N <= frame.len() => Within::Hidden,
        None => Within::Short,
    }
}

/// Walks an IPv4 packet to its TCP header.
#[inline(always)]
pub(crate) fn ipv4<F: Frame + ?Sized>(frame: &F, at: usize) -> Walk {
    let header: &[u8; 20] = match leading(frame, at) {
        Within::Whole(header) => header,
        Within::Short => return Walk::Malformed,
        Within::Hidden => return Walk::HeaderChain,
    };
    let header_len = usize::from(header[0] & 15) * 4;
    let total = usize::from(be16(header, 2));
    // RFC 791 3.1; Linux ip_rcv_core rejects the same.
    if header[0] >> 4 != 4 || header_len < 20 || total < header_len || at + total > frame.len() {
        return Walk::Malformed;
    }
    if header[9] != PROTO_TCP {
        return Walk::Other;
    }
    let fragment = be16(header, 6);
    match fragment & 0x1fff {
        0 => {}
        // RFC 3128: it would overwrite the flags of the first one.
        1 => return Walk::Fragment,
        _ => return Walk::Other,
    }
    // As one chunk, or the compiler for BPF loads it byte by byte.
    let (_, addresses) = header.split_at(12);
    let source = addresses
        .first_chunk()
        .map_or(0, |source| u32::from_le_bytes(*source).into());
    Walk::Tcp(Tcp {
        source,
        at: at + header_len,
        end: at + total,
        first_fragment: fragment & 0x2000 != 0,
    })
}

/// Walks an IPv6 packet to its TCP header.
#[inline(always)]
pub(crate) fn ipv6<F: Frame + ?Sized>(frame: &F, ip: usize) -> Walk {
    let header: &[u8; 40] = match leading(frame, ip) {
        Within::Whole(header) => header,
        Within::Short => return Walk::Malformed,
        Within::Hidden => return Walk::HeaderChain,
    };
    let payload = usize::from(be16(header, 4));
    let mut next = header[6];
    // Linux ipv6_rcv: a length of 0 before a hop-by-hop header is not checked, Jumbo option or none.
    let end = if payload == 0 && next == PROTO_HOP_BY_HOP {
        frame.len()
    } else {
        ip + 40 + payload
    };
    if header[0] >> 4 != 6 || end > frame.len() {
        return Walk::Malformed;
    }
    let (_, addresses) = header.split_at(8);
    let source = addresses.first_chunk().map_or(0, |source| u128::from_le_bytes(*source));
    let mut at = ip + 40;
    let mut first_fragment = false;
    macro_rules! step {
        () => {
            match next {
                PROTO_TCP => {
                    return Walk::Tcp(Tcp {
                        source,
                        at,
                        end,
                        first_fragment,
                    })
                }
                PROTO_HOP_BY_HOP | PROTO_ROUTING | PROTO_DESTINATION | PROTO_AH | PROTO_FRAGMENT => {}
                _ => return Walk::Other,
            }
            let header: &[u8; 8] = match within(frame, at, end) {
                Within::Whole(header) => header,
                Within::Short => return cut_off(first_fragment),
                Within::Hidden => return Walk::HeaderChain,
            };
            let units = usize::from(header[1]);
            at += match next {
                // RFC 8200 4.5
                PROTO_FRAGMENT => {
                    let offset = be16(header, 2) >> 3;
                    if offset == 1 && header[0] == PROTO_TCP {
                        return Walk::Fragment;
                    }
                    if offset != 0 {
                        return Walk::Other;
                    }
                    // Offset 0 and no more: an atomic fragment (RFC 6946), which is a whole packet.
                    first_fragment |= header[3] & 1 != 0;
                    8
                }
                // RFC 4302 2.2: in 4-byte units, minus 2.
                PROTO_AH => (units + 2) * 4,
                // RFC 8200 4.3, 4.4, 4.6: in 8-byte units, without the first.
                _ => (units + 1) * 8,
            };
            if at > end {
                return cut_off(first_fragment);
            }
            next = header[0];
            at = frame.settle(at, PLACES);
            first_fragment = frame.settle(usize::from(first_fragment), 1) != 0;
        };
    }
    step!();
    step!();
    step!();
    step!();
    step!();
    step!();
    step!();
    step!();
    match next {
        PROTO_TCP => Walk::Tcp(Tcp {
            source,
            at,
            end,
            first_fragment,
        }),
        PROTO_HOP_BY_HOP | PROTO_ROUTING | PROTO_DESTINATION | PROTO_AH | PROTO_FRAGMENT => Walk::HeaderChain,
        _ => Walk::Other,
    }
}

/// An extension-header chain that does not end in the packet: in a first fragment it is a hiding place (RFC 7112).
#[inline(always)]
const fn cut_off(first_fragment: bool) -> Walk {
    if first_fragment {
        Walk::Fragment
    } else {
        Walk::Malformed
    }
}
