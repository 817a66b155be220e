//! What happens, for those who watch: each gets it as it comes. Nobody is waited for.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::report::News;

/// What a watcher may be behind; beyond it, the oldest is lost to him, and he is told how much.
const BEHIND: usize = 4096;

#[derive(Debug)]
pub(super) struct Newsroom(broadcast::Sender<Arc<News>>);

/// A watcher's end.
pub(super) struct Reader(broadcast::Receiver<Arc<News>>);

impl Default for Newsroom {
    fn default() -> Self {
        Self(broadcast::channel(BEHIND).0)
    }
}

impl Newsroom {
    /// Whether anybody listens.
    pub(super) fn has_readers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(super) fn tell(&self, news: News) {
        // Nobody listens: nothing is lost.
        let _ = self.0.send(Arc::new(news));
    }

    /// All that is told from now on.
    pub(super) fn reader(&self) -> Reader {
        Reader(self.0.subscribe())
    }

    /// Lets others make readers.
    pub(super) fn handle(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Reader {
    /// The next; none when there will be no more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Arc<News>> {
        match self.0.recv().await {
            Ok(news) => Some(news),
            Err(broadcast::error::RecvError::Lagged(events)) => Some(Arc::new(News::Missed { events })),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
