//! The peers, each set up as its manual would have it for this policy: a SYN to 25, 465 or 587 passes only from an allowed
//! prefix that is not banned; all else passes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::Xdp;
use aya_obj::programs::XdpAttachType;
use smtpgate::dataplane::{Dataplane, Kernel};
use smtpgate_common::abi::programs;
use tempfile::TempDir;

use super::bpf;
use super::driver::bare_drop;
use super::link::Link;
use super::measure::resident;
use super::world::{Size, World};
use crate::lab::netns::Netns;

/// What stands before the mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Nothing: the kernel answers every SYN.
    None,
    /// An XDP program that only drops: the floor.
    BareDrop,
    /// `smtpgate run`.
    Smtpgate,
    /// Two sets.
    Nftables,
    /// Two sets, asked by iptables.
    Ipset,
    /// A rule for every prefix and every ban.
    Iptables,
}

impl Filter {
    pub(super) const ALL: [Self; 6] = [
        Self::BareDrop,
        Self::Smtpgate,
        Self::Nftables,
        Self::Ipset,
        Self::Iptables,
        Self::None,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::BareDrop => "xdp-drop",
            Self::Smtpgate => "smtpgate",
            Self::Nftables => "nftables",
            Self::Ipset => "ipset",
            Self::Iptables => "iptables",
        }
    }

    /// Whether it knows the policy.
    pub(super) const fn filters(self) -> bool {
        !matches!(self, Self::None | Self::BareDrop)
    }

    /// Whether it is worth measuring at this size: where there is no policy one size is enough, and a list of rules beyond
    /// ten thousand takes a second for ten thousand SYNs.
    pub(super) fn goes_to(self, size: Size, base: Size) -> bool {
        match self {
            Self::None | Self::BareDrop => size == base,
            Self::Iptables => size.prefixes <= 10_000 && size.bans <= 10_000,
            _ => true,
        }
    }

    /// Sets it up on the host. What is on the link goes with it.
    pub(super) fn start(self, world: &World, link: &Link, tools: &Tools) -> Result<Running> {
        let start = Instant::now();
        let mut running = Running::default();
        match self {
            Self::None => {}
            Self::BareDrop => {
                let program = bare_drop()?;
                running._attached = Some(link.host.run(|| bpf::attach(program.as_fd(), link.gated.index, 0))?);
                running.program = Some(program);
            }
            Self::Smtpgate => return smtpgate(world, link, tools),
            Self::Nftables => {
                let text = nftables(world);
                return timed(|| fed(&link.host, "nft", &["-f", "-"], &text));
            }
            Self::Ipset => {
                let text = ipset(world);
                return timed(|| {
                    fed(&link.host, "ipset", &["restore"], &text)?;
                    fed(&link.host, "iptables-restore", &[], IPSET_RULES)
                });
            }
            Self::Iptables => {
                let text = iptables(world);
                return timed(|| fed(&link.host, "iptables-restore", &[], &text));
            }
        }
        running.load = start.elapsed();
        Ok(running)
    }
}

/// Where the command under test and its pins are.
pub(super) struct Tools {
    pub(super) smtpgate: PathBuf,
    pub(super) pins: PathBuf,
}

/// A filter in force. It ends with this.
#[derive(Default)]
pub(super) struct Running {
    /// Until it was in force, from the lists as its tool reads them.
    pub(super) load: Duration,
    /// The XDP program, when it is one.
    pub(super) program: Option<OwnedFd>,
    /// Memory of its process, when it has one.
    pub(super) resident: Option<u64>,
    _attached: Option<OwnedFd>,
    _daemon: Option<Daemon>,
}

struct Daemon {
    process: Child,
    pins: PathBuf,
    _folder: TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = smtpgate::dataplane::unload(&self.pins);
    }
}

fn timed(load: impl FnOnce() -> Result<()>) -> Result<Running> {
    let start = Instant::now();
    load()?;
    Ok(Running {
        load: start.elapsed(),
        ..Running::default()
    })
}

/// The command as a user has it, its lists in files.
fn smtpgate(world: &World, link: &Link, tools: &Tools) -> Result<Running> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().display();
    fs::write(folder.path().join("allow"), world.allow_list())?;
    fs::write(folder.path().join("block"), world.block_list())?;
    File::create(folder.path().join("mail.log"))?;
    let config = folder.path().join("config.toml");
    fs::write(
        &config,
        format!(
            "interfaces = [\"{}\"]\nblock = [\"file:{at}/block\"]\n\
             [gate.mail]\nports = [25, 465, 587]\nallow = [\"file:{at}/allow\"]\n\
             [maillog]\nfollow = [\"{at}/mail.log\"]\n\
             [paths]\nstate = \"{at}/state\"\nrun = \"{at}/run\"\npins = \"{}\"\n",
            link.gated.name,
            tools.pins.display(),
        ),
    )?;
    let start = Instant::now();
    let mut command: Command = link.host.command(&tools.smtpgate);
    let log = File::create(folder.path().join("daemon.log"))?;
    let mut process = command
        .args(["run", "--config"])
        .arg(&config)
        .env("RUST_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    let stdout = process.stdout.take().context("its output")?;
    let id = process.id();
    let said = folder.path().join("daemon.log");
    let daemon = Daemon {
        process,
        pins: tools.pins.clone(),
        _folder: folder,
    };
    let ready = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .any(|line| line == "ready");
    ensure!(
        ready,
        "smtpgate run ended before it was ready: {}",
        fs::read_to_string(said).unwrap_or_default()
    );
    let load = start.elapsed();
    let dataplane = Dataplane::open(&tools.pins, Kernel::probe()?)?;
    let program = Xdp::from_pin(dataplane.program(programs::XDP)?, XdpAttachType::Interface)?;
    Ok(Running {
        load,
        program: Some(program.fd()?.as_fd().try_clone_to_owned()?),
        resident: Some(resident(id)?),
        _attached: None,
        _daemon: Some(daemon),
    })
}

/// Gives a tool its input, in the host's namespace.
fn fed(host: &Netns, tool: &str, arguments: &[&str], text: &str) -> Result<()> {
    let mut child = host
        .command(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| tool.to_owned())?;
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(text.as_bytes()));
    let out = child.wait_with_output()?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!("{tool}: {}", said.chars().take(800).collect::<String>().trim());
    }
    written.transpose()?;
    Ok(())
}

fn joined<T: std::fmt::Display>(items: impl Iterator<Item = T>) -> String {
    let mut text = String::new();
    for item in items {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{item}");
    }
    text
}

fn nftables(world: &World) -> String {
    format!(
        "table inet gate {{
 set allowed {{ type ipv4_addr; flags interval; elements = {{ {} }} }}
 set banned {{ type ipv4_addr; elements = {{ {} }} }}
 chain smtp {{
  ip saddr != @allowed counter drop
  ip saddr @banned counter drop
 }}
 chain input {{ type filter hook input priority 0; policy accept;
  tcp dport {{ 25, 465, 587 }} tcp flags & (fin|syn|rst|ack) == syn jump smtp
 }}
}}
",
        joined(world.admitted()),
        joined(world.banned.iter())
    )
}

/// Both sets have as many places as entries, as ipset's manual advises.
fn ipset(world: &World) -> String {
    let places = |count: usize| count.max(1024).next_power_of_two();
    let mut text = format!(
        "create allowed hash:net family inet hashsize {} maxelem 2097152\n\
         create banned hash:ip family inet hashsize {} maxelem 2097152\n",
        places(world.size.prefixes),
        places(world.size.bans)
    );
    for net in world.admitted() {
        let _ = writeln!(text, "add allowed {net}");
    }
    for address in &world.banned {
        let _ = writeln!(text, "add banned {address}");
    }
    text
}

const IPSET_RULES: &str = "*filter
:SMTP - [0:0]
-A INPUT -p tcp --syn -m multiport --dports 25,465,587 -j SMTP
-A SMTP -m set ! --match-set allowed src -j DROP
-A SMTP -m set --match-set banned src -j DROP
COMMIT
";

fn iptables(world: &World) -> String {
    let mut text =
        "*filter\n:SMTP - [0:0]\n-A INPUT -p tcp --syn -m multiport --dports 25,465,587 -j SMTP\n".to_owned();
    for address in &world.banned {
        let _ = writeln!(text, "-A SMTP -s {address} -j DROP");
    }
    for net in world.admitted() {
        let _ = writeln!(text, "-A SMTP -s {net} -j ACCEPT");
    }
    text + "-A SMTP -j DROP\nCOMMIT\n"
}
