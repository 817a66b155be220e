//! The words for why: codes are append-only, they stand in counters, events and other people's dashboards.

/// Why a frame passed or was dropped.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// None of the gate's business; not counted.
    None = 0,
    /// Gated SYN from an allowed source.
    Allowed = 1,
    /// Gated SYN from a trusted source.
    Trusted = 2,
    /// Gated SYN from a source that the gate does not allow.
    Outside = 3,
    /// Gated SYN from a blocked prefix or address.
    Blocklist = 4,
    /// Gated SYN from a banned source.
    Banned = 5,
    /// A header that lies about its length or is cut off; passes, the stack rejects it.
    Malformed = 6,
    /// A fragment that hides a TCP header.
    Fragment = 7,
    /// More VLAN tags or extension headers than anyone needs.
    HeaderChain = 8,
}

impl Reason {
    /// All, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Allowed,
        Self::Trusted,
        Self::Outside,
        Self::Blocklist,
        Self::Banned,
        Self::Malformed,
        Self::Fragment,
        Self::HeaderChain,
    ];

    /// The code's reason; `None` for one that a newer program wrote.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// As it is printed, counted and documented.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Allowed => "allowed",
            Self::Trusted => "trusted",
            Self::Outside => "outside",
            Self::Blocklist => "blocklist",
            Self::Banned => "banned",
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::HeaderChain => "header_chain",
        }
    }

    /// Whether a frame with this reason is refused by a gate that enforces.
    #[inline(always)]
    pub const fn drops(self) -> bool {
        matches!(
            self,
            Self::Outside | Self::Blocklist | Self::Banned | Self::Fragment | Self::HeaderChain
        )
    }
}

/// Address family, as it is counted.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Not known: the frame was refused before its network header.
    Other = 0,
    /// IPv4.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

impl Family {
    /// All, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Other, Self::V4, Self::V6];

    /// The code's family.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// As it is printed and documented.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}
