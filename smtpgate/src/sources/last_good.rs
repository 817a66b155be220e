//! The last good copy of each source, as a list in the state folder that an admin can read, keep, and remove.
//!
//! A copy is written in the grammar of [`super::list`] under a head of comments that says what it is, so that what is
//! asked at every start (has it changed, has it shrunk) is answered without reading the whole. The last line says that
//! the copy is whole.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::guard::Size;
use super::ranges::{Coverage, Ranges};
use super::{Resolved, Spec, list, read_file};

/// The copies of one gate.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    folder: PathBuf,
}

/// What the head of a copy says of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) origin: String,
    pub(crate) date: Option<Timestamp>,
    pub(crate) fingerprint: u64,
    pub(crate) size: Size,
}

const ORIGIN: &str = "# origin: ";
const DATE: &str = "# date: ";
const FINGERPRINT: &str = "# fingerprint: ";
const SIZE: &str = "# IPv4 and IPv6 prefixes and addresses: ";
const END: &str = "# end";
/// Longer than any head: the spec and the origin are paths at most, of at most 4 KiB (PATH_MAX).
const MAX_HEAD: u64 = 16 << 10;

impl LastGood {
    /// Copies in `folder`, which need not exist yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        LastGood { folder }
    }

    /// The file of a spec's copy: readable, and unlike that of any other spec.
    pub(crate) fn path(&self, spec: &Spec) -> PathBuf {
        use std::hash::Hasher;
        let text = spec.to_string();
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(text.as_bytes());
        let readable: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .take(60)
            .collect();
        self.folder
            .join(format!("{readable}-{:08x}.list", hasher.finish() >> 32))
    }

    /// What the head of a spec's copy says, if there is one.
    pub(crate) fn head(&self, spec: &Spec) -> Option<Head> {
        let mut bytes = Vec::new();
        std::fs::File::open(self.path(spec))
            .ok()?
            .take(MAX_HEAD)
            .read_to_end(&mut bytes)
            .ok()?;
        Head::parse(&bytes)
    }

    /// The copy of a spec, if a whole one is there. A damaged copy is as good as none.
    pub(crate) fn read(&self, spec: &Spec) -> Option<(Head, Ranges)> {
        let path = self.path(spec);
        let bytes = read_file(&path, list::MAX_FILE).ok()?;
        let head = Head::parse(&bytes)?;
        let ranges = list::parse(&path, &bytes).ok()?;
        let whole = bytes.trim_ascii_end().ends_with(END.as_bytes()) && ranges.fingerprint() == head.fingerprint;
        whole.then_some((head, ranges))
    }

    /// Keeps a copy: whole or not at all, also when the power fails.
    pub(crate) fn write(&self, resolved: &Resolved) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut text = format!(
            "# smtpgate's last good copy of {}\n",
            one_line(&resolved.spec.to_string())
        );
        // Writing to a string does not fail.
        let _ = writeln!(text, "{ORIGIN}{}", one_line(&resolved.origin));
        if let Some(date) = resolved.date {
            let _ = writeln!(text, "{DATE}{date}");
        }
        let size = resolved.size();
        let _ = writeln!(text, "{FINGERPRINT}{:016x}", resolved.fingerprint);
        let _ = writeln!(
            text,
            "{SIZE}{} {} {} {}",
            size.v4_prefixes, size.v6_prefixes, size.coverage.v4, size.coverage.v6
        );
        for net in &resolved.prefixes {
            let _ = writeln!(text, "{net}");
        }
        let _ = writeln!(text, "{END}");
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(self.path(&resolved.spec))?;
        sync_folder(&self.folder)
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Head> {
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .map_while(|line| std::str::from_utf8(line).ok());
        let lines: Vec<&str> = lines.take_while(|line| line.starts_with('#')).collect();
        let value = |key: &str| lines.iter().find_map(|line| line.strip_prefix(key));
        let mut size = value(SIZE)?.split(' ');
        Some(Head {
            origin: value(ORIGIN)?.to_owned(),
            date: value(DATE).and_then(|date| date.parse().ok()),
            fingerprint: u64::from_str_radix(value(FINGERPRINT)?, 16).ok()?,
            size: Size {
                v4_prefixes: size.next()?.parse().ok()?,
                v6_prefixes: size.next()?.parse().ok()?,
                coverage: Coverage {
                    v4: size.next()?.parse().ok()?,
                    v6: size.next()?.parse().ok()?,
                },
            },
        })
    }
}

/// A path may hold a line break; a comment may not.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
