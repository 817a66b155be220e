//! The last good copy of each source, as a list in the state folder that an admin can read, keep, and remove.
//!
//! A copy is written in the grammar of [`super::list`] under a head of comments that says what it is; the last line says
//! that it is whole.

use std::fmt::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;

use super::{Resolved, Spec, list, read_file};
use crate::durable;

/// The copies of one gate.
#[derive(Debug, Clone)]
pub(crate) struct LastGood {
    folder: PathBuf,
}

/// A copy as it was kept.
pub(crate) struct Copy {
    pub(crate) ranges: super::ranges::Ranges,
    pub(crate) origin: String,
    pub(crate) date: Option<Timestamp>,
}

const ORIGIN: &str = "# origin: ";
const DATE: &str = "# date: ";
const END: &str = "# end";

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

    /// The copy of a spec, if a whole one is there. A damaged copy is as good as none.
    pub(crate) fn read(&self, spec: &Spec) -> Option<Copy> {
        let path = self.path(spec);
        let bytes = read_file(&path, list::MAX_FILE).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        text.trim_end().ends_with(END).then_some(())?;
        let head = |key: &str| {
            text.lines()
                .take_while(|line| line.starts_with('#'))
                .find_map(|line| line.strip_prefix(key))
        };
        Some(Copy {
            ranges: list::parse(&path, &bytes).ok()?,
            origin: head(ORIGIN)?.to_owned(),
            date: head(DATE).and_then(|date| date.parse().ok()),
        })
    }

    /// Keeps a copy: whole or not at all, also when the power fails.
    pub(crate) fn write(&self, resolved: &Resolved) -> std::io::Result<()> {
        let mut text = format!(
            "# smtpgate's last good copy of {}\n",
            one_line(&resolved.spec.to_string())
        );
        // Writing to a string does not fail.
        let _ = writeln!(text, "{ORIGIN}{}", one_line(&resolved.origin));
        if let Some(date) = resolved.date {
            let _ = writeln!(text, "{DATE}{date}");
        }
        for net in &resolved.prefixes {
            let _ = writeln!(text, "{net}");
        }
        let _ = writeln!(text, "{END}");
        durable::write(&self.path(&resolved.spec), text.as_bytes())
    }
}

/// A path may hold a line break; a comment may not.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
