//! Log lines to events: follow, parse. Never decides anything.
//!
//! A grammar is one module a daemon: a table of message forms, each with the versions that write it and a line of it. An
//! address is taken only from where the daemon itself writes it, never from text that a client chose.

mod client;
pub mod event;
pub mod follow;
mod header;
mod parse;
pub mod postfix;
mod reader;
mod test_log;
mod time;
pub mod weight;

pub use event::{Daemon, Event, Kind, Session, Step};
pub use follow::{Batch, Position};
pub use parse::{parse, time};
pub use reader::Reader;
pub use test_log::{Read, test_log};
pub use time::{Clock, LogTime};
