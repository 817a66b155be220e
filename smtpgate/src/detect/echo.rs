//! One failure, told by several programs, counts once.
//!
//! A wrong password at submission is logged by Dovecot's auth, which checks it, and by Postfix, which asked; one at IMAP by
//! auth and, at the end, by the login process. Each program's own count is right, the sum is not; what counts is the
//! largest.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::maillog::{Daemon, Event, Kind};

/// An address that was silent for so long starts again, in milliseconds. The longest delay of a failed login is below it
/// (Dovecot's auth_failure_delay and its penalty: 17 s).
const QUIET: i64 = 60_000;

/// Beyond that many addresses the quiet ones go.
const CAPACITY: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Echoes {
    by_address: HashMap<IpAddr, Told, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct Told {
    last: i64,
    /// Failures by teller: mail server, password checker, login process.
    counts: [u32; 3],
}

impl Echoes {
    /// How much of `weight` no other program has told of before. `now` in Unix milliseconds.
    pub(super) fn weigh(&mut self, event: &Event<'_>, address: IpAddr, weight: u16, now: i64) -> u16 {
        let Some(teller) = teller(event) else { return weight };
        if self.by_address.len() >= CAPACITY && !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, told| now.saturating_sub(told.last) < QUIET);
            if self.by_address.len() >= CAPACITY {
                self.by_address.clear();
            }
        }
        let told = self.by_address.entry(address).or_default();
        if now.saturating_sub(told.last) >= QUIET {
            told.counts = [0; 3];
        }
        told.last = now;
        let before = told.counts.iter().copied().max().unwrap_or_default();
        let Some(count) = told.counts.get_mut(teller) else {
            return weight;
        };
        *count = count.saturating_add(u32::from(weight));
        let fresh = count.saturating_sub(before);
        u16::try_from(fresh).unwrap_or(u16::MAX).min(weight)
    }
}

/// Which of the three programs speaks; none for what is no failed login.
fn teller(event: &Event<'_>) -> Option<usize> {
    match (event.kind, event.daemon) {
        (Kind::SaslAuthFailed | Kind::DisconnectAuthFail, Daemon::Postfix) => Some(0),
        (Kind::AuthFailed | Kind::SaslAuthFailed, _) => Some(1),
        (Kind::DisconnectAuthFail, _) => Some(2),
        _ => None,
    }
}
