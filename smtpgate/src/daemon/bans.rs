//! Bans and exceptions: the operator's, and those that the maillog has earned.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use smtpgate_common::ban::ticks;

use super::{
    assemble::Assembled,
    clock::Moment,
    confirm::Former,
    countries::Countries,
    engine::Engine,
    failure::Failure,
    report::{Applied, Banned, News, Unbanned},
    views,
};
use crate::{
    config::Mode,
    dataplane::{self, Cut},
    detect::{Alarm, Detector, Known, Observed, Offence, Past},
    ledger::{Ban, Exception, Ledger, Origin},
    maillog::{self, Batch, Reached},
    policy::{image::NotBanned, table::Single},
    sources::Country,
};

/// A ban with its evidence, as the ledger takes it.
pub(super) type Evidenced = (Ban, Vec<String>);

impl Engine {
    /// Refuses all of `prefixes`, or none of them; with `within`, until then unless a confirm follows.
    pub(super) fn ban(
        &mut self,
        prefixes: &[IpNet],
        seconds: Option<u64>,
        reason: &str,
        within: Option<Duration>,
    ) -> Result<Banned, Failure> {
        if within.is_none() {
            if prefixes.iter().any(|prefix| self.waits(prefix.trunc())) {
                self.nothing_waits()?;
            }
            return self.ban_now(prefixes, seconds, reason);
        }
        let former = |engine: &Self| {
            let former = |prefix: &IpNet| (prefix.trunc(), engine.bans.get(&prefix.trunc()).cloned());
            Former::Bans(prefixes.iter().map(former).collect())
        };
        let what = match prefixes {
            [one] => format!("ban {one}"),
            many => format!("ban of {} prefixes", many.len()),
        };
        self.until_confirmed(&what, within, former, |engine| {
            engine.ban_now(prefixes, seconds, reason)
        })
    }

    /// Whether this prefix's ban waits for its confirm.
    fn waits(&self, prefix: IpNet) -> bool {
        let pending = self.confirming.pending.as_ref();
        pending.is_some_and(|pending| {
            matches!(&pending.former, Former::Bans(bans) | Former::Import { bans, .. }
                if bans.iter().any(|(banned, _)| *banned == prefix))
        })
    }

    /// Of the operator's bans of these prefixes that were made at `since` or later: puts in the place of each the ban that was
    /// there before and would not be over, so that nobody slips in between, and lifts the others.
    pub(super) fn restore_bans(
        &mut self,
        since: Timestamp,
        former: &[(IpNet, Option<Ban>)],
    ) -> Result<Vec<String>, Failure> {
        let now = Timestamp::now();
        let (again, made) = self.made_since(since, former, now);
        let again: Vec<Evidenced> = again.into_iter().map(|ban| (ban, Vec::new())).collect();
        let lifted: Vec<IpNet> = made.iter().map(|ban| ban.prefix).collect();
        self.enforce(&again)?;
        self.ledger.record(&[], &again, None, now).map_err(Failure::failed)?;
        Ok(self.unban(&lifted)?.notes)
    }

    /// Of the operator's bans of these prefixes that were made at `since` or later: of those that took the place of one
    /// which would not be over, that one; and the others.
    pub(super) fn made_since(
        &self,
        since: Timestamp,
        former: &[(IpNet, Option<Ban>)],
        now: Timestamp,
    ) -> (Vec<Ban>, Vec<Ban>) {
        // The ledger keeps milliseconds.
        let made = |ban: &&Ban| ban.origin == Origin::Operator && ban.since.as_millisecond() >= since.as_millisecond();
        let (mut replaced, mut others) = (Vec::new(), Vec::new());
        for (prefix, former) in former {
            let Some(ban) = self.bans.get(prefix).filter(made) else {
                continue;
            };
            match former.as_ref().filter(|former| former.in_force(now)) {
                Some(former) => replaced.push(former.clone()),
                None => others.push(ban.clone()),
            }
        }
        (replaced, others)
    }

    fn ban_now(&mut self, prefixes: &[IpNet], seconds: Option<u64>, reason: &str) -> Result<Banned, Failure> {
        let now = Timestamp::now();
        let until = match seconds {
            None => None,
            Some(seconds) => Some(
                i64::try_from(seconds)
                    .ok()
                    .and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok())
                    .ok_or_else(|| Failure::Usage("--for: too long; leave it out to ban until `unban`".to_owned()))?,
            ),
        };
        let mut notes = Vec::new();
        for prefix in prefixes {
            if let Some(why) = too_wide(*prefix) {
                return Err(Failure::Usage(format!("{why}; nothing was changed")));
            }
            if let Some(why) = self.trusted(*prefix) {
                return Err(Failure::Failed(format!("{why}; nothing was changed")));
            }
            let within = self.assembled.trusted_within(*prefix);
            if within > 0 {
                notes.push(format!("{within} trusted prefix(es) inside {prefix} still pass"));
            }
        }
        let bans: Vec<Evidenced> = prefixes
            .iter()
            .map(|prefix| {
                let returns = self.bans.get(prefix).map_or(0, |known| known.returns);
                let ban = Ban {
                    prefix: prefix.trunc(),
                    since: now,
                    until,
                    returns,
                    reason: reason.to_owned(),
                    rule: None,
                    origin: Origin::Operator,
                };
                (ban, Vec::new())
            })
            .collect();
        self.enforce(&bans)?;
        let cut = self.cut(&bans);
        for (ban, evidence) in &bans {
            self.tell_ban(ban, evidence);
        }
        self.ledger.record(&[], &bans, None, now).map_err(|error| {
            Failure::Failed(format!(
                "refused by the kernel now, but not recorded, so gone with the next load: {error}"
            ))
        })?;
        let banned = bans.into_iter().map(|(ban, _)| ban.prefix).collect();
        Ok(Banned {
            banned,
            until,
            cut,
            in_kernel: self.plane.is_some(),
            notes,
        })
    }

    /// Why it cannot be banned, for those whom nothing bans.
    pub(super) fn trusted(&self, prefix: IpNet) -> Option<String> {
        let who = self.assembled.trusted_by(prefix)?;
        Some(format!("{prefix} is trusted, and trust is never banned: {who}"))
    }

    /// Has the kernel refuse them, and knows of them from now on.
    fn enforce(&mut self, bans: &[Evidenced]) -> Result<(), Failure> {
        let before: Vec<Option<Ban>> = bans
            .iter()
            .map(|(ban, _)| self.bans.insert(ban.prefix, ban.clone()))
            .collect();
        let done = self.enforce_in_kernel(bans);
        if done.is_err() {
            for ((ban, _), before) in bans.iter().zip(before) {
                match before {
                    Some(before) => self.bans.insert(ban.prefix, before),
                    None => self.bans.remove(&ban.prefix),
                };
            }
        }
        done
    }

    fn enforce_in_kernel(&mut self, bans: &[Evidenced]) -> Result<(), Failure> {
        if self.plane.is_none() {
            return Ok(());
        }
        let now = Moment::now();
        // Single sources have a table of their own; anything else is for the compiler.
        let Some(image) = &mut self.image else {
            return self.recompile();
        };
        image.set_now(ticks(now.boot_ns));
        let mut ops = Vec::new();
        let mut compile = false;
        for (ban, _) in bans {
            let until = now.ticks_until(ban.until);
            match Single::of(ban.prefix).map(|single| image.ban(single, until)) {
                Some(Ok(some)) => ops.extend(some),
                Some(Err(NotBanned::Trusted)) => {}
                Some(Err(NotBanned::PartTrusted | NotBanned::Full(_))) | None => compile = true,
            }
        }
        self.perform(&ops)?;
        if compile { self.recompile() } else { Ok(()) }
    }

    /// Destroys the banned sources' established connections to the ports of gates that enforce, but no trusted one's;
    /// returns how many.
    pub(super) fn cut(&self, bans: &[Evidenced]) -> u64 {
        let gated = |port: u16| {
            let mut enforcing = self.config.gates.iter().filter(|gate| gate.mode == Mode::Enforce);
            enforcing.any(|gate| gate.ports.contains(&port))
        };
        let banned = |address: IpAddr| {
            bans.iter().any(|(ban, _)| ban.prefix.contains(&address))
                && self.assembled.trusted_by(address.into()).is_none()
        };
        match dataplane::cut(banned, gated) {
            Ok(Cut::Done(sockets)) => sockets as u64,
            Ok(Cut::Unsupported) => {
                tracing::warn!(
                    "this kernel cannot cut connections (no INET_DIAG_DESTROY); those that are open stay open"
                );
                0
            }
            Err(error) => {
                tracing::warn!("the open connections of banned sources could not be cut: {error}");
                0
            }
        }
    }

    /// Whom an unban is for: every one, or these, and of these, with `missing_ok`, only those that are banned.
    pub(super) fn to_unban(&self, prefixes: &[IpNet], all: bool, missing_ok: bool) -> Vec<IpNet> {
        if all {
            return self.bans.keys().copied().collect();
        }
        let given = prefixes.iter().map(IpNet::trunc);
        given
            .filter(|prefix| !missing_ok || self.bans.contains_key(prefix))
            .collect()
    }

    /// Lifts exactly these bans.
    pub(super) fn unban(&mut self, prefixes: &[IpNet]) -> Result<Unbanned, Failure> {
        let now = Timestamp::now();
        for prefix in prefixes {
            if !self.bans.contains_key(prefix) {
                let wider = self.wider_ban(*prefix);
                return Err(Failure::Failed(match wider {
                    Some(wider) => format!(
                        "{prefix} is not banned by itself, but inside {wider}: lift that ban; nothing was changed"
                    ),
                    None => format!("{prefix} is not banned (`smtpgate list` shows who is); nothing was changed"),
                }));
            }
        }
        let lifted: Vec<Ban> = prefixes.iter().filter_map(|prefix| self.bans.remove(prefix)).collect();
        if let Err(failure) = self.lift_in_kernel(&lifted) {
            self.bans.extend(lifted.into_iter().map(|ban| (ban.prefix, ban)));
            return Err(failure);
        }
        let mut notes = Vec::new();
        for prefix in prefixes {
            self.ledger.unban(*prefix, now).map_err(|error| {
                Failure::Failed(format!(
                    "lifted in the kernel, but not recorded, so back with the next load: {error}"
                ))
            })?;
            self.detector.pardon(*prefix);
            tracing::info!(%prefix, "unbanned {prefix}");
            self.news.tell(News::Unban {
                time: now,
                prefix: *prefix,
            });
            if let Some(wider) = self.wider_ban(*prefix) {
                notes.push(format!("{prefix} is still refused: the ban of {wider} holds it"));
            }
        }
        Ok(Unbanned {
            unbanned: prefixes.to_vec(),
            notes,
        })
    }

    /// A ban that holds `prefix` among others.
    fn wider_ban(&self, prefix: IpNet) -> Option<IpNet> {
        wider_than(prefix).find(|wider| self.bans.contains_key(wider))
    }

    fn lift_in_kernel(&mut self, lifted: &[Ban]) -> Result<(), Failure> {
        if self.plane.is_none() {
            return Ok(());
        }
        let Some(image) = &mut self.image else {
            return self.recompile();
        };
        image.set_now(ticks(Moment::now().boot_ns));
        let mut ops = Vec::new();
        let mut compile = false;
        for ban in lifted {
            // A single that the compiler had to take (part of it is trusted) is in no table of singles.
            match Single::of(ban.prefix).filter(|single| image.single(*single).is_some()) {
                Some(single) => ops.extend(image.unban(single)),
                None => compile = true,
            }
        }
        self.perform(&ops)?;
        if compile { self.recompile() } else { Ok(()) }
    }

    pub(super) fn allow(
        &mut self,
        prefix: IpNet,
        gate: Option<String>,
        note: String,
        within: Option<Duration>,
    ) -> Result<Applied, Failure> {
        self.known_gate(gate.as_deref())?;
        let exception = Exception {
            prefix: prefix.trunc(),
            gate,
            since: Timestamp::now(),
            note,
        };
        let (prefix, gate) = (exception.prefix, exception.gate.clone());
        let former = |engine: &Self| engine.former_exception(prefix, gate);
        self.until_confirmed(&format!("allow {prefix}"), within, former, |engine| {
            let mut applied = engine.add_exception(&exception)?;
            for ban in engine
                .bans
                .values()
                .filter(|ban| ban.prefix.contains(&prefix) || prefix.contains(&ban.prefix))
            {
                applied.notes.push(format!(
                    "the ban of {} still stands; `smtpgate unban {}` lifts it",
                    ban.prefix, ban.prefix
                ));
            }
            Ok(applied)
        })
    }

    pub(super) fn disallow(
        &mut self,
        prefix: IpNet,
        gate: Option<String>,
        within: Option<Duration>,
    ) -> Result<Applied, Failure> {
        let prefix = prefix.trunc();
        let former = |engine: &Self| engine.former_exception(prefix, gate.clone());
        self.until_confirmed(&format!("disallow {prefix}"), within, former, |engine| {
            engine.remove_exception(prefix, gate.as_deref())
        })
    }

    fn former_exception(&self, prefix: IpNet, gate: Option<String>) -> Former {
        let exceptions = &self.assembled.exceptions;
        let exception = exceptions.iter().find(|known| is(known, prefix, gate.as_deref()));
        Former::Exception {
            prefix,
            exception: exception.cloned(),
            gate,
        }
    }

    pub(super) fn restore_exception(
        &mut self,
        prefix: IpNet,
        gate: Option<&str>,
        exception: Option<&Exception>,
    ) -> Result<Vec<String>, Failure> {
        let known = |engine: &Self| {
            let mut exceptions = engine.assembled.exceptions.iter();
            exceptions.any(|known| is(known, prefix, gate))
        };
        match exception {
            Some(exception) => self.add_exception(exception).map(|applied| applied.notes),
            None if known(self) => self.remove_exception(prefix, gate).map(|applied| applied.notes),
            None => Ok(Vec::new()),
        }
    }

    /// In the place of the one for the same prefix and gate.
    fn add_exception(&mut self, exception: &Exception) -> Result<Applied, Failure> {
        let mut assembled = self.assembled.clone();
        assembled
            .exceptions
            .retain(|known| !is(known, exception.prefix, exception.gate.as_deref()));
        assembled.exceptions.push(exception.clone());
        let applied = self.put_in_force(self.config.clone(), assembled)?;
        self.ledger.allow(exception).map_err(Failure::failed)?;
        Ok(applied)
    }

    fn remove_exception(&mut self, prefix: IpNet, gate: Option<&str>) -> Result<Applied, Failure> {
        let mut assembled = self.assembled.clone();
        let before = assembled.exceptions.len();
        assembled.exceptions.retain(|known| !is(known, prefix, gate));
        if assembled.exceptions.len() == before {
            return Err(Failure::Failed(format!(
                "there is no exception for {prefix}{} (`smtpgate list` shows them); nothing was changed",
                gate.map(|gate| format!(" at gate {gate}")).unwrap_or_default()
            )));
        }
        let applied = self.put_in_force(self.config.clone(), assembled)?;
        self.ledger.disallow(prefix, gate).map_err(Failure::failed)?;
        Ok(applied)
    }

    pub(super) fn known_gate(&self, gate: Option<&str>) -> Result<(), Failure> {
        let Some(gate) = gate else { return Ok(()) };
        if self.config.gates.iter().any(|known| known.name == gate) {
            return Ok(());
        }
        Err(Failure::no_gate(
            gate,
            self.config.gates.iter().map(|known| known.name.as_str()),
        ))
    }

    /// Reads a batch of the maillog: bans whom it convicts, then records what it held and how far it was read.
    pub(super) fn read(&mut self, batch: &Batch, clock: &maillog::Clock) {
        let mut offences = Vec::new();
        let mut bans: Vec<Evidenced> = Vec::new();
        let arrival = Timestamp::now();
        // Taken out for the while: what it reads borrows from it.
        let mut reader = self.readers.remove(batch.position.source()).unwrap_or_default();
        reader.set_patterns(self.config.maillog.patterns.clone());
        for line in batch.lines() {
            self.lines += 1;
            let Some(event) = reader.read(line) else { continue };
            let now = batch.when(event.time, clock, arrival);
            let mut observed = {
                let Self {
                    detector,
                    assembled,
                    bans: known,
                    ledger,
                    countries,
                    ..
                } = self;
                let known = Facts {
                    assembled,
                    bans: known,
                    ledger,
                    countries,
                };
                detector.observe(&event, line, now, &known)
            };
            if let Some(offence) = observed.offence.take() {
                self.offences += 1;
                offences.push(offence);
            }
            bans.extend(self.act(observed, arrival));
        }
        self.cut_live(&bans, arrival);
        self.readers.insert(batch.position.source().to_owned(), reader);
        self.record(offences, bans, Some(&batch.position), arrival);
    }

    /// Has the ledger record what was read, or keep it until it can.
    fn record(&mut self, offences: Vec<Offence>, bans: Vec<Evidenced>, position: Option<&Reached>, now: Timestamp) {
        // Once a second is often enough to try again, should each try wait for another process.
        if self.ledger.waiting().is_none() {
            let Err(error) = self.ledger.record(&offences, &bans, position, now) else {
                return;
            };
            tracing::error!(
                "{error}; bans hold in the kernel, and are recorded as soon as that can be: tried again every second"
            );
        }
        self.ledger.keep(offences, bans, position.cloned(), now);
    }

    /// Makes the bans that had to wait, and records what had to.
    pub(super) fn tick(&mut self) {
        let now = Timestamp::now();
        if self.ledger.waiting().is_some() {
            // Told when it began, and by `status` while it lasts.
            let _ = self.ledger.retry();
        }
        let observed = self.detector.tick(now);
        let bans = self.act(observed, now);
        if bans.is_empty() {
            return;
        }
        self.cut_live(&bans, now);
        self.record(Vec::new(), bans, None, now);
    }

    /// Does what the detector has decided; returns the bans, for the ledger.
    fn act(&mut self, observed: Observed, now: Timestamp) -> Vec<Evidenced> {
        let bans: Vec<Evidenced> = observed.bans.into_iter().map(Into::into).collect();
        // Of a log that is read back, a ban that would be over by now is history only.
        let live = live(&bans, now);
        if !live.is_empty() {
            self.enforce_and_tell(&live);
        }
        for alarm in &observed.alarms {
            self.alarm(alarm);
        }
        bans
    }

    fn alarm(&mut self, alarm: &Alarm) {
        let Some(alarm) = self.alarms.take(alarm) else { return };
        tracing::warn!(kind = alarm.kind.name(), "alarm: {}", alarm.text);
        self.news.tell(News::Alarm(alarm.clone()));
        self.hooks.alarm(&self.config.hooks, alarm);
    }

    fn enforce_and_tell(&mut self, bans: &[Evidenced]) {
        if let Err(failure) = self.enforce(bans) {
            for (ban, _) in bans {
                tracing::error!("{} could not be banned: {failure}", ban.prefix);
            }
            return;
        }
        for (ban, evidence) in bans {
            self.tell_ban(ban, evidence);
            self.hooks.ban(&self.config.hooks, ban, evidence);
        }
    }

    /// One line in the log, and a word to those who watch.
    fn tell_ban(&self, ban: &Ban, evidence: &[String]) {
        let country = self.countries.of_address(ban.prefix.addr());
        let told = views::state(ban, country, evidence.to_vec());
        tracing::info!(
            prefix = %told.prefix,
            rule = told.rule,
            country = told.country,
            until = ban.until.map(tracing::field::display),
            times = told.times,
            "banned {}: {}",
            told.prefix,
            told.reason
        );
        if self.news.has_readers() {
            self.news.tell(News::Ban(told));
        }
    }

    /// Cuts the connections of bans that the kernel enforces by now: once for all of them, since the kernel lists every
    /// connection for it.
    fn cut_live(&self, bans: &[Evidenced], now: Timestamp) {
        let live = live(bans, now);
        if !live.is_empty() {
            let cut = self.cut(&live);
            tracing::debug!("{cut} open connection(s) of {} banned source(s) were cut", live.len());
        }
    }

    /// Has the ledger keep what the detector knows of good addresses.
    pub(super) fn keep_good(&mut self) {
        let changes = self.detector.good_changes();
        if changes.is_empty() {
            return;
        }
        if let Err(error) = self.ledger.keep_good(&changes) {
            tracing::warn!(
                "{error}; after a restart, {} good addresses would be strangers",
                changes.len()
            );
        }
    }

    /// Has the ledger forget what can no longer count: offences beyond the detector's memory, but a week of them for people,
    /// and bans that no return would be measured by.
    pub(super) fn prune(&mut self) {
        let now = Timestamp::now();
        let before = |length: SignedDuration| now.checked_sub(length).unwrap_or(now);
        let offences = before(self.offences_kept());
        let longest = SignedDuration::try_from(self.config.detect.bantime_max).unwrap_or(SignedDuration::MAX);
        match self.ledger.prune(offences, before(longest)) {
            Ok(0) => {}
            Ok(gone) => tracing::debug!("{gone} old offences and bans left the ledger"),
            Err(error) => tracing::warn!("{error}"),
        }
        if let Err(error) = self.ledger.prune_traffic(now) {
            tracing::warn!("{error}");
        }
    }

    /// For how long the ledger knows offences.
    pub(super) fn offences_kept(&self) -> SignedDuration {
        let week = SignedDuration::from_hours(7 * 24);
        Detector::memory(&self.config.detect).max(week)
    }

    /// Forgets bans that have ended. In the kernel they ended by themselves; this makes room.
    pub(super) fn sweep(&mut self) -> Result<(), Failure> {
        let now = Moment::now();
        let ended: Vec<IpNet> = self
            .bans
            .values()
            .filter(|ban| ban.until.is_some_and(|until| until <= now.wall))
            .map(|ban| ban.prefix)
            .collect();
        for prefix in &ended {
            self.bans.remove(prefix);
        }
        if let Some(image) = &mut self.image {
            image.set_now(ticks(now.boot_ns));
            let ops = image.sweep(SWEPT_AT_ONCE);
            self.perform(&ops)?;
        }
        // Ended bans of prefixes leave their cells to the compiler.
        if ended.iter().any(|prefix| Single::of(*prefix).is_none()) {
            self.recompile()
        } else {
            Ok(())
        }
    }
}

/// What the detector asks of the engine.
struct Facts<'a> {
    assembled: &'a Assembled,
    bans: &'a BTreeMap<IpNet, Ban>,
    ledger: &'a Ledger,
    countries: &'a Countries,
}

impl Known for Facts<'_> {
    fn trusted(&self, prefix: IpNet) -> bool {
        self.assembled.trusted_by(prefix).is_some()
    }

    fn trusted_within(&self, prefix: IpNet) -> Vec<IpNet> {
        self.assembled.trust_within(prefix).collect()
    }

    fn banned(&self, prefix: IpNet, now: Timestamp) -> bool {
        std::iter::once(prefix)
            .chain(wider_than(prefix))
            .any(|prefix| self.bans.get(&prefix).is_some_and(|ban| ban.in_force(now)))
    }

    fn past(&self, prefix: IpNet) -> Option<Past> {
        self.ledger.past(prefix).unwrap_or_else(|error| {
            tracing::warn!("{error}; {prefix} counts as a first offender");
            None
        })
    }

    fn country(&self, address: IpAddr) -> Option<Country> {
        self.countries.of_address(address)
    }
}

pub(super) fn is(exception: &Exception, prefix: IpNet, gate: Option<&str>) -> bool {
    exception.prefix == prefix && exception.gate.as_deref() == gate
}

/// The prefixes that hold `prefix` among others, the narrowest first.
pub(super) fn wider_than(prefix: IpNet) -> impl Iterator<Item = IpNet> {
    std::iter::successors(prefix.supernet(), IpNet::supernet)
}

/// Bans that are not over yet.
fn live(bans: &[Evidenced], now: Timestamp) -> Vec<Evidenced> {
    bans.iter().filter(|(ban, _)| ban.in_force(now)).cloned().collect()
}

/// Why a ban of it would be a mistake.
pub(super) fn too_wide(prefix: IpNet) -> Option<String> {
    let widest = if matches!(prefix, IpNet::V4(_)) {
        WIDEST_BAN4
    } else {
        WIDEST_BAN6
    };
    (prefix.prefix_len() < widest).then(|| {
        format!(
            "{prefix} is wider than a ban may be (/{widest}): what is never to be let in belongs into `block`, or is left \
             out of `allow`"
        )
    })
}

/// Shortest IPv4 prefix that can be banned: the largest block that the registries ever gave to one holder.
const WIDEST_BAN4: u8 = 8;
/// Shortest IPv6 prefix that can be banned: wider than any registry gives to one holder.
const WIDEST_BAN6: u8 = 16;

/// Ended bans whose places are freed in one go: what keeps the daemon's loop short.
const SWEPT_AT_ONCE: usize = 4096;
