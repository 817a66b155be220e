//! The admin's programs, told when somebody is banned or an alarm is raised: the facts as one JSON document on standard
//! input. Never in the daemon's way.
//!
//! The daemon reads what strangers write, and so has given up starting programs ([`super::sandbox`]). A process of its own
//! does that, the helper, started before and outside: it takes the programs from the configuration, not from the daemon,
//! which can only give it the facts. It is there also without any program, so that a reload may add some, and because it
//! outlives the daemon while a change waits for its confirm (`cli/helper.rs`).

mod runner;

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tracing::level_filters::LevelFilter;

use crate::{config, detect::Alarm, ledger::Ban};

pub use runner::run;

/// The verb that is the process.
pub(crate) const VERB: &str = "helper";
/// Facts that may wait for their turn; beyond that they are not told, which the log says.
const WAITING: usize = 1000;
/// How long the daemon's end waits for the helper's. A service manager that sees it left behind says so in the log.
const PARTING: Duration = Duration::from_millis(500);

/// The daemon's end. Without a process behind it nobody is told: a verb without a daemon has no time to wait for programs.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    helper: Option<Helper>,
}

#[derive(Debug)]
struct Helper {
    lines: SyncSender<Vec<u8>>,
    /// Closed when the process has ended.
    ended: Receiver<()>,
}

/// A line to the process.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Ban {
        #[serde(flatten)]
        ban: &'a Ban,
        evidence: &'a [String],
    },
    Alarm(&'a Alarm),
    /// Another configuration is in force.
    Reload,
}

/// Starts the process, and no thread: the daemon still has its rights.
pub(super) fn start(config_path: Option<&Path>) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(VERB);
    if let Some(path) = config_path {
        command.arg("--config").arg(std::path::absolute(path)?);
    }
    command
        .current_dir("/")
        // It logs as much as the daemon does.
        .env("RUST_LOG", LevelFilter::current().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
}

impl Hooks {
    /// Told by the process that was started.
    pub(super) fn by(mut process: Child) -> io::Result<Self> {
        let stdin = process.stdin.take();
        let (lines, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let (end, ended) = channel();
        thread::Builder::new().name("hooks".into()).spawn(move || {
            let Some(mut stdin) = stdin else { return };
            for line in waiting {
                if let Err(error) = stdin.write_all(&line) {
                    tracing::error!("[hooks] are told no more until the daemon is started again: {error}");
                    break;
                }
            }
            drop(stdin);
            let _ = process.wait();
            drop(end);
        })?;
        Ok(Self {
            helper: Some(Helper { lines, ended }),
        })
    }

    /// Somebody was banned.
    pub(super) fn ban(&self, config: &config::Hooks, ban: &Ban, evidence: &[String]) {
        if !config.on_ban.is_empty() {
            self.tell(&Line::Ban { ban, evidence });
        }
    }

    /// An alarm was raised.
    pub(super) fn alarm(&self, config: &config::Hooks, alarm: &Alarm) {
        if !config.on_alarm.is_empty() {
            self.tell(&Line::Alarm(alarm));
        }
    }

    /// Another configuration is in force.
    pub(super) fn reload(&self) {
        self.tell(&Line::Reload);
    }

    fn tell(&self, line: &Line<'_>) {
        let (Some(helper), Ok(mut line)) = (&self.helper, serde_json::to_vec(line)) else {
            return;
        };
        line.push(b'\n');
        match helper.lines.try_send(line) {
            // Its end was told when it was found.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!("[hooks] {WAITING} calls wait already, this one is left out");
            }
        }
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        if let Some(Helper { lines, ended }) = self.helper.take() {
            drop(lines);
            let _ = ended.recv_timeout(PARTING);
        }
    }
}
