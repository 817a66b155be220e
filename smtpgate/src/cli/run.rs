//! `smtpgate run`: the daemon in the foreground.

use std::io::{self, Write as _};

use super::{
    Global, Output,
    confirm::Within,
    log::{self, Level},
};
use crate::daemon::{
    confirm::at_start,
    engine::Engine,
    failure::Failure,
    overrides::Overrides,
    report::{Applied, Refusal},
    service::{self, Audience, End},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Interface to guard; may be given again [default: the configuration's, or all with a default route]
    #[arg(long = "interface", value_name = "IF")]
    interfaces: Vec<String>,
    /// Count what would be refused, and let it pass
    #[arg(long)]
    observe: bool,
    /// Take the gate down at the end, and print what is refused meanwhile
    #[arg(long)]
    ephemeral: bool,
    /// How much is logged: to the journal under systemd, else to standard error [default: $RUST_LOG, or info]
    #[arg(long, value_enum, value_name = "LEVEL")]
    log: Option<Level>,
    #[command(flatten)]
    within: Within,
}

pub(super) fn run(global: &Global, args: Args) -> Result<(), Failure> {
    log::begin(args.log);
    let given = Overrides {
        interfaces: args.interfaces,
        observe: args.observe,
    };
    let (config, overrides) = at_start(global.config.as_deref(), given)?;
    let mut teller = Teller {
        output: Output::new(global.json),
        refusals: args.ephemeral,
    };
    let engine = Engine::open(config, overrides, global.config.clone())?;
    match service::run(engine, args.ephemeral, args.within.time(), &mut teller)? {
        End::GateDown => tracing::info!("ended; the gate is down"),
        End::GateStays => {
            tracing::info!("ended; the gate stays up and goes on refusing. `smtpgate unload` takes it down");
        }
    }
    Ok(())
}

/// Prints `ready`, and what is refused.
struct Teller {
    output: Output,
    refusals: bool,
}

impl Audience for Teller {
    fn ready(&mut self, applied: &Applied) {
        for note in &applied.notes {
            tracing::warn!("{note}");
        }
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "ready");
        let _ = stdout.flush();
    }

    fn refused(&mut self, refusal: &Refusal) {
        if !self.refusals {
            return;
        }
        self.output.line(refusal, super::watch::refusal);
    }
}
