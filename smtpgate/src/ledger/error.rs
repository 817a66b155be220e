//! What can be wrong with the ledger, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

/// An error of the ledger. The file is as it was before the call.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The file system refuses.
    #[error("cannot open the ledger {}: {source}{}", path.display(), advice(source))]
    Open {
        /// The ledger.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not SQLite, or SQLite with broken pages or senseless contents.
    #[error(
        "the ledger {} is damaged: {what}. Nothing was changed. To start with an empty one, move it away together with \
         its -wal and -shm files; `sqlite3 {} .recover` may save its contents",
        path.display(), path.display()
    )]
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// SQLite's words.
        what: String,
    },
    /// An SQLite database of another program.
    #[error("{} is an SQLite database, but not smtpgate's ledger: set [paths] state to a folder of its own", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later smtpgate.
    #[error(
        "the ledger {} has schema version {found}, and this smtpgate knows up to {known}: run the newer smtpgate, or move \
         the ledger away to start with an empty one",
        path.display()
    )]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest that we know.
        known: i64,
    },
    /// Another process holds it.
    #[error("cannot {doing} the ledger {}: another process holds it locked (find it with `fuser -v {}`)",
        path.display(), path.display())]
    Locked {
        /// The ledger.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
    },
    /// No space is left.
    #[error("cannot {doing} the ledger {}: the disk is full. Nothing was changed; free some space there", path.display())]
    Full {
        /// The ledger.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
    },
    /// Whatever else SQLite says.
    #[error("cannot {doing} the ledger {}: {source}", path.display())]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// SQLite's words.
        source: rusqlite::Error,
    },
}

impl LedgerError {
    pub(super) fn of(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path,
                what: source.to_string(),
            },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path, doing },
            Some(ErrorCode::DiskFull) => Self::Full { path, doing },
            // A row that does not convert is not of our writing.
            None if matches!(source, rusqlite::Error::FromSqlConversionFailure(..)) => Self::Damaged {
                path,
                what: source.to_string(),
            },
            _ => Self::Sqlite { path, doing, source },
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => " (its folder does not exist)",
        io::ErrorKind::PermissionDenied => " (smtpgate runs as root, or as the owner of the ledger)",
        io::ErrorKind::ReadOnlyFilesystem => " (set [paths] state to a folder that can be written to)",
        _ => "",
    }
}
