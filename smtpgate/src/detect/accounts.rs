//! Accounts whose password somebody else has: good logins from more places than one person is at, or more mail than one
//! person writes.

use std::collections::HashMap;
use std::net::IpAddr;

use super::config::DetectConfig;
use super::names::Name;
use super::source::{Source, mask};
use crate::sources::Country;

/// Within that time the places of one account are counted, and its messages, in milliseconds.
const SPAN: i64 = 3_600_000;
/// How long a place is the account's own, once it was used longer ago than [`SPAN`].
const HOME: i64 = 30 * 86_400_000;
/// Accounts remembered; beyond that the older half goes.
const CAPACITY: usize = 65_536;
/// Places remembered of one account.
const PLACES: usize = 256;

/// What is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    Networks(usize),
    Countries(usize),
    Messages(u32),
}

/// An account that behaves as if stolen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stolen {
    pub(super) user: String,
    pub(super) oddity: Oddity,
    /// Since when, Unix milliseconds.
    pub(super) since: i64,
    /// Addresses used: at the beginning all of the last hour, then only a new one.
    pub(super) addresses: Vec<IpAddr>,
    /// Of these, from networks that the account was not used from before, while it has such.
    pub(super) foreign: Vec<IpAddr>,
    pub(super) new: bool,
}

/// What a login is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    Fine,
    /// While an alarm stands, from a place that it tells of.
    Suspect,
    Odd(Stolen),
}

/// An address, or IPv6 /64, that an account was used from.
#[derive(Debug)]
struct Place {
    source: Source,
    address: IpAddr,
    /// `None` = not asked yet.
    country: Option<Option<Country>>,
    /// Hash of the login name's domain, 0 when it has none.
    domain: u64,
    first: i64,
    last: i64,
}

impl Place {
    /// An IPv4 /24 or an IPv6 /48: what one customer, or one part of a provider's pool, is in.
    fn network(&self) -> Source {
        match self.source {
            Source::V4(bits) => Source::V4(bits >> 8),
            Source::V6(bits) => Source::V6(bits & mask(48)),
        }
    }
}

#[derive(Debug, Default)]
struct Account {
    places: Vec<Place>,
    /// Login names without a domain are in use: then a domain does not make another account.
    bare: bool,
    /// The first of these.
    text: String,
    last: i64,
    /// Since when an alarm stands, and for which domain.
    alarm: Option<(i64, u64)>,
    messages: u32,
    messages_since: i64,
    many_messages: bool,
}

impl Account {
    /// The account's name: without a domain, if that is in use, or as it was given this time.
    fn text(&self, name: Name<'_>) -> String {
        if self.bare {
            self.text.clone()
        } else {
            super::escape(name.text)
        }
    }

    /// Takes a login into the places; true when none was there within [`SPAN`].
    fn arrive(&mut self, source: Source, address: IpAddr, domain: u64, now: i64) -> bool {
        let known = self
            .places
            .iter_mut()
            .find(|place| place.source == source && place.domain == domain);
        if let Some(place) = known {
            let newly = now.saturating_sub(place.last) >= SPAN;
            place.last = place.last.max(now);
            place.address = address;
            return newly;
        }
        self.places.retain(|place| now.saturating_sub(place.last) < HOME);
        if self.places.len() >= PLACES
            && let Some((oldest, _)) = self.places.iter().enumerate().min_by_key(|(_, place)| place.last)
        {
            self.places.remove(oldest);
        }
        self.places.push(Place {
            source,
            address,
            country: None,
            domain,
            first: now,
            last: now,
        });
        true
    }
}

#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_name: HashMap<u64, Account, foldhash::fast::RandomState>,
}

impl Accounts {
    /// Whether somebody logged in under this name before.
    pub(super) fn knows(&self, name: Name<'_>) -> bool {
        let (key, _) = local_part(name);
        self.by_name.get(&key).is_some_and(|account| !account.places.is_empty())
    }

    /// Somebody logged in. `country` is asked for the places of an account that is at as many as make an alarm.
    pub(super) fn login(
        &mut self,
        name: Name<'_>,
        address: IpAddr,
        now: i64,
        config: &DetectConfig,
        country: impl Fn(IpAddr) -> Option<Country>,
    ) -> Login {
        let (networks, countries) = (config.stolen_networks as usize, config.stolen_countries as usize);
        let (key, domain) = local_part(name);
        let account = self.account(key, now);
        if domain == 0 && !account.bare {
            account.bare = true;
            account.text = super::escape(name.text);
        }
        let source = Source::of(address, 64);
        let newly = account.arrive(source, address, domain, now);
        let bare = account.bare;
        let fewest = [networks, countries].into_iter().filter(|most| *most > 0).min();
        if account.alarm.is_none() && fewest.is_none_or(|fewest| account.places.len() < fewest) {
            return Login::Fine;
        }
        let counts = |place: &Place| now.saturating_sub(place.last) < SPAN && (bare || place.domain == domain);
        let mut here: Vec<Source> = account
            .places
            .iter()
            .filter(|place| counts(place))
            .map(Place::network)
            .collect();
        here.sort_unstable();
        here.dedup();
        let mut lands: Vec<Country> = Vec::new();
        if countries > 0 && here.len() >= countries {
            for place in account.places.iter_mut() {
                place.country.get_or_insert_with(|| country(place.address));
            }
            lands.extend(
                account
                    .places
                    .iter()
                    .filter(|place| counts(place))
                    .filter_map(|place| place.country?),
            );
            lands.sort_unstable();
            lands.dedup();
        }
        let standing = account.alarm.filter(|(_, of)| bare || *of == domain);
        let oddity = if networks > 0 && here.len() >= networks {
            Oddity::Networks(here.len())
        } else if countries > 0 && lands.len() >= countries {
            Oddity::Countries(lands.len())
        } else {
            if standing.is_some() {
                account.alarm = None;
            }
            return Login::Fine;
        };
        let new = standing.is_none();
        let since = standing.map_or(now, |(since, _)| since);
        account.alarm = Some((since, domain));
        if !new && !newly {
            return Login::Suspect;
        }
        let homes: Vec<&Place> = account
            .places
            .iter()
            .filter(|place| now.saturating_sub(place.first) >= SPAN)
            .collect();
        let foreign = |place: &&Place| {
            !homes.is_empty()
                && homes.iter().all(|home| {
                    let same_country = home.country.flatten().is_some() && home.country == place.country;
                    home.network() != place.network() && !same_country
                })
        };
        let mut told: Vec<&Place> = account
            .places
            .iter()
            .filter(|place| counts(place) && (new || place.source == source))
            .collect();
        told.dedup_by_key(|place| place.source);
        let address_of = |place: &Place| place.address;
        Login::Odd(Stolen {
            user: account.text(name),
            oddity,
            since,
            addresses: told.iter().copied().map(address_of).collect(),
            foreign: told.iter().copied().filter(foreign).map(address_of).collect(),
            new,
        })
    }

    /// A message of the account's came in, for so many recipients.
    pub(super) fn sent(
        &mut self,
        name: Name<'_>,
        address: IpAddr,
        recipients: u32,
        now: i64,
        config: &DetectConfig,
    ) -> Option<Stolen> {
        if config.stolen_recipients == 0 {
            return None;
        }
        let (key, _) = local_part(name);
        let account = self.account(key, now);
        if now.saturating_sub(account.messages_since) >= SPAN {
            account.messages = 0;
            account.messages_since = now;
            account.many_messages = false;
        }
        account.messages = account.messages.saturating_add(recipients.max(1));
        if account.messages < config.stolen_recipients || account.many_messages {
            return None;
        }
        account.many_messages = true;
        Some(Stolen {
            user: account.text(name),
            oddity: Oddity::Messages(account.messages),
            since: now,
            addresses: vec![address],
            foreign: Vec::new(),
            new: true,
        })
    }

    fn account(&mut self, key: u64, now: i64) -> &mut Account {
        if self.by_name.len() >= CAPACITY && !self.by_name.contains_key(&key) {
            let median = super::median(self.by_name.values().map(|account| account.last));
            self.by_name.retain(|_, account| Some(account.last) > median);
        }
        let account = self.by_name.entry(key).or_default();
        account.last = now;
        account
    }
}

/// Hashes of a login name up to its `@`, and of what follows it; 0 when there is nothing.
fn local_part(name: Name<'_>) -> (u64, u64) {
    match memchr::memchr(b'@', name.text).and_then(|at| name.text.split_at_checked(at)) {
        Some((local, domain)) => (super::hash_name(local), super::hash_name(domain) | 1),
        None => (name.hash, 0),
    }
}
