//! Where rotation puts the files that were at a path: beside it, under its name with something behind.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::packed::Packed;
use super::position::FileId;
use super::reading::Reading;

/// What the compressors that logrotate is used with put behind a name.
const COMPRESSED: [&[u8]; 5] = [b".gz", b".xz", b".bz2", b".zst", b".lz4"];

/// A rotation under way is waited out so often, for so long: it renames all files, one after the other.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// A file that may have been at the path before, open.
#[derive(Debug)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    /// Named as rotation names files, `mail.log.1` or `mail.log-20261124`: not somebody's `mail.log.bak`.
    pub(super) numbered: bool,
    pub(super) log: Log,
}

/// How it can be read.
#[derive(Debug)]
pub(super) enum Log {
    /// As it is, from its start.
    Plain(Reading),
    /// When it has been unpacked.
    Packed(Packed),
}

impl Log {
    /// How it begins.
    pub(super) fn head(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(reading) => reading.head(),
            Self::Packed(packed) => packed.head(),
        }
    }
}

/// The files beside `path`, and beside what it points to, that bear its name with something behind, the oldest first: all
/// as they were at one moment, not some before a rotation and some after it.
pub(super) fn rotated(path: &Path) -> Vec<Rotated> {
    for _ in 1..TRIES {
        let listed = list(path);
        let opened: io::Result<Vec<_>> = listed.iter().map(Listed::open).collect();
        if let Ok(opened) = opened
            && names(&list(path)) == names(&listed)
        {
            return opened;
        }
        std::thread::sleep(PAUSE);
    }
    list(path).iter().filter_map(|file| file.open().ok()).collect()
}

/// A file as the folder has it.
#[derive(Debug)]
struct Listed {
    path: PathBuf,
    id: FileId,
    modified: SystemTime,
    numbered: bool,
    packed: bool,
    /// The N of `mail.log.N`: the higher, the older. Dates are no such numbers.
    number: Option<u32>,
}

impl Listed {
    fn open(&self) -> io::Result<Rotated> {
        let (id, log) = if self.packed {
            let file = File::open(&self.path)?;
            (FileId::from(&file.metadata()?), Log::Packed(Packed::new(file)))
        } else {
            let reading = Reading::open(&self.path)?;
            (reading.id, Log::Plain(reading))
        };
        if id != self.id {
            return Err(io::Error::other("another file by now"));
        }
        Ok(Rotated {
            path: self.path.clone(),
            numbered: self.numbered,
            log,
        })
    }
}

fn names(files: &[Listed]) -> Vec<(&Path, FileId)> {
    files.iter().map(|file| (&*file.path, file.id)).collect()
}

fn list(path: &Path) -> Vec<Listed> {
    let mut found = beside(path);
    if let Ok(real) = path.canonicalize()
        && real != path
    {
        found.extend(beside(&real));
    }
    found.sort_by(|a, b| (a.modified, Reverse(a.number), &a.path).cmp(&(b.modified, Reverse(b.number), &b.path)));
    found.dedup_by(|a, b| a.path == b.path);
    found
}

fn beside(path: &Path) -> Vec<Listed> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let file = entry.file_name();
        let (behind, packed) = suffix(&file, name)?;
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let numbered = behind
            .iter()
            .all(|byte| byte.is_ascii_digit() || b"-.:T".contains(byte));
        // One that is not compressed any more, or not yet, is there as it was, too.
        let being_packed = packed && entry.path().with_extension("").exists();
        (!being_packed && (numbered || !packed)).then(|| Listed {
            path: entry.path(),
            id: FileId::from(&meta),
            modified: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            numbered,
            packed,
            number: std::str::from_utf8(behind)
                .ok()
                .and_then(|number| number.parse().ok())
                .filter(|&number| number < 100_000),
        })
    });
    entries.collect()
}

/// What is behind `name.` or `name-`, without the ending that says that the file is compressed, and whether there is one.
fn suffix<'a>(file: &'a OsStr, name: &OsStr) -> Option<(&'a [u8], bool)> {
    let behind = file.as_bytes().strip_prefix(name.as_bytes())?;
    let behind = behind.strip_prefix(b".").or_else(|| behind.strip_prefix(b"-"))?;
    let unpacked = COMPRESSED.iter().find_map(|ending| behind.strip_suffix(*ending));
    Some((unpacked.unwrap_or(behind), unpacked.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_rotated_names() {
        let cases = [
            ("mail.log", None),
            ("mail.log.1", Some(("1", false))),
            ("mail.log-20261124", Some(("20261124", false))),
            ("mail.log.bak", Some(("bak", false))),
            ("mail.log.2.gz", Some(("2", true))),
            ("mail.log-20261124.xz", Some(("20261124", true))),
            ("mail.logs", None),
            ("mail.err", None),
        ];
        for (file, want) in cases {
            assert_eq!(
                suffix(OsStr::new(file), OsStr::new("mail.log")),
                want.map(|(behind, packed)| (behind.as_bytes(), packed)),
                "{file}"
            );
        }
    }
}
