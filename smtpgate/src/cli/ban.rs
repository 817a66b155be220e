//! `smtpgate ban` and `unban`: the operator's own bans.

use std::{io::BufRead as _, time::Duration};

use ipnet::IpNet;

use super::{
    Global, Output,
    ask::ask,
    confirm::Within,
    output::{prefix, when},
};
use crate::{
    config::duration,
    daemon::{
        failure::Failure,
        protocol::{Asked, Request},
        report::{Banned, Unbanned},
    },
    sources::net,
};

#[derive(Debug, clap::Args)]
pub(super) struct BanArgs {
    /// Addresses and prefixes; `-` reads them from standard input, one a line
    #[arg(value_name = "ADDR|PREFIX", required = true)]
    prefixes: Vec<String>,
    /// How long, such as 10m, 12h, 10d [default: until `unban`]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    length: Option<Duration>,
    /// Why, as `list` and `explain` will show it
    #[arg(long, value_name = "TEXT", default_value = "banned by the operator")]
    reason: String,
    #[command(flatten)]
    within: Within,
}

#[derive(Debug, clap::Args)]
pub(super) struct UnbanArgs {
    /// Addresses and prefixes, as `list` shows them; `-` reads them from standard input, one a line
    #[arg(value_name = "ADDR|PREFIX", required_unless_present = "all")]
    prefixes: Vec<String>,
    /// Lift every ban
    #[arg(long, conflicts_with = "prefixes")]
    all: bool,
    /// One that is not banned is no error: for programs that lift bans which may have ended by themselves
    #[arg(long)]
    missing_ok: bool,
}

/// Prefixes in one request: what keeps it below the protocol's size limit, at 50 bytes each.
const A_REQUEST: usize = 50_000;

pub(super) fn ban(global: &Global, output: &Output, args: BanArgs) -> Result<(), Failure> {
    let mut all: Option<Banned> = None;
    let prefixes = read(args.prefixes)?;
    let confirm = args.within.seconds();
    if confirm.is_some() && prefixes.len() > A_REQUEST {
        return Err(Failure::Usage(format!(
            "--confirm: not more than {A_REQUEST} addresses and prefixes at once; nothing was changed"
        )));
    }
    for some in prefixes.chunks(A_REQUEST) {
        let request = Request::Ban {
            prefixes: some.to_vec(),
            seconds: args.length.map(|length| length.as_secs()),
            reason: args.reason.clone(),
        };
        let banned: Banned = ask(global, Asked { request, confirm })?;
        match &mut all {
            None => all = Some(banned),
            Some(all) => {
                all.banned.extend(banned.banned);
                all.cut += banned.cut;
                all.notes.extend(banned.notes);
            }
        }
    }
    let Some(banned) = all else {
        return Err(Failure::Usage("nothing to ban was given".to_owned()));
    };
    output.document(&banned, |banned| {
        let until = banned.until.map_or_else(
            || "until `smtpgate unban`".to_owned(),
            |end| format!("until {}", when(end)),
        );
        let mut text = match banned.banned.as_slice() {
            [one] => format!("banned {} {until}\n", prefix(one)),
            many => format!("banned {} addresses and prefixes {until}\n", many.len()),
        };
        if banned.cut > 0 {
            text.push_str(&format!("cut {} open connection(s)\n", banned.cut));
        }
        if !banned.in_kernel {
            text.push_str("the gate is not loaded: they will be refused once it is (`smtpgate run` or `load`)\n");
        }
        with_notes(text, &banned.notes)
    });
    Ok(())
}

pub(super) fn unban(global: &Global, output: &Output, args: UnbanArgs) -> Result<(), Failure> {
    let requests = if args.all {
        vec![Request::Unban {
            prefixes: Vec::new(),
            all: true,
            missing_ok: args.missing_ok,
        }]
    } else {
        read(args.prefixes)?
            .chunks(A_REQUEST)
            .map(|some| Request::Unban {
                prefixes: some.to_vec(),
                all: false,
                missing_ok: args.missing_ok,
            })
            .collect()
    };
    let mut all = Unbanned {
        unbanned: Vec::new(),
        notes: Vec::new(),
    };
    for request in requests {
        let unbanned: Unbanned = ask(global, request)?;
        all.unbanned.extend(unbanned.unbanned);
        all.notes.extend(unbanned.notes);
    }
    output.document(&all, |all| {
        let text = match all.unbanned.as_slice() {
            [] => "nothing was banned\n".to_owned(),
            [one] => format!("no longer banned: {}\n", prefix(one)),
            many => format!("no longer banned: {} addresses and prefixes\n", many.len()),
        };
        with_notes(text, &all.notes)
    });
    Ok(())
}

pub(super) fn with_notes(mut text: String, notes: &[String]) -> String {
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}

/// All of them or none: a wrong one is named, and nothing is sent.
fn read(words: Vec<String>) -> Result<Vec<IpNet>, Failure> {
    let wrong = |place: String, error: net::BadNet| Failure::Usage(format!("{place}{error}; nothing was changed"));
    let mut prefixes = Vec::new();
    for word in words {
        if word != "-" {
            prefixes.push(net::parse(&word).map_err(|error| wrong(String::new(), error))?);
            continue;
        }
        for (number, line) in std::io::stdin().lock().lines().enumerate() {
            let line =
                line.map_err(|error| Failure::Failed(format!("standard input: {error}; nothing was changed")))?;
            let entry = line.split('#').next().unwrap_or_default().trim();
            if !entry.is_empty() {
                let place = format!("standard input, line {}: ", number + 1);
                prefixes.push(net::parse(entry).map_err(|error| wrong(place, error))?);
            }
        }
    }
    Ok(prefixes)
}
