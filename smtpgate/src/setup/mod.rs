//! The first look at a host: what is there, and the configuration that fits it.
//!
//! [`gather`] looks, and changes nothing (it runs `nft` and `iptables-save` where they are); [`propose`] makes the file of
//! what was seen and of what a simulation on the last log said, and knows neither kernel nor files. It asks nothing, and
//! never proposes to enforce: that is for whoever has seen the counts.

pub mod drivers;
pub mod firewall;
pub mod gather;
pub mod propose;

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

/// What was seen on the host. What could not be found out is empty: a look does not fail.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    /// Its name.
    pub host: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// Why the gate cannot be put up here now, each with what to do; none when it can.
    pub trouble: Vec<String>,
    /// Interfaces but `lo`, by index.
    pub interfaces: Vec<Nic>,
    /// Ports of [`PORTS`] at which something listens for others than this host, ascending.
    pub listening: Vec<u16>,
    /// Mail daemons that run.
    pub daemons: Vec<String>,
    /// The mail log that `follow = "auto"` would read.
    pub log: Log,
    /// The country table in use.
    pub countries: Option<Table>,
    /// The country that the host is in.
    pub home: Option<Home>,
    /// From where whoever runs this is logged in by SSH.
    pub admin: Option<IpAddr>,
    /// What else refuses or redirects packets here.
    pub firewall: firewall::Firewall,
    /// Whether a gate is loaded already.
    pub loaded: bool,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Nic {
    /// Its name.
    pub name: String,
    /// The kernel's driver, where there is one.
    pub driver: Option<String>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// `up`, `down`, …
    pub state: String,
    /// Whether a default route leads there.
    pub default_route: bool,
    /// XDP programs of others on it, by id and, where it is told, name.
    pub others: Vec<String>,
    /// What to expect: `native`, `generic`, `tc` or `none`.
    pub expect: &'static str,
    /// Why.
    pub because: String,
}

/// A mail log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Log {
    /// What it is called.
    pub name: String,
    /// Why this one.
    pub because: String,
    /// Its files that hold anything, with the last rotated ones; none for the journal.
    pub files: Vec<PathBuf>,
    /// It is the journal.
    pub journal: bool,
}

/// A country table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// `built-in table`, or a path.
    pub origin: String,
    /// Of its data, as a day.
    pub date: String,
}

/// The country that the host is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Home {
    /// ISO 3166-1.
    pub country: String,
    /// How that is known.
    pub because: String,
}

/// The ports that clients and other mail hosts connect to.
pub const PORTS: [u16; 8] = [25, 110, 143, 465, 587, 993, 995, 4190];
