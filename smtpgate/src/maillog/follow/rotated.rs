//! Where rotation puts the files that were at a path: beside it, under its name with something behind.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file that may have been at the path before.
#[derive(Debug)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) modified: SystemTime,
    /// Named as rotation names files, `mail.log.1` or `mail.log-20261124`: not somebody's `mail.log.bak`.
    pub(super) numbered: bool,
    /// By gzip, xz or another.
    packed: bool,
    /// The N of `mail.log.N`: the higher, the older. Dates are no such numbers.
    number: Option<u32>,
}

/// The uncompressed files beside `path`, and beside what it points to, that bear its name with something behind; the
/// oldest first.
pub(super) fn rotated(path: &Path) -> Vec<Rotated> {
    let mut found = all(path);
    found.retain(|file| !file.packed);
    found
}

/// Those that rotation has compressed; the oldest first.
pub(super) fn packed(path: &Path) -> Vec<Rotated> {
    let mut found = all(path);
    found.retain(|file| file.packed && file.numbered);
    found
}

fn all(path: &Path) -> Vec<Rotated> {
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

fn beside(path: &Path) -> Vec<Rotated> {
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
        Some(Rotated {
            path: entry.path(),
            modified: meta.modified().ok()?,
            numbered: behind
                .iter()
                .all(|byte| byte.is_ascii_digit() || b"-.:T".contains(byte)),
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
    const COMPRESSED: [&[u8]; 5] = [b".gz", b".xz", b".bz2", b".zst", b".lz4"];
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
