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
    /// The name's hash; 0 for a list of names. [`Names::user`] has it in words.
    pub(super) key: u64,
    /// Since when, Unix milliseconds.
    pub(super) since: i64,
    /// How many addresses so far.
    pub(super) addresses: usize,
    /// Who is to be banned for it beside the one who fails: those whose failures before belong to it as of now.
    pub(super) earlier: Vec<(Source, IpAddr)>,
    /// Somebody is new to it.
    pub(super) joined: bool,
    /// It begins.
    pub(super) new: bool,
}

#[derive(Clone, Copy, Debug)]
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
    /// The listed names that failed last, by their hashes.
    recent: Vec<(u64, i64)>,
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
        let joined = match watched.tries.iter_mut().find(|a_try| a_try.source == source) {
            Some(a_try) => {
                a_try.at = now;
                false
            }
            None => {
                if watched.tries.len() >= most {
                    let oldest = watched.tries.iter().enumerate().min_by_key(|(_, a_try)| a_try.at);
                    let oldest = oldest.map_or(0, |(place, _)| place);
                    watched.tries.remove(oldest);
                    if let Some((_, addresses)) = &mut watched.siege {
                        *addresses += 1;
                    }
                }
                watched.tries.push(Try {
                    source,
                    address,
                    at: now,
                });
                true
            }
        };
        let besieged = watched.tries.len() >= most;
        if !besieged {
            watched.siege = None;
        }
        // A list: names that nobody ever logs in with, tried by two; names that somebody has, by more.
        let enough = if used { (most / 2).max(2) } else { 2 };
        let listed_before = watched.listed;
        watched.listed = watched.tries.len() >= enough;
        if watched.listed {
            let others = |a_try: &&Try| !listed_before && a_try.source != source;
            let before = watched.tries.iter().filter(others).copied().collect();
            let newest = Try {
                source,
                address,
                at: now,
            };
            let siege = self.in_list(name.hash, &newest, before, most.saturating_mul(2));
            if siege.is_some() {
                return siege;
            }
        }
        let watched = self.watched.get_mut(&name.hash).filter(|_| besieged)?;
        let new = watched.siege.is_none();
        let (since, addresses) = *watched.siege.get_or_insert((now, watched.tries.len()));
        let others = |a_try: &&Try| new && a_try.source != source;
        Some(Siege {
            key: name.hash,
            since,
            addresses,
            earlier: watched
                .tries
                .iter()
                .filter(others)
                .map(|a_try| (a_try.source, a_try.address))
                .collect(),
            joined,
            new,
        })
    }

    /// Takes in the newest failure on a listed name, and those before it when the name was not listed before. Returns the
    /// siege, if the list is long enough, and those who go through it many enough.
    fn in_list(&mut self, name: u64, newest: &Try, before: Vec<Try>, most: usize) -> Option<Siege> {
        let now = newest.at;
        self.recent
            .retain(|(known, at)| *known != name && now.saturating_sub(*at) < MEMORY);
        if self.recent.len() >= LISTED_NAMES {
            self.recent.remove(0);
        }
        self.recent.push((name, now));
        self.sweep(now);
        let mut earlier = Vec::new();
        for a_try in before {
            if self.join(&a_try) {
                earlier.push((a_try.source, a_try.address));
            }
        }
        let joined = self.join(newest) || !earlier.is_empty();
        if self.crowd.len() < most || self.recent.len() < LIST {
            self.siege = None;
            return None;
        }
        let new = self.siege.is_none();
        let (since, addresses) = *self.siege.get_or_insert((now, self.crowd.len()));
        if new {
            let others = self.crowd.iter().filter(|(source, _)| **source != newest.source);
            earlier = others.map(|(source, (address, _))| (*source, *address)).collect();
            earlier.sort_unstable();
        }
        Some(Siege {
            key: 0,
            since,
            addresses,
            earlier,
            joined,
            new,
        })
    }

    /// Takes somebody into the crowd; true when he was not there.
    fn join(&mut self, a_try: &Try) -> bool {
        let known = self.crowd.get(&a_try.source).map(|(_, at)| *at);
        let joined = known.is_none();
        if known.is_none_or(|at| at <= a_try.at) {
            self.crowd.insert(a_try.source, (a_try.address, a_try.at));
        }
        if joined && let Some((_, addresses)) = &mut self.siege {
            *addresses += 1;
        }
        joined
    }

    /// Lets old ones out of the crowd, and the older half of it when there are too many.
    fn sweep(&mut self, now: i64) {
        if now.saturating_sub(self.swept) <= MEMORY / 60 && self.crowd.len() < CROWD {
            return;
        }
        self.swept = now;
        self.crowd.retain(|_, (_, at)| now.saturating_sub(*at) < MEMORY);
        if self.crowd.len() >= CROWD {
            let median = super::median(self.crowd.values().map(|(_, at)| *at));
            self.crowd.retain(|_, (_, at)| Some(*at) > median);
        }
    }

    /// The besieged name; of a list (0) the names that failed last.
    pub(super) fn user(&self, key: u64) -> String {
        let text = |key: &u64| self.watched.get(key).map(|watched| watched.text.as_str());
        if key != 0 {
            return text(&key).unwrap_or_default().to_owned();
        }
        let names: Vec<&str> = self.recent.iter().filter_map(|(name, _)| text(name)).collect();
        names.join(", ")
    }

    fn make_room(&mut self, name: Name<'_>, now: i64) {
        if self.watched.len() < CAPACITY || self.watched.contains_key(&name.hash) {
            return;
        }
        self.watched
            .retain(|_, watched| now.saturating_sub(watched.last) < MEMORY);
        if self.watched.len() >= CAPACITY {
            let median = super::median(self.watched.values().map(|watched| watched.last));
            self.watched.retain(|_, watched| Some(watched.last) > median);
        }
    }
}

/// Names that make a list.
const LIST: usize = 3;
/// Names of a list that an alarm tells.
const LISTED_NAMES: usize = 10;
