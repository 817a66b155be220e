//! MaxMind-format databases at the places where geoipupdate and distributions put them.

use std::path::{Path, PathBuf};

/// Where they are looked for: Debian's geoipupdate and RHEL's, upstream's default, Arch, FreeBSD, Homebrew.
pub(crate) const FOLDERS: [&str; 6] = [
    "/var/lib/GeoIP",
    "/usr/share/GeoIP",
    "/usr/local/share/GeoIP",
    "/var/lib/geoip",
    "/usr/local/var/GeoIP",
    "/opt/GeoIP",
];

/// What the names of country databases begin with, small letters, best first. What follows may be a month
/// (`dbip-country-lite-2026-06.mmdb`).
pub(super) const COUNTRIES: [&str; 8] = [
    "geoip2-country",
    "geolite2-country",
    "geoip2-enterprise",
    "geoip2-city",
    "geolite2-city",
    "dbip-country",
    "dbip-city",
    "geo-whois-asn-country",
];

/// The databases below `folders` whose names begin with one of `names`, best first. A folder that is missing or cannot be read holds none.
pub(super) fn databases(folders: &[PathBuf], names: &[&str]) -> Vec<PathBuf> {
    let mut found: Vec<(usize, usize, PathBuf)> = Vec::new();
    for (place, folder) in folders.iter().enumerate() {
        for path in std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            if let Some(rank) = rank(&path, names) {
                found.push((rank, place, path));
            }
        }
    }
    // One kind may lie there for many months: the last by name is the newest.
    found
        .sort_by(|(rank_a, place_a, a), (rank_b, place_b, b)| (rank_a, place_a).cmp(&(rank_b, place_b)).then(b.cmp(a)));
    found.into_iter().map(|(_, _, path)| path).collect()
}

fn rank(path: &Path, names: &[&str]) -> Option<usize> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let stem = name.strip_suffix(".mmdb")?;
    // The single-family files of ip-location-db would shut out the other family.
    let whole = !stem.ends_with("-ipv4") && !stem.ends_with("-ipv6");
    names.iter().position(|known| whole && stem.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_orders_databases_by_kind_then_place_then_newest_name() {
        let root = tempfile::tempdir().unwrap();
        let folders: Vec<PathBuf> = ["a", "missing", "b"]
            .iter()
            .map(|name| root.path().join(name))
            .collect();
        for file in [
            "a/GeoLite2-ASN.mmdb",
            "a/GeoLite2-City.mmdb",
            "a/dbip-country-lite-2026-05.mmdb",
            "a/dbip-country-lite-2026-06.mmdb",
            "a/GeoLite2-Country.mmdb.gz",
            "a/geo-whois-asn-country-ipv4.mmdb",
            "b/GeoLite2-Country.mmdb",
            "b/GeoLite2-City.mmdb",
        ] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = databases(&folders, &COUNTRIES);
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(root.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "b/GeoLite2-Country.mmdb",
                "a/GeoLite2-City.mmdb",
                "b/GeoLite2-City.mmdb",
                "a/dbip-country-lite-2026-06.mmdb",
                "a/dbip-country-lite-2026-05.mmdb",
            ]
        );
    }
}
