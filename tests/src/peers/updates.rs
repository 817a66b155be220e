//! How long the kernel's maps take to change: one ban, and ten thousand prefixes at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};
use smtpgate::dataplane::Dataplane;
use smtpgate::policy::{Image, Op, Single, compile};
use smtpgate_common::ban::LAST;

use super::world::World;
use crate::dice::Dice;
use crate::packets::gate::{Gate, image};

/// Prefixes that change: half of them go, half of them come. Less when there are less.
const CHANGED: usize = 10_000;
/// Bans that are made and lifted.
const BANS: usize = 2000;

/// Of one policy, in maps of its own that nothing is attached to.
pub(super) fn updates(world: &World) -> Result<Value> {
    let intent = world.intent();
    let mut gate = Gate::load(&intent)?;
    let mut image = image(&intent)?;
    let (banned, lifted) = bans(world, &mut image, &mut gate.dataplane)?;

    let changed = CHANGED.min(world.allowed.len());
    let mut next = intent;
    let allow = &mut next.gates[0].allow;
    // Every so many-th goes, and each half of the one behind it that is left becomes one of its own length: another prefix.
    let step = world.allowed.len() / (changed / 2).max(1);
    let mut gone = 0;
    for at in (0..world.allowed.len()).step_by(step.max(2)).take(changed / 2) {
        if let (IpNet::V4(old), true) = (allow[at], gone < changed / 2) {
            allow[at] = neighbour(old)?;
            gone += 1;
        }
    }
    let start = Instant::now();
    let table = compile(&next);
    let compiled = start.elapsed();
    let start = Instant::now();
    let operations = image.plan(&table)?;
    let planned = start.elapsed();
    let start = Instant::now();
    apply(&mut gate.dataplane, &operations)?;
    let applied = start.elapsed();
    Ok(json!({
        "ban_us": microseconds(banned),
        "unban_us": microseconds(lifted),
        "changed_prefixes": gone * 2,
        "operations": operations.len(),
        "compile_ms": compiled.as_secs_f64() * 1e3,
        "plan_ms": planned.as_secs_f64() * 1e3,
        "apply_ms": applied.as_secs_f64() * 1e3,
    }))
}

/// The network of the same length beside it.
fn neighbour(net: Ipv4Net) -> Result<IpNet> {
    let bit = 1_u32 << (32 - net.prefix_len());
    Ok(Ipv4Net::new((net.network().to_bits() ^ bit).into(), net.prefix_len())?.into())
}

/// Median time from the decision to ban an address until the kernel's program sees it, and of its end.
fn bans(world: &World, image: &mut Image, dataplane: &mut Dataplane) -> Result<(Duration, Duration)> {
    let mut dice = Dice(7);
    let (mut banned, mut lifted) = (Vec::new(), Vec::new());
    for _ in 0..BANS {
        let net = world.allowed[dice.below(world.allowed.len())];
        let address = net.network().to_bits() | dice.half() & net.hostmask().to_bits();
        if image.single(Single::V4(address)).is_some() {
            continue;
        }
        let start = Instant::now();
        let operations = image.ban(Single::V4(address), LAST)?;
        apply(dataplane, &operations)?;
        banned.push(start.elapsed());
        let start = Instant::now();
        let operations = image.unban(Single::V4(address));
        apply(dataplane, &operations)?;
        lifted.push(start.elapsed());
    }
    ensure!(!banned.is_empty(), "every address was banned already");
    banned.sort_unstable();
    lifted.sort_unstable();
    Ok((banned[banned.len() / 2], lifted[lifted.len() / 2]))
}

fn apply(dataplane: &mut Dataplane, operations: &[Op]) -> Result<()> {
    let live = dataplane.live_mut();
    Ok(operations.iter().try_for_each(|operation| live.apply(operation))?)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
