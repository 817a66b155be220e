//! A request to the daemon, or to an engine of our own when no daemon runs.

use serde::de::DeserializeOwned;

use super::Global;
use crate::{
    config::{Config, Paths},
    daemon::{client, engine::Engine, failure::Failure, protocol::Request},
};

/// Has `request` answered.
pub(super) fn ask<R: DeserializeOwned>(global: &Global, request: Request) -> Result<R, Failure> {
    let config = Config::load(global.config.as_deref());
    // A daemon that runs is reached also while its file is being edited and is wrong just now.
    let paths = config
        .as_ref()
        .map_or_else(|_| Paths::peek(global.config.as_deref()), |config| config.paths.clone());
    let answer = match client::ask(&paths.run, &request)? {
        Some(answer) => answer,
        None => {
            let config = config.map_err(Failure::usage)?;
            Engine::beside_no_daemon(config, global.config.clone())?.handle(request)?
        }
    };
    serde_json::from_value(answer).map_err(|error| {
        Failure::Failed(format!(
            "the daemon's answer is not understood ({error}): is it of another version? Restart it"
        ))
    })
}
