//! A request to the daemon, or to an engine of our own when no daemon runs.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::{Global, confirm};
use crate::{
    config::Paths,
    daemon::{client, engine::Engine, failure::Failure, protocol::Asked},
};

/// Has it answered. A change that waits for its confirm is left to a guard, too.
pub(super) fn ask<R: DeserializeOwned>(global: &Global, asked: impl Into<Asked>) -> Result<R, Failure> {
    let asked = asked.into();
    // A daemon that runs is reached also while its file is being edited and is wrong just now.
    let paths = Paths::peek(global.config.as_deref());
    let answer = match client::ask(&paths.run, &asked)? {
        Some(answer) => answer,
        None => Engine::beside_no_daemon(global.config.clone())?.handle(asked.clone())?,
    };
    if asked.confirm.is_some() {
        confirm::leave_guard(global);
    }
    read(answer)
}

/// Has it answered by the daemon of this `run` folder alone; none where none runs.
pub(super) fn daemon<R: DeserializeOwned>(run: &Path, asked: &Asked) -> Result<Option<R>, Failure> {
    client::ask(run, asked)?.map(read).transpose()
}

fn read<R: DeserializeOwned>(answer: serde_json::Value) -> Result<R, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::Failed(format!(
            "the daemon's answer is not understood ({error}): is it of another version? Restart it"
        ))
    })
}
