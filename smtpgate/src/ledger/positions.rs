//! Positions: up to where each log file has been read.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};

use super::{Ledger, Result};
use crate::maillog::Position;

/// A file that was renamed and has not grown for so long will not be asked for again.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Ledger {
    /// The positions of all followed files. For one path there can be several: of the file that is there, and of those
    /// that were renamed from there.
    pub fn positions(&self) -> Result<Vec<Position>> {
        self.read("read the log positions of", |db| {
            let mut query =
                db.prepare_cached("SELECT path, device, inode, offset, mark FROM positions ORDER BY seen")?;
            let positions = query.query_map([], |row| {
                Ok(Position {
                    path: PathBuf::from(OsString::from_vec(row.get(0)?)),
                    device: row.get::<_, i64>(1)?.cast_unsigned(),
                    inode: row.get::<_, i64>(2)?.cast_unsigned(),
                    offset: row.get::<_, i64>(3)?.cast_unsigned(),
                    mark: row.get::<_, i64>(4)?.cast_unsigned(),
                })
            })?;
            positions.collect()
        })
    }
}

pub(super) fn put(tx: &Transaction<'_>, position: &Position, now: Timestamp) -> rusqlite::Result<()> {
    let path = position.path.as_os_str().as_bytes();
    let now = now.as_millisecond();
    // The order counts, also of two in one millisecond, and over a clock that is put back.
    tx.prepare_cached(
        "INSERT OR REPLACE INTO positions (path, device, inode, offset, mark, seen) VALUES (?1, ?2, ?3, ?4, ?5,
             max(?6, (SELECT coalesce(max(seen), 0) + 1 FROM positions WHERE path = ?1)))",
    )?
    .execute(params![
        path,
        position.device.cast_signed(),
        position.inode.cast_signed(),
        position.offset.cast_signed(),
        position.mark.cast_signed(),
        now,
    ])?;
    let old = now.saturating_sub(FORGOTTEN.as_hours().saturating_mul(3_600_000));
    tx.prepare_cached("DELETE FROM positions WHERE path = ?1 AND seen < ?2")?
        .execute(params![path, old])?;
    Ok(())
}
