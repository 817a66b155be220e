//! Puts the test policy into the kernel over and over, until it is killed: `dataplane-install PINS`. What the test of
//! dying installers kills.

use anyhow::{Context as _, Result};
use smtpgate::dataplane::{Dataplane, Kernel};
use smtpgate_tests::gated::{image, intent};

fn main() -> Result<()> {
    let pins = std::env::args_os().nth(1).context("usage: dataplane-install PINS")?;
    let (kernel, image) = (Kernel::probe()?, image(&intent())?);
    loop {
        Dataplane::install(pins.as_ref(), kernel, &image)?.attach("eth0")?;
    }
}
