//! Country codes of ISO 3166-1.

use std::fmt;
use std::str::FromStr;

/// A country, by its ISO 3166-1 alpha-2 code in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// All officially assigned codes of ISO 3166-1 alpha-2 (249), and XK, which no standard assigns but every database uses
/// for Kosovo.
const CODES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI \
    FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR \
    IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM \
    MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT \
    PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// Words that are often written for a code: former and reserved codes, and languages.
const SLIPS: [(&str, &str); 12] = [
    ("CS", "CZ"),
    ("EL", "GR"),
    ("EN", "GB or US"),
    ("JA", "JP"),
    ("JAP", "JP"),
    ("JAPAN", "JP"),
    ("JPN", "JP"),
    ("KO", "KR"),
    ("SU", "RU"),
    ("UK", "GB"),
    ("USA", "US"),
    ("ZH", "CN"),
];

impl Country {
    /// The code as text, in capitals.
    pub fn as_str(&self) -> &str {
        // Only ASCII letters get in.
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl FromStr for Country {
    type Err = String;

    /// Reads a code in capitals or small letters; the error says what is allowed.
    fn from_str(text: &str) -> Result<Self, String> {
        let code = text.to_ascii_uppercase();
        if let [a, b] = *code.as_bytes()
            && code.bytes().all(|byte| byte.is_ascii_uppercase())
            && CODES.split(' ').any(|known| known == code)
        {
            return Ok(Country([a, b]));
        }
        let meant = match SLIPS.iter().find(|(slip, _)| *slip == code) {
            Some((_, right)) => format!("did you mean {right}?"),
            None => "two letters of ISO 3166-1, as in country:JP or country:JP,TW".to_owned(),
        };
        Err(format!("`{text}` is no country code: {meant}"))
    }
}

impl serde::Serialize for Country {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Country {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_codes_are_the_249_of_iso_3166_and_kosovo() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert_eq!(codes.len(), 250);
        assert!(codes.is_sorted_by(|a, b| a < b), "sorted, none twice");
    }

    #[test]
    fn country_codes_read_and_refused() {
        assert_eq!("jp".parse::<Country>().map(|c| c.to_string()), Ok("JP".to_owned()));
        assert_eq!(
            "UK".parse::<Country>(),
            Err("`UK` is no country code: did you mean GB?".to_owned())
        );
        for code in ["", "J", "JPX", "ZZ", "EU", "日本", "J P"] {
            let expected =
                format!("`{code}` is no country code: two letters of ISO 3166-1, as in country:JP or country:JP,TW");
            assert_eq!(code.parse::<Country>(), Err(expected));
        }
    }
}
