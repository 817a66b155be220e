//! Between the thread that reads and whoever takes in what was read: a bounded queue, and how far it is behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Batch;

/// How far the reading of a log is behind its writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Written, and not yet taken in. Of a journal, only what waits in the queue: it does not tell its sizes.
    pub bytes: u64,
    /// For how long something has been waiting.
    pub time: Duration,
    /// Bytes that were left out, as the backlog had become too long.
    pub skipped: u64,
    /// Lines that were cut, as they were longer than [`super::follow::LINE_MAX`].
    pub cut: u64,
}

#[derive(Debug)]
struct State {
    /// Bytes written, and not yet read.
    unread: u64,
    /// Bytes read, and not yet taken in.
    queued: u64,
    /// The reader stands at the end.
    at_end: bool,
    /// Whatever was written by then has been taken in.
    up_to: Instant,
    skipped: u64,
    cut: u64,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    // Numbers only: there is nothing that a panic could leave half done.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queue of up to `batches` batches.
pub(super) fn queue(batches: usize) -> (Outlet, Batches) {
    let (send, receive) = mpsc::channel(batches);
    let state = Arc::new(Mutex::new(State {
        unread: 0,
        queued: 0,
        at_end: true,
        up_to: Instant::now(),
        skipped: 0,
        cut: 0,
    }));
    let outlet = Outlet {
        send,
        state: state.clone(),
    };
    let batches = Batches {
        receive,
        state,
        taken: 0,
    };
    (outlet, batches)
}

/// The reader's end.
#[derive(Debug)]
pub(super) struct Outlet {
    send: mpsc::Sender<Batch>,
    state: Shared,
}

impl Outlet {
    /// Hands a batch over; waits while the queue is full. False when nobody receives any more.
    pub(super) fn send(&self, batch: Batch) -> bool {
        {
            let mut state = lock(&self.state);
            state.queued += batch.size();
            state.cut += batch.cut;
            state.skipped += batch.skipped;
            state.unread = batch.unread;
            state.at_end &= batch.unread == 0;
        }
        self.send.blocking_send(batch).is_ok()
    }

    /// Whether nobody receives any more.
    pub(super) fn is_closed(&self) -> bool {
        self.send.is_closed()
    }

    /// That much is still to be read.
    pub(super) fn unread(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.unread = bytes;
        state.at_end = bytes == 0;
        if state.at_end && state.queued == 0 {
            state.up_to = Instant::now();
        }
    }

    /// What was read last was written `age` ago, and there may be more.
    pub(super) fn age(&self, age: Duration) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        state.up_to = now.checked_sub(age).unwrap_or(now);
        state.at_end = false;
    }
}

/// The batches of a log that is followed, in their order.
#[derive(Debug)]
pub struct Batches {
    receive: mpsc::Receiver<Batch>,
    state: Shared,
    /// Bytes of the batch that was given last.
    taken: u64,
}

impl Batches {
    /// The next batch; asking for it says that the one before has been taken in. `None` when the log has ended, as only
    /// standard input does. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Option<Batch> {
        self.taken_in();
        let batch = self.receive.recv().await;
        self.taken = batch.as_ref().map_or(0, Batch::size);
        batch
    }

    /// [`Batches::next`] for a thread that may wait.
    pub fn blocking_next(&mut self) -> Option<Batch> {
        self.taken_in();
        let batch = self.receive.blocking_recv();
        self.taken = batch.as_ref().map_or(0, Batch::size);
        batch
    }

    /// The next batch, if one is there.
    #[cfg(test)]
    pub(super) fn try_next(&mut self) -> Option<Batch> {
        self.taken_in();
        let batch = self.receive.try_recv().ok();
        self.taken = batch.as_ref().map_or(0, Batch::size);
        batch
    }

    fn taken_in(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        let mut state = lock(&self.state);
        state.queued = state.queued.saturating_sub(taken);
        if state.queued == 0 && state.at_end {
            state.up_to = Instant::now();
        }
    }

    /// How far the reading is behind.
    pub fn lag(&self) -> Lag {
        let state = lock(&self.state);
        let bytes = state.unread + state.queued;
        let behind = bytes > 0 || !state.at_end;
        Lag {
            bytes,
            time: if behind { state.up_to.elapsed() } else { Duration::ZERO },
            skipped: state.skipped,
            cut: state.cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maillog::Reached;

    fn batch(unread: u64) -> Batch {
        Batch {
            position: Reached::Input,
            backlog: false,
            cut: 1,
            unread,
            skipped: 3,
            bytes: b"0123456789\n".to_vec(),
        }
    }

    #[test]
    fn maillog_queue_lag_is_what_was_not_taken_in() {
        let (outlet, mut batches) = queue(4);
        assert_eq!(batches.lag(), Lag::default());
        assert!(outlet.send(batch(100)));
        assert_eq!(batches.lag().bytes, 111);
        std::thread::sleep(Duration::from_millis(5));
        assert!(batches.lag().time >= Duration::from_millis(5), "unread since then");
        assert!(outlet.send(batch(0)));
        assert_eq!(batches.lag().bytes, 22, "read, but in the queue");
        outlet.unread(0);
        assert!(batches.blocking_next().is_some());
        assert_eq!(batches.lag().bytes, 22, "given, but not taken in");
        assert!(batches.blocking_next().is_some());
        assert_eq!(batches.lag().bytes, 11);
        drop(outlet);
        assert!(batches.blocking_next().is_none());
        assert_eq!(
            batches.lag(),
            Lag {
                cut: 2,
                skipped: 6,
                ..Lag::default()
            }
        );
    }

    #[test]
    fn maillog_queue_lag_by_the_age_of_entries() {
        let (outlet, batches) = queue(4);
        outlet.age(Duration::from_secs(3));
        assert!(batches.lag().time >= Duration::from_secs(3));
        outlet.unread(0);
        assert_eq!(batches.lag(), Lag::default());
    }
}
