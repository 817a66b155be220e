//! Refusals that the kernel tells of one by one: all while there are few, a sample under flood. Who they were and where
//! they came from; how many there were is for the counters. Pure: what comes in is kept and summed.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::report::{CountrySeen, Refusal, Sample, SourceSeen};
use crate::ledger::Sampled;

/// Refusals that are remembered one by one: an hour of a quiet host, seconds of a flood.
const RECENT: usize = 10_000;
/// Networks of a minute that are told apart; the rest is summed by country.
const NETWORKS: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Sightings {
    recent: VecDeque<Refusal>,
    /// Since the ledger was told last.
    fresh: HashMap<IpNet, (Option<String>, u64)>,
}

impl Sightings {
    pub(super) fn see(&mut self, refusal: &Refusal) {
        let Some(source) = refusal.source else { return };
        let country = refusal.country.clone();
        self.fresh.entry(network(source)).or_insert((country, 0)).1 += 1;
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(refusal.clone());
    }

    /// What the ledger has not been told of, and now is.
    pub(super) fn take(&mut self) -> Vec<Sampled> {
        let mut networks: Vec<Sampled> = self
            .fresh
            .drain()
            .map(|(network, (country, packets))| Sampled {
                country,
                network: Some(network),
                packets,
            })
            .collect();
        networks.sort_by_key(|part| (std::cmp::Reverse(part.packets), part.network));
        let rest = networks.split_off(networks.len().min(NETWORKS));
        let mut others: BTreeMap<Option<String>, u64> = BTreeMap::new();
        for part in rest {
            *others.entry(part.country).or_default() += part.packets;
        }
        networks.extend(others.into_iter().map(|(country, packets)| Sampled {
            country,
            network: None,
            packets,
        }));
        networks
    }

    /// What the lists are made of.
    pub(super) fn sample(&self) -> Sample {
        Sample {
            refusals: self.recent.len() as u64,
            since: self.recent.front().map(|refusal| refusal.time),
        }
    }

    /// The sources with the most refusals.
    pub(super) fn sources(&self, most: usize) -> Vec<SourceSeen> {
        let mut seen: HashMap<IpAddr, (u64, &Refusal)> = HashMap::new();
        for refusal in &self.recent {
            let Some(source) = refusal.source else { continue };
            let entry = seen.entry(source).or_insert((0, refusal));
            *entry = (entry.0 + 1, refusal);
        }
        let mut seen: Vec<(IpAddr, u64, &Refusal)> = seen
            .into_iter()
            .map(|(source, (refusals, last))| (source, refusals, last))
            .collect();
        seen.sort_by_key(|(source, refusals, _)| (std::cmp::Reverse(*refusals), *source));
        seen.truncate(most);
        seen.into_iter()
            .map(|(source, refusals, last)| SourceSeen {
                source,
                country: last.country.clone(),
                owner: None,
                gate: last.gate.clone(),
                reason: last.reason.clone(),
                refusals,
                last: last.time,
            })
            .collect()
    }

    /// The countries, the one with the most refusals first.
    pub(super) fn countries(&self) -> Vec<CountrySeen> {
        let mut seen: BTreeMap<&Option<String>, u64> = BTreeMap::new();
        for refusal in &self.recent {
            *seen.entry(&refusal.country).or_default() += 1;
        }
        by_country(seen.into_iter().map(|(country, refusals)| (country.clone(), refusals)))
    }
}

/// Sums by country, the most first.
pub(super) fn by_country(parts: impl IntoIterator<Item = (Option<String>, u64)>) -> Vec<CountrySeen> {
    let mut sums: BTreeMap<Option<String>, u64> = BTreeMap::new();
    for (country, refusals) in parts {
        *sums.entry(country).or_default() += refusals;
    }
    let mut seen: Vec<CountrySeen> = sums
        .into_iter()
        .map(|(country, refusals)| CountrySeen { country, refusals })
        .collect();
    seen.sort_by_key(|seen| std::cmp::Reverse(seen.refusals));
    seen
}

/// What usually has one holder, and mostly one country.
fn network(source: IpAddr) -> IpNet {
    match source {
        IpAddr::V4(address) => Ipv4Net::new_assert(address, 24).trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 48).trunc().into(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn refusal(second: i64, source: &str, country: &str) -> Refusal {
        Refusal {
            time: Timestamp::from_second(second).unwrap(),
            verdict: "drop".to_owned(),
            reason: "outside".to_owned(),
            source: Some(source.parse().unwrap()),
            country: (!country.is_empty()).then(|| country.to_owned()),
            gate: Some("mx".to_owned()),
            port: Some(25),
            interface: None,
        }
    }

    #[test]
    fn sightings_name_the_heaviest_first() {
        let mut sightings = Sightings::default();
        for (second, source, country) in [
            (1, "192.0.2.1", "RU"),
            (2, "192.0.2.2", "RU"),
            (3, "2001:db8::1", "US"),
            (4, "192.0.2.2", "RU"),
            (5, "203.0.113.1", ""),
        ] {
            sightings.see(&refusal(second, source, country));
        }
        let sources = sightings.sources(2);
        assert_eq!(sources.len(), 2);
        assert_eq!(
            (sources[0].source.to_string(), sources[0].refusals),
            ("192.0.2.2".to_owned(), 2)
        );
        assert_eq!(sources[0].last, Timestamp::from_second(4).unwrap());
        let countries: Vec<_> = sightings
            .countries()
            .into_iter()
            .map(|seen| (seen.country, seen.refusals))
            .collect();
        assert_eq!(countries[0], (Some("RU".to_owned()), 3));
        assert!(countries.contains(&(None, 1)));
        assert_eq!(sightings.sample().refusals, 5);
    }

    #[test]
    fn sightings_reach_the_ledger_once_and_none_is_lost() {
        let mut sightings = Sightings::default();
        for n in 0..=255 {
            for _ in 0..=(n % 3) {
                sightings.see(&refusal(1, &format!("2001:db8:{n}::7"), "CN"));
            }
        }
        let taken = sightings.take();
        let total: u64 = (0..=255).map(|n| n % 3 + 1).sum();
        assert_eq!(taken.iter().map(|part| part.packets).sum::<u64>(), total);
        assert_eq!(taken.iter().filter(|part| part.network.is_some()).count(), NETWORKS);
        assert_eq!(taken.iter().filter(|part| part.network.is_none()).count(), 1);
        assert!(taken[0].packets == 3 && taken[0].network.is_some());
        assert!(sightings.take().is_empty());
    }

    #[test]
    fn sightings_forget_the_oldest_of_a_flood() {
        let mut sightings = Sightings::default();
        for second in 0..=RECENT {
            sightings.see(&refusal(i64::try_from(second).unwrap(), "192.0.2.1", "RU"));
        }
        assert_eq!(sightings.sample().refusals, RECENT as u64);
        assert_eq!(sightings.sample().since, Some(Timestamp::from_second(1).unwrap()));
    }
}
