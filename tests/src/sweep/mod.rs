//! Every IPv4 source there is, and very many IPv6 ones, at every gate: the decision code over the gate table as the kernel
//! holds it, against the policy's words.

mod naive;
pub mod policies;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use anyhow::{Result, anyhow};
use ipnet::{IpNet, Ipv6Net};
use smtpgate::policy::{Intent, Maps};
use smtpgate_common::{Reason, Source, judge};

use self::naive::{Marks, Naive, reason};
use self::policies::Policy;
use crate::dice::Dice;
use crate::packets::gate::Gate;

/// IPv6 addresses of a whole sweep, beside the edges of every prefix.
const RANDOM6: u32 = 100_000_000;
/// Of them in one go.
const CHUNK6: u32 = 10_000;
/// /16 networks.
const NETWORKS: u32 = 1 << 16;
/// Differences that are told.
const TOLD: usize = 20;

/// What a sweep saw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// IPv4 addresses.
    pub addresses4: u64,
    /// IPv6 addresses.
    pub addresses6: u64,
    /// Verdicts that were compared.
    pub verdicts: u64,
    /// Verdicts that are not what the policy says.
    pub differences: u64,
    /// Some of them.
    pub told: Vec<String>,
}

impl Outcome {
    fn and(mut self, other: Self) -> Self {
        self.addresses4 += other.addresses4;
        self.addresses6 += other.addresses6;
        self.verdicts += other.verdicts;
        self.differences += other.differences;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
        self
    }
}

/// Has the loader fill the kernel's maps, reads them back, and asks for one /16 network in `slice` (a power of two; 1 is
/// all of them) and as many of the IPv6 addresses. Nothing is attached.
pub fn sweep(policy: &Policy, slice: u32) -> Result<Outcome> {
    let gate = Gate::load(&policy.intent)?;
    let mut maps = gate.dataplane.live().read()?;
    maps.now = policy.now;
    let all = Sweep {
        maps: &maps,
        naive: &Naive::new(&policy.intent, policy.now)?,
        gates: u8::try_from(policy.intent.gates.len())?,
        slice: slice.max(1),
        nets6: nets6(&policy.intent),
        next4: AtomicU32::new(0),
        next6: AtomicU32::new(0),
    };
    let threads = thread::available_parallelism()?.get();
    let mut outcome = all.edges6();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| all.work())).collect();
        for thread in threads {
            let found = thread.join().map_err(|_| anyhow!("a thread died"))?;
            outcome = std::mem::take(&mut outcome).and(found);
        }
        Ok(outcome)
    })
}

struct Sweep<'a> {
    maps: &'a Maps,
    naive: &'a Naive,
    gates: u8,
    slice: u32,
    nets6: Vec<Ipv6Net>,
    /// Piece that is to be done next.
    next4: AtomicU32,
    next6: AtomicU32,
}

impl Sweep<'_> {
    fn work(&self) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(high) = next(&self.next4, NETWORKS / self.slice) {
            self.network(high * self.slice + self.slice / 2, &mut outcome);
        }
        while let Some(chunk) = next(&self.next6, RANDOM6 / CHUNK6 / self.slice) {
            self.random6(chunk, &mut outcome);
        }
        outcome
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "a number of /16 networks, and of addresses in one"
    )]
    fn network(&self, high: u32, outcome: &mut Outcome) {
        for (low, marks) in self.naive.network(high as u16).into_iter().enumerate() {
            let address = Ipv4Addr::from_bits(high << 16 | low as u32);
            self.ask(&Source::V4(address.octets()), marks, outcome, || address.to_string());
        }
        outcome.addresses4 += u64::from(NETWORKS);
    }

    /// First and last address of every prefix, and their neighbours outside.
    fn edges6(&self) -> Outcome {
        let mut outcome = Outcome::default();
        for net in &self.nets6 {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            for bits in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
                self.address6(bits, &mut outcome);
            }
        }
        outcome
    }

    /// Half of them anywhere in global unicast, where most of them are strangers; half in the prefixes of the policy.
    fn random6(&self, chunk: u32, outcome: &mut Outcome) {
        let mut dice = Dice(u64::from(chunk) << 32);
        for number in 0..CHUNK6 {
            let random = u128::from(dice.word()) << 64 | u128::from(dice.word());
            let bits = match self.nets6.get(dice.below(self.nets6.len())) {
                Some(net) if number % 2 == 0 => net.network().to_bits() | random & net.hostmask().to_bits(),
                _ => 0b001 << 125 | random >> 3,
            };
            self.address6(bits, outcome);
        }
    }

    fn address6(&self, bits: u128, outcome: &mut Outcome) {
        let address = Ipv6Addr::from_bits(bits);
        let marks = self.naive.address(address);
        self.ask(&Source::V6(address.octets()), marks, outcome, || address.to_string());
        outcome.addresses6 += 1;
    }

    fn ask(&self, source: &Source, marks: Marks, outcome: &mut Outcome, name: impl Fn() -> String) {
        for gate in 0..self.gates {
            let (kernel, policy) = (judge(&self.maps, gate, source), reason(marks, gate));
            outcome.verdicts += 1;
            if kernel != policy {
                outcome.differences += 1;
                if outcome.told.len() < TOLD {
                    outcome.told.push(told(&name(), gate, kernel, policy));
                }
            }
        }
    }
}

fn told(source: &str, gate: u8, kernel: Reason, policy: Reason) -> String {
    format!(
        "{source} at gate {gate}: {} by the maps, {} by the policy",
        kernel.name(),
        policy.name()
    )
}

/// Which of so many pieces is next; none when all are given out.
fn next(counter: &AtomicU32, pieces: u32) -> Option<u32> {
    Some(counter.fetch_add(1, Relaxed)).filter(|piece| *piece < pieces)
}

fn nets6(intent: &Intent) -> Vec<Ipv6Net> {
    let allow = intent.gates.iter().flat_map(|gate| &gate.allow);
    let bans = intent.bans.iter().map(|ban| &ban.prefix);
    let all = allow.chain(&intent.trust).chain(&intent.block).chain(bans);
    all.filter_map(|net| match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => Some(*net),
    })
    .collect()
}
