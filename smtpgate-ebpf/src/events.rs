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
        tell(decision, interface());
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

#[inline(always)]
fn tell(decision: &Decision, ifindex: u32) {
    let Some(mut place) = EVENTS.reserve_untyped::<Event>(0) else {
        return;
    };
    place.write(Event {
        // SAFETY: a helper without arguments.
        boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        source: decision.source.to_ne_bytes(),
        ifindex,
        port: decision.port,
        gate: decision.gate,
        reason: decision.reason as u8,
        family: decision.family as u8,
        observed: u8::from(decision.observed),
        pad: 0,
        pad2: 0,
    });
    place.submit(0);
}
