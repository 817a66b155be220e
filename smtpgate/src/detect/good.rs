//! Addresses that good mail and good logins came from, so that no ban hits them blindly.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

/// How long one is remembered, in milliseconds: over a weekend, and a public holiday before it.
pub(super) const RECENT: i64 = 7 * 86_400_000;

/// Addresses remembered. Beyond that, the older half goes.
const CAPACITY: usize = 131_072;

/// An address is told of again when it was good for that much longer, in milliseconds.
const TELL: i64 = 3_600_000;

/// What is known of a good address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Good {
    /// Which.
    pub address: IpAddr,
    /// Last login from there.
    pub login: Option<Timestamp>,
    /// Last login or accepted message; `None` when it turned out not to be good.
    pub seen: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    /// Last login, Unix milliseconds; [`i64::MIN`] when there was none.
    login: i64,
    /// Last login or accepted message.
    seen: i64,
    /// Of what was told, the later.
    told: i64,
}

#[derive(Debug, Default)]
pub(super) struct GoodOnes {
    times: BTreeMap<IpAddr, Times>,
    /// To be told.
    changed: BTreeSet<IpAddr>,
}

impl GoodOnes {
    pub(super) fn login(&mut self, address: IpAddr, now: i64) {
        self.add(address, now, now);
    }

    /// A message was accepted from it. Says less than a login: a spammer's are, too, until a filter knows them.
    pub(super) fn mail(&mut self, address: IpAddr, now: i64) {
        self.add(address, i64::MIN, now);
    }

    /// The login was a thief's.
    pub(super) fn forget(&mut self, address: IpAddr) {
        if self.times.remove(&address).is_some() {
            self.changed.insert(address);
        }
    }

    /// What an earlier life told.
    pub(super) fn restore(&mut self, good: &Good) {
        let millisecond = |time: Option<Timestamp>| time.map_or(i64::MIN, Timestamp::as_millisecond);
        self.add(good.address, millisecond(good.login), millisecond(good.seen));
        self.changed.remove(&good.address);
    }

    /// What is new since the last time.
    pub(super) fn changes(&mut self) -> Vec<Good> {
        let time = |millisecond| Timestamp::from_millisecond(millisecond).ok();
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|address| {
                let times = self.times.get(&address);
                Good {
                    address,
                    login: times
                        .filter(|times| times.login > i64::MIN)
                        .and_then(|times| time(times.login)),
                    seen: times.and_then(|times| time(times.seen)),
                }
            })
            .collect()
    }

    /// Whether somebody logged in lately from within `prefix`.
    pub(super) fn has_login(&self, prefix: IpNet, now: i64) -> bool {
        self.within(prefix)
            .any(|(_, times)| now.saturating_sub(times.login) < RECENT)
    }

    /// The good addresses within `prefix`.
    pub(super) fn of(&self, prefix: IpNet, now: i64) -> Vec<IpNet> {
        self.within(prefix)
            .filter(|(_, times)| now.saturating_sub(times.seen) < RECENT)
            .map(|(address, _)| IpNet::from(*address))
            .collect()
    }

    fn within(&self, prefix: IpNet) -> impl Iterator<Item = (&IpAddr, &Times)> {
        self.times.range(prefix.network()..=prefix.broadcast())
    }

    fn add(&mut self, address: IpAddr, login: i64, now: i64) {
        if let Some(times) = self.times.get_mut(&address) {
            let first_login = times.login == i64::MIN && login > i64::MIN;
            times.login = times.login.max(login);
            times.seen = times.seen.max(now);
            if first_login || now.saturating_sub(times.told) >= TELL {
                times.told = now;
                self.changed.insert(address);
            }
            return;
        }
        if self.times.len() >= CAPACITY {
            let median = super::median(self.times.values().map(|times| times.seen));
            self.times.retain(|_, times| Some(times.seen) > median);
        }
        let times = Times {
            login,
            seen: now,
            told: now,
        };
        self.times.insert(address, times);
        self.changed.insert(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detect_good_addresses_are_told_once_an_hour_and_restored() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let at = |millisecond| Timestamp::from_millisecond(millisecond).ok();
        let good = |login: Option<i64>, seen| Good {
            address,
            login: login.and_then(at),
            seen: at(seen),
        };
        let mut ones = GoodOnes::default();
        ones.mail(address, 0);
        assert_eq!(ones.changes(), [good(None, 0)]);
        ones.mail(address, TELL - 1);
        assert_eq!(ones.changes(), []);
        ones.login(address, TELL - 1);
        assert_eq!(ones.changes(), [good(Some(TELL - 1), TELL - 1)]);
        ones.mail(address, 2 * TELL);
        let told = ones.changes();
        assert_eq!(told, [good(Some(TELL - 1), 2 * TELL)]);

        let mut after = GoodOnes::default();
        told.iter().for_each(|good| after.restore(good));
        assert_eq!(after.changes(), []);
        assert!(after.has_login("192.0.2.0/24".parse().unwrap(), 3 * TELL));
        assert!(!after.has_login("192.0.2.0/24".parse().unwrap(), TELL + RECENT));
        assert!(!after.has_login("198.51.100.0/24".parse().unwrap(), 3 * TELL));
        after.forget(address);
        assert_eq!(
            after.changes(),
            [Good {
                address,
                login: None,
                seen: None
            }]
        );
    }
}
