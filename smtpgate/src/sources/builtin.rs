//! The world table that is built in, so that a first run needs no download. Made by `cargo xtask geo`.

use super::packed;
use super::table::CountryTable;

/// Where an answer of this table comes from.
pub const ORIGIN: &str = "built-in table";

/// Whose data it is, as its licence asks to be said. More in `NOTICE`.
pub const ATTRIBUTION: &str = "country data: statistics of the regional Internet registries by the Number Resource \
    Organization (nro.net), CC BY 4.0, put together by ip-location-db, changed: see NOTICE";

static PACKED: &[u8] = include_bytes!("../../data/countries.bin.zst");

/// Unpacks the table (some milliseconds). It can fail only when the binary itself is damaged.
pub fn table() -> Result<CountryTable, String> {
    packed::unpack(PACKED, ORIGIN)
        .map_err(|error| format!("the built-in table is damaged: {error}; install smtpgate again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_table_knows_the_world() {
        let table = table().unwrap();
        assert!(table.countries.len() > 200, "{} countries", table.countries.len());
        for (address, country) in [
            // Anchors that have not moved in decades: WIDE, IIJ and NTT; APNIC's own; RIPE NCC; ARIN's legacy holders.
            ("203.178.128.1", "JP"),
            ("202.232.2.1", "JP"),
            ("2001:200::1", "JP"),
            ("2001:240::1", "JP"),
            ("193.0.0.1", "NL"),
            ("2001:67c:2e8::1", "NL"),
            ("18.0.0.1", "US"),
        ] {
            let found = table.country_of(address.parse().unwrap());
            assert_eq!(found.map(|c| c.to_string()).as_deref(), Some(country), "{address}");
        }
        assert_eq!(table.country_of("192.168.0.1".parse().unwrap()), None);
    }
}
