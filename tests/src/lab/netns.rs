//! Network namespaces and what joins them: veth pairs, addresses, routes, sysctls.
//!
//! A namespace is held by a file descriptor and by nothing else. There is no entry under `/run/netns` to sweep away: when
//! the owner ends, however it ends, the kernel frees the namespace with its interfaces and the programs attached to them.
//! Tools reach it by [`Netns::path`], which `ip link ... netns` and `nsenter --net=` take as well as a name.

use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// One host's network: its own interfaces, addresses, routes and ports.
#[derive(Debug)]
pub struct Netns {
    /// What messages call it, for example `mail`.
    name: String,
    ns: OwnedFd,
}

/// One end of a veth pair.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// Where the interface lives.
    pub ns: &'a Netns,
    /// Its name, at most 15 bytes.
    pub interface: &'a str,
    /// Its Ethernet address. Locally administered ones start with `02`.
    pub mac: [u8; 6],
}

impl Netns {
    /// A new namespace with `lo` up, no reverse-path filter, and IPv6 addresses that are usable at once (no duplicate
    /// address detection, no router solicitation). `name` only appears in messages.
    pub fn new(name: &str) -> Result<Self> {
        let made = std::thread::scope(|scope| scope.spawn(unshared).join());
        let ns = match made {
            Ok(ns) => ns.with_context(|| format!("namespace {name}: cannot be made (root is needed)"))?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Self::prepared(name, ns)
    }

    /// The namespace that this process is in, prepared as a new one is: for a machine that is the lab's mail host itself.
    pub fn own(name: &str) -> Result<Self> {
        Self::prepared(name, std::fs::File::open("/proc/self/ns/net")?.into())
    }

    fn prepared(name: &str, ns: OwnedFd) -> Result<Self> {
        let ns = Self {
            name: name.to_owned(),
            ns,
        };
        for (key, value) in [
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv6/conf/all/disable_ipv6", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
        ] {
            ns.sysctl(key, value)?;
        }
        ns.ip("link set lo up")?;
        Ok(ns)
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path that names this namespace to tools for as long as this process lives.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.ns.as_raw_fd()).into()
    }

    /// Runs `f` in a thread of this namespace. Sockets opened in it stay here, whoever uses them later.
    ///
    /// Start no process inside: it would be killed when the thread ends. [`Netns::command`] is for that.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let ran = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(self.ns.as_fd(), Some(LinkNameSpaceType::Network))
                        .with_context(|| format!("namespace {}: cannot be entered", self.name))?;
                    f()
                })
                .join()
        });
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A command that runs `program` in this namespace (and in this process's mount namespace, so with its bpffs).
    ///
    /// The child has the pid that `spawn` returns, and is killed when the thread that spawned it ends: spawn from the
    /// test's own thread.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]);
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command
    }

    /// Runs iproute2 commands here, one a line, as in `ip -batch`. The first that fails ends it.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let mut child = self
            .command("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("setpriv: cannot be started; apt-get install util-linux iproute2")?;
        // A command that fails at once closes its input early; what it says on stderr is the better error.
        let written = child.stdin.take().map(|mut stdin| stdin.write_all(lines.as_bytes()));
        let out = child.wait_with_output()?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            bail!("ip in namespace {}: {}\n{lines}", self.name, said.trim());
        }
        written.transpose()?;
        Ok(())
    }

    /// Sets `key` (a path below `/proc/sys`, for example `net/ipv4/ip_forward`) in this namespace.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.run(|| {
            std::fs::write(format!("/proc/sys/{key}"), value)
                .with_context(|| format!("sysctl {key}={value} in namespace {}", self.name))
        })
    }

    /// GRO decides whether veth has a NAPI of its own, and so whether native XDP works on it; it must be on before the
    /// interface goes up.
    fn gro_on(&self, interface: &str) -> Result<()> {
        let out = self
            .command("ethtool")
            .args(["-K", interface, "gro", "on"])
            .output()
            .context("setpriv: cannot be started; apt-get install util-linux ethtool")?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            bail!(
                "ethtool -K {interface} gro on in namespace {}: {}",
                self.name,
                said.trim()
            );
        }
        Ok(())
    }
}

/// Joins two namespaces by a veth pair, both ends up and fit for native XDP.
pub fn veth(a: End<'_>, b: End<'_>) -> Result<()> {
    a.ns.ip(&format!(
        "link add {} address {} type veth peer name {} address {} netns {}",
        a.interface,
        colons(a.mac),
        b.interface,
        colons(b.mac),
        b.ns.path().display()
    ))?;
    for end in [a, b] {
        end.ns.gro_on(end.interface)?;
    }
    for end in [a, b] {
        end.ns.ip(&format!("link set {} up", end.interface))?;
    }
    Ok(())
}

fn colons(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Moves the calling thread, which must end after it, into a new network namespace.
fn unshared() -> Result<OwnedFd> {
    #[allow(
        unsafe_code,
        reason = "unshare(2) is unsafe for its flags that split file tables; this one does not"
    )]
    // SAFETY: CLONE_NEWNET changes nothing but the calling thread's network namespace.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)?;
    }
    Ok(std::fs::File::open("/proc/thread-self/ns/net")?.into())
}
