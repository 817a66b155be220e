//! `cargo xtask verify-ebpf`: the committed object is what the source gives.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{bpf_object, ebpf};

pub(crate) fn run() -> Result<()> {
    let path = ebpf::committed();
    let committed = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let built = ebpf::build()?;
    print!("{}", bpf_object::summary(&built)?);
    if committed == built {
        println!("{} is, byte for byte, what the source gives", path.display());
        return Ok(());
    }
    let (old, new) = (bpf_object::parts(&committed)?, bpf_object::parts(&built)?);
    for part in &old {
        match new.iter().find(|other| other.name == part.name) {
            None => println!("only committed: {} {}", part.name, part.told),
            Some(other) if other != part => {
                println!("differs: {}: committed {}, built {}", part.name, part.told, other.told)
            }
            Some(_) => {}
        }
    }
    for part in new
        .iter()
        .filter(|part| old.iter().all(|other| other.name != part.name))
    {
        println!("only built: {} {}", part.name, part.told);
    }
    bail!(
        "{} (sha256 {}) is not what the source gives: run `cargo xtask ebpf` and commit the object",
        path.display(),
        bpf_object::sha256(&committed)
    )
}
