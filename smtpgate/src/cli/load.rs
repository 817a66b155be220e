//! `smtpgate load`, `reload` and `unload`: the gate without, within, and after the daemon.

use super::{
    Global, Output,
    ask::ask,
    ban::with_notes,
    confirm::{Within, leave_guard},
};
use crate::{
    config::{Config, Paths},
    daemon::{
        client,
        engine::{self, Engine},
        failure::Failure,
        overrides::Overrides,
        protocol::{Asked, Request},
        report::{Applied, Unloaded},
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct LoadArgs {
    /// Interface to guard; may be given again [default: the configuration's, or all with a default route]
    #[arg(long = "interface", value_name = "IF")]
    interfaces: Vec<String>,
    /// Count what would be refused, and let it pass
    #[arg(long)]
    observe: bool,
    #[command(flatten)]
    within: Within,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    within: Within,
}

pub(super) fn reload(global: &Global, output: &Output, args: &ReloadArgs) -> Result<(), Failure> {
    // A wrong file is refused here with all that is wrong in it, before the daemon is asked.
    Config::load(global.config.as_deref()).map_err(Failure::usage)?;
    let asked = Asked {
        request: Request::Reload,
        confirm: args.within.seconds(),
    };
    let applied: Applied = ask(global, asked)?;
    output.document(&applied, text);
    Ok(())
}

pub(super) fn load(global: &Global, output: &Output, args: &LoadArgs) -> Result<(), Failure> {
    let config = Config::load(global.config.as_deref()).map_err(Failure::usage)?;
    let overrides = Overrides {
        interfaces: args.interfaces.clone(),
        observe: args.observe,
    };
    let applied = Engine::open(config, overrides, global.config.clone())?.load(args.within.time())?;
    if args.within.time().is_some() {
        leave_guard(global);
    }
    output.document(&applied, text);
    Ok(())
}

/// Works without configuration, daemon and ledger: what must be undone is found by its pins.
pub(super) fn unload(global: &Global, output: &Output) -> Result<(), Failure> {
    let paths = Paths::peek(global.config.as_deref());
    let unloaded: Unloaded = match client::ask(&paths.run, &Request::Unload.into()) {
        Ok(Some(answer)) => serde_json::from_value(answer).map_err(Failure::failed)?,
        // A daemon that cannot answer is no reason to leave the gate up.
        Ok(None) | Err(_) => engine::unload(&paths)?,
    };
    output.document(&unloaded, |unloaded| {
        if unloaded.removed.is_empty() {
            return "nothing was loaded\n".to_owned();
        }
        let mut text = "the gate is down\n".to_owned();
        for removed in &unloaded.removed {
            text.push_str(&format!("  removed {removed}\n"));
        }
        text
    });
    Ok(())
}

fn text(applied: &Applied) -> String {
    let how = match applied.how.as_str() {
        "live" => format!("changed in place by {} map operations", applied.operations),
        "generation" => "put in place as a whole".to_owned(),
        "unchanged" => "nothing changed".to_owned(),
        _ => "stored; the gate is not loaded".to_owned(),
    };
    with_notes(
        format!("{how}; {} prefixes in force\n", applied.prefixes),
        &applied.notes,
    )
}
