//! Follows log files through everything that happens to them: rename, copytruncate, delete and re-create, a symlink that
//! points elsewhere, not being there yet. Nothing is lost, and nothing is read twice.

mod batch;
pub(in crate::maillog) mod lines;
mod position;

use std::path::PathBuf;

pub use batch::Batch;
pub use lines::LINE_MAX;
pub use position::Position;

/// What the configuration says to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// What this host has of [`AUTO`].
    #[default]
    Auto,
    /// Nothing.
    None,
    /// These files, whether they exist yet or not.
    Paths(Vec<PathBuf>),
}

/// Where distributions have the mail log: Debian and SUSE, Red Hat and FreeBSD.
pub const AUTO: [&str; 2] = ["/var/log/mail.log", "/var/log/maillog"];

impl Follow {
    /// The files to follow. Of [`AUTO`] both: which one appears later, nobody knows.
    pub fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Auto => AUTO.map(PathBuf::from).to_vec(),
            Self::None => Vec::new(),
            Self::Paths(paths) => paths.clone(),
        }
    }
}

/// What the follower starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// The files.
    pub paths: Vec<PathBuf>,
    /// Where the reading of them stood, from the ledger.
    pub positions: Vec<Position>,
    /// A file without a position is read back to this time of its lines: `findtime` before now.
    pub since: jiff::Timestamp,
}
