//! Postfix, under any instance and service name (`syslog_name`): one table of forms a program.
//!
//! A client never gets a line end or another control character into these lines (`printable()` makes `?` of them), but
//! any other text into most of them. smtpd and postscreen begin each message with their own words and then the client,
//! so the address is read before anything that the client chose. The other programs' lines yield no address; what they
//! say of a message is joined by its queue id to the client that smtpd named ([`super::Reader`]).

mod delivery;
mod postscreen;
mod queue;
mod reject;
mod sasl;
mod smtpd;
#[cfg(test)]
mod tests;

use super::grammar::Form;
use super::parse::Reading;

/// A program and its forms, the more frequent first.
pub struct Program {
    /// The last part of its name in the log.
    pub name: &'static str,
    /// What it writes.
    pub forms: &'static [Form],
}

/// All programs that tell of clients or of their messages.
pub static PROGRAMS: &[Program] = &[
    Program {
        name: "smtpd",
        forms: smtpd::FORMS,
    },
    Program {
        name: "postscreen",
        forms: postscreen::FORMS,
    },
    Program {
        name: "qmgr",
        forms: queue::QMGR,
    },
    Program {
        name: "cleanup",
        forms: queue::CLEANUP,
    },
    Program {
        name: "smtp",
        forms: delivery::FORMS,
    },
    Program {
        name: "lmtp",
        forms: delivery::FORMS,
    },
    Program {
        name: "local",
        forms: delivery::FORMS,
    },
    Program {
        name: "virtual",
        forms: delivery::FORMS,
    },
    Program {
        name: "pipe",
        forms: delivery::FORMS,
    },
    Program {
        name: "pickup",
        forms: queue::PICKUP,
    },
    Program {
        name: "dnsblog",
        forms: postscreen::DNSBLOG,
    },
    Program {
        name: "anvil",
        forms: smtpd::ANVIL,
    },
];

impl Program {
    /// The program behind `postfix/smtpd`, `postfix/submission/smtpd`, `postfix-in/smtps/smtpd`. `None` when it is not
    /// Postfix's (OpenSMTPD's `smtpd` has no such path).
    pub(super) fn of(program: &[u8]) -> Option<&'static Self> {
        let name = program.get(memchr::memrchr(b'/', program)? + 1..)?;
        PROGRAMS.iter().find(|known| known.name.as_bytes() == name)
    }

    /// Reads a message of it. `None` for one of no known form.
    pub(super) fn read<'a>(&self, message: &'a [u8]) -> Option<Reading<'a>> {
        self.forms.iter().find_map(|form| (form.read)(message))
    }
}

/// `QUEUEID: ` at the start of a message, and what follows it. `NOQUEUE` is `None`: the message has no queue file yet.
fn queue_id(message: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (id, rest) = message.split_at_checked(memchr::memchr(b':', message)?)?;
    let rest = rest.strip_prefix(b": ")?;
    if id.is_empty() || !id.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    Some(((id != b"NOQUEUE").then_some(id), rest))
}
