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
    /// The N of `mail.log.N`: the higher, the older. Dates are no such numbers.
    number: Option<u32>,
}

/// The uncompressed files beside `path`, and beside what it points to, that bear its name with something behind; the
/// oldest first.
pub(super) fn rotated(path: &Path) -> Vec<Rotated> {
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
        let behind = suffix(&file, name)?;
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Rotated {
            path: entry.path(),
            modified: meta.modified().ok()?,
            numbered: behind
                .iter()
                .all(|byte| byte.is_ascii_digit() || b"-.:T".contains(byte)),
            number: std::str::from_utf8(behind)
                .ok()
                .and_then(|number| number.parse().ok())
                .filter(|&number| number < 100_000),
        })
    });
    entries.collect()
}

/// What is behind `name.` or `name-`, unless it says that the file is compressed.
fn suffix<'a>(file: &'a OsStr, name: &OsStr) -> Option<&'a [u8]> {
    const COMPRESSED: [&[u8]; 5] = [b".gz", b".xz", b".bz2", b".zst", b".lz4"];
    let behind = file
        .as_bytes()
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b".")
        .or_else(|| file.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"-"))?;
    (!COMPRESSED.iter().any(|ending| file.as_bytes().ends_with(ending))).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_rotated_names() {
        let cases = [
            ("mail.log", None),
            ("mail.log.1", Some("1")),
            ("mail.log-20261124", Some("20261124")),
            ("mail.log.bak", Some("bak")),
            ("mail.log.2.gz", None),
            ("mail.log-20261124.xz", None),
            ("mail.logs", None),
            ("mail.err", None),
        ];
        for (file, want) in cases {
            assert_eq!(
                suffix(OsStr::new(file), OsStr::new("mail.log")),
                want.map(str::as_bytes),
                "{file}"
            );
        }
    }
}
