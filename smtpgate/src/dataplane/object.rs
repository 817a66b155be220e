//! The kernel's half of the gate: an object built by `cargo xtask ebpf`, committed, embedded here.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use aya::EbpfLoader;
use aya::maps::MapData;
use aya::programs::{Program, ProgramError, ProgramInfo, SchedClassifier, Xdp};
use aya_obj::programs::XdpAttachType;
use smtpgate_common::abi::{globals, maps, programs};

use super::counters;
use super::error::{Error, because};
use super::pins::{Number, Pins, remove};
use crate::policy::ops::Sizes;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/smtpgate.bpf.o"));

/// Maps that a generation owns. `COUNTERS` belongs to all.
const OWN: [&str; 12] = [
    maps::HEAD,
    maps::NODES4,
    maps::NODES6,
    maps::TRIE4,
    maps::TRIE6,
    maps::BANS4,
    maps::BANS4_OVER,
    maps::BANS6,
    maps::BANS6_OVER,
    maps::BANS6_EXACT,
    maps::TOKENS,
    maps::EVENTS,
];

/// Every program that a generation may have.
const PROGRAMS: [&str; 4] = [programs::XDP, programs::XDP_FRAGS, programs::TC, programs::TC_L3];

/// Loads the programs `wanted` over the maps of generation `number`, and pins both in its folder, which exists. Maps that
/// are pinned there are used; those that are not are made in these sizes. Nothing is attached.
pub(super) fn load(pins: &Pins, number: Number, sizes: &Sizes, wanted: &[&str]) -> Result<(), Error> {
    let counters = pins.counters();
    if MapData::from_pin(&counters).is_ok_and(|map| !counters::fits(&map)) {
        remove(&counters)?;
    }
    let shift4 = 32 - sizes.bans4_log2;
    let shift6 = 64 - sizes.bans6_log2;
    let mut loader = EbpfLoader::new();
    loader
        .btf(None)
        .override_global(globals::BANS4_SHIFT, &shift4, true)
        .override_global(globals::BANS6_SHIFT, &shift6, true)
        .map_pin_path(maps::COUNTERS, counters);
    let folder = pins.generation(number);
    for map in OWN {
        loader.map_pin_path(map, folder.join(map));
    }
    for (map, entries) in [
        (maps::NODES4, sizes.nodes4),
        (maps::NODES6, sizes.nodes6),
        (maps::TRIE4, sizes.trie4),
        (maps::TRIE6, sizes.trie6),
        (maps::BANS4, 1 << sizes.bans4_log2),
        (maps::BANS4_OVER, sizes.over4),
        (maps::BANS6, 1 << sizes.bans6_log2),
        (maps::BANS6_OVER, sizes.over6),
        (maps::BANS6_EXACT, sizes.exact6),
    ] {
        // The kernel makes no map of 0 entries.
        loader.map_max_entries(map, entries.max(1));
    }
    let mut object = loader.load(OBJECT).map_err(|error| Error::Load {
        reason: because(&error),
    })?;
    for name in wanted {
        let refused = |reason: String| Error::Program {
            program: (*name).to_owned(),
            reason,
        };
        let program = object
            .program_mut(name)
            .ok_or_else(|| refused("the object does not have it".to_owned()))?;
        verify(program).map_err(|error| refused(because(&error)))?;
        program
            .pin(folder.join(name))
            .map_err(|error| refused(because(&error)))?;
    }
    Ok(())
}

/// The programs of a generation. The verifier takes its time for each, so one is loaded when it is first needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs<'a> {
    pub(super) pins: &'a Pins,
    pub(super) number: Number,
    /// Sizes of the maps, which are pinned; `None` for generations over whose maps this binary loads nothing.
    pub(super) sizes: Option<Sizes>,
}

impl Programs<'_> {
    /// Where the program is pinned, loaded if it was not.
    pub(super) fn pin(&self, name: &str) -> Result<PathBuf, Error> {
        let pin = self.pins.generation(self.number).join(name);
        if let (false, Some(sizes)) = (fs::symlink_metadata(&pin).is_ok(), &self.sizes) {
            load(self.pins, self.number, sizes, &[name])?;
        }
        Ok(pin)
    }

    /// An XDP program by its name.
    pub(super) fn xdp(&self, name: &str) -> Result<Xdp, Error> {
        Xdp::from_pin(self.pin(name)?, XdpAttachType::Interface).map_err(|error| Error::Program {
            program: name.to_owned(),
            reason: because(&error),
        })
    }

    /// The classifier for links with an Ethernet header, or for those without.
    pub(super) fn tc(&self, l3: bool) -> Result<SchedClassifier, Error> {
        let name = if l3 { programs::TC_L3 } else { programs::TC };
        SchedClassifier::from_pin(self.pin(name)?).map_err(|error| Error::Program {
            program: name.to_owned(),
            reason: because(&error),
        })
    }

    /// Ids of those that are loaded.
    pub(super) fn ids(&self) -> HashSet<u32> {
        let folder = self.pins.generation(self.number);
        PROGRAMS
            .iter()
            .filter_map(|name| ProgramInfo::from_pin(folder.join(name)).ok())
            .map(|info| info.id())
            .collect()
    }
}

fn verify(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
