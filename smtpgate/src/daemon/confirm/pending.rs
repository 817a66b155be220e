//! A change that waits for its confirm, as it is kept on disk: what is to be undone, and when.

use std::{fs, io, path::Path};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::in_force::InForce;
use crate::{
    durable,
    ledger::{Ban, Exception},
};

const FILE: &str = "pending.json";

/// Before the change it is written, after the confirm it is removed: whoever finds it overdue undoes the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The change, as it was asked for: `reload`, `allow 192.0.2.0/24`.
    pub(crate) what: String,
    /// When; tells one change from another.
    pub(crate) since: Timestamp,
    /// When it is undone.
    pub(crate) until: Timestamp,
    /// What was before.
    pub(crate) former: Former,
}

/// What an undo goes back to. Putting it back twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Former {
    /// There was no gate.
    Down,
    /// This was in force.
    Configuration(Box<InForce>),
    /// The prefixes that the change bans, each with the ban that it had.
    Bans(Vec<(IpNet, Option<Ban>)>),
    /// The prefixes that an import bans and allows, each with what it had.
    Import {
        bans: Vec<(IpNet, Option<Ban>)>,
        exceptions: Vec<(IpNet, Option<String>, Option<Exception>)>,
    },
    /// The exception of a prefix at a gate, or none.
    Exception {
        prefix: IpNet,
        gate: Option<String>,
        exception: Option<Exception>,
    },
}

impl Pending {
    /// A change that is made at `now`.
    pub(crate) fn new(what: String, now: Timestamp, within: SignedDuration, former: Former) -> Self {
        let mut pending = Self {
            what,
            since: now,
            until: now,
            former,
        };
        pending.count_from(now, within);
        pending
    }

    /// Has it undone `within` after `now`.
    pub(crate) fn count_from(&mut self, now: Timestamp, within: SignedDuration) {
        self.until = now.checked_add(within).unwrap_or(Timestamp::MAX);
    }

    /// The one of this state folder.
    pub(crate) fn read(state: &Path) -> Option<Self> {
        durable::read_json(&state.join(FILE), "nothing will be undone")
    }

    pub(crate) fn write(&self, state: &Path) -> io::Result<()> {
        durable::write_json(&state.join(FILE), self)
    }

    pub(crate) fn forget(state: &Path) -> io::Result<()> {
        match fs::remove_file(state.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the time is over. A clock that was set back behind the change cannot say when, so it counts as over.
    pub(crate) fn overdue(&self, now: Timestamp) -> bool {
        now >= self.until || now < self.since
    }

    /// Until it is undone; zero when overdue. Whole seconds, rounded up.
    pub(crate) fn left(&self, now: Timestamp) -> SignedDuration {
        if self.overdue(now) {
            return SignedDuration::ZERO;
        }
        let left = self.until.duration_since(now);
        SignedDuration::from_secs(left.as_secs() + i64::from(left.subsec_nanos() > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn pending_is_overdue_from_its_end_on_and_when_the_clock_was_set_back_behind_it() {
        let pending = Pending::new("reload".to_owned(), at(0), SignedDuration::from_secs(300), Former::Down);
        for (second, overdue, left) in [
            (0, false, 300),
            (299, false, 1),
            (300, true, 0),
            (301, true, 0),
            (-1, true, 0),
        ] {
            assert_eq!(pending.overdue(at(second)), overdue, "at {second} s");
            assert_eq!(pending.left(at(second)).as_secs(), left, "at {second} s");
        }
    }

    #[test]
    fn pending_survives_on_disk_and_a_damaged_file_is_none() {
        let state = tempfile::tempdir().unwrap();
        let former = Former::Bans(vec![("192.0.2.0/24".parse().unwrap(), None)]);
        let pending = Pending::new("ban".to_owned(), at(0), SignedDuration::from_secs(5), former);
        assert_eq!(Pending::read(state.path()), None);
        pending.write(state.path()).unwrap();
        assert_eq!(Pending::read(state.path()), Some(pending));
        fs::write(state.path().join(FILE), "{\"what\":").unwrap();
        assert_eq!(Pending::read(state.path()), None);
        Pending::forget(state.path()).unwrap();
        Pending::forget(state.path()).unwrap();
    }
}
