//! The kernel side's only door: load, attach, pin, apply, read back. No other module knows aya.
//!
//! [`Dataplane::install`] puts a policy image into the kernel as a new generation of maps and programs;
//! [`Dataplane::live_mut`] changes the live one operation by operation; [`Dataplane::open`] finds it again without any
//! daemon, and [`unload`] takes everything out.

mod attach;
mod clsact;
mod counters;
mod cut;
mod error;
mod events;
mod fill;
mod generation;
mod kernel;
mod link;
mod links;
mod live;
mod look;
mod netlink;
mod object;
mod pins;
mod reconcile;
mod shared;
mod syscall;
mod tokens;
mod usage;
mod wait;

pub use attach::{AttachMode, Attachment, whose};
pub use counters::Count;
pub use cut::{Cut, cut};
pub use error::Error;
pub use events::{Event, Events};
pub use generation::{Dataplane, Removed, prepare, unload};
pub use kernel::{Kernel, release, trouble, version};
pub use links::{Changes, Interface, Layer, Xdp, XdpMode, default_routes, interfaces};
pub use live::Live;
pub use look::boot_ns;
pub use reconcile::{Drift, drift};
pub use tokens::{Rate, Tokens};
pub use usage::Usage;
