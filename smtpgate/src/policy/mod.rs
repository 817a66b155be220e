//! From intent to gate table to map operations. Pure: no kernel, no clock, no files.
//!
//! [`intent::Intent`] says what the operator wants; it is compiled into a gate table (one non-redundant list of prefixes
//! a family, each with the whole answer); an image is that table as the kernel's maps hold it; and the way from one
//! image to the next table is a list of [`ops::Op`]s, after each single one of which every source has its old or its
//! new verdict.

pub mod intent;
pub mod ops;
