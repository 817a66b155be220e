//! The first process of a booted kernel: it makes the machine fit to work in, proves the packet table on this kernel, and
//! that it decides over frames by chance as the host does, says what came of it on the console, and switches the machine off.

use std::fmt::Display;
use std::fs::{self, File};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};
use smtpgate_common::abi::programs;

use super::rights;
use crate::packets::cases::{Case, all};
use crate::packets::generated::Amount;
use crate::packets::proof::{Gates, Hook, frames_pass, linux_answers, nobody_answers};
use crate::packets::testrun;
use crate::packets::wire::Wire;

/// Where the modules to load lie, named in their order.
pub(super) const MODULES: &str = "/modules";
/// Begins a line that is meant for [`parse`].
const MARK: &str = "smtpgate-guest: ";

/// A line of the console that the guest meant for the outside.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A part's name, and what came of it.
    Part(String, Result<String, String>),
    /// The guest came to its end.
    Done,
}

/// Reads a line of the console; `None` for what others say there.
#[must_use]
pub fn parse(line: &str) -> Option<Line> {
    // The kernel may have begun the line.
    let (_, said) = line.split_once(MARK)?;
    if said == "done" {
        return Some(Line::Done);
    }
    let (outcome, rest) = said.split_once(' ')?;
    let (name, text) = rest.split_once(": ")?;
    let text = text.replace("\\n", "\n");
    match outcome {
        "ok" => Some(Line::Part(name.to_owned(), Ok(text))),
        "failed" => Some(Line::Part(name.to_owned(), Err(text))),
        _ => None,
    }
}

/// Tells the outside of a part: `ok` or `failed`, its name, and a text.
pub(crate) fn say(outcome: &str, name: &str, text: impl Display) {
    println!(
        "{MARK}{outcome} {name}: {}",
        text.to_string().trim_end().replace('\n', "\\n")
    );
}

/// Tells the outside that all is told.
pub(crate) fn say_done() {
    println!("{MARK}done");
}

/// The parts that every guest reports, in this order.
pub const PARTS: [&str; 10] = [
    "kernel",
    "programs",
    "test run",
    "generated frames",
    "linux answers",
    "wire, xdp",
    "wire, tc",
    "answers behind xdp",
    "answers behind tc",
    "rights",
];

/// The whole life of the first process. It does not return: the machine goes off.
pub fn main() -> ! {
    let cases = all();
    let mut gates = None;
    for name in PARTS {
        let start = Instant::now();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| part(name, &cases, &mut gates)));
        match outcome {
            Ok(Ok(text)) => say("ok", name, format!("{text} ({:.1?})", start.elapsed())),
            Ok(Err(error)) => say("failed", name, format!("{error:#}")),
            // Its message is on the console already.
            Err(_) => say("failed", name, "panicked"),
        }
    }
    say_done();
    loop {
        // Whatever it says, there is nothing else to do.
        let _ = reboot(RebootCommand::PowerOff);
    }
}

/// The gates are loaded once, by the first part that can: emulated, the verifier takes seconds.
fn part(name: &str, cases: &[Case], gates: &mut Option<Gates>) -> Result<String> {
    match name {
        "kernel" => return settle(),
        "linux answers" => return linux_answers(&Wire::new()?.with_vlans()?, cases),
        "programs" => return programs_of(gates.insert(Gates::load()?)),
        "rights" => return rights::tried(),
        _ => {}
    }
    let gates = gates.as_ref().context("the gates were not loaded")?;
    match name {
        "test run" => testrun::all_programs(&gates.enforcing, cases, |case| case.expect),
        "generated frames" => testrun::generated(&gates.enforcing, Amount::asked()?),
        "wire, xdp" => frames_pass(&Wire::new()?, gates, cases, Hook::Xdp),
        "wire, tc" => frames_pass(&Wire::new()?, gates, cases, Hook::Tc),
        "answers behind xdp" => nobody_answers(&Wire::new()?.with_vlans()?, gates, cases, Hook::Xdp),
        "answers behind tc" => nobody_answers(&Wire::new()?.with_vlans()?, gates, cases, Hook::Tc),
        _ => bail!("no such part"),
    }
}

/// File systems and modules. Gives the kernel's release.
fn settle() -> Result<String> {
    for (kind, path) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
    ] {
        match mount(kind, path, kind, MountFlags::empty(), None) {
            // Some kernels mount devtmpfs by themselves.
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(error) => return Err(error).with_context(|| format!("mount {kind} at {path}")),
        }
    }
    let mut modules: Vec<_> = fs::read_dir(MODULES)?.collect::<Result<_, _>>()?;
    modules.sort_unstable_by_key(fs::DirEntry::file_name);
    for module in modules {
        load(&module.path()).with_context(|| module.path().display().to_string())?;
    }
    Ok(rustix::system::uname().release().to_string_lossy().into_owned())
}

fn load(module: &Path) -> Result<()> {
    match finit_module(File::open(module)?, c"", 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Every program loads that this kernel can have: all, but before 5.18 no XDP program for frames in several buffers.
fn programs_of(gates: &Gates) -> Result<String> {
    let names = [programs::XDP, programs::XDP_FRAGS, programs::TC, programs::TC_L3];
    let there: Vec<&str> = names
        .into_iter()
        .filter(|name| gates.enforcing.program(name).is_some())
        .collect();
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let frags = (numbers.next(), numbers.next()) >= (Some(5), Some(18));
    let wanted: Vec<&str> = names
        .into_iter()
        .filter(|name| frags || *name != programs::XDP_FRAGS)
        .collect();
    if there != wanted {
        bail!("loaded {there:?} on {release}, where {wanted:?} can be had");
    }
    Ok(there.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_guest_is_understood_between_other_lines() {
        for (line, expected) in [
            ("[    1.0] Run /init as init process", None),
            (
                "smtpgate-guest: ok kernel: 5.10.0",
                Some(Line::Part("kernel".to_owned(), Ok("5.10.0".to_owned()))),
            ),
            (
                "[ 2.0] noise smtpgate-guest: failed wire, tc: 2 passed:\\n  a: b",
                Some(Line::Part("wire, tc".to_owned(), Err("2 passed:\n  a: b".to_owned()))),
            ),
            ("smtpgate-guest: done", Some(Line::Done)),
            ("smtpgate-guest: perhaps kernel: x", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
