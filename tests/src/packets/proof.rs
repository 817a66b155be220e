//! What is proved of the table over a real link; the same on this machine and on the kernels in QEMU.
//!
//! Each proof gives a line that says what it saw, or an error that names the cases that came out wrong.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use smtpgate::dataplane::AttachMode;

use super::cases::Case;
use super::gate::{Counts, Gate, difference, expected};
use super::policy::{GATED, intent, observing};
use super::wire::{INTERFACE, Wire, sendable};

/// Cases that a failure names.
const NAMED: usize = 40;

/// Where the gate meets the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP in the driver.
    Xdp,
    /// The tc classifier, behind an XDP program of another gate, which only observes.
    Tc,
}

/// Without a gate, Linux answers every train that the table marks so: the structural drops among them too, which is why
/// they are dropped. Were it not so, the other proofs would prove nothing.
pub fn linux_answers(wire: &Wire, cases: &[Case]) -> Result<String> {
    let answered = wire.answered(cases, &GATED)?;
    let marked: BTreeSet<u32> = cases
        .iter()
        .filter(|case| wire.answers(case))
        .map(|case| case.train)
        .collect();
    let silent: Vec<u32> = marked.difference(&answered).copied().collect();
    none("not answered by Linux with no gate before it", cases, &silent)?;
    let refused = cases
        .iter()
        .filter(|case| wire.answers(case) && case.expect.drop)
        .count();
    Ok(format!(
        "{} trains answered; {refused} frames of them are what a gate refuses",
        answered.len()
    ))
}

/// Behind the hook come out the frames that the table lets pass, and no others, and the counters say so too.
pub fn frames_pass(wire: &Wire, gates: &Gates, cases: &[Case], hook: Hook) -> Result<String> {
    let observer = wire.observer()?;
    // The kernel itself throws a few away before tc: what ends within a VLAN tag.
    let reachable = wire.passed(&observer, cases)?;
    let lost: Vec<usize> = sendable(cases)
        .into_iter()
        .map(|(index, _)| index)
        .filter(|index| !reachable.contains(index))
        .collect();
    let strange: Vec<&str> = lost
        .iter()
        .map(|index| cases[*index].name.as_str())
        .filter(|name| !name.starts_with("vlan: tag ") && !name.contains(" in two tags, "))
        .collect();
    if !strange.is_empty() {
        bail!("frames that do not come through with no gate there: {strange:#?}");
    }

    let attached = Attached::to(wire, gates, hook)?;
    let before = gates.counts()?;
    let passed = wire.passed(&observer, cases)?;
    let after = gates.counts()?;
    drop(attached);
    let wanted: BTreeSet<usize> = reachable
        .into_iter()
        .filter(|index| !cases[*index].expect.drop)
        .collect();
    let number = |index: &usize| u32::try_from(*index).unwrap_or(u32::MAX);
    none(
        "passed",
        cases,
        &passed.difference(&wanted).map(number).collect::<Vec<_>>(),
    )?;
    none(
        "dropped",
        cases,
        &wanted.difference(&passed).map(number).collect::<Vec<_>>(),
    )?;

    let sent = || sendable(cases).into_iter().map(|(index, _)| index);
    let reached = sent().filter(|index| hook == Hook::Xdp || !lost.contains(index));
    right_counts(
        &difference(&before.0, &after.0),
        &expected(reached.map(|index| &cases[index]), |case| case.expect),
    )?;
    if hook == Hook::Tc {
        let observed = expected(sent().map(|index| &cases[index]), |case| case.expect.observed());
        right_counts(&difference(&before.1, &after.1), &observed).context("the observing gate")?;
    }
    Ok(format!(
        "{} frames sent, {} passed, all counted right",
        sent().count(),
        passed.len()
    ))
}

/// No listening socket behind the hook answers a train of which no frame was let in by the policy, and every one that
/// Linux answers and the table lets pass is answered still.
pub fn nobody_answers(wire: &Wire, gates: &Gates, cases: &[Case], hook: Hook) -> Result<String> {
    let attached = Attached::to(wire, gates, hook)?;
    let answered = wire.answered(cases, &GATED)?;
    drop(attached);
    let let_in: BTreeSet<u32> = cases
        .iter()
        .filter(|case| case.expect.may_open())
        .map(|case| case.train)
        .collect();
    let leaked: Vec<u32> = answered.difference(&let_in).copied().collect();
    none("answered without having been allowed", cases, &leaked)?;

    let cut: BTreeSet<u32> = cases
        .iter()
        .filter(|case| case.expect.drop)
        .map(|case| case.train)
        .collect();
    let wanted: BTreeSet<u32> = cases
        .iter()
        .filter(|case| wire.answers(case) && !cut.contains(&case.train))
        .map(|case| case.train)
        .collect();
    let locked_out: Vec<u32> = wanted.difference(&answered).copied().collect();
    none("allowed, but not answered", cases, &locked_out)?;
    Ok(format!("{} trains answered, all of them allowed", answered.len()))
}

/// The table's policy in the kernel, twice.
pub struct Gates {
    /// As it is.
    pub enforcing: Gate,
    /// With every gate only observing.
    observing: Gate,
}

impl Gates {
    /// Loads both; they are attached by the proofs.
    pub fn load() -> Result<Self> {
        Ok(Self {
            enforcing: Gate::load(&intent())?,
            observing: Gate::load(&observing())?,
        })
    }

    fn counts(&self) -> Result<(Counts, Counts)> {
        Ok((self.enforcing.counts()?, self.observing.counts()?))
    }
}

/// Gates on the host's interface, for as long as this lives.
struct Attached<'a> {
    wire: &'a Wire,
    gates: Vec<&'a Gate>,
}

impl<'a> Attached<'a> {
    fn to(wire: &'a Wire, gates: &'a Gates, hook: Hook) -> Result<Self> {
        let mut attached = Self {
            wire,
            gates: Vec::new(),
        };
        match hook {
            Hook::Xdp => attached.add(&gates.enforcing, AttachMode::Native)?,
            Hook::Tc => {
                attached.add(&gates.observing, AttachMode::Native)?;
                attached.add(&gates.enforcing, AttachMode::Tc)?;
            }
        }
        Ok(attached)
    }

    fn add(&mut self, gate: &'a Gate, mode: AttachMode) -> Result<()> {
        let attachment = self.wire.host.run(|| Ok(gate.dataplane.attach(INTERFACE)?))?;
        self.gates.push(gate);
        if attachment.mode != mode {
            bail!(
                "attached by {}, not by {mode}: {:?}",
                attachment.mode,
                attachment.passed_over
            );
        }
        Ok(())
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        for gate in &self.gates {
            let detached = self.wire.host.run(|| Ok(gate.dataplane.detach(INTERFACE)?));
            if let Err(error) = detached {
                println!("{INTERFACE}: the gate stays on it: {error:#}");
            }
        }
    }
}

fn right_counts(counted: &Counts, right: &Counts) -> Result<()> {
    if counted != right {
        bail!("counted {counted:#?}\ninstead of {right:#?}");
    }
    Ok(())
}

/// An error that names cases, when there are any.
fn none(what: &str, cases: &[Case], numbers: &[u32]) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} {what}:", numbers.len());
    for number in numbers.iter().take(NAMED) {
        let name = cases.get(*number as usize).map_or("never sent", |case| &case.name);
        write!(text, "\n  {name}")?;
    }
    bail!("{text}")
}
