//! Follows log files through everything that happens to them: rename, copytruncate, delete and re-create, a symlink that
//! points elsewhere, not being there yet, compressed before it was read. Nothing is lost, and nothing is read twice.
//!
//! A thread reads ([`spawn`]); what it hands over is in [`Batch`]es through a bounded channel, so that it waits for whoever
//! is behind. A batch comes with the position after it, to be committed with its effects.

pub(in crate::maillog) mod lines;
mod position;
mod read_back;
mod reading;
mod rotated;
mod tail;
mod watch;

use std::io;
use std::path::PathBuf;

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
}

/// Starts to follow. `batches` is how many batches (up to 256 KiB each) may wait to be received. The thread ends when the
/// receiver is dropped. Trouble with a file is logged, and tried again.
pub fn spawn(start: Start, batches: usize) -> io::Result<Batches> {
    let (outlet, batches) = queue(batches);
    std::thread::Builder::new()
        .name("maillog".into())
        .spawn(move || follow(&start, &outlet))?;
    Ok(batches)
}

fn follow(start: &Start, outlet: &Outlet) {
    let mut watch = Watch::new();
    // Watched before they are opened: what happens between is not missed.
    watch.watch(&start.paths);
    let mut tails = begin(start);
    let (there, waiting): (Vec<_>, Vec<_>) = start.paths.iter().partition(|path| path.exists());
    info!(?there, ?waiting, "following the mail log");
    while !outlet.is_closed() {
        let sent = look(&mut tails, start, &mut |batch| outlet.send(batch));
        if !sent {
            return;
        }
        outlet.unread(0);
        watch.wait();
        watch.watch(&start.paths);
    }
}

fn begin(start: &Start) -> Vec<Tail> {
    let mut tails: Vec<Tail> = start.paths.iter().map(|path| Tail::new(path.clone(), start)).collect();
    for at in 0..tails.len() {
        if !is_taken(&tails, at)
            && let Some(tail) = tails.get_mut(at)
        {
            tail.begin(start);
        }
    }
    tails
}

/// One look at everything. False when nobody receives any more.
fn look(tails: &mut [Tail], start: &Start, send: &mut impl FnMut(Batch) -> bool) -> bool {
    // Whatever a file got until now is read; only then is another one taken up.
    if !drain(tails, send) {
        return false;
    }
    let mut switched = false;
    for at in 0..tails.len() {
        if !is_taken(tails, at)
            && let Some(tail) = tails.get_mut(at)
        {
            switched |= tail.switch(start);
        }
    }
    !switched || drain(tails, send)
}

/// Two paths may lead to the same file: whether another tail reads the one at this tail's path.
fn is_taken(tails: &[Tail], at: usize) -> bool {
    let id = tails.get(at).and_then(Tail::other);
    id.is_some_and(|id| {
        tails
            .iter()
            .enumerate()
            .any(|(other, tail)| other != at && tail.has(id))
    })
}

/// Reads all tails to their ends, a batch of each in turn. False when nobody receives any more.
fn drain(tails: &mut [Tail], send: &mut impl FnMut(Batch) -> bool) -> bool {
    loop {
        let mut any = false;
        for at in 0..tails.len() {
            let Some(mut batch) = tails.get_mut(at).and_then(Tail::read) else {
                continue;
            };
            any = true;
            batch.unread = tails.iter().map(|tail| tail.unread).sum();
            if !send(batch) {
                return false;
            }
        }
        if !any {
            return true;
        }
    }
}

#[cfg(test)]
mod tests;
