//! Accounts under siege: many addresses, each with one failure or few, on one login name or on one list of names.

use std::collections::HashMap;
use std::net::IpAddr;

use super::source::Source;

/// How long a failure counts towards a siege, and a siege lasts after the last that does, in milliseconds.
const MEMORY: i64 = 3_600_000;

/// Names under watch; beyond that the older half goes.
const CAPACITY: usize = 32_768;

/// Addresses remembered for a list of names.
const CROWD: usize = 65_536;

/// A login name, without regard to capitals: hash and text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) hash: u64,
    pub(super) text: &'a [u8],
}

impl<'a> Name<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self {
            hash: super::hash_name(text),
            text,
        }
    }
}

/// What a failure belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Siege {
    /// The name, or the names that make the list, the last few of them.
    pub(super) user: String,
    /// The name's hash; 0 for a list.
    pub(super) key: u64,
    /// Since when, Unix milliseconds.
    pub(super) since: i64,
    /// How many addresses so far.
    pub(super) addresses: usize,
    /// Who is to be banned for it: at the beginning everybody who failed so far, then only the one who fails.
    pub(super) guessers: Vec<(Source, IpAddr)>,
    /// It begins.
    pub(super) new: bool,
}

#[derive(Debug)]
struct Try {
    source: Source,
    address: IpAddr,
    at: i64,
}

#[derive(Debug, Default)]
struct Watched {
    text: String,
    /// Who failed on it, each once, up to as many as make a siege.
    tries: Vec<Try>,
    last: i64,
    /// Since when there is a siege, and how many addresses have joined in.
    siege: Option<(i64, usize)>,
    listed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Names {
    watched: HashMap<u64, Watched, foldhash::fast::RandomState>,
    /// Who failed on listed names.
    crowd: HashMap<Source, (IpAddr, i64), foldhash::fast::RandomState>,
    /// When old ones were last taken out of `crowd`.
    swept: i64,
    siege: Option<(i64, usize)>,
    /// The listed names that failed last.
    recent: Vec<(String, i64)>,
}

impl Names {
    /// A failure of somebody who is not known for good logins; `used` says that the name is, by others. Returns the siege
    /// that it belongs to, if there is one.
    pub(super) fn failed(
        &mut self,
        name: Name<'_>,
        (source, address): (Source, IpAddr),
        used: bool,
        now: i64,
        most: usize,
    ) -> Option<Siege> {
        if most == 0 {
            return None;
        }
        self.make_room(name, now);
        let watched = self.watched.entry(name.hash).or_default();
        if watched.text.is_empty() {
            watched.text = super::escape(name.text);
        }
        watched.last = now;
        watched.tries.retain(|a_try| now.saturating_sub(a_try.at) < MEMORY);
        match watched.tries.iter_mut().find(|a_try| a_try.source == source) {
            Some(a_try) => a_try.at = now,
            None => {
                if watched.tries.len() >= most {
                    watched.tries.remove(0);
                    if let Some((_, addresses)) = &mut watched.siege {
                        *addresses += 1;
                    }
                }
                watched.tries.push(Try {
                    source,
                    address,
                    at: now,
                });
            }
        }
        let besieged = watched.tries.len() >= most;
        if !besieged {
            watched.siege = None;
        }
        // A list: names that nobody ever logs in with, tried by two; names that somebody has, by more.
        let enough = if used { (most / 2).max(2) } else { 2 };
        let listed_before = watched.listed;
        watched.listed = watched.tries.len() >= enough;
        if watched.listed {
            let joining: Vec<(Source, IpAddr, i64)> = watched
                .tries
                .iter()
                .filter(|a_try| !listed_before || a_try.source == source)
                .map(|a_try| (a_try.source, a_try.address, a_try.at))
                .collect();
            let text = watched.text.clone();
            let siege = self.in_list(text, &joining, now, most.saturating_mul(2));
            if siege.is_some() {
                return siege;
            }
        }
        let watched = self.watched.get_mut(&name.hash).filter(|_| besieged)?;
        let new = watched.siege.is_none();
        let (since, addresses) = *watched.siege.get_or_insert((now, watched.tries.len()));
        Some(Siege {
            user: watched.text.clone(),
            key: name.hash,
            since,
            addresses,
            guessers: watched
                .tries
                .iter()
                .filter(|a_try| new || a_try.source == source)
                .map(|a_try| (a_try.source, a_try.address))
                .collect(),
            new,
        })
    }

    /// Takes failures on a listed name in. Returns the siege, if the list is long enough, and those who go through it many
    /// enough.
    fn in_list(&mut self, text: String, joining: &[(Source, IpAddr, i64)], now: i64, most: usize) -> Option<Siege> {
        self.recent
            .retain(|(known, at)| *known != text && now.saturating_sub(*at) < MEMORY);
        if self.recent.len() >= LISTED_NAMES {
            self.recent.remove(0);
        }
        self.recent.push((text, now));
        if now.saturating_sub(self.swept) > MEMORY / 60 || self.crowd.len() >= CROWD {
            self.swept = now;
            self.crowd.retain(|_, (_, at)| now.saturating_sub(*at) < MEMORY);
            if self.crowd.len() >= CROWD {
                self.crowd.clear();
            }
        }
        let mut guessers = Vec::new();
        for (source, address, at) in joining {
            let before = self.crowd.insert(*source, (*address, *at));
            if before.is_none() || joining.len() == 1 {
                guessers.push((*source, *address));
            }
            if let (None, Some((_, addresses))) = (before, &mut self.siege) {
                *addresses += 1;
            }
        }
        if self.crowd.len() < most || self.recent.len() < LIST {
            self.siege = None;
            return None;
        }
        let new = self.siege.is_none();
        let (since, addresses) = *self.siege.get_or_insert((now, self.crowd.len()));
        if new {
            guessers = self
                .crowd
                .iter()
                .map(|(source, (address, _))| (*source, *address))
                .collect();
            guessers.sort_unstable();
        }
        let names: Vec<&str> = self.recent.iter().map(|(name, _)| name.as_str()).collect();
        Some(Siege {
            user: names.join(", "),
            key: 0,
            since,
            addresses,
            guessers,
            new,
        })
    }

    fn make_room(&mut self, name: Name<'_>, now: i64) {
        if self.watched.len() < CAPACITY || self.watched.contains_key(&name.hash) {
            return;
        }
        self.watched
            .retain(|_, watched| now.saturating_sub(watched.last) < MEMORY);
        if self.watched.len() >= CAPACITY {
            let mut times: Vec<i64> = self.watched.values().map(|watched| watched.last).collect();
            let middle = times.len() / 2;
            let (_, &mut median, _) = times.select_nth_unstable(middle);
            self.watched.retain(|_, watched| watched.last > median);
        }
    }
}

/// Names that make a list.
const LIST: usize = 3;
/// Names of a list that an alarm tells.
const LISTED_NAMES: usize = 10;
