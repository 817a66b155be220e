//! `smtpgate check`: the configuration and every source, nothing loaded.

use super::{Global, Output, ban::with_notes, output::table, status::ports};
use crate::{
    config::Config,
    daemon::{engine, failure::Failure, report::Checked},
};

pub(super) fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let config = Config::load(global.config.as_deref()).map_err(Failure::usage)?;
    let checked = engine::check(&config)?;
    output.document(&checked, text);
    Ok(())
}

fn text(checked: &Checked) -> String {
    let mut text = String::from("The configuration and all of its sources are good.\n\nGates\n");
    text.push_str(&table(
        &checked
            .gates
            .iter()
            .map(|gate| {
                vec![
                    gate.name.clone(),
                    ports(&gate.ports),
                    gate.mode.clone(),
                    gate.allow.join(" "),
                ]
            })
            .collect::<Vec<_>>(),
    ));
    text.push_str("\nSources\n");
    text.push_str(&table(
        &checked
            .sources
            .iter()
            .map(|source| {
                vec![
                    source.list.clone(),
                    source.spec.clone(),
                    format!("{} prefixes", source.prefixes),
                    source.origin.clone(),
                    source.date.clone().unwrap_or_default(),
                ]
            })
            .collect::<Vec<_>>(),
    ));
    let needs = checked.needs;
    text.push_str(&format!(
        "\nNeeds {} IPv4 prefixes, {} IPv6 prefixes and {} single addresses in the kernel.\n",
        needs.prefixes4, needs.prefixes6, needs.singles
    ));
    with_notes(text, &checked.notes)
}
