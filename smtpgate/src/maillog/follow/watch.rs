//! When to look: inotify says it at once, a timer says it where inotify is not told (network file systems) or not to be
//! had.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tracing::warn;

use super::position::FileId;

/// Looks that often even if nobody says so. One look is two system calls a file.
const TICK: Duration = Duration::from_millis(250);

/// Wakes the follower.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// The watched folders. One that was replaced has to be watched anew.
    folders: HashMap<PathBuf, FileId>,
    wakes: Receiver<()>,
    /// Keeps the channel open when there is no watcher.
    _wake: std::sync::mpsc::SyncSender<()>,
}

impl Watch {
    pub(super) fn new() -> Self {
        // One wake is as good as many: those that come while one waits are dropped.
        let (wake, wakes) = sync_channel(1);
        let on_event = {
            let wake = wake.clone();
            move |event: notify::Result<notify::Event>| {
                // Access: somebody opens or reads files there, we among them.
                if event.map_or(true, |event| !event.kind.is_access()) {
                    // Full: a wake waits already.
                    wake.try_send(()).ok();
                }
            }
        };
        let watcher = notify::recommended_watcher(on_event)
            .inspect_err(|error| warn!(%error, "no inotify: looking at the logs four times a second"))
            .ok();
        Self {
            watcher,
            folders: HashMap::new(),
            wakes,
            _wake: wake,
        }
    }

    /// Watches the folders of the paths, and of what they point to.
    pub(super) fn watch(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        for path in paths {
            let real = path.canonicalize().ok();
            for folder in [Some(path.as_path()), real.as_deref()]
                .into_iter()
                .flatten()
                .filter_map(Path::parent)
            {
                let folder = if folder.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    folder
                };
                let Ok(meta) = std::fs::metadata(folder) else { continue };
                let id = FileId::from(&meta);
                if self.folders.get(folder) == Some(&id) {
                    continue;
                }
                if self.folders.contains_key(folder) {
                    // Gone with the folder, most likely.
                    drop(watcher.unwatch(folder));
                }
                if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                    warn!(folder = %folder.display(), %error, "cannot watch the folder: looking at it four times a second");
                }
                self.folders.insert(folder.to_owned(), id);
            }
        }
    }

    /// Waits for a change, but not for ever.
    pub(super) fn wait(&self) {
        match self.wakes.recv_timeout(TICK) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}
