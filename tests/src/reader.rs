//! The daemon as a reader of the mail log: a host with no mail service of its own, whose log a test writes line by line,
//! and the ledger, which tells what was read. Every line is an offence of an address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use smtpgate::ledger::Ledger;
use tempfile::TempDir;

use crate::gated::{BpfFs, Pair};
use crate::lab::gate::binary;

/// How long the daemon may be behind by the same before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long it has to be behind by nothing, to have read everything: a dozen looks at the files.
const QUIET: Duration = Duration::from_secs(3);

/// Who commits offence `number`: everybody has a /32, so that nobody's neighbours count with him.
#[must_use]
pub fn offender(number: u32) -> Ipv6Addr {
    Ipv6Addr::from((0x2a00_0000_u128 + u128::from(number)) << 96 | 1)
}

/// What Postfix says of it, without the header.
#[must_use]
pub fn message(number: u32) -> String {
    format!(
        "warning: unknown[{}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=user{number}",
        offender(number)
    )
}

/// The daemon on a host in a network namespace of its own.
#[derive(Debug)]
pub struct Reader {
    pair: Pair,
    bpffs: BpfFs,
    folder: TempDir,
    daemon: Option<Child>,
}

impl Reader {
    /// A host without a daemon yet. The folder is for logs too.
    pub fn new() -> Result<Self> {
        Ok(Self {
            bpffs: BpfFs::mount()?,
            pair: Pair::new()?,
            folder: tempfile::tempdir()?,
            daemon: None,
        })
    }

    /// Where the test's files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> PathBuf {
        self.folder().join("config.toml")
    }

    /// Writes the configuration; `follow` as it stands there.
    pub fn configure(&self, follow: &str) -> Result<()> {
        let folder = self.folder().display();
        let config = format!(
            "interfaces = [\"eth0\"]\n[gate.mx]\nports = [25]\nallow = [\"world\"]\n\
             [maillog]\nfollow = {follow}\n[detect]\nmaxretry = 10000\n\
             [paths]\nstate = \"{folder}/state\"\nrun = \"{folder}/run\"\npins = \"{}\"\n",
            self.bpffs.pins().display()
        );
        Ok(fs::write(self.config(), config)?)
    }

    /// Starts the daemon and returns when it is ready.
    pub fn start(&mut self) -> Result<()> {
        self.kill()?;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("daemon.log"))?;
        let mut daemon = self
            .pair
            .host
            .command(binary()?)
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let stdout = daemon.stdout.take().context("its standard output")?;
        self.daemon = Some(daemon);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "{line:?} instead of ready\n{}", self.said());
        Ok(())
    }

    /// `kill -9`, if it runs.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        Ok(())
    }

    /// The daemon's process.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("the daemon does not run")?.id())
    }

    /// `kill -9` of what the daemon reads the journal by. How many there were.
    pub fn kill_journalctl(&self) -> Result<usize> {
        let mut killed = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()?))? {
            for child in fs::read_to_string(task?.path().join("children"))?.split_whitespace() {
                if fs::read_to_string(format!("/proc/{child}/comm"))?.trim_end() != "journalctl" {
                    continue;
                }
                let pid = rustix::process::Pid::from_raw(child.parse()?).context("a process")?;
                rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
                killed += 1;
            }
        }
        Ok(killed)
    }

    /// Resident memory of the daemon, in bytes.
    pub fn resident(&self) -> Result<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid()?))?;
        let pages: u64 = statm.split(' ').nth(1).context("statm")?.parse()?;
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// The daemon's `status`.
    pub fn status(&self) -> Result<serde_json::Value> {
        let mut child = self
            .pair
            .host
            .command(binary()?)
            .args(["status", "--json", "--config"])
            .arg(self.config())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = Vec::new();
        child.stdout.take().context("its output")?.read_to_end(&mut said)?;
        child.wait()?;
        Ok(serde_json::from_slice(&said)?)
    }

    /// How often each offence that the ledger holds was taken in, by its number.
    pub fn read(&self) -> Result<BTreeMap<u32, u32>> {
        let ledger = Ledger::open(&self.folder().join("state/ledger.db"))?;
        let mut read = BTreeMap::new();
        for offence in ledger.offences_since(jiff::Timestamp::UNIX_EPOCH)? {
            let std::net::IpAddr::V6(address) = offence.address else {
                bail!("{} never offended", offence.address);
            };
            let number = u32::try_from((u128::from(address) >> 96) - 0x2a00_0000)?;
            *read.entry(number).or_default() += 1;
        }
        Ok(read)
    }

    /// Waits until the daemon says for three seconds on end that it is behind by nothing.
    pub fn wait_caught_up(&self) -> Result<()> {
        let (mut least, mut progress) = (u64::MAX, Instant::now());
        let mut since = None;
        loop {
            let status = self.status()?;
            let maillog = &status["maillog"];
            let behind = maillog["behind_bytes"].as_u64().context("behind_bytes")?;
            if behind == 0 && maillog["behind_seconds"] == 0 {
                if since.get_or_insert_with(Instant::now).elapsed() >= QUIET {
                    return Ok(());
                }
            } else {
                since = None;
            }
            if behind < least {
                (least, progress) = (behind, Instant::now());
            }
            ensure!(
                progress.elapsed() < PATIENCE,
                "for {PATIENCE:?} it has not come any further: {maillog}\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the daemon has caught up, and checks that it has taken in these lines, each once, and no others.
    pub fn wait_exact(&self, numbers: impl IntoIterator<Item = u32>) -> Result<()> {
        let numbers: BTreeSet<u32> = numbers.into_iter().collect();
        self.wait_exact_but(&numbers, &BTreeSet::new())
    }

    /// As [`Self::wait_exact`]; the lines of `perhaps` may have been taken in, too, each once at most.
    pub fn wait_exact_but(&self, numbers: &BTreeSet<u32>, perhaps: &BTreeSet<u32>) -> Result<()> {
        self.wait_caught_up()?;
        let read = self.read()?;
        let lost: Vec<u32> = numbers
            .iter()
            .copied()
            .filter(|number| !read.contains_key(number))
            .collect();
        let twice = read.iter().filter(|(_, times)| **times > 1);
        let twice: Vec<u32> = twice.map(|(number, _)| *number).collect();
        let known = |number: &u32| numbers.contains(number) || perhaps.contains(number);
        let wrong: Vec<u32> = read.keys().copied().filter(|number| !known(number)).collect();
        ensure!(
            lost.is_empty() && twice.is_empty() && wrong.is_empty(),
            "of {} lines lost {}, twice {}, wrong {}\n{}",
            numbers.len(),
            ranges(&lost),
            ranges(&twice),
            ranges(&wrong),
            self.said()
        );
        Ok(())
    }

    /// What the daemons have written to standard error.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder().join("daemon.log")).unwrap_or_default()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Ascending numbers, for people: `[3, 7-9]`.
fn ranges(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let told: Vec<String> = runs
        .map(|run| match run {
            [only] => only.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        })
        .collect();
    format!("[{}]", told.join(", "))
}
