//! One open file, read from a line on. Knows nothing of paths.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use super::lines::{LINE_MAX, keep};
use super::position::{FileId, MARKED, Position, mark};

/// Bytes read at once: bounds a batch.
const CHUNK: usize = 256 * 1024;

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// More was there; whole lines among it are in the buffer.
    Some,
    /// Nothing new.
    Nothing,
    /// What had been read is not there any more: the file was emptied, and perhaps written anew.
    Rewritten,
}

/// A file and how far it has been read.
#[derive(Debug)]
pub(super) struct Reading {
    file: File,
    pub(super) id: FileId,
    /// Start of the first line that was not handed over.
    pub(super) offset: u64,
    /// [`mark`] of what stands before `offset`.
    pub(super) mark: u64,
    /// Everything before was read; of the line under way `partial` holds as much as is kept of a line.
    scanned: u64,
    partial: Vec<u8>,
    /// The line under way is longer than is kept.
    long: bool,
    /// The last bytes before `scanned`, [`MARKED`] of them if there are: compared at each read.
    before: Vec<u8>,
    /// While nothing was read: what stood at the start when it was looked at.
    head: Vec<u8>,
    /// Lines that begin before this offset were there when the follower began.
    pub(super) backlog: u64,
    /// When it last grew.
    pub(super) grown: Instant,
}

impl Reading {
    /// Opens a regular file at its start.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Opening a FIFO would wait for its writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self::of(file, FileId::from(&meta)))
    }

    /// A file at its start.
    pub(super) fn of(file: File, id: FileId) -> Self {
        let mut reading = Self {
            file,
            id,
            offset: 0,
            mark: mark(b""),
            scanned: 0,
            partial: Vec::new(),
            long: false,
            before: Vec::new(),
            head: Vec::new(),
            backlog: 0,
            grown: Instant::now(),
        };
        reading.peek();
        reading
    }

    /// Its first bytes, [`MARKED`] of them if there are. They hold a time: no other log begins so.
    pub(super) fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; MARKED];
        let got = read_at(&self.file, &mut head, 0)?;
        head.truncate(got);
        Ok(head)
    }

    /// Of a file of which nothing was read yet: keeps in mind how it begins, so that it is noticed when it is emptied
    /// before its turn comes. True when it begins now: as long as it was empty, that could not be noticed.
    pub(super) fn peek(&mut self) -> bool {
        let was_empty = self.head.is_empty();
        if self.scanned == 0 && self.head.len() < MARKED {
            // Shorter than before: emptied, which the next read finds.
            match self.head() {
                Ok(head) if head.len() > self.head.len() && head.starts_with(&self.head) => self.head = head,
                _ => {}
            }
        }
        was_empty && !self.head.is_empty()
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Goes to `offset`, the start of a line, if what stands before it has that mark.
    pub(super) fn resume(&mut self, offset: u64, expected: u64) -> io::Result<bool> {
        let Some(before) = before(&self.file, offset)?.filter(|before| mark(before) == expected) else {
            return Ok(false);
        };
        self.go_to(offset, before);
        Ok(true)
    }

    /// Goes to `offset`, the start of a line.
    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        match before(&self.file, offset)? {
            Some(before) => self.go_to(offset, before),
            None => self.restart(),
        }
        Ok(())
    }

    fn go_to(&mut self, offset: u64, before: Vec<u8>) {
        self.offset = offset;
        self.mark = mark(&before);
        self.scanned = offset;
        self.partial.clear();
        self.long = false;
        self.before = before;
        self.head.clear();
    }

    /// How much was written beyond what was read.
    pub(super) fn unread(&self) -> u64 {
        self.len().map_or(0, |len| len.saturating_sub(self.scanned))
    }

    /// Leaves out what is unread, but for about the last `kept` bytes from the start of a line on. Returns how many bytes
    /// were left out; none when no line ends there.
    pub(super) fn skip(&mut self, kept: u64) -> io::Result<u64> {
        let scanned = self.scanned;
        let to = line_start(&self.file, self.len()?.saturating_sub(kept))?;
        let Some(to) = to.filter(|to| *to > scanned) else {
            return Ok(0);
        };
        self.seek(to)?;
        Ok(to - scanned)
    }

    /// Goes to the start.
    fn restart(&mut self) {
        self.go_to(0, Vec::new());
        self.backlog = 0;
    }

    /// The same file from its start, as a file of its own.
    pub(super) fn anew(&self) -> io::Result<Self> {
        Ok(Self::of(self.file.try_clone()?, self.id))
    }

    /// Whether nothing was in it yet when it was looked at.
    pub(super) fn is_fresh(&self) -> bool {
        self.scanned == 0 && self.head.is_empty()
    }

    /// Of a file of which nothing was read yet: whether one that begins so is of the same log.
    pub(super) fn begins_like(&self, head: &[u8]) -> bool {
        alike(&self.head, head)
    }

    /// What stands before `at`; `None` when it is shorter than that.
    pub(super) fn before(&self, at: u64) -> io::Result<Option<Vec<u8>>> {
        before(&self.file, at)
    }

    /// Whether a copy of the file has these bytes before `scanned`, the place where this reading stands.
    pub(super) fn stands_behind(&self, before: &[u8], head: &[u8]) -> bool {
        match self.scanned {
            0 => !self.head.is_empty() && head.starts_with(&self.head),
            _ => before == self.before,
        }
    }

    /// Where the reading stands, also within a line.
    pub(super) fn scanned(&self) -> u64 {
        self.scanned
    }

    /// Goes on in a copy of the file, if that one is such: it holds what was read last, at the same place.
    pub(super) fn go_on_in(&self, copy: &mut Self) -> io::Result<bool> {
        let before = before(&copy.file, self.scanned)?;
        if !before.is_some_and(|before| copy.head().is_ok_and(|head| self.stands_behind(&before, &head))) {
            return Ok(false);
        }
        copy.offset = self.offset;
        copy.mark = self.mark;
        copy.scanned = self.scanned;
        copy.partial.clone_from(&self.partial);
        copy.long = self.long;
        copy.before.clone_from(&self.before);
        copy.backlog = self.backlog;
        Ok(true)
    }

    pub(super) fn position(&self, path: &Path) -> Position {
        let FileId { device, inode } = self.id;
        Position {
            path: path.to_owned(),
            device,
            inode,
            offset: self.offset,
            mark: self.mark,
        }
    }

    /// Reads on. Appends whole lines, each with its line end and cut at [`LINE_MAX`], to `lines`, and counts the cut ones.
    /// What `buffer` holds does not matter: it is kept for the next time.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, lines: &mut Vec<u8>, cut: &mut u64) -> io::Result<Found> {
        let known = self.before.len();
        buffer.resize(MARKED + CHUNK, 0);
        // One read for what is known and what is new: between two the file could be emptied.
        let got = read_at(&self.file, buffer, self.scanned - known as u64)?;
        Ok(self.digest(buffer.get(..got).unwrap_or_default(), lines, cut))
    }

    /// Takes in what stands from the known bytes on.
    fn digest(&mut self, read: &[u8], lines: &mut Vec<u8>, cut: &mut u64) -> Found {
        let Some(new) = read
            .strip_prefix(&self.before[..])
            .filter(|new| self.scanned > 0 || new.starts_with(&self.head))
        else {
            return Found::Rewritten;
        };
        if new.is_empty() {
            return Found::Nothing;
        }
        let known = self.before.len();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', new) {
            self.take(new.get(start..end).unwrap_or_default());
            lines.append(&mut self.partial);
            lines.push(b'\n');
            *cut += u64::from(std::mem::take(&mut self.long));
            start = end + 1;
        }
        self.take(new.get(start..).unwrap_or_default());
        if start > 0 {
            self.offset = self.scanned + start as u64;
            self.mark = mark(last(read.get(..known + start).unwrap_or_default()));
        }
        self.scanned += new.len() as u64;
        self.before.clear();
        self.before.extend_from_slice(last(read));
        self.head.clear();
        self.grown = Instant::now();
        Found::Some
    }

    fn take(&mut self, text: &[u8]) {
        self.long |= self.partial.len() + text.len() > LINE_MAX;
        keep(&mut self.partial, text);
    }
}

/// Whether two heads are of the same log, as far as there is anything to tell by.
pub(super) fn alike(one: &[u8], other: &[u8]) -> bool {
    !one.is_empty() && !other.is_empty() && (one.starts_with(other) || other.starts_with(one))
}

/// The up to [`MARKED`] bytes before `offset`; `None` when the file is shorter than that.
fn before(file: &File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let count = usize::try_from(offset).map_or(MARKED, |offset| offset.min(MARKED));
    let mut bytes = vec![0; count];
    let got = read_at(file, &mut bytes, offset - count as u64)?;
    Ok((got == bytes.len()).then_some(bytes))
}

/// The start of the first line that begins at `from` or later. `None` when no line ends there.
fn line_start(file: &File, from: u64) -> io::Result<Option<u64>> {
    let mut at = from.saturating_sub(1);
    let mut buffer = vec![0; CHUNK];
    loop {
        let got = read_at(file, &mut buffer, at)?;
        if got == 0 {
            return Ok(None);
        }
        if let Some(end) = memchr::memchr(b'\n', buffer.get(..got).unwrap_or_default()) {
            return Ok(Some(at + end as u64 + 1));
        }
        at += got as u64;
    }
}

/// The last [`MARKED`] bytes.
fn last(bytes: &[u8]) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(MARKED)..).unwrap_or_default()
}

/// Fills the buffer as far as the file goes.
pub(super) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
