//! A throw-away internet: hosts are network namespaces joined by veth pairs, with no route out.
//!
//! Nothing here outlives the process that made it, not even after `kill -9`: a namespace has no name, only an open file
//! of this process, and every child is bound to its parent's life.

pub mod gate;
pub mod host;
pub mod imap;
pub mod internet;
pub mod netns;
pub mod probe;
pub mod root;
pub mod smtp;
pub mod terminal;
mod wire;
