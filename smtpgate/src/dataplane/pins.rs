//! Where the gate lives in the BPF file system, so that it outlives every process:
//!
//! ```text
//! PINS/counters                 the COUNTERS map, shared by all generations
//! PINS/gen-N_vL/MAP, PROGRAM    generation N of the maps and programs, of layout L
//! PINS/links/IFACE-HOOK         the link that attaches a program; where there are no links (clsact), a symbolic link
//!                               that says whose the qdisc is
//! ```
//!
//! A generation is complete before a link runs it, and links are what counts: the live generation is the newest one
//! whose program a link runs, whatever a killed process left beside it. File names may not hold a dot on a BPF file
//! system (kernel/bpf/inode.c), interface names may hold no colon (`dev_valid_name`), so one stands for the other.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use smtpgate_common::abi::{LAYOUT, programs};

use super::error::Error;

/// The folder for the pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pins {
    root: PathBuf,
}

/// The name of a generation's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Number {
    /// Counts up.
    pub(super) number: u64,
    /// Version of the shapes in its maps.
    pub(super) layout: u32,
}

/// By what a program hangs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Hook {
    /// An XDP link.
    Xdp,
    /// A tcx link; the program for links without an Ethernet header when `l3`.
    Tcx {
        /// No Ethernet header.
        l3: bool,
    },
    /// A filter of a clsact qdisc.
    Clsact {
        /// No Ethernet header.
        l3: bool,
    },
}

impl Hook {
    const ALL: [Self; 5] = [
        Self::Xdp,
        Self::Tcx { l3: false },
        Self::Tcx { l3: true },
        Self::Clsact { l3: false },
        Self::Clsact { l3: true },
    ];

    /// The program that hangs there, where there is a choice the first one to try.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Xdp => programs::XDP,
            Self::Tcx { l3: false } | Self::Clsact { l3: false } => programs::TC,
            Self::Tcx { l3: true } | Self::Clsact { l3: true } => programs::TC_L3,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tcx { l3: false } => "tcx",
            Self::Tcx { l3: true } => "tcx_l3",
            Self::Clsact { l3: false } => "clsact",
            Self::Clsact { l3: true } => "clsact_l3",
        }
    }
}

/// An entry of `PINS/links`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LinkPin {
    /// The interface's name when it was pinned.
    pub(super) interface: String,
    /// What hangs there.
    pub(super) hook: Hook,
}

impl LinkPin {
    fn file(&self) -> String {
        format!("{}-{}", self.interface.replace('.', ":"), self.hook.name())
    }

    fn parse(file: &str) -> Option<Self> {
        let (interface, hook) = file.rsplit_once('-')?;
        let hook = Hook::ALL.into_iter().find(|known| known.name() == hook)?;
        Some(Self {
            interface: interface.replace(':', "."),
            hook,
        })
    }
}

impl Number {
    fn file(self) -> String {
        format!("gen-{}_v{}", self.number, self.layout)
    }

    fn parse(file: &str) -> Option<Self> {
        let (number, layout) = file.strip_prefix("gen-")?.split_once("_v")?;
        let read = Self {
            number: number.parse().ok()?,
            layout: layout.parse().ok()?,
        };
        // Spelled otherwise it is another folder than the one that would be opened, and the last number has none after it.
        (read.file() == file && read.number < u64::MAX).then_some(read)
    }
}

impl Pins {
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn counters(&self) -> PathBuf {
        self.root.join("counters")
    }

    pub(super) fn generation(&self, number: Number) -> PathBuf {
        self.root.join(number.file())
    }

    fn links_folder(&self) -> PathBuf {
        self.root.join("links")
    }

    pub(super) fn link(&self, pin: &LinkPin) -> PathBuf {
        self.links_folder().join(pin.file())
    }

    /// Makes the folders, readable by root alone.
    pub(super) fn create(&self) -> Result<(), Error> {
        make(&self.root)?;
        make(&self.links_folder())
    }

    /// Makes the folder of the generation after all that are there.
    pub(super) fn next_generation(&self) -> Result<Number, Error> {
        let last = self
            .generations()?
            .into_iter()
            .map(|number| number.number)
            .max()
            .unwrap_or(0);
        let next = Number {
            number: last + 1,
            layout: LAYOUT,
        };
        make(&self.generation(next))?;
        Ok(next)
    }

    /// Generations of any layout, complete or not, oldest first.
    pub(super) fn generations(&self) -> Result<Vec<Number>, Error> {
        let mut found: Vec<_> = names(&self.root)?
            .iter()
            .filter_map(|name| Number::parse(name))
            .collect();
        found.sort();
        Ok(found)
    }

    /// What is in `PINS/links`, sorted.
    pub(super) fn links(&self) -> Result<Vec<LinkPin>, Error> {
        let mut found: Vec<_> = names(&self.links_folder())?
            .iter()
            .filter_map(|name| LinkPin::parse(name))
            .collect();
        found.sort();
        Ok(found)
    }

    /// Removes a generation's pins; what a link still runs stays alive in the kernel.
    pub(super) fn remove_generation(&self, number: Number) -> Result<(), Error> {
        let folder = self.generation(number);
        for name in names(&folder)? {
            remove(&folder.join(name))?;
        }
        gone(fs::remove_dir(&folder)).map_err(pin_error(&folder, "remove it"))
    }

    /// Removes the folders if nothing is in them.
    pub(super) fn remove_empty(&self) {
        let _ = fs::remove_dir(self.links_folder());
        let _ = fs::remove_dir(&self.root);
    }
}

/// Removes a pin that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    gone(fs::remove_file(path)).map_err(pin_error(path, "remove it"))
}

pub(super) fn pin_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Pins { path, what, source }
}

fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn make(folder: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(pin_error(folder, "make this folder"))
}

/// Names in a folder; none when there is no folder.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(pin_error(folder, "read this folder")(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(pin_error(folder, "read this folder"))?;
        found.extend(entry.file_name().into_string().ok());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dataplane_pins_names_round_trip_and_hold_no_dot() {
        for interface in ["eth0", "eth0.100", "br-lan", "wg0", "a-xdp"] {
            for hook in Hook::ALL {
                let pin = LinkPin {
                    interface: interface.to_owned(),
                    hook,
                };
                let file = pin.file();
                assert!(!file.contains('.'), "{file}");
                assert_eq!(LinkPin::parse(&file), Some(pin), "{file}");
            }
        }
        for not_ours in ["eth0", "eth0-other", ""] {
            assert_eq!(LinkPin::parse(not_ours), None, "{not_ours}");
        }
    }

    /// Whatever an admin, or another program, left there.
    #[test]
    fn dataplane_pins_what_is_not_spelled_as_ours_is_no_generation() {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::at(folder.path());
        pins.create().unwrap();
        for not_ours in [
            "gen-07_v1",
            "gen-+7_v1",
            "gen-7_v01",
            "gen-7_v+1",
            "gen-18446744073709551615_v1",
            "gen-7",
            "gen-_v",
        ] {
            fs::create_dir(folder.path().join(not_ours)).unwrap();
        }
        assert_eq!(pins.generations().unwrap(), []);
        assert_eq!(pins.next_generation().unwrap().number, 1);
    }

    proptest! {
        #[test]
        fn dataplane_pins_a_name_that_is_read_is_the_one_that_is_opened(number in "gen-[0-9+]{0,21}_v[0-9+]{0,11}", link in "[a-z0-9.:@_-]{0,15}-?(xdp|tcx|clsact)?(_l3)?") {
            if let Some(read) = Number::parse(&number) {
                prop_assert_eq!(read.file(), number);
            }
            if let Some(read) = LinkPin::parse(&link).filter(|_| !link.contains('.')) {
                prop_assert_eq!(read.file(), link);
            }
        }
    }

    #[test]
    fn dataplane_pins_generations_count_up_over_every_layout() {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::at(folder.path());
        pins.create().unwrap();
        fs::create_dir(folder.path().join("gen-9_v0")).unwrap();
        fs::create_dir(folder.path().join("other")).unwrap();
        let next = pins.next_generation().unwrap();
        assert_eq!(
            next,
            Number {
                number: 10,
                layout: LAYOUT
            }
        );
        fs::write(pins.generation(next).join("HEAD"), "").unwrap();
        pins.remove_generation(Number { number: 9, layout: 0 }).unwrap();
        assert_eq!(pins.generations().unwrap(), [next]);
        pins.remove_generation(next).unwrap();
        pins.remove_generation(next).unwrap();
        assert_eq!(pins.generations().unwrap(), []);
    }
}
