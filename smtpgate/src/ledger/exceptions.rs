//! Exceptions: what an operator allowed beside the configuration.

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::values::{canonical, parsed, time};
use super::{Ledger, Result};

/// A prefix that is let in whatever the gates' `allow` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Whom.
    pub prefix: IpNet,
    /// Where; `None` = through all gates.
    pub gate: Option<String>,
    /// From when.
    pub since: Timestamp,
    /// The operator's words.
    pub note: String,
}

impl Ledger {
    /// Adds an exception, or replaces the one for the same prefix and gate.
    pub fn allow(&mut self, exception: &Exception) -> Result<()> {
        self.write("record an exception in", |tx| insert(tx, exception))
    }

    /// Removes the exception for exactly this prefix and gate. False when there was none.
    pub fn disallow(&mut self, prefix: IpNet, gate: Option<&str>) -> Result<bool> {
        self.write("remove an exception from", |tx| remove(tx, prefix, gate))
    }

    /// All exceptions, the oldest first.
    pub fn exceptions(&self) -> Result<Vec<Exception>> {
        self.read("read the exceptions of", |db| {
            let mut query =
                db.prepare_cached("SELECT prefix, gate, since, note FROM exceptions ORDER BY since, prefix")?;
            let all = query.query_map([], |row| {
                Ok(Exception {
                    prefix: parsed(row, 0, |text| text.parse().ok())?,
                    gate: row.get::<_, Option<String>>(1)?.filter(|gate| !gate.is_empty()),
                    since: time(row, 2)?,
                    note: row.get(3)?,
                })
            })?;
            all.collect()
        })
    }
}

pub(super) fn insert(tx: &Transaction<'_>, exception: &Exception) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO exceptions (prefix, gate, since, note) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            canonical(exception.prefix).to_string(),
            exception.gate.as_deref().unwrap_or_default(),
            exception.since.as_millisecond(),
            exception.note,
        ])?;
    Ok(())
}

pub(super) fn remove(tx: &Transaction<'_>, prefix: IpNet, gate: Option<&str>) -> rusqlite::Result<bool> {
    let removed = tx
        .prepare_cached("DELETE FROM exceptions WHERE prefix = ?1 AND gate = ?2")?
        .execute(params![canonical(prefix).to_string(), gate.unwrap_or_default()])?;
    Ok(removed > 0)
}
