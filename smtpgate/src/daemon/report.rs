//! What the verbs answer: stable field names, documented in `docs/json.md`. Text is made of these by the command line.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    detect::{Alarm, Rule},
    sources::Owner,
};

/// Answer of `status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Whether a foreign SYN is refused now on every interface that should be guarded.
    pub enforcing: bool,
    /// `enforce`, `observe`, or `mixed` over the gates.
    pub mode: String,
    /// Version of this command.
    pub version: String,
    /// The daemon, when one runs.
    pub daemon: Option<DaemonState>,
    /// The gates, in the configuration's order.
    pub gates: Vec<GateState>,
    /// Where the gate is attached, or should be.
    pub interfaces: Vec<InterfaceState>,
    /// Since when there is a gate; restarts of the daemon do not count.
    pub up_since: Option<Timestamp>,
    /// Packets by gate, verdict, reason and family since the gate was loaded. Only rows above 0.
    pub counters: Vec<Counter>,
    /// The same for the last minute, hour and day, over restarts.
    pub traffic: Vec<Span>,
    /// How full the kernel's maps are.
    pub maps: Vec<MapFill>,
    /// Bytes of kernel memory held by maps and programs.
    pub kernel_bytes: u64,
    /// Where prefixes come from, and how old they are.
    pub sources: Vec<SourceState>,
    /// Bans in force.
    pub bans: u64,
    /// The same by rule.
    pub bans_by_rule: BTreeMap<String, u64>,
    /// Differences between kernel and policy that were found and repaired since the start of the daemon.
    pub drift: u64,
    /// What the maillog side reads.
    pub follow: Vec<String>,
    /// How far the reading of the maillog is; none without a daemon.
    pub maillog: Option<MaillogState>,
    /// A change that is undone unless it is confirmed in time.
    pub pending: Option<PendingState>,
    /// Whether the configuration's files are not what is in force.
    pub files_differ: bool,
    /// What an admin should look at, most urgent first.
    pub attention: Vec<String>,
}

/// A change that is undone unless it is confirmed in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingState {
    /// The verb, with what it was given.
    pub what: String,
    /// When it was made.
    pub since: Timestamp,
    /// When it is undone.
    pub until: Timestamp,
    /// From now to then.
    pub seconds_left: u64,
}

/// The running daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonState {
    /// Process id.
    pub pid: u32,
    /// Start of the process.
    pub since: Timestamp,
}

/// How far the reading of the maillog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaillogState {
    /// Written, and not yet taken in. Of a journal, only what waits inside the daemon.
    pub behind_bytes: u64,
    /// Since when something has been waiting.
    pub behind_seconds: u64,
    /// Bytes that were left out since the start of the reading, as the backlog had become too long.
    pub skipped_bytes: u64,
    /// Lines that were cut, as they were longer than 8 KiB.
    pub cut_lines: u64,
    /// Lines that were read since the start of the daemon.
    #[serde(default)]
    pub lines: u64,
    /// Offences among them.
    #[serde(default)]
    pub offences: u64,
}

/// One gate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GateState {
    /// Name in the configuration.
    pub name: String,
    /// TCP ports.
    pub ports: Vec<u16>,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Sources that it allows, as written.
    pub allow: Vec<String>,
}

/// One interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InterfaceState {
    /// Name of the interface.
    pub name: String,
    /// `native`, `generic`, `tc`, or `none`.
    pub attach: String,
    /// Why it is not native, or not attached.
    pub note: Option<String>,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Gate, or none where no gate is known (structural drops, malformed frames).
    pub gate: Option<String>,
    /// `pass`, `drop` or `would_drop`.
    pub verdict: String,
    /// Reason code's name.
    pub reason: String,
    /// `ipv4`, `ipv6`, `other`.
    pub family: String,
    /// Packets.
    pub packets: u64,
}

/// What the gate did in a span of time that ends now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// `minute`, `hour` or `day`.
    pub span: String,
    /// Its length.
    pub seconds: u64,
    /// Only rows above 0.
    pub counters: Vec<Counter>,
}

/// One second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// Its end.
    pub at: Timestamp,
    /// Packets that were refused.
    pub refused: u64,
    /// Packets that passed only because a gate observes.
    pub would_refuse: u64,
    /// Packets that passed.
    pub passed: u64,
}

/// One kernel map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MapFill {
    /// Name of the map.
    pub name: String,
    /// Entries in use.
    pub entries: u64,
    /// Entries it has room for.
    pub capacity: u64,
}

/// One source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceState {
    /// `trust`, `block`, or the gate's name.
    pub list: String,
    /// As written.
    pub spec: String,
    /// Which data: built-in table, a file.
    pub origin: String,
    /// Date of the data, where it has one.
    pub date: Option<String>,
    /// Age of the data, where it has a date.
    pub age_seconds: Option<u64>,
    /// Whether its last good copy serves, because it failed itself.
    pub last_good: bool,
    /// Prefixes it gives.
    pub prefixes: u64,
    /// What is wrong with it, while its last good copy serves.
    pub warning: Option<String>,
}

/// Answer of `list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct List {
    /// Bans in force that the filter lets through, in the order that it asks for.
    pub bans: Vec<BanState>,
    /// How many there are without the filter.
    pub all: u64,
    /// What `allow` gave.
    pub exceptions: Vec<Exception>,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanState {
    /// Who is refused.
    pub prefix: IpNet,
    /// Country of its first address, where the country table has it.
    pub country: Option<String>,
    /// Begin.
    pub since: Timestamp,
    /// End; none is until lifted.
    pub until: Option<Timestamp>,
    /// Which rule banned: `operator`, or the detector's.
    pub rule: String,
    /// In words.
    pub reason: String,
    /// How many times it has been banned, this one included.
    pub times: u32,
    /// Log lines, cut and escaped.
    pub evidence: Vec<String>,
}

/// One exception.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exception {
    /// Who is let in.
    pub prefix: IpNet,
    /// Where; none is every gate.
    pub gate: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Free text.
    pub note: String,
}

/// A SYN that was refused, or would have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When, on the wall's clock.
    pub time: Timestamp,
    /// `drop` or `would_drop`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// Who; none when it was refused before its addresses were read.
    pub source: Option<IpAddr>,
    /// The source's country, where the country table has it.
    pub country: Option<String>,
    /// Which gate; none for structural drops.
    pub gate: Option<String>,
    /// Destination port.
    pub port: Option<u16>,
    /// On which interface.
    pub interface: Option<String>,
}

/// Something that happened, as `watch` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum News {
    /// A sample under flood; the counters are exact.
    Refused(Refusal),
    /// Somebody was banned.
    Ban(BanState),
    /// A ban was lifted by the operator.
    Unban {
        /// When.
        time: Timestamp,
        /// Whose.
        prefix: IpNet,
    },
    /// Something to be told at once.
    Alarm(Alarm),
    /// Whoever listens was too slow for that many of the above.
    Missed {
        /// How many.
        events: u64,
    },
}

/// Answer of `top`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Top {
    /// When this was so.
    pub now: Timestamp,
    /// As in `status`.
    pub enforcing: bool,
    /// As in `status`.
    pub mode: String,
    /// As in `status`.
    pub interfaces: Vec<InterfaceState>,
    /// How many things `status` would have looked at.
    pub attention: u64,
    /// The last seconds, up to ten minutes, the oldest first.
    pub pulses: Vec<Pulse>,
    /// The last minute, hour and day.
    pub traffic: Vec<Span>,
    /// What the two lists below are made of.
    pub sample: Sample,
    /// Who was refused most often, by the sample.
    pub sources: Vec<SourceSeen>,
    /// Where they are, by the sample; the most first.
    pub countries: Vec<CountrySeen>,
    /// Bans in force.
    pub bans_in_force: u64,
    /// The newest of them, with evidence.
    pub bans: Vec<BanState>,
}

/// Refusals that were seen one by one: all while there are few, a part of them under flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// How many.
    pub refusals: u64,
    /// The oldest of them.
    pub since: Option<Timestamp>,
}

/// One source's part of the sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSeen {
    /// Who.
    pub source: IpAddr,
    /// Country, where the table has it.
    pub country: Option<String>,
    /// Who holds its network, where there is a file that knows it.
    pub owner: Option<Owner>,
    /// The gate of the last refusal.
    pub gate: Option<String>,
    /// The reason of the last refusal.
    pub reason: String,
    /// How often it was refused.
    pub refusals: u64,
    /// When it was last.
    pub last: Timestamp,
}

/// One country's part of the sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountrySeen {
    /// None for sources that the table does not know.
    pub country: Option<String>,
    /// How often its sources were refused.
    pub refusals: u64,
}

/// Answer of `report`: what was in a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Period {
    /// Name of the host.
    pub host: String,
    /// Begin.
    pub since: Timestamp,
    /// End: now.
    pub until: Timestamp,
    /// As in `status`: now.
    pub enforcing: bool,
    /// As in `status`: now.
    pub mode: String,
    /// Over the whole.
    pub counters: Vec<Counter>,
    /// The same as a series: steps of one length, the oldest first; the last may be cut.
    pub series: Vec<Step>,
    /// Refusals that were seen one by one.
    pub sampled: u64,
    /// Where they came from, the most first.
    pub countries: Vec<CountrySeen>,
    /// The networks that they came from, the most first.
    pub networks: Vec<NetworkSeen>,
    /// Login names that offences were about, the most first.
    pub accounts: Vec<AccountSeen>,
    /// Offences that the log told of.
    pub offences: u64,
    /// From when on the ledger knows accounts and offences: they are kept for a week.
    pub offences_since: Timestamp,
    /// Bans that began, by rule.
    pub bans_by_rule: BTreeMap<String, u64>,
    /// The newest of them, with evidence.
    pub bans: Vec<BanState>,
    /// How many log lines were never written; see `docs/report.md` for how it is estimated.
    pub lines_spared: u64,
}

/// One step of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its begin.
    pub at: Timestamp,
    /// Packets that were refused.
    pub refused: u64,
    /// Packets that passed only because a gate observes.
    pub would_refuse: u64,
    /// Packets that passed.
    pub passed: u64,
}

/// One network's part of the sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSeen {
    /// An IPv4 /24 or an IPv6 /48.
    pub network: IpNet,
    /// Its country, where the table has it.
    pub country: Option<String>,
    /// Who holds it, where there is a file that knows it.
    pub owner: Option<Owner>,
    /// How often its sources were refused.
    pub refusals: u64,
}

/// A login name that offences were about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSeen {
    /// The name, as the client wrote it.
    pub user: String,
    /// Offences.
    pub offences: u64,
    /// From how many addresses.
    pub addresses: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
}

/// Answer of `explain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The source asked about.
    pub address: IpAddr,
    /// Its country by the country table in use, where it is in one.
    pub country: Option<String>,
    /// Who holds its network, where there is a file that knows it.
    pub owner: Option<Owner>,
    /// By gate.
    pub gates: Vec<GateVerdict>,
    /// Every source and exception that holds the address.
    pub matches: Vec<Match>,
    /// The bans that hold the address.
    pub bans: Vec<BanState>,
    /// Whether kernel and policy agree on every gate; none where nothing is loaded.
    pub agrees: Option<bool>,
}

/// One gate's verdict on an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GateVerdict {
    /// Name of the gate.
    pub gate: String,
    /// Its ports.
    pub ports: Vec<u16>,
    /// What the policy says: `pass`, `drop` or `would_drop`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// What the kernel's maps say, where the gate is loaded.
    pub kernel: Option<KernelVerdict>,
}

/// What the kernel's maps say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelVerdict {
    /// `pass`, `drop` or `would_drop`.
    pub verdict: String,
    /// Why.
    pub reason: String,
}

/// A source that holds an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Match {
    /// `trust`, `block`, a gate's name, or `exception`.
    pub list: String,
    /// As written.
    pub spec: String,
    /// The narrowest of its prefixes that holds the address.
    pub prefix: IpNet,
    /// Which data.
    pub origin: String,
    /// Date of the data.
    pub date: Option<String>,
}

/// Answer of `ban`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Banned {
    /// Now refused.
    pub banned: Vec<IpNet>,
    /// End; none is until lifted.
    pub until: Option<Timestamp>,
    /// Established connections that were cut.
    pub cut: u64,
    /// Whether the kernel refuses them now; false where no gate is loaded (they count from the next load on).
    pub in_kernel: bool,
    /// What to know: trusted addresses inside a banned prefix, and the like.
    pub notes: Vec<String>,
}

/// Answer of `unban`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unbanned {
    /// No longer banned.
    pub unbanned: Vec<IpNet>,
    /// What to know: a wider ban or a block list that still refuses them.
    pub notes: Vec<String>,
}

/// Answer of `reload`, `load`, `allow`, `disallow`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Applied {
    /// `live` (changed in place), `generation` (new maps and program put in place), `unchanged`, or `stored` (no gate is loaded).
    pub how: String,
    /// Single map operations of a live change.
    pub operations: u64,
    /// Prefixes in force, both families.
    pub prefixes: u64,
    /// What to know: source warnings and the like.
    pub notes: Vec<String>,
}

/// Answer of `confirm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The change that waited: the verb, with what it was given.
    pub what: String,
    /// When it was made.
    pub since: Timestamp,
    /// `confirmed` or `undone`.
    pub outcome: String,
    /// What to know.
    pub notes: Vec<String>,
}

/// Answer of `unload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unloaded {
    /// What was there and is gone now.
    pub removed: Vec<String>,
}

/// Answer of `check`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checked {
    /// The gates.
    pub gates: Vec<GateState>,
    /// Where prefixes come from.
    pub sources: Vec<SourceState>,
    /// Entries the policy needs: IPv4 prefixes, IPv6 prefixes, single addresses.
    pub needs: Needs,
    /// What to know.
    pub notes: Vec<String>,
}

/// What a policy needs in the kernel.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Needs {
    /// After nesting is resolved.
    pub prefixes4: u64,
    /// After nesting is resolved.
    pub prefixes6: u64,
    /// Banned and listed addresses.
    pub singles: u64,
}

/// What `simulate` found.
#[derive(Clone, Debug, Serialize)]
pub struct Simulation {
    /// In the order of time.
    pub bans: Vec<SimulatedBan>,
    /// In the order of time.
    pub alarms: Vec<Alarm>,
    /// Good mail and good logins that the gates would have refused, the most first.
    pub lost: Vec<Lost>,
    /// The specs that would have kept all of it, as few as possible.
    pub allow: Vec<String>,
    /// How much was read.
    pub lines: LinesRead,
    /// What would not have come.
    pub refused: Turned,
}

/// A ban that would have been made.
#[derive(Clone, Debug, Serialize)]
pub struct SimulatedBan {
    /// Whom.
    pub prefix: IpNet,
    /// The rule that decided.
    pub rule: Rule,
    /// From when.
    pub at: Timestamp,
    /// To when.
    pub until: Timestamp,
    /// In words.
    pub reason: String,
    /// The lines that led to it, oldest first.
    pub evidence: Vec<String>,
}

/// Good mail of one sender's, or one account's, from one network that the gates refuse.
#[derive(Clone, Debug, Serialize)]
pub struct Lost {
    /// The envelope sender's domain; of an account's logins and mail, its name; empty for bounces.
    pub sender: String,
    /// An IPv4 /24 or an IPv6 /48.
    pub network: IpNet,
    /// By the country table in use.
    pub country: Option<String>,
    /// Messages that came in.
    pub messages: u64,
    /// Logins.
    pub logins: u64,
    /// The spec that would have let it in.
    pub allow: String,
}

/// Lines of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinesRead {
    /// All of them.
    pub read: u64,
    /// That a grammar knows.
    pub understood: u64,
    /// That are an offence which no other line told of before.
    pub offences: u64,
    /// Messages that came in, by the lines.
    pub messages: u64,
}

/// What the gates and bans would have kept out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Turned {
    /// Connections from where no gate lets anybody in.
    pub connections: u64,
    /// Offences from there, and from those banned by then.
    pub offences: u64,
}

/// Answer of `import`: what could not be taken of it, and what is worth a word. All else is in force, or would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Imported {
    /// What was left.
    pub left: Vec<NotTaken>,
    /// Whether a gate is loaded that enforces it now.
    pub in_kernel: bool,
    /// Open connections that were cut.
    pub cut: u64,
    /// What is worth a word.
    pub notes: Vec<String>,
}

/// What an import has left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NotTaken {
    /// The part of the import, from 0.
    pub part: usize,
    /// Whether it was to be banned.
    pub ban: bool,
    /// Who.
    pub prefix: IpNet,
    /// Where it was to be allowed.
    pub gate: Option<String>,
    /// Why not.
    pub why: String,
}

/// Answer of `withdraw`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Withdrawn {
    /// Exceptions that are gone.
    pub disallowed: u64,
    /// Bans that are gone.
    pub unbanned: u64,
}

/// Answer of `reconcile`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reconciled {
    /// Whether the maps were compared place by place; without the daemon that made them, they are made anew.
    pub compared: bool,
    /// Places that were not as the policy has them, and are put right.
    pub differences: u64,
    /// Them, for people; the first hundred.
    pub places: Vec<String>,
    /// Differences since the start of the daemon.
    pub drift: u64,
}
