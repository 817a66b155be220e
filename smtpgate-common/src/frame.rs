//! How the walk sees a frame: bytes behind one bounds check.

/// A received frame, from its link-layer header on.
pub trait Frame {
    /// Bytes in the whole frame, also those that cannot be read in place.
    fn len(&self) -> usize;

    /// `N` bytes from `at` on, where they all lie in the part that can be read in place.
    fn header<const N: usize>(&self, at: usize) -> Option<&[u8; N]>;

    /// `number`, which is at most `mask` and has only bits of it. A verifier that follows each way to a number apart, and
    /// so walks all that comes after it once a way, can be told here to take it for any number below the mask.
    #[inline(always)]
    fn settle(&self, number: usize, mask: usize) -> usize {
        let _ = mask;
        number
    }

    /// Nothing in it.
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What stands before the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header; so many VLAN tags were taken off already by the NIC or the stack.
    Ethernet {
        /// Tags that are no longer in the frame.
        stripped: u8,
    },
    /// Nothing: the frame begins with the IP header.
    Ip,
}

impl Frame for [u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn header<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.get(at..)?.first_chunk()
    }
}

/// A big-endian number at `at` in a header that was read.
#[inline(always)]
pub(crate) fn be16<const N: usize>(header: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}
