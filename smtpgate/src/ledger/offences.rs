//! Offences: what the log held against whom.

use std::collections::HashSet;
use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};

use super::values::{parsed, time};
use super::{Ledger, Result};
use crate::detect::Offence;
use crate::maillog::Kind;

/// A login name that offences were about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// As the client wrote it.
    pub user: String,
    /// How many.
    pub offences: u64,
    /// From how many addresses.
    pub addresses: u64,
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

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

    /// Who offended against a login name, without regard to capitals; a name without `@` stands for it at any domain.
    pub fn offenders_of(&self, user: &str) -> Result<HashSet<IpAddr>> {
        self.read("read the offences of", |db| {
            let of = "SELECT DISTINCT address FROM offences WHERE user = ?1 COLLATE NOCASE
                       OR (instr(?1, '@') = 0 AND substr(user, 1, length(?1) + 1) = ?1 || '@' COLLATE NOCASE)";
            let mut query = db.prepare_cached(of)?;
            query
                .query_map([user], |row| parsed(row, 0, |text| text.parse().ok()))?
                .collect()
        })
    }

    /// Login names that offences since `from` were about, the most first.
    pub fn accounts_since(&self, from: Timestamp, most: u32) -> Result<Vec<Account>> {
        self.read("read the offences of", |db| {
            let accounts = "SELECT user, count(*), count(DISTINCT address), min(at), max(at) FROM offences
                             WHERE at >= ?1 AND user IS NOT NULL GROUP BY user ORDER BY count(*) DESC, user LIMIT ?2";
            let mut query = db.prepare_cached(accounts)?;
            let rows = query.query_map(params![from.as_millisecond(), most], |row| {
                Ok(Account {
                    user: row.get(0)?,
                    offences: row.get::<_, i64>(1)?.unsigned_abs(),
                    addresses: row.get::<_, i64>(2)?.unsigned_abs(),
                    first: time(row, 3)?,
                    last: time(row, 4)?,
                })
            })?;
            rows.collect()
        })
    }

    /// How many offences there were since `from`.
    pub fn offences_number(&self, from: Timestamp) -> Result<u64> {
        self.read("read the offences of", |db| {
            let number = "SELECT count(*) FROM offences WHERE at >= ?1";
            db.query_row(number, [from.as_millisecond()], |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
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
