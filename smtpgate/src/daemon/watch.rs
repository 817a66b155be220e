//! Tells when the data of a source may have changed.

use std::{collections::BTreeSet, path::PathBuf};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Watches until it is dropped.
pub(super) struct Watch {
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// A word into `changed` for every change of one of `paths` (files, or folders with what is in them). Files are
    /// replaced by renaming, so it is their folders that are watched. What cannot be watched is said once; `reload` still
    /// reads it.
    pub(super) fn start(paths: BTreeSet<PathBuf>, changed: mpsc::Sender<()>) -> Self {
        let folders: BTreeSet<PathBuf> = paths
            .iter()
            .filter_map(|path| {
                if path.is_dir() {
                    Some(path.clone())
                } else {
                    path.parent().map(PathBuf::from)
                }
            })
            .filter(|folder| folder.is_dir())
            .collect();
        if folders.is_empty() {
            return Self { _watcher: None };
        }
        let concerns = move |event: &notify::Event| {
            !matches!(event.kind, EventKind::Access(_))
                && event
                    .paths
                    .iter()
                    .any(|path| paths.iter().any(|watched| path.starts_with(watched)))
        };
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| concerns(&event)) {
                // A full queue means that the word is there already.
                let _ = changed.try_send(());
            }
        });
        let mut watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!("source files cannot be watched, `smtpgate reload` reads them again: {error}");
                return Self { _watcher: None };
            }
        };
        for folder in folders {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                tracing::warn!(
                    "{}: cannot be watched, `smtpgate reload` reads it again: {error}",
                    folder.display()
                );
            }
        }
        Self {
            _watcher: Some(watcher),
        }
    }
}
