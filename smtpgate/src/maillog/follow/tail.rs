//! One path: the file that is there, and those that were there before and may still be written to.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::Start;
use super::position::{FileId, Position};
use super::read_back::read_back;
use super::reading::{Found, Reading};
use super::rotated::{Rotated, packed, rotated};
use crate::maillog::{Batch, Reached};

/// A writer goes on with a renamed file until it is told to reopen; one that was quiet for so long was told.
const QUIET: Duration = Duration::from_mins(5);
/// More renamed files than that are not kept open.
const RETIRED: usize = 32;
/// More compressed files than that, the newest, are not searched for where the reading stood.
const PACKED: usize = 8;
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
    /// Left out, and not yet told with a batch.
    skipped: u64,
    /// [`Start::behind`]
    behind: u64,
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
            skipped: 0,
            behind: start.behind,
        }
    }

    /// Whether this tail reads that file.
    pub(super) fn has(&self, id: FileId) -> bool {
        self.current.iter().chain(&self.retired).any(|reading| reading.id == id)
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
        let current = self.open();
        let goes_on = current
            .as_ref()
            .is_some_and(|reading| reading.offset > 0 || self.knows(reading));
        let mut siblings = self.siblings();
        let resumed: Vec<bool> = siblings.iter_mut().map(|(_, reading)| self.resume(reading)).collect();
        let last_read = if goes_on {
            None
        } else {
            self.last_read(&mut siblings, &resumed)
        };
        let packed = match self.known.last() {
            Some(last) if !goes_on && last_read.is_none() => self.packed(last.offset, last.mark),
            _ => Vec::new(),
        };
        if !goes_on && last_read.is_none() && packed.is_empty() && current.is_some() {
            info!(path = %self.path.display(), "what was read of the log is gone: reading the file that is there");
        }
        let wanted = siblings
            .into_iter()
            .zip(resumed)
            .enumerate()
            .filter_map(|(at, ((sibling, reading), resumed))| {
                let unread = last_read.is_some_and(|last| at == last || (at > last && sibling.numbered));
                let newer = !packed.is_empty() && sibling.numbered;
                (resumed || unread || newer).then_some(reading)
            })
            .collect::<Vec<_>>();
        self.retired = packed.into_iter().chain(wanted).collect();
        self.retired.drain(..self.retired.len().saturating_sub(RETIRED));
        self.current = current;
        for reading in self.current.iter_mut().chain(&mut self.retired) {
            reading.backlog = reading.len().unwrap_or(0);
        }
    }

    /// Which sibling holds the last that was read, when it is not the file at the path. Those after it were never seen.
    fn last_read(&self, siblings: &mut [(Rotated, Reading)], resumed: &[bool]) -> Option<usize> {
        let last = self.known.last()?;
        let found = siblings
            .iter()
            .zip(resumed)
            .any(|((_, reading), resumed)| *resumed && reading.id == last.id());
        // Not renamed, so emptied, after a copy was made.
        let copy = siblings.iter_mut().zip(resumed).rposition(|((_, reading), resumed)| {
            !found && !resumed && reading.resume(last.offset, last.mark).unwrap_or(false)
        });
        copy.max(resumed.iter().rposition(|resumed| *resumed))
    }

    /// Where the reading stood, in what rotation has compressed before it was read to its end, and the compressed files after
    /// it; the oldest first. None when it is not found.
    fn packed(&self, offset: u64, mark: u64) -> Vec<Reading> {
        if offset == 0 {
            // There is nothing to know it by.
            return Vec::new();
        }
        let unpack = |file: &Rotated, offset| {
            Reading::unpack(&file.path, offset, self.behind)
                .inspect_err(|error| warn!(path = %file.path.display(), %error, "cannot unpack the log"))
                .ok()
        };
        let files = packed(&self.path);
        for (at, file) in files.iter().enumerate().rev().take(PACKED) {
            let Some(mut reading) = unpack(file, offset) else {
                continue;
            };
            if reading.resume(offset, mark).unwrap_or(false) {
                info!(path = %file.path.display(), "the log was compressed before it was read: going on in it");
                let newer = files.iter().skip(at + 1).filter_map(|file| unpack(file, 0));
                return std::iter::once(reading).chain(newer).collect();
            }
        }
        Vec::new()
    }

    /// The files beside the path that were there before, each at its start.
    fn siblings(&self) -> Vec<(Rotated, Reading)> {
        let open = |sibling: Rotated| Reading::open(&sibling.path).ok().map(|reading| (sibling, reading));
        rotated(&self.path).into_iter().filter_map(open).collect()
    }

    /// Takes up files that came and went since the last look: those that are newer than what was read last.
    fn take_up(&mut self, newer: impl Iterator<Item = (Rotated, Reading)>) {
        for (sibling, mut reading) in newer {
            if sibling.numbered && !self.has(reading.id) {
                self.resume(&mut reading);
                self.retired.push(reading);
            }
        }
        self.retired.drain(..self.retired.len().saturating_sub(RETIRED));
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

    /// Takes up what is new: another file at the path, and files that were there since the last look and are gone again.
    /// What was there is read on. False when nothing is new.
    pub(super) fn switch(&mut self, start: &Start) -> bool {
        let missing = !self.path.exists();
        if !missing && self.other().is_none() {
            return false;
        }
        if self.known.is_empty() && self.current.is_none() {
            self.first(start);
            return self.current.is_some();
        }
        let siblings = self.siblings();
        let last = siblings.iter().rposition(|(_, reading)| self.has(reading.id));
        if !missing {
            let Some(next) = self.open() else { return false };
            debug!(path = %self.path.display(), inode = next.id.inode, "another file is at the path");
            // A file that comes back is read on where it was left.
            let back = self
                .retired
                .iter()
                .position(|reading| reading.id == next.id)
                .map(|at| self.retired.remove(at));
            let old = self.current.replace(back.unwrap_or(next));
            self.retired.extend(old);
        }
        let retired = self.retired.len();
        self.take_up(siblings.into_iter().skip(last.map_or(usize::MAX, |last| last + 1)));
        !missing || self.retired.len() > retired
    }

    /// Reads on, the oldest file first. `None` when there is nothing new.
    pub(super) fn read(&mut self) -> Option<Batch> {
        self.catch_up();
        self.retired
            .retain(|reading| reading.grown.elapsed() < QUIET || reading.unread() > 0);
        let mut at = 0;
        while at < self.retired.len() {
            let (found, batch) = self.read_one(at);
            match found {
                Ok(Found::Some) if batch.is_some() => return batch,
                Ok(Found::Some) => {}
                Ok(Found::Nothing) => at += 1,
                Ok(Found::Rewritten) | Err(_) => drop(self.retired.remove(at)),
            }
        }
        loop {
            let (found, batch) = self.read_one(at);
            match found {
                Ok(Found::Some) if batch.is_some() => return batch,
                Ok(Found::Some) => {}
                Ok(Found::Nothing) => return None,
                Ok(Found::Rewritten) => {
                    if self.rewritten() {
                        return self.read();
                    }
                }
                Err(error) => {
                    warn!(path = %self.path.display(), %error, "cannot read the log");
                    return None;
                }
            }
        }
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
        let found = reading.read(&mut bytes, &mut cut);
        if bytes.is_empty() {
            return (found, None);
        }
        let position = reading.position(&self.path);
        self.remember(&position);
        self.unread = self.unread.saturating_sub(bytes.len() as u64);
        (
            found,
            Some(Batch {
                position: Reached::File(position),
                backlog,
                cut,
                unread: self.unread,
                skipped: std::mem::take(&mut self.skipped),
                bytes,
            }),
        )
    }

    /// The current file was emptied. What was not yet read of it is in the copy that was made before, if any: true.
    fn rewritten(&mut self) -> bool {
        let mut siblings = self.siblings();
        let Some(current) = self.current.as_mut() else {
            return false;
        };
        let copy = siblings
            .iter_mut()
            .rposition(|(_, reading)| current.go_on_in(reading).unwrap_or(false));
        debug!(path = %self.path.display(), copy = copy.is_some(), "the log was emptied");
        let (offset, mark) = (current.offset, current.mark);
        current.restart();
        let Some(copy) = copy else {
            let packed = self.packed(offset, mark);
            let found = !packed.is_empty();
            self.retired.extend(packed);
            return found;
        };
        let mut newer = siblings.into_iter().skip(copy);
        if let Some((_, copy)) = newer.next() {
            self.remember(&copy.position(&self.path));
            self.retired.push(copy);
        }
        self.take_up(newer);
        true
    }

    /// Keeps in mind how far a file was read.
    fn remember(&mut self, position: &Position) {
        self.known.retain(|known| known.id() != position.id());
        self.known.push(position.clone());
        self.known.drain(..self.known.len().saturating_sub(KNOWN));
    }
}
