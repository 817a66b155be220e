//! Everything in turn: each filter at each size, as often as asked, in an order that turns round from one repeat to the
//! next, so that what drifts meets all of them alike.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::filters::{Filter, Tools};
use super::link::Link;
use super::measure;
use super::updates::updates;
use super::world::{Size, World};
use crate::gated::BpfFs;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often.
    pub repeats: usize,
    /// Sizes at which all filters are measured, as far as they go.
    pub sizes: Vec<Size>,
    /// Sizes at which the gate alone is measured, to tell what grows with what.
    pub alone: Vec<Size>,
    /// One of `sizes`, at which everything is measured.
    pub base: Size,
    /// Floods beside which a client connects, SYNs a second.
    pub rates: Vec<u32>,
    /// Of one sample.
    pub time: Duration,
    /// Only this filter, and the floor.
    pub only: Option<String>,
}

impl Plan {
    /// What the page shows.
    #[must_use]
    pub fn whole(repeats: usize) -> Self {
        let size = |prefixes, bans| Size { prefixes, bans };
        Self {
            repeats,
            sizes: vec![
                size(1000, 1000),
                size(10_000, 10_000),
                size(100_000, 100_000),
                size(500_000, 1_000_000),
            ],
            alone: vec![size(500_000, 10_000), size(10_000, 1_000_000)],
            base: size(10_000, 10_000),
            rates: vec![0, 200_000, 1_000_000],
            time: Duration::from_millis(700),
            only: None,
        }
    }

    /// Whether all of it works, in seconds.
    #[must_use]
    pub fn quick() -> Self {
        let base = Size {
            prefixes: 500,
            bans: 500,
        };
        Self {
            repeats: 1,
            sizes: vec![base],
            alone: Vec::new(),
            base,
            rates: vec![50_000],
            time: Duration::from_millis(40),
            only: None,
        }
    }
}

/// Measures, and tells each step on standard error. `smtpgate` is the command under test.
pub fn run(plan: &Plan, smtpgate: PathBuf) -> Result<Value> {
    let pins = BpfFs::mount()?;
    let tools = Tools {
        smtpgate,
        pins: pins.pins(),
    };
    let start = Instant::now();
    let (mut rows, mut changes) = (Vec::new(), Vec::new());
    for size in plan.sizes.iter().chain(&plan.alone) {
        // One policy at a time: the largest takes some memory.
        let world = World::new(*size)?;
        for repeat in 0..plan.repeats {
            let mut turn: Vec<Filter> = Filter::ALL
                .into_iter()
                .filter(|filter| filter.goes_to(*size, plan.base))
                .collect();
            if plan.alone.contains(size) {
                turn.retain(|filter| *filter == Filter::Smtpgate);
            }
            if let Some(only) = &plan.only {
                turn.retain(|filter| filter.name() == only);
            }
            // The floor is measured beside every size.
            if !turn.contains(&Filter::BareDrop) {
                turn.insert(0, Filter::BareDrop);
            }
            if repeat % 2 == 1 {
                turn.reverse();
            }
            for filter in turn {
                let one = One {
                    plan,
                    world: &world,
                    tools: &tools,
                    filter,
                    repeat,
                };
                let row = one.row().with_context(|| {
                    format!(
                        "{} with {} prefixes and {} bans",
                        filter.name(),
                        size.prefixes,
                        size.bans
                    )
                })?;
                eprintln!(
                    "{:6.1} s  {:>7} prefixes {:>7} bans  {:<9} {:7.1} ns a SYN",
                    start.elapsed().as_secs_f64(),
                    size.prefixes,
                    size.bans,
                    filter.name(),
                    row["one_core_ns"].as_f64().unwrap_or(f64::NAN),
                );
                rows.push(row);
            }
            let mut change = updates(&world)?;
            change["prefixes"] = json!(size.prefixes);
            change["bans"] = json!(size.bans);
            change["repeat"] = json!(repeat);
            changes.push(change);
        }
    }
    Ok(json!({
        "repeats": plan.repeats,
        "base": { "prefixes": plan.base.prefixes, "bans": plan.base.bans },
        "rates": plan.rates,
        "rows": rows,
        "changes": changes,
    }))
}

/// One filter, once.
struct One<'a> {
    plan: &'a Plan,
    world: &'a World,
    tools: &'a Tools,
    filter: Filter,
    repeat: usize,
}

impl One<'_> {
    fn row(&self) -> Result<Value> {
        let Self { plan, world, .. } = self;
        let flood = &world.flood;
        let link = Link::new()?;
        let before = measure::settled_memory()?;
        let running = self.filter.start(world, &link, self.tools)?;
        let memory = measure::settled_memory()?.saturating_sub(before);
        link.settle()?;
        if self.filter.filters() && self.repeat == 0 {
            measure::filters(&link, world, plan.time / 4)?;
        }
        let mut row = Map::new();
        row.insert("filter".into(), json!(self.filter.name()));
        row.insert("prefixes".into(), json!(world.size.prefixes));
        row.insert("bans".into(), json!(world.size.bans));
        row.insert("repeat".into(), json!(self.repeat));
        row.insert("load_ms".into(), json!(running.load.as_secs_f64() * 1e3));
        row.insert("kernel_bytes".into(), json!(memory));
        row.insert("process_bytes".into(), json!(running.resident));
        let one_core = |sources: &[u32]| measure::one_core(&link, &running, sources, plan.time);
        row.insert("one_core_ns".into(), json!(one_core(flood)?));
        if self.filter == Filter::Smtpgate {
            row.insert("outside_ns".into(), json!(one_core(&world.foreign)?));
            row.insert("banned_ns".into(), json!(one_core(&world.refused)?));
        }
        if world.size == plan.base {
            row.insert("overload".into(), measure::overload(&link, flood, plan.time)?);
            if self.filter != Filter::BareDrop {
                let waits: Result<Vec<Value>> = plan
                    .rates
                    .iter()
                    .map(|rate| measure::latency(&link, flood, *rate, plan.time * 2))
                    .collect();
                row.insert("latency".into(), json!(waits?));
            }
        }
        Ok(row.into())
    }
}
