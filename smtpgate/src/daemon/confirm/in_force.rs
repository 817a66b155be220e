//! The copy of what is in force: the configuration as it was written, and the options above it. An undo goes back to it,
//! verbs without a daemon use it (a `ban` must not bring in a file that nobody reloaded), and a start keeps to it while
//! the files hold a change that was not confirmed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::pending::Pending;
use crate::{
    config::{Config, Paths, Written},
    daemon::{failure::Failure, overrides::Overrides},
    durable,
};

const FILE: &str = "in-force.json";

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InForce {
    /// The files, as they were.
    pub(crate) written: Written,
    /// The options of `run` or `load`.
    pub(crate) overrides: Overrides,
    /// Why this stays in force whatever the files say.
    pub(crate) held: Option<Held>,
}

/// A change that was not confirmed: the files may still hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The verb.
    pub(crate) what: String,
    /// When it was undone.
    pub(crate) since: Timestamp,
}

impl InForce {
    /// The copy in the state folder; none where nothing is in force, and none that is damaged.
    pub(crate) fn read(state: &Path) -> Option<Self> {
        durable::read_json(&state.join(FILE), "the configuration's files serve")
    }

    pub(crate) fn write(&self, state: &Path) -> io::Result<()> {
        durable::write_json(&state.join(FILE), self)
    }

    pub(crate) fn forget(state: &Path) {
        let _ = fs::remove_file(state.join(FILE));
    }

    /// The configuration, without the options.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Config::of(self.written.clone()).map_err(Failure::usage)
    }
}

/// What `run` puts in force, with the options `given` on its command line: the files, or, while a change waits for its
/// confirm or after it was undone, the copy of what is in force.
///
/// # Errors
/// What is wrong with the configuration.
pub fn at_start(path: Option<&Path>, given: Overrides) -> Result<(Config, Overrides), Failure> {
    let state = Paths::peek(path).state;
    let kept = InForce::read(&state).filter(|copy| copy.held.is_some() || Pending::read(&state).is_some());
    let Some(copy) = kept else {
        return Ok((Config::load(path).map_err(Failure::usage)?, given));
    };
    let overrides = if given == Overrides::default() {
        copy.overrides.clone()
    } else {
        given
    };
    Ok((copy.config()?, overrides))
}

/// What a verb without a daemon works with: what the gate that is `loaded` was made of.
pub(in crate::daemon) fn beside_no_daemon(
    path: Option<&PathBuf>,
    loaded: bool,
) -> Result<(Config, Overrides), Failure> {
    let path = path.map(PathBuf::as_path);
    match InForce::read(&Paths::peek(path).state).filter(|_| loaded) {
        Some(copy) => Ok((copy.config()?, copy.overrides)),
        None => at_start(path, Overrides::default()),
    }
}
