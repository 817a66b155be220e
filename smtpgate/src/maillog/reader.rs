//! Lines that only make sense together: what Postfix's later programs say of a message, joined by its queue id to the
//! client that brought it. OpenSMTPD names the client only where its session begins, Sendmail only where its transaction
//! ends.

use std::collections::HashMap;
use std::net::IpAddr;

use super::event::{Daemon, Event, Kind};
use super::header::{self, Header};
use super::parse::{event, hash, read};
use super::pattern::Patterns;
use super::weight;

/// Messages remembered at least, the newest. Those under way are far fewer on any host but a very busy one; beyond that,
/// deliveries and refusals of content stay without an address.
const CAPACITY: usize = 65_536;

/// Bytes of a sender or user that are remembered.
const NAME_MAX: usize = 320;

/// Reads lines in their order. One for each stream of lines; memory is bounded.
#[derive(Debug, Default)]
pub struct Reader {
    patterns: Patterns,
    messages: HashMap<u64, Message, foldhash::fast::RandomState>,
    /// The generation before: an entry that is not asked for goes with it.
    older: HashMap<u64, Message, foldhash::fast::RandomState>,
}

/// What is known of a message.
#[derive(Debug, Default)]
struct Message {
    client: Option<IpAddr>,
    user: Option<Box<[u8]>>,
    sender: Option<Box<[u8]>>,
    /// Recipients that do not exist, of which the client is still to be told.
    unknown: u16,
}

impl Reader {
    /// One that also knows the admin's own message forms. They are asked about what no grammar knows.
    pub fn new(patterns: Patterns) -> Self {
        Self {
            patterns,
            ..Self::default()
        }
    }

    /// Other patterns from now on; what was read stays.
    pub fn set_patterns(&mut self, patterns: Patterns) {
        self.patterns = patterns;
    }

    /// Reads a line as [`super::parse`] does, and completes the event by what earlier lines said of its message: the
    /// client's address, its login name, the sender.
    ///
    /// A message that is tried again is in the queue again: only the first [`Kind::Received`] with a sender has its
    /// recipients.
    pub fn read<'a>(&'a mut self, line: &'a [u8]) -> Option<Event<'a>> {
        let header = header::parse(line)?;
        let mut event = read(&header).or_else(|| {
            let reading = self.patterns.read(header.program, header.message)?;
            Some(event(&header, Daemon::Pattern, reading))
        })?;
        let Some(queue_id) = event.queue_id else {
            return Some(event);
        };
        let key = key(&header, queue_id);
        if event.daemon == Daemon::Sendmail && event.kind == Kind::UnknownUser && event.address.is_none() {
            let unknown = self.find(key).map_or(1, |message| message.unknown.saturating_add(1));
            self.insert(
                key,
                Message {
                    unknown,
                    ..Message::default()
                },
            );
            return Some(event);
        }
        let begins = matches!(event.kind, Kind::Received | Kind::AuthOk | Kind::Connect);
        // Postfix's pickup has no client: the message is from this host.
        let whose = event.address.is_some() || event.daemon == Daemon::Postfix;
        if begins && whose && event.sender.is_none() {
            // The message begins here; one of the same id, if any, is gone.
            self.insert(
                key,
                Message {
                    client: event.address,
                    user: event.user.map(cut),
                    ..Message::default()
                },
            );
            return Some(event);
        }
        let Some(message) = self.find(key) else {
            return Some(event);
        };
        if let Some(sender) = event.sender {
            if message.sender.is_some() {
                event.recipients = 0;
            }
            message.sender = Some(cut(sender));
            // Without recipients, these were why.
            let unknown = std::mem::take(&mut message.unknown);
            if unknown > 0 && event.kind == Kind::RejectedRcpt && event.recipients == 0 {
                event.kind = Kind::UnknownUser;
                event.weight = weight::UNKNOWN_RECIPIENT.saturating_mul(unknown);
            }
        } else {
            event.sender = message.sender.as_deref();
        }
        event.address = event.address.or(message.client);
        event.user = event.user.or(message.user.as_deref());
        Some(event)
    }

    /// How many messages are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.messages.len() + self.older.len()
    }

    fn insert(&mut self, key: u64, message: Message) {
        if self.messages.len() >= CAPACITY {
            self.older = std::mem::take(&mut self.messages);
        }
        self.messages.insert(key, message);
    }

    fn find(&mut self, key: u64) -> Option<&mut Message> {
        if !self.messages.contains_key(&key) {
            let message = self.older.remove(&key)?;
            self.insert(key, message);
        }
        self.messages.get_mut(&key)
    }
}

/// Queue ids are a host's own.
fn key(header: &Header<'_>, queue_id: &[u8]) -> u64 {
    hash(header.host.iter().chain(b" ").chain(queue_id))
}

fn cut(name: &[u8]) -> Box<[u8]> {
    name.get(..NAME_MAX).unwrap_or(name).into()
}
