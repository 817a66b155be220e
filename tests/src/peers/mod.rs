//! The gate beside its peers: the same policy by smtpgate, nftables, ipset and a list of iptables rules, under the same
//! flood, in two network namespaces.
//!
//! What is measured is told as JSON; what the figures look like on a page is `cargo xtask bench --peers`' affair.

mod bpf;
mod driver;
mod filters;
mod link;
mod measure;
mod run;
mod updates;
mod world;

pub use run::{Plan, run};
