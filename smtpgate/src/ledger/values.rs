//! Our values in SQLite's columns.

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};

/// The one spelling of a prefix: no host bits, IPv4-mapped prefixes as IPv4, always with a length.
pub(super) fn canonical(prefix: IpNet) -> IpNet {
    let prefix = prefix.trunc();
    if let IpNet::V6(v6) = prefix
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(len) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(v4, len)
    {
        return v4.into();
    }
    prefix
}

/// A text column, parsed. What does not parse was not written by us.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|error| wrong(column, Type::Text, error))?;
    parse(text).ok_or_else(|| {
        wrong(
            column,
            Type::Text,
            FromSqlError::Other(format!("senseless value {text:?}").into()),
        )
    })
}

/// A column of Unix milliseconds.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    at(column, row.get(column)?)
}

/// The same, where NULL has a meaning.
pub(super) fn maybe_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?
        .map(|milliseconds| at(column, milliseconds))
        .transpose()
}

fn at(column: usize, milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|error| wrong(column, Type::Integer, error))
}

pub(super) fn wrong(
    column: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
