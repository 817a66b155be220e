//! Offences: what the log held against whom.

use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};

use super::values::{parsed, time};
use super::{Ledger, Result};
use crate::detect::Offence;
use crate::maillog::Kind;

/// More than these are never kept: about 250 MB.
const MOST: i64 = 1_000_000;

impl Ledger {
    /// The offences since `from`, oldest first: what the detector has to know after a restart.
    pub fn offences_since(&self, from: Timestamp) -> Result<Vec<Offence>> {
        self.read("read the offences of", |db| {
            let since = "SELECT at, address, user, kind, weight, line FROM offences WHERE at >= ?1 ORDER BY at, id";
            let mut query = db.prepare_cached(since)?;
            query.query_map([from.as_millisecond()], offence)?.collect()
        })
    }

    /// The last offences of an address, the newest first.
    pub fn offences_of(&self, address: IpAddr, most: u32) -> Result<Vec<Offence>> {
        self.read("read the offences of", |db| {
            let of = "SELECT at, address, user, kind, weight, line FROM offences
                       WHERE address = ?1 ORDER BY id DESC LIMIT ?2";
            let mut query = db.prepare_cached(of)?;
            query
                .query_map(params![address.to_canonical().to_string(), most], offence)?
                .collect()
        })
    }
}

pub(super) fn insert(tx: &Transaction<'_>, offence: &Offence) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO offences (at, address, user, kind, weight, line) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        offence.at.as_millisecond(),
        offence.address.to_canonical().to_string(),
        offence.user,
        offence.kind.name(),
        offence.weight,
        offence.line,
    ])?;
    Ok(())
}

pub(super) fn prune(tx: &Transaction<'_>, before: Timestamp, most: u32) -> rusqlite::Result<usize> {
    let aged = "DELETE FROM offences WHERE id IN (SELECT id FROM offences WHERE at < ?1 ORDER BY at LIMIT ?2)";
    let surplus = "DELETE FROM offences WHERE id IN
                     (SELECT id FROM offences WHERE id <= (SELECT max(id) FROM offences) - ?1 ORDER BY id LIMIT ?2)";
    Ok(tx.execute(aged, params![before.as_millisecond(), most])? + tx.execute(surplus, params![MOST, most])?)
}

fn offence(row: &Row<'_>) -> rusqlite::Result<Offence> {
    Ok(Offence {
        at: time(row, 0)?,
        address: parsed(row, 1, |text| text.parse().ok())?,
        user: row.get(2)?,
        kind: parsed(row, 3, Kind::from_name)?,
        weight: row.get(4)?,
        line: row.get(5)?,
    })
}
