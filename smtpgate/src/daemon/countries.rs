//! The country table for the detector and for what people are shown: read when it is first asked.

use std::{net::IpAddr, path::PathBuf, sync::OnceLock};

use crate::{
    config::{Config, Database},
    sources::{Country, Sources, table::CountryIndex},
};

pub(super) struct Countries {
    database: Database,
    state: PathBuf,
    index: OnceLock<CountryIndex>,
}

impl Countries {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            database: config.geoip.database.clone(),
            state: config.paths.state.clone(),
            index: OnceLock::new(),
        }
    }

    /// The country of an address; none also when there is no table that can be read, which is said once.
    pub(super) fn of_address(&self, address: IpAddr) -> Option<Country> {
        let index = self.index.get_or_init(|| {
            let sources = Sources::new(&self.database, &self.state);
            match sources.countries() {
                Ok(table) => table.index(),
                Err(error) => {
                    tracing::warn!("addresses have no country: {error}");
                    CountryIndex::default()
                }
            }
        });
        index.country_of(address)
    }
}
