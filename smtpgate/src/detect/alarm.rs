//! What an admin should know of at once, beside bans.

use std::collections::BTreeSet;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What it is about. The names are part of the contract of `simulate --json` and of hooks: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// Many addresses guess one account's password, or go through one list of accounts.
    Siege,
    /// Somebody else has the password of an account.
    StolenAccount,
    /// More bans than `bans-per-minute`: the rest wait.
    BanRate,
}

impl AlarmKind {
    /// The name as it is in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Siege => "siege",
            Self::StolenAccount => "stolen_account",
            Self::BanRate => "ban_rate",
        }
    }
}

/// Something to be told. One that goes on is told again, with what is new of it: the same kind, user and beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What it is about.
    pub kind: AlarmKind,
    /// The login name, or the names of a list; none for [`AlarmKind::BanRate`].
    pub user: Option<String>,
    /// Whose addresses it is about.
    pub prefixes: BTreeSet<IpNet>,
    /// When it was first seen.
    pub at: Timestamp,
    /// In words.
    pub text: String,
    /// Tells apart those of one kind that began at once.
    #[serde(skip)]
    pub key: u64,
    /// It was not told of before.
    #[serde(skip)]
    pub new: bool,
}

/// Prefixes that are kept of one alarm.
pub(super) const PREFIXES: usize = 10_000;
/// Alarms that are kept; the oldest go.
const KEPT: usize = 1000;

/// Alarms, each once, with all that was told of it.
#[derive(Clone, Debug, Default)]
pub struct Alarms(Vec<Alarm>);

impl Alarms {
    /// Takes an alarm in. Returns it with all that belongs to it when people should hear of it: at its beginning, and
    /// whenever it has grown to twice its size.
    pub fn take(&mut self, alarm: &Alarm) -> Option<&Alarm> {
        let known = self
            .0
            .iter()
            .rposition(|known| (known.kind, known.key, known.at) == (alarm.kind, alarm.key, alarm.at) && !alarm.new);
        let Some(number) = known else {
            if self.0.len() >= KEPT {
                self.0.remove(0);
            }
            self.0.push(alarm.clone());
            return self.0.last();
        };
        let known = self.0.get_mut(number)?;
        known.text.clone_from(&alarm.text);
        known.user.clone_from(&alarm.user);
        let before = known.prefixes.len();
        if before < PREFIXES {
            known.prefixes.extend(&alarm.prefixes);
        }
        let doubled = |size: usize| before < size && size <= known.prefixes.len();
        (0..usize::BITS)
            .any(|power| doubled(8usize.checked_shl(power).unwrap_or(0)))
            .then_some(known)
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> &[Alarm] {
        &self.0
    }
}
