//! `smtpgate import`: what other tools let in and refuse, taken over into the ledger.
//!
//! Whom they let in is allowed, as by `allow`; whom they refuse is banned, as by `ban`, with the end that they give. All of it
//! is said line by line, none of it touches the configuration, and `import --undo` takes it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Global, Output,
    ask::ask,
    ban::with_notes,
    confirm::Within,
    output::{prefix, table, when},
};
use crate::{
    daemon::{
        failure::Failure,
        protocol::{Admission, Asked, Part, Refused, Request},
        report::{Imported, Status, Withdrawn},
    },
    moving::{File, Format, Found, Gate, Options, Purpose, What, read},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// hosts.allow, hosts.deny, iptables-save, ip6tables-save, ipset save, nft list ruleset, fail2ban.sqlite3, a cidr table
    /// of Postfix, or a list of prefixes; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What the files are [default: found out by what is in them]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What lists and sets are for that do not say it themselves
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    purpose: Option<Purpose>,
    /// Allow at this gate only [default: at every gate whose ports a rule is for]
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
    /// Take this jail of fail2ban; may be given again [default: those that guard mail, by their names]
    #[arg(long = "jail", value_name = "JAIL")]
    jails: Vec<String>,
    /// Only say what would be taken and what would be left
    #[arg(long)]
    dry_run: bool,
    /// Take back what was imported from these files; they need not be there any more
    #[arg(long, conflicts_with_all = ["format", "purpose", "gate", "jails", "dry_run", "confirm"])]
    undo: bool,
    #[command(flatten)]
    within: Within,
}

/// Larger files are not read: nothing that a gate could hold is as large.
const LARGEST: u64 = 256 << 20;
/// Prefixes in one request: what keeps it below the protocol's size limit.
const A_REQUEST: usize = 40_000;

/// The document.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    files: Vec<FileRead>,
    allowed: Vec<Allowed>,
    banned: Vec<Banned>,
    left: Vec<Left>,
    in_kernel: bool,
    cut: u64,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FileRead {
    path: PathBuf,
    format: String,
    lines: usize,
}

#[derive(Debug, Serialize)]
struct Allowed {
    prefix: IpNet,
    gate: Option<String>,
    file: usize,
    line: usize,
}

#[derive(Debug, Serialize)]
struct Banned {
    prefix: IpNet,
    until: Option<Timestamp>,
    file: usize,
    line: usize,
}

#[derive(Debug, Serialize)]
struct Left {
    file: usize,
    line: usize,
    text: String,
    why: String,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    if args.undo {
        return undo(global, output, args);
    }
    let files: Vec<File> = args.files.iter().map(|path| open(path)).collect::<Result<_, _>>()?;
    let status: Status = ask(global, Request::Status)?;
    let gates: Vec<Gate> = status
        .gates
        .into_iter()
        .map(|gate| Gate {
            name: gate.name,
            ports: gate.ports,
        })
        .collect();
    if let Some(gate) = &args.gate
        && gates.iter().all(|known| known.name != *gate)
    {
        return Err(Failure::no_gate(gate, gates.iter().map(|known| known.name.as_str())));
    }
    let options = Options {
        format: args.format,
        purpose: args.purpose,
        gate: args.gate.clone(),
        jails: args.jails.clone(),
        now: Timestamp::now(),
    };
    let found = read(&files, &options, &gates).map_err(|why| Failure::Failed(format!("{why}; nothing was changed")))?;
    let report = taken_over(global, args, found)?;
    output.document(&report, text);
    Ok(())
}

fn open(path: &Path) -> Result<File, Failure> {
    let fail = |error: String| Failure::Failed(format!("{}: {error}; nothing was changed", path.display()));
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(|error| fail(error.to_string()))?;
        return Ok(File {
            path: path.to_owned(),
            bytes,
            changed: Timestamp::now(),
        });
    }
    let absolute = std::path::absolute(path).map_err(|error| fail(error.to_string()))?;
    let metadata = fs::metadata(&absolute).map_err(|error| fail(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(fail(format!("is no regular file of up to {} MiB", LARGEST >> 20)));
    }
    let changed = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    Ok(File {
        bytes: fs::read(&absolute).map_err(|error| fail(error.to_string()))?,
        path: absolute,
        changed: changed.unwrap_or_else(Timestamp::now),
    })
}

/// Has it taken over, and says what became of it.
fn taken_over(global: &Global, args: &Args, found: Found) -> Result<Report, Failure> {
    let mut report = Report {
        dry_run: args.dry_run,
        files: found
            .files
            .into_iter()
            .map(|(path, format, lines)| FileRead {
                path,
                format: format.map(|format| format.to_string()).unwrap_or_default(),
                lines,
            })
            .collect(),
        allowed: Vec::new(),
        banned: Vec::new(),
        left: found
            .left
            .into_iter()
            .map(|left| Left {
                file: left.place.file,
                line: left.place.line,
                text: left.text,
                why: left.why,
            })
            .collect(),
        in_kernel: true,
        cut: 0,
        notes: Vec::new(),
    };
    let confirm = args.within.seconds();
    if confirm.is_some() && found.taken.len() > A_REQUEST {
        return Err(Failure::Usage(format!(
            "--confirm: not more than {A_REQUEST} prefixes at once; nothing was changed"
        )));
    }
    for some in found.taken.chunks(A_REQUEST) {
        let mut parts: Vec<Part> = report
            .files
            .iter()
            .map(|file| Part {
                from: file.path.display().to_string(),
                allow: Vec::new(),
                ban: Vec::new(),
            })
            .collect();
        for taken in some {
            let Some(part) = parts.get_mut(taken.place.file) else {
                continue;
            };
            match &taken.what {
                What::Allow { gate } => part.allow.push(Admission {
                    prefix: taken.prefix,
                    gate: gate.clone(),
                }),
                What::Ban { until } => part.ban.push(Refused {
                    prefix: taken.prefix,
                    until: *until,
                }),
            }
        }
        let request = Request::Import {
            parts,
            dry_run: args.dry_run,
        };
        let imported: Imported = ask(global, Asked { request, confirm })?;
        let mut refused: BTreeMap<(usize, bool, IpNet, Option<String>), String> = imported
            .left
            .into_iter()
            .map(|left| ((left.part, left.ban, left.prefix, left.gate), left.why))
            .collect();
        for taken in some {
            let (file, line) = (taken.place.file, taken.place.line);
            let (ban, gate) = match &taken.what {
                What::Allow { gate } => (false, gate.clone()),
                What::Ban { .. } => (true, None),
            };
            match (refused.remove(&(file, ban, taken.prefix, gate)), &taken.what) {
                (Some(why), _) => report.left.push(Left {
                    file,
                    line,
                    text: prefix(&taken.prefix),
                    why,
                }),
                (None, What::Allow { gate }) => report.allowed.push(Allowed {
                    prefix: taken.prefix,
                    gate: gate.clone(),
                    file,
                    line,
                }),
                (None, What::Ban { until }) => report.banned.push(Banned {
                    prefix: taken.prefix,
                    until: *until,
                    file,
                    line,
                }),
            }
        }
        report.in_kernel &= imported.in_kernel;
        report.cut += imported.cut;
        report.notes.extend(imported.notes);
    }
    report.left.sort_by_key(|left| (left.file, left.line));
    Ok(report)
}

/// Lines of a reason that are shown; `--json` has all of them.
const SHOWN: usize = 3;

fn text(report: &Report) -> String {
    let mut text = String::new();
    for (number, file) in report.files.iter().enumerate() {
        let rows = if file.format == "fail2ban" { "bans" } else { "lines" };
        text.push_str(&format!(
            "{} ({}, {} {rows})\n",
            file.path.display(),
            file.format,
            file.lines
        ));
        let mut at: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        for allowed in report.allowed.iter().filter(|allowed| allowed.file == number) {
            *at.entry(allowed.gate.as_deref()).or_default() += 1;
        }
        for (gate, count) in at {
            let gate = gate.map_or_else(|| "every gate".to_owned(), |gate| format!("the gate {gate}"));
            text.push_str(&format!("  allowed at {gate}: {}\n", prefixes(count)));
        }
        let banned: Vec<&Banned> = report.banned.iter().filter(|ban| ban.file == number).collect();
        let (ends, stays): (Vec<&Banned>, Vec<&Banned>) = banned.iter().partition(|ban| ban.until.is_some());
        if !stays.is_empty() {
            text.push_str(&format!("  banned until `unban`: {}\n", prefixes(stays.len())));
        }
        if let Some(last) = ends.iter().filter_map(|ban| ban.until).max() {
            text.push_str(&format!(
                "  banned for a time: {}, the last until {}\n",
                prefixes(ends.len()),
                when(last)
            ));
        }
        text.push_str(&left(report, number));
    }
    let taken = report.allowed.len() + report.banned.len();
    text.push_str(&match (taken, report.dry_run) {
        (0, _) => "Nothing was changed.\n".to_owned(),
        (_, true) => "Nothing was changed: this was --dry-run.\n".to_owned(),
        _ => {
            let files: Vec<String> = report
                .files
                .iter()
                .map(|file| file.path.display().to_string())
                .collect();
            format!(
                "In force; `smtpgate list` shows it, `smtpgate import --undo {}` takes it back.\n",
                files.join(" ")
            )
        }
    });
    if report.cut > 0 {
        text.push_str(&format!("cut {} open connection(s)\n", report.cut));
    }
    if taken > 0 && !report.dry_run && !report.in_kernel {
        text.push_str("the gate is not loaded: it counts from the next `smtpgate run` or `load` on\n");
    }
    with_notes(text, &report.notes)
}

fn prefixes(count: usize) -> String {
    match count {
        1 => "1 prefix".to_owned(),
        count => format!("{count} prefixes"),
    }
}

/// What was left of a file, by reason: the commonest first.
fn left(report: &Report, number: usize) -> String {
    let mut reasons: BTreeMap<&str, Vec<&Left>> = BTreeMap::new();
    for left in report.left.iter().filter(|left| left.file == number) {
        reasons.entry(&left.why).or_default().push(left);
    }
    let mut reasons: Vec<(&str, Vec<&Left>)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, lines)| std::cmp::Reverse(lines.len()));
    let mut text = String::new();
    if !reasons.is_empty() {
        let lines: usize = reasons.iter().map(|(_, lines)| lines.len()).sum();
        text.push_str(&format!("  left: {lines}\n"));
    }
    for (why, lines) in reasons {
        text.push_str(&format!("    {why}\n"));
        let rows: Vec<Vec<String>> = lines
            .iter()
            .take(SHOWN)
            .map(|left| vec![format!("    line {}", left.line), left.text.clone()])
            .collect();
        text.push_str(&table(&rows));
        if lines.len() > SHOWN {
            let more: BTreeSet<usize> = lines.iter().skip(SHOWN).map(|left| left.line).collect();
            text.push_str(&format!("      and {} more (--json names them)\n", more.len()));
        }
    }
    text
}

fn undo(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let from = args.files.iter().map(|path| {
        if path == Path::new("-") {
            return Ok("-".to_owned());
        }
        std::path::absolute(path)
            .map(|path| path.display().to_string())
            .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
    });
    let from = from.collect::<Result<Vec<String>, Failure>>()?;
    let withdrawn: Withdrawn = ask(global, Request::Withdraw { from })?;
    output.document(&withdrawn, |withdrawn| {
        format!(
            "no longer allowed: {}; no longer banned: {}\n",
            prefixes(usize::try_from(withdrawn.disallowed).unwrap_or(usize::MAX)),
            prefixes(usize::try_from(withdrawn.unbanned).unwrap_or(usize::MAX))
        )
    });
    Ok(())
}
