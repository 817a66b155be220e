//! Addresses that good mail and good logins came from, so that no ban hits them blindly.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// How long one is remembered, in milliseconds: over a weekend, and a public holiday before it.
pub(super) const RECENT: i64 = 7 * 86_400_000;

/// Addresses remembered. Beyond that, the older half goes.
const CAPACITY: usize = 131_072;

#[derive(Clone, Copy, Debug)]
struct Good {
    /// Last login, Unix milliseconds; [`i64::MIN`] when there was none.
    login: i64,
    /// Last login or accepted message.
    seen: i64,
}

#[derive(Debug, Default)]
pub(super) struct GoodOnes(BTreeMap<IpAddr, Good>);

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
        self.0.remove(&address);
    }

    /// Whether somebody logged in lately from within `prefix`.
    pub(super) fn has_login(&self, prefix: IpNet, now: i64) -> bool {
        self.within(prefix)
            .any(|(_, good)| now.saturating_sub(good.login) < RECENT)
    }

    /// The good addresses within `prefix`.
    pub(super) fn of(&self, prefix: IpNet, now: i64) -> Vec<IpNet> {
        self.within(prefix)
            .filter(|(_, good)| now.saturating_sub(good.seen) < RECENT)
            .map(|(address, _)| IpNet::from(*address))
            .collect()
    }

    fn within(&self, prefix: IpNet) -> impl Iterator<Item = (&IpAddr, &Good)> {
        self.0.range(prefix.network()..=prefix.broadcast())
    }

    fn add(&mut self, address: IpAddr, login: i64, now: i64) {
        if let Some(good) = self.0.get_mut(&address) {
            good.login = good.login.max(login);
            good.seen = good.seen.max(now);
            return;
        }
        if self.0.len() >= CAPACITY {
            let mut times: Vec<i64> = self.0.values().map(|good| good.seen).collect();
            let middle = times.len() / 2;
            let (_, &mut median, _) = times.select_nth_unstable(middle);
            self.0.retain(|_, good| good.seen > median);
        }
        self.0.insert(address, Good { login, seen: now });
    }
}
