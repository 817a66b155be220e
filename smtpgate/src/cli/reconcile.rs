//! `smtpgate reconcile`: the kernel's maps against the policy, now instead of within a minute.

use super::{Global, Output, ask::ask};
use crate::daemon::{failure::Failure, protocol::Request, report::Reconciled};

pub(super) fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let reconciled: Reconciled = ask(global, Request::Reconcile)?;
    output.document(&reconciled, text);
    Ok(())
}

fn text(reconciled: &Reconciled) -> String {
    if !reconciled.compared {
        return "no daemon runs that would know the maps place by place: they were made anew from the policy\n"
            .to_owned();
    }
    if reconciled.differences == 0 {
        return "the kernel's maps are as the policy has them\n".to_owned();
    }
    let mut text = format!(
        "{} place(s) in the kernel's maps were not as the policy has them, and are put right:\n",
        reconciled.differences
    );
    for place in &reconciled.places {
        text.push_str(&format!("  {place}\n"));
    }
    let more = reconciled.differences.saturating_sub(reconciled.places.len() as u64);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    text.push_str("nothing but smtpgate should write there: who else is root on this host?\n");
    text
}
