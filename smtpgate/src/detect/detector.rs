//! The decision: which source has earned a ban, now.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::accounts::{Accounts, Login, Oddity, Stolen};
use super::alarm::{Alarm, AlarmKind, PREFIXES};
use super::config::{DetectConfig, Past};
use super::echo::Echoes;
use super::evidence::{EVIDENCE_LINES, EVIDENCE_WIDTH, escape};
use super::good::{Good, GoodOnes, RECENT};
use super::guard::Guard;
use super::names::{Name, Names, Siege};
use super::sessions::Sessions;
use super::source::Source;
use super::wide::{Crowd, carve};
use super::window::{Act, Spans, Total, Window};
use crate::maillog::{Daemon, Event, Kind, redact};
use crate::sources::Country;

/// What the rest of the program knows. Asked only when something is about to be decided.
pub trait Known {
    /// The whole of `prefix` is trusted: it is never banned.
    fn trusted(&self, prefix: IpNet) -> bool;
    /// What is trusted within `prefix`.
    fn trusted_within(&self, prefix: IpNet) -> Vec<IpNet>;
    /// A ban holds the whole of `prefix` at `now`.
    fn banned(&self, prefix: IpNet, now: Timestamp) -> bool;
    /// The last ban of exactly this prefix.
    fn past(&self, prefix: IpNet) -> Option<Past>;
    /// Where an address is, as far as a database knows.
    fn country(&self, address: IpAddr) -> Option<Country>;
}

/// Why a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `maxretry` offences within `findtime`.
    Maxretry,
    /// Many offences within a day, never `maxretry` of them within `findtime`.
    Slow,
    /// A failure on an account under siege.
    Siege,
    /// Many offenders close together.
    Wide,
    /// A login with a stolen password.
    Stolen,
}

impl Rule {
    /// The name as it is in JSON and in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maxretry => "maxretry",
            Self::Slow => "slow",
            Self::Siege => "siege",
            Self::Wide => "wide",
            Self::Stolen => "stolen",
        }
    }

    /// The rule that [`Rule::name`] names.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Maxretry, Self::Slow, Self::Siege, Self::Wide, Self::Stolen]
            .into_iter()
            .find(|rule| rule.name() == name)
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
    /// Whom.
    pub prefix: IpNet,
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
    /// Bans that are to be made now; of this event's source or of others.
    pub bans: Vec<Decision>,
    /// What an admin should know of.
    pub alarms: Vec<Alarm>,
}

/// How long slow guessers are remembered, in milliseconds.
const DAY: i64 = 86_400_000;
/// Times `maxretry` within a day is a slow guesser: with the default one try in 48 minutes.
const SLOW: u32 = 6;
/// Times `maxretry` is borne from where somebody logged in lately.
const CARE: u32 = 3;
/// From there, so many tries of one login name count as one: a phone with an old password does not stop.
const STALE: u32 = 10;
/// The first ban of such a source is that part of `bantime`.
const SHORT: u32 = 4;
/// An address whose offences are this part of `maxretry` is an offender for its neighbourhood, before it is banned itself.
const HALF: u32 = 2;

/// Windows of offences. Memory is bounded whatever comes: the oldest offences go first.
#[derive(Debug)]
pub struct Detector {
    config: DetectConfig,
    sessions: Sessions,
    echoes: Echoes,
    window: Window,
    good: GoodOnes,
    names: Names,
    accounts: Accounts,
    crowd: Crowd,
    guard: Guard,
}

impl Detector {
    /// Nothing seen yet.
    pub fn new(config: DetectConfig) -> Self {
        Self {
            config,
            sessions: Sessions::default(),
            echoes: Echoes::default(),
            window: Window::new(),
            good: GoodOnes::default(),
            names: Names::default(),
            accounts: Accounts::default(),
            crowd: Crowd::default(),
            guard: Guard::default(),
        }
    }

    /// Other thresholds from now on; what was seen stays.
    pub fn reconfigure(&mut self, config: DetectConfig) {
        self.config = config;
    }

    /// How far back offences may count: what a restart has to give to [`Detector::restore`].
    pub fn memory(config: &DetectConfig) -> SignedDuration {
        SignedDuration::from_millis(spans(config).long)
    }

    /// Takes in an event.
    ///
    /// `line` is its log line. `now` is the time of arrival; for lines of the past (a file that is read back) it is their
    /// own time.
    pub fn observe(&mut self, event: &Event<'_>, line: &[u8], now: Timestamp, known: &dyn Known) -> Observed {
        let mut observed = Observed::default();
        let weight = self.sessions.weigh(event);
        if let Some(address) = event.address.map(|address| address.to_canonical()) {
            let at = now.as_millisecond();
            if weight > 0 {
                let weight = self.echoes.weigh(event, address, weight, at);
                if weight > 0 {
                    self.offend(event, address, weight, line, now, known, &mut observed);
                }
            } else {
                self.behave(event, address, line, now, known, &mut observed);
            }
        }
        self.release(now, &mut observed);
        observed
    }

    /// Time went on without an event: bans that waited may be made.
    pub fn tick(&mut self, now: Timestamp) -> Observed {
        let mut observed = Observed::default();
        self.release(now, &mut observed);
        observed
    }

    /// Bans that wait for their minute.
    pub fn waiting(&self) -> usize {
        self.guard.waiting()
    }

    /// Takes in an offence that the ledger remembers, oldest first, so that a restart does not forgive. Decides nothing.
    pub fn restore(&mut self, offence: &Offence) {
        let address = offence.address.to_canonical();
        let source = Source::of(address, self.config.window6);
        let at = offence.at.as_millisecond();
        let name = offence.user.as_ref().map(|user| Name::of(user.as_bytes()));
        let act = Act {
            address,
            weight: offence.weight,
            name: name.map(|name| name.hash),
            line: &offence.line,
        };
        self.window.add(source, &act, at, spans(&self.config));
        if let Some(name) = name.filter(|_| is_guess(offence.kind)) {
            let most = self.config.siege_addresses as usize;
            self.names.failed(name, (source, address), false, at, most);
        }
    }

    /// How long good addresses are remembered.
    pub fn good_memory() -> SignedDuration {
        SignedDuration::from_millis(RECENT)
    }

    /// Takes in a good address that the ledger remembers.
    pub fn restore_good(&mut self, good: &Good) {
        self.good.restore(good);
    }

    /// What became known of good addresses since this was last asked.
    pub fn good_changes(&mut self) -> Vec<Good> {
        self.good.changes()
    }

    /// The operator took a ban back: what led to it shall not lead to the next.
    pub fn pardon(&mut self, prefix: IpNet) {
        let source = Source::of(prefix.addr().to_canonical(), self.config.window6);
        self.window.reset(source);
        self.guard.forget(prefix);
    }

    /// A good login, a message, or something that says nothing.
    fn behave(
        &mut self,
        event: &Event<'_>,
        address: IpAddr,
        line: &[u8],
        now: Timestamp,
        known: &dyn Known,
        observed: &mut Observed,
    ) {
        let at = now.as_millisecond();
        let name = event.user.filter(|user| !user.is_empty()).map(Name::of);
        let stolen = match (event.kind, name) {
            (Kind::AuthOk, Some(name)) => {
                let country = |address| known.country(address);
                match self.accounts.login(name, address, at, &self.config, country) {
                    Login::Fine => {
                        self.good.login(address, at);
                        None
                    }
                    Login::Suspect => None,
                    Login::Odd(stolen) => Some(stolen),
                }
            }
            (Kind::AuthOk, None) => {
                self.good.login(address, at);
                None
            }
            (Kind::Received, Some(name)) if event.recipients > 0 => {
                let recipients = event.recipients;
                self.accounts.sent(name, address, recipients, at, &self.config)
            }
            (Kind::Received, None) => {
                self.good.mail(address, at);
                None
            }
            _ => None,
        };
        if let Some(stolen) = stolen {
            self.steal(stolen, event.daemon, line, now, known, observed);
        }
    }

    fn steal(
        &mut self,
        stolen: Stolen,
        daemon: Daemon,
        line: &[u8],
        now: Timestamp,
        known: &dyn Known,
        observed: &mut Observed,
    ) {
        let user = &stolen.user;
        let text = match stolen.oddity {
            Oddity::Networks(number) => format!("{user} logged in from {number} networks within an hour"),
            Oddity::Countries(number) => format!("{user} logged in from {number} countries within an hour"),
            Oddity::Messages(number) => format!("{user} sent to {number} recipients within an hour"),
        };
        for address in &stolen.addresses {
            self.good.forget(*address);
        }
        if self.config.stolen_ban {
            for address in &stolen.foreign {
                let prefix = Source::of(*address, self.config.window6).prefix(self.config.window6);
                if self.is_due(prefix, 1, now, known) {
                    let evidence = vec![cut(&text), escape(&redact(daemon, Kind::AuthOk, line))];
                    self.ban(prefix, Rule::Stolen, &text, evidence, 1, now, known);
                }
            }
        }
        let prefixes = self.prefixes(stolen.addresses.iter().copied());
        observed.alarms.push(Alarm {
            kind: AlarmKind::StolenAccount,
            prefixes,
            at: instant(stolen.since, now),
            text,
            key: Name::of(user.as_bytes()).hash ^ u64::from(matches!(stolen.oddity, Oddity::Messages(_))),
            new: stolen.new,
            user: Some(stolen.user),
        });
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one caller; what it has of an event, and where the answer goes"
    )]
    fn offend(
        &mut self,
        event: &Event<'_>,
        address: IpAddr,
        weight: u16,
        line: &[u8],
        now: Timestamp,
        known: &dyn Known,
        observed: &mut Observed,
    ) {
        let at = now.as_millisecond();
        let source = Source::of(address, self.config.window6);
        let prefix = source.prefix(self.config.window6);
        let name = event
            .user
            .filter(|user| !user.is_empty() && is_guess(event.kind))
            .map(Name::of);
        let offence = Offence {
            at: now,
            address,
            user: event.user.map(escape),
            kind: event.kind,
            weight,
            line: escape(&redact(event.daemon, event.kind, line)),
        };
        let act = Act {
            address,
            weight,
            name: name.map(|name| name.hash),
            line: &offence.line,
        };
        let total = self.window.add(source, &act, at, spans(&self.config));
        observed.offence = Some(offence);
        let care = self.good.has_login(prefix, at);
        if let Some(name) = name.filter(|_| !care) {
            let used = self.accounts.knows(name);
            let most = self.config.siege_addresses as usize;
            if let Some(siege) = self.names.failed(name, (source, address), used, at, most) {
                self.besiege(siege, (source, address), now, known, observed);
            }
        }
        self.judge(source, total, care, now, known);
    }

    /// By what it has done itself.
    fn judge(&mut self, source: Source, total: Total, care: bool, now: Timestamp, known: &dyn Known) {
        let config = &self.config;
        let prefix = source.prefix(config.window6);
        let rule = if care {
            let counted = total.short - total.repeated + total.repeated / STALE;
            (counted >= config.maxretry.saturating_mul(CARE)).then_some(Rule::Maxretry)
        } else if total.short >= config.maxretry {
            Some(Rule::Maxretry)
        } else if total.long >= config.maxretry.saturating_mul(SLOW) {
            Some(Rule::Slow)
        } else {
            None
        };
        let near = !care && total.short.saturating_mul(HALF) >= config.maxretry;
        if rule.is_none() && !near {
            return;
        }
        // A ban starts the count anew. So does trust, or the question would be asked for each line of a busy relay.
        if known.trusted(prefix) || known.banned(prefix, now) {
            self.window.reset(source);
            return;
        }
        if let Some(rule) = rule {
            let (number, span) = match rule {
                Rule::Slow => (total.long, SignedDuration::from_millis(spans(config).long)),
                _ => (total.short, signed(config.findtime)),
            };
            for part in self.parts(prefix, |window| window.addresses(source), now, known) {
                if self.is_due(part, number, now, known) {
                    let reason = format!("{number} offences within {span:#}");
                    let evidence = self.window.evidence(source);
                    self.ban(part, rule, &reason, evidence, number, now, known);
                }
            }
        }
        if !care {
            self.crowd_in(source, now, known);
        }
        if rule.is_some() {
            self.window.reset(source);
        }
    }

    /// By what its neighbours have done, too.
    fn crowd_in(&mut self, source: Source, now: Timestamp, known: &dyn Known) {
        let memory = millis(self.config.findtime).max(millis(self.config.bantime));
        let Some((wide, members)) = self.crowd.add(source, now.as_millisecond(), memory, &self.config) else {
            return;
        };
        let reason = format!("{} offenders in {wide}", members.len());
        let number = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let evidence = with_first(&reason, self.window.evidence(source));
        let window6 = self.config.window6;
        let offenders = |_: &Window| members.iter().map(|source| source.prefix(window6).addr()).collect();
        for part in self.parts(wide, offenders, now, known) {
            if self.is_due(part, number, now, known) {
                self.ban(part, Rule::Wide, &reason, evidence.clone(), number, now, known);
            }
        }
    }

    /// Bans `newest`, who failed on what is under siege, and those before him. Thousands a second may come: those whose ban
    /// waits already, or would find no room, cost no more than to find that out.
    fn besiege(
        &mut self,
        siege: Siege,
        newest: (Source, IpAddr),
        now: Timestamp,
        known: &dyn Known,
        observed: &mut Observed,
    ) {
        // Beyond what an alarm keeps, it only has to tell how large it has become.
        let tell = siege.new
            || !siege.earlier.is_empty()
            || siege.joined && (siege.addresses < PREFIXES || siege.addresses.is_power_of_two());
        let mut prefixes = BTreeSet::new();
        let mut due = Vec::new();
        for (source, address) in siege.earlier.into_iter().chain([newest]) {
            let prefix = source.prefix(self.config.window6);
            // Somebody who found the right password in the end is no guesser.
            if tell {
                if known.trusted(prefix) || self.good.has_login(prefix, now.as_millisecond()) {
                    continue;
                }
                prefixes.insert(prefix);
            }
            let offenders = |window: &Window| {
                let mut offenders = window.addresses(source);
                offenders.push(address);
                offenders
            };
            for part in self.parts(prefix, offenders, now, known) {
                if self.is_due(part, 1, now, known) {
                    due.push((source, part));
                }
            }
        }
        if prefixes.is_empty() && due.is_empty() {
            return;
        }
        let since = instant(siege.since, now);
        let what = if siege.key == 0 { "accounts" } else { "account" };
        let user = self.names.user(siege.key);
        let text = format!(
            "{what} {user} under siege since {since:.0}: {} addresses",
            siege.addresses
        );
        for (source, part) in due {
            let evidence = with_first(&text, self.window.evidence(source));
            self.ban(part, Rule::Siege, &text, evidence, 1, now, known);
        }
        if tell {
            observed.alarms.push(Alarm {
                kind: AlarmKind::Siege,
                user: Some(user),
                prefixes,
                at: since,
                text,
                key: siege.key,
                new: siege.new,
            });
        }
    }

    /// Of `prefix`, what holds offenders and nobody who is spared.
    fn parts(
        &self,
        prefix: IpNet,
        offenders: impl FnOnce(&Window) -> Vec<IpAddr>,
        now: Timestamp,
        known: &dyn Known,
    ) -> Vec<IpNet> {
        if prefix.prefix_len() == prefix.max_prefix_len() {
            return vec![prefix];
        }
        let offenders = offenders(&self.window);
        carve(prefix, &offenders, &self.spared(prefix, &offenders, now, known))
    }

    /// What within `prefix` is not to be banned with it: trust, and good addresses that did not offend themselves.
    fn spared(&self, prefix: IpNet, offenders: &[IpAddr], now: Timestamp, known: &dyn Known) -> Vec<IpNet> {
        let mut spared = self.good.of(prefix, now.as_millisecond());
        spared.retain(|net| !offenders.contains(&net.addr()));
        spared.extend(known.trusted_within(prefix));
        spared
    }

    /// Whether a ban of `prefix` is to be decided. One that waits becomes more urgent by `score`.
    fn is_due(&mut self, prefix: IpNet, score: u32, now: Timestamp, known: &dyn Known) -> bool {
        !self.guard.urge(prefix, score)
            && self.guard.has_room(score)
            && !known.trusted(prefix)
            && !known.banned(prefix, now)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of a decision")]
    fn ban(
        &mut self,
        prefix: IpNet,
        rule: Rule,
        reason: &str,
        evidence: Vec<String>,
        score: u32,
        now: Timestamp,
        known: &dyn Known,
    ) {
        let (returns, mut length) = self.config.length(known.past(prefix), now);
        if returns == 0 && self.good.has_login(prefix, now.as_millisecond()) {
            length /= SHORT;
        }
        let until = now.checked_add(signed(length)).unwrap_or(Timestamp::MAX);
        let decision = Decision {
            prefix,
            since: now,
            until,
            returns,
            rule,
            reason: reason.to_owned(),
            evidence,
        };
        self.guard.ask(decision, score);
    }

    fn release(&mut self, now: Timestamp, observed: &mut Observed) {
        let (bans, tell) = self.guard.release(now, self.config.bans_per_minute);
        observed.bans = bans;
        if tell {
            observed.alarms.push(Alarm {
                kind: AlarmKind::BanRate,
                user: None,
                prefixes: BTreeSet::new(),
                at: now,
                text: format!(
                    "more than {} bans within a minute ([detect] bans-per-minute); {} wait, the worst go first: an attack, \
                     or log lines that are read wrongly?",
                    self.config.bans_per_minute,
                    self.guard.waiting()
                ),
                key: 0,
                new: true,
            });
        }
    }

    fn prefixes(&self, addresses: impl Iterator<Item = IpAddr>) -> BTreeSet<IpNet> {
        addresses
            .map(|address| Source::of(address, self.config.window6).prefix(self.config.window6))
            .collect()
    }
}

/// A failed login, of which a name is known: one guess at a password.
fn is_guess(kind: Kind) -> bool {
    matches!(kind, Kind::SaslAuthFailed | Kind::AuthFailed)
}

fn spans(config: &DetectConfig) -> Spans {
    let short = millis(config.findtime);
    Spans {
        short,
        long: short.max(DAY),
    }
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn instant(millisecond: i64, or: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(millisecond).unwrap_or(or)
}

/// A line of our own before the log's.
fn with_first(text: &str, mut lines: Vec<String>) -> Vec<String> {
    let over = (lines.len() + 1).saturating_sub(EVIDENCE_LINES);
    lines.drain(..over);
    lines.insert(0, cut(text));
    lines
}

fn cut(text: &str) -> String {
    text.chars().take(EVIDENCE_WIDTH).collect()
}
