//! What a policy would have done to a log: bans and alarms by the detector as it is, and the good mail that the gates would
//! have refused. Needs no root, no kernel and no ledger.
//!
//! Detection does not depend on the gates: a line in the log is a connection that was made.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::{
    assemble::{Assembled, Strictness},
    bans::wider_than,
    countries::Countries,
    engine::host,
    failure::Failure,
    report::{LinesRead, Lost, SimulatedBan, Simulation, Turned},
};
use crate::{
    config::Config,
    detect::{Alarm, Alarms, Detector, Known, Observed, Past, escape},
    maillog::{self, Daemon, Event, Kind, Reader},
    policy::{evaluate::evaluate, intent::Intent},
    sources::{Country, Sources},
};

/// Groups of lost mail that are told apart; more are left out, and counted.
const GROUPS: usize = 100_000;

/// A simulation under way.
pub struct Simulator {
    clock: maillog::Clock,
    reader: Reader,
    detector: Detector,
    doors: Doors,
    facts: Facts,
    bans: Vec<SimulatedBan>,
    alarms: Alarms,
    lost: BTreeMap<(String, IpNet), Group>,
    lines: LinesRead,
    refused: Turned,
    /// The time of the last line that had one.
    now: Timestamp,
}

/// What the gates would let in.
struct Doors {
    intent: Intent,
    /// By address: the gates that refuse it.
    refusing: HashMap<IpAddr, u16>,
}

/// What the detector asks.
struct Facts {
    trust: Vec<IpNet>,
    countries: Countries,
    bans: BTreeMap<IpNet, (Timestamp, Past)>,
}

#[derive(Default)]
struct Group {
    messages: u64,
    logins: u64,
    addresses: HashSet<IpAddr>,
}

impl Simulator {
    /// With a configuration and its sources.
    ///
    /// # Errors
    /// Every source that cannot be read.
    pub fn new(config: &Config, clock: maillog::Clock) -> Result<Self, Failure> {
        let sources = Sources::new(&config.geoip.database, &config.paths.state);
        let assembled = Assembled::of(config, &sources, Strictness::LastGood, host()?, Vec::new())?;
        let intent = assembled.intent(config, Vec::new());
        Ok(Self {
            now: clock.now,
            clock,
            reader: Reader::new(config.maillog.patterns.clone()),
            detector: Detector::new(config.detect.clone()),
            facts: Facts {
                trust: intent.trust.clone(),
                countries: Countries::of(config),
                bans: BTreeMap::new(),
            },
            doors: Doors {
                intent,
                refusing: HashMap::new(),
            },
            bans: Vec::new(),
            alarms: Alarms::default(),
            lost: BTreeMap::new(),
            lines: LinesRead::default(),
            refused: Turned::default(),
        })
    }

    /// The time that a line tells, if it is a log line.
    pub fn time(&self, line: &[u8]) -> Option<Timestamp> {
        maillog::time(line).and_then(|time| self.clock.resolve(time))
    }

    /// Reads the next line.
    pub fn line(&mut self, line: &[u8]) {
        self.lines.read += 1;
        let Some(event) = self.reader.read(line) else { return };
        self.lines.understood += 1;
        if let Some(time) = self.clock.resolve(event.time) {
            self.now = time;
        }
        let observed = self.detector.observe(&event, line, self.now, &self.facts);
        let refusing = event
            .address
            .map(|address| (address, self.doors.refusing(address.to_canonical())));
        if let Some((address, refusing)) = refusing {
            let offence = observed.offence.is_some();
            let everywhere = refusing != 0 && refusing.count_ones() as usize == self.doors.intent.gates.len();
            if everywhere && event.kind == Kind::Connect {
                self.refused.connections += 1;
            }
            if offence {
                let banned = self.facts.banned(address.to_canonical().into(), self.now);
                self.refused.offences += u64::from(everywhere || banned);
            } else if self.doors.refuse(refusing, &event) {
                lose(&mut self.lost, &event, address.to_canonical());
            }
        }
        self.lines.offences += u64::from(observed.offence.is_some());
        self.lines.messages += u64::from(completed(&event));
        self.take(observed);
    }

    fn take(&mut self, observed: Observed) {
        for decision in observed.bans {
            let past = Past {
                returns: decision.returns,
                ended: decision.until,
            };
            self.facts.bans.insert(decision.prefix, (decision.until, past));
            self.bans.push(SimulatedBan {
                prefix: decision.prefix,
                rule: decision.rule,
                at: decision.since,
                until: decision.until,
                reason: decision.reason,
                evidence: decision.evidence,
            });
        }
        for alarm in &observed.alarms {
            self.alarms.take(alarm);
        }
    }

    /// The end of the log.
    pub fn end(mut self) -> Simulation {
        // Bans that had to wait for their minute would have come.
        while self.detector.waiting() > 0 {
            self.now = self
                .now
                .saturating_add(SignedDuration::from_mins(1))
                .unwrap_or(self.now);
            let observed = self.detector.tick(self.now);
            self.take(observed);
        }
        let alarms: Vec<Alarm> = self.alarms.all().to_vec();
        let banned: Vec<IpNet> = self.bans.iter().map(|ban| ban.prefix).collect();
        let hostile = |address: &IpAddr| {
            let stolen = alarms.iter().flat_map(|alarm| &alarm.prefixes);
            banned.iter().chain(stolen).any(|prefix| prefix.contains(address))
        };
        let mut lost: Vec<Lost> = self
            .lost
            .into_iter()
            .filter(|(_, group)| !group.addresses.iter().any(hostile))
            .map(|((sender, network), group)| Lost {
                sender,
                network,
                country: self
                    .facts
                    .countries
                    .of_address(network.addr())
                    .map(|country| country.to_string()),
                messages: group.messages,
                logins: group.logins,
                allow: format!("cidr:{network}"),
            })
            .collect();
        lost.sort_by_key(|lost| std::cmp::Reverse(lost.messages + lost.logins));
        let mut allow: Vec<IpNet> = IpNet::aggregate(&lost.iter().map(|lost| lost.network).collect());
        allow.sort();
        Simulation {
            bans: self.bans,
            alarms,
            lost,
            allow: allow.into_iter().map(|net| format!("cidr:{net}")).collect(),
            lines: self.lines,
            refused: self.refused,
        }
    }
}

impl Doors {
    fn refusing(&mut self, address: IpAddr) -> u16 {
        let intent = &self.intent;
        *self.refusing.entry(address).or_insert_with(|| {
            (0..intent.gates.len().min(16))
                .filter(|gate| evaluate(intent, *gate, address, 0).reason.drops())
                .fold(0, |mask, gate| mask | 1 << gate)
        })
    }

    /// Whether what an event tells of would have been refused. The log does not say at which port it came in: logins belong
    /// to the gates of their protocol, mail of nobody to port 25's.
    fn refuse(&self, refusing: u16, event: &Event<'_>) -> bool {
        let ports: &[u16] = match (event.kind, event.daemon) {
            (Kind::AuthOk, Daemon::Dovecot) => &[143, 993, 110, 995],
            (Kind::AuthOk, _) => &[587, 465],
            (Kind::Received, _) if event.user.is_some() => &[587, 465],
            (Kind::Received, _) => &[25],
            _ => return false,
        };
        let gates = |ports: &[u16]| {
            self.intent
                .gates
                .iter()
                .enumerate()
                .filter(|(_, gate)| gate.ports.iter().any(|port| ports.contains(port)))
                .fold(0u16, |mask, (number, _)| mask | 1 << number)
        };
        refusing & gates(ports) != 0
    }
}

/// Whether it tells of a message that came in.
fn completed(event: &Event<'_>) -> bool {
    event.kind == Kind::Received && event.recipients > 0
}

/// Puts a good message or login down as lost.
fn lose(lost: &mut BTreeMap<(String, IpNet), Group>, event: &Event<'_>, address: IpAddr) {
    let completed = completed(event);
    if !completed && event.kind != Kind::AuthOk {
        return;
    }
    let who = match (event.user, event.sender) {
        (Some(user), _) => escape(user),
        (None, Some(sender)) => {
            let domain = memchr::memrchr(b'@', sender).and_then(|at| sender.get(at + 1..));
            escape(domain.unwrap_or(sender)).to_lowercase()
        }
        (None, None) => String::new(),
    };
    let length = if address.is_ipv4() { 24 } else { 48 };
    let network = IpNet::new(address, length).map_or(IpNet::from(address), |net| net.trunc());
    let key = (who, network);
    if lost.len() >= GROUPS && !lost.contains_key(&key) {
        return;
    }
    let group = lost.entry(key).or_default();
    group.messages += u64::from(completed);
    group.logins += u64::from(event.kind == Kind::AuthOk);
    group.addresses.insert(address);
}

impl Known for Facts {
    fn trusted(&self, prefix: IpNet) -> bool {
        self.trust.iter().any(|net| net.contains(&prefix))
    }

    fn trusted_within(&self, prefix: IpNet) -> Vec<IpNet> {
        self.trust.iter().copied().filter(|net| prefix.contains(net)).collect()
    }

    fn banned(&self, prefix: IpNet, now: Timestamp) -> bool {
        std::iter::once(prefix)
            .chain(wider_than(prefix))
            .any(|prefix| self.bans.get(&prefix).is_some_and(|(until, _)| *until > now))
    }

    fn past(&self, prefix: IpNet) -> Option<Past> {
        self.bans.get(&prefix).map(|(_, past)| *past)
    }

    fn country(&self, address: IpAddr) -> Option<Country> {
        self.countries.of_address(address)
    }
}
