//! What a reader of the mail log hands over: lines, and how far they bring the reading.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::follow::Position;
use super::{Clock, LogTime};

/// How far a source of lines was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// A log file.
    File(Position),
    /// The systemd journal.
    Journal(Cursor),
    /// Standard input: what was read of it does not come again.
    Input,
}

/// How far a journal was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// `journal` is this host's, `journal:FOLDER` another one.
    pub journal: PathBuf,
    /// The last entry that was read, as journald names it (`__CURSOR`).
    pub cursor: String,
}

impl Reached {
    /// The source: the path that is followed, `journal`, `journal:FOLDER`, or `-`.
    pub fn source(&self) -> &Path {
        match self {
            Self::File(position) => &position.path,
            Self::Journal(cursor) => &cursor.journal,
            Self::Input => Path::new("-"),
        }
    }
}

/// Whole lines of one source, in their order. Their effects and the position are to be committed together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Where the reading stands after these lines.
    pub position: Reached,
    /// These lines were there before the reader was: their own time counts, not that of their arrival.
    pub backlog: bool,
    /// How many lines were longer than [`super::follow::LINE_MAX`] and are cut.
    pub cut: u64,
    /// Bytes that are still to be read.
    pub(super) unread: u64,
    /// Bytes that were left out before these lines.
    pub(super) skipped: u64,
    pub(super) bytes: Vec<u8>,
}

impl Batch {
    /// The time that counts for a line: that of its arrival, or its own, if it was there before the reader.
    pub fn when(&self, line: LogTime<'_>, clock: &Clock, arrival: Timestamp) -> Timestamp {
        let written = self.backlog.then(|| clock.resolve(line)).flatten();
        written.map_or(arrival, |written| written.min(arrival))
    }

    /// The lines, without line ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.bytes.strip_suffix(b"\n");
        whole.into_iter().flat_map(|lines| lines.split(|&b| b == b'\n'))
    }

    /// Their bytes, line ends included.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}
