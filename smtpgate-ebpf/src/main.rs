//! The kernel program: one decision (`smtpgate_common::decide`) behind four entry points.
//!
//! Here is only what the kernel asks for: contexts, maps, verdict numbers. Loaded on Linux 5.10 and later; what the
//! verifier of old kernels cannot follow is said where it shaped the code.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(clippy::cast_possible_truncation, reason = "BPF is a 64-bit machine")]

mod events;
mod maps;
mod reader;
mod table;

use aya_ebpf::{
    bindings::{
        TC_ACT_SHOT, TC_ACT_UNSPEC,
        xdp_action::{XDP_DROP, XDP_PASS},
    },
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use smtpgate_common::{Link, decide, decide_then};

use crate::{
    reader::{Buffers, Reader},
    table::Table,
};

#[xdp]
fn smtpgate(ctx: XdpContext) -> u32 {
    xdp_verdict(&Reader::xdp(&ctx, Buffers::One), &ctx)
}

#[xdp(frags)]
fn smtpgate_frags(ctx: XdpContext) -> u32 {
    xdp_verdict(&Reader::xdp(&ctx, Buffers::Many), &ctx)
}

#[classifier]
fn smtpgate_tc(ctx: TcContext) -> i32 {
    let link = Link::Ethernet {
        stripped: reader::stripped_tags(&ctx),
    };
    tc_verdict(&ctx, link)
}

#[classifier]
fn smtpgate_tc_l3(ctx: TcContext) -> i32 {
    tc_verdict(&ctx, Link::Ip)
}

#[inline(always)]
fn xdp_verdict(frame: &Reader, ctx: &XdpContext) -> u32 {
    decide_then(frame, Link::Ethernet { stripped: 0 }, &Table, |decision| {
        events::record(&decision, || reader::xdp_interface(ctx));
        if decision.drops() { XDP_DROP } else { XDP_PASS }
    })
}

/// A pass is TC_ACT_UNSPEC (TCX_NEXT): filters behind this one are still asked.
#[inline(always)]
fn tc_verdict(ctx: &TcContext, link: Link) -> i32 {
    let mut frame = Reader::skb(ctx);
    let mut decision = decide(&frame, link, &Table);
    // A header in a page fragment of the skb: have it copied to where it can be read, once. Whether that worked is seen
    // in the frame; after it, no pointer into the packet is valid any more.
    if frame.missed() {
        let _ = ctx.pull_data(frame.pullable());
        frame = Reader::skb(ctx);
        decision = decide(&frame, link, &Table);
    }
    events::record(&decision, || reader::skb_interface(ctx));
    if decision.drops() { TC_ACT_SHOT } else { TC_ACT_UNSPEC }
}

/// The verifier refuses a program in which this can be reached.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
