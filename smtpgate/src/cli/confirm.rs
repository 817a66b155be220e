//! `smtpgate confirm`: keep a change made with `--confirm`, or take it back; and the guard, which takes it back when no
//! daemon is there to do it.
//!
//! The guard is a process of its own that the verb leaves behind: in a session of its own, so that the end of the terminal
//! does not take it along. Of `run` it is the daemon's helper (`helper.rs`). It sleeps until the time is over, gives the daemon a few
//! seconds, and then asks for the undo as `smtpgate confirm --undo` does, daemon or none. Of a reboot nothing remains
//! but the file: no gate is loaded then, and the daemon that starts undoes the change before it loads anything.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{Global, Output, ask::ask, ban::with_notes, output::when};
use crate::{
    config::{Paths, duration},
    daemon::{
        confirm::Pending,
        failure::Failure,
        protocol::{LONGEST_CONFIRM, Request},
        report::Settled,
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take the change back now instead of keeping it
    #[arg(long)]
    undo: bool,
    /// Wait until the change made at this time is overdue, and see that it is undone
    #[arg(long, hide = true, value_name = "TIME", conflicts_with = "undo")]
    guard: Option<Timestamp>,
}

/// `--confirm`, for the verbs that take it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Within {
    /// Undo the change after this time, such as 5m, unless `smtpgate confirm` follows
    #[arg(long, value_name = "DURATION", value_parser = within)]
    confirm: Option<Duration>,
}

impl Within {
    pub(super) fn seconds(self) -> Option<u64> {
        self.confirm.map(|time| time.as_secs())
    }

    pub(super) const fn time(self) -> Option<Duration> {
        self.confirm
    }
}

fn within(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text).map_err(|error| error.to_string())?;
    if time.as_secs() > LONGEST_CONFIRM {
        return Err(format!("`{text}` is longer than a day: nobody would remember it"));
    }
    Ok(time)
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    if let Some(since) = args.guard {
        return guard(global, since);
    }
    let settled: Settled = ask(global, Request::Confirm { undo: args.undo })?;
    output.document(&settled, |settled| {
        let text = format!("{}: `{}` of {}\n", settled.outcome, settled.what, when(settled.since));
        with_notes(text, &settled.notes)
    });
    Ok(())
}

/// Between two looks whether the change still waits.
const LOOK: Duration = Duration::from_secs(5);
/// What the daemon has before the guard asks.
const GRACE: SignedDuration = SignedDuration::from_secs(3);
/// How long an undo that fails is tried again.
const ENOUGH: SignedDuration = SignedDuration::from_hours(1);

/// Leaves a guard behind for the change that waits now. The daemon does the same by its clock, so a guard that cannot be
/// started is only said.
pub(super) fn leave_guard(global: &Global) {
    let Some(pending) = Pending::read(&Paths::peek(global.config.as_deref()).state) else {
        return;
    };
    if let Err(error) = start(global.config.as_deref(), pending.since) {
        tracing::warn!("no guard could be started ({error}): if the daemon ends, the undo waits for its next start");
    }
}

fn start(config: Option<&Path>, since: Timestamp) -> std::io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("confirm").arg("--guard").arg(since.to_string());
    if let Some(config) = config {
        command.arg("--config").arg(std::path::absolute(config)?);
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}

/// Is the guard of the change that waits now; returns when none does.
pub(super) fn guard_what_waits(global: &Global) -> Result<(), Failure> {
    match Pending::read(&Paths::peek(global.config.as_deref()).state) {
        Some(pending) => guard(global, pending.since),
        None => Ok(()),
    }
}

fn guard(global: &Global, since: Timestamp) -> Result<(), Failure> {
    // It fails for the leader of a process group, who has a session or a shell that minds it.
    let _ = rustix::process::setsid();
    let state = Paths::peek(global.config.as_deref()).state;
    loop {
        let Some(pending) = Pending::read(&state).filter(|pending| pending.since == since) else {
            return Ok(());
        };
        let now = Timestamp::now();
        let late = now.duration_since(pending.until);
        if late > ENOUGH {
            return Err(Failure::Failed(format!("`{}` could not be undone", pending.what)));
        }
        if pending.overdue(now) && (late >= GRACE || now < pending.since) {
            // The error has no reader; the next look may find the cause gone.
            let _ = ask::<Settled>(global, Request::Confirm { undo: true });
            sleep(LOOK);
            continue;
        }
        let left = pending.until.duration_since(now) + GRACE;
        sleep(Duration::try_from(left).unwrap_or(LOOK).min(LOOK));
    }
}
