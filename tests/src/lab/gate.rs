//! The gate on the mail host: its configuration, its daemon, and its command line.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::host::MailHost;

/// How long a start or an end may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// The gate of one mail host. Its files are on the host only, so nothing of it is left either.
#[derive(Debug)]
pub struct Gate<'a> {
    host: &'a MailHost,
    /// The command under test.
    binary: PathBuf,
    /// Its configuration, as the host sees it.
    config: PathBuf,
    daemon: Option<Daemon>,
}

#[derive(Debug)]
struct Daemon {
    process: Child,
    /// What it says on standard output, line by line.
    told: mpsc::Receiver<String>,
}

impl<'a> Gate<'a> {
    /// Writes `config`, followed by the `[paths]` of this host, and starts nothing.
    pub fn new(host: &'a MailHost, config: &str) -> Result<Self> {
        let gate = Self {
            host,
            binary: binary()?,
            config: host.gate_folder().join("config.toml"),
            daemon: None,
        };
        gate.configure(config)?;
        Ok(gate)
    }

    /// Japan's addresses on 25, 465 and 587, the maillog followed; `detect` is put below `[detect]`.
    #[must_use]
    pub fn japan(host: &MailHost, detect: &str) -> String {
        format!(
            "interfaces = [\"eth0\"]\n\
             [gate.submission]\nports = [465, 587]\nallow = [\"country:JP\", \"private\"]\n\
             [gate.mx]\nports = [25]\nallow = [\"country:JP\", \"private\"]\n\
             [maillog]\nfollow = [\"{}\"]\n\
             [detect]\n{detect}\n",
            host.maillog().display()
        )
    }

    /// Replaces the configuration file; the daemon is not told.
    pub fn configure(&self, config: &str) -> Result<()> {
        let folder = self.host.gate_folder();
        let paths = format!("[paths]\nstate = \"{0}/state\"\nrun = \"{0}/run\"\n", folder.display());
        self.write("config.toml", format!("{config}\n{paths}"))
    }

    /// Writes a file into the gate's folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.host.seen(&self.path(name));
        fs::write(&path, content).with_context(|| path.display().to_string())
    }

    /// The path of a file in the gate's folder, as the host sees it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.host.gate_folder().join(name)
    }

    /// The command itself, for runs that need more than [`Gate::command`] gives.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.binary
    }

    /// Puts another build of the command in its place, as an upgrade does; a daemon that runs goes on as it is.
    pub fn install(&mut self, program: PathBuf) {
        self.binary = program;
    }

    /// `smtpgate VERB...` on the host, with `--config`.
    pub fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.host.command(&self.binary);
        command
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end.
    pub fn cli(&self, words: &[&str]) -> Result<Output> {
        Ok(self.command(words).output()?)
    }

    /// Runs a verb that must succeed, with `--json`, and gives its document.
    pub fn json(&self, words: &[&str]) -> Result<serde_json::Value> {
        let out = self.cli(&[words, &["--json"]].concat())?;
        if !out.status.success() {
            bail!(
                "smtpgate {}: {}\n{}",
                words.join(" "),
                out.status,
                String::from_utf8_lossy(&out.stderr)
            );
        }
        serde_json::from_slice(&out.stdout)
            .with_context(|| format!("smtpgate {}: {}", words.join(" "), String::from_utf8_lossy(&out.stdout)))
    }

    /// Starts `smtpgate run` and returns when it says `ready`.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// [`Gate::start`], with further arguments.
    pub fn start_with(&mut self, more: &[&str]) -> Result<()> {
        self.kill()?;
        let mut command = self.command(&[&["run"], more].concat());
        let log = self.host.seen(&self.path("daemon.log"));
        let log = fs::File::options().create(true).append(true).open(log)?;
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = process.stdout.take();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, whether someone listens or not: a daemon must not stand still because of a full pipe.
            for line in stdout
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines())
                .map_while(Result::ok)
            {
                let _ = tell.send(line);
            }
        });
        self.daemon = Some(Daemon { process, told });
        self.wait_told(&["ready"]).map(drop)
    }

    /// Waits until the daemon says a line with all of `words` on standard output, and gives it.
    pub fn wait_told(&self, words: &[&str]) -> Result<String> {
        let daemon = self.daemon.as_ref().context("the daemon does not run")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match daemon
                .told
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) if words.iter().all(|word| line.contains(word)) => return Ok(line),
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("smtpgate run: no line with {words:?}\n{}", self.said()),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    bail!("smtpgate run: ended before it said {words:?}\n{}", self.said())
                }
            }
        }
    }

    /// `kill -9`, if it runs.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.process.kill()?;
            daemon.process.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let mut process = self.daemon.take().context("the daemon does not run")?.process;
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                process.kill()?;
                bail!("smtpgate run: does not end on SIGTERM\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the daemons of this gate have written to standard error.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.host.seen(&self.path("daemon.log"))).unwrap_or_default()
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// `smtpgate`, as built beside this very program.
pub fn binary() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let beside = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("smtpgate"))
        .find(|path| path.is_file());
    let found = beside.context("target/*/smtpgate is not there; cargo build -p smtpgate")?;
    Ok(Path::new(&found).canonicalize()?)
}
