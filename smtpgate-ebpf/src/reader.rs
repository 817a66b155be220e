//! The only arithmetic on packet pointers: one accessor behind one bounds check, and the context's fields.
#![allow(
    unsafe_code,
    reason = "packet and context memory, which the verifier checks access by access"
)]

use core::{arch::asm, cell::Cell, hint::assert_unchecked};

use aya_ebpf::{
    helpers::generated::bpf_xdp_get_buff_len,
    programs::{TcContext, XdpContext},
};
use smtpgate_common::Frame;

/// Bytes of a frame's front that are made readable at the most: what one XDP buffer holds, too.
const PULL_MAX: u32 = 2048;

/// In how many buffers a frame of this program may lie.
#[derive(Clone, Copy)]
pub(crate) enum Buffers {
    /// The frame is all between data and data_end.
    One,
    /// The first buffer is (`xdp.frags`).
    Many,
}

/// A frame, of which the part between `data` and `data_end` is read in place.
pub(crate) struct Reader {
    data: usize,
    data_end: usize,
    len: usize,
    missed: Cell<bool>,
}

impl Reader {
    #[inline(always)]
    pub(crate) fn xdp(ctx: &XdpContext, buffers: Buffers) -> Self {
        let (data, data_end) = (ctx.data(), ctx.data_end());
        let len = match buffers {
            Buffers::One => opaque(data_end - data),
            // SAFETY: the pointer is the context that the kernel gave.
            Buffers::Many => (unsafe { bpf_xdp_get_buff_len(ctx.ctx) }) as usize,
        };
        Self {
            data,
            data_end,
            len,
            missed: Cell::new(false),
        }
    }

    #[inline(always)]
    pub(crate) fn skb(ctx: &TcContext) -> Self {
        Self {
            data: ctx.data(),
            data_end: ctx.data_end(),
            len: ctx.len() as usize,
            missed: Cell::new(false),
        }
    }

    /// Whether a header was asked for that the frame may have, but not where it can be read.
    #[inline(always)]
    pub(crate) fn missed(&self) -> bool {
        self.missed.get() && self.data_end - self.data < self.len
    }

    /// How much of the frame to make readable.
    #[inline(always)]
    pub(crate) fn pullable(&self) -> u32 {
        if self.len < PULL_MAX as usize {
            self.len as u32
        } else {
            PULL_MAX
        }
    }
}

impl Frame for Reader {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    /// A number xored twice with an unknown one is itself, but the verifier does not see it.
    #[inline(always)]
    fn settle(&self, mut number: usize, mask: usize) -> usize {
        // SAFETY: register arithmetic.
        unsafe {
            asm!(
                "{number} ^= {unknown}",
                "{number} ^= {unknown}",
                number = inout(reg) number,
                unknown = in(reg) self.len,
                options(pure, nomem, nostack)
            );
        };
        number & mask
    }

    #[inline(always)]
    fn header<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        let start = self.data + at;
        if start + N > self.data_end {
            self.missed.set(true);
            return None;
        }
        // SAFETY: N bytes from `start` on lie before data_end; bytes need no alignment, and no packet lies at address 0,
        // which is said so that the compiler does not ask it of a pointer that the verifier lets nobody look at.
        unsafe {
            assert_unchecked(start != 0);
            Some(&*(start as *const [u8; N]))
        }
    }
}

/// A length whose origin the optimiser does not know: else it finds that a check against the frame's length is the check
/// against `data_end`, and keeps the former, which proves nothing to the verifier.
#[inline(always)]
fn opaque(mut len: usize) -> usize {
    // SAFETY: no instruction.
    unsafe { asm!("/* {len} */", len = inout(reg) len, options(pure, nomem, nostack, preserves_flags)) };
    len
}

/// VLAN tags that the NIC or the stack took off: the skb holds one at the most.
#[inline(always)]
pub(crate) fn stripped_tags(ctx: &TcContext) -> u8 {
    // SAFETY: the pointer is the context that the kernel gave.
    u8::from(unsafe { (*ctx.skb.skb).vlan_present } != 0)
}

/// Index of the interface that received the frame.
#[inline(always)]
pub(crate) fn xdp_interface(ctx: &XdpContext) -> u32 {
    // SAFETY: the pointer is the context that the kernel gave.
    unsafe { (*ctx.ctx).ingress_ifindex }
}

/// Index of the interface that received the frame.
#[inline(always)]
pub(crate) fn skb_interface(ctx: &TcContext) -> u32 {
    // SAFETY: the pointer is the context that the kernel gave.
    unsafe { (*ctx.skb.skb).ifindex }
}
