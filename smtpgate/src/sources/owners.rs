//! Who holds a network: the autonomous system of an address, out of a MaxMind-format file (GeoLite2 ASN, GeoIP2 ISP, DB-IP
//! ASN). For people only, nothing is decided by it; so where there is no file, or a damaged one, nobody is named.

use std::fmt;
use std::fs::Metadata;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader};
use serde::{Deserialize, Serialize};

use super::find;
use crate::config::OwnerDatabase;

/// Larger files are refused unread; GeoIP2 ISP, the largest there is, has some 20 MiB.
const MAX_FILE: u64 = 256 << 20;

/// What their names begin with, small letters, best first. What follows may be a month (`dbip-asn-lite-2026-06.mmdb`).
const NAMES: [&str; 3] = ["geoip2-isp", "geolite2-asn", "dbip-asn"];

/// The holder of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Number of the autonomous system.
    pub asn: u32,
    /// Its organisation, where the file has it.
    pub name: Option<String>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "AS{} {name}", self.asn),
            None => write!(f, "AS{}", self.asn),
        }
    }
}

/// What of a record is of use; the three files have it alike.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default)]
    autonomous_system_number: Option<u32>,
    #[serde(borrow, default)]
    autonomous_system_organization: Option<&'a str>,
}

/// The owners of one file.
#[derive(Debug)]
pub struct Owners {
    reader: Reader<Vec<u8>>,
}

impl Owners {
    /// Opens a file. The error names the file and the reason.
    pub fn open(path: &Path) -> Result<Owners, String> {
        let bad = |why: String| format!("{}: {why}", path.display());
        let bytes = super::read_file(path, MAX_FILE)?;
        let reader = Reader::from_source(bytes).map_err(|error| {
            bad(format!(
                "is no complete MaxMind-format database: {error}; fetch it again"
            ))
        })?;
        let kind = &reader.metadata().database_type;
        let lower = kind.to_ascii_lowercase();
        if !lower.contains("asn") && !lower.contains("isp") {
            return Err(bad(format!(
                "holds no owners of networks (its type is `{kind}`): take an ASN database"
            )));
        }
        Ok(Owners { reader })
    }

    /// Who holds the network of an address, where the file knows it.
    pub fn of(&self, address: IpAddr) -> Option<Owner> {
        let record: Result<Option<Record<'_>>, MaxMindDbError> =
            self.reader.lookup(address).and_then(|found| found.decode());
        let record = record.ok().flatten()?;
        Some(Owner {
            asn: record.autonomous_system_number?,
            // Shown on terminals, and written by whoever registered it.
            name: record
                .autonomous_system_organization
                .map(|name| name.replace(char::is_control, "?")),
        })
    }
}

/// The file in use. It is looked for again with every [`OwnerFile::owners`], so that a newer one is taken up by itself.
#[derive(Debug)]
pub struct OwnerFile {
    database: OwnerDatabase,
    folders: Vec<PathBuf>,
    read: Mutex<Option<Read>>,
}

/// A file that was read, good or bad.
#[derive(Debug)]
struct Read {
    path: PathBuf,
    stamp: Stamp,
    owners: Option<Arc<Owners>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    changed: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp {
            length: metadata.len(),
            changed: metadata.modified().ok(),
        }
    }
}

impl OwnerFile {
    /// The file of the configuration, or at the usual places.
    pub fn new(database: &OwnerDatabase) -> OwnerFile {
        OwnerFile {
            database: database.clone(),
            folders: find::FOLDERS.iter().map(PathBuf::from).collect(),
            read: Mutex::new(None),
        }
    }

    /// The owners, of the file as it is now; none where there is none, or it is damaged, which is said once.
    pub fn owners(&self) -> Option<Arc<Owners>> {
        let path = self.path()?;
        let stamp = Stamp::of(&std::fs::metadata(&path).ok()?);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = read.as_ref().filter(|read| read.path == path && read.stamp == stamp) {
            return read.owners.clone();
        }
        let owners = match Owners::open(&path) {
            Ok(owners) => Some(Arc::new(owners)),
            Err(error) => {
                tracing::warn!("owners of networks are not named: {error}");
                None
            }
        };
        *read = Some(Read {
            path,
            stamp,
            owners: owners.clone(),
        });
        owners
    }

    fn path(&self) -> Option<PathBuf> {
        match &self.database {
            OwnerDatabase::Off => None,
            OwnerDatabase::File(path) => Some(path.clone()),
            OwnerDatabase::Auto => find::databases(&self.folders, &NAMES).into_iter().next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mmdb::fixture::{Value, database, write};
    use super::*;

    fn asn(number: u32, name: &'static str) -> Value {
        let mut fields = vec![("autonomous_system_number", Value::Number(number))];
        if !name.is_empty() {
            fields.push(("autonomous_system_organization", Value::Text(name)));
        }
        Value::Map(fields)
    }

    fn file(number: u32, kind: &'static str) -> Vec<u8> {
        let networks = [
            ("192.0.2.0/24", asn(number, "Example Networks")),
            ("198.51.100.0/24", asn(64_497, "")),
            ("198.18.0.0/24", asn(64_500, "\u{1b}[2J")),
            ("2001:db8::/32", asn(64_498, "Example Six")),
            ("203.0.113.0/24", Value::Map(Vec::new())),
        ];
        database(&networks, &[], 1, kind)
    }

    #[test]
    fn owners_of_both_families_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "GeoLite2-ASN.mmdb", &file(64_496, "GeoLite2-ASN"));
        let owners = Owners::open(&path).unwrap();
        let of = |address: &str| owners.of(address.parse().unwrap()).map(|owner| owner.to_string());
        for (address, owner) in [
            ("192.0.2.7", Some("AS64496 Example Networks")),
            ("198.51.100.1", Some("AS64497")),
            ("198.18.0.1", Some("AS64500 ?[2J")),
            ("2001:db8:7::1", Some("AS64498 Example Six")),
            ("203.0.113.1", None),
            ("10.0.0.1", None),
            ("::1", None),
        ] {
            assert_eq!(of(address), owner.map(str::to_owned), "{address}");
        }
    }

    #[test]
    fn owners_are_not_read_from_another_kind_of_file() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, why) in [
            (
                file(1, "GeoLite2-Country"),
                "(its type is `GeoLite2-Country`): take an ASN database",
            ),
            (Vec::new(), "is no complete MaxMind-format database"),
        ] {
            let path = write(folder.path(), "f.mmdb", &bytes);
            let error = Owners::open(&path).unwrap_err();
            assert!(
                error.starts_with(&path.display().to_string()) && error.contains(why),
                "{error}"
            );
        }
    }

    #[test]
    fn owners_follow_the_file_as_it_comes_changes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let owner_file = OwnerFile {
            folders: vec![folder.path().to_owned()],
            ..OwnerFile::new(&OwnerDatabase::Auto)
        };
        let name = || {
            let owner = owner_file.owners()?.of("192.0.2.7".parse().unwrap())?;
            Some(owner.asn)
        };
        assert_eq!(name(), None);
        let path = write(folder.path(), "dbip-asn-lite-2026-06.mmdb", &file(1, "DBIP-ASN-Lite"));
        assert_eq!((name(), name()), (Some(1), Some(1)));
        let newer = write(folder.path(), "dbip-asn-lite-2026-07.mmdb", &file(2, "DBIP-ASN-Lite"));
        assert_eq!(name(), Some(2));
        write(folder.path(), "dbip-asn-lite-2026-07.mmdb", b"cut off");
        assert_eq!(name(), None);
        std::fs::remove_file(newer).unwrap();
        assert_eq!(name(), Some(1));
        std::fs::remove_file(path).unwrap();
        assert_eq!(name(), None);
        let off = OwnerFile::new(&OwnerDatabase::Off);
        assert!(off.owners().is_none());
    }
}
