//! Where in a log file the reading stands, so that a restart goes on exactly there.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// How many bytes before the offset the mark covers (fewer at the start of a file). Lines carry time and process, so a
/// kilobyte of them does not repeat.
pub(super) const MARKED: usize = 1024;

/// Up to where a file has been read, in whole lines.
///
/// The identity finds a renamed file again; the mark tells a file that was emptied and written anew (copytruncate), or an
/// inode that was used again, from the one that was read. It also recognises the copy that copytruncate makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The path that is followed, as configured. The file may have been renamed since.
    pub path: PathBuf,
    /// `st_dev`
    pub device: u64,
    /// `st_ino`
    pub inode: u64,
    /// Bytes read; what stands before it ends with a line end.
    pub offset: u64,
    /// Hash of the up to 1024 bytes before the offset.
    pub mark: u64,
}

impl Position {
    pub(super) fn id(&self) -> FileId {
        FileId {
            device: self.device,
            inode: self.inode,
        }
    }
}

/// Which file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl From<&Metadata> for FileId {
    fn from(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
        }
    }
}

/// FNV-1a, 64 bits: stable over versions, as it is kept in the ledger. Not against forgery: who can write the log needs no
/// collision.
pub(super) fn mark(before: &[u8]) -> u64 {
    let hash = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    before.iter().fold(0xcbf2_9ce4_8422_2325, hash)
}
