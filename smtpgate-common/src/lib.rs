//! What kernel and user space share: the shapes in the maps, the words for verdicts and reasons, and the decision itself.
//!
//! The same [`decide`] runs in the XDP program, in the tc classifier and on the host, where it is tested and fuzzed; it
//! reaches packets through [`Frame`] and the gate table through [`Tables`], and neither does arithmetic on pointers here.
#![no_std]
#![cfg_attr(not(any(target_arch = "bpf", test)), forbid(unsafe_code))]
#![allow(
    clippy::cast_possible_truncation,
    reason = "packed words are taken apart by truncation"
)]

pub mod abi;
pub mod ban;
pub mod cell;
mod decide;
pub mod frame;
pub mod front;
pub mod reason;
pub mod shared;
pub mod tables;
mod walk;

pub use decide::{Decision, Source, decide, decide_then, judge};
pub use frame::{Frame, Link};
pub use reason::{Family, Reason};
pub use tables::{Lookup, Tables};
