//! Specs: how a source is written in the configuration and on the command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;

use super::country::Country;
use super::net;
use crate::nearest::nearest;

/// A source of prefixes, as written. `Display` gives the one canonical way to write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spec {
    /// `country:JP` or `country:JP,TW`: all networks of these countries. Sorted, none twice, never empty.
    Country(Vec<Country>),
    /// `cidr:192.0.2.0/24`, `192.0.2.0/24` or `192.0.2.7`: one network or address. No host bits set.
    Cidr(IpNet),
    /// `file:PATH`: a list of networks, grammar in [`super::list`].
    File(PathBuf),
    /// `private`: RFC 1918, unique local (RFC 4193) and link-local (RFC 3927, RFC 4291) addresses.
    Private,
    /// `world`: every address.
    World,
}

/// Why a text is no spec. Its display says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSpec(String);

impl fmt::Display for BadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSpec {}

/// The kinds that there are, in the order in which help shows them.
const KINDS: [&str; 5] = ["country", "cidr", "file", "private", "world"];
/// The kinds that are to come: known words, so that they are not taken for slips.
const PLANNED: [&str; 5] = ["asn", "spf", "mx", "host", "url"];

const ALLOWED: &str = "a source is country:JP, cidr:192.0.2.0/24, file:PATH, private or world";

impl Spec {
    /// The same spec with a relative path of `file:` taken from `folder`.
    pub fn relative_to(self, folder: &Path) -> Spec {
        match self {
            Spec::File(path) => Spec::File(folder.join(path)),
            other => other,
        }
    }
}

impl FromStr for Spec {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Self, BadSpec> {
        let text = text.trim();
        let bad = |why: String| Err(BadSpec(why));
        let (kind, rest) = match text.split_once(':') {
            // An IPv6 address has colons too; no kind reads as hexadecimal digits alone, or is empty.
            Some((kind, _)) if kind.bytes().all(|byte| byte.is_ascii_hexdigit()) => ("", text),
            Some((kind, rest)) => (kind, rest.trim()),
            None => ("", text),
        };
        match (kind.to_ascii_lowercase().as_str(), rest) {
            ("", "") => bad(format!("a source is empty: {ALLOWED}")),
            ("", word) => match word.to_ascii_lowercase().as_str() {
                "private" => Ok(Spec::Private),
                "world" => Ok(Spec::World),
                lower if KINDS.contains(&lower) => bad(format!("`{word}` lacks its value: {ALLOWED}")),
                lower if PLANNED.contains(&lower) => bad(not_yet(word)),
                _ if word.starts_with(['/', '.']) && word.contains('/') => {
                    bad(format!("a list in a file is written file:{word}"))
                }
                _ if word.parse::<Country>().is_ok() => bad(format!("a country is written country:{word}")),
                lower if looks_numeric(lower) => net::parse(word).map(Spec::Cidr).map_err(|e| BadSpec(e.to_string())),
                _ => bad(unknown(word)),
            },
            ("country", codes) => {
                let codes: Result<Vec<Country>, String> = codes.split(',').map(|code| code.trim().parse()).collect();
                let mut codes = codes.map_err(BadSpec)?;
                codes.sort_unstable();
                codes.dedup();
                Ok(Spec::Country(codes))
            }
            ("cidr", net) => net::parse(net)
                .map(Spec::Cidr)
                .map_err(|error| BadSpec(error.to_string())),
            ("file", "") => bad(format!("`{text}` lacks its path, as in file:/etc/smtpgate/allow.txt")),
            ("file", path) => Ok(Spec::File(path.into())),
            (kind @ ("private" | "world"), _) => bad(format!("`{kind}` takes no value: write just {kind}")),
            (lower, _) if PLANNED.contains(&lower) => bad(not_yet(kind)),
            _ => bad(unknown(kind)),
        }
    }
}

/// Whether a word is meant as an address rather than as a kind: only such words get an address's error.
fn looks_numeric(word: &str) -> bool {
    word.contains([':', '.', '/']) || word.starts_with(|c: char| c.is_ascii_digit())
}

fn not_yet(kind: &str) -> String {
    format!("`{kind}` is not supported yet: {ALLOWED}")
}

fn unknown(kind: &str) -> String {
    match nearest(kind, KINDS) {
        Some(known) => format!("`{kind}` is no kind of source: did you mean `{known}`?"),
        None => format!("`{kind}` is no kind of source: {ALLOWED}"),
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::Country(codes) => {
                let codes: Vec<&str> = codes.iter().map(Country::as_str).collect();
                write!(f, "country:{}", codes.join(","))
            }
            Spec::Cidr(net) => write!(f, "cidr:{net}"),
            Spec::File(path) => write!(f, "file:{}", path.display()),
            Spec::Private => f.write_str("private"),
            Spec::World => f.write_str("world"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Spec;

    #[test]
    fn specs_are_read_and_shown_in_one_way() {
        for (text, shown) in [
            ("country:JP", "country:JP"),
            ("country:jp", "country:JP"),
            ("Country: tw, jp,JP", "country:JP,TW"),
            ("cidr:192.0.2.0/24", "cidr:192.0.2.0/24"),
            ("192.0.2.0/24", "cidr:192.0.2.0/24"),
            ("192.0.2.7", "cidr:192.0.2.7/32"),
            ("2001:db8::/32", "cidr:2001:db8::/32"),
            ("fd00::1", "cidr:fd00::1/128"),
            ("::1", "cidr:::1/128"),
            ("cidr:::1", "cidr:::1/128"),
            ("file:/etc/smtpgate/allow.txt", "file:/etc/smtpgate/allow.txt"),
            ("file:a:b", "file:a:b"),
            ("private", "private"),
            (" World ", "world"),
        ] {
            let spec: Result<Spec, _> = text.parse();
            assert_eq!(spec.as_ref().map(ToString::to_string), Ok(shown.to_owned()), "{text}");
            assert_eq!(spec, shown.parse(), "{text} shown and read again");
        }
    }

    #[test]
    fn specs_that_are_refused_say_what_is_allowed() {
        let allowed = "a source is country:JP, cidr:192.0.2.0/24, file:PATH, private or world";
        for (text, expected) in [
            (
                "contry:JP",
                "`contry` is no kind of source: did you mean `country`?".to_owned(),
            ),
            (
                "privat",
                "`privat` is no kind of source: did you mean `private`?".to_owned(),
            ),
            ("geoip:JP", format!("`geoip` is no kind of source: {allowed}")),
            ("asn:2907", format!("`asn` is not supported yet: {allowed}")),
            ("spf:example.com", format!("`spf` is not supported yet: {allowed}")),
            ("country", format!("`country` lacks its value: {allowed}")),
            (
                "country:",
                "`` is no country code: two letters of ISO 3166-1, as in country:JP or country:JP,TW".to_owned(),
            ),
            ("country:UK", "`UK` is no country code: did you mean GB?".to_owned()),
            ("JP", "a country is written country:JP".to_owned()),
            (
                "/etc/allow.txt",
                "a list in a file is written file:/etc/allow.txt".to_owned(),
            ),
            (
                "file:",
                "`file:` lacks its path, as in file:/etc/smtpgate/allow.txt".to_owned(),
            ),
            ("world:all", "`world` takes no value: write just world".to_owned()),
            (
                "192.0.2.300",
                "`192.0.2.300` is no address or network, as 192.0.2.0/24 or 2001:db8::7".to_owned(),
            ),
            ("", format!("a source is empty: {allowed}")),
        ] {
            assert_eq!(text.parse::<Spec>().map_err(|e| e.to_string()), Err(expected), "{text}");
        }
    }
}
