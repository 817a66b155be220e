//! Bans: the ones that hold, and those that held.

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::values::{canonical, maybe_time, parsed, time, wrong};
use super::{Ledger, Result};
use crate::detect::{Decision, Past, Rule};

/// Who decided on a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The detector.
    Detect,
    /// A person.
    Operator,
}

impl Origin {
    fn name(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Operator => "operator",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Detect, Self::Operator]
            .into_iter()
            .find(|origin| origin.name() == name)
    }
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Whom.
    pub prefix: IpNet,
    /// From when, wall clock.
    pub since: Timestamp,
    /// To when; `None` = until somebody takes it back.
    pub until: Option<Timestamp>,
    /// How many times the prefix has come back.
    pub returns: u32,
    /// In words.
    pub reason: String,
    /// The detector's rule; `None` for an operator's ban.
    pub rule: Option<Rule>,
    /// Who decided.
    pub origin: Origin,
}

/// A ban with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The ban.
    #[serde(flatten)]
    pub ban: Ban,
    /// When an operator took it back.
    pub lifted: Option<Timestamp>,
    /// The log lines that led to it, oldest first.
    pub evidence: Vec<String>,
}

impl Ban {
    /// Whether it is not over.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl From<Decision> for (Ban, Vec<String>) {
    fn from(decision: Decision) -> Self {
        let ban = Ban {
            prefix: decision.prefix,
            since: decision.since,
            until: Some(decision.until),
            returns: decision.returns,
            reason: decision.reason,
            rule: Some(decision.rule),
            origin: Origin::Detect,
        };
        (ban, decision.evidence)
    }
}

impl Ledger {
    /// Adds a ban. One that holds on the same prefix ends when this one begins.
    pub fn ban(&mut self, ban: &Ban, evidence: &[String]) -> Result<()> {
        self.write("record a ban in", |tx| insert(tx, ban, evidence))
    }

    /// Takes back what holds on exactly this prefix at `now`. False when nothing did.
    pub fn unban(&mut self, prefix: IpNet, now: Timestamp) -> Result<bool> {
        self.write("lift a ban in", |tx| lift(tx, prefix, now))
    }

    /// All bans that hold at `now`, the oldest first.
    pub fn live_bans(&self, now: Timestamp) -> Result<Vec<Ban>> {
        self.read("read the bans of", |db| {
            let live = "SELECT prefix, since, until, returns, reason, rule, origin FROM bans
                         WHERE lifted IS NULL AND (until IS NULL OR until > ?1) ORDER BY id";
            let mut query = db.prepare_cached(live)?;
            query.query_map([now.as_millisecond()], ban)?.collect()
        })
    }

    /// All bans of exactly this prefix, the newest first.
    pub fn history(&self, prefix: IpNet) -> Result<Vec<Record>> {
        self.read("read the bans of", |db| {
            let all = "SELECT prefix, since, until, returns, reason, rule, origin, lifted, lines
                         FROM bans LEFT JOIN evidence ON ban = id WHERE prefix = ?1 ORDER BY id DESC";
            let mut query = db.prepare_cached(all)?;
            query.query_map([canonical(prefix).to_string()], record)?.collect()
        })
    }

    /// The bans that began since `from`, the newest first; ended and lifted ones, too.
    pub fn bans_since(&self, from: Timestamp, most: u32) -> Result<Vec<Record>> {
        self.read("read the bans of", |db| {
            let since = "SELECT prefix, since, until, returns, reason, rule, origin, lifted, lines
                           FROM bans LEFT JOIN evidence ON ban = id WHERE since >= ?1 ORDER BY since DESC, id DESC LIMIT ?2";
            let mut query = db.prepare_cached(since)?;
            query.query_map(params![from.as_millisecond(), most], record)?.collect()
        })
    }

    /// How many bans began since `from`, by rule; none for an operator's.
    pub fn bans_by_rule(&self, from: Timestamp) -> Result<Vec<(Option<String>, u64)>> {
        self.read("read the bans of", |db| {
            let mut query = db.prepare_cached("SELECT rule, count(*) FROM bans WHERE since >= ?1 GROUP BY rule")?;
            let rows = query.query_map([from.as_millisecond()], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
            })?;
            rows.collect()
        })
    }

    /// The detector's last ban of exactly this prefix, for the length of the next; none when an operator took it back.
    pub fn past(&self, prefix: IpNet) -> Result<Option<Past>> {
        self.read("read the bans of", |db| last(db, canonical(prefix)))
    }
}

fn last(db: &Connection, prefix: IpNet) -> rusqlite::Result<Option<Past>> {
    let last = "SELECT returns, until, lifted FROM bans
                 WHERE prefix = ?1 AND origin = 'detect' ORDER BY id DESC LIMIT 1";
    let past = db.prepare_cached(last)?.query_row([prefix.to_string()], |row| {
        let (returns, ended, lifted) = (row.get(0)?, maybe_time(row, 1)?, maybe_time(row, 2)?);
        Ok(ended.filter(|_| lifted.is_none()).map(|ended| Past { returns, ended }))
    });
    Ok(past.optional()?.flatten())
}

pub(super) fn lift(tx: &Transaction<'_>, prefix: IpNet, now: Timestamp) -> rusqlite::Result<bool> {
    let live = "UPDATE bans SET lifted = ?2
                 WHERE prefix = ?1 AND lifted IS NULL AND (until IS NULL OR until > ?2)";
    let lifted = tx
        .prepare_cached(live)?
        .execute(params![canonical(prefix).to_string(), now.as_millisecond()])?;
    Ok(lifted > 0)
}

pub(super) fn insert(tx: &Transaction<'_>, ban: &Ban, evidence: &[String]) -> rusqlite::Result<()> {
    let prefix = canonical(ban.prefix).to_string();
    let since = ban.since.as_millisecond();
    tx.prepare_cached(
        "UPDATE bans SET until = ?2 WHERE prefix = ?1 AND lifted IS NULL AND (until IS NULL OR until > ?2)",
    )?
    .execute(params![prefix, since])?;
    tx.prepare_cached(
        "INSERT INTO bans (prefix, since, until, returns, reason, rule, origin) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        prefix,
        since,
        ban.until.map(Timestamp::as_millisecond),
        ban.returns,
        ban.reason,
        ban.rule.map(Rule::name),
        ban.origin.name(),
    ])?;
    if !evidence.is_empty() {
        let lines = serde_json::to_string(evidence)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        tx.prepare_cached("INSERT INTO evidence (ban, lines) VALUES (last_insert_rowid(), ?1)")?
            .execute([lines])?;
    }
    Ok(())
}

pub(super) fn prune(tx: &Transaction<'_>, before: Timestamp, most: u32) -> rusqlite::Result<usize> {
    let ended = "DELETE FROM bans WHERE id IN
                   (SELECT id FROM bans WHERE until < ?1 OR lifted < ?1 ORDER BY id LIMIT ?2)";
    tx.execute(ended, params![before.as_millisecond(), most])
}

fn ban(row: &Row<'_>) -> rusqlite::Result<Ban> {
    Ok(Ban {
        prefix: parsed(row, 0, |text| text.parse().ok())?,
        since: time(row, 1)?,
        until: maybe_time(row, 2)?,
        returns: row.get(3)?,
        reason: row.get(4)?,
        rule: row.get::<_, Option<String>>(5)?.as_deref().and_then(Rule::from_name),
        origin: parsed(row, 6, Origin::from_name)?,
    })
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let lines: Option<String> = row.get(8)?;
    let evidence = lines.map(|lines| serde_json::from_str(&lines).map_err(|error| wrong(8, Type::Text, error)));
    Ok(Record {
        ban: ban(row)?,
        lifted: maybe_time(row, 7)?,
        evidence: evidence.transpose()?.unwrap_or_default(),
    })
}
