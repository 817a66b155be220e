//! The packed form of a world table, in which it is built in: half a megabyte for half a million ranges.
//!
//! One zstd frame with its checksum. In it, numbers big-endian:
//! `MAGIC` · date (Unix seconds, i64) · number of countries (u16) and their codes (2 bytes each) · IPv4 · IPv6.
//! A family is the number of its ranges (u32), ascending and disjoint, then column by column, because like compresses
//! with like: country number (u8), gap exponents (u8), length exponents (u8), gap mantissas, length mantissas. A gap is
//! the count of addresses since the end of the range before, a length the count of addresses; both are
//! `mantissa << exponent`, the mantissa as a LEB128 varint.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::country::Country;
use super::ranges::Ranges;
use super::table::CountryTable;

/// Names the format and its version.
const MAGIC: &[u8] = b"smtpgate countries 1\n";
/// No table unpacks to more: a guard against a damaged length. Ours has 4 MiB.
const MAX_UNPACKED: usize = 64 << 20;

/// First and last address of a range, and the number of its country.
type Run = (u128, u128, u8);

/// Packs a table; its origin is not kept. Fails only when it has more than 256 countries, or no room for zstd.
pub fn pack(table: &CountryTable) -> Result<Vec<u8>, String> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(table.date.as_second().to_be_bytes());
    let count = u16::try_from(table.countries.len()).map_err(|_| "too many countries".to_owned())?;
    bytes.extend(count.to_be_bytes());
    let (mut v4, mut v6): (Vec<Run>, Vec<Run>) = Default::default();
    for (index, (country, ranges)) in table.countries.iter().enumerate() {
        bytes.extend(country.as_str().as_bytes());
        let index = u8::try_from(index).map_err(|_| "more than 256 countries".to_owned())?;
        v4.extend(
            ranges
                .v4()
                .iter()
                .map(|(low, high)| (u128::from(*low), u128::from(*high), index)),
        );
        v6.extend(ranges.v6().iter().map(|(low, high)| (*low, *high, index)));
    }
    pack_family(&mut bytes, v4)?;
    pack_family(&mut bytes, v6)?;

    let zstd = |error: std::io::Error| format!("zstd: {error}");
    let mut compressor = zstd::bulk::Compressor::new(19).map_err(zstd)?;
    compressor.include_checksum(true).map_err(zstd)?;
    compressor.compress(&bytes).map_err(zstd)
}

fn pack_family(bytes: &mut Vec<u8>, mut runs: Vec<Run>) -> Result<(), String> {
    runs.sort_unstable();
    bytes.extend(
        u32::try_from(runs.len())
            .map_err(|_| "too many ranges".to_owned())?
            .to_be_bytes(),
    );
    let (mut countries, mut exponents, mut mantissas): (Vec<u8>, [Vec<u8>; 2], [Vec<u8>; 2]) = Default::default();
    let mut next = 0;
    for (low, high, country) in runs {
        let gap = low.checked_sub(next).ok_or("two countries overlap")?;
        next = high
            .checked_add(1)
            .ok_or("a range reaches the end of the address space")?;
        countries.push(country);
        for (column, number) in [gap, next - low].into_iter().enumerate() {
            let exponent = if number == 0 { 0 } else { number.trailing_zeros() };
            exponents[column].push(u8::try_from(exponent).unwrap_or(0));
            push_varint(&mut mantissas[column], number >> exponent);
        }
    }
    bytes.extend(countries);
    bytes.extend(exponents.concat());
    bytes.extend(mantissas.concat());
    Ok(())
}

fn push_varint(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

/// Unpacks a table. The error says what is damaged.
pub fn unpack(packed: &[u8], origin: &str) -> Result<CountryTable, String> {
    let bytes = zstd::bulk::decompress(packed, MAX_UNPACKED).map_err(|error| format!("zstd: {error}"))?;
    let mut rest = Rest(&bytes);
    if rest.take(MAGIC.len())? != MAGIC {
        return Err("another format or version".to_owned());
    }
    let date = i64::from_be_bytes(rest.array()?);
    let date = Timestamp::from_second(date).map_err(|error| error.to_string())?;
    let count = u16::from_be_bytes(rest.array()?);
    let mut countries: Vec<(Country, Ranges)> = Vec::with_capacity(count.into());
    for _ in 0..count {
        let code = std::str::from_utf8(rest.take(2)?).map_err(|error| error.to_string())?;
        countries.push((code.parse()?, Ranges::default()));
    }
    rest.family(&mut countries, |ranges, low, high| {
        let (low, high) = (u32::try_from(low).ok()?, u32::try_from(high).ok()?);
        ranges.add_v4(low, high);
        Some(())
    })?;
    rest.family(&mut countries, |ranges, low, high| {
        ranges.add_v6(low, high);
        Some(())
    })?;
    if !rest.0.is_empty() {
        return Err("something follows the end".to_owned());
    }
    let mut countries: BTreeMap<Country, Ranges> = countries.into_iter().collect();
    countries.values_mut().for_each(Ranges::normalise);
    Ok(CountryTable {
        origin: origin.to_owned(),
        date,
        countries,
    })
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "it ends too early".to_owned())
    }

    /// Reads `count` varints without their values, to find where the column ends.
    fn varints(&mut self, count: usize) -> Result<Rest<'a>, String> {
        let column = self.0;
        let mut left = count;
        let length = column.iter().position(|byte| {
            left -= usize::from(left > 0 && byte & 0x80 == 0);
            left == 0
        });
        match (count, length) {
            (0, _) => Ok(Rest(&[])),
            (_, Some(last)) => self.take(last + 1).map(Rest),
            (_, None) => Err("it ends too early".to_owned()),
        }
    }

    fn varint(&mut self) -> Option<u128> {
        let mut number = 0;
        for (place, byte) in self.0.iter().enumerate().take(19) {
            let bits = u128::from(byte & 0x7f);
            let shifted = bits << (7 * place);
            // The 19th byte has room for two bits only.
            if shifted >> (7 * place) != bits {
                return None;
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                self.0 = self.0.get(place + 1..)?;
                return Some(number);
            }
        }
        None
    }

    fn family(
        &mut self,
        countries: &mut [(Country, Ranges)],
        add: impl Fn(&mut Ranges, u128, u128) -> Option<()>,
    ) -> Result<(), String> {
        let count = usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|error| error.to_string())?;
        let indexes = self.take(count)?;
        let (gap_exponents, length_exponents) = (self.take(count)?, self.take(count)?);
        let (mut gaps, mut lengths) = (self.varints(count)?, self.varints(count)?);
        let mut next: u128 = 0;
        let exponents = gap_exponents.iter().zip(length_exponents);
        for (index, (gap_exponent, length_exponent)) in indexes.iter().zip(exponents) {
            let mut run = || {
                let low = next.checked_add(scaled(gaps.varint()?, *gap_exponent)?)?;
                next = low.checked_add(scaled(lengths.varint()?, *length_exponent)?)?;
                let (_, ranges) = countries.get_mut(usize::from(*index))?;
                // A length of nothing would end before it starts.
                add(ranges, low, next.checked_sub(1).filter(|high| *high >= low)?)
            };
            run().ok_or("a range is out of bounds")?;
        }
        Ok(())
    }
}

fn scaled(mantissa: u128, exponent: u8) -> Option<u128> {
    let number = mantissa.checked_shl(exponent.into())?;
    (number >> exponent == mantissa).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipnet::IpNet;
    use proptest::prelude::*;

    fn table(countries: &[(&str, &[&str])]) -> CountryTable {
        let ranges = |nets: &[&str]| nets.iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
        CountryTable {
            origin: "test".to_owned(),
            date: "2026-06-17T19:51:50Z".parse().unwrap(),
            countries: countries
                .iter()
                .map(|(code, nets)| (code.parse().unwrap(), ranges(nets)))
                .collect(),
        }
    }

    #[test]
    fn packed_table_comes_back_whole() {
        let table = table(&[
            (
                "JP",
                &[
                    "192.0.2.0/25",
                    "198.51.100.0/24",
                    "2001:db8::/33",
                    "2001:db8:8000::7/128",
                ],
            ),
            ("KP", &[]),
            ("TW", &["0.0.0.0/8", "192.0.2.128/25"]),
        ]);
        let packed = pack(&table).unwrap();
        assert_eq!(unpack(&packed, "test"), Ok(table));
    }

    #[test]
    fn packed_table_that_overlaps_is_not_written() {
        let overlapping = table(&[("JP", &["192.0.2.0/24"]), ("TW", &["192.0.2.0/25"])]);
        assert_eq!(pack(&overlapping), Err("two countries overlap".to_owned()));
    }

    #[test]
    fn packed_table_that_is_damaged_is_refused_or_comes_back_whole() {
        let table = table(&[("JP", &["192.0.2.0/24", "2001:db8::/32"])]);
        let packed = pack(&table).unwrap();
        for index in 0..packed.len() {
            assert!(unpack(&packed[..index], "test").is_err(), "cut off at {index}");
            for bit in 0..8 {
                let mut changed = packed.clone();
                changed[index] ^= 1 << bit;
                // A zstd frame has a bit that means nothing.
                let unpacked = unpack(&changed, "test");
                assert!(
                    unpacked.is_err() || unpacked.as_ref() == Ok(&table),
                    "bit {bit} of byte {index} changed"
                );
            }
        }
    }

    proptest! {
        /// Whatever stands in the frame, and even with a right checksum: no panic, and never a set that is not in order.
        #[test]
        fn packed_bytes_of_any_kind_do_no_harm(tail in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend([0; 8]);
            bytes.extend([0, 1, b'J', b'P', 0, 0, 0, 1]);
            bytes.extend(tail);
            let _ = unpack(&zstd::bulk::compress(&bytes, 1).unwrap(), "test");
        }

        #[test]
        fn packed_varints_come_back(number: u128, small in 0..300u128) {
            for number in [number, small, number >> 64] {
                let mut bytes = Vec::new();
                push_varint(&mut bytes, number);
                let mut rest = Rest(&bytes);
                prop_assert_eq!(rest.varint(), Some(number));
                prop_assert!(rest.0.is_empty());
            }
        }
    }
}
