//! What could not be written, as the disk was full or another process wrote: it waits here, in memory, and goes first into
//! the next write. So no position is ever recorded before the offences and bans that stand before it.

use jiff::Timestamp;
use rusqlite::Transaction;

use super::{Ban, bans, cursors, offences, positions};
use crate::detect::Offence;
use crate::maillog::Reached;

/// More offences than that do not wait, about 25 MB: the oldest go, they are the first to count no more.
const OFFENCES: usize = 50_000;
/// The same of bans with their evidence, about 20 MB.
const BANS: usize = 10_000;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    offences: Vec<Offence>,
    bans: Vec<(Ban, Vec<String>)>,
    /// How far each file or journal was read, and when.
    reached: Vec<(Reached, Timestamp)>,
    /// Offences and bans for which there was no room.
    pub(super) dropped: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.offences.is_empty() && self.bans.is_empty() && self.reached.is_empty()
    }

    /// How many offences and bans.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.offences.len(), self.bans.len())
    }

    pub(super) fn keep(
        &mut self,
        offences: Vec<Offence>,
        bans: Vec<(Ban, Vec<String>)>,
        reached: Option<Reached>,
        now: Timestamp,
    ) {
        self.offences.extend(offences);
        self.bans.extend(bans);
        if let Some(reached) = reached {
            self.reached.retain(|(other, _)| !same_log(other, &reached));
            self.reached.push((reached, now));
        }
        self.dropped += cut(&mut self.offences, OFFENCES) + cut(&mut self.bans, BANS);
    }

    pub(super) fn write(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        for offence in &self.offences {
            offences::insert(tx, offence)?;
        }
        for (ban, evidence) in &self.bans {
            bans::insert(tx, ban, evidence)?;
        }
        for (reached, now) in &self.reached {
            put(tx, reached, *now)?;
        }
        Ok(())
    }
}

/// Writes how far a log was read.
pub(super) fn put(tx: &Transaction<'_>, reached: &Reached, now: Timestamp) -> rusqlite::Result<()> {
    match reached {
        Reached::File(position) => positions::put(tx, position, now),
        Reached::Journal(cursor) => cursors::put(tx, cursor, now),
        Reached::Input => Ok(()),
    }
}

/// Whether the one takes the place of the other.
fn same_log(one: &Reached, other: &Reached) -> bool {
    match (one, other) {
        (Reached::File(one), Reached::File(other)) => {
            (&one.path, one.device, one.inode) == (&other.path, other.device, other.inode)
        }
        (Reached::File(_), _) | (_, Reached::File(_)) => false,
        _ => one.source() == other.source(),
    }
}

/// Cuts the oldest off; returns how many. A quarter at once, since the others have to move.
fn cut<T>(list: &mut Vec<T>, most: usize) -> usize {
    if list.len() <= most {
        return 0;
    }
    list.drain(..list.len() - most * 3 / 4).len()
}
