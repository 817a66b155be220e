//! `smtpgate helper`: the process beside the daemon, which starts it. It runs the admin's programs; and when the daemon has
//! ended, however it did, while a change waits for its confirm, it stays as the guard of that change.

use std::io;
use std::os::fd::AsFd as _;

use super::{Global, confirm, log};
use crate::daemon::{failure::Failure, hooks};

pub(super) fn run(global: &Global) -> Result<(), Failure> {
    // A Ctrl-C, and the end of the terminal, are for the daemon; this process ends when the daemon has.
    let _ = rustix::process::setsid();
    log::begin(None);
    let lines = io::stdin().as_fd().try_clone_to_owned().map_err(Failure::failed)?;
    let told = hooks::run(global.config.as_deref(), lines);
    confirm::guard_what_waits(global)?;
    told
}
