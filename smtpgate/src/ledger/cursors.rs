//! Cursors: up to where each journal has been read.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Ledger, Result};
use crate::maillog::Cursor;

impl Ledger {
    /// The last entry that was read of a journal (`journal`, or `journal:FOLDER`); `None` for one that never was.
    pub fn cursor(&self, journal: &Path) -> Result<Option<String>> {
        self.read("read the journal cursor of", |db| {
            db.query_row(
                "SELECT cursor FROM cursors WHERE journal = ?1",
                [journal.as_os_str().as_bytes()],
                |row| row.get(0),
            )
            .optional()
        })
    }
}

pub(super) fn put(tx: &Transaction<'_>, cursor: &Cursor, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO cursors (journal, cursor, seen) VALUES (?1, ?2, ?3)")?
        .execute(params![
            cursor.journal.as_os_str().as_bytes(),
            cursor.cursor,
            now.as_millisecond(),
        ])?;
    Ok(())
}
