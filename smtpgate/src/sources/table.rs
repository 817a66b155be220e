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

impl CountryTable {
    /// The country of an address.
    pub fn country_of(&self, address: IpAddr) -> Option<Country> {
        self.countries
            .iter()
            .find(|(_, ranges)| ranges.contains(address))
            .map(|(country, _)| *country)
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
