//! What the root-only tests share: network-namespace lab, frames, kernels in virtual machines.
//!
//! Tests that need root are marked `#[ignore = "root: cargo xtask test"]`, so a plain `cargo test` says that it left them
//! out; once they run, they fail when anything they need is missing.

pub mod browser;
pub mod dice;
pub mod gated;
pub mod kernels;
pub mod lab;
pub mod machine;
pub mod packets;
pub mod peers;
pub mod promtool;
pub mod reader;
pub mod sweep;
pub mod tun;
