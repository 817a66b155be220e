//! `smtpgate export`: what is in force, for other tools. Nobody is locked in.

use jiff::Timestamp;

use super::{Global, Output, ask::ask};
use crate::{
    daemon::{failure::Failure, protocol::Request},
    moving::{Leaving, Writing, export},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How it is written
    #[arg(long, value_enum, required_unless_present = "json")]
    format: Option<Writing>,
    /// What of it; may be given again [default: all; for cidr, one has to be said]
    #[arg(long, value_enum, value_name = "WHAT")]
    what: Vec<What>,
    /// Whom this gate allows [default: every gate]
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Who is banned, with the end
    Ban,
    /// Who is in `block`
    Block,
    /// Whom the gates allow, exceptions included
    Allow,
    /// Who is in `trust`
    Trust,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let mut leaving: Leaving = ask(global, Request::Export)?;
    if let Some(only) = &args.gate {
        if leaving.gates.iter().all(|(name, ..)| name != only) {
            return Err(Failure::no_gate(
                only,
                leaving.gates.iter().map(|(name, ..)| name.as_str()),
            ));
        }
        leaving.gates.retain(|(name, ..)| name == only);
    }
    let has = |what: What| args.what.is_empty() || args.what.contains(&what);
    if !has(What::Ban) {
        leaving.bans.clear();
    }
    if !has(What::Block) {
        leaving.block.clear();
    }
    if !has(What::Allow) {
        leaving.gates.iter_mut().for_each(|(_, _, allow)| allow.clear());
    }
    if !has(What::Trust) {
        leaving.trust.clear();
    }
    let Some(format) = args.format else {
        output.document(&leaving, |_| String::new());
        return Ok(());
    };
    if format == Writing::Cidr && args.what.len() != 1 {
        return Err(Failure::Usage(
            "--format cidr is one list, which says of nobody whether he is let in: say which by --what ban, block, allow \
             or trust"
                .to_owned(),
        ));
    }
    if matches!(format, Writing::Cidr | Writing::PostfixCidr) {
        one_list(&mut leaving)?;
    }
    let text = export(&leaving, format, has(What::Allow), Timestamp::now());
    output.document(&leaving, |_| text);
    Ok(())
}

/// Neither a list nor a table of Postfix knows ports: what the gates allow goes into it only if it is the same for all.
fn one_list(leaving: &mut Leaving) -> Result<(), Failure> {
    let mut lists = leaving.gates.iter().map(|(_, _, allow)| allow);
    let first = lists.next();
    if lists.any(|allow| Some(allow) != first) {
        let names: Vec<&str> = leaving.gates.iter().map(|(name, ..)| name.as_str()).collect();
        return Err(Failure::Usage(format!(
            "the gates allow different sources: say which by --gate {}",
            names.join(" or --gate ")
        )));
    }
    let ports = leaving
        .gates
        .iter()
        .flat_map(|(_, ports, _)| ports.iter().copied())
        .collect();
    leaving.gates.truncate(1);
    if let Some((_, at, _)) = leaving.gates.first_mut() {
        *at = ports;
    }
    Ok(())
}
