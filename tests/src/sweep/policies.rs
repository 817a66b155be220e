//! The policies that are swept: what hosts have, and what nests worse than any host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::Result;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smtpgate::config::Database;
use smtpgate::policy::{Ban, Gate, Intent};
use smtpgate::sources::Sources;

use crate::dice::Dice;

/// A policy, and the time at which it is asked.
#[derive(Debug)]
pub struct Policy {
    /// For people.
    pub name: String,
    /// What is wanted.
    pub intent: Intent,
    /// Ticks since boot: some bans are over, some are not.
    pub now: u32,
}

const NOW: u32 = 1_000_000;

/// Single addresses that are banned.
const BANS: usize = 100_000;
/// The same as prefixes, and listed in `block`.
const SOME: usize = 3_000;
/// Prefixes a list of the nested policy.
const NESTED: usize = 400;

/// All that need nothing but what is built in.
pub fn built_in() -> Result<Vec<Policy>> {
    let japan = country(&Database::BuiltIn)?;
    let policy = |name: &str, intent| Policy {
        name: name.to_owned(),
        intent,
        now: NOW,
    };
    Ok(vec![
        policy("built-in Japan and 100,000 bans", banning(japan)?),
        policy("nested trust, block, allow", nested()),
    ])
}

/// Japan by a MaxMind-format file.
pub fn database(file: &Path) -> Result<Policy> {
    Ok(Policy {
        name: format!("Japan by {}", file.display()),
        intent: country(&Database::File(file.to_owned()))?,
        now: NOW,
    })
}

/// The default configuration's gates.
fn country(database: &Database) -> Result<Intent> {
    let state = tempfile::tempdir()?;
    let sources = Sources::new(database, state.path());
    let mut allow = sources.resolve(&"country:JP".parse()?)?.prefixes;
    allow.extend(sources.resolve(&"private".parse()?)?.prefixes);
    let gate = |name: &str, ports: &[u16]| Gate {
        name: name.to_owned(),
        ports: ports.to_vec(),
        allow: allow.clone(),
        observe: false,
    };
    Ok(Intent {
        gates: vec![gate("submission", &[465, 587]), gate("mx", &[25])],
        trust: ["127.0.0.0/8", "::1/128", "198.51.100.0/24"]
            .iter()
            .map(|net| net.parse())
            .collect::<Result<_, _>>()?,
        ..Intent::default()
    })
}

/// With bans of every kind, every other of them over, and listed addresses; most of them where nobody is let in anyway
/// would show nothing, so all are inside the country.
fn banning(mut intent: Intent) -> Result<Intent> {
    let mut dice = Dice(3);
    let allow = intent.gates[0].allow.clone();
    for number in 0..BANS + 2 * SOME {
        let v6 = number % 8 == 0;
        let address = dice.within(&allow, v6)?;
        let prefix = match address {
            _ if number < BANS => {
                // An IPv6 offender is its /64, or one address.
                IpNet::new(
                    address,
                    if !v6 {
                        32
                    } else if number % 16 == 0 {
                        64
                    } else {
                        128
                    },
                )?
            }
            IpAddr::V4(_) => IpNet::new(address, u8::try_from(18 + dice.below(14))?)?,
            IpAddr::V6(_) => IpNet::new(address, u8::try_from(40 + dice.below(88))?)?,
        };
        let until = match dice.below(4) {
            0 => NOW,
            1 => NOW - 1,
            2 => NOW + 1,
            _ => NOW + 100_000,
        };
        if number < BANS + SOME {
            intent.bans.push(Ban {
                prefix: prefix.trunc(),
                until,
            });
        } else {
            intent.block.push(address.into());
        }
    }
    Ok(intent)
}

/// Sixteen gates; every list holds prefixes of every length inside of each other and of the other lists'.
fn nested() -> Intent {
    let mut dice = Dice(4);
    // Few places, so that lists meet.
    let places: Vec<(u32, u128)> = (0..24)
        .map(|_| {
            (
                dice.half(),
                0x2000 << 112 | u128::from(dice.word()) << 60 | u128::from(dice.word()),
            )
        })
        .collect();
    let mut list = |number: usize| -> Vec<IpNet> {
        let mut nets = Vec::new();
        for _ in 0..number {
            let (v4, v6) = places[dice.below(places.len())];
            // Bits that differ from the place's own lie near the end of the prefix: neighbours, not strangers.
            let length = u8::try_from(6 + dice.below(27)).unwrap_or(32);
            let other = dice.half() & 7;
            let bits = v4 ^ other.checked_shl(32 - u32::from(length)).unwrap_or(0);
            nets.push(Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), length).trunc().into());
            let length = u8::try_from(4 + dice.below(125)).unwrap_or(128);
            let bits = v6 ^ u128::from(other).checked_shl(128 - u32::from(length)).unwrap_or(0);
            nets.push(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length).trunc().into());
        }
        nets
    };
    let gates = (0_u16..16)
        .map(|number| Gate {
            name: format!("gate{number}"),
            ports: vec![1000 + number],
            allow: list(NESTED),
            observe: number % 3 == 0,
        })
        .collect();
    let mut intent = Intent {
        gates,
        trust: list(NESTED / 4),
        block: list(NESTED),
        bans: Vec::new(),
    };
    for (number, prefix) in list(NESTED).into_iter().enumerate() {
        let until = if number % 2 == 0 { NOW + 1 } else { NOW };
        intent.bans.push(Ban { prefix, until });
    }
    // One gate is open to the world, and one to nobody.
    if let [first, .., last] = &mut intent.gates[..] {
        first.allow = vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        last.allow.clear();
    }
    intent
}
