//! The kernel's half of the gate: an object built by `cargo xtask ebpf`, committed, embedded here.

use aya::EbpfLoader;
use aya::maps::MapData;
use aya::programs::{Program, ProgramError};
use smtpgate_common::abi::{globals, maps, programs};

use super::counters;
use super::error::{Error, because};
use super::kernel::Kernel;
use super::pins::{Number, Pins, remove};
use crate::policy::ops::Sizes;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/smtpgate.bpf.o"));

/// Maps that a generation owns. `COUNTERS` belongs to all.
const OWN: [&str; 13] = [
    maps::HEAD,
    maps::NODES4,
    maps::NODES6,
    maps::TRIE4,
    maps::TRIE6,
    maps::PORTS,
    maps::BANS4,
    maps::BANS4_OVER,
    maps::BANS6,
    maps::BANS6_OVER,
    maps::BANS6_EXACT,
    maps::TOKENS,
    maps::EVENTS,
];

/// Every program that a generation may have.
pub(super) const PROGRAMS: [&str; 4] = [programs::XDP, programs::XDP_FRAGS, programs::TC, programs::TC_L3];

/// Makes the maps of generation `number` in these sizes, loads the programs over them, and pins both in its folder,
/// which exists. Nothing is attached.
pub(super) fn load(pins: &Pins, number: Number, sizes: &Sizes, kernel: Kernel) -> Result<(), Error> {
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
    let folder = pins.generation(number);
    for name in OWN {
        let map = object.map(name).ok_or_else(|| Error::Load {
            reason: format!("the object has no map {name}"),
        })?;
        let reason = |error| because(&error);
        map.pin(folder.join(name))
            .map_err(reason)
            .map_err(|reason| Error::Map {
                map: name,
                what: "pin it",
                reason,
            })?;
    }
    for name in PROGRAMS {
        if name == programs::XDP_FRAGS && !kernel.frags {
            continue;
        }
        let refused = |reason: String| Error::Program {
            program: name.to_owned(),
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

fn verify(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
