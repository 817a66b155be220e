//! The admin's programs, run when somebody is banned or an alarm is raised: the facts as one JSON document on standard
//! input. Never in the daemon's way: a few at once, each for ten seconds at the most, and no shell.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use tokio::{io::AsyncWriteExt as _, process::Command, runtime::Handle, sync::Semaphore, time::timeout};

use crate::{config, detect::Alarm, ledger::Ban};

/// How long a program may run.
const PATIENCE: Duration = Duration::from_secs(10);
/// Programs that run at once.
const AT_ONCE: usize = 4;
/// Programs that may wait for their turn; beyond that, facts are not told, which the log says.
const WAITING: usize = 1000;

#[derive(Debug)]
pub(super) struct Hooks {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::default(),
        }
    }
}

/// What a program reads.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Facts<'a> {
    Ban {
        #[serde(flatten)]
        ban: &'a Ban,
        evidence: &'a [String],
    },
    Alarm(&'a Alarm),
}

impl Hooks {
    /// Somebody was banned.
    pub(super) fn ban(&self, config: &config::Hooks, ban: &Ban, evidence: &[String]) {
        self.run(&config.on_ban, &Facts::Ban { ban, evidence });
    }

    /// An alarm was raised.
    pub(super) fn alarm(&self, config: &config::Hooks, alarm: &Alarm) {
        self.run(&config.on_alarm, &Facts::Alarm(alarm));
    }

    fn run(&self, argv: &[String], facts: &Facts<'_>) {
        let Some((program, arguments)) = argv.split_first() else {
            return;
        };
        // A verb without a daemon has no time to wait for programs.
        let (Ok(runtime), Ok(mut facts)) = (Handle::try_current(), serde_json::to_vec(facts)) else {
            return;
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!("[hooks] {program}: {WAITING} calls wait already, this one is left out");
            return;
        }
        facts.push(b'\n');
        let mut command = Command::new(program);
        command.args(arguments);
        let (turns, waiting, program) = (Arc::clone(&self.turns), Arc::clone(&self.waiting), program.clone());
        runtime.spawn(async move {
            let turn = turns.acquire_owned().await;
            waiting.fetch_sub(1, Ordering::Relaxed);
            if let Err(why) = call(command, &facts).await {
                tracing::warn!("[hooks] {program}: {why}");
            }
            drop(turn);
        });
    }
}

/// Runs a program to its end, or ends it with all that it has started.
async fn call(mut command: Command, facts: &[u8]) -> Result<(), String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // One that does not read is no error.
            let _ = stdin.write_all(facts).await;
        }
        child.wait().await
    };
    match timeout(PATIENCE, work).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("failed: {status}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            Err(format!("was ended after {} s", PATIENCE.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hooks_give_the_facts_and_say_what_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cat > \"$0\""]).arg(&path);
        assert_eq!(call(command, b"{\"event\":\"ban\"}\n").await, Ok(()));
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"event\":\"ban\"}\n");

        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 3"]);
        assert_eq!(call(command, b"").await, Err("failed: exit status: 3".to_owned()));
        let missing = call(Command::new("/no/such/program"), b"").await.unwrap_err();
        assert!(missing.starts_with("cannot be run: "), "{missing}");
    }

    #[tokio::test(start_paused = true)]
    async fn hooks_end_a_program_that_does_not() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 1000 & sleep 1000"]);
        assert_eq!(call(command, b"").await, Err("was ended after 10 s".to_owned()));
    }
}
