//! From intent to gate table to map operations. Pure: no kernel, no clock, no files.
//!
//! [`intent::Intent`] says what the operator wants; it is compiled into a gate table (one non-redundant list of prefixes
//! a family, each with the whole answer); an image is that table as the kernel's maps hold it; and the way from one
//! image to the next table is a list of [`ops::Op`]s, after each single one of which every source has its old or its
//! new verdict.

mod bans;
pub mod compile;
pub mod diff;
pub mod evaluate;
mod front;
pub mod image;
pub mod intent;
pub mod maps;
pub mod ops;
pub mod prefix;
pub mod sizes;
pub mod table;
pub mod trie;

pub use compile::compile;
pub use diff::NeedsGeneration;
pub use evaluate::{Rule, Ruling, evaluate};
pub use image::{Fill, Image, NotBanned};
pub use intent::{Ban, Gate, Intent};
pub use maps::Maps;
pub use ops::{Op, Sizes};
pub use sizes::{DoesNotFit, Limits};
pub use table::{Ends, GateTable, Single};

#[cfg(test)]
mod tests;
