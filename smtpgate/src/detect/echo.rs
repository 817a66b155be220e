//! One failure, told by several programs, counts once.
//!
//! A wrong password at submission is logged by Dovecot's auth, which checks it, once for each of its databases, and by
//! Postfix or Exim, which asked; one at IMAP by auth and, at the end, by the login process. A failure is at one server: all
//! of them together are one witness, and each database is another. Each witness' own count is right, their sum is not; what
//! counts is the largest.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::maillog::{Event, Step};

/// An address that was silent for so long starts again, in milliseconds. Dovecot's login process, the last to speak, ends
/// a session that comes to nothing after three minutes.
const QUIET: i64 = 240_000;

/// Beyond that many addresses the quiet ones go, or the older half.
const CAPACITY: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Echoes {
    by_address: HashMap<IpAddr, Told, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct Told {
    last: i64,
    /// Failures that servers told of.
    servers: u32,
    /// The same of databases, by their numbers.
    backends: Vec<(u8, u32)>,
}

impl Echoes {
    /// How much of `weight` no other program has told of before. `now` in Unix milliseconds.
    pub(super) fn weigh(&mut self, event: &Event<'_>, address: IpAddr, weight: u16, now: i64) -> u16 {
        let Some(witness) = witness(event) else {
            return weight;
        };
        if self.by_address.len() >= CAPACITY && !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, told| now.saturating_sub(told.last) < QUIET);
            if self.by_address.len() >= CAPACITY {
                let median = super::median(self.by_address.values().map(|told| told.last));
                self.by_address.retain(|_, told| Some(told.last) > median);
            }
        }
        let told = self.by_address.entry(address).or_default();
        if now.saturating_sub(told.last) >= QUIET {
            *told = Told::default();
        }
        told.last = now;
        let before = told
            .backends
            .iter()
            .map(|(_, count)| *count)
            .fold(told.servers, u32::max);
        let count = match witness {
            Witness::Server => &mut told.servers,
            Witness::Backend(number) => {
                let known = told.backends.iter().position(|(known, _)| *known == number);
                let place = known.unwrap_or(told.backends.len());
                if known.is_none() {
                    told.backends.push((number, 0));
                }
                match told.backends.get_mut(place) {
                    Some((_, count)) => count,
                    None => return weight,
                }
            }
        };
        *count = count.saturating_add(u32::from(weight));
        let fresh = count.saturating_sub(before);
        u16::try_from(fresh).unwrap_or(u16::MAX).min(weight)
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Witness {
    Server,
    Backend(u8),
}

/// None where no other program speaks of the same.
fn witness(event: &Event<'_>) -> Option<Witness> {
    match event.session?.step {
        // The counters at the end are less what was told before.
        Step::Answered | Step::Close | Step::Login => Some(Witness::Server),
        Step::Backend(number) => Some(Witness::Backend(number)),
        Step::Open | Step::BackendDown => None,
    }
}
