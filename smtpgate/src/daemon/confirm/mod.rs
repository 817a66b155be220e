//! Changes that are undone by themselves unless a confirm follows, so that nobody locks out the mail that he wants.
//!
//! What is to be undone, and when, is on disk before the kernel changes, and leaves it only with the confirm or after the
//! undo. Whoever comes first after the time undoes it: the daemon by its clock, a daemon or verb that starts later, or
//! the guard, a process of its own that the command line leaves behind for the case that no daemon is there
//! (`cli/confirm.rs`).
//!
//! One change waits at a time. While it does, no other change of the policy is taken, since an undo of the first could
//! not leave the second as it is; bans and unbans go on, and `unload` always works.

mod in_force;
mod pending;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use in_force::at_start;
pub(super) use in_force::beside_no_daemon;
pub(crate) use in_force::{Held, InForce};
pub(crate) use pending::{Former, Pending};

use super::{
    engine::Engine,
    failure::Failure,
    report::{Applied, Banned, Imported, PendingState, Settled},
};

/// Between two attempts of an undo that fails.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// What waits for its confirm, and what was not confirmed.
#[derive(Debug, Default)]
pub(super) struct Confirming {
    pub(super) pending: Option<Pending>,
    pub(super) held: Option<Held>,
    /// After an undo that failed.
    again: Option<Timestamp>,
}

impl Confirming {
    /// As the state folder has it.
    pub(super) fn found(pending: Option<Pending>, held: Option<Held>) -> Self {
        Self {
            pending,
            held,
            again: None,
        }
    }
}

/// Where an undo has led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// The former policy is in force.
    Restored,
    /// There was no gate before, and there is none now.
    GateDown,
}

/// A report that a note can be added to.
pub(super) trait Noted {
    fn note(&mut self, note: String);
}

impl Noted for Applied {
    fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

impl Noted for Imported {
    fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

impl Noted for Banned {
    fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

impl Engine {
    /// Does `change`; with `within`, has it undone then unless it is confirmed. `what` names it, `former` is what was
    /// before.
    ///
    /// # Errors
    /// The change's own; or another change waits. Nothing has changed then.
    pub(super) fn until_confirmed<T: Noted>(
        &mut self,
        what: &str,
        within: Option<Duration>,
        former: impl FnOnce(&Self) -> Former,
        change: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.nothing_waits()?;
        let Some(within) = within else { return change(self) };
        let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
        let pending = Pending::new(what.to_owned(), Timestamp::now(), within, former(self));
        pending.write(&self.config.paths.state).map_err(|error| {
            Failure::Failed(format!(
                "{}: what would have to be undone cannot be kept: {error}; nothing was changed",
                self.config.paths.state.display()
            ))
        })?;
        let whole = matches!(pending.former, Former::Down | Former::Configuration(_));
        self.confirming.pending = Some(pending);
        let before = (self.generation, self.revision);
        match change(self) {
            Ok(mut report) => {
                if let Some(until) = self.count_anew(within) {
                    report.note(format!(
                        "undone at {} unless `smtpgate confirm` follows",
                        until.strftime("%H:%M:%S UTC")
                    ));
                }
                Ok(report)
            }
            Err(failure) if whole && before == (self.generation, self.revision) => {
                self.forget_pending()?;
                Err(failure)
            }
            Err(failure) => {
                // It may have stopped halfway; what was not changed is put back without harm.
                if let Err(error) = self.undo() {
                    tracing::error!("a change that failed could not be taken back; it will be tried again: {error}");
                }
                Err(failure)
            }
        }
    }

    /// Whoever is to confirm has his whole time, also when the change took long. Returns when it ends.
    fn count_anew(&mut self, within: SignedDuration) -> Option<Timestamp> {
        let pending = self.confirming.pending.as_mut()?;
        let mut later = pending.clone();
        later.count_from(Timestamp::now(), within);
        match later.write(&self.config.paths.state) {
            Ok(()) => *pending = later,
            Err(error) => tracing::warn!("the time to confirm counts from before the change: {error}"),
        }
        Some(pending.until)
    }

    /// # Errors
    /// When a change waits for its confirm.
    pub(super) fn nothing_waits(&self) -> Result<(), Failure> {
        match &self.confirming.pending {
            None => Ok(()),
            Some(pending) => Err(Failure::Failed(format!(
                "`{}` waits for its confirm, and is undone in {:#}: keep it by `smtpgate confirm`, or take it back by \
                 `smtpgate confirm --undo`, and try again; nothing was changed",
                pending.what,
                pending.left(Timestamp::now())
            ))),
        }
    }

    /// Keeps the change that waits.
    ///
    /// # Errors
    /// When none does, or its time is over; it is undone then.
    pub(super) fn confirm(&mut self) -> Result<Settled, Failure> {
        let pending = self.waiting()?;
        if pending.overdue(Timestamp::now()) {
            self.undo()?;
            return Err(Failure::Failed(format!("too late: `{}` has been undone", pending.what)));
        }
        self.forget_pending()?;
        tracing::info!("`{}` is confirmed", pending.what);
        Ok(Settled {
            what: pending.what,
            since: pending.since,
            outcome: "confirmed".to_owned(),
            notes: Vec::new(),
        })
    }

    /// Puts back what was before the change that waits.
    ///
    /// # Errors
    /// When none waits; or what was before cannot be put back: the change still waits then.
    pub(super) fn undo(&mut self) -> Result<Settled, Failure> {
        let pending = self.waiting()?;
        let notes = self.restore(&pending)?;
        self.forget_pending()?;
        tracing::warn!("`{}` was undone", pending.what);
        Ok(Settled {
            what: pending.what,
            since: pending.since,
            outcome: "undone".to_owned(),
            notes,
        })
    }

    /// Undoes what is overdue. An undo that fails is tried again later.
    pub(super) fn undo_overdue(&mut self) -> Option<Undone> {
        let now = Timestamp::now();
        let pending = self
            .confirming
            .pending
            .as_ref()
            .filter(|pending| pending.overdue(now))?;
        if self.confirming.again.is_some_and(|at| now < at) {
            return None;
        }
        tracing::warn!("`{}` was not confirmed in time", pending.what);
        let undone = if pending.former == Former::Down {
            Undone::GateDown
        } else {
            Undone::Restored
        };
        match self.undo() {
            Ok(_) => Some(undone),
            Err(failure) => {
                tracing::error!("the undo failed, and is tried again: {failure}");
                self.confirming.again = now.checked_add(AGAIN).ok();
                None
            }
        }
    }

    /// For `status`.
    pub(super) fn pending_state(&self, now: Timestamp) -> Option<PendingState> {
        self.confirming.pending.as_ref().map(|pending| PendingState {
            what: pending.what.clone(),
            since: pending.since,
            until: pending.until,
            seconds_left: pending.left(now).as_secs().unsigned_abs(),
        })
    }

    /// What is in force, of an engine that has put it there or found it there.
    pub(super) fn in_force(&self) -> InForce {
        InForce {
            written: self.config.written.clone(),
            overrides: self.overrides.clone(),
            held: self.confirming.held.clone(),
        }
    }

    /// What is in force, for an engine that has come to replace it.
    pub(super) fn gate_before(&self) -> Former {
        match InForce::read(&self.config.paths.state) {
            Some(copy) if self.plane.is_some() => Former::Configuration(Box::new(copy)),
            _ => Former::Down,
        }
    }

    fn waiting(&self) -> Result<Pending, Failure> {
        self.confirming
            .pending
            .clone()
            .ok_or_else(|| Failure::Failed("nothing waits for a confirm".to_owned()))
    }

    fn forget_pending(&mut self) -> Result<(), Failure> {
        let state = &self.config.paths.state;
        Pending::forget(state).map_err(|error| {
            Failure::Failed(format!(
                "{}: pending.json cannot be removed ({error}): remove it, or the change will be undone",
                state.display()
            ))
        })?;
        self.confirming.pending = None;
        self.confirming.again = None;
        Ok(())
    }

    fn restore(&mut self, pending: &Pending) -> Result<Vec<String>, Failure> {
        match &pending.former {
            Former::Down => {
                let unloaded = self.unload()?;
                Ok(unloaded.removed.iter().map(|what| format!("removed {what}")).collect())
            }
            Former::Configuration(copy) => {
                let held = self.confirming.held.replace(Held {
                    what: pending.what.clone(),
                    since: Timestamp::now(),
                });
                self.put_back(copy).inspect_err(|_| self.confirming.held = held)
            }
            Former::Bans(former) => self.restore_bans(pending.since, former),
            Former::Import { bans, exceptions } => self.restore_import(pending.since, bans, exceptions),
            Former::Exception {
                prefix,
                gate,
                exception,
            } => self.restore_exception(*prefix, gate.as_deref(), exception.as_ref()),
        }
    }
}
