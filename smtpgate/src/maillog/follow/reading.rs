//! One open file, read from a line on. Knows nothing of paths.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use super::lines::{LINE_MAX, keep};
use super::position::{FileId, MARKED, Position, mark};

/// Bytes read at once: bounds a batch.
const CHUNK: usize = 256 * 1024;

/// Where logs are unpacked: on a disk, which /tmp need not be (file-hierarchy(7)).
const UNPACKED: &str = "/var/tmp";

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
    /// What is read into, kept for the next time.
    buffer: Vec<u8>,
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

    /// Unpacks a compressed log into a file without a name on the disk, from where `offset` can be gone on from; before
    /// that there is a hole. Not more than `most` bytes.
    pub(super) fn unpack(path: &Path, offset: u64, most: u64) -> io::Result<Self> {
        let mut log = crate::maillog::open(File::open(path)?)?;
        let from = offset.saturating_sub(MARKED as u64);
        io::copy(&mut log.by_ref().take(from), &mut io::sink())?;
        let mut file = tempfile::tempfile_in(UNPACKED)?;
        file.seek(io::SeekFrom::Start(from))?;
        io::copy(&mut log.take(most), &mut file)?;
        let meta = file.metadata()?;
        Ok(Self::of(file, FileId::from(&meta)))
    }

    fn of(file: File, id: FileId) -> Self {
        Self {
            file,
            id,
            offset: 0,
            mark: mark(b""),
            scanned: 0,
            partial: Vec::new(),
            long: false,
            before: Vec::new(),
            buffer: Vec::new(),
            backlog: 0,
            grown: Instant::now(),
        }
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
    pub(super) fn restart(&mut self) {
        self.go_to(0, Vec::new());
        self.backlog = 0;
    }

    /// Goes on in a copy of the file, if that one is such: it holds what was read last, at the same place.
    pub(super) fn go_on_in(&self, copy: &mut Self) -> io::Result<bool> {
        if before(&copy.file, self.scanned)?.is_none_or(|before| before != self.before) {
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
    pub(super) fn read(&mut self, lines: &mut Vec<u8>, cut: &mut u64) -> io::Result<Found> {
        let known = self.before.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(MARKED + CHUNK, 0);
        // One read for what is known and what is new: between two the file could be emptied.
        let got = read_at(&self.file, &mut buffer, self.scanned - known as u64)?;
        let found = self.digest(buffer.get(..got).unwrap_or_default(), lines, cut);
        self.buffer = buffer;
        Ok(found)
    }

    /// Takes in what stands from the known bytes on.
    fn digest(&mut self, read: &[u8], lines: &mut Vec<u8>, cut: &mut u64) -> Found {
        let Some(new) = read.strip_prefix(&self.before[..]) else {
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
        self.grown = Instant::now();
        Found::Some
    }

    fn take(&mut self, text: &[u8]) {
        self.long |= self.partial.len() + text.len() > LINE_MAX;
        keep(&mut self.partial, text);
    }
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
