use super::fixture::{Value, database, flat, geoip2, write};
use super::*;

/// The countries of a database, as `CODE: prefixes`; or the error, without the folder.
fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "f.mmdb", bytes);
    let table = Database::open(&path).and_then(|database| database.table());
    let table = table.map_err(|error| error.replace(&format!("{}/", folder.path().display()), ""))?;
    let nets = |ranges: &Ranges| {
        ranges
            .to_nets()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    Ok(table
        .countries
        .iter()
        .map(|(country, ranges)| format!("{country}: {}", nets(ranges)))
        .collect())
}

#[test]
fn mmdb_country_layout_is_read() {
    let bytes = database(
        &[
            ("192.0.2.0/25", geoip2("JP", "US")),
            ("192.0.2.128/25", geoip2("JP", "JP")),
            ("198.51.100.0/24", geoip2("TW", "JP")),
            ("203.0.113.0/24", geoip2("", "JP")),
            ("2001:db8::/32", geoip2("JP", "JP")),
        ],
        &[],
        1,
        "GeoLite2-Country",
    );
    assert_eq!(
        read(&bytes).unwrap(),
        ["JP: 192.0.2.0/24 203.0.113.0/24 2001:db8::/32", "TW: 198.51.100.0/24"]
    );
}

#[test]
fn mmdb_flat_layout_is_read() {
    let bytes = database(
        &[("192.0.2.0/24", flat("JP")), ("2001:db8::/32", flat("KR"))],
        &[],
        1,
        "ipv4-country",
    );
    assert_eq!(read(&bytes).unwrap(), ["JP: 192.0.2.0/24", "KR: 2001:db8::/32"]);
}

#[test]
fn mmdb_copies_of_the_ipv4_tree_give_no_ipv6() {
    let networks = [("192.0.2.0/24", flat("JP")), ("2001:db8::/32", flat("JP"))];
    let bytes = database(&networks, &["::ffff:0:0/96", "2001::/32", "2002::/16"], 1, "Country");
    assert_eq!(read(&bytes).unwrap(), ["JP: 192.0.2.0/24 2001:db8::/32"]);
    // The same without pointers, as other writers make them; and what is nobody's.
    let networks = [
        ("192.0.2.0/24", flat("JP")),
        ("10.0.0.0/7", flat("JP")),
        ("::ffff:c000:200/120", flat("JP")),
        ("64:ff9b::c000:200/120", flat("JP")),
        ("2001:0:c000:200::/56", flat("JP")),
        ("2002:c000:200::/40", flat("JP")),
        ("fc00::/7", flat("JP")),
    ];
    assert_eq!(
        read(&database(&networks, &[], 1, "Country")).unwrap(),
        ["JP: 11.0.0.0/8 192.0.2.0/24"]
    );
}

#[test]
fn mmdb_codes_that_are_no_country_are_left_out() {
    let networks = [
        ("192.0.2.0/24", flat("JP")),
        ("198.51.100.0/24", flat("EU")),
        ("203.0.113.0/24", flat("")),
    ];
    assert_eq!(
        read(&database(&networks, &[], 1, "Country")).unwrap(),
        ["JP: 192.0.2.0/24"]
    );
}

#[test]
fn mmdb_that_cannot_be_used_is_named_with_the_reason() {
    let good = database(&[("192.0.2.0/24", flat("JP"))], &[], 1, "Country");
    let asn = vec![("autonomous_system_number", Value::Number(64_496))];
    let odd = vec![("country", Value::Number(392))];
    // The only data pointer (the last record but one of a chain) turned to beyond the end.
    let marker = good
        .windows(14)
        .position(|window| window == b"\xab\xcd\xefMaxMind.com")
        .unwrap();
    let mut damaged = good.clone();
    let record = (0..marker / 3)
        .map(|index| index * 3)
        .rfind(|at| damaged[*at + 2] >= 120 + 16)
        .unwrap();
    damaged[record] = 0xff;
    for (case, bytes, expected) in [
        ("empty", vec![], "f.mmdb: is empty: fetch the database again"),
        (
            "truncated",
            good[..good.len() / 2].to_vec(),
            "f.mmdb: is no complete MaxMind-format database: invalid database: could not find MaxMind DB metadata in file; fetch it again",
        ),
        (
            "another kind of file",
            b"# not a database\n".to_vec(),
            "f.mmdb: is no complete MaxMind-format database: invalid database: could not find MaxMind DB metadata in file; fetch it again",
        ),
        (
            "networks, but no countries",
            database(&[("192.0.2.0/24", Value::Map(asn))], &[], 1, "GeoLite2-ASN"),
            "f.mmdb: holds no countries (its type is `GeoLite2-ASN`): take a country or city database",
        ),
        (
            "a country of another kind",
            database(&[("192.0.2.0/24", Value::Map(odd))], &[], 1, "Odd"),
            "f.mmdb: holds no countries (its type is `Odd`): take a country or city database",
        ),
        (
            "codes of another kind",
            database(&[("192.0.2.0/24", flat("JPN"))], &[], 1, "Odd"),
            "f.mmdb: holds no countries (its type is `Odd`; its codes are such as `JPN`): take a country or city database",
        ),
    ] {
        assert_eq!(read(&bytes), Err(expected.to_owned()), "{case}");
    }
    let error = read(&damaged).unwrap_err();
    assert!(
        error.starts_with("f.mmdb: is damaged: ") && error.ends_with("; fetch it again"),
        "{error}"
    );
}

#[test]
fn mmdb_file_that_is_missing_or_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| Database::open(path).err().unwrap();
    assert_eq!(
        error(Path::new("/nonexistent/f.mmdb")),
        "/nonexistent/f.mmdb: there is no such file"
    );
    assert_eq!(
        error(folder.path()),
        format!("{}: is not a regular file", folder.path().display())
    );
}

#[test]
fn mmdb_cut_off_or_changed_anywhere_does_no_harm() {
    let good = database(
        &[("192.0.2.0/24", geoip2("JP", "JP")), ("2001:db8::/32", flat("KR"))],
        &[],
        1,
        "Country",
    );
    for index in (0..good.len()).step_by(7) {
        let _ = read(&good[..index]);
        let mut changed = good.clone();
        changed[index] ^= 0xff;
        let _ = read(&changed);
    }
}
