//! Follows log files through everything that happens to them: rename, copytruncate, delete and re-create, a symlink that
//! points elsewhere, not being there yet, compressed before it was read. Nothing is lost, and nothing is read twice.
//!
//! A thread reads ([`spawn`]); what it hands over is in [`Batch`]es through a bounded channel, so that it waits for whoever
//! is behind. A batch comes with the position after it, to be committed with its effects.

pub(in crate::maillog) mod lines;
mod packed;
mod position;
mod read_back;
mod reading;
mod rotated;
mod tail;
mod watch;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tracing::info;

pub use lines::LINE_MAX;
pub use position::Position;
use tail::Tail;
use watch::Watch;

use super::queue::{Batches, Outlet, queue};
use super::{Batch, Clock};

/// Where distributions have the mail log: Debian and SUSE, Red Hat and FreeBSD. Follow both: which one appears later,
/// nobody knows.
pub const AUTO: [&str; 2] = ["/var/log/mail.log", "/var/log/maillog"];

/// More bytes than that are not read on one after the other while the newest lines wait: a quarter of them, the last ones,
/// are, and the rest is left out, logged and counted. Reading so much takes some seconds, so it only comes to that after
/// a long time down on a very busy host, or when something holds up the taking in.
pub const BEHIND: u64 = 256 << 20;

/// What the follower starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// The files.
    pub paths: Vec<PathBuf>,
    /// Where the reading of them stood, from the ledger, the latest last.
    pub positions: Vec<Position>,
    /// A file that was never read is read back to this time of its lines: `findtime` before now.
    pub since: Timestamp,
    /// For lines without year and zone.
    pub clock: Clock,
    /// Of a log with more unread bytes than that, the oldest are left out: see [`BEHIND`].
    pub behind: u64,
    /// A folder that the process may write to, on a disk: rotated logs that were compressed before they were read are
    /// unpacked there, into files without names. Up to [`Start::behind`] bytes.
    pub unpack_in: PathBuf,
}

/// Starts to follow. `batches` is how many batches (up to 256 KiB each) may wait to be received. The thread ends when the
/// receiver is dropped. Trouble with a file is logged, and tried again.
pub fn spawn(start: Start, batches: usize) -> io::Result<Batches> {
    let (outlet, batches) = queue(batches);
    // Behind, until the first look is over.
    outlet.age(Duration::ZERO);
    std::thread::Builder::new()
        .name("maillog".into())
        .spawn(move || follow(start, &outlet))?;
    Ok(batches)
}

fn follow(start: Start, outlet: &Outlet) {
    let paths = start.paths.clone();
    let mut watch = Watch::new();
    // Watched before they are opened: what happens between is not missed.
    watch.watch(&paths);
    let (there, waiting): (Vec<_>, Vec<_>) = paths.iter().partition(|path| path.exists());
    info!(?there, ?waiting, "following the mail log");
    let mut follower = Follower::begin(start);
    while !outlet.is_closed() {
        let sent = follower.look(&mut |batch| outlet.send(batch));
        if !sent {
            return;
        }
        outlet.unread(0);
        watch.wait();
        watch.watch(&paths);
    }
}

/// Reads files when it is told to look.
#[derive(Debug)]
pub struct Follower {
    start: Start,
    tails: Vec<Tail>,
}

impl Follower {
    /// Takes up the files where the reading of them stood.
    pub fn begin(start: Start) -> Self {
        let tails = start.paths.iter().map(|path| Tail::new(path.clone(), &start)).collect();
        let mut follower = Self { start, tails };
        for at in 0..follower.tails.len() {
            if !follower.is_taken(at)
                && let Some(tail) = follower.tails.get_mut(at)
            {
                tail.begin(&follower.start);
            }
        }
        follower
    }

    /// One look at everything: hands over all that is new. False when nobody receives any more.
    pub fn look(&mut self, send: &mut impl FnMut(Batch) -> bool) -> bool {
        // Whatever a file got until now is read; only then is another one taken up.
        if !self.drain(send) {
            return false;
        }
        let mut switched = false;
        for at in 0..self.tails.len() {
            if !self.is_taken(at)
                && let Some(tail) = self.tails.get_mut(at)
            {
                switched |= tail.switch(&self.start);
            }
        }
        !switched || self.drain(send)
    }

    /// Two paths may lead to the same file: whether another tail reads the one at this tail's path.
    fn is_taken(&self, at: usize) -> bool {
        let id = self.tails.get(at).and_then(Tail::other);
        id.is_some_and(|id| {
            let mut others = self.tails.iter().enumerate().filter(|(other, _)| *other != at);
            others.any(|(_, tail)| tail.has(id))
        })
    }

    /// Reads all tails to their ends, a batch of each in turn. False when nobody receives any more.
    fn drain(&mut self, send: &mut impl FnMut(Batch) -> bool) -> bool {
        loop {
            let mut any = false;
            for at in 0..self.tails.len() {
                let Some(mut batch) = self.tails.get_mut(at).and_then(Tail::read) else {
                    continue;
                };
                any = true;
                batch.unread = self.tails.iter().map(|tail| tail.unread).sum();
                if !send(batch) {
                    return false;
                }
            }
            if !any {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
