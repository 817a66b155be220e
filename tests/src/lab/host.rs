//! The mail host alive: Postfix on 25, 465 and 587 and behind postscreen on 2525, Dovecot behind it and on 143 and 993,
//! and the gate beside them.
//!
//! Three namespaces make it a machine of its own: the network one of [`Internet::mail`], a mount one (own overlay of the
//! Debian root, own bpffs, `/sys` and `/run`) and a PID one, whose end takes every daemon with it.
//!
//! [`Internet::mail`]: super::internet::Internet

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::netns::Netns;
use super::root::{self, Suite};

/// The port where postscreen stands before Postfix's smtpd. Not 25, because it keeps each new client waiting.
pub const POSTSCREEN: u16 = 2525;

/// Who writes the maillog, and in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailLog {
    /// rsyslog, RFC 3339 time stamps: Debian 12 and later.
    Rfc3339,
    /// rsyslog, `Nov 24 04:11:58`: older systems.
    Traditional,
    /// Postfix itself (`postlogd`).
    Postlog,
}

/// A running mail host. Dropped, it is gone with all its daemons.
#[derive(Debug)]
pub struct MailHost {
    /// `unshare`, which waits for the first process of the PID namespace and is what holds all three.
    boot: Child,
    /// The folder that the host mounts its own things on; inside its mount namespace only.
    top: PathBuf,
}

impl MailHost {
    /// Boots Debian 12 in `network` and returns when it greets on all ports. `network` must outlive it.
    pub fn boot(network: &Netns, log: MailLog) -> Result<Self> {
        Self::boot_suite(network, Suite::Bookworm, log)
    }

    /// [`MailHost::boot`], of another Debian.
    pub fn boot_suite(network: &Netns, suite: Suite, log: MailLog) -> Result<Self> {
        let root = root::debian(suite)?;
        let top = root::lab_folder()?.join("mount");
        fs::create_dir_all(&top)?;
        let console = tempfile::tempfile()?;
        let boot = network
            .command("unshare")
            .args(["--mount", "--uts", "--pid", "--fork", "--kill-child=KILL", "sh", "-c"])
            .arg(include_str!("mail/boot.sh"))
            .arg("boot.sh")
            .args([&root, &top])
            .arg(match log {
                MailLog::Rfc3339 => "rfc3339",
                MailLog::Traditional => "traditional",
                MailLog::Postlog => "postlog",
            })
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console.try_clone()?)
            .process_group(0)
            .spawn()
            .context("setpriv: cannot be started; apt-get install util-linux")?;
        let mut host = Self { boot, top };
        if let Err(error) = host.wait_booted(network) {
            let said = console_text(console)?;
            return Err(error.context(format!("the mail host does not start; it said:\n{said}")));
        }
        Ok(host)
    }

    fn wait_booted(&mut self, network: &Netns) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let booted = self.on_host("booted");
        while !booted.exists() {
            if let Some(status) = self.boot.try_wait()? {
                bail!("boot.sh ended with {status}");
            }
            pause(deadline, "boot.sh")?;
        }
        for port in [25, 143, 465, 587, 993, POSTSCREEN] {
            let local = SocketAddr::from(([127, 0, 0, 1], port));
            while network.run(|| Ok(TcpStream::connect_timeout(&local, Duration::from_secs(1)).is_err()))? {
                pause(deadline, &format!("port {port}"))?;
            }
        }
        Ok(())
    }

    /// A command that runs a program of this machine (not of the Debian root) on the mail host: its network, its bpffs,
    /// its `/run`. The child has the pid that `spawn` returns; as for [`Netns::command`], spawn from the test's thread.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let held = self.boot.id();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]);
        command.args([
            format!("--mount=/proc/{held}/ns/mnt"),
            format!("--net=/proc/{held}/ns/net"),
        ]);
        command.arg("--").arg(program);
        command
    }

    /// A command of the Debian root, for example `postfix`, among its daemons.
    pub fn command_in_root(&self, program: &str) -> Command {
        let mut command = self.command("nsenter");
        command.arg(format!("--pid=/proc/{}/ns/pid_for_children", self.boot.id()));
        command.arg("--").arg("chroot").arg(self.top.join("root")).arg(program);
        command
    }

    /// Where the mail host itself sees its maillog: what the gate's configuration names.
    #[must_use]
    pub fn maillog(&self) -> PathBuf {
        self.top.join("root/var/log/mail.log")
    }

    /// A folder of the mail host for the gate's configuration and state; empty at boot, as the host sees it.
    #[must_use]
    pub fn gate_folder(&self) -> PathBuf {
        self.top.join("gate")
    }

    /// The path by which this process reaches a file that the mail host knows as `path`.
    #[must_use]
    pub fn seen(&self, path: &Path) -> PathBuf {
        let relative = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc")
            .join(self.boot.id().to_string())
            .join("root")
            .join(relative)
    }

    /// What the maillog holds now.
    pub fn read_maillog(&self) -> Result<String> {
        let log = self.seen(&self.maillog());
        match fs::read(&log) {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| log.display().to_string()),
        }
    }

    /// Waits until the maillog has a line with all of `words`, and gives it.
    pub fn wait_for_line(&self, words: &[&str]) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let log = self.read_maillog()?;
            if let Some(line) = log.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return Ok(line.to_owned());
            }
            if Instant::now() >= deadline {
                bail!("the maillog has no line with {words:?}:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn on_host(&self, name: &str) -> PathBuf {
        self.seen(&self.top.join(name))
    }
}

impl Drop for MailHost {
    fn drop(&mut self) {
        // The kernel kills the rest: unshare's child is bound to it, and the daemons to that first process.
        let _ = self.boot.kill();
        let _ = self.boot.wait();
    }
}

fn pause(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() >= deadline {
        bail!("{what}: not ready after a minute");
    }
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}

fn console_text(mut console: fs::File) -> Result<String> {
    use std::io::{Read as _, Seek as _};
    console.rewind()?;
    let mut said = Vec::new();
    console.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}
