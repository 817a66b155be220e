//! What a verdict leaves behind: an exact count, and an event as far as this CPU's tokens go.
#![allow(unsafe_code, reason = "the counters are this CPU's own, reached through pointers")]

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use smtpgate_common::{
    Decision, Reason,
    abi::{Event, counter_index},
};

use crate::maps::{COUNTERS, EVENTS, TOKENS};

/// Counts a decision, and tells of it when it is a refusal.
#[inline(always)]
pub(crate) fn record(decision: &Decision, interface: impl FnOnce() -> u32) {
    if decision.reason == Reason::None {
        return;
    }
    let index = counter_index(
        decision.gate,
        decision.reason as u8,
        decision.family as u8,
        decision.observed,
    );
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: this CPU's own value, and XDP programs do not interrupt each other.
        unsafe { *counter += 1 };
    }
    if decision.reason.drops() && take_token() {
        let event = u64::from(decision.port)
            | u64::from(decision.gate) << 16
            | (decision.reason as u64) << 24
            | (decision.family as u64) << 32
            | u64::from(decision.observed) << 40;
        tell(
            event,
            decision.source as u64,
            (decision.source >> 64) as u64,
            interface(),
        );
    }
}

#[inline(always)]
fn take_token() -> bool {
    let Some(tokens) = TOKENS.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: this CPU's own value. User space may refill it in between: then one token is lost or won.
    unsafe {
        if *tokens == 0 {
            return false;
        }
        *tokens -= 1;
    }
    true
}

/// Not inlined: it is rare, and all that comes before it is not.
#[inline(never)]
fn tell(event: u64, source_low: u64, source_high: u64, ifindex: u32) {
    let Some(mut place) = EVENTS.reserve_untyped::<Event>(0) else {
        return;
    };
    let [port, port2, gate, reason, family, observed, ..] = event.to_le_bytes();
    place.write(Event {
        // SAFETY: a helper without arguments.
        boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        source: (u128::from(source_high) << 64 | u128::from(source_low)).to_le_bytes(),
        ifindex,
        port: u16::from_le_bytes([port, port2]),
        gate,
        reason,
        family,
        observed,
        pad: 0,
        pad2: 0,
    });
    place.submit(0);
}
