//! The control socket's language: one JSON request a line, one JSON answer a line.
//!
//! `{"v":1,"verb":"ban","prefixes":["203.0.113.5/32"],"seconds":864000,"reason":"spam"}` is answered by
//! `{"v":1,"ok":{…}}` or `{"v":1,"error":{"failure":"failed","message":"…"}}`. The same requests are what the command line
//! makes of its arguments, daemon or none.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// Version of requests and answers. A daemon refuses another one, with both numbers.
pub const VERSION: u32 = 1;

/// Bytes of one request at the most.
pub const REQUEST_MAX: u64 = 16 << 20;

/// A request as it goes over the socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`].
    pub v: u32,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Answered by [`super::report::Status`].
    Status,
    /// Answered by [`super::report::List`].
    List,
    /// Answered by [`super::report::Explanation`].
    Explain {
        /// The source.
        address: std::net::IpAddr,
    },
    /// Answered by [`super::report::Banned`]. All or none.
    Ban {
        /// Addresses and prefixes.
        prefixes: Vec<IpNet>,
        /// How long; none is until lifted.
        seconds: Option<u64>,
        /// Free text.
        reason: String,
    },
    /// Answered by [`super::report::Unbanned`].
    Unban {
        /// Exactly these bans.
        prefixes: Vec<IpNet>,
        /// Every ban.
        #[serde(default)]
        all: bool,
    },
    /// Answered by [`super::report::Applied`].
    Allow {
        /// What to let in.
        prefix: IpNet,
        /// Only at this gate; none is every gate.
        gate: Option<String>,
        /// Free text.
        note: String,
    },
    /// Answered by [`super::report::Applied`].
    Disallow {
        /// What was let in.
        prefix: IpNet,
        /// As it was given.
        gate: Option<String>,
    },
    /// Answered by [`super::report::Applied`].
    Reload,
    /// Take the gate down and end. Answered by [`super::report::Unloaded`].
    Unload,
}

/// An answer as it goes over the socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// [`VERSION`].
    pub v: u32,
    /// The report, or why there is none.
    #[serde(flatten)]
    pub result: Outcome,
}

/// The report, or why there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The report of the request's kind.
    Ok(serde_json::Value),
    /// What the command exits with.
    Error(Failure),
}
