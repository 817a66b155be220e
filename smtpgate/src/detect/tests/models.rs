//! Siege, stolen accounts and widening against models that remember everything and look through all of it each time.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::detect::source::Source;
use crate::detect::wide::Crowd;

/// How long a failure counts towards a siege, and a login towards an alarm, in seconds.
const HOUR: i64 = 3600;

/// Logins and failures, of which only these rules make anything.
fn config() -> DetectConfig {
    DetectConfig {
        maxretry: 1000,
        widen: 0,
        bans_per_minute: 1_000_000,
        stolen_networks: 0,
        stolen_countries: 0,
        ..DetectConfig::default()
    }
}

fn ip(source: u8) -> IpAddr {
    IpAddr::from([198, 51, source, 9])
}

fn net(source: u8) -> IpNet {
    IpNet::from(ip(source))
}

/// Every failure and login ever.
#[derive(Default)]
struct Sieges {
    most: usize,
    fails: Vec<(i64, u8, u8)>,
    /// Last failures of those who went through a list, by source.
    crowd: BTreeMap<u8, i64>,
    /// Last failures on listed names.
    listed: BTreeMap<u8, i64>,
    was_listed: BTreeSet<u8>,
    named: BTreeSet<u8>,
    of_list: bool,
    logins: Vec<(u8, u8)>,
}

impl Sieges {
    /// Who is to be banned now.
    fn fail(&mut self, now: i64, source: u8, name: u8) -> BTreeSet<u8> {
        if self.logins.iter().any(|(known, _)| *known == source) {
            return BTreeSet::new();
        }
        self.fails.push((now, source, name));
        let live = |at: i64| now - at < HOUR;
        // The last failure of each on this name, the newest first; no more are looked at than make a siege.
        let mut last: BTreeMap<u8, i64> = BTreeMap::new();
        for (at, source, _) in self.fails.iter().filter(|(at, _, of)| *of == name && live(*at)) {
            last.insert(*source, *at);
        }
        let mut tries: Vec<(i64, u8)> = last.into_iter().map(|(source, at)| (at, source)).collect();
        tries.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        tries.truncate(self.most);
        let used = self.logins.iter().any(|(_, known)| *known == name);
        let enough = if used { (self.most / 2).max(2) } else { 2 };
        let all: BTreeSet<u8> = tries.iter().map(|(_, source)| *source).collect();
        let one = BTreeSet::from([source]);

        let mut in_list = None;
        if tries.len() >= enough {
            let mut joined = one.clone();
            if self.was_listed.insert(name) {
                for (at, source) in &tries {
                    let before = self.crowd.get(source).copied().filter(|at| live(*at));
                    self.crowd.insert(*source, before.unwrap_or(*at).max(*at));
                    if before.is_none() {
                        joined.insert(*source);
                    }
                }
            }
            self.crowd.insert(source, now);
            self.listed.insert(name, now);
            let crowd: BTreeSet<u8> = self
                .crowd
                .iter()
                .filter(|(_, at)| live(**at))
                .map(|(of, _)| *of)
                .collect();
            let names = self.listed.values().filter(|at| live(**at)).count();
            if crowd.len() >= 2 * self.most && names >= 3 {
                in_list = Some(if std::mem::replace(&mut self.of_list, true) {
                    joined
                } else {
                    crowd
                });
            } else {
                self.of_list = false;
            }
        } else {
            self.was_listed.remove(&name);
        }
        let besieged = tries.len() >= self.most;
        if !besieged {
            self.named.remove(&name);
        }
        match in_list {
            Some(banned) => banned,
            None if besieged => {
                if self.named.insert(name) {
                    all
                } else {
                    one
                }
            }
            None => BTreeSet::new(),
        }
    }
}

/// Every login ever, of one account.
#[derive(Default)]
struct Thefts {
    logins: Vec<(i64, u8)>,
    /// Since when there is an alarm.
    since: Option<i64>,
}

/// Four sources are one network, eight one country.
fn place(source: u8) -> IpAddr {
    IpAddr::from([198, 18, source / 4, source])
}

fn country(source: u8) -> Country {
    ["JP", "BR", "VN", "DE"][usize::from(source / 8)].parse().unwrap()
}

impl Thefts {
    /// Whom an alarm tells of now, and since when it stands; and who of them is to be banned.
    fn login(
        &mut self,
        now: i64,
        source: u8,
        networks: usize,
        countries: usize,
    ) -> Option<(i64, BTreeSet<u8>, BTreeSet<u8>)> {
        let live = |at: i64| now - at < HOUR;
        let newly = !self.logins.iter().any(|(at, of)| *of == source && live(*at));
        self.logins.push((now, source));
        let here: BTreeSet<u8> = self
            .logins
            .iter()
            .filter(|(at, _)| live(*at))
            .map(|(_, of)| *of)
            .collect();
        let nets: BTreeSet<u8> = here.iter().map(|source| source / 4).collect();
        let lands: BTreeSet<u8> = here.iter().map(|source| source / 8).collect();
        if nets.len() < networks && lands.len() < countries {
            self.since = None;
            return None;
        }
        let new = self.since.is_none();
        let since = *self.since.get_or_insert(now);
        if !new && !newly {
            return None;
        }
        let told = if new { here } else { BTreeSet::from([source]) };
        // Where it was used from an hour ago, or earlier.
        let homes: BTreeSet<u8> = self
            .logins
            .iter()
            .filter(|(at, _)| !live(*at))
            .map(|(_, of)| *of)
            .collect();
        let foreign = told
            .iter()
            .copied()
            .filter(|of| !homes.is_empty() && homes.iter().all(|home| home / 4 != of / 4 && home / 8 != of / 8));
        Some((since, told.clone(), foreign.collect()))
    }
}

/// Bans made, as sources.
fn banned(bans: &[Decision], rule: Rule, of: impl Fn(u8) -> IpAddr) -> BTreeSet<u8> {
    let one = |ban: &Decision| (0..=u8::MAX).find(|source| IpNet::from(of(*source)) == ban.prefix);
    bans.iter().filter(|ban| ban.rule == rule).filter_map(one).collect()
}

proptest! {
    /// Old ones leave the crowd once a minute, so a minute is the least between two acts.
    #[test]
    fn detect_siege_agrees_with_the_model(
        most in 1u32..5,
        acts in prop::collection::vec((0u8..24, 0u8..5, prop_oneof![9 => Just(true), 1 => Just(false)], 61i64..200), 1..200),
    ) {
        let mut play = Play::new(DetectConfig { siege_addresses: most, ..config() });
        let mut model = Sieges { most: most as usize, ..Sieges::default() };
        let mut already: BTreeSet<u8> = BTreeSet::new();
        let mut now = 0;
        for (source, name, fails, later) in acts {
            now += later;
            let (address, user) = (ip(source).to_string(), format!("user{name}"));
            let before = play.bans.len();
            if !fails {
                play.login(&address, &user, now);
                model.logins.push((source, name));
                continue;
            }
            play.fail(&address, &user, now);
            let has_logged_in = |source: &u8| model.logins.iter().any(|(known, _)| known == source);
            let logged_in: BTreeSet<u8> = (0..24).filter(has_logged_in).collect();
            let want: BTreeSet<u8> = model
                .fail(now, source, name)
                .into_iter()
                .filter(|source| !logged_in.contains(source) && !already.contains(source))
                .collect();
            prop_assert_eq!(&banned(&play.bans[before..], Rule::Siege, ip), &want, "at {}", now);
            already.extend(&want);
            // Here bans do not end.
            for prefix in want.into_iter().map(net) {
                play.world.bans.insert(prefix, Timestamp::MAX);
            }
        }
    }

    #[test]
    fn detect_stolen_agrees_with_the_model(
        networks in 2u32..6,
        fewer in 0u32..3,
        logins in prop::collection::vec((0u8..32, prop_oneof![4 => 1i64..300, 1 => 3000i64..4000]), 1..150),
    ) {
        let countries = networks.saturating_sub(fewer).clamp(2, 4);
        let mut play = Play::new(DetectConfig {
            stolen_networks: networks.max(countries),
            stolen_countries: countries,
            stolen_ban: true,
            ..config()
        });
        play.world.countries = (0..32).map(|source| (place(source), country(source))).collect();
        let mut model = Thefts::default();
        let mut alarms: BTreeMap<i64, BTreeSet<u8>> = BTreeMap::new();
        let mut already: BTreeSet<u8> = BTreeSet::new();
        let mut now = 0;
        for (source, later) in logins {
            now += later;
            let before = play.bans.len();
            play.login(&place(source).to_string(), "bob", now);
            let mut want = BTreeSet::new();
            if let Some((since, told, foreign)) = model.login(now, source, networks.max(countries) as usize, countries as usize) {
                alarms.entry(since).or_default().extend(told);
                want = foreign.difference(&already).copied().collect();
            }
            prop_assert_eq!(&banned(&play.bans[before..], Rule::Stolen, place), &want, "at {}", now);
            for source in want {
                already.insert(source);
                play.world.bans.insert(place(source).into(), Timestamp::MAX);
            }
        }
        let told: BTreeMap<i64, BTreeSet<IpNet>> = play
            .alarms
            .all()
            .iter()
            .map(|alarm| (alarm.at.as_second() - 1_800_000_000, alarm.prefixes.clone()))
            .collect();
        let want: BTreeMap<i64, BTreeSet<IpNet>> = alarms
            .into_iter()
            .map(|(since, sources)| (since, sources.into_iter().map(|source| place(source).into()).collect()))
            .collect();
        prop_assert_eq!(told, want);
    }

    #[test]
    fn detect_widening_agrees_with_the_model(
        widen in 2u32..9,
        widest4 in 24u8..=32,
        widest6 in 48u8..=64,
        offenders in prop::collection::vec((any::<bool>(), 0u64..600, 0i64..200), 1..200),
    ) {
        const MEMORY: i64 = 3000;
        let config = DetectConfig { widen, widest4, widest6, ..DetectConfig::default() };
        let mut crowd = Crowd::default();
        let mut model: Vec<(Source, i64)> = Vec::new();
        let mut now = 0;
        for (four, number, later) in offenders {
            now += later;
            // Two /24 and a bit; three /56 of one /48, in /64s that are close.
            let source = if four {
                Source::V4(0xc000_0200 + u32::try_from(number).unwrap())
            } else {
                Source::V6(0x2001_0db8_0000_0000 + number % 3 * 0x100 + number % 16)
            };
            model.retain(|(known, _)| *known != source);
            model.push((source, now));
            let lengths: Vec<u8> = if four {
                (widest4..32).rev().collect()
            } else {
                (widest6..64).rev().filter(|length| length % 8 == 0).collect()
            };
            let within = |length: u8| -> BTreeSet<Source> {
                let prefix = IpNet::new(source.prefix(64).addr(), length).unwrap();
                let live = model.iter().filter(|(_, at)| now - at < MEMORY);
                live.map(|(of, _)| *of).filter(|of| prefix.contains(&of.prefix(64))).collect()
            };
            let found = lengths.into_iter().find(|length| {
                let members = within(*length);
                if four {
                    members.len() >= widen as usize && members.len() * 16 >= 1 << (32 - length)
                } else {
                    let parts: BTreeSet<IpNet> = members
                        .iter()
                        .map(|of| IpNet::new(of.prefix(64).addr(), (length + 8).min(64)).unwrap().trunc())
                        .collect();
                    parts.len() >= widen as usize
                }
            });
            let want = found.map(|length| {
                let prefix = IpNet::new(source.prefix(64).addr(), length).unwrap().trunc();
                (prefix, within(length))
            });
            if let Some((prefix, _)) = &want {
                model.retain(|(of, _)| !prefix.contains(&of.prefix(64)));
            }
            let got = crowd.add(source, now, MEMORY, &config);
            prop_assert_eq!(got.map(|(prefix, members)| (prefix, members.into_iter().collect())), want, "at {}", now);
        }
    }
}
