//! smtpgate: everything the command does, as a library.
//!
//! Data flows one way (`docs/architecture.md`): configuration, sources and ledger make a policy; the policy is compiled
//! into a gate table; its difference to what the kernel holds is applied by the data plane. Log lines become events,
//! events offences, offences bans, and bans enter the ledger and so the policy again.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod detect;
mod durable;
pub mod ledger;
pub mod maillog;
pub mod moving;
mod nearest;
pub mod policy;
pub mod setup;
pub mod sources;
mod unseen;
