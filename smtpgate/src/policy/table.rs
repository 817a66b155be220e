//! The gate table: the policy with all nesting resolved, as plain lists. What the kernel holds is this, laid out for speed.

use ipnet::IpNet;
use smtpgate_common::{
    ban::{self, NEVER},
    cell::Cell,
};

use super::prefix::{Prefix, Side, left4, meant};

/// A compiled policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateTable {
    /// By TCP destination port: the gate's number plus one; 0 is no gate. 65,536 bytes.
    pub ports: Box<[u8]>,
    /// [`smtpgate_common::abi::Head::observe`].
    pub observe: u32,
    /// IPv4: sorted, longest match is the whole answer, no entry can be left out.
    pub cells4: Vec<(Prefix, Cell)>,
    /// IPv6, as `cells4`.
    pub cells6: Vec<(Prefix, Cell)>,
    /// Sorted, each once. None of them holds a trusted address.
    pub singles: Vec<(Single, Ends)>,
}

impl GateTable {
    /// The prefixes of one family.
    pub fn cells(&self, side: Side) -> &[(Prefix, Cell)] {
        match side {
            Side::V4 => &self.cells4,
            Side::V6 => &self.cells6,
        }
    }
}

/// What the ban tables are keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Single {
    /// An IPv4 address (big-endian number).
    V4(u32),
    /// An IPv6 /64 (first eight bytes as a big-endian number).
    Net6(u64),
    /// An IPv6 address, network order.
    V6([u8; 16]),
}

impl Single {
    /// The single source that a prefix is; `None` when it is wider or between /64 and /128, which only a compiled table
    /// can hold.
    #[allow(clippy::cast_possible_truncation, reason = "shifted to the width")]
    pub fn of(net: IpNet) -> Option<Self> {
        let (side, prefix) = meant(net);
        match (side, prefix.length()) {
            (Side::V4, 32) => Some(Self::V4((prefix.first() >> 96) as u32)),
            (Side::V6, 64) => Some(Self::Net6((prefix.first() >> 64) as u64)),
            (Side::V6, 128) => Some(Self::V6(prefix.first().to_be_bytes())),
            _ => None,
        }
    }

    /// Back to a prefix.
    pub fn prefix(self) -> (Side, Prefix) {
        match self {
            Self::V4(address) => (Side::V4, Prefix::new(left4(address), 32)),
            Self::Net6(net) => (Side::V6, Prefix::new(u128::from(net) << 64, 64)),
            Self::V6(address) => (Side::V6, Prefix::new(u128::from_be_bytes(address), 128)),
        }
    }
}

/// Why and until when a single source is refused. A listed one keeps its ban, for the day when it is listed no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// End of the ban in ticks; 0 when it is not banned.
    pub until: u32,
    /// Stands in a `block` source.
    pub listed: bool,
}

impl Ends {
    /// As the kernel's tables have it.
    pub const fn end(self) -> u32 {
        if self.listed { NEVER } else { self.until }
    }

    /// Both reasons together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            until: self.until.max(other.until),
            listed: self.listed || other.listed,
        }
    }
}

/// An end that a ban can have: 0 where there is none ([`ban::LIFTED`] is long past), [`ban::LAST`] at the most.
pub(super) const fn ban_end(until: u32) -> u32 {
    match until {
        0..=ban::LIFTED => 0,
        NEVER => ban::LAST,
        until => until,
    }
}
