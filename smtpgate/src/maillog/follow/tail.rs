//! One path: the file that is there, and those that were there before and may still be written to.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::Start;
use super::packed::Packed;
use super::position::{FileId, Position, mark};
use super::read_back::read_back;
use super::reading::{Found, Reading, alike};
use super::rotated::{Log, Rotated, rotated};
use crate::maillog::{Batch, Reached};

/// A writer goes on with a renamed file until it is told to reopen; one that was quiet for so long was told.
const QUIET: Duration = Duration::from_mins(5);
/// More renamed files than that are not kept open when they have been read,
const RETIRED: usize = 32;
/// and more than that not at all: a process may by default open 1,024.
const OPEN: usize = 512;
/// Positions remembered per path.
const KNOWN: usize = 64;

/// A followed path.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    /// The file that is at the path.
    current: Option<Reading>,
    /// The files that were, oldest first.
    retired: Vec<Reading>,
    /// How far which file was read, the latest last.
    known: Vec<Position>,
    /// The last error, so that it is told once.
    error: Option<String>,
    /// Written, and not yet read.
    pub(super) unread: u64,
    /// Read from the current file, and not yet handed over.
    held: Option<Batch>,
    /// What is read into.
    buffer: Vec<u8>,
    /// Left out, and not yet told with a batch.
    skipped: u64,
    /// [`Start::behind`]
    behind: u64,
    /// [`Start::unpack_in`]
    unpack_in: PathBuf,
}

impl Tail {
    pub(super) fn new(path: PathBuf, start: &Start) -> Self {
        let known = start
            .positions
            .iter()
            .filter(|position| position.path == path)
            .cloned()
            .collect();
        Self {
            path,
            current: None,
            retired: Vec::new(),
            known,
            error: None,
            unread: 0,
            held: None,
            buffer: Vec::new(),
            skipped: 0,
            behind: start.behind,
            unpack_in: start.unpack_in.clone(),
        }
    }

    /// Whether this tail reads that file.
    pub(super) fn has(&self, id: FileId) -> bool {
        self.readings().any(|reading| reading.id == id)
    }

    fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.current.iter().chain(&self.retired)
    }

    /// The file that is at the path, if it is not the one that is read.
    pub(super) fn other(&self) -> Option<FileId> {
        let id = FileId::from(&std::fs::metadata(&self.path).ok()?);
        self.current
            .as_ref()
            .is_none_or(|current| current.id != id)
            .then_some(id)
    }

    /// Takes up the path when the follower begins: goes on where the last run stopped, through what has happened to the
    /// file meanwhile.
    pub(super) fn begin(&mut self, start: &Start) {
        if self.known.is_empty() {
            return self.first(start);
        }
        let (current, mut files) = self.there();
        let goes_on = current
            .as_ref()
            .is_some_and(|reading| reading.offset > 0 || self.knows(reading));
        let resumed: Vec<bool> = files
            .iter_mut()
            .map(|file| match &mut file.log {
                Log::Plain(reading) => self.resume(reading),
                Log::Packed(_) => false,
            })
            .collect();
        let last = if goes_on {
            None
        } else {
            self.last_read(&mut files, &resumed)
        };
        if !goes_on && last.is_none() && current.is_some() {
            warn!(
                path = %self.path.display(),
                "where the reading stood is in none of the files there are: reading the one at the path; what was written \
                 between is left out"
            );
        }
        let stood = self.known.last().cloned();
        // Before that one, only files that were read and may still be written to.
        let newer = files.split_off(last.map_or(files.len(), |last| last + 1));
        let read = files.into_iter().zip(resumed).enumerate();
        self.current = current;
        self.retired = read
            .filter_map(|(at, (file, resumed))| match file.log {
                // Where the path is a link, what it points to lies among them.
                Log::Plain(reading) if self.has(reading.id) => None,
                Log::Plain(reading) => (resumed || Some(at) == last).then_some(reading),
                Log::Packed(packed) if Some(at) == last => {
                    let (stood, mut room) = (stood.as_ref()?, self.behind);
                    let mut reading = self.unpack(&file.path, &packed, stood.offset, &mut room)?;
                    info!(path = %file.path.display(), "the log was compressed before it was read: going on in it");
                    reading.resume(stood.offset, stood.mark).ok()?.then_some(reading)
                }
                Log::Packed(_) => None,
            })
            .collect();
        let newer = self.take_up(newer);
        self.retired.extend(newer);
        self.let_go();
        for reading in self.current.iter_mut().chain(&mut self.retired) {
            reading.backlog = reading.len().unwrap_or(0);
        }
    }

    /// The file at the path, where it was left if it was read before, and those beside it: as they are at one moment.
    fn there(&mut self) -> (Option<Reading>, Vec<Rotated>) {
        loop {
            let current = self.open();
            let files = rotated(&self.path);
            let id = std::fs::metadata(&self.path).ok().map(|meta| FileId::from(&meta));
            if current.as_ref().is_none_or(|current| Some(current.id) == id) {
                return (current, files);
            }
        }
    }

    /// Which file holds the last that was read, when it is not the one at the path: the newest that does. Those after it
    /// were never seen.
    fn last_read(&self, files: &mut [Rotated], resumed: &[bool]) -> Option<usize> {
        let last = self.known.last()?;
        let under_its_own_id = files
            .iter()
            .zip(resumed)
            .any(|(file, resumed)| *resumed && matches!(&file.log, Log::Plain(reading) if reading.id == last.id()));
        let mut searched = 0;
        files
            .iter_mut()
            .zip(resumed)
            .rposition(|(file, resumed)| match &mut file.log {
                Log::Plain(_) if *resumed => true,
                // Not renamed, so emptied after a copy was made, or compressed.
                _ if under_its_own_id || last.offset == 0 => false,
                Log::Plain(reading) => reading.resume(last.offset, last.mark).unwrap_or(false),
                Log::Packed(packed) => {
                    let found = self.before(packed, last.offset, &mut searched);
                    found.is_some_and(|before| mark(&before) == last.mark)
                }
            })
    }

    /// What stands before `offset` in a compressed log. Not searched when newer ones have more than is read on in any case.
    fn before(&self, packed: &Packed, offset: u64, searched: &mut u64) -> Option<Vec<u8>> {
        if *searched > self.behind {
            return None;
        }
        let (before, len) = packed.before(offset).ok()?;
        *searched += len;
        before
    }

    /// Unpacks a log from `offset` on, if what is unread of it is not more than there is room for.
    fn unpack(&mut self, path: &Path, packed: &Packed, offset: u64, room: &mut u64) -> Option<Reading> {
        let unread = packed.len().map(|len| len.saturating_sub(offset));
        let unpacked = unread.and_then(|unread| {
            if unread > *room {
                warn!(
                    path = %path.display(),
                    "the compressed logs that were not read hold more than {} MiB: these {} MiB are left out",
                    self.behind >> 20,
                    unread >> 20
                );
                self.skipped += unread;
                *room = 0;
                return Ok(None);
            }
            *room -= unread;
            packed.unpack(offset, &self.unpack_in).map(Some)
        });
        unpacked
            .inspect_err(
                |error| warn!(path = %path.display(), %error, "cannot unpack the log: what it holds is left out"),
            )
            .ok()
            .flatten()
    }

    /// Files that came after what was read last, for reading; the newest has the first claim on the room.
    fn take_up(&mut self, newer: Vec<Rotated>) -> Vec<Reading> {
        let (mut room, mut searched) = (self.behind, 0);
        let mut taken: Vec<Reading> = Vec::new();
        for file in newer.into_iter().rev().filter(|file| file.numbered) {
            if self.copies_current(&file.log, &mut searched) {
                continue;
            }
            match file.log {
                Log::Plain(mut reading) if !self.has(reading.id) => {
                    self.resume(&mut reading);
                    taken.push(reading);
                }
                Log::Plain(_) => {}
                Log::Packed(packed) => taken.extend(self.unpack(&file.path, &packed, 0, &mut room)),
            }
        }
        taken.reverse();
        taken
    }

    /// Whether it is a copy of the file at the path, which is about to be emptied, or has been since it was looked at: when
    /// that is noticed, the copy is looked for.
    fn copies_current(&self, log: &Log, searched: &mut u64) -> bool {
        let Some(current) = &self.current else { return false };
        let at = current.scanned();
        if at == 0 {
            return log.head().is_ok_and(|head| current.begins_like(&head));
        }
        let before = match log {
            Log::Plain(reading) => reading.before(at).ok().flatten(),
            Log::Packed(packed) => self.before(packed, at, searched),
        };
        before.is_some_and(|before| current.stands_behind(&before, &[]))
    }

    /// Not too many files are kept open: those that were read to their end go first.
    fn let_go(&mut self) {
        while self.retired.len() > RETIRED
            && let Some(read) = self.retired.iter().position(|reading| reading.unread() == 0)
        {
            self.retired.remove(read);
        }
        let over = self.retired.len().saturating_sub(OPEN);
        let left_out: u64 = self.retired.drain(..over).map(|reading| reading.unread()).sum();
        if left_out > 0 {
            warn!(
                path = %self.path.display(),
                "more than {OPEN} files were not read: the oldest {} MiB are left out",
                left_out >> 20
            );
        }
        self.skipped += left_out;
    }

    /// The path was never read: what is there is read back to `since`.
    fn first(&mut self, start: &Start) {
        let Some(mut reading) = self.open() else { return };
        let back = reading.len().and_then(|len| {
            let from = read_back(reading.file(), len, start.since, &start.clock)?;
            reading.seek(from)?;
            reading.backlog = len;
            Ok(())
        });
        if let Err(error) = back {
            warn!(path = %self.path.display(), %error, "cannot read the log back");
        }
        self.current = Some(reading);
    }

    /// Opens the file that is at the path, where it was left if it was read before.
    fn open(&mut self) -> Option<Reading> {
        match Reading::open(&self.path) {
            Ok(mut reading) => {
                self.resume(&mut reading);
                self.error = None;
                Some(reading)
            }
            Err(error) => {
                let text = error.to_string();
                if error.kind() != io::ErrorKind::NotFound && self.error.as_ref() != Some(&text) {
                    warn!(path = %self.path.display(), %error, "cannot open the log: trying again");
                }
                self.error = Some(text);
                None
            }
        }
    }

    fn knows(&self, reading: &Reading) -> bool {
        self.known
            .iter()
            .any(|position| position.id() == reading.id && position.offset == reading.offset)
    }

    /// Goes to where this file was left. False when it was not read before, or does not hold what was read.
    fn resume(&self, reading: &mut Reading) -> bool {
        let known = self.known.iter().rev().find(|position| position.id() == reading.id);
        known.is_some_and(|position| reading.resume(position.offset, position.mark).unwrap_or(false))
    }

    /// Takes up another file at the path, and those that were there since the last look and are gone again. What was there
    /// is read on. False when nothing is new.
    pub(super) fn switch(&mut self, start: &Start) -> bool {
        if self.known.is_empty() && self.current.is_none() {
            self.first(start);
            return self.current.is_some();
        }
        if self.other().is_none() && self.path.exists() {
            return false;
        }
        let (next, files) = self.there();
        let newer = Self::newer(self.readings(), files);
        let nothing_there = next.is_none();
        if let Some(next) = next {
            self.replace(next);
        }
        let mut newer = self.take_up(newer);
        // Nothing is there at the moment, but something may have been since the last look.
        let gone_again = newer.pop_if(|_| nothing_there);
        let switched = !nothing_there || gone_again.is_some();
        if let Some(newest) = gone_again {
            self.replace(newest);
        }
        self.retired.extend(newer);
        self.let_go();
        switched
    }

    /// Another file is the one that is read.
    fn replace(&mut self, next: Reading) {
        debug!(path = %self.path.display(), inode = next.id.inode, "another file is at the path");
        // A file that comes back is read on where it was left.
        let back = self.retired.iter().position(|reading| reading.id == next.id);
        let back = back.map(|at| self.retired.remove(at));
        if let Some(mut old) = self.current.replace(back.unwrap_or(next)) {
            // The writer is told to leave it now, however long it was quiet.
            old.grown = Instant::now();
            self.retired.push(old);
        }
    }

    /// The files that came after the newest of those in `read`. None when none of these is there any more.
    fn newer<'r>(read: impl Iterator<Item = &'r Reading>, mut files: Vec<Rotated>) -> Vec<Rotated> {
        // How a file begins tells a compressed one that is still open from one that was never seen.
        // One that was empty tells nothing: it may have been filled, copied and emptied since.
        let read: Vec<(FileId, Vec<u8>)> = read
            .filter(|reading| !reading.is_fresh())
            .map(|reading| (reading.id, reading.head().unwrap_or_default()))
            .collect();
        let last = files.iter().rposition(|file| match &file.log {
            Log::Plain(reading) => read.iter().any(|(id, _)| *id == reading.id),
            Log::Packed(packed) => packed
                .head()
                .is_ok_and(|head| read.iter().any(|(_, known)| alike(known, &head))),
        });
        files.split_off(last.map_or(files.len(), |last| last + 1))
    }

    /// Reads on, the oldest file first. `None` when there is nothing new.
    pub(super) fn read(&mut self) -> Option<Batch> {
        self.catch_up();
        self.retired
            .retain(|reading| reading.grown.elapsed() < QUIET || reading.unread() > 0);
        if self.current.as_mut().is_some_and(Reading::peek) {
            // It was empty before, and may have been filled, copied and emptied meanwhile.
            let newer = Self::newer(self.retired.iter(), rotated(&self.path));
            self.retire_older(newer);
        }
        loop {
            let batch = self.read_retired().or_else(|| self.held.take());
            if let Some(batch) = batch {
                if let Reached::File(position) = &batch.position {
                    self.remember(position.clone());
                }
                self.unread = self.unread.saturating_sub(batch.size());
                return Some(batch);
            }
            match self.read_one(self.retired.len()) {
                // What was written to a renamed file before this was is to be read before this: first looked for once more.
                (Ok(Found::Some), batch) => self.held = batch,
                (Ok(Found::Nothing), _) => return None,
                (Ok(Found::Rewritten), _) => self.rewritten(),
                (Err(error), _) => {
                    warn!(path = %self.path.display(), %error, "cannot read the log");
                    return None;
                }
            }
        }
    }

    /// Reads on in the files that were at the path before.
    fn read_retired(&mut self) -> Option<Batch> {
        let mut at = 0;
        while at < self.retired.len() {
            match self.read_one(at) {
                (Ok(Found::Some), Some(batch)) => return Some(batch),
                (Ok(Found::Some), None) => {}
                (Ok(Found::Nothing), _) => at += 1,
                (Ok(Found::Rewritten) | Err(_), _) => drop(self.retired.remove(at)),
            }
        }
        None
    }

    /// When the writing is too far ahead: leaves out the oldest of what is unread, so that the newest is not kept waiting.
    fn catch_up(&mut self) {
        let newest_first = || self.current.iter().chain(self.retired.iter().rev());
        self.unread = newest_first().map(Reading::unread).sum();
        if self.unread <= self.behind {
            return;
        }
        let (mut room, mut skipped) = (self.behind / 4, 0);
        for reading in self.current.iter_mut().chain(self.retired.iter_mut().rev()) {
            let unread = reading.unread();
            if unread > room {
                skipped += reading.skip(room).unwrap_or(0);
            }
            room = room.saturating_sub(unread);
        }
        if skipped > 0 {
            warn!(
                path = %self.path.display(),
                "the log was {} MiB ahead of its reading: the oldest {} MiB are left out",
                self.unread >> 20,
                skipped >> 20
            );
        }
        self.skipped += skipped;
        self.unread = self.unread.saturating_sub(skipped);
    }

    /// Reads one chunk of a retired file, or of the current one.
    fn read_one(&mut self, at: usize) -> (io::Result<Found>, Option<Batch>) {
        let Some(reading) = self.retired.get_mut(at).or(self.current.as_mut()) else {
            return (Ok(Found::Nothing), None);
        };
        let (mut bytes, mut cut) = (Vec::new(), 0);
        let backlog = reading.offset < reading.backlog;
        let found = reading.read(&mut self.buffer, &mut bytes, &mut cut);
        if bytes.is_empty() {
            return (found, None);
        }
        let batch = Batch {
            position: Reached::File(reading.position(&self.path)),
            backlog,
            cut,
            unread: 0,
            skipped: std::mem::take(&mut self.skipped),
            bytes,
        };
        (found, Some(batch))
    }

    /// The current file was emptied. What was not yet read of it is in the copy that was made before, if any.
    fn rewritten(&mut self) {
        let Some(current) = self.current.take() else { return };
        // Before the copies are listed: one that is made later is noticed by it.
        self.current = current.anew().ok();
        let mut files = rotated(&self.path);
        let mut searched = 0;
        let copy = files.iter_mut().rposition(|file| match &mut file.log {
            Log::Plain(reading) => current.go_on_in(reading).unwrap_or(false),
            Log::Packed(packed) => self
                .before(packed, current.scanned(), &mut searched)
                .is_some_and(|before| packed.head().is_ok_and(|head| current.stands_behind(&before, &head))),
        });
        debug!(path = %self.path.display(), copy = copy.is_some(), "the log was emptied");
        let newer = files.split_off(copy.map_or(files.len(), |copy| copy + 1));
        let copy = copy.and_then(|copy| files.into_iter().nth(copy));
        let copy = copy.and_then(|file| match file.log {
            Log::Plain(reading) => Some(reading),
            Log::Packed(packed) => {
                let mut room = self.behind;
                let mut reading = self.unpack(&file.path, &packed, current.scanned(), &mut room)?;
                current.go_on_in(&mut reading).ok()?.then_some(reading)
            }
        });
        self.retired.extend(copy);
        self.retire_older(newer);
        self.let_go();
    }

    /// Takes up those of the files that came before the current one, of which nothing was read yet. When that was renamed, too,
    /// what came after it comes after it: see [`Tail::switch`].
    fn retire_older(&mut self, mut files: Vec<Rotated>) {
        if let Some(current) = &self.current {
            let itself = |file: &Rotated| match &file.log {
                Log::Plain(reading) => reading.id == current.id,
                Log::Packed(packed) => packed.head().is_ok_and(|head| current.begins_like(&head)),
            };
            files.truncate(files.iter().position(itself).unwrap_or(files.len()));
        }
        let older = self.take_up(files);
        self.retired.extend(older);
    }

    /// Keeps in mind how far a file was read.
    fn remember(&mut self, position: Position) {
        self.known.retain(|known| known.id() != position.id());
        self.known.push(position);
        self.known.drain(..self.known.len().saturating_sub(KNOWN));
    }
}
