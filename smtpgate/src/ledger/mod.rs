//! The durable record of bans, offences, exceptions, log positions, journal cursors and traffic (SQLite).
//!
//! One file per concern, all in one database, so that what belongs together is committed together: the offences that a
//! stretch of log held, the bans that they led to, and the position up to which it was read. After a kill -9 the reading
//! goes on at that position, and nothing is counted twice.
//!
//! Write-ahead log, `synchronous = NORMAL`: a commit survives the death of the process, not of the machine's power.
//! What a power cut takes is whole commits, the newest, together with their positions; the same lines are then read
//! again, and lead to the same bans. An operator's ban of the last seconds has to be given again.

mod bans;
mod cursors;
mod error;
mod exceptions;
mod good;
mod offences;
mod positions;
mod schema;
mod traffic;
mod values;
mod waiting;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tracing::info;
use waiting::Waiting;

pub use bans::{Ban, Origin, Record};
pub use error::LedgerError;
pub use exceptions::Exception;
pub use offences::Account;
pub use traffic::{Fate, KEPT, Mark, Packets, Sampled, Stretch};

use crate::detect::Offence;
use crate::maillog::Reached;

type Result<T> = std::result::Result<T, LedgerError>;

/// How long to wait for another process that writes, before giving up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Rows that one [`Ledger::prune`] removes of each kind: it must not hold up a ban.
const PRUNED_AT_ONCE: u32 = 10_000;

/// Bans and exceptions that come or go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Those.
    pub bans: Vec<Ban>,
    /// And those.
    pub exceptions: Vec<Exception>,
}

/// The open ledger. Every error names its file.
#[derive(Debug)]
pub struct Ledger {
    db: Connection,
    path: PathBuf,
    waiting: Waiting,
}

impl Ledger {
    /// Opens the ledger, or creates it. Its folder must be there.
    ///
    /// A damaged file, one of another program, or one of a newer version is an error and is left as it is.
    pub fn open(path: &Path) -> Result<Self> {
        Self::connect(path, PATIENCE)
    }

    fn connect(path: &Path, patience: Duration) -> Result<Self> {
        // SQLite would create it readable for all, and open one that it cannot write to as read-only.
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| LedgerError::Open {
                path: path.to_owned(),
                source,
            })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let fail = |source| LedgerError::of(path, "open", source);
        let mut db = Connection::open_with_flags(path, flags).map_err(fail)?;
        db.busy_timeout(patience).map_err(fail)?;
        schema::prepare(&mut db, path)?;
        Ok(Self {
            db,
            path: path.to_owned(),
            waiting: Waiting::default(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits what a stretch of log held: its offences, the bans that they led to with their evidence, and how far it
    /// was read. All or nothing.
    pub fn record(
        &mut self,
        offences: &[Offence],
        bans: &[(Ban, Vec<String>)],
        position: Option<&Reached>,
        now: Timestamp,
    ) -> Result<()> {
        self.write("record offences in", |tx| {
            offences.iter().try_for_each(|offence| offences::insert(tx, offence))?;
            bans.iter()
                .try_for_each(|(ban, evidence)| bans::insert(tx, ban, evidence))?;
            position.map_or(Ok(()), |reached| waiting::put(tx, reached, now))
        })
    }

    /// Joins old traffic to hours and forgets what is older than [`KEPT`]. Returns how many rows went.
    pub fn prune_traffic(&mut self, now: Timestamp) -> Result<usize> {
        self.write("prune", |tx| traffic::prune(tx, now))
    }

    /// Keeps what [`Ledger::record`] could not commit: it is committed with the next write of whatever kind, before it. As
    /// long as something waits, keep what follows, too. Memory is bounded: of very many, the oldest are dropped.
    pub fn keep(
        &mut self,
        offences: Vec<Offence>,
        bans: Vec<(Ban, Vec<String>)>,
        position: Option<Reached>,
        now: Timestamp,
    ) {
        self.waiting.keep(offences, bans, position, now);
    }

    /// How many offences and bans wait to be recorded; `None` when nothing does.
    pub fn waiting(&self) -> Option<(usize, usize)> {
        (!self.waiting.is_empty()).then(|| self.waiting.len())
    }

    /// Tries again to record what waits.
    pub fn retry(&mut self) -> Result<()> {
        self.write("record what waits in", |_| Ok(()))
    }

    /// Commits bans and exceptions that come, and those that go at `now`: all or nothing.
    pub fn exchange(&mut self, come: &Exchange, go: &Exchange, now: Timestamp) -> Result<()> {
        self.write("record an import in", |tx| {
            for ban in &go.bans {
                bans::lift(tx, ban.prefix, now)?;
            }
            for exception in &go.exceptions {
                exceptions::remove(tx, exception.prefix, exception.gate.as_deref())?;
            }
            come.bans.iter().try_for_each(|ban| bans::insert(tx, ban, &[]))?;
            come.exceptions
                .iter()
                .try_for_each(|exception| exceptions::insert(tx, exception))
        })
    }

    /// Removes offences and ended bans from before the given times: the oldest first, and not more than 10,000 of each,
    /// so that it never takes long. Returns how many went; call again while it is not 0.
    pub fn prune(&mut self, offences_before: Timestamp, bans_before: Timestamp) -> Result<usize> {
        self.write("prune", |tx| {
            Ok(offences::prune(tx, offences_before, PRUNED_AT_ONCE)? + bans::prune(tx, bans_before, PRUNED_AT_ONCE)?)
        })
    }

    /// Reads the whole file for damage. Takes a second per some hundred megabytes.
    pub fn check(&self) -> Result<()> {
        let fail = |source| LedgerError::of(&self.path, "check", source);
        let found: String = self
            .db
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(fail)?;
        if found == "ok" {
            return Ok(());
        }
        Err(LedgerError::Damaged {
            path: self.path.clone(),
            what: found,
        })
    }

    fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let path = &self.path;
        let fail = |source| LedgerError::of(path, doing, source);
        // Immediate: waits for another writer before the work instead of failing in its middle.
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fail)?;
        self.waiting.write(&tx).map_err(fail)?;
        let done = work(&tx).map_err(fail)?;
        tx.commit().map_err(fail)?;
        if !self.waiting.is_empty() {
            let ((offences, bans), dropped) = (self.waiting.len(), self.waiting.dropped);
            info!(
                "{}: written again; {offences} offences and {bans} bans had waited, {dropped} more were dropped",
                path.display()
            );
            self.waiting = Waiting::default();
        }
        Ok(done)
    }

    fn read<T>(&self, doing: &'static str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.db).map_err(|source| LedgerError::of(&self.path, doing, source))
    }
}

#[cfg(test)]
mod tests;
