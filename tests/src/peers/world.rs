//! Who is allowed, who is banned, and who knocks: lists of any size, the same every time.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::Result;
use ipnet::{IpNet, Ipv4Net};
use smtpgate::policy::intent::{Gate, Intent};

use super::driver::SOURCES;
use crate::dice::Dice;

/// The legitimate client.
pub(super) const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// What is allowed for it, beside the prefixes that are counted.
const CLIENTS: [u8; 4] = [203, 0, 113, 0];

/// Of a hundred prefixes so many have so many bits: as country tables are, without their largest blocks, which would leave
/// no room for the rest.
const LENGTHS: [(u8, usize); 13] = [
    (24, 55),
    (22, 12),
    (23, 8),
    (21, 5),
    (20, 5),
    (19, 3),
    (18, 2),
    (17, 1),
    (16, 1),
    (25, 2),
    (27, 2),
    (29, 2),
    (32, 2),
];

/// Not on the Internet, or in use here: first address and bits.
const SPECIAL: [([u8; 4], u8); 11] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    (CLIENTS, 24),
    ([224, 0, 0, 0], 3),
];

/// How large a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Allowed prefixes.
    pub prefixes: usize,
    /// Banned addresses: half of them in allowed prefixes.
    pub bans: usize,
}

/// One policy, and who comes.
pub(super) struct World {
    pub(super) size: Size,
    /// Sorted; they neither nest nor overlap.
    pub(super) allowed: Vec<Ipv4Net>,
    /// Those in allowed prefixes first.
    pub(super) banned: Vec<Ipv4Addr>,
    /// A flood that must be refused whole: of 100 sources 85 from outside, and 15 banned ones from inside.
    pub(super) flood: Vec<u32>,
    /// From outside only.
    pub(super) foreign: Vec<u32>,
    /// From inside, banned.
    pub(super) refused: Vec<u32>,
    /// From inside, and welcome.
    pub(super) welcome: Vec<u32>,
}

impl World {
    pub(super) fn new(size: Size) -> Result<Self> {
        let allowed = prefixes(size.prefixes)?;
        let mut dice = Dice(2);
        let inside = size.bans / 2;
        let mut banned = Vec::with_capacity(size.bans);
        let mut seen = std::collections::HashSet::with_capacity(size.bans);
        while banned.len() < size.bans {
            let address = if banned.len() < inside {
                within(&mut dice, &allowed)
            } else {
                foreign(&mut dice, &allowed)
            };
            if seen.insert(address) {
                banned.push(address);
            }
        }
        let mut dice = Dice(3);
        let foreign: Vec<u32> = sources(|| foreign(&mut dice, &allowed));
        let refused = sources(|| banned[dice.below(inside)]);
        let welcome = sources(|| {
            loop {
                let address = within(&mut dice, &allowed);
                if !seen.contains(&address) {
                    return address;
                }
            }
        });
        let of_both = foreign.iter().zip(&refused);
        let flood = of_both.map(|(foreign, refused)| if dice.below(100) < 85 { *foreign } else { *refused });
        let flood = flood.collect();
        Ok(Self {
            size,
            allowed,
            banned,
            flood,
            foreign,
            refused,
            welcome,
        })
    }

    /// Every prefix that is let in.
    pub(super) fn admitted(&self) -> impl Iterator<Item = Ipv4Net> {
        let clients = Ipv4Net::new_assert(CLIENTS.into(), 24);
        self.allowed.iter().copied().chain([clients])
    }

    pub(super) fn intent(&self) -> Intent {
        Intent {
            gates: vec![Gate {
                name: "mail".into(),
                ports: vec![25, 465, 587],
                allow: self.admitted().map(IpNet::V4).collect(),
                observe: false,
            }],
            block: self.banned.iter().map(|address| IpNet::V4((*address).into())).collect(),
            ..Intent::default()
        }
    }

    /// One a line.
    pub(super) fn allow_list(&self) -> String {
        self.admitted().fold(String::new(), |mut text, net| {
            let _ = writeln!(text, "{net}");
            text
        })
    }

    /// One a line.
    pub(super) fn block_list(&self) -> String {
        self.banned.iter().fold(String::new(), |mut text, address| {
            let _ = writeln!(text, "{address}");
            text
        })
    }
}

/// As the driver takes them: network order.
fn sources(mut next: impl FnMut() -> Ipv4Addr) -> Vec<u32> {
    (0..SOURCES).map(|_| u32::from_ne_bytes(next().octets())).collect()
}

/// As many prefixes of all lengths, anywhere on the Internet, none in another.
fn prefixes(count: usize) -> Result<Vec<Ipv4Net>> {
    let mut dice = Dice(1);
    let mut taken = std::collections::BTreeMap::<u32, Ipv4Net>::new();
    while taken.len() < count {
        let mut share = dice.below(LENGTHS.iter().map(|(_, share)| share).sum());
        let length = LENGTHS.iter().find(|(_, part)| {
            let found = share < *part;
            share = share.saturating_sub(*part);
            found
        });
        let length = length.map_or(24, |(length, _)| *length);
        let net = Ipv4Net::new(unicast(&mut dice), length)?.trunc();
        let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
        let before = taken.range(..=last).next_back();
        let alone = before.is_none_or(|(_, other)| other.broadcast().to_bits() < first);
        let public = SPECIAL
            .iter()
            .all(|(address, _)| !net.contains(&Ipv4Addr::from(*address)))
            && !special(net.network());
        if alone && public {
            taken.insert(first, net);
        }
    }
    Ok(taken.into_values().collect())
}

fn special(address: Ipv4Addr) -> bool {
    SPECIAL
        .iter()
        .any(|(first, bits)| (address.to_bits() ^ u32::from_be_bytes(*first)).leading_zeros() >= u32::from(*bits))
}

fn unicast(dice: &mut Dice) -> Ipv4Addr {
    loop {
        let address = Ipv4Addr::from_bits(dice.half());
        if !special(address) {
            return address;
        }
    }
}

fn within(dice: &mut Dice, nets: &[Ipv4Net]) -> Ipv4Addr {
    let net = nets[dice.below(nets.len())];
    Ipv4Addr::from_bits(net.network().to_bits() | dice.half() & net.hostmask().to_bits())
}

fn foreign(dice: &mut Dice, nets: &[Ipv4Net]) -> Ipv4Addr {
    loop {
        let address = unicast(dice);
        let after = nets.partition_point(|net| net.network() <= address);
        if !after.checked_sub(1).is_some_and(|at| nets[at].contains(&address)) {
            return address;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_sources_are_banned_or_outside_and_welcome_ones_neither() {
        let world = World::new(Size {
            prefixes: 500,
            bans: 100,
        })
        .unwrap();
        assert_eq!(world.allowed.len(), 500);
        assert!(
            world
                .allowed
                .windows(2)
                .all(|pair| pair[0].broadcast() < pair[1].network())
        );
        let address = |source: &u32| Ipv4Addr::from(source.to_ne_bytes());
        let inside = |address: &Ipv4Addr| world.allowed.iter().any(|net| net.contains(address));
        for source in world.flood.iter().step_by(997).map(address) {
            assert!(world.banned.contains(&source) || !inside(&source), "{source}");
        }
        for source in world.welcome.iter().step_by(997).map(address) {
            assert!(inside(&source) && !world.banned.contains(&source), "{source}");
        }
    }
}
