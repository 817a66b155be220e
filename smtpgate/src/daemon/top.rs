//! What `top` shows: cheap enough to be asked every second.

use std::{cmp::Reverse, collections::BinaryHeap};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    engine::Engine,
    failure::Failure,
    history::{DAY, HOUR, MINUTE},
    report::{BanState, SourceSeen, Top},
    views,
};

/// Sources that are named.
const SOURCES: usize = 50;
/// Bans that are named.
const BANS: usize = 30;

pub(super) fn top(engine: &Engine) -> Result<Top, Failure> {
    let now = Timestamp::now();
    let standing = views::standing(engine, now)?;
    Ok(Top {
        now,
        enforcing: standing.enforcing,
        mode: standing.mode.to_owned(),
        interfaces: standing.interfaces,
        attention: standing.attention.len() as u64,
        pulses: engine.pulses(),
        traffic: engine.spans(&[MINUTE, HOUR, DAY], now)?,
        sample: engine.sightings.sample(),
        sources: sources(engine),
        countries: engine.sightings.countries(),
        bans_in_force: engine.bans.values().filter(|ban| ban.in_force(now)).count() as u64,
        bans: newest(engine, now)?,
    })
}

fn sources(engine: &Engine) -> Vec<SourceSeen> {
    let owners = engine.owners.owners();
    let mut sources = engine.sightings.sources(SOURCES);
    for seen in &mut sources {
        seen.owner = owners.as_ref().and_then(|owners| owners.of(seen.source));
    }
    sources
}

fn newest(engine: &Engine, now: Timestamp) -> Result<Vec<BanState>, Failure> {
    let mut newest: BinaryHeap<Reverse<(Timestamp, IpNet)>> = BinaryHeap::new();
    for ban in engine.bans.values().filter(|ban| ban.in_force(now)) {
        newest.push(Reverse((ban.since, ban.prefix)));
        if newest.len() > BANS {
            newest.pop();
        }
    }
    // Ascending order of what is reversed: the newest first.
    let newest = newest.into_sorted_vec().into_iter();
    let bans = newest.filter_map(|Reverse((_, prefix))| engine.bans.get(&prefix));
    bans.map(|ban| {
        let country = engine.countries.of_address(ban.prefix.addr());
        Ok(views::state(ban, country, views::evidence(engine, ban.prefix)?))
    })
    .collect()
}
