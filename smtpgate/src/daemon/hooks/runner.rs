//! The process that runs the admin's programs: a few at once, each for ten seconds at the most, and no shell.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::Hooks;
use crate::daemon::confirm::at_start;
use crate::daemon::failure::Failure;
use crate::daemon::overrides::Overrides;

/// How long a program may run.
const PATIENCE: Duration = Duration::from_secs(10);
/// Programs that run at once.
const AT_ONCE: u32 = 4;

/// What of a line decides who is told.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Ban,
    Alarm,
    Reload,
}

/// Runs what the configuration names for each line on `lines`, which is a pipe, until it ends.
///
/// # Errors
/// When the configuration cannot be read at the start, or a line is none of the daemon's.
pub fn run(config_path: Option<&Path>, lines: OwnedFd) -> Result<(), Failure> {
    let hooks = in_force(config_path)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime
        .block_on(async { serve(config_path, hooks, Receiver::from_owned_fd(lines)?).await })
        .map_err(Failure::failed)
}

/// Those of the configuration that the daemon keeps to, which after an undo is not what its files say.
fn in_force(config_path: Option<&Path>) -> Result<Hooks, Failure> {
    at_start(config_path, Overrides::default()).map(|(config, _)| config.hooks)
}

async fn serve(config_path: Option<&Path>, mut hooks: Hooks, lines: Receiver) -> io::Result<()> {
    let turns = Arc::new(Semaphore::new(AT_ONCE as usize));
    let mut lines = BufReader::new(lines).lines();
    while let Some(facts) = lines.next_line().await? {
        let argv = match serde_json::from_str(&facts) {
            Ok(Event::Ban) => &hooks.on_ban,
            Ok(Event::Alarm) => &hooks.on_alarm,
            Ok(Event::Reload) => {
                // The daemon has found it good; one that was broken since will be told of at the next reload.
                if let Ok(new) = in_force(config_path) {
                    hooks = new;
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Some((program, arguments)) = argv.split_first() else {
            continue;
        };
        let mut command = Command::new(program);
        command.args(arguments);
        let program = program.clone();
        // No further line is read before there is room.
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            break;
        };
        tokio::spawn(async move {
            if let Err(why) = call(command, facts.as_bytes()).await {
                tracing::warn!("[hooks] {program}: {why}");
            }
            drop(turn);
        });
    }
    // The daemon is gone; those that were told are left their time.
    let _ = turns.acquire_many(AT_ONCE).await;
    Ok(())
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
            let _ = stdin.write_all(b"\n").await;
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
        assert_eq!(call(command, b"{\"event\":\"ban\"}").await, Ok(()));
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

    #[test]
    fn hooks_are_those_of_the_file_and_are_taken_again_after_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let configure = |name: &str| {
            let script = format!("cat >> {}", folder.path().join(name).display());
            let text = format!(
                "[gate.mx]\nports = [25]\nallow = [\"world\"]\n[hooks]\non_ban = [\"/bin/sh\", \"-c\", \"{script}\"]\n"
            );
            std::fs::write(&file, text).unwrap();
        };
        configure("first");
        let (read, write) = io::pipe().unwrap();
        let path = file.clone();
        let runner = std::thread::spawn(move || run(Some(&path), read.into()));
        let tell = |line: &str| {
            use std::io::Write as _;
            writeln!(&write, "{line}").unwrap();
        };
        let told = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let ban = r#"{"event":"ban","prefix":"192.0.2.1/32"}"#;
        tell(ban);
        tell(r#"{"event":"alarm"}"#);
        while told("first").is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        configure("second");
        tell(r#"{"event":"reload"}"#);
        tell(ban);
        drop(write);
        runner.join().unwrap().unwrap();
        assert_eq!(told("first"), format!("{ban}\n"));
        assert_eq!(told("second"), format!("{ban}\n"));
    }
}
