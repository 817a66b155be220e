//! What is asked of an engine, as reports. Changes nothing.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use smtpgate_common::{Reason, Source, abi::OBSERVE_STRUCTURE};

use super::{
    assemble::{Assembled, List as ListName, Listed},
    clock::Moment,
    engine::Engine,
    failure::Failure,
    history::{DAY, HOUR, MINUTE},
    report::{
        BanState, Counter, Explanation, GateState, GateVerdict, InterfaceState, KernelVerdict, MapFill, Match,
        PendingState, SourceState, Status,
    },
};
use crate::{
    config::{Config, Mode},
    dataplane::{AttachMode, Dataplane},
    detect::Alarm,
    ledger,
    policy::{evaluate::evaluate, intent::Ban},
    sources::{Country, Spec},
};

/// A country table older than this is worth a word: addresses change hands by some per cent a year.
const OLD_DATA_DAYS: i64 = 180;
/// Alarms as old as this are worth a word.
const ALARMED: SignedDuration = SignedDuration::from_hours(24);
/// But not more of them.
const MOST_ALARMS: usize = 10;
/// A map fuller than this is worth a word.
const FULL_PERCENT: u64 = 90;

/// Whether the gate stands, and where.
pub(super) struct Standing {
    pub(super) enforcing: bool,
    pub(super) mode: &'static str,
    pub(super) interfaces: Vec<InterfaceState>,
    pub(super) pending: Option<PendingState>,
    pub(super) files_differ: bool,
    /// What is wrong with it.
    pub(super) attention: Vec<String>,
}

pub(super) fn standing(engine: &Engine, now: Timestamp) -> Result<Standing, Failure> {
    let plane = engine.plane.as_ref();
    let attachments = plane
        .map_or(Ok(Vec::new()), Dataplane::attachments)
        .map_err(Failure::failed)?;
    let pending = engine.pending_state(now);
    let files_differ = engine.files_differ();
    let mut attention = unsettled(engine, pending.as_ref(), files_differ);
    let mut interfaces: Vec<InterfaceState> = attachments
        .iter()
        .map(|attachment| InterfaceState {
            name: attachment.interface.clone(),
            attach: attachment.mode.name().to_owned(),
            note: (!attachment.passed_over.is_empty()).then(|| attachment.passed_over.join("; ")),
        })
        .collect();
    match engine.wanted_interfaces() {
        Ok(wanted) => {
            for name in wanted {
                if interfaces.iter().any(|known| known.name == name) {
                    continue;
                }
                if plane.is_some() {
                    attention.push(format!(
                        "{name} should be guarded and is not; it is attached as soon as it is there"
                    ));
                }
                interfaces.push(InterfaceState {
                    name,
                    attach: "none".to_owned(),
                    note: None,
                });
            }
        }
        Err(failure) => attention.push(failure.to_string()),
    }
    for attachment in attachments
        .iter()
        .filter(|attachment| attachment.mode != AttachMode::Native)
    {
        attention.push(format!(
            "{} is guarded in {} mode, which costs more a packet than native XDP; the verdicts are the same",
            attachment.interface,
            attachment.mode.name()
        ));
    }

    // What the kernel does, not what the configuration wishes.
    let observing = observing(engine)?;
    let all_observe = observing & OBSERVE_STRUCTURE != 0;
    let mode = match (all_observe, observing) {
        (true, _) => "observe",
        (false, 0) => "enforce",
        _ => "mixed",
    };
    let guarded = !interfaces.is_empty() && interfaces.iter().all(|interface| interface.attach != "none");
    let enforcing = plane.is_some() && guarded && !all_observe;
    if plane.is_none() {
        attention.insert(
            0,
            "nothing is loaded, and nothing is refused: start the daemon (`systemctl start smtpgate`, or `smtpgate run`), \
             or put the gate up alone with `smtpgate load`"
                .to_owned(),
        );
    } else if interfaces.is_empty() {
        attention.insert(
            0,
            "no interface is guarded: name them in the configuration's `interfaces`".to_owned(),
        );
    } else if all_observe {
        attention.insert(
            0,
            "every gate only observes, and lets pass what it would refuse; to enforce, take mode = \"observe\" out of the \
             configuration (or --observe from the command), and `smtpgate reload`"
                .to_owned(),
        );
    }
    Ok(Standing {
        enforcing,
        mode,
        interfaces,
        pending,
        files_differ,
        attention,
    })
}

pub(super) fn status(engine: &Engine) -> Result<Status, Failure> {
    let config = &engine.config;
    let plane = engine.plane.as_ref();
    let now = Timestamp::now();
    let Standing {
        enforcing,
        mode,
        interfaces,
        pending,
        files_differ,
        mut attention,
    } = standing(engine, now)?;

    let mut maps = Vec::new();
    let mut kernel_bytes = 0;
    for usage in plane
        .map_or(Ok(Vec::new()), Dataplane::usage)
        .map_err(Failure::failed)?
    {
        kernel_bytes += usage.bytes;
        let Some(entries) = usage.used else { continue };
        if entries * 100 > usage.capacity * FULL_PERCENT {
            attention.push(format!(
                "map {} holds {entries} of {} entries; larger maps are made when it is full",
                usage.map, usage.capacity
            ));
        }
        maps.push(MapFill {
            name: usage.map.to_owned(),
            entries,
            capacity: usage.capacity,
        });
    }
    attention.extend(engine.assembled.warnings(config));
    for (text, days) in countries(engine, now) {
        if days > OLD_DATA_DAYS {
            attention.push(text);
        }
    }
    attention.dedup();
    if let Some((offences, bans)) = engine.ledger.waiting() {
        attention.push(format!(
            "{} cannot be written (disk full? the daemon's log has the error): {offences} offences and {bans} bans wait, \
             and are tried again every second",
            engine.ledger.path().display()
        ));
    }
    if engine.drift > 0 {
        attention.push(format!(
            "{} difference(s) between kernel and policy were found and repaired",
            engine.drift
        ));
    }

    if let Some(why) = engine.history.failing() {
        attention.push(format!("what is counted cannot be recorded: {why}"));
    }

    let recent = |alarm: &&Alarm| now.duration_since(alarm.at) < ALARMED;
    let alarms = engine.alarms.all().iter().rev().filter(recent).take(MOST_ALARMS);
    attention.extend(alarms.map(|alarm| format!("alarm at {:.0}: {}", alarm.at, alarm.text)));

    let mut bans_by_rule: BTreeMap<String, u64> = BTreeMap::new();
    for ban in engine.bans.values().filter(|ban| ban.in_force(now)) {
        *bans_by_rule.entry(rule(ban).to_owned()).or_default() += 1;
    }
    Ok(Status {
        enforcing,
        mode: mode.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        daemon: None,
        gates: gates(config),
        interfaces,
        up_since: plane.map(Dataplane::since).transpose().map_err(Failure::failed)?,
        counters: counters(engine)?,
        traffic: engine.spans(&[MINUTE, HOUR, DAY], now)?,
        maps,
        kernel_bytes,
        sources: sources(config, &engine.assembled, now),
        bans: bans_by_rule.values().sum(),
        bans_by_rule,
        drift: engine.drift,
        follow: Vec::new(),
        maillog: None,
        pending,
        files_differ,
        attention,
    })
}

/// What may still be undone, and what the next reload will bring.
fn unsettled(engine: &Engine, pending: Option<&PendingState>, files_differ: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(pending) = pending {
        let left = SignedDuration::from_secs(i64::try_from(pending.seconds_left).unwrap_or(i64::MAX));
        lines.push(format!(
            "`{}` is undone in {left:#} unless `smtpgate confirm` follows",
            pending.what
        ));
    }
    match &engine.confirming.held {
        Some(held) if files_differ => lines.push(format!(
            "`{}` was not confirmed, and undone at {:.0}: what was in force before stays, whatever the configuration's files say, until `smtpgate reload`",
            held.what, held.since
        )),
        _ if files_differ => lines.push(
            "the configuration's files are not what is in force; `smtpgate reload` brings them into force".to_owned(),
        ),
        _ => {}
    }
    lines
}

/// What the daemon says of itself when it begins: where it stands guard, and how old its data is.
pub(super) fn introduction(engine: &Engine) -> Result<Vec<String>, Failure> {
    let attachments = engine.plane.as_ref().map_or(Ok(Vec::new()), Dataplane::attachments);
    let mut lines: Vec<String> = attachments
        .map_err(Failure::failed)?
        .iter()
        .map(|attachment| format!("{} is guarded in {} mode", attachment.interface, attachment.mode))
        .collect();
    lines.extend(countries(engine, Timestamp::now()).into_iter().map(|(text, _)| text));
    Ok(lines)
}

/// Each `country:` source once: its data's age in words, and in days.
fn countries(engine: &Engine, now: Timestamp) -> Vec<(String, i64)> {
    let mut found: Vec<(String, i64)> = Vec::new();
    for Listed { resolved, .. } in &engine.assembled.listed {
        let (Spec::Country(_), Some(date)) = (&resolved.spec, resolved.date) else {
            continue;
        };
        let days = now.duration_since(date).as_hours() / 24;
        let text = format!(
            "{} is from {} of {}, {days} days old; for newer data, {HOW_TO_RENEW}",
            resolved.spec,
            resolved.origin,
            day(date)
        );
        if found.iter().all(|(known, _)| *known != text) {
            found.push((text, days));
        }
    }
    found
}

/// How to have fresher data than the built-in.
const HOW_TO_RENEW: &str = "put a MaxMind-format country database into /usr/share/GeoIP or /var/lib/GeoIP, or name one: [geoip] database = \"PATH\"";

/// The gates that only observe, as the kernel has it; none where nothing is loaded.
fn observing(engine: &Engine) -> Result<u32, Failure> {
    engine
        .plane
        .as_ref()
        .map_or(Ok(0), |plane| plane.live().observing())
        .map_err(Failure::failed)
}

fn counters(engine: &Engine) -> Result<Vec<Counter>, Failure> {
    let counts = engine
        .plane
        .as_ref()
        .map_or(Ok(Vec::new()), Dataplane::counts)
        .map_err(Failure::failed)?;
    Ok(counts
        .into_iter()
        .map(|count| Counter {
            gate: count.gate.map(|number| gate_name(&engine.config, number)),
            verdict: verdict(count.reason, count.observed).to_owned(),
            reason: count.reason.name().to_owned(),
            family: count.family.name().to_owned(),
            packets: count.frames,
        })
        .collect())
}

/// Name of the gate with this number; the number where a newer policy has no such gate.
pub(super) fn gate_name(config: &Config, number: u8) -> String {
    config
        .gates
        .get(usize::from(number))
        .map_or_else(|| number.to_string(), |gate| gate.name.clone())
}

pub(super) const fn verdict(reason: Reason, observed: bool) -> &'static str {
    match (reason.drops(), observed) {
        (false, _) => "pass",
        (true, false) => "drop",
        (true, true) => "would_drop",
    }
}

pub(super) fn gates(config: &Config) -> Vec<GateState> {
    config
        .gates
        .iter()
        .map(|gate| GateState {
            name: gate.name.clone(),
            ports: gate.ports.clone(),
            mode: gate.mode.as_str().to_owned(),
            allow: gate.allow.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

pub(super) fn sources(config: &Config, assembled: &Assembled, now: Timestamp) -> Vec<SourceState> {
    assembled
        .listed
        .iter()
        .map(|Listed { list, resolved }| SourceState {
            list: list.name(config).to_owned(),
            spec: resolved.spec.to_string(),
            origin: resolved.origin.clone(),
            date: resolved.date.map(day),
            age_seconds: resolved
                .date
                .map(|date| u64::try_from(now.duration_since(date).as_secs()).unwrap_or_default()),
            last_good: resolved.last_good,
            prefixes: resolved.prefixes.len() as u64,
            warning: resolved.warning.clone(),
        })
        .collect()
}

pub(super) fn day(date: Timestamp) -> String {
    date.strftime("%F").to_string()
}

/// The rule of a ban that no rule made.
pub(super) const OPERATOR: &str = "operator";

fn rule(ban: &ledger::Ban) -> &'static str {
    ban.rule.map_or(OPERATOR, |rule| rule.name())
}

pub(super) fn state(ban: &ledger::Ban, country: Option<Country>, evidence: Vec<String>) -> BanState {
    BanState {
        prefix: ban.prefix,
        country: country.map(|country| country.to_string()),
        since: ban.since,
        until: ban.until,
        rule: rule(ban).to_owned(),
        reason: ban.reason.clone(),
        times: ban.returns.saturating_add(1),
        evidence,
    }
}

pub(super) fn explain(engine: &Engine, address: IpAddr) -> Result<Explanation, Failure> {
    let address = address.to_canonical();
    let config = &engine.config;
    let now = Moment::now();
    let bans: Vec<Ban> = engine
        .bans
        .values()
        .filter(|ban| ban.prefix.contains(&address))
        .map(|ban| Ban {
            prefix: ban.prefix,
            until: now.ticks_until(ban.until),
        })
        .collect();
    let intent = engine.assembled.intent(config, bans);
    let source = match address {
        IpAddr::V4(address) => Source::V4(address.octets()),
        IpAddr::V6(address) => Source::V6(address.octets()),
    };
    let observing = observing(engine)?;
    let mut verdicts = Vec::new();
    for (number, gate) in (0_u8..).zip(&config.gates) {
        let reason = evaluate(
            &intent,
            usize::from(number),
            address,
            smtpgate_common::ban::ticks(now.boot_ns),
        )
        .reason;
        let kernel = match &engine.plane {
            None => None,
            Some(plane) => {
                let reason = plane.live().judge(number, &source).map_err(Failure::failed)?;
                let observed = observing >> number & 1 != 0;
                Some(KernelVerdict {
                    verdict: verdict(reason, observed).to_owned(),
                    reason: reason.name().to_owned(),
                })
            }
        };
        verdicts.push(GateVerdict {
            gate: gate.name.clone(),
            ports: gate.ports.clone(),
            verdict: verdict(reason, gate.mode == Mode::Observe).to_owned(),
            reason: reason.name().to_owned(),
            kernel,
        });
    }
    let agrees = engine.plane.is_some().then(|| {
        verdicts.iter().all(|gate| {
            gate.kernel
                .as_ref()
                .is_some_and(|kernel| kernel.verdict == gate.verdict && kernel.reason == gate.reason)
        })
    });
    let mut held = Vec::new();
    for ban in engine.bans.values().filter(|ban| ban.prefix.contains(&address)) {
        let country = engine.countries.of_address(ban.prefix.addr());
        held.push(state(ban, country, evidence(engine, ban.prefix)?));
    }
    let country = engine.countries.of_address(address).map(|code| code.to_string());
    let owner = engine.owners.owners().and_then(|owners| owners.of(address));
    Ok(Explanation {
        address,
        country,
        owner,
        gates: verdicts,
        matches: matches(engine, address),
        bans: held,
        agrees,
    })
}

/// The lines that led to the last ban of a prefix.
pub(super) fn evidence(engine: &Engine, prefix: IpNet) -> Result<Vec<String>, Failure> {
    let history = engine.ledger.history(prefix).map_err(Failure::failed)?;
    Ok(history
        .into_iter()
        .next()
        .map_or_else(Vec::new, |record| record.evidence))
}

fn matches(engine: &Engine, address: IpAddr) -> Vec<Match> {
    let assembled = &engine.assembled;
    let own = |prefix: IpNet, spec: &str| Match {
        list: ListName::Trust.name(&engine.config).to_owned(),
        spec: spec.to_owned(),
        prefix,
        origin: "this host".to_owned(),
        date: None,
    };
    let mut matches: Vec<Match> = assembled
        .host
        .nets()
        .into_iter()
        .filter(|net| net.contains(&address))
        .map(|net| own(net, "own addresses, gateways and loopback"))
        .collect();
    for Listed { list, resolved } in &assembled.listed {
        if let Some(prefix) = Assembled::narrowest(resolved, address) {
            matches.push(Match {
                list: list.name(&engine.config).to_owned(),
                spec: resolved.spec.to_string(),
                prefix,
                origin: resolved.origin.clone(),
                date: resolved.date.map(day),
            });
        }
    }
    for exception in assembled
        .exceptions
        .iter()
        .filter(|exception| exception.prefix.contains(&address))
    {
        matches.push(Match {
            list: exception.gate.clone().unwrap_or_else(|| "every gate".to_owned()),
            spec: "exception of the operator".to_owned(),
            prefix: exception.prefix,
            origin: if exception.note.is_empty() {
                "smtpgate allow".to_owned()
            } else {
                exception.note.clone()
            },
            date: Some(day(exception.since)),
        });
    }
    matches
}
