//! Which capabilities the gate needs on this kernel. What the daemon keeps must suffice; and each of it is tried to be done
//! without, for `docs/hardening.md`.

use anyhow::{Context as _, Result};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use smtpgate::dataplane::{Dataplane, Kernel, cut, prepare, unload};
use smtpgate::policy::compile;
use smtpgate_common::ban::LAST;

use crate::gated::{ALLOWED, BpfFs, Pair, banning, image, intent};

/// As in `smtpgate::daemon::sandbox`, but for the one that is for reading logs.
const KEPT: [(&str, CapabilitySet); 3] = [
    ("BPF", CapabilitySet::BPF),
    ("PERFMON", CapabilitySet::PERFMON),
    ("NET_ADMIN", CapabilitySet::NET_ADMIN),
];

/// What came of each.
pub(super) fn tried() -> Result<String> {
    let all = KEPT.iter().fold(CapabilitySet::empty(), |all, (_, one)| all | *one);
    works_with(all).context("with BPF, PERFMON and NET_ADMIN")?;
    let mut said = vec!["BPF, PERFMON and NET_ADMIN suffice".to_owned()];
    for (name, one) in KEPT {
        said.push(match works_with(all.difference(one)) {
            Ok(()) => format!("{name} is not missed"),
            Err(error) => format!("without {name}: {error:#}"),
        });
    }
    Ok(said.join("\n"))
}

/// All that the daemon does to the kernel: put up, attached, changed in place, put up anew, connections cut, taken down.
fn works_with(kept: CapabilitySet) -> Result<()> {
    let pair = Pair::new()?;
    // A thread of its own, whose mounts go with it.
    let worked = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let bpffs = BpfFs::mount()?;
            let pins = bpffs.pins();
            prepare(&pins);
            pair.host.run(|| {
                set_capabilities(
                    None,
                    CapabilitySets {
                        effective: kept,
                        permitted: kept,
                        inheritable: CapabilitySet::empty(),
                    },
                )?;
                let kernel = Kernel::probe()?;
                let mut image = image(&intent())?;
                let mut plane = Dataplane::install(&pins, kernel, &image).context("put up")?;
                plane.attach("eth0").context("attach")?;
                let banning = compile(&banning(ALLOWED, LAST)?);
                for op in image.plan(&banning)? {
                    plane.live_mut().apply(&op).context("change in place")?;
                }
                plane.counts_of(1).context("read the counters")?;
                Dataplane::install(&pins, kernel, &image).context("put up anew")?;
                cut(|_| true, |_| true).context("cut connections")?;
                unload(&pins).context("take down")?;
                Ok(())
            })
        });
        work.join()
    });
    worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
