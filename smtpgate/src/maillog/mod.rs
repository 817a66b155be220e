//! Log lines to events: follow (files, the journal, standard input), parse. Never decides anything.
//!
//! A grammar is one module a daemon: a table of message forms, each with the versions that write it and a line of it. An
//! address is taken only from where the daemon itself writes it, never from text that a client chose.

mod assp;
mod batch;
mod client;
mod courier;
mod cyrus;
mod domino;
pub mod dovecot;
pub mod event;
mod exim;
pub mod follow;
pub mod grammar;
mod groupware;
mod header;
#[cfg(test)]
mod hostile;
pub mod input;
pub mod journal;
mod kerio;
mod open;
mod opensmtpd;
mod oracleims;
mod parse;
pub mod pattern;
mod perdition;
pub mod postfix;
mod qmail;
mod queue;
mod reader;
mod roundcube;
mod saslauthd;
mod scan;
mod secret;
mod sendmail;
mod solidpop3d;
mod test_log;
mod time;
mod uwimap;
pub mod weight;
mod zimbra;

pub use batch::{Batch, Cursor, Reached};
pub use event::{Daemon, Event, Kind, Session, Step};
pub use follow::{Position, lines::Lines};
pub use open::open;
pub use parse::{message, parse, time};
pub use pattern::{Pattern, Patterns};
pub use queue::{Batches, Lag};
pub use reader::Reader;
pub use secret::redact;
pub use test_log::{Read, test_log};
pub use time::{Clock, LogTime};
