//! `smtpgate allow` and `disallow`: exceptions beside the configuration, kept in the ledger.

use ipnet::IpNet;

use super::{Global, Output, ask::ask, ban::with_notes, confirm::Within, output::prefix};
use crate::{
    daemon::{
        failure::Failure,
        protocol::{Asked, Request},
        report::Applied,
    },
    sources::net,
};

#[derive(Debug, clap::Args)]
pub(super) struct AllowArgs {
    /// Who is let in; a ban still refuses them
    #[arg(value_name = "ADDR|PREFIX", value_parser = net::parse)]
    prefix: IpNet,
    /// Only at this gate [default: every gate]
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
    /// Why, as `list` will show it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    within: Within,
}

#[derive(Debug, clap::Args)]
pub(super) struct DisallowArgs {
    /// As `allow` was given it
    #[arg(value_name = "ADDR|PREFIX", value_parser = net::parse)]
    prefix: IpNet,
    /// As `allow` was given it
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
    #[command(flatten)]
    within: Within,
}

pub(super) fn allow(global: &Global, output: &Output, args: AllowArgs) -> Result<(), Failure> {
    let shown = prefix(&args.prefix);
    let applied: Applied = ask(
        global,
        Asked {
            request: Request::Allow {
                prefix: args.prefix,
                gate: args.gate,
                note: args.note,
            },
            confirm: args.within.seconds(),
        },
    )?;
    output.document(&applied, |applied| {
        with_notes(format!("allowed {shown}{}\n", stored(applied)), &applied.notes)
    });
    Ok(())
}

pub(super) fn disallow(global: &Global, output: &Output, args: DisallowArgs) -> Result<(), Failure> {
    let shown = prefix(&args.prefix);
    let applied: Applied = ask(
        global,
        Asked {
            request: Request::Disallow {
                prefix: args.prefix,
                gate: args.gate,
            },
            confirm: args.within.seconds(),
        },
    )?;
    output.document(&applied, |applied| {
        with_notes(
            format!("no longer an exception: {shown}{}\n", stored(applied)),
            &applied.notes,
        )
    });
    Ok(())
}

fn stored(applied: &Applied) -> &'static str {
    if applied.how == "stored" {
        " (the gate is not loaded: it counts from the next load on)"
    } else {
        ""
    }
}
