//! The engine that joins configuration, ledger, policy and data plane, and the service around it.

mod assemble;
mod bans;
pub mod client;
pub mod clock;
pub mod confirm;
mod countries;
pub mod engine;
mod exporter;
pub mod failure;
mod history;
pub mod hooks;
mod import;
mod interfaces;
mod listing;
pub mod lock;
pub(crate) mod maillog;
pub mod metrics;
mod news;
pub mod overrides;
mod peers;
pub(crate) mod period;
pub mod protocol;
mod reconcile;
pub mod report;
pub mod sandbox;
mod server;
pub mod service;
mod sightings;
pub mod simulate;
mod top;
mod views;
mod watch;

/// Name of the control socket in the run folder.
pub const SOCKET: &str = "control.sock";
