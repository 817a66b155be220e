//! What was in a while: the ledger's answer to `report`.

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    engine::Engine,
    failure::Failure,
    history::{rows, within},
    report::{AccountSeen, Counter, NetworkSeen, Period, Step},
    sightings::by_country,
    views,
};
use crate::ledger::{KEPT, Stretch};

/// Networks, accounts and bans that are named.
const NAMED: u32 = 200;
/// Steps of a series at the most: what a screen shows apart.
const STEPS: i64 = 200;
/// Lengths of a step.
const STEP_MINUTES: [i64; 7] = [1, 5, 15, 60, 180, 360, 1440];

/// What one connection writes at the least: Postfix's `connect from` and `disconnect from`.
pub(crate) const LINES: u64 = 2;
/// SYNs of one attempt: a client that gets no answer asks again after 1, 3 and 7 s (tcp(7), `tcp_syn_retries`), and most
/// programs give up within 15 s.
pub(crate) const SYNS: u64 = 4;

pub(super) fn period(engine: &Engine, since: Timestamp) -> Result<Period, Failure> {
    let now = Timestamp::now();
    let oldest = now.checked_sub(KEPT).unwrap_or(now);
    if since < oldest {
        return Err(Failure::Usage(format!(
            "--since: the ledger keeps {} days; ask for less",
            KEPT.as_hours() / 24
        )));
    }
    if since >= now {
        return Err(Failure::Usage("--since: lies in the future".to_owned()));
    }
    let ledger = &engine.ledger;
    let stretches = engine.stretches(since, now)?;
    let counters = rows(within(&stretches, since, now));
    let sampled = ledger.sampled(since).map_err(Failure::failed)?;
    let accounts = ledger.accounts_since(since, NAMED).map_err(Failure::failed)?;
    let mut bans = Vec::new();
    for record in ledger.bans_since(since, NAMED).map_err(Failure::failed)? {
        let country = engine.countries.of_address(record.ban.prefix.addr());
        bans.push(views::state(&record.ban, country, record.evidence));
    }
    let mut bans_by_rule = BTreeMap::new();
    for (rule, number) in ledger.bans_by_rule(since).map_err(Failure::failed)? {
        bans_by_rule.insert(rule.unwrap_or_else(|| views::OPERATOR.to_owned()), number);
    }
    let standing = views::standing(engine, now)?;
    Ok(Period {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        since,
        until: now,
        enforcing: standing.enforcing,
        mode: standing.mode.to_owned(),
        lines_spared: spared(&counters),
        counters,
        series: series(&stretches, since, now),
        sampled: sampled.iter().map(|part| part.packets).sum(),
        countries: by_country(sampled.iter().map(|part| (part.country.clone(), part.packets))),
        networks: networks(engine, &sampled),
        accounts: accounts
            .into_iter()
            .map(|account| AccountSeen {
                user: account.user,
                offences: account.offences,
                addresses: account.addresses,
                first: account.first,
                last: account.last,
            })
            .collect(),
        offences: ledger.offences_number(since).map_err(Failure::failed)?,
        offences_since: since.max(now.checked_sub(engine.offences_kept()).unwrap_or(since)),
        bans_by_rule,
        bans,
    })
}

fn networks(engine: &Engine, sampled: &[crate::ledger::Sampled]) -> Vec<NetworkSeen> {
    let mut sums: BTreeMap<IpNet, NetworkSeen> = BTreeMap::new();
    for part in sampled {
        let Some(network) = part.network else { continue };
        let seen = sums.entry(network).or_insert_with(|| NetworkSeen {
            network,
            country: part.country.clone(),
            owner: None,
            refusals: 0,
        });
        seen.refusals += part.packets;
    }
    let mut networks: Vec<NetworkSeen> = sums.into_values().collect();
    networks.sort_by_key(|seen| std::cmp::Reverse(seen.refusals));
    networks.truncate(NAMED as usize);
    let owners = engine.owners.owners();
    for seen in &mut networks {
        seen.owner = owners.as_ref().and_then(|owners| owners.of(seen.network.addr()));
    }
    networks
}

/// An estimate on the low side: refused SYNs of one attempt count once, and each attempt as two lines.
fn spared(counters: &[Counter]) -> u64 {
    let refused = counters.iter().filter(|row| row.verdict == "drop");
    refused.map(|row| row.packets).sum::<u64>() / SYNS * LINES
}

/// Steps of the smallest length that makes not too many of them, at round times.
fn series(stretches: &[Stretch], since: Timestamp, until: Timestamp) -> Vec<Step> {
    let whole = until.duration_since(since).as_secs() / 60;
    let fits = |minutes: &&i64| whole / **minutes <= STEPS;
    let minutes = STEP_MINUTES.iter().find(fits).copied().unwrap_or(1440);
    let length = minutes * 60_000;
    let mut steps = Vec::new();
    let mut at = since.as_millisecond().div_euclid(length) * length;
    while at < until.as_millisecond() {
        let time = |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap_or(until);
        let (from, to) = (time(at).max(since), time(at + length).min(until));
        let mut step = Step {
            at: time(at),
            refused: 0,
            would_refuse: 0,
            passed: 0,
        };
        for (fate, packets) in within(stretches, from, to) {
            let sum = match fate.verdict.as_str() {
                "drop" => &mut step.refused,
                "would_drop" => &mut step.would_refuse,
                _ => &mut step.passed,
            };
            *sum += packets;
        }
        steps.push(step);
        at += length;
    }
    steps
}
