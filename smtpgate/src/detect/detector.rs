//! The decision: which source has earned a ban, now.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::config::{DetectConfig, Past};
use super::evidence::escape;
use super::sessions::Sessions;
use super::window::{Source, Window};
use crate::maillog::{Event, Kind};

/// What the rest of the program knows about a source. Asked only when it is about to be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In trust: it is never banned.
    Trusted,
    /// A ban holds already.
    Banned,
    /// Neither; with its last ban, if the ledger has one.
    Free(Option<Past>),
}

/// Why a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `maxretry` offences within `findtime`.
    Maxretry,
}

impl Rule {
    /// The name as it is in JSON and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maxretry => "maxretry",
        }
    }

    /// The rule that [`Rule::name`] names.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Maxretry].into_iter().find(|rule| rule.name() == name)
    }
}

/// One offence, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub address: IpAddr,
    /// The login name that was tried, escaped as evidence is.
    pub user: Option<String>,
    /// What.
    pub kind: Kind,
    /// How much it counts: at least 1.
    pub weight: u16,
    /// The log line, escaped and cut.
    pub line: String,
}

/// A ban to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whom: an IPv4 /32, or an IPv6 /64.
    pub prefix: IpNet,
    /// The address of the last offence.
    pub address: IpAddr,
    /// From when.
    pub since: Timestamp,
    /// To when.
    pub until: Timestamp,
    /// How many times the prefix has come back; 0 = first ban.
    pub returns: u32,
    /// The rule that decided.
    pub rule: Rule,
    /// In words, for people: `5 offences within 10m`.
    pub reason: String,
    /// The lines that led to it, oldest first, escaped and cut.
    pub evidence: Vec<String>,
}

/// What came of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The event is an offence that no other line told of before.
    pub offence: Option<Offence>,
    /// And it was one too many.
    pub decision: Option<Decision>,
}

/// Windows of offences. Memory is bounded whatever comes: the oldest offences go first.
#[derive(Debug)]
pub struct Detector {
    config: DetectConfig,
    sessions: Sessions,
    window: Window,
}

impl Detector {
    /// Nothing seen yet.
    pub fn new(config: DetectConfig) -> Self {
        Self {
            config,
            sessions: Sessions::default(),
            window: Window::new(),
        }
    }

    /// Other thresholds from now on; what was seen stays.
    pub fn reconfigure(&mut self, config: DetectConfig) {
        self.config = config;
    }

    /// Takes in an event.
    ///
    /// `line` is its log line. `now` is the time of arrival; for lines of the past (a file that is read back) it is their
    /// own time. `standing` is asked at most once, with the event's address and the prefix that would be banned.
    pub fn observe(
        &mut self,
        event: &Event<'_>,
        line: &[u8],
        now: Timestamp,
        standing: impl FnOnce(IpAddr, IpNet) -> Standing,
    ) -> Observed {
        let weight = self.sessions.weigh(event);
        let Some(address) = event
            .address
            .map(|address| address.to_canonical())
            .filter(|_| weight > 0)
        else {
            return Observed::default();
        };
        let line = escape(line);
        let total = self
            .window
            .add(source(address), weight, &line, now, self.config.findtime);
        let decision = (total >= u64::from(self.config.maxretry)).then(|| self.decide(address, total, now, standing));
        let user = event.user.map(escape);
        let offence = Offence {
            at: now,
            address,
            user,
            kind: event.kind,
            weight,
            line,
        };
        Observed {
            offence: Some(offence),
            decision: decision.flatten(),
        }
    }

    /// Takes in an offence that the ledger remembers, oldest first, so that a restart does not forgive. Decides nothing.
    pub fn restore(&mut self, offence: &Offence) {
        let source = source(offence.address.to_canonical());
        self.window
            .add(source, offence.weight, &offence.line, offence.at, self.config.findtime);
    }

    /// The operator took a ban back: what led to it shall not lead to the next.
    pub fn pardon(&mut self, address: IpAddr) {
        self.window.reset(source(address.to_canonical()));
    }

    fn decide(
        &mut self,
        address: IpAddr,
        total: u64,
        now: Timestamp,
        standing: impl FnOnce(IpAddr, IpNet) -> Standing,
    ) -> Option<Decision> {
        let (source, prefix) = (source(address), prefix_of(address));
        let past = match standing(address, prefix) {
            Standing::Trusted | Standing::Banned => None,
            Standing::Free(past) => Some(past),
        };
        let decision = past.map(|past| {
            let (returns, length) = self.config.length(past, now);
            let until = jiff::SignedDuration::try_from(length)
                .ok()
                .and_then(|length| now.checked_add(length).ok());
            let findtime = jiff::SignedDuration::try_from(self.config.findtime).unwrap_or(jiff::SignedDuration::MAX);
            Decision {
                prefix,
                address,
                since: now,
                until: until.unwrap_or(Timestamp::MAX),
                returns,
                rule: Rule::Maxretry,
                reason: format!("{total} offences within {findtime:#}"),
                evidence: self.window.evidence(source),
            }
        });
        // A ban starts the count anew. So does trust, or the question would be asked for each line of a busy relay.
        self.window.reset(source);
        decision
    }
}

/// The prefix that stands for an address: itself in IPv4, its /64 in IPv6, where one host has the whole of it. An
/// IPv4-mapped address is IPv4.
pub fn prefix_of(address: IpAddr) -> IpNet {
    match source(address.to_canonical()) {
        Source::V4(bits) => Ipv4Net::from(Ipv4Addr::from_bits(bits)).into(),
        Source::V6(bits) => {
            let address = Ipv6Addr::from_bits(u128::from(bits) << 64);
            Ipv6Net::new(address, 64).unwrap_or(Ipv6Net::from(address)).into()
        }
    }
}

fn source(address: IpAddr) -> Source {
    match address {
        IpAddr::V4(address) => Source::V4(address.to_bits()),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            Source::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }
    }
}
