//! Bans wider than one offender: where offenders stand close together, and around whom such a ban must not go.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::config::DetectConfig;
use super::source::{Source, mask, net6};

/// Offenders remembered; beyond that the older half goes.
const CAPACITY: usize = 65_536;

/// IPv4: a prefix is an offender as a whole when at least one address in so many of it is. Eight are enough for a /25.
const ONE_IN: u64 = 16;

/// Offenders by place.
#[derive(Debug, Default)]
pub(super) struct Crowd(BTreeMap<Source, i64>);

impl Crowd {
    /// Adds an offender; returns the narrowest prefix that it and its neighbours of the last `memory` make an offender,
    /// and all of them. They are not counted again.
    ///
    /// IPv4: `widen` addresses, and one in sixteen of the prefix. IPv6, in steps of eight bits: `widen` of the next
    /// longer prefixes, because a customer who holds a /56 can be in any of its /64s.
    pub(super) fn add(
        &mut self,
        source: Source,
        now: i64,
        memory: i64,
        config: &DetectConfig,
    ) -> Option<(IpNet, Vec<Source>)> {
        if config.widen == 0 {
            return None;
        }
        if self.0.len() >= CAPACITY {
            let median = super::median(self.0.values().copied());
            self.0.retain(|_, at| Some(*at) > median);
        }
        self.0.insert(source, now);
        let widen = usize::try_from(config.widen).unwrap_or(usize::MAX);
        let live = |at: &i64| now.saturating_sub(*at) < memory;
        let (prefix, range) = match source {
            Source::V4(bits) => (config.widest4..32).rev().find_map(|length| {
                let size = 1u32.checked_shl(32 - u32::from(length))?;
                let first = bits & !(size - 1);
                let range = Source::V4(first)..=Source::V4(first | (size - 1));
                let count = self.0.range(range.clone()).filter(|(_, at)| live(at)).count();
                let dense = count as u64 * ONE_IN >= u64::from(size);
                let net = Ipv4Net::new(Ipv4Addr::from_bits(first), length).ok()?;
                (count >= widen && dense).then_some((IpNet::from(net), range))
            }),
            Source::V6(bits) => (config.widest6..config.window6)
                .rev()
                .filter(|length| length % 8 == 0)
                .find_map(|length| {
                    let first = bits & mask(length);
                    let range = Source::V6(first)..=Source::V6(first | !mask(length));
                    let part = mask((length + 8).min(config.window6));
                    let mut parts: Vec<u64> = self
                        .0
                        .range(range.clone())
                        .filter(|(_, at)| live(at))
                        .filter_map(|(source, _)| match source {
                            Source::V6(bits) => Some(bits & part),
                            Source::V4(_) => None,
                        })
                        .collect();
                    parts.dedup();
                    (parts.len() >= widen).then(|| (net6(first, length), range))
                }),
        }?;
        let within: Vec<(Source, i64)> = self.0.range(range).map(|(source, at)| (*source, *at)).collect();
        for (source, _) in &within {
            self.0.remove(source);
        }
        let members = within.into_iter().filter(|(_, at)| live(at));
        Some((prefix, members.map(|(source, _)| source).collect()))
    }
}

/// The widest parts of `prefix` that hold an offender and no address that must not be banned.
pub(super) fn carve(prefix: IpNet, offenders: &[IpAddr], spared: &[IpNet]) -> Vec<IpNet> {
    let offenders: Vec<IpAddr> = offenders
        .iter()
        .copied()
        .filter(|address| prefix.contains(address))
        .collect();
    if offenders.is_empty() || spared.iter().any(|net| net.contains(&prefix)) {
        return Vec::new();
    }
    let spared: Vec<IpNet> = spared.iter().copied().filter(|net| prefix.contains(net)).collect();
    if spared.is_empty() {
        return vec![prefix];
    }
    let length = prefix.prefix_len() + 1;
    prefix
        .subnets(length)
        .into_iter()
        .flatten()
        .flat_map(|half| carve(half, &offenders, &spared))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config() -> DetectConfig {
        DetectConfig {
            widen: 4,
            ..DetectConfig::default()
        }
    }

    fn offend(addresses: &[&str]) -> Vec<String> {
        let mut crowd = Crowd::default();
        let config = config();
        addresses
            .iter()
            .filter_map(|address| {
                let source = Source::of(address.parse().unwrap(), config.window6);
                crowd.add(source, 0, 1000, &config)
            })
            .map(|(prefix, _)| prefix.to_string())
            .collect()
    }

    #[test]
    fn detect_widening() {
        // Name, offenders in their order, prefixes that become offenders.
        type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            ("three of a /24", &["192.0.2.1", "192.0.2.2", "192.0.2.3"], &[]),
            (
                "four side by side",
                &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"],
                &["192.0.2.0/29"],
            ),
            (
                "four in a quarter",
                &["192.0.2.1", "192.0.2.20", "192.0.2.30", "192.0.2.60"],
                &["192.0.2.0/26"],
            ),
            (
                "four in a whole /24 are too few for it",
                &["192.0.2.1", "192.0.2.80", "192.0.2.160", "192.0.2.240"],
                &[],
            ),
            (
                "four of different /24",
                &["192.0.0.1", "192.0.1.1", "192.0.2.1", "192.0.3.1"],
                &[],
            ),
            (
                "four /64 of a /56",
                &[
                    "2001:db8:0:1::1",
                    "2001:db8:0:2::1",
                    "2001:db8:0:fe::1",
                    "2001:db8:0:ff::1",
                ],
                &["2001:db8::/56"],
            ),
            (
                "one /64 four times",
                &[
                    "2001:db8:0:1::1",
                    "2001:db8:0:1::2",
                    "2001:db8:0:1::3",
                    "2001:db8:0:1::4",
                ],
                &[],
            ),
            (
                "four /56 of a /48",
                &[
                    "2001:db8:0:100::1",
                    "2001:db8:0:200::1",
                    "2001:db8:0:300::1",
                    "2001:db8:0:400::1",
                ],
                &["2001:db8::/48"],
            ),
            (
                "two /56 of a /48, two /64 each",
                &[
                    "2001:db8:0:100::1",
                    "2001:db8:0:101::1",
                    "2001:db8:0:200::1",
                    "2001:db8:0:201::1",
                ],
                &[],
            ),
            (
                "four /48",
                &["2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1"],
                &[],
            ),
        ];
        for (name, offenders, want) in cases {
            assert_eq!(offend(offenders), *want, "{name}");
        }
    }

    #[test]
    fn detect_sixteen_of_a_24_are_the_whole_of_it() {
        let config = DetectConfig::default();
        let mut crowd = Crowd::default();
        let found: Vec<_> = (0..16u32)
            .filter_map(|n| crowd.add(Source::V4(0xc000_0200 + n * 16 % 256), 0, 1000, &config))
            .map(|(prefix, within)| (prefix.to_string(), within.len()))
            .collect();
        assert_eq!(
            found,
            [("192.0.2.0/25".to_owned(), 8), ("192.0.2.128/25".to_owned(), 8)]
        );
    }

    #[test]
    fn detect_widening_forgets() {
        let config = config();
        let mut crowd = Crowd::default();
        for last in 0..3 {
            assert_eq!(crowd.add(Source::V4(0xc000_0200 + last), 0, 1000, &config), None);
        }
        assert_eq!(crowd.add(Source::V4(0xc000_0203), 1000, 1000, &config), None);
    }

    proptest! {
        #[test]
        fn detect_carving_holds_offenders_and_nobody_who_is_spared(
            offenders in prop::collection::vec(0u8..=255, 0..12),
            spared in prop::collection::vec((0u8..=255, 26u8..=32), 0..6),
        ) {
            let prefix: IpNet = "192.0.2.0/24".parse().unwrap();
            let address = |last: u8| IpAddr::from([192, 0, 2, last]);
            let offenders: Vec<IpAddr> = offenders.into_iter().map(address).collect();
            let spared: Vec<IpNet> = spared
                .into_iter()
                .map(|(last, length)| IpNet::new(address(last), length).unwrap().trunc())
                .collect();
            let parts = carve(prefix, &offenders, &spared);
            for last in 0..=255 {
                let address = address(last);
                let banned = parts.iter().filter(|part| part.contains(&address)).count();
                let is_spared = spared.iter().any(|net| net.contains(&address));
                prop_assert!(banned <= 1);
                prop_assert!(!(is_spared && banned > 0), "{} is spared", address);
                prop_assert!(is_spared || !offenders.contains(&address) || banned == 1, "{} offends", address);
            }
            for part in &parts {
                prop_assert!(offenders.iter().any(|address| part.contains(address)), "{} holds nobody", part);
                let wider = part.supernet().filter(|wider| prefix.contains(wider));
                prop_assert!(
                    wider.is_none_or(|wider| spared.iter().any(|net| wider.contains(net))),
                    "{} could be wider",
                    part
                );
            }
        }
    }
}
