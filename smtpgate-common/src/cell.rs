//! The whole answer for one source: which gates let it in, and the marks that stand above that.

use crate::abi::GateMask;

/// What the policy says of a source, packed into one word so that it is read and written whole.
///
/// Bits 0–15: gates that allow it. Bits 16–31: [`Cell::TRUST`], [`Cell::BLOCK`]. Bits 32–63: end of the ban of the
/// prefix it stands for, in ticks ([`crate::ban`]); 0 is no ban.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell(u64);

impl Cell {
    /// Passes every gate and cannot be banned.
    pub const TRUST: u16 = 1;
    /// Refused at every gate.
    pub const BLOCK: u16 = 2;
    /// Allowed nowhere, and nothing else is known of it.
    pub const EMPTY: Self = Self(0);

    /// `until` in ticks; 0 is no ban.
    #[inline(always)]
    pub const fn new(allow: GateMask, flags: u16, until: u32) -> Self {
        Self(allow as u64 | (flags as u64) << 16 | (until as u64) << 32)
    }

    /// As it lies in a map.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As it lies in a map.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Gates that let the source in.
    #[inline(always)]
    pub const fn allow(self) -> GateMask {
        self.0 as GateMask
    }

    /// Whether gate number `gate` (below 16) lets the source in.
    #[inline(always)]
    pub const fn allows(self, gate: u8) -> bool {
        self.0 >> (gate & 15) & 1 != 0
    }

    /// Trust mark.
    #[inline(always)]
    pub const fn trusted(self) -> bool {
        self.0 & (Self::TRUST as u64) << 16 != 0
    }

    /// Block mark.
    #[inline(always)]
    pub const fn blocked(self) -> bool {
        self.0 & (Self::BLOCK as u64) << 16 != 0
    }

    /// End of the prefix's ban in ticks; 0 is no ban.
    #[inline(always)]
    pub const fn until(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
