//! Which mail log is read, and how far the reading is.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{clock, engine::Engine, failure::Failure, report::MaillogState};
use crate::{
    config::{self, Follow},
    maillog::{Batch, Batches, follow, input, journal},
};

/// Batches that may wait.
const QUEUE: usize = 8;
/// So long behind is worth a word.
const LATE: Duration = Duration::from_secs(10);
/// A mail log that nobody has written to for so long is what a syslog daemon left that is gone.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where the lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Log {
    Nothing,
    Files(Vec<PathBuf>),
    Journal(Option<PathBuf>),
    Input,
}

/// The mail log that is followed.
pub(super) struct Maillog {
    /// By which it was chosen.
    pub(super) config: config::Maillog,
    log: Log,
    /// Why this one; none when the configuration names it.
    why: Option<&'static str>,
    batches: Option<Batches>,
    /// That it is late, and how much was left out, as told last.
    told: (bool, u64),
}

impl Maillog {
    /// Starts to follow what the configuration in force asks for, from where the ledger says.
    pub(super) fn follow(engine: &Engine) -> Result<Self, Failure> {
        let config = engine.config.maillog.clone();
        let (log, why) = choose(&config.follow, || auto(&host(), journal::is_there()));
        if let Some(why) = why {
            tracing::info!("follow = \"auto\": {}: {why}", names(&log).join(", "));
        }
        let clock = clock::of_the_log();
        let since = clock
            .now
            .checked_sub(engine.config.detect.findtime)
            .unwrap_or(clock.now);
        let batches = match &log {
            Log::Nothing => None,
            Log::Files(paths) => {
                let start = follow::Start {
                    paths: paths.clone(),
                    positions: engine.ledger.positions().map_err(Failure::failed)?,
                    since,
                    clock,
                    behind: follow::BEHIND,
                    unpack_in: engine.config.paths.state.clone(),
                };
                Some(follow::spawn(start, QUEUE).map_err(Failure::failed)?)
            }
            Log::Journal(folder) => {
                let name = journal::name(folder.as_deref());
                let start = journal::Start {
                    folder: folder.clone(),
                    cursor: engine.ledger.cursor(&name).map_err(Failure::failed)?,
                    since,
                    now: clock.now,
                };
                Some(journal::spawn(start, QUEUE).map_err(Failure::failed)?)
            }
            Log::Input => Some(input::spawn(QUEUE).map_err(Failure::failed)?),
        };
        Ok(Self {
            config,
            log,
            why,
            batches,
            told: (false, 0),
        })
    }

    /// The next lines; waits for ever when there will be none. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// When the journal can no longer be read by this process.
    pub(super) async fn next(&mut self) -> Result<Batch, Failure> {
        if let Some(batches) = &mut self.batches {
            if let Some(batch) = batches.next().await {
                return Ok(batch);
            }
            if let Log::Journal(_) = self.log {
                return Err(Failure::Failed(
                    "journalctl is not the one that was there at the start, which is all that this process may run: it \
                     has to be started again, and goes on where it left off. The gate stays up"
                        .to_owned(),
                ));
            }
            tracing::info!("{}: the mail log has ended", names(&self.log).join(", "));
            self.batches = None;
        }
        std::future::pending().await
    }

    /// How far the reading is.
    pub(super) fn state(&self) -> MaillogState {
        let lag = self.batches.as_ref().map(Batches::lag).unwrap_or_default();
        MaillogState {
            behind_bytes: lag.bytes,
            behind_seconds: lag.time.as_secs(),
            skipped_bytes: lag.skipped,
            cut_lines: lag.cut,
            lines: 0,
            offences: 0,
        }
    }

    /// The sources, as `status` names them.
    pub(super) fn sources(&self) -> Vec<String> {
        let mut names = names(&self.log);
        if self.batches.is_none() {
            for name in &mut names {
                name.push_str(" (has ended)");
            }
        }
        if let (Some(why), Some(last)) = (self.why, names.last_mut()) {
            last.push_str(&format!("; chosen by \"auto\": {why}"));
        }
        names
    }

    /// What an admin should know of it.
    pub(super) fn attention(&self) -> Vec<String> {
        let state = self.state();
        let mut attention = Vec::new();
        if state.behind_seconds >= LATE.as_secs() {
            attention.push(format!(
                "the reading of the maillog is {} s ({} bytes) behind: bans come that late",
                state.behind_seconds, state.behind_bytes
            ));
        }
        if state.skipped_bytes > 0 {
            attention.push(format!(
                "{} MiB of the maillog were left out: more than {} MiB had not been read yet",
                state.skipped_bytes >> 20,
                follow::BEHIND >> 20
            ));
        }
        attention
    }

    /// Tells the log when it gets late, and when it has caught up.
    pub(super) fn tell(&mut self) {
        let state = self.state();
        let late = state.behind_seconds >= LATE.as_secs();
        if late && !self.told.0 || state.skipped_bytes > self.told.1 {
            for line in self.attention() {
                tracing::warn!("{line}");
            }
        } else if !late && self.told.0 {
            tracing::info!("the reading of the maillog has caught up");
        }
        self.told = (late, state.skipped_bytes);
    }
}

fn names(log: &Log) -> Vec<String> {
    match log {
        Log::Nothing => Vec::new(),
        Log::Files(paths) => paths
            .iter()
            .map(|path| {
                let missing = if path.exists() { "" } else { " (not there yet)" };
                format!("{}{missing}", path.display())
            })
            .collect(),
        Log::Journal(None) => vec!["the systemd journal".to_owned()],
        Log::Journal(Some(folder)) => vec![format!("the systemd journal in {}", folder.display())],
        Log::Input => vec!["standard input".to_owned()],
    }
}

fn choose(follow: &Follow, auto: impl FnOnce() -> (Log, &'static str)) -> (Log, Option<&'static str>) {
    let log = match follow {
        Follow::Auto => {
            let (log, why) = auto();
            return (log, Some(why));
        }
        Follow::None => Log::Nothing,
        Follow::Files(files) => Log::Files(files.clone()),
        Follow::Journal(folder) => Log::Journal(folder.clone()),
        Follow::Input => Log::Input,
    };
    (log, None)
}

/// What `auto` looks at: for how long nobody wrote to each of the usual files, if it is there.
fn host() -> [Option<Duration>; 2] {
    let quiet = |path: &str| {
        let modified = Path::new(path).metadata().and_then(|meta| meta.modified()).ok()?;
        Some(SystemTime::now().duration_since(modified).unwrap_or_default())
    };
    follow::AUTO.map(quiet)
}

/// What `follow = "auto"` reads on this host, files or the journal (none), and why.
pub(crate) fn auto_log() -> (Option<Vec<PathBuf>>, &'static str) {
    let (log, why) = auto(&host(), journal::is_there());
    let files = match log {
        Log::Files(files) => Some(files),
        _ => None,
    };
    (files, why)
}

fn auto(files: &[Option<Duration>; 2], journal: bool) -> (Log, &'static str) {
    let files_in_use = files.iter().flatten().any(|quiet| *quiet < STALE);
    let usual = || Log::Files(follow::AUTO.map(PathBuf::from).to_vec());
    match (files_in_use, journal) {
        (true, _) => (usual(), "a syslog daemon writes it"),
        (false, true) if files.iter().any(Option::is_some) => (
            Log::Journal(None),
            "nobody has written to the files in /var/log for a week",
        ),
        (false, true) => (Log::Journal(None), "there is no mail log in /var/log"),
        (false, false) => (usual(), "there is no journal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_auto_takes_what_the_host_has() {
        let (now, long_ago) = (Some(Duration::from_secs(3)), Some(STALE * 2));
        let files = Log::Files(follow::AUTO.map(PathBuf::from).to_vec());
        let journal = Log::Journal(None);
        let cases = [
            ("Debian 11: both", [now, None], true, &files),
            ("Red Hat: both", [None, now], true, &files),
            ("Debian 12: no rsyslog", [None, None], true, &journal),
            ("upgraded: rsyslog's last words", [long_ago, None], true, &journal),
            ("a new name beside the old one", [long_ago, now], true, &files),
            ("no systemd, no mail yet", [None, None], false, &files),
            ("no systemd, quiet", [long_ago, None], false, &files),
        ];
        for (name, there, has_journal, want) in cases {
            assert_eq!(auto(&there, has_journal).0, *want, "{name}");
        }
    }

    #[test]
    fn maillog_named_logs_are_taken_as_they_are() {
        let never = || panic!("nothing was to be looked for");
        assert_eq!(choose(&Follow::None, never).0, Log::Nothing);
        assert_eq!(choose(&Follow::Input, never).0, Log::Input);
        let folder = Some(PathBuf::from("/j"));
        assert_eq!(choose(&Follow::Journal(folder.clone()), never).0, Log::Journal(folder));
    }
}
