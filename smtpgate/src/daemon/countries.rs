//! The country table for the detector: read when it is first asked, which on most hosts it never is.

use std::{net::IpAddr, path::PathBuf, sync::OnceLock};

use crate::{
    config::{Config, Database},
    sources::{Country, Sources},
};

pub(super) struct Countries {
    database: Database,
    state: PathBuf,
    sources: OnceLock<Sources>,
}

impl Countries {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            database: config.geoip.database.clone(),
            state: config.paths.state.clone(),
            sources: OnceLock::new(),
        }
    }

    /// The country of an address; none also when there is no table that can be read, which is said once.
    pub(super) fn of_address(&self, address: IpAddr) -> Option<Country> {
        let sources = self.sources.get_or_init(|| {
            let sources = Sources::new(&self.database, &self.state);
            if let Err(error) = sources.countries() {
                tracing::warn!("logins cannot be told apart by country: {error}");
            }
            sources
        });
        sources.countries().ok()?.country_of(address)
    }
}
