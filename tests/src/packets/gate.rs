//! The gate as it is loaded for the table: a policy in the kernel, by the way every policy goes there, in a BPF file
//! system that nobody else sees.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use smtpgate::dataplane::{Dataplane, Kernel};
use smtpgate::policy::{Image, Intent, Limits, Sizes, compile};
use smtpgate_common::abi::NO_GATE;

use super::cases::{Case, Counted, Expect};
use crate::gated::BpfFs;

/// The maps of a policy, with some room.
pub fn image(intent: &Intent) -> Result<Image> {
    let table = compile(intent);
    let sizes = Sizes::for_table(&table, &Limits::default())?;
    Ok(Image::build(&table, sizes)?)
}

/// A policy in the kernel, attached to nothing yet. When it is dropped it is gone, with all that was attached.
pub struct Gate {
    /// The product's own door to it.
    pub dataplane: Dataplane,
    // Its pins live as long as this.
    _pins: BpfFs,
}

impl Gate {
    /// Loads a policy.
    pub fn load(intent: &Intent) -> Result<Self> {
        let pins = BpfFs::mount()?;
        let dataplane = Dataplane::install(&pins.pins(), Kernel::probe()?, &image(intent)?)?;
        Ok(Self { dataplane, _pins: pins })
    }

    /// The pin of a program (`smtpgate_common::abi::programs`), when this kernel took it.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.dataplane.program(name).ok()
    }

    /// All counters that are not zero.
    pub fn counts(&self) -> Result<Counts> {
        let counts = self.dataplane.counts()?;
        Ok(counts
            .into_iter()
            .map(|count| {
                let key = Counted {
                    reason: count.reason,
                    family: count.family,
                    gate: count.gate.unwrap_or(NO_GATE),
                    observed: count.observed,
                };
                (key, count.frames)
            })
            .collect())
    }
}

/// Frames by counter; none of them 0.
pub type Counts = BTreeMap<Counted, u64>;

/// What these cases must be counted as, once each; `expect` says what a case must become here.
pub fn expected<'a>(cases: impl IntoIterator<Item = &'a Case>, expect: impl Fn(&Case) -> Expect) -> Counts {
    let mut counts = Counts::new();
    for counted in cases.into_iter().filter_map(|case| expect(case).counted) {
        *counts.entry(counted).or_insert(0) += 1;
    }
    counts
}

/// What was counted in between.
#[must_use]
pub fn difference(before: &Counts, after: &Counts) -> Counts {
    after
        .iter()
        .map(|(key, frames)| (*key, frames - before.get(key).copied().unwrap_or(0)))
        .filter(|(_, frames)| *frames != 0)
        .collect()
}
