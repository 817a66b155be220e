//! A log that rotation has compressed. It is a stream: to read on in it, it is unpacked into a file without a name.

use std::fs::File;
use std::io::{self, BufRead, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::position::{FileId, MARKED};
use super::reading::Reading;

/// An open compressed log.
#[derive(Debug)]
pub(super) struct Packed(File);

impl Packed {
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    fn unpacked(&self) -> io::Result<Box<dyn BufRead + '_>> {
        (&self.0).rewind()?;
        crate::maillog::open(&self.0)
    }

    /// Its first bytes, [`MARKED`] of them if there are.
    pub(super) fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.unpacked()?.take(MARKED as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// The up to [`MARKED`] bytes before `at` (`None` when it is shorter than that), and its length.
    pub(super) fn before(&self, at: u64) -> io::Result<(Option<Vec<u8>>, u64)> {
        let count = at.min(MARKED as u64);
        let mut log = self.unpacked()?;
        let skipped = skip(&mut log, at - count)?;
        let mut before = Vec::new();
        log.by_ref().take(count).read_to_end(&mut before)?;
        let reached = skipped + before.len() as u64;
        let rest = skip(&mut log, u64::MAX)?;
        Ok(((reached == at).then_some(before), reached + rest))
    }

    /// Its length.
    pub(super) fn len(&self) -> io::Result<u64> {
        skip(&mut self.unpacked()?, u64::MAX)
    }

    /// Unpacks what is needed to go on at `from` into a file in `folder`; the rest is a hole. The reading is at its start.
    pub(super) fn unpack(&self, from: u64, folder: &Path) -> io::Result<Reading> {
        let marked = MARKED as u64;
        // What begins it, and what stands before the place, is what it is known by.
        let parts = [(0, marked), (from.saturating_sub(marked), u64::MAX)];
        let mut log = self.unpacked()?;
        let mut file = tempfile::tempfile_in(folder)?;
        let mut at = 0;
        for (begin, end) in parts {
            at += skip(&mut log, begin.saturating_sub(at))?;
            file.seek(SeekFrom::Start(at))?;
            at += io::copy(&mut log.by_ref().take(end.saturating_sub(at)), &mut file)?;
        }
        let id = FileId::from(&file.metadata()?);
        Ok(Reading::of(file, id))
    }
}

/// Leaves out so many bytes, or as many as there are. Returns how many.
fn skip(log: &mut impl BufRead, bytes: u64) -> io::Result<u64> {
    io::copy(&mut log.take(bytes), &mut io::sink())
}
