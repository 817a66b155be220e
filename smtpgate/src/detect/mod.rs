//! Events to offences to bans. Pure: time comes in as an argument, and so does what is known about an address.

mod config;
mod detector;
mod evidence;
mod sessions;
mod window;

pub use config::{DetectConfig, Past};
pub use detector::{Decision, Detector, Observed, Offence, Rule, Standing, prefix_of};
pub use evidence::{EVIDENCE_LINES, EVIDENCE_WIDTH, escape};

#[cfg(test)]
mod tests;
