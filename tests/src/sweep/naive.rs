//! What the policy's words say of every single address, by painting each prefix over the addresses that it holds. Nothing
//! of the compiler or of its tables is used, and nothing here is clever: that is its use.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use anyhow::{Result, bail};
use ipnet::IpNet;
use smtpgate::policy::Intent;
use smtpgate_common::Reason;

/// What stands of an address, in all lists together: bit of each gate that allows it, and the marks below.
pub(super) type Marks = u32;

const TRUST: Marks = 1 << 16;
/// In a prefix of `block`.
const BLOCK: Marks = 1 << 17;
/// A single address in `block`.
const LISTED: Marks = 1 << 18;
/// Banned, and the ban is not over.
const BANNED: Marks = 1 << 19;

/// Addresses with the same first 16 bits.
const NETWORK: usize = 1 << 16;

/// An intent, by address.
#[derive(Debug)]
pub(super) struct Naive {
    /// By the first 16 bits: first and last of the lower 16, and what is true of those between.
    v4: Vec<Vec<(u16, u16, Marks)>>,
    /// By length, by network.
    v6: HashMap<u8, HashMap<u128, Marks>>,
}

impl Naive {
    /// `now` in ticks since boot.
    pub(super) fn new(intent: &Intent, now: u32) -> Result<Self> {
        let mut naive = Self {
            v4: vec![Vec::new(); NETWORK],
            v6: HashMap::new(),
        };
        for (number, gate) in intent.gates.iter().enumerate() {
            for net in &gate.allow {
                naive.mark(*net, 1 << number)?;
            }
        }
        for net in &intent.trust {
            naive.mark(*net, TRUST)?;
        }
        for net in &intent.block {
            let single = net.prefix_len() == net.max_prefix_len();
            naive.mark(*net, if single { LISTED } else { BLOCK })?;
        }
        for ban in intent.bans.iter().filter(|ban| now < ban.until) {
            naive.mark(ban.prefix, BANNED)?;
        }
        Ok(naive)
    }

    #[allow(clippy::cast_possible_truncation, reason = "halves of an address")]
    fn mark(&mut self, net: IpNet, marks: Marks) -> Result<()> {
        match net {
            IpNet::V4(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                for high in first >> 16..=last >> 16 {
                    let from = if high == first >> 16 { first as u16 } else { 0 };
                    let to = if high == last >> 16 { last as u16 } else { u16::MAX };
                    self.v4[high as usize].push((from, to, marks));
                }
            }
            IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some() => bail!("{net}: write it as IPv4"),
            IpNet::V6(net) => {
                let nets = self.v6.entry(net.prefix_len()).or_default();
                *nets.entry(net.network().to_bits()).or_default() |= marks;
            }
        }
        Ok(())
    }

    /// Of all IPv4 addresses with these first 16 bits.
    pub(super) fn network(&self, high: u16) -> Vec<Marks> {
        let mut all = vec![0; NETWORK];
        for (from, to, marks) in &self.v4[usize::from(high)] {
            for one in &mut all[usize::from(*from)..=usize::from(*to)] {
                *one |= marks;
            }
        }
        all
    }

    /// Of an IPv6 address.
    pub(super) fn address(&self, address: Ipv6Addr) -> Marks {
        let bits = address.to_bits();
        let found = self.v6.iter().filter_map(|(len, nets)| {
            let mask = u128::MAX.checked_shl(128 - u32::from(*len)).unwrap_or(0);
            nets.get(&(bits & mask))
        });
        found.fold(0, |all, marks| all | marks)
    }
}

/// The reason for which a source passes a gate or is refused.
pub(super) const fn reason(marks: Marks, gate: u8) -> Reason {
    if marks & TRUST != 0 {
        Reason::Trusted
    } else if marks & BLOCK != 0 {
        Reason::Blocklist
    } else if marks >> gate & 1 == 0 {
        Reason::Outside
    } else if marks & LISTED != 0 {
        Reason::Blocklist
    } else if marks & BANNED != 0 {
        Reason::Banned
    } else {
        Reason::Allowed
    }
}
