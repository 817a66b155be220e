//! The gate in the kernel, as one thing: a generation of maps and programs, and the links that run it.
//!
//! Every order of steps here is such that a process may be killed between any two of them: packets then meet the old
//! program or the new one, each over whole maps, and the next start finds what there is and sweeps the rest.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use smtpgate_common::abi::{LAYOUT, NO_GATE, maps, programs};

use super::attach::{self, AttachMode, Attachment, Hanging, hanging};
use super::counters::{Count, Counters};
use super::error::{Error, because};
use super::events::Events;
use super::kernel::{self, Kernel};
use super::links::interfaces;
use super::live::{Live, pinned};
use super::object::{self, Programs};
use super::pins::{Number, Pins, pin_error, remove};
use super::tokens::Tokens;
use crate::policy::{Image, Sizes};

/// In a generation's folder: its maps were filled. A symbolic link, since there are no files on a BPF file system.
const READY: &str = "ready";

/// The live generation. Dropping it changes nothing in the kernel.
pub struct Dataplane {
    pins: Pins,
    kernel: Kernel,
    number: Number,
    sizes: Sizes,
    live: Live,
    counters: Counters,
}

/// What [`Dataplane::install`] needs other rights for than those that suffice afterwards: the limit on locked memory, and
/// the folder for the pins. What fails here is told by it.
pub fn prepare(root: &Path) {
    kernel::lift_memlock();
    if kernel::bpffs(root).is_ok() {
        let _ = Pins::at(root).create();
    }
}

impl Dataplane {
    /// Makes a new generation that holds `image`, has every link under `root` run it, and removes the ones before. Where
    /// nothing is attached yet, nothing is attached by this. On an error the gate is as it was.
    pub fn install(root: &Path, kernel: Kernel, image: &Image) -> Result<Self, Error> {
        kernel::privileges()?;
        kernel::bpffs(root)?;
        kernel::lift_memlock();
        let pins = Pins::at(root);
        pins.create()?;
        let number = pins.next_generation()?;
        let made = Self::make(pins.clone(), kernel, number, image).and_then(|dataplane| {
            dataplane.take_over()?;
            Ok(dataplane)
        });
        match made {
            Ok(dataplane) => {
                dataplane.sweep();
                Ok(dataplane)
            }
            Err(error) => {
                // Unless something runs it after all, it goes; what cannot be removed now, the next sweep removes.
                if !runs_somewhere(&pins, number) {
                    let _ = pins.remove_generation(number);
                }
                Err(error)
            }
        }
    }

    fn make(pins: Pins, kernel: Kernel, number: Number, image: &Image) -> Result<Self, Error> {
        // What hangs somewhere is needed at once; the rest when it is.
        let mut wanted: Vec<_> = pins.links()?.iter().map(|link| link.hook.program()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            wanted.push(programs::XDP);
        }
        object::load(&pins, number, image.sizes(), &wanted)?;
        let mut dataplane = Self::at(pins, kernel, number)?;
        dataplane.live.fill(image.maps())?;
        let ready = dataplane.pins.generation(number).join(READY);
        std::os::unix::fs::symlink("maps-are-filled", &ready).map_err(pin_error(&ready, "mark the maps as filled"))?;
        Ok(dataplane)
    }

    fn at(pins: Pins, kernel: Kernel, number: Number) -> Result<Self, Error> {
        let live = Live::open(&pins.generation(number))?;
        let counters =
            aya::maps::MapData::from_pin(pins.counters()).map_err(Error::map(maps::COUNTERS, "open its pin"))?;
        Ok(Self {
            pins,
            kernel,
            number,
            sizes: live.sizes(),
            live,
            counters: Counters::new(counters)?,
        })
    }

    /// The generation that filters now, whoever made it: the newest one that a link runs; when no link runs any, the
    /// newest one that is whole. Links that a killed process left with an older one are brought forward.
    pub fn open(root: &Path, kernel: Kernel) -> Result<Self, Error> {
        kernel::privileges()?;
        let pins = Pins::at(root);
        let generations = pins.generations()?;
        let hanging = hanging(&pins, &all_programs(&pins)?)?;
        let runs = |number: &&Number| {
            let programs = pinned_programs(&pins, **number).ids();
            hanging
                .iter()
                .any(|hanging| hanging.alive() && programs.contains(&hanging.program))
        };
        let whole = |number: &&Number| fs::symlink_metadata(pins.generation(**number).join(READY)).is_ok();
        let number = generations
            .iter()
            .rev()
            .find(runs)
            .or_else(|| generations.iter().rev().find(whole))
            .copied();
        let number = number.ok_or_else(|| Error::NotLoaded { pins: root.to_owned() })?;
        if number.layout != LAYOUT {
            return Err(Error::Layout {
                pins: root.to_owned(),
                found: number.layout,
            });
        }
        let dataplane = Self::at(pins, kernel, number)?;
        dataplane.take_over()?;
        Ok(dataplane)
    }

    /// Has all links run this generation: all of them, or none when one cannot.
    fn take_over(&self) -> Result<(), Error> {
        let programs = self.programs();
        let mut done: Vec<Hanging> = Vec::new();
        for hanging in hanging(&self.pins, &all_programs(&self.pins)?)? {
            if !hanging.alive() {
                // Its interface is gone: the link filters nothing, and its pin stands in the way of a new one.
                self.forget(&hanging)?;
                continue;
            }
            if programs.ids().contains(&hanging.program) {
                continue;
            }
            match attach::replace(programs, self.kernel, &hanging) {
                Ok(()) => done.push(hanging),
                Err(error) => {
                    self.give_back(&done);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Has links run again what they ran before, as far as its pins are there.
    fn give_back(&self, done: &[Hanging]) {
        let generations = self.pins.generations().unwrap_or_default();
        for before in done {
            let programs = generations
                .iter()
                .map(|number| pinned_programs(&self.pins, *number))
                .find(|programs| programs.ids().contains(&before.program));
            let now = hanging(&self.pins, &all_programs(&self.pins).unwrap_or_default()).unwrap_or_default();
            let now = now
                .into_iter()
                .find(|now| now.index == before.index && now.pin.hook == before.pin.hook);
            if let (Some(programs), Some(now)) = (programs, now)
                && let Err(error) = attach::replace(programs, self.kernel, &now)
            {
                tracing::error!(interface = now.interface, "{}", because(&error));
            }
        }
    }

    /// Removes all other generations. One that stays is memory lost until the next sweep, and no more.
    fn sweep(&self) {
        for number in self.pins.generations().unwrap_or_default() {
            if number != self.number
                && let Err(error) = self.pins.remove_generation(number)
            {
                tracing::warn!("an old generation of maps stays in memory: {error}");
            }
        }
    }

    /// The live maps.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The live maps, to be changed.
    pub fn live_mut(&mut self) -> &mut Live {
        &mut self.live
    }

    /// Where the gate is attached. Links whose interface is gone are left out.
    pub fn attachments(&self) -> Result<Vec<Attachment>, Error> {
        let found = hanging(&self.pins, &all_programs(&self.pins)?)?;
        Ok(found.into_iter().filter_map(attachment).collect())
    }

    /// Attaches the gate to an interface of the current network namespace: in the best way that works, if it is not
    /// attached there already.
    pub fn attach(&self, interface: &str) -> Result<Attachment, Error> {
        let all = interfaces().map_err(Error::netlink("list the interfaces"))?;
        let interface = all
            .into_iter()
            .find(|known| known.name == interface)
            .ok_or_else(|| Error::NoInterface {
                name: interface.to_owned(),
            })?;
        for hanging in hanging(&self.pins, &all_programs(&self.pins)?)? {
            if hanging.index == interface.index && hanging.alive() {
                if let Some(attachment) = attachment(hanging) {
                    return Ok(attachment);
                }
            } else if hanging.pin.interface == interface.name && !hanging.alive() {
                self.forget(&hanging)?;
            }
        }
        attach::attach(self.programs(), self.kernel, &interface)
    }

    /// Removes the pin of something dead; the mark of a clsact qdisc stays for the qdisc's sake.
    fn forget(&self, hanging: &Hanging) -> Result<(), Error> {
        if matches!(hanging.pin.hook, super::pins::Hook::Clsact { .. }) && hanging.index != 0 {
            return Ok(());
        }
        remove(&self.pins.link(&hanging.pin))
    }

    /// Takes the gate off an interface; false when it was not there.
    pub fn detach(&self, interface: &str) -> Result<bool, Error> {
        let mut was_there = false;
        for hanging in hanging(&self.pins, &all_programs(&self.pins)?)? {
            if hanging.interface == interface || hanging.pin.interface == interface {
                was_there |= hanging.alive();
                attach::detach(&self.pins, &hanging)?;
            }
        }
        Ok(was_there)
    }

    /// All counters that are not zero.
    pub fn counts(&self) -> Result<Vec<Count>, Error> {
        self.counters.read(NO_GATE)
    }

    /// Those of the first `gates` gates, and of packets that belong to none: for who looks often.
    pub fn counts_of(&self, gates: u8) -> Result<Vec<Count>, Error> {
        self.counters.read(gates)
    }

    /// The kernel's number of the counters. They outlive generations, but not the gate.
    pub const fn counters_id(&self) -> u32 {
        self.counters.id()
    }

    /// Since when there is a gate: the age of the counters.
    pub fn since(&self) -> Result<Timestamp, Error> {
        let pin = self.counters_pin();
        let made = fs::metadata(&pin).and_then(|meta| meta.modified());
        let made = made.and_then(|made| Timestamp::try_from(made).map_err(std::io::Error::other));
        made.map_err(pin_error(&pin, "ask for its age"))
    }

    /// The events of this generation; a new one has its own. Needs a tokio runtime.
    pub fn events(&self) -> Result<Events, Error> {
        Events::new(pinned(&self.pins.generation(self.number), maps::EVENTS)?)
    }

    /// The tokens of this generation; a new one has its own, which are 0 at first.
    pub fn tokens(&self) -> Result<Tokens, Error> {
        Tokens::new(pinned(&self.pins.generation(self.number), maps::TOKENS)?)
    }

    /// The programs of this generation, loaded as they are needed.
    fn programs(&self) -> Programs<'_> {
        Programs {
            pins: &self.pins,
            number: self.number,
            sizes: Some(self.sizes),
        }
    }

    /// The pin of a program (`smtpgate_common::abi::programs`), loaded if it was not.
    pub fn program(&self, name: &str) -> Result<std::path::PathBuf, Error> {
        self.programs().pin(name)
    }

    /// The folder with this generation's pins: maps and programs under their names in the object.
    pub(super) fn folder(&self) -> std::path::PathBuf {
        self.pins.generation(self.number)
    }

    /// Where the pinned counters are.
    pub(super) fn counters_pin(&self) -> std::path::PathBuf {
        self.pins.counters()
    }
}

/// The programs of any generation, as far as they are loaded.
const fn pinned_programs(pins: &Pins, number: Number) -> Programs<'_> {
    Programs {
        pins,
        number,
        sizes: None,
    }
}

fn runs_somewhere(pins: &Pins, number: Number) -> bool {
    let programs = pinned_programs(pins, number).ids();
    hanging(pins, &programs).is_ok_and(|all| {
        all.iter()
            .any(|hanging| hanging.alive() && programs.contains(&hanging.program))
    })
}

fn attachment(hanging: Hanging) -> Option<Attachment> {
    Some(Attachment {
        mode: hanging.mode?,
        interface: hanging.interface,
        index: hanging.index,
        program: hanging.program,
        passed_over: Vec::new(),
    })
}

/// Ids of the programs of all generations.
fn all_programs(pins: &Pins) -> Result<HashSet<u32>, Error> {
    Ok(pins
        .generations()?
        .into_iter()
        .flat_map(|number| pinned_programs(pins, number).ids())
        .collect())
}

/// Something that [`unload`] took out of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The gate was taken off an interface; `None` for the mode of a link that filtered nothing any more.
    Attachment {
        /// Its name.
        interface: String,
        /// How it was attached.
        mode: Option<AttachMode>,
    },
    /// A generation of maps and programs.
    Generation(u64),
    /// The counters.
    Counters,
}

/// Takes the gate under `root` out of the kernel, whoever put it there, whatever state it is in. Done again, it removes
/// nothing. Interfaces are freed first, so that packets never meet a gate without a policy.
pub fn unload(root: &Path) -> Result<Vec<Removed>, Error> {
    kernel::privileges()?;
    let pins = Pins::at(root);
    let mut removed = Vec::new();
    for hanging in hanging(&pins, &all_programs(&pins)?)? {
        attach::detach(&pins, &hanging)?;
        removed.push(Removed::Attachment {
            interface: hanging.pin.interface,
            mode: hanging.mode,
        });
    }
    for number in pins.generations()? {
        pins.remove_generation(number)?;
        removed.push(Removed::Generation(number.number));
    }
    if fs::symlink_metadata(pins.counters()).is_ok() {
        remove(&pins.counters())?;
        removed.push(Removed::Counters);
    }
    pins.remove_empty();
    Ok(removed)
}
