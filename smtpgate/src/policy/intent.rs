//! What the operator wants, with every source resolved to prefixes.

use ipnet::IpNet;

/// A whole policy. Prefixes may nest, repeat and contradict each other; the compiler resolves that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// At most 16; a gate's number is its place here.
    pub gates: Vec<Gate>,
    /// Passes every gate, and is never banned.
    pub trust: Vec<IpNet>,
    /// Refused at every gate.
    pub block: Vec<IpNet>,
    /// Refused at every gate until a time.
    pub bans: Vec<Ban>,
}

/// A set of ports with one allow policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// As the configuration has it.
    pub name: String,
    /// TCP destination ports; no port is in two gates.
    pub ports: Vec<u16>,
    /// Who is let in.
    pub allow: Vec<IpNet>,
    /// Count what would be dropped, and let it pass.
    pub observe: bool,
}

/// A source that is refused until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// One address or a prefix.
    pub prefix: IpNet,
    /// End in ticks since boot ([`smtpgate_common::ban`]); at most [`smtpgate_common::ban::LAST`].
    pub until: u32,
}
