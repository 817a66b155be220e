//! The table: named frames, and what must become of each. The expected values are written from the design's rows (§4),
//! never asked from the code under test.

mod fragments;
mod ipv4;
mod ipv6;
mod jumbo;
mod link;
mod sources;
mod tcp;
mod truncated;

pub use jumbo::jumbo;
use smtpgate_common::abi::NO_GATE;
use smtpgate_common::{Family, Reason};

use super::builder::{Ipv4, Ipv6, Tcp, ethernet, ethertype, protocol};
use super::policy::{HOST4, HOST6, MX, Version, WATCH, Who};

/// One frame and its verdict.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique; begins with the row that it belongs to.
    pub name: String,
    /// From the Ethernet header on. The destination address is zero, the source address is [`mac`] of its number.
    pub frame: Vec<u8>,
    /// What must become of it.
    pub expect: Expect,
    /// Number of the first case of its train: of the frames that are sent one after the other because a stack would
    /// put them together. Most are alone.
    pub train: u32,
    /// Whether a Linux that gets the whole train, with no gate before it, answers with SYN+ACK. Set where an answer is
    /// what makes the case worth having; unset says nothing.
    pub answered: bool,
    /// It has VLAN tags for which the host needs interfaces before it can answer.
    pub vlan: bool,
}

/// What must become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expect {
    /// Whether the frame is dropped.
    pub drop: bool,
    /// What it is counted as.
    pub counted: Option<Counted>,
}

/// The counter that goes up by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// Why.
    pub reason: Reason,
    /// IPv4, IPv6 or not known.
    pub family: Family,
    /// Number of the gate, or [`NO_GATE`].
    pub gate: u8,
    /// Whether it would have been dropped.
    pub observed: bool,
}

impl Expect {
    const PASS: Self = Self {
        drop: false,
        counted: None,
    };

    const fn malformed(version: Version) -> Self {
        Self {
            drop: false,
            counted: Some(Counted {
                reason: Reason::Malformed,
                family: family(version),
                gate: NO_GATE,
                observed: false,
            }),
        }
    }

    const fn refused(reason: Reason, family: Family, gate: u8) -> Self {
        let observed = gate == WATCH;
        Self {
            drop: !observed,
            counted: Some(Counted {
                reason,
                family,
                gate,
                observed,
            }),
        }
    }

    /// A first fragment or one at offset 1 that hides a header; `gate` where its port can be read.
    const fn fragment(version: Version, gate: Option<u8>) -> Self {
        let gate = match gate {
            Some(gate) => gate,
            None => NO_GATE,
        };
        Self::refused(Reason::Fragment, family(version), gate)
    }

    const fn chain(family: Family) -> Self {
        Self::refused(Reason::HeaderChain, family, NO_GATE)
    }

    /// A gated SYN, as the policy has its source.
    const fn judged(version: Version, who: Who, gate: u8) -> Self {
        let reason = match who {
            Who::Allowed | Who::BanEnded | Who::BanEndedPrefix | Who::BesideBannedExact => Reason::Allowed,
            Who::MxOnly if gate == MX => Reason::Allowed,
            // A single blocked address that no gate allows is counted as outside: the cheaper of two true reasons.
            Who::MxOnly | Who::Foreign | Who::ForeignBanned | Who::BlockedForeign => Reason::Outside,
            Who::Trusted | Who::TrustedInBlock | Who::BlockInTrust | Who::TrustedBanned => Reason::Trusted,
            Who::Blocked | Who::AllowedInBlock | Who::BlockedSingle | Who::BlockedBanned => Reason::Blocklist,
            Who::Banned | Who::BannedPrefix | Who::BannedExact | Who::BannedExactInEnded | Who::EndedExactInBanned => {
                Reason::Banned
            }
        };
        Self::judged_as(version, reason, gate)
    }

    const fn judged_as(version: Version, reason: Reason, gate: u8) -> Self {
        match reason {
            Reason::Allowed | Reason::Trusted => Self {
                drop: false,
                counted: Some(Counted {
                    reason,
                    family: family(version),
                    gate,
                    observed: false,
                }),
            },
            _ => Self::refused(reason, family(version), gate),
        }
    }

    /// Whether an open connection is what the policy wants of this frame: let in, or only observed.
    #[must_use]
    pub fn may_open(&self) -> bool {
        self.counted
            .is_some_and(|counted| counted.observed || matches!(counted.reason, Reason::Allowed | Reason::Trusted))
    }

    /// The same where every gate only observes.
    #[must_use]
    pub fn observed(self) -> Self {
        Self {
            drop: false,
            counted: self.counted.map(|counted| Counted {
                observed: counted.observed || self.drop,
                ..counted
            }),
        }
    }
}

const fn family(version: Version) -> Family {
    match version {
        Version::Four => Family::V4,
        Version::Six => Family::V6,
    }
}

/// The whole table.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut table = Table { cases: Vec::new() };
    sources::rows(&mut table);
    link::rows(&mut table);
    ipv4::rows(&mut table);
    fragments::rows(&mut table);
    ipv6::rows(&mut table);
    tcp::rows(&mut table);
    truncated::rows(&mut table);
    table.cases
}

/// Ethernet source address of the case at `index`: how an observer knows which frame it sees.
#[must_use]
pub fn mac(index: usize) -> [u8; 6] {
    let [.., a, b, c, d] = (index as u64).to_be_bytes();
    [2, 0, a, b, c, d]
}

/// The case whose frame carries this Ethernet source address.
#[must_use]
pub fn index_of_mac(mac: [u8; 6]) -> Option<usize> {
    let [2, 0, a, b, c, d] = mac else { return None };
    usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()
}

/// The train whose SYN an answer with this acknowledgement number acknowledges.
#[must_use]
pub const fn train_of_acknowledgement(number: u32) -> u32 {
    (number >> 16).wrapping_sub(1)
}

/// The port that the plain cases go to, and the number of its gate.
const PORT: u16 = 25;
/// A port in no gate.
const OTHER_PORT: u16 = 80;
/// A gated SYN from these shows both verdicts.
const BOTH: [Who; 2] = [Who::Allowed, Who::Foreign];

struct Table {
    cases: Vec<Case>,
}

impl Table {
    /// Number of the next case.
    fn next(&self) -> u32 {
        u32::try_from(self.cases.len()).unwrap_or(u32::MAX)
    }

    /// What the fragments of the next train have in common.
    fn id(&self) -> u16 {
        u16::try_from(self.cases.len()).unwrap_or(u16::MAX)
    }

    /// A SYN of the next case: by sequence number and source port, an answer tells whose it is. The low half of the
    /// sequence number is no gate's port, for the cases that read the header at the wrong place.
    fn syn(&self, port: u16) -> Tcp {
        let number = self.next();
        let source = u16::try_from(2_600 + number % 60_000).unwrap_or(u16::MAX);
        Tcp::syn(source, port, (number + 1) << 16 | 0x8888)
    }

    fn add(&mut self, name: impl Into<String>, frame: Vec<u8>, expect: Expect) -> &mut Case {
        let train = self.next();
        self.push(train, name.into(), frame, expect)
    }

    fn push(&mut self, train: u32, name: String, mut frame: Vec<u8>, expect: Expect) -> &mut Case {
        if let Some(source) = frame.get_mut(6..12) {
            source.copy_from_slice(&mac(self.cases.len()));
        }
        let index = self.cases.len();
        self.cases.push(Case {
            name,
            frame,
            expect,
            train,
            answered: false,
            vlan: false,
        });
        &mut self.cases[index]
    }

    /// Frames that belong together. `answered` as in [`Case`].
    fn train(&mut self, name: &str, answered: bool, pieces: Vec<(&str, Vec<u8>, Expect)>) {
        let train = self.next();
        for (piece, frame, expect) in pieces {
            self.push(train, format!("{name}: {piece}"), frame, expect).answered = answered;
        }
    }
}

impl Case {
    /// Linux answers it when nothing stands before the stack.
    const fn answered(&mut self) {
        self.answered = true;
    }
}

/// A packet with the segment, no options, no extension headers.
fn plain(version: Version, who: Who, segment: &Tcp) -> Vec<u8> {
    let bytes = segment.bytes(who.ends(version));
    match version {
        Version::Four => four(who, protocol::TCP).packet(&bytes),
        Version::Six => six(who, protocol::TCP).packet(&bytes),
    }
}

/// A header from this source to the host.
#[allow(clippy::unreachable, reason = "addresses of the family that was asked for")]
fn four(who: Who, protocol: u8) -> Ipv4 {
    match who.address(Version::Four) {
        std::net::IpAddr::V4(source) => Ipv4::new(source, HOST4, protocol),
        std::net::IpAddr::V6(_) => unreachable!(),
    }
}

/// A header from this source to the host.
#[allow(clippy::unreachable, reason = "addresses of the family that was asked for")]
fn six(who: Who, protocol: u8) -> Ipv6 {
    match who.address(Version::Six) {
        std::net::IpAddr::V6(source) => Ipv6::new(source, HOST6, protocol),
        std::net::IpAddr::V4(_) => unreachable!(),
    }
}

/// The EtherType of a version.
const fn kind(version: Version) -> u16 {
    match version {
        Version::Four => ethertype::IPV4,
        Version::Six => ethertype::IPV6,
    }
}

/// An untagged frame.
fn framed(version: Version, packet: &[u8]) -> Vec<u8> {
    ethernet(&[], kind(version), packet)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn packets_cases_have_names_of_their_own_and_there_are_many() {
        let cases = all();
        let names: HashSet<_> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.len() > 3_000, "{}", cases.len());
    }

    #[test]
    fn packets_cases_are_known_again_by_address_and_by_answer() {
        for (index, case) in all().iter().enumerate() {
            if let Some(address) = case.frame.get(6..12) {
                assert_eq!(index_of_mac(address.try_into().unwrap()), Some(index), "{}", case.name);
            }
        }
        let table = Table {
            cases: vec![all().remove(0); 77],
        };
        assert_eq!(train_of_acknowledgement(table.syn(25).sequence.wrapping_add(1)), 77);
    }

    #[test]
    fn packets_cases_hold_every_reason_in_every_family_it_can_have() {
        let found: HashSet<_> = all()
            .iter()
            .filter_map(|case| case.expect.counted)
            .map(|counted| (counted.reason, counted.family))
            .collect();
        for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::None) {
            assert!(found.contains(&(reason, Family::V6)), "{reason:?}");
            // IPv4 has no chain of headers.
            assert!(
                found.contains(&(reason, Family::V4)) || reason == Reason::HeaderChain,
                "{reason:?}"
            );
        }
        assert!(found.contains(&(Reason::HeaderChain, Family::Other)));
    }
}
