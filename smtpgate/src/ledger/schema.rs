//! The tables, and how older ones become the present ones.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{LedgerError, Result};

/// `SMTG`: says whose database it is (`PRAGMA application_id`).
pub(super) const APPLICATION: i64 = 0x534d_5447;

/// Each brings the schema from the version that is its index to the next. Never change one; add one.
///
/// Times are Unix milliseconds. Prefixes and addresses are text, for people with `sqlite3`; prefixes are canonical (no
/// host bits, always with a length), so that equal ones are equal text. `until` NULL = for ever.
pub(super) const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE bans (
        id      INTEGER PRIMARY KEY,
        prefix  TEXT    NOT NULL,
        since   INTEGER NOT NULL,
        until   INTEGER,
        returns INTEGER NOT NULL,
        reason  TEXT    NOT NULL,
        rule    TEXT,
        origin  TEXT    NOT NULL,
        lifted  INTEGER             -- when an operator took it back
    ) STRICT;
    CREATE INDEX bans_of ON bans (prefix);
    CREATE INDEX bans_until ON bans (until);

    -- Apart, so that loading the bans does not read through it.
    CREATE TABLE evidence (
        ban   INTEGER PRIMARY KEY REFERENCES bans (id) ON DELETE CASCADE,
        lines TEXT NOT NULL         -- JSON array of strings, oldest first
    ) STRICT;

    CREATE TABLE offences (
        id      INTEGER PRIMARY KEY,
        at      INTEGER NOT NULL,
        address TEXT    NOT NULL,
        user    TEXT,
        kind    TEXT    NOT NULL,
        weight  INTEGER NOT NULL,
        line    TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX offences_at ON offences (at);
    CREATE INDEX offences_of ON offences (address);

    CREATE TABLE positions (
        path   BLOB    NOT NULL,
        device INTEGER NOT NULL,    -- this, inode and mark are unsigned: the same 64 bits
        inode  INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        mark   INTEGER NOT NULL,
        seen   INTEGER NOT NULL,
        PRIMARY KEY (path, device, inode)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE exceptions (
        prefix TEXT    NOT NULL,
        gate   TEXT    NOT NULL,    -- '' = all
        since  INTEGER NOT NULL,
        note   TEXT    NOT NULL,
        PRIMARY KEY (prefix, gate)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE cursors (
        journal BLOB    NOT NULL PRIMARY KEY,   -- 'journal', or 'journal:' and the folder
        cursor  TEXT    NOT NULL,               -- __CURSOR of the last entry that was read
        seen    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Where good logins and good mail came from.
    CREATE TABLE good (
        address TEXT    PRIMARY KEY,
        login   INTEGER,
        seen    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What the kernel counted, in stretches of time.
    CREATE TABLE traffic (
        since   INTEGER NOT NULL,
        until   INTEGER NOT NULL,
        gate    TEXT    NOT NULL,   -- '' = no gate is known
        verdict TEXT    NOT NULL,
        reason  TEXT    NOT NULL,
        family  TEXT    NOT NULL,
        packets INTEGER NOT NULL,
        PRIMARY KEY (until, since, gate, verdict, reason, family)
    ) STRICT, WITHOUT ROWID;

    -- Where its counters stood at the end of the last stretch: one row.
    CREATE TABLE mark (
        id       INTEGER PRIMARY KEY,
        counters TEXT    NOT NULL,  -- which: others begin at 0 again
        at       INTEGER NOT NULL,
        totals   TEXT    NOT NULL   -- JSON: place in the map to packets
    ) STRICT;

    -- Where refusals came from that were seen one by one.
    CREATE TABLE sampled (
        hour    INTEGER NOT NULL,
        country TEXT    NOT NULL,   -- '' = not known
        network TEXT    NOT NULL,   -- '' = all that are not kept one by one
        packets INTEGER NOT NULL,
        PRIMARY KEY (hour, country, network)
    ) STRICT, WITHOUT ROWID;
",
];

/// Sets the connection up, and brings the schema to the present version.
pub(super) fn prepare(db: &mut Connection, path: &Path) -> Result<()> {
    let fail = |source| LedgerError::of(path, "open", source);
    let known = MIGRATIONS.len() as i64;
    let number = |name: &str| {
        db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
            .map_err(fail)
    };
    let found = number("user_version")?;
    let application = number("application_id")?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    if application != APPLICATION && (tables > 0 || found != 0) {
        return Err(LedgerError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    // The daemon may write to no other folder, and what is sorted here is small.
    db.pragma_update(None, "temp_store", "MEMORY").map_err(fail)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
    db.pragma_update(None, "synchronous", "NORMAL").map_err(fail)?;
    db.pragma_update(None, "foreign_keys", true).map_err(fail)?;
    // A broken page is an error where it is met, not a wrong answer.
    db.pragma_update(None, "cell_size_check", true).map_err(fail)?;
    // After a burst the log does not keep the disk that it took.
    db.pragma_update(None, "journal_size_limit", 16 << 20).map_err(fail)?;
    if found == known {
        return Ok(());
    }
    let tx = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fail)?;
    // Another process may have been faster.
    let found: i64 = tx
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(fail)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(migration).map_err(fail)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION).map_err(fail)?;
    tx.pragma_update(None, "user_version", known).map_err(fail)?;
    tx.commit().map_err(fail)
}
