//! MaxMind-format files to country tables: GeoIP2 and GeoLite2 (country or city), DB-IP, and the flat free ones.
//!
//! Format: <https://maxmind.github.io/MaxMind-DB/>.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::Timestamp;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;

use super::country::Country;
use super::ranges::Ranges;
use super::table::CountryTable;

/// Larger files are refused unread; GeoIP2 Enterprise, the largest there is, has 0.3 GiB.
const MAX_FILE: u64 = 1 << 30;

/// What of a record is of use. The country layout has `country` and `registered_country`, the flat one `country_code`.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    country: Option<Place<'a>>,
    #[serde(borrow, default)]
    registered_country: Option<Place<'a>>,
    #[serde(borrow, default)]
    country_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow, default)]
    iso_code: Option<&'a str>,
}

impl<'a> Record<'a> {
    fn code(&self) -> Option<&'a str> {
        let code = |place: &Option<Place<'a>>| place.as_ref().and_then(|place| place.iso_code);
        // `registered_country` is where the owner of the addresses has its seat, not where the host is, so it never
        // overrules `country`; but where the database does not know the place (satellites, anycast), the seat is the
        // better guess than to refuse the address everywhere.
        self.country_code
            .or_else(|| code(&self.country))
            .or_else(|| code(&self.registered_country))
    }
}

/// An opened database, its date known, its networks not yet read.
pub struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
    date: Timestamp,
}

impl Database {
    /// Opens a file. The error names the file and the reason.
    pub fn open(path: &Path) -> Result<Database, String> {
        let bad = |why: String| format!("{}: {why}", path.display());
        let bytes = super::read_file(path, MAX_FILE)?;
        if bytes.is_empty() {
            return Err(bad("is empty: fetch the database again".to_owned()));
        }
        let reader = Reader::from_source(bytes).map_err(|error| {
            bad(format!(
                "is no complete MaxMind-format database: {error}; fetch it again"
            ))
        })?;
        let date = i64::try_from(reader.metadata().build_epoch)
            .ok()
            .and_then(|epoch| Timestamp::from_second(epoch).ok());
        let date = date.ok_or_else(|| bad("has a build date beyond all time".to_owned()))?;
        Ok(Database {
            path: path.to_owned(),
            reader,
            date,
        })
    }

    /// When the database was built.
    pub fn date(&self) -> Timestamp {
        self.date
    }

    /// Reads all networks. The error names the file and the reason.
    pub fn table(&self) -> Result<CountryTable, String> {
        let bad = |why: String| format!("{}: {why}", self.path.display());
        let damaged = |error: MaxMindDbError| bad(format!("is damaged: {error}; fetch it again"));
        // Millions of networks share a few thousand records: each record is decoded once.
        let mut countries: HashMap<usize, Option<Country>> = HashMap::new();
        let mut table: BTreeMap<Country, Ranges> = BTreeMap::new();
        let mut unknown: Option<String> = None;
        for found in self.reader.networks(WithinOptions::default()).map_err(damaged)? {
            let found = found.map_err(damaged)?;
            let Some(offset) = found.offset() else { continue };
            let country = match countries.get(&offset) {
                Some(country) => *country,
                None => {
                    let record: Option<Record<'_>> = match found.decode() {
                        // Another layout: its fields of these names are of another kind.
                        Err(MaxMindDbError::Decoding { .. }) => None,
                        record => record.map_err(damaged)?,
                    };
                    let code = record.as_ref().and_then(Record::code);
                    let country = code.and_then(|code| code.parse().ok());
                    if country.is_none() && unknown.is_none() {
                        unknown = code.map(str::to_owned);
                    }
                    countries.insert(offset, country);
                    country
                }
            };
            let Some(country) = country else { continue };
            let network = found.network().map_err(damaged)?;
            let net = IpNet::new(network.ip(), network.prefix()).map_err(|error| bad(error.to_string()))?;
            table.entry(country).or_default().add_net(net);
        }
        if table.is_empty() {
            let kind = &self.reader.metadata().database_type;
            let why = match unknown {
                Some(code) => format!("; its codes are such as `{code}`"),
                None => String::new(),
            };
            return Err(bad(format!(
                "holds no countries (its type is `{kind}`{why}): take a country or city database"
            )));
        }
        let nowhere: Ranges = NOWHERE.iter().filter_map(|net| net.parse::<IpNet>().ok()).collect();
        for ranges in table.values_mut() {
            ranges.normalise();
            ranges.remove_all(&nowhere);
        }
        Ok(CountryTable {
            origin: self.path.display().to_string(),
            date: self.date,
            countries: table,
        })
    }
}

/// What no packet of a host in the Internet comes from, so that it is in no country whatever a database says: IPv4 that is
/// not global (RFC 6890) and multicast; of IPv6 all but global unicast (2000::/3, RFC 4291), and of that Teredo and 6to4,
/// under which databases repeat the IPv4 tree. The IPv4 copies that the reader knows as such it skips itself.
const NOWHERE: [&str; 13] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/3",
    "2001::/32",
    "2002::/16",
    "4000::/2",
    "8000::/1",
];

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;
