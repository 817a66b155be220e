//! A world table: which addresses belong to which country. Where it comes from is another file's matter.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::country::Country;
use super::ranges::Ranges;

/// A world table of countries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountryTable {
    /// Where it comes from: a path, or [`super::builtin::ORIGIN`].
    pub origin: String,
    /// When its data was put together.
    pub date: Timestamp,
    /// The addresses of each country, in normal form.
    pub countries: BTreeMap<Country, Ranges>,
}

/// A [`CountryTable`] for look-ups.
#[derive(Debug, Clone, Default)]
pub struct CountryIndex {
    v4: Vec<(u32, u32, Country)>,
    v6: Vec<(u128, u128, Country)>,
}

impl CountryIndex {
    /// The country of an address.
    pub fn country_of(&self, address: IpAddr) -> Option<Country> {
        match address.to_canonical() {
            IpAddr::V4(address) => find(&self.v4, address.into()),
            IpAddr::V6(address) => find(&self.v6, address.into()),
        }
    }
}

fn find<A: Copy + Ord>(ranges: &[(A, A, Country)], address: A) -> Option<Country> {
    let after = ranges.partition_point(|(low, _, _)| *low <= address);
    let (_, high, country) = ranges.get(after.checked_sub(1)?)?;
    (address <= *high).then_some(*country)
}

impl CountryTable {
    /// The country of an address.
    pub fn country_of(&self, address: IpAddr) -> Option<Country> {
        self.countries
            .iter()
            .find(|(_, ranges)| ranges.contains(address))
            .map(|(country, _)| *country)
    }

    /// The same for many questions: a range and its country in one list a family, ascending.
    pub fn index(&self) -> CountryIndex {
        let mut index = CountryIndex::default();
        for (country, ranges) in &self.countries {
            index
                .v4
                .extend(ranges.v4().iter().map(|(low, high)| (*low, *high, *country)));
            index
                .v6
                .extend(ranges.v6().iter().map(|(low, high)| (*low, *high, *country)));
        }
        index.v4.sort_unstable();
        index.v6.sort_unstable();
        index
    }

    /// The family of which the table holds nothing: there are databases of one family only.
    pub(crate) fn missing_family(&self) -> Option<&'static str> {
        let holds = |pick: fn(&Ranges) -> bool| self.countries.values().any(pick);
        if !holds(|ranges| !ranges.v4().is_empty()) {
            Some("IPv4")
        } else if !holds(|ranges| !ranges.v6().is_empty()) {
            Some("IPv6")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::builtin;

    #[test]
    fn country_index_says_what_the_table_says() {
        let table = builtin::table().unwrap();
        let index = table.index();
        let mut known = 0;
        for step in 0..4000_u32 {
            let v4 = IpAddr::V4((step * 1_073_741).into());
            let v6 = IpAddr::V6(((0x2000_u128 << 112) + (u128::from(step) << 104)).into());
            for address in [v4, v6] {
                let country = table.country_of(address);
                assert_eq!(index.country_of(address), country, "{address}");
                known += u32::from(country.is_some());
            }
        }
        assert!(known > 2000, "{known} of them are in a country");
    }

    #[test]
    fn country_index_knows_the_ends_of_a_range() {
        let country = |code: &str| code.parse::<Country>().unwrap();
        let ranges = |net: &str| Ranges::from_iter([net.parse::<ipnet::IpNet>().unwrap()]);
        let table = CountryTable {
            origin: String::new(),
            date: Timestamp::UNIX_EPOCH,
            countries: BTreeMap::from([
                (country("JP"), ranges("192.0.2.0/25")),
                (country("US"), ranges("198.51.100.0/24")),
            ]),
        };
        let index = table.index();
        for (address, expected) in [
            ("192.0.1.255", None),
            ("192.0.2.0", Some("JP")),
            ("192.0.2.127", Some("JP")),
            ("::ffff:192.0.2.127", Some("JP")),
            ("192.0.2.128", None),
            ("198.51.100.255", Some("US")),
            ("2001:db8::1", None),
        ] {
            assert_eq!(
                index.country_of(address.parse().unwrap()),
                expected.map(country),
                "{address}"
            );
        }
    }
}
