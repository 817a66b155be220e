//! The verdict as the policy's words say it, by asking every list in turn: slow, and plainly right. What `explain`
//! answers from, and what the compiled table is held against.

use std::net::IpAddr;

use ipnet::IpNet;
use smtpgate_common::Reason;

use super::{
    intent::{Ban, Intent},
    prefix::{Prefix, Side, meant},
    table::{Single, ban_end},
};

/// A verdict, and the entry of the policy that it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Why the source passes or is refused.
    pub reason: Reason,
    /// What decided; `None` when the source is outside because nothing lets it in.
    pub rule: Option<Rule>,
}

/// An entry of the policy; of several that hold a source the narrowest, of bans the one that lasts longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// In `trust`.
    Trust(IpNet),
    /// In `block`.
    Block(IpNet),
    /// In the gate's `allow`.
    Allow(IpNet),
    /// Banned.
    Ban(Ban),
}

/// What becomes of a SYN of `source` at gate number `gate` when `now` ticks have passed since boot. A listed single
/// address that the gate does not allow anyway is outside, as the kernel counts it.
pub fn evaluate(intent: &Intent, gate: usize, source: IpAddr, now: u32) -> Ruling {
    let (side, address) = meant(IpNet::from(source));
    let holds = |net: IpNet| holds(net, side, address);
    let narrowest = |list: &[IpNet]| {
        list.iter()
            .copied()
            .filter(|net| holds(*net))
            .max_by_key(|net| meant(*net).1.length())
    };
    let ruling = |reason, rule| Ruling {
        reason,
        rule: Some(rule),
    };

    if let Some(net) = narrowest(&intent.trust) {
        return ruling(Reason::Trusted, Rule::Trust(net));
    }
    let (listed, wide): (Vec<IpNet>, Vec<IpNet>) = intent.block.iter().copied().partition(|net| is_listed(*net));
    if let Some(net) = narrowest(&wide) {
        return ruling(Reason::Blocklist, Rule::Block(net));
    }
    let Some(allow) = intent.gates.get(gate).and_then(|gate| narrowest(&gate.allow)) else {
        return Ruling {
            reason: Reason::Outside,
            rule: None,
        };
    };
    if let Some(net) = narrowest(&listed) {
        return ruling(Reason::Blocklist, Rule::Block(net));
    }
    let bans = intent
        .bans
        .iter()
        .filter(|ban| holds(ban.prefix) && now < ban_end(ban.until));
    match bans.max_by_key(|ban| ban.until) {
        Some(ban) => ruling(Reason::Banned, Rule::Ban(*ban)),
        None => ruling(Reason::Allowed, Rule::Allow(allow)),
    }
}

/// Whether an entry of `block` is one address, which stands in the table of single sources.
fn is_listed(net: IpNet) -> bool {
    matches!(Single::of(net), Some(Single::V4(_) | Single::V6(_)))
}

fn holds(net: IpNet, side: Side, address: Prefix) -> bool {
    let (its, prefix) = meant(net);
    its == side && prefix.covers(address)
}
