//! From the frame's first byte to its TCP header, or to the reason why there is none (DESIGN: verdict on a frame).
//!
//! A header ends where the IP length says: padding behind it never supplies anything. Loops are unrolled by hand, since
//! verifiers up to Linux 6.1 refuse some of the loops that the compiler makes of them.

use crate::{
    frame::{Frame, Link, be16},
    reason::{Family, Reason},
};

/// Where the walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Nothing of ours: not IP, not TCP, or a later fragment.
    Other,
    /// Not whole, or it contradicts itself; the stack rejects it.
    Malformed(Family),
    /// Built to hide what it carries.
    Refused(Reason, Family),
    /// A TCP header.
    Tcp(Tcp),
}

/// A TCP header, or as much as the frame has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) family: Family,
    /// Where the IP header begins.
    pub(crate) ip: usize,
    /// Where the TCP header begins; not beyond `end`.
    pub(crate) at: usize,
    /// Where the IP packet ends.
    pub(crate) end: usize,
    /// More fragments follow.
    pub(crate) first_fragment: bool,
}

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

/// Walks a frame to its TCP header.
#[inline(always)]
pub(crate) fn walk<F: Frame + ?Sized>(frame: &F, link: Link) -> Walk {
    match link {
        Link::Ip => match frame.header::<2>(0) {
            Some([version, _]) if version >> 4 == 4 => ipv4(frame, 0),
            Some([version, _]) if version >> 4 == 6 => ipv6(frame, 0),
            _ => Walk::Other,
        },
        Link::Ethernet { stripped } => {
            let Some(header) = frame.header::<14>(0) else {
                return Walk::Other;
            };
            network(frame, be16(header, 12), 14, stripped)
        }
    }
}

const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_8021Q | ETHERTYPE_8021AD)
}

#[inline(always)]
fn network<F: Frame + ?Sized>(frame: &F, mut ethertype: u16, mut at: usize, stripped: u8) -> Walk {
    macro_rules! strip_tag {
        ($seen:literal) => {
            if is_tag(ethertype) {
                if $seen + stripped >= TAGS_MAX {
                    return Walk::Refused(Reason::HeaderChain, Family::Other);
                }
                match within::<F, 4>(frame, at, frame.len(), Family::Other) {
                    Ok(Some(tag)) => ethertype = be16(tag, 2),
                    Ok(None) => return Walk::Other,
                    Err(refused) => return refused,
                }
                at += 4;
            }
        };
    }
    strip_tag!(0);
    strip_tag!(1);
    strip_tag!(2);
    strip_tag!(3);
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, at),
        ETHERTYPE_IPV6 => ipv6(frame, at),
        ETHERTYPE_8021Q | ETHERTYPE_8021AD => Walk::Refused(Reason::HeaderChain, Family::Other),
        _ => Walk::Other,
    }
}

/// `N` bytes at `at` of a packet that ends at `end`: `Ok(None)` when the packet is too short for them, an error when it
/// has them where they cannot be read in place, which no honest host's headers are.
#[inline(always)]
fn within<F: Frame + ?Sized, const N: usize>(
    frame: &F,
    at: usize,
    end: usize,
    family: Family,
) -> Result<Option<&[u8; N]>, Walk> {
    if at + N > end {
        return Ok(None);
    }
    match frame.header::<N>(at) {
        Some(header) => Ok(Some(header)),
        None => Err(Walk::Refused(Reason::HeaderChain, family)),
    }
}

#[inline(always)]
fn ipv4<F: Frame + ?Sized>(frame: &F, at: usize) -> Walk {
    let family = Family::V4;
    let header = match within::<F, 20>(frame, at, frame.len(), family) {
        Ok(Some(header)) => header,
        Ok(None) => return Walk::Malformed(family),
        Err(refused) => return refused,
    };
    let header_len = usize::from(header[0] & 15) * 4;
    let total = usize::from(be16(header, 2));
    // RFC 791 3.1; Linux ip_rcv_core rejects the same.
    if header[0] >> 4 != 4 || header_len < 20 || total < header_len || at + total > frame.len() {
        return Walk::Malformed(family);
    }
    if header[9] != PROTO_TCP {
        return Walk::Other;
    }
    let fragment = be16(header, 6);
    match fragment & 0x1fff {
        0 => {}
        // RFC 3128: it would overwrite the flags of the first one.
        1 => return Walk::Refused(Reason::Fragment, family),
        _ => return Walk::Other,
    }
    Walk::Tcp(Tcp {
        family,
        ip: at,
        at: at + header_len,
        end: at + total,
        first_fragment: fragment & 0x2000 != 0,
    })
}

#[inline(always)]
fn ipv6<F: Frame + ?Sized>(frame: &F, ip: usize) -> Walk {
    let family = Family::V6;
    let header = match within::<F, 40>(frame, ip, frame.len(), family) {
        Ok(Some(header)) => header,
        Ok(None) => return Walk::Malformed(family),
        Err(refused) => return refused,
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
        return Walk::Malformed(family);
    }
    let mut at = ip + 40;
    let mut first_fragment = false;
    macro_rules! step {
        () => {
            match next {
                PROTO_TCP => {
                    return Walk::Tcp(Tcp {
                        family,
                        ip,
                        at,
                        end,
                        first_fragment,
                    })
                }
                PROTO_HOP_BY_HOP | PROTO_ROUTING | PROTO_DESTINATION | PROTO_AH | PROTO_FRAGMENT => {}
                _ => return Walk::Other,
            }
            let header = match within::<F, 8>(frame, at, end, family) {
                Ok(Some(header)) => header,
                Ok(None) => return cut_off(first_fragment),
                Err(refused) => return refused,
            };
            let units = usize::from(header[1]);
            at += match next {
                // RFC 8200 4.5
                PROTO_FRAGMENT => {
                    let offset = be16(header, 2) >> 3;
                    if offset == 1 && header[0] == PROTO_TCP {
                        return Walk::Refused(Reason::Fragment, family);
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
            family,
            ip,
            at,
            end,
            first_fragment,
        }),
        PROTO_HOP_BY_HOP | PROTO_ROUTING | PROTO_DESTINATION | PROTO_AH | PROTO_FRAGMENT => {
            Walk::Refused(Reason::HeaderChain, family)
        }
        _ => Walk::Other,
    }
}

/// An extension-header chain that does not end in the packet: in a first fragment it is a hiding place (RFC 7112).
#[inline(always)]
const fn cut_off(first_fragment: bool) -> Walk {
    if first_fragment {
        Walk::Refused(Reason::Fragment, Family::V6)
    } else {
        Walk::Malformed(Family::V6)
    }
}
