//! Any bytes at what reads foreign ones. A target is a function of bytes: it returns, whatever they are, or has found a
//! defect. A fuzzer calls it with bytes that it thinks up (`cargo xtask fuzz`), the tests with the corpus.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is found is a panic"
)]

mod config;
mod control;
mod folder;
mod follow;
mod follow_lines;
mod forged;
mod ledger;
mod maillog;
mod mmdb;
mod packed;
mod packet;
mod pattern;
mod samples;
mod source_list;

use smtpgate::sources::packed::{pack, unpack};
use smtpgate::sources::table::CountryTable;

/// Tries an input.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 12] = [
    ("config", config::run),
    ("control", control::run),
    ("follow", follow::run),
    ("follow_lines", follow_lines::run),
    ("forged", forged::run),
    ("ledger", ledger::run),
    ("maillog", maillog::run),
    ("mmdb", mmdb::run),
    ("packed", packed::run),
    ("packet", packet::run),
    ("pattern", pattern::run),
    ("source_list", source_list::run),
];

/// Runs a target.
///
/// # Panics
/// It has found a defect.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("a target of that name").1(input);
}

/// A table that was taken packs, if it can be packed, to what unpacks to the same.
fn packs(table: &CountryTable) {
    if let Ok(packed) = pack(table) {
        let again = unpack(&packed, &table.origin).expect("what was packed unpacks");
        assert_eq!(&again, table);
    }
}
