//! What each line of a log is read as: the work behind `smtpgate test-log`.

use std::io::{self, BufRead};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::event::{Daemon, Kind};
use super::follow::lines::Lines;
use super::pattern::Patterns;
use super::reader::Reader;
use super::time::Clock;

/// An understood line, as `test-log --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    /// Its number, from 1.
    pub line: u64,
    /// When; `None` when there is no such date.
    pub time: Option<Timestamp>,
    /// Who wrote it.
    pub daemon: Daemon,
    /// What happened.
    pub kind: Kind,
    /// The client.
    pub address: Option<IpAddr>,
    /// The login name that the client gave, with what is not UTF-8 replaced.
    pub user: Option<String>,
    /// A hostile act.
    pub offence: bool,
    /// How much it counts, in mistyped passwords.
    pub weight: u16,
}

/// Reads a log to its end. A last line without line end counts; lines are cut at [`super::follow::LINE_MAX`] as they
/// are when a log is followed. A read error ends it.
pub fn test_log(mut log: impl BufRead, clock: Clock, patterns: Patterns) -> impl Iterator<Item = io::Result<Read>> {
    let mut lines = Lines::default();
    let mut number = 0;
    let mut reader = Reader::new(patterns);
    std::iter::from_fn(move || {
        loop {
            let line = match lines.next_line(&mut log) {
                Ok(Some(line)) => line,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            number += 1;
            if let Some(event) = reader.read(line) {
                return Some(Ok(Read {
                    line: number,
                    time: clock.resolve(event.time),
                    daemon: event.daemon,
                    kind: event.kind,
                    address: event.address,
                    user: event.user.map(|user| String::from_utf8_lossy(user).into_owned()),
                    offence: event.is_offence(),
                    weight: event.weight,
                }));
            }
        }
    })
}
