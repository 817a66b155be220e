//! Where prefixes come from: specs to prefixes, with the data's date and fingerprint. Reads files and asks nobody else.
//!
//! **Last good copies.** What was once applied of a `file:` or `country:` source is kept under the state folder. Two ways
//! of resolving differ in what happens when a source fails (file missing or with a bad line, database damaged) or when its
//! new copy covers less than half of what the last good one did ([`guard`]):
//! - [`Sources::resolve`] fails, and says how to accept a wanted shrink. For `check` and `reload`: an admin is there, the
//!   running policy stays, and a silent fall-back would hide the mistake.
//! - [`Sources::resolve_or_last_good`] takes the last good copy, and says so in [`Resolved::warning`]; it fails only when
//!   there is none. For the start of the daemon and for changes that it notices by itself: nobody is there, and a broken
//!   feed must not take the gate down.
//!
//! `cidr:`, `private` and `world` cannot fail and are not kept.

pub mod builtin;
pub mod country;
mod find;
pub mod guard;
pub mod host;
mod last_good;
pub mod list;
pub mod mmdb;
pub mod net;
pub mod owners;
pub mod packed;
pub mod ranges;
pub mod spec;
pub mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::config::Database;
use guard::Size;
use last_good::LastGood;
use ranges::{Coverage, Ranges};
use table::CountryTable;

pub use country::Country;
pub use owners::{Owner, OwnerFile};
pub use spec::Spec;

/// RFC 1918, unique local (RFC 4193), link-local (RFC 3927, RFC 4291).
const PRIVATE: [&str; 6] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];
const WORLD: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// A source's prefixes, and what is known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The source, as written.
    pub spec: Spec,
    /// The fewest prefixes that cover it: IPv4 first, ascending, none inside or beside another that it could join.
    pub prefixes: Vec<IpNet>,
    /// Where the data comes from: a path, `built-in table`, or `configuration`.
    pub origin: String,
    /// The date of the data: a database's build, a file's last change. `None` for what has no age.
    pub date: Option<Timestamp>,
    /// A hash of the covered addresses; the same for the same set, however it was written.
    pub fingerprint: u64,
    /// How many addresses are covered.
    pub coverage: Coverage,
    /// Whether this is the last good copy, because the source itself failed.
    pub last_good: bool,
    /// What the admin should know, ready to be shown.
    pub warning: Option<String>,
}

/// A source that cannot be used. Its display names the file or database, what is wrong, and what to do; it may have
/// several lines, each complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// The source.
    pub spec: Spec,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SourceError {}

/// Resolves specs. The country table is read once, when first asked for: make a new one for each load of the policy.
pub struct Sources {
    database: Database,
    folders: Vec<PathBuf>,
    last_good: LastGood,
    countries: OnceLock<Result<CountryTable, String>>,
}

/// Where country databases are looked for when the configuration names none.
pub fn geoip_folders() -> impl Iterator<Item = &'static str> {
    find::FOLDERS.into_iter()
}

impl Sources {
    /// Sources with the country database of the configuration; `state` is the folder that holds the last good copies.
    pub fn new(database: &Database, state: &Path) -> Sources {
        Sources {
            database: database.clone(),
            folders: find::FOLDERS.iter().map(PathBuf::from).collect(),
            last_good: LastGood::new(state.join("sources")),
            countries: OnceLock::new(),
        }
    }

    /// Resolves a source from its own data, or fails. See the module's head.
    pub fn resolve(&self, spec: &Spec) -> Result<Resolved, SourceError> {
        let failed = |message: String| SourceError {
            spec: spec.clone(),
            message,
        };
        let resolved = self.fresh(spec).map_err(failed)?;
        if is_kept(spec)
            && let Some(copy) = self.last_good.read(spec)
        {
            let path = self.last_good.path(spec);
            guard::check(
                &size_of(&copy.ranges.to_nets(), copy.ranges.coverage()),
                &resolved.size(),
            )
            .map_err(|why| {
                let accept = format!("refused; if that is meant, remove {} and try again", path.display());
                failed(format!("{}: {why}: {accept}", named(spec, &resolved.origin)))
            })?;
        }
        Ok(resolved)
    }

    /// Resolves a source from its own data, or from its last good copy if that fails. See the module's head.
    pub fn resolve_or_last_good(&self, spec: &Spec) -> Result<Resolved, SourceError> {
        self.resolve(spec).or_else(|error| {
            let Some(copy) = is_kept(spec).then(|| self.last_good.read(spec)).flatten() else {
                return Err(error);
            };
            let age = copy.date.map_or(String::new(), |date| {
                format!(" of {}", date.strftime("%Y-%m-%d %H:%M UTC"))
            });
            let mut resolved = resolved(spec, &copy.ranges, copy.origin, copy.date);
            resolved.last_good = true;
            resolved.warning = Some(format!("{error}\n{spec}: its last good copy{age} stays in force"));
            Ok(resolved)
        })
    }

    /// Keeps what has been applied as the last good copies. Does nothing for sources that are not kept, and for those
    /// that have not changed. The error names the file.
    pub fn keep(&self, applied: &[Resolved]) -> Result<(), String> {
        for resolved in applied
            .iter()
            .filter(|resolved| is_kept(&resolved.spec) && !resolved.last_good)
        {
            let same = self.last_good.read(&resolved.spec).is_some_and(|copy| {
                (copy.origin, copy.date, copy.ranges.fingerprint())
                    == (resolved.origin.clone(), resolved.date, resolved.fingerprint)
            });
            if !same {
                self.last_good.write(resolved).map_err(|error| {
                    let path = self.last_good.path(&resolved.spec);
                    format!(
                        "{}: the last good copy of {} cannot be kept: {error}",
                        path.display(),
                        resolved.spec
                    )
                })?;
            }
        }
        Ok(())
    }

    /// The country table in use, with its origin and date.
    pub fn countries(&self) -> Result<&CountryTable, &str> {
        self.countries
            .get_or_init(|| self.find_countries())
            .as_ref()
            .map_err(String::as_str)
    }

    /// The files and folders whose change may change what `specs` resolve to. They need not exist. Files are replaced by
    /// renaming, so a watcher must watch the folder of a file.
    pub fn watched<'s>(&self, specs: impl IntoIterator<Item = &'s Spec>) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        for spec in specs {
            match (spec, &self.database) {
                (Spec::File(path), _) | (Spec::Country(_), Database::File(path)) => {
                    paths.insert(path.clone());
                }
                (Spec::Country(_), Database::Auto) => paths.extend(self.folders.iter().cloned()),
                _ => {}
            }
        }
        paths
    }

    fn find_countries(&self) -> Result<CountryTable, String> {
        match &self.database {
            Database::BuiltIn => builtin::table(),
            Database::File(path) => mmdb::Database::open(path)?.table(),
            Database::Auto => {
                let advice = |error: String| {
                    format!("{error}; or remove it; or name what to use: [geoip] database = \"built-in\", or a path")
                };
                let built_in = builtin::table()?;
                let mut newest: Option<mmdb::Database> = None;
                for path in find::databases(&self.folders, &find::COUNTRIES) {
                    let found = mmdb::Database::open(&path).map_err(advice)?;
                    if newest.as_ref().is_none_or(|newest| found.date() > newest.date()) {
                        newest = Some(found);
                    }
                }
                match newest.filter(|found| found.date() > built_in.date) {
                    Some(found) => found.table().map_err(advice),
                    None => Ok(built_in),
                }
            }
        }
    }

    fn fresh(&self, spec: &Spec) -> Result<Resolved, String> {
        let fixed = |nets: &[&str]| {
            nets.iter()
                .filter_map(|net| net.parse::<IpNet>().ok())
                .collect::<Ranges>()
        };
        let written = |ranges: &Ranges| resolved(spec, ranges, "configuration".to_owned(), None);
        match spec {
            Spec::Private => Ok(written(&fixed(&PRIVATE))),
            Spec::World => Ok(written(&fixed(&WORLD))),
            Spec::Cidr(net) => Ok(written(&Ranges::from_iter([*net]))),
            Spec::File(path) => {
                let bytes = read_file(path, list::MAX_FILE)?;
                let changed = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
                let date = changed.and_then(|time| Timestamp::try_from(time).ok());
                Ok(resolved(
                    spec,
                    &list::parse(path, &bytes)?,
                    path.display().to_string(),
                    date,
                ))
            }
            Spec::Country(codes) => {
                let table = self.countries()?;
                let mut ranges = Ranges::default();
                for code in codes {
                    let of_country = table.countries.get(code).ok_or_else(|| {
                        let date = table.date.strftime("%Y-%m-%d");
                        format!(
                            "{spec}: {} ({date}) has no networks of {code}: leave it out",
                            table.origin
                        )
                    })?;
                    ranges.add_all(of_country);
                }
                ranges.normalise();
                let mut resolved = resolved(spec, &ranges, table.origin.clone(), Some(table.date));
                resolved.warning = table.missing_family().map(|family| {
                    format!(
                        "{spec}: {} holds no {family} networks at all: {family} clients are in no country",
                        table.origin
                    )
                });
                Ok(resolved)
            }
        }
    }
}

impl Resolved {
    /// Prefixes of each family, and what they cover.
    pub fn size(&self) -> Size {
        size_of(&self.prefixes, self.coverage)
    }
}

fn size_of(prefixes: &[IpNet], coverage: Coverage) -> Size {
    // IPv4 comes first.
    let v4_prefixes = prefixes.partition_point(|net| matches!(net, IpNet::V4(_)));
    Size {
        v4_prefixes,
        v6_prefixes: prefixes.len() - v4_prefixes,
        coverage,
    }
}

fn resolved(spec: &Spec, ranges: &Ranges, origin: String, date: Option<Timestamp>) -> Resolved {
    Resolved {
        spec: spec.clone(),
        prefixes: ranges.to_nets(),
        origin,
        date,
        fingerprint: ranges.fingerprint(),
        coverage: ranges.coverage(),
        last_good: false,
        warning: None,
    }
}

/// How a source's data is called in an error.
fn named(spec: &Spec, origin: &str) -> String {
    if let Spec::File(_) = spec {
        origin.to_owned()
    } else {
        format!("{spec} in {origin}")
    }
}

/// Whether last good copies are kept of a source: whether it is read from somewhere that can break.
fn is_kept(spec: &Spec) -> bool {
    matches!(spec, Spec::File(_) | Spec::Country(_))
}

/// Reads a regular file of at most `limit` bytes. The error names the file, the reason, and what to do.
fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let bad = |why: String| format!("{}: {why}", path.display());
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => bad("there is no such file".to_owned()),
        _ => bad(format!("cannot be read: {error}")),
    };
    // Asked before it is opened: opening a FIFO would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(bad("is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(bad(format!(
            "is larger than {} MiB, which is the most that is read",
            limit >> 20
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
