//! Sources over real files: what resolves, what fails, and what the last good copies do.

use super::mmdb::fixture::{database, flat, write};
use super::*;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Place {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sources that look for databases in `geoip/` only.
    fn sources(&self, database: Database) -> Sources {
        let mut sources = Sources::new(&database, &self.path("state"));
        sources.folders = vec![self.path("geoip")];
        sources
    }

    fn database(&self, name: &str, epoch: u32, country: &'static str) -> PathBuf {
        std::fs::create_dir_all(self.path("geoip")).unwrap();
        let networks = [("192.0.2.0/24", flat(country)), ("2001:db8::/32", flat(country))];
        write(&self.path("geoip"), name, &database(&networks, &[], epoch, "Country"))
    }

    fn list(&self, text: &str) -> Spec {
        std::fs::write(self.path("l.txt"), text).unwrap();
        Spec::File(self.path("l.txt"))
    }

    fn shown(&self, text: impl ToString) -> String {
        text.to_string()
            .replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn spec(text: &str) -> Spec {
    text.parse().unwrap()
}

fn nets(resolved: &Resolved) -> Vec<String> {
    resolved.prefixes.iter().map(ToString::to_string).collect()
}

/// Lines 192.0.2.0, 192.0.2.2, … : `count` prefixes that do not join.
fn hosts(count: usize) -> String {
    (0..count)
        .map(|index| format!("10.0.{}.{}\n", index / 128, index % 128 * 2))
        .collect()
}

/// Seconds after everything that the built-in table holds: 2100-01-01.
const LATER: u32 = 4_102_444_800;

#[test]
fn sources_that_need_no_file() {
    let place = Place::new();
    let sources = place.sources(Database::Auto);
    let resolve = |text: &str| sources.resolve(&spec(text)).unwrap();
    let private = [
        "10.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
    ];
    assert_eq!(nets(&resolve("private")), private);
    assert_eq!(nets(&resolve("world")), ["0.0.0.0/0", "::/0"]);
    let cidr = resolve("192.0.2.0/24");
    assert_eq!(nets(&cidr), ["192.0.2.0/24"]);
    assert_eq!(
        (cidr.origin.as_str(), cidr.date, cidr.coverage.v4),
        ("configuration", None, 256)
    );
}

#[test]
fn sources_file_has_its_path_as_origin_and_its_change_as_date() {
    let place = Place::new();
    let list = place.list("192.0.2.0/25\n192.0.2.128-192.0.2.255 # joined\n");
    let resolved = place.sources(Database::Auto).resolve(&list).unwrap();
    assert_eq!(nets(&resolved), ["192.0.2.0/24"]);
    assert_eq!(resolved.origin, place.path("l.txt").display().to_string());
    let modified = std::fs::metadata(place.path("l.txt")).unwrap().modified().unwrap();
    assert_eq!(resolved.date, Some(Timestamp::try_from(modified).unwrap()));
    assert_eq!((resolved.last_good, resolved.warning), (false, None));
}

#[test]
fn sources_country_comes_from_the_newer_of_file_and_built_in_table() {
    let place = Place::new();
    let origin = |database: Database| place.shown(place.sources(database).resolve(&spec("country:JP")).unwrap().origin);
    assert_eq!(origin(Database::Auto), builtin::ORIGIN);
    let old = place.database("GeoLite2-Country.mmdb", 1, "JP");
    assert_eq!(origin(Database::Auto), builtin::ORIGIN, "the file is of 1970");
    assert_eq!(
        origin(Database::File(old)),
        "geoip/GeoLite2-Country.mmdb",
        "a named one always wins"
    );
    place.database("dbip-country-lite-2100-01.mmdb", LATER, "JP");
    assert_eq!(origin(Database::Auto), "geoip/dbip-country-lite-2100-01.mmdb");
    place.database("dbip-country-lite-2100-02.mmdb", LATER + 1, "JP");
    assert_eq!(origin(Database::Auto), "geoip/dbip-country-lite-2100-02.mmdb");
    assert_eq!(origin(Database::BuiltIn), builtin::ORIGIN);
}

#[test]
fn sources_country_of_several_is_joined_and_dated() {
    let place = Place::new();
    let path = place.database("GeoLite2-Country.mmdb", 86_400, "JP");
    let sources = place.sources(Database::File(path));
    let resolved = sources.resolve(&spec("country:JP")).unwrap();
    assert_eq!(nets(&resolved), ["192.0.2.0/24", "2001:db8::/32"]);
    assert_eq!(resolved.date.unwrap().to_string(), "1970-01-02T00:00:00Z");
    let error = sources.resolve(&spec("country:JP,TW")).unwrap_err();
    let expected = "country:JP,TW: geoip/GeoLite2-Country.mmdb (1970-01-02) has no networks of TW: leave it out";
    assert_eq!(place.shown(error), expected);
    let both = place
        .sources(Database::BuiltIn)
        .resolve(&spec("country:JP,TW"))
        .unwrap();
    let alone = place.sources(Database::BuiltIn).resolve(&spec("country:JP")).unwrap();
    assert!(both.coverage.v4 > alone.coverage.v4 && both.coverage.v6 > alone.coverage.v6);
}

#[test]
fn sources_country_of_one_family_only_is_warned_about() {
    let place = Place::new();
    let bytes = database(&[("192.0.2.0/24", flat("JP"))], &[], 1, "Country");
    let path = write(place.folder.path(), "v4.mmdb", &bytes);
    let resolved = place
        .sources(Database::File(path))
        .resolve(&spec("country:JP"))
        .unwrap();
    assert_eq!(
        resolved.warning.map(|warning| place.shown(warning)).as_deref(),
        Some("country:JP: v4.mmdb holds no IPv6 networks at all: IPv6 clients are in no country")
    );
}

#[test]
fn sources_broken_database_that_was_found_says_what_to_do() {
    let place = Place::new();
    place.database("GeoLite2-Country.mmdb", 1, "JP");
    std::fs::write(place.path("geoip/GeoLite2-Country.mmdb"), "").unwrap();
    let error = place.sources(Database::Auto).resolve(&spec("country:JP")).unwrap_err();
    let expected = "geoip/GeoLite2-Country.mmdb: is empty: fetch the database again; or remove it; or name what to use: \
        [geoip] database = \"built-in\", or a path";
    assert_eq!(place.shown(error), expected);
}

#[test]
fn sources_failure_without_a_last_good_copy_is_an_error_in_both_ways() {
    let place = Place::new();
    let sources = place.sources(Database::Auto);
    let missing = Spec::File(place.path("missing.txt"));
    let bad = place.list("192.0.2.0/24\nlocalhost\n");
    for (spec, expected) in [
        (&missing, "missing.txt: there is no such file"),
        (
            &bad,
            "l.txt:2: `localhost` is no address or network, as 192.0.2.0/24 or 2001:db8::7",
        ),
    ] {
        assert_eq!(place.shown(sources.resolve(spec).unwrap_err()), expected);
        assert_eq!(place.shown(sources.resolve_or_last_good(spec).unwrap_err()), expected);
    }
}

#[test]
fn sources_last_good_copy_stays_in_force_when_the_file_breaks() {
    let place = Place::new();
    let sources = place.sources(Database::Auto);
    let list = place.list("192.0.2.0/24\n2001:db8::/32\n");
    let good = sources.resolve(&list).unwrap();
    sources.keep(std::slice::from_ref(&good)).unwrap();

    place.list("192.0.2.0/24\nbad\n");
    let error = "l.txt:2: `bad` is no address or network, as 192.0.2.0/24 or 2001:db8::7";
    assert_eq!(
        place.shown(sources.resolve(&list).unwrap_err()),
        error,
        "an admin sees the mistake"
    );
    let fallen_back = sources.resolve_or_last_good(&list).unwrap();
    let date = good.date.unwrap().strftime("%Y-%m-%d %H:%M UTC").to_string();
    let warning = format!("{error}\nfile:l.txt: its last good copy of {date} stays in force");
    assert_eq!(
        fallen_back.warning.clone().map(|warning| place.shown(warning)),
        Some(warning)
    );
    assert_eq!(
        Resolved {
            last_good: true,
            warning: fallen_back.warning.clone(),
            ..good.clone()
        },
        fallen_back
    );

    // A fall-back is not a new good copy, and once the file is mended it counts again.
    sources.keep(&[fallen_back]).unwrap();
    place.list("203.0.113.0/24\n198.51.100.0/24\n");
    let mended = sources.resolve_or_last_good(&list).unwrap();
    assert_eq!((nets(&mended).len(), mended.last_good), (2, false));
}

#[test]
fn sources_copy_that_shrinks_is_refused_until_the_last_good_one_is_removed() {
    let place = Place::new();
    let sources = place.sources(Database::Auto);
    let list = place.list(&hosts(200));
    sources.keep(&[sources.resolve(&list).unwrap()]).unwrap();
    place.list(&hosts(99));
    let error = place.shown(sources.resolve(&list).unwrap_err());
    let copy = error
        .split("remove ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap()
        .to_owned();
    let expected = format!(
        "l.txt: it shrank from 200 to 99 IPv4 addresses, less than half: refused; if that is meant, remove {copy} and try again"
    );
    assert_eq!(error, expected);
    assert_eq!(sources.resolve_or_last_good(&list).unwrap().coverage.v4, 200);
    std::fs::remove_file(place.path(&copy)).unwrap();
    assert_eq!(sources.resolve(&list).unwrap().coverage.v4, 99);
}

#[test]
fn sources_damaged_last_good_copy_is_as_good_as_none() {
    let place = Place::new();
    let sources = place.sources(Database::Auto);
    let list = place.list("192.0.2.0/24\n198.51.100.0/24\n");
    sources.keep(&[sources.resolve(&list).unwrap()]).unwrap();
    let copy = std::fs::read_dir(place.path("state/sources"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&copy).unwrap();
    std::fs::write(&copy, &text[..text.len() / 2]).unwrap();
    std::fs::remove_file(place.path("l.txt")).unwrap();
    let error = sources.resolve_or_last_good(&list).unwrap_err();
    assert_eq!(place.shown(error), "l.txt: there is no such file");
}

#[test]
fn sources_keep_one_copy_for_each_file_and_country_and_rewrite_none_that_is_the_same() {
    let place = Place::new();
    let sources = place.sources(Database::BuiltIn);
    let list = place.list("192.0.2.0/24\n");
    let specs = [
        list,
        spec("country:JP"),
        spec("country:JP,TW"),
        spec("private"),
        spec("192.0.2.0/24"),
    ];
    let resolved: Vec<Resolved> = specs.iter().map(|spec| sources.resolve(spec).unwrap()).collect();
    sources.keep(&resolved).unwrap();
    let written = || -> std::collections::BTreeMap<PathBuf, std::time::SystemTime> {
        let files = std::fs::read_dir(place.path("state/sources"))
            .unwrap()
            .map(|entry| entry.unwrap());
        files
            .map(|file| (file.path(), file.metadata().unwrap().modified().unwrap()))
            .collect()
    };
    let before = written();
    assert_eq!(before.len(), 3, "{before:?}");
    sources.keep(&resolved).unwrap();
    assert_eq!(written(), before);
}

#[test]
fn sources_state_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    std::fs::write(place.path("state"), "a file where the folder belongs").unwrap();
    let sources = place.sources(Database::Auto);
    let list = place.list("192.0.2.0/24\n");
    let error = place.shown(sources.keep(&[sources.resolve(&list).unwrap()]).unwrap_err());
    assert!(
        error.starts_with("state/sources/file-") && error.contains("l.txt cannot be kept: "),
        "{error}"
    );
}

#[test]
fn sources_watched_are_the_files_and_folders_that_matter() {
    let place = Place::new();
    let list = place.list("");
    let watched = |database: Database, specs: &[Spec]| -> Vec<String> {
        place
            .sources(database)
            .watched(specs)
            .iter()
            .map(|path| place.shown(path.display()))
            .collect()
    };
    let specs = [list, spec("country:JP"), spec("private")];
    assert_eq!(watched(Database::Auto, &specs), ["geoip", "l.txt"]);
    assert_eq!(watched(Database::BuiltIn, &specs), ["l.txt"]);
    assert_eq!(
        watched(Database::File(place.path("x.mmdb")), &specs),
        ["l.txt", "x.mmdb"]
    );
    assert_eq!(watched(Database::Auto, &specs[2..]), [""; 0]);
}
