//! Hanging a program on an interface: native XDP, else generic XDP, else tc.
//!
//! What once hangs stays: a new program takes the place of the old one inside the link, in one act of the kernel. Only
//! an interface without a link of ours gets a new one.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::{XdpLink, XdpMode as AyaMode};
use aya::programs::{LinkOrder, TcAttachType, loaded_programs};
use smtpgate_common::abi::programs as names;

use super::clsact;
use super::error::{Error, because, errno};
use super::kernel::Kernel;
use super::link::Link;
use super::links::{Interface, Layer, XdpMode, interfaces};
use super::object::Programs;
use super::pins::{Hook, LinkPin, Pins, pin_error, remove};

/// Where the program meets the packets of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachMode {
    /// XDP in the driver: before the kernel has made anything of the frame.
    Native,
    /// XDP in the stack: the same verdicts, at the cost of an skb a frame.
    Generic,
    /// The tc classifier, behind XDP programs of others.
    Tc,
}

impl AttachMode {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::Native, Self::Generic, Self::Tc];

    /// As it is printed and documented.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The gate on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The interface's present name.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// Where the program meets the packets.
    pub mode: AttachMode,
    /// Id of the program that runs there.
    pub program: u32,
    /// Why not a better way, one line each; only known where it was attached just now.
    pub passed_over: Vec<String>,
}

/// A way to attach, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Native,
    NativeFrags,
    Generic,
    Tcx { l3: bool },
    Clsact { l3: bool },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native XDP",
            Self::NativeFrags => "native XDP with frames in several buffers",
            Self::Generic => "generic XDP",
            Self::Tcx { .. } => "tc (tcx link)",
            Self::Clsact { .. } => "tc (clsact filter)",
        })
    }
}

/// The ways to try on an interface whose XDP is free or not.
fn ways(interface: &Interface, kernel: Kernel, xdp_free: bool) -> Result<Vec<Way>, Error> {
    let name = || interface.name.clone();
    let l3 = match interface.layer {
        Layer::Ethernet => false,
        Layer::Ip => true,
        Layer::Tunnel if kernel.tunnels => true,
        Layer::Tunnel => return Err(Error::Tunnel { name: name() }),
        Layer::Loopback => return Err(Error::Loopback { name: name() }),
        Layer::Other(kind) => return Err(Error::LinkLayer { name: name(), kind }),
    };
    let mut ways = Vec::new();
    // The XDP program reads an Ethernet header.
    if !l3 && xdp_free {
        ways.push(Way::Native);
        if kernel.frags {
            ways.push(Way::NativeFrags);
        }
        ways.push(Way::Generic);
    }
    if kernel.tcx {
        ways.push(Way::Tcx { l3 });
    }
    // Also where links should be there: a kernel can be built without them.
    ways.push(Way::Clsact { l3 });
    Ok(ways)
}

/// Attaches a generation's program to an interface that has none of ours.
pub(super) fn attach(programs: Programs<'_>, kernel: Kernel, interface: &Interface) -> Result<Attachment, Error> {
    let mut passed_over = Vec::new();
    for xdp in &interface.xdp {
        passed_over.push(format!("XDP is taken by {}", whose(xdp.program)));
    }
    let mut no_xdp = false;
    for way in ways(interface, kernel, interface.xdp.is_empty())? {
        // A driver without XDP will not have it with frags either.
        if way == Way::NativeFrags && no_xdp {
            continue;
        }
        match try_way(programs, interface, way) {
            Ok(()) => return attached(programs, interface.index, passed_over),
            Err(refused) => {
                no_xdp = refused.code == Some(libc::EOPNOTSUPP);
                passed_over.push(format!("{way}: {}", refused.reason));
            }
        }
    }
    Err(Error::Attach {
        name: interface.name.clone(),
        tried: passed_over.join("; "),
    })
}

/// What was just attached, as the kernel sees it.
fn attached(programs: Programs<'_>, index: u32, passed_over: Vec<String>) -> Result<Attachment, Error> {
    let found = hanging(programs.pins, &programs.ids())?
        .into_iter()
        .find(|hanging| hanging.index == index);
    let (hanging, mode) = found
        .and_then(|found| found.mode.map(|mode| (found, mode)))
        .ok_or_else(|| Error::Attach {
            name: index.to_string(),
            tried: "it vanished while the program was being attached".to_owned(),
        })?;
    Ok(Attachment {
        interface: hanging.interface,
        index,
        mode,
        program: hanging.program,
        passed_over,
    })
}

struct Refused {
    reason: String,
    code: Option<i32>,
}

impl Refused {
    fn by(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            reason: because(error),
            code: errno(error),
        }
    }

    const fn saying(reason: String) -> Self {
        Self { reason, code: None }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::saying(error.to_string())
    }
}

fn try_way(programs: Programs<'_>, interface: &Interface, way: Way) -> Result<(), Refused> {
    let pin = |hook| LinkPin {
        interface: interface.name.clone(),
        hook,
    };
    match way {
        Way::Native => xdp(programs, interface.index, names::XDP, AyaMode::Driver, &pin(Hook::Xdp)),
        Way::NativeFrags => xdp(
            programs,
            interface.index,
            names::XDP_FRAGS,
            AyaMode::Driver,
            &pin(Hook::Xdp),
        ),
        Way::Generic => xdp(programs, interface.index, names::XDP, AyaMode::Skb, &pin(Hook::Xdp)),
        Way::Tcx { l3 } => tcx(programs, &interface.name, l3, &pin(Hook::Tcx { l3 })),
        Way::Clsact { l3 } => {
            let marker = programs.pins.link(&pin(Hook::Clsact { l3 }));
            // Said before it is done, so that a killed process leaves no qdisc that nobody would remove.
            if fs::symlink_metadata(&marker).is_err() {
                let whose = if clsact::qdisc(interface.index)? {
                    QDISC_FOUND
                } else {
                    QDISC_OURS
                };
                std::os::unix::fs::symlink(whose, &marker).map_err(|error| Refused::by(&error))?;
            }
            let mut program = programs.tc(l3)?;
            clsact::attach(&mut program, &interface.name).map_err(Refused::saying)
        }
    }
}

/// Where the symbolic link of a clsact hook leads: the qdisc goes with our filter.
const QDISC_OURS: &str = "qdisc-ours";
/// The qdisc was there before.
const QDISC_FOUND: &str = "qdisc-found";

fn xdp(programs: Programs<'_>, index: u32, name: &str, mode: AyaMode, pin: &LinkPin) -> Result<(), Refused> {
    let refused = |error: aya::programs::ProgramError| Refused::by(&error);
    let mut program = programs.xdp(name)?;
    let id = program.attach_to_if_index(index, mode).map_err(refused)?;
    let link = program.take_link(id).map_err(refused)?;
    let link = FdLink::try_from(link).map_err(|error| Refused::by(&error))?;
    pin_link(link, &programs.pins.link(pin))
}

fn tcx(programs: Programs<'_>, interface: &str, l3: bool, pin: &LinkPin) -> Result<(), Refused> {
    let refused = |error: aya::programs::ProgramError| Refused::by(&error);
    let mut program = programs.tc(l3)?;
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(interface, TcAttachType::Ingress, first)
        .map_err(refused)?;
    let link = program.take_link(id).map_err(refused)?;
    let link = FdLink::try_from(link).map_err(|error| Refused::by(&error))?;
    pin_link(link, &programs.pins.link(pin))
}

/// Until this is done the link dies with the process, after it with the pin.
fn pin_link(link: FdLink, path: &Path) -> Result<(), Refused> {
    link.pin(path).map(drop).map_err(|error| Refused::by(&error))
}

/// Something of ours in the links folder, and what hangs there in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hanging {
    /// Its pin.
    pub(super) pin: LinkPin,
    /// The interface's present name; empty when it is gone.
    pub(super) interface: String,
    /// The interface's index; 0 when it is gone.
    pub(super) index: u32,
    /// Program id; 0 when nothing hangs there (any more).
    pub(super) program: u32,
    /// Where it runs; `None` when it is gone, or in another network namespace.
    pub(super) mode: Option<AttachMode>,
    filter: Option<clsact::Filter>,
}

impl Hanging {
    /// Whether packets meet a program there.
    pub(super) const fn alive(&self) -> bool {
        self.index != 0 && self.program != 0
    }
}

/// Everything in the links folder. `ours` are the ids of all our generations' programs: filters have no pin that tells.
pub(super) fn hanging(pins: &Pins, ours: &HashSet<u32>) -> Result<Vec<Hanging>, Error> {
    let pinned = pins.links()?;
    if pinned.is_empty() {
        return Ok(Vec::new());
    }
    let interfaces = interfaces().map_err(Error::netlink("list the interfaces"))?;
    let mut found = Vec::new();
    for pin in pinned {
        let mut hanging = Hanging {
            pin,
            interface: String::new(),
            index: 0,
            program: 0,
            mode: None,
            filter: None,
        };
        match hanging.pin.hook {
            Hook::Xdp | Hook::Tcx { .. } => {
                let path = pins.link(&hanging.pin);
                let link = Link::open(&path).map_err(pin_error(&path, "open this link"))?;
                hanging.program = link.program;
                hanging.index = link.interface;
                hanging.mode = mode_of(&hanging, &interfaces);
            }
            Hook::Clsact { .. } => {
                if let Some((index, filter)) = find_filter(&hanging.pin, &interfaces, ours)? {
                    hanging.index = index;
                    hanging.filter = filter;
                    hanging.program = filter.map_or(0, |filter| filter.program);
                    hanging.mode = filter.map(|_| AttachMode::Tc);
                }
            }
        }
        if let Some(interface) = interfaces.iter().find(|interface| interface.index == hanging.index) {
            hanging.interface.clone_from(&interface.name);
        }
        found.push(hanging);
    }
    Ok(found)
}

/// The interface of a clsact pin, and our filter there: the one of that name, or one that has our filter under a new name.
fn find_filter(
    pin: &LinkPin,
    interfaces: &[Interface],
    ours: &HashSet<u32>,
) -> Result<Option<(u32, Option<clsact::Filter>)>, Error> {
    let (named, others): (Vec<_>, Vec<_>) = interfaces.iter().partition(|interface| interface.name == pin.interface);
    for interface in named.iter().chain(&others) {
        let filter = clsact::filters(interface.index)?
            .into_iter()
            .find(|filter| ours.contains(&filter.program));
        if filter.is_some() || interface.name == pin.interface {
            return Ok(Some((interface.index, filter)));
        }
    }
    Ok(None)
}

fn mode_of(hanging: &Hanging, interfaces: &[Interface]) -> Option<AttachMode> {
    let interface = interfaces.iter().find(|interface| interface.index == hanging.index)?;
    if hanging.pin.hook != Hook::Xdp {
        return Some(AttachMode::Tc);
    }
    let xdp = interface.xdp.iter().find(|xdp| xdp.program == hanging.program)?;
    Some(if xdp.mode == XdpMode::Generic {
        AttachMode::Generic
    } else {
        AttachMode::Native
    })
}

/// Has a generation's program take the place of the one that hangs there. The pin follows an interface that was
/// renamed.
pub(super) fn replace(programs: Programs<'_>, kernel: Kernel, hanging: &Hanging) -> Result<(), Error> {
    let path = programs.pins.link(&hanging.pin);
    replace_in(&path, programs, kernel, hanging).map_err(|reason| Error::Replace {
        link: path.clone(),
        reason,
    })?;
    if !hanging.interface.is_empty() && hanging.interface != hanging.pin.interface {
        let renamed = LinkPin {
            interface: hanging.interface.clone(),
            hook: hanging.pin.hook,
        };
        fs::rename(&path, programs.pins.link(&renamed)).map_err(pin_error(&path, "rename it after its interface"))?;
    }
    Ok(())
}

fn replace_in(path: &Path, programs: Programs<'_>, kernel: Kernel, hanging: &Hanging) -> Result<(), String> {
    match hanging.pin.hook {
        Hook::Xdp => {
            // The plain one first; a driver refuses it where its MTU needs the other.
            let plain = replace_xdp(path, programs, names::XDP);
            match plain {
                Err(plain) if kernel.frags => {
                    replace_xdp(path, programs, names::XDP_FRAGS).map_err(|frags| format!("{plain}; {frags}"))
                }
                other => other,
            }
        }
        Hook::Tcx { l3 } => {
            let mut program = programs.tc(l3).map_err(|error| error.to_string())?;
            let link = PinnedLink::from_pin(path).map_err(|error| because(&error))?;
            let link = SchedClassifierLink::try_from(FdLink::from(link)).map_err(|error| because(&error))?;
            program.attach_to_link(link).map(drop).map_err(|error| because(&error))
        }
        Hook::Clsact { l3 } => {
            let Some(filter) = hanging.filter else {
                return Err("its filter is gone".to_owned());
            };
            let mut program = programs.tc(l3).map_err(|error| error.to_string())?;
            clsact::replace(&mut program, &hanging.interface, filter)
        }
    }
}

fn replace_xdp(path: &Path, programs: Programs<'_>, name: &str) -> Result<(), String> {
    let mut program = programs.xdp(name).map_err(|error| error.to_string())?;
    let link = PinnedLink::from_pin(path).map_err(|error| because(&error))?;
    let link = XdpLink::try_from(FdLink::from(link)).map_err(|error| because(&error))?;
    program.attach_to_link(link).map(drop).map_err(|error| because(&error))
}

/// Takes the gate off an interface, and with it whatever of ours was made for it.
pub(super) fn detach(pins: &Pins, hanging: &Hanging) -> Result<(), Error> {
    let path = pins.link(&hanging.pin);
    if let Hook::Clsact { .. } = hanging.pin.hook {
        if let Some(filter) = hanging.filter {
            clsact::detach(&hanging.interface, filter).map_err(|reason| Error::Detach {
                link: path.clone(),
                reason,
            })?;
        }
        if hanging.index != 0 && fs::read_link(&path).is_ok_and(|whose| whose == Path::new(QDISC_OURS)) {
            clsact::remove_empty_qdisc(hanging.index)?;
        }
    } else {
        let link = Link::open(&path).map_err(pin_error(&path, "open this link"))?;
        link.detach().map_err(|error| Error::Detach {
            link: path.clone(),
            reason: because(&error),
        })?;
    }
    remove(&path)
}

/// A program of somebody else, for people: its id, and its name where this process may ask for it.
pub fn whose(id: u32) -> String {
    let name = loaded_programs()
        .flatten()
        .find(|info| info.id() == id)
        .and_then(|info| info.name_as_str().map(str::to_owned));
    name.map_or_else(|| format!("program {id}"), |name| format!("program {id} ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Kernel = Kernel {
        frags: false,
        tcx: false,
        tunnels: false,
    };
    const NEW: Kernel = Kernel {
        frags: true,
        tcx: true,
        tunnels: true,
    };

    fn interface(layer: Layer) -> Interface {
        Interface {
            index: 2,
            name: "eth0".to_owned(),
            kind: None,
            layer,
            mtu: 1500,
            state: "up".to_owned(),
            xdp: Vec::new(),
        }
    }

    #[test]
    fn dataplane_attach_tries_the_best_first() {
        use Way::{Clsact, Generic, Native, NativeFrags, Tcx};
        for (name, layer, kernel, free, expected) in [
            (
                "new",
                Layer::Ethernet,
                NEW,
                true,
                vec![Native, NativeFrags, Generic, Tcx { l3: false }, Clsact { l3: false }],
            ),
            (
                "old",
                Layer::Ethernet,
                OLD,
                true,
                vec![Native, Generic, Clsact { l3: false }],
            ),
            (
                "taken",
                Layer::Ethernet,
                NEW,
                false,
                vec![Tcx { l3: false }, Clsact { l3: false }],
            ),
            ("tun", Layer::Ip, NEW, true, vec![Tcx { l3: true }, Clsact { l3: true }]),
            (
                "sit",
                Layer::Tunnel,
                NEW,
                true,
                vec![Tcx { l3: true }, Clsact { l3: true }],
            ),
            ("tun on old", Layer::Ip, OLD, true, vec![Clsact { l3: true }]),
        ] {
            assert_eq!(ways(&interface(layer), kernel, free).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn dataplane_attach_explains_what_it_refuses() {
        for (layer, word) in [(Layer::Loopback, "loopback"), (Layer::Other(32), "ARPHRD")] {
            let error = ways(&interface(layer), NEW, true).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("eth0"), "{error}");
        }
        let error = ways(&interface(Layer::Tunnel), OLD, true).unwrap_err().to_string();
        assert!(error.contains("5.14") && error.contains("eth0"), "{error}");
    }
}
