//! Events to offences to bans and alarms. Pure: time comes in as an argument, and so does what is known about an address.
//!
//! | file | what it knows |
//! |---|---|
//! | `sessions`, `echo` | which lines tell of the same failure |
//! | `window` | offences of the last while, by source |
//! | `good` | addresses of good logins and good mail |
//! | `names` | accounts under siege |
//! | `accounts` | stolen accounts |
//! | `wide` | offenders close together, and around whom a ban must not go |
//! | `guard` | how many bans a minute |
//! | `detector` | the rules, from all of these |

mod accounts;
mod alarm;
mod config;
mod detector;
mod echo;
mod evidence;
mod good;
mod guard;
mod names;
mod sessions;
mod source;
mod wide;
mod window;

pub use alarm::{Alarm, AlarmKind, Alarms};
pub use config::{DetectConfig, Past};
pub use detector::{Decision, Detector, Known, Observed, Offence, Rule};
pub use evidence::{EVIDENCE_LINES, EVIDENCE_WIDTH, escape};
pub use good::Good;

/// The middle one. Whoever has no more room lets go of all that is not above it.
fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    let middle = values.len() / 2;
    let (_, median, _) = (!values.is_empty()).then(|| values.select_nth_unstable(middle))?;
    Some(*median)
}

/// FNV-1a over a login name, without regard to capitals.
fn hash_name(name: &[u8]) -> u64 {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3);
    name.iter().fold(0xcbf2_9ce4_8422_2325, hash)
}

#[cfg(test)]
mod tests;
