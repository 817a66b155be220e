//! SMTP sessions under way, so that a failure that two lines tell of counts once.
//!
//! Postfix writes a line for each failed SASL attempt, and at the end of the session the number of failed AUTH commands.
//! The difference is what no line told of: AUTH where it is not offered, before TLS, or over the rate limit.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::maillog::{Event, Kind, Step};

/// More server processes than any mail host runs. Beyond that all are forgotten, which counts too little, never too much.
const CAPACITY: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: HashMap<u64, Open, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct Open {
    /// The client, once the line of its connection was seen.
    client: Option<IpAddr>,
    /// AUTH commands that a line of their own told of.
    answered: u16,
    /// The next failure is the server's own.
    backend_down: bool,
}

impl Sessions {
    /// The event's weight, less what other lines of its session told or excuse.
    pub(super) fn weigh(&mut self, event: &Event<'_>) -> u16 {
        let Some(session) = event.session else {
            return event.weight;
        };
        if matches!(session.step, Step::Backend(_) | Step::Login) {
            return event.weight;
        }
        if session.step == Step::Close {
            // One whose beginning was not seen may have failures that were counted before a restart.
            let open = self
                .open
                .remove(&session.id)
                .filter(|open| open.client.is_some() && open.client == event.address);
            return open.map_or(0, |open| event.weight.saturating_sub(open.answered));
        }
        if self.open.len() >= CAPACITY && !self.open.contains_key(&session.id) {
            self.open.clear();
        }
        let open = self.open.entry(session.id).or_default();
        match session.step {
            Step::Open => {
                *open = Open {
                    client: event.address,
                    ..Open::default()
                }
            }
            Step::BackendDown => open.backend_down = true,
            Step::Answered => {
                open.answered = open.answered.saturating_add(event.weight.max(1));
                if event.kind == Kind::SaslAuthFailed && std::mem::take(&mut open.backend_down) {
                    return 0;
                }
            }
            Step::Close | Step::Backend(_) | Step::Login => {}
        }
        event.weight
    }
}
