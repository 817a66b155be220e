//! One line in, at most one event out.

use super::event::{Daemon, Event, Session, Step};
use super::grammar;
use super::header::{self, Header};
use super::{dovecot, postfix};

/// What a daemon's grammar finds in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading<'a> {
    pub(super) kind: super::Kind,
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) user: Option<&'a [u8]>,
    pub(super) mechanism: Option<&'a [u8]>,
    pub(super) queue_id: Option<&'a [u8]>,
    pub(super) sender: Option<&'a [u8]>,
    pub(super) recipients: u32,
    pub(super) weight: u16,
    pub(super) step: Option<Step>,
}

impl Reading<'_> {
    /// An event of `kind` that blames nobody.
    pub(super) fn of(kind: super::Kind) -> Self {
        Self::blame(kind, 0)
    }

    /// An event of `kind` that counts as much as `weight`.
    pub(super) fn blame(kind: super::Kind, weight: u16) -> Self {
        Self {
            kind,
            address: None,
            user: None,
            mechanism: None,
            queue_id: None,
            sender: None,
            recipients: 0,
            weight,
            step: None,
        }
    }

    /// The same, about the client at `address`.
    pub(super) fn by(self, address: std::net::IpAddr) -> Self {
        Self {
            address: Some(address),
            ..self
        }
    }
}

/// Reads a line, without its line end. Any bytes will do; `None` for a line that no grammar knows.
pub fn parse(line: &[u8]) -> Option<Event<'_>> {
    let header = header::parse(line)?;
    read(&header)
}

/// Reads the message behind `header`.
pub(super) fn read<'a>(header: &Header<'a>) -> Option<Event<'a>> {
    let (program, message) = (header.program, header.message);
    let (daemon, reading) = if let Some(postfix) = postfix::Program::of(program) {
        (Daemon::Postfix, postfix.read(message)?)
    } else if let Some(reading) = dovecot::read(program, message) {
        (Daemon::Dovecot, reading)
    } else {
        grammar::read(program, message)?
    };
    Some(event(header, daemon, reading))
}

/// What a grammar found, as an event.
pub(super) fn event<'a>(header: &Header<'a>, daemon: Daemon, reading: Reading<'a>) -> Event<'a> {
    Event {
        time: header.time,
        daemon,
        kind: reading.kind,
        address: reading.address,
        user: reading.user,
        mechanism: reading.mechanism,
        queue_id: reading.queue_id,
        sender: reading.sender,
        recipients: reading.recipients,
        weight: reading.weight.saturating_mul(header.times),
        session: reading.step.and_then(|step| {
            Some(Session {
                id: session(header).or(matches!(step, Step::Backend(_) | Step::Login).then_some(0))?,
                step,
            })
        }),
    }
}

/// The time stamp of any line that has a header, understood or not.
pub fn time(line: &[u8]) -> Option<super::LogTime<'_>> {
    header::parse(line).map(|header| header.time)
}

/// What any line that has a header says behind it.
pub fn message(line: &str) -> Option<&str> {
    let header = header::parse(line.as_bytes())?;
    std::str::from_utf8(header.message).ok()
}

/// Host and process. Neither is a client's to choose.
fn session(header: &Header<'_>) -> Option<u64> {
    let pid = header.pid?.to_le_bytes();
    Some(hash(header.host.iter().chain(&pid)))
}

/// FNV-1a.
pub(super) fn hash<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
