//! The engine that joins configuration, ledger, policy and data plane, and the service around it.

mod assemble;
mod bans;
pub mod client;
pub mod clock;
pub mod confirm;
mod countries;
pub mod engine;
pub mod failure;
mod hooks;
mod interfaces;
pub mod lock;
mod maillog;
pub mod overrides;
mod peers;
pub mod protocol;
pub mod report;
mod server;
pub mod service;
pub mod simulate;
mod views;
mod watch;

/// Name of the control socket in the run folder.
pub const SOCKET: &str = "control.sock";
