//! `smtpgate setup`: looks at the host, asks nothing, and proposes a configuration.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Global, Output,
    simulate::{simulate, simulate_journal},
};
use crate::{
    config::{Config, DEFAULT_PATH, Database, Paths, Written},
    daemon::{engine, failure::Failure, report::Simulation},
    setup::{
        Facts, gather,
        propose::{self, Mx, Past},
    },
    sources::Sources,
};

/// How far back the journal is read.
const BACK: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write the proposal to /etc/smtpgate/config.toml, or where --config says, instead of printing it; a file that is
    /// there already is left as it is
    #[arg(long)]
    write: bool,
    /// Maillog to simulate the proposal on, packed or not; may be given again [default: this host's]
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
}

/// What was seen, and what came of it.
#[derive(Serialize)]
struct Proposal {
    facts: Facts,
    /// What the proposal would have done to the last log; none where there is none.
    simulation: Option<Simulation>,
    /// What it would have done with port 25 for the host's country alone, if that would have lost good mail.
    closed: Option<Simulation>,
    /// What needs the admin.
    attention: Vec<String>,
    /// The file.
    config: String,
    /// Where it was written.
    written: Option<PathBuf>,
}

pub(super) fn run(global: &Global, output: &Output, args: &Args) -> Result<(), Failure> {
    let path = global.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    if args.write && path.exists() {
        return Err(there(path));
    }
    let paths = Paths::peek(Some(path));
    let facts = gather::facts(&paths, &Sources::new(&Database::Auto, &paths.state));
    let now = Timestamp::now();
    let last = Last::of(&facts, &args.logs, now);
    let mut home = last.simulate(path, propose::file(&facts, Mx::Home, None, now))?;
    let open = match &home {
        Some(home) if !home.lost.is_empty() => last.simulate(path, propose::file(&facts, Mx::World, None, now))?,
        _ => None,
    };
    let past = home.as_ref().map(|home| Past {
        log: &last.name,
        home,
        open: open.as_ref(),
    });
    let text = propose::file(&facts, propose::mx(&facts, past.as_ref()), past.as_ref(), now);
    engine::check(&read(path, text.clone())?)?;
    if args.write {
        write(path, &text)?;
    }
    let proposal = Proposal {
        attention: propose::attention(&facts),
        facts,
        closed: home.take_if(|_| open.is_some()),
        simulation: open.or(home),
        config: text,
        written: args.write.then(|| path.to_owned()),
    };
    output.document(&proposal, |proposal| match &proposal.written {
        None => proposal.config.clone(),
        Some(path) => told(path, proposal),
    });
    Ok(())
}

/// The last log.
struct Last {
    /// As people call it.
    name: String,
    what: What,
}

enum What {
    Nothing,
    Files(Vec<PathBuf>),
    /// The journal, since then.
    Journal(Timestamp),
}

impl Last {
    /// The `named` files, or else what the host has.
    fn of(facts: &Facts, named: &[PathBuf], now: Timestamp) -> Self {
        let files = if named.is_empty() { &facts.log.files } else { named };
        if !files.is_empty() {
            let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            return Self {
                name: names.join(" and "),
                what: What::Files(files.to_vec()),
            };
        }
        let name = facts.log.name.clone();
        let what = match now.checked_sub(BACK) {
            Ok(since) if facts.log.journal => What::Journal(since),
            _ => What::Nothing,
        };
        Self { name, what }
    }

    /// What a proposal would have done to it; none where there is no line that any grammar knows.
    fn simulate(&self, path: &Path, proposal: String) -> Result<Option<Simulation>, Failure> {
        let config = read(path, proposal)?;
        let simulation = match &self.what {
            What::Nothing => return Ok(None),
            What::Files(files) => simulate(&config, files)?,
            What::Journal(since) => simulate_journal(&config, *since)?,
        };
        Ok((simulation.lines.understood > 0).then_some(simulation))
    }
}

/// The configuration that a text at `path` is.
fn read(path: &Path, text: String) -> Result<Config, Failure> {
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let files = vec![(path.to_owned(), text)];
    Config::of(Written { folder, files }).map_err(Failure::usage)
}

fn there(path: &Path) -> Failure {
    Failure::Failed(format!(
        "{} is there already, and is left as it is; `smtpgate setup` without --write prints the proposal, to compare",
        path.display()
    ))
}

/// Never over a file that is there, also if it came meanwhile.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => there(path),
        _ => Failure::Failed(format!("{}: {error}", path.display())),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)?;
    file.sync_all().map_err(fail)
}

fn told(path: &Path, proposal: &Proposal) -> String {
    let mut text = format!("Wrote {}. It only counts what it would refuse.\n", path.display());
    if !proposal.attention.is_empty() {
        text.push_str("\nAttention\n");
        for line in &proposal.attention {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if let Some(simulation) = &proposal.simulation {
        text.push_str(&format!(
            "\nOn the last log it would have refused {} connections, spared {} offences and made {} bans.\n",
            simulation.refused.connections,
            simulation.refused.offences,
            simulation.bans.len(),
        ));
        text.push_str(&match &proposal.closed {
            Some(closed) => format!(
                "Port 25 is left open to the world: otherwise good mail from {} place(s) would have been lost.\n{}\
                 The file names them.\n",
                closed.lost.len(),
                match simulation.lost.len() {
                    0 => String::new(),
                    lost => format!("At the other gates, good logins from {lost} place(s) still would be.\n"),
                }
            ),
            None => "No good sender would have been lost.\n".to_owned(),
        });
    }
    text.push_str(
        "\nNext\n  \
         read it              its comments say what was seen, and why\n  \
         smtpgate check       after a change of it\n  \
         systemctl enable --now smtpgate\n  \
         smtpgate status      what would be refused\n",
    );
    text
}
