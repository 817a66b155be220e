//! How a verb ends when it does not end well: the exit codes of the contract.

use serde::{Deserialize, Serialize};

/// Why a verb failed, with its exit code. The message says what happened, to what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "failure", content = "message", rename_all = "snake_case")]
pub enum Failure {
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Exit code 2: the command line or the configuration.
    #[error("{0}")]
    Usage(String),
    /// Exit code 3.
    #[error("{0}")]
    NotEnforcing(String),
}

impl Failure {
    /// Any error as exit code 1, with its causes.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(chain(&error.into()))
    }

    /// Any error as exit code 2, with its causes.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(chain(&error.into()))
    }

    /// Somebody named a gate that is not among these.
    pub fn no_gate<'a>(named: &str, gates: impl IntoIterator<Item = &'a str>) -> Self {
        let gates: Vec<&str> = gates.into_iter().collect();
        Self::Usage(format!(
            "there is no gate `{named}`: the gates are {}",
            gates.join(", ")
        ))
    }

    /// The contract's exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotEnforcing(_) => 3,
        }
    }
}

/// Causes that the message above them does not say already.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
