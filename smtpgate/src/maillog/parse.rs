//! One line in, at most one event out.

use super::event::{Event, Session, Step};
use super::grammar;
use super::header::{self, Header};
use super::postfix;

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
        Self {
            kind,
            address: None,
            user: None,
            mechanism: None,
            queue_id: None,
            sender: None,
            recipients: 0,
            weight: 0,
            step: None,
        }
    }
}

/// Reads a line, without its line end. Any bytes will do; `None` for a line that no grammar knows.
pub fn parse(line: &[u8]) -> Option<Event<'_>> {
    let header = header::parse(line)?;
    let (daemon, reading) =
        postfix::read(header.program, header.message).or_else(|| grammar::read(header.program, header.message))?;
    Some(Event {
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
                id: session(&header)?,
                step,
            })
        }),
    })
}

/// The time stamp of any line that has a header, understood or not.
pub fn time(line: &[u8]) -> Option<super::LogTime<'_>> {
    header::parse(line).map(|header| header.time)
}

/// FNV-1a over host and process id. Neither is a client's to choose.
fn session(header: &Header<'_>) -> Option<u64> {
    let pid = header.pid?.to_le_bytes();
    let hash = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Some(header.host.iter().chain(&pid).fold(0xcbf2_9ce4_8422_2325, hash))
}
