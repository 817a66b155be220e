//! A host with the gate's data plane and nothing else, one link away from clients at allowed and foreign addresses: for
//! tests of what is attached, replaced and taken off, which need no mail.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;
use smtpgate::policy::{Ban, Gate, Image, Intent, Limits, Sizes, compile};
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

use crate::lab::netns::{End, Netns, veth};

/// A BPF file system of the calling thread's own, and of the threads and processes that it starts. It goes with them.
#[derive(Debug)]
pub struct BpfFs {
    folder: TempDir,
}

impl BpfFs {
    /// Moves the calling thread into a mount namespace with a fresh BPF file system.
    pub fn mount() -> Result<Self> {
        #[allow(
            unsafe_code,
            reason = "unshare(2) is unsafe for its flags that split file tables; this one does not"
        )]
        // SAFETY: CLONE_NEWNS changes the calling thread's mount namespace and its working directory's owner only.
        unsafe {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWNS).context("a mount namespace needs root")?;
        }
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let folder = tempfile::tempdir()?;
        mount("bpf", folder.path(), "bpf", MountFlags::empty(), None).context("mount -t bpf")?;
        Ok(Self { folder })
    }

    /// Where the gate's pins go.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.folder.path().join("smtpgate")
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.folder.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// The client's address that the test policy allows, IPv4.
pub const ALLOWED: &str = "203.0.113.10";
/// The client's address that it does not.
pub const FOREIGN: &str = "198.51.100.10";
/// As [`ALLOWED`], IPv6.
pub const ALLOWED6: &str = "2001:db8:a::10";
/// As [`FOREIGN`], IPv6.
pub const FOREIGN6: &str = "2001:db8:f::10";
/// The host's addresses.
pub const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// The host and a client with all the addresses above, joined by veth; `eth0` on both.
#[derive(Debug)]
pub struct Pair {
    /// Where the gate goes.
    pub host: Netns,
    /// Who knocks.
    pub client: Netns,
}

impl Pair {
    /// Both, with routes, nothing gated yet, no listener.
    pub fn new() -> Result<Self> {
        let (host, client) = (Netns::new("host")?, Netns::new("client")?);
        veth(
            End {
                ns: &host,
                interface: "eth0",
                mac: [2, 0, 0, 0, 0, 1],
            },
            End {
                ns: &client,
                interface: "eth0",
                mac: [2, 0, 0, 0, 0, 2],
            },
        )?;
        let pair = Self { host, client };
        pair.address()?;
        Ok(pair)
    }

    /// Gives both `eth0` their addresses and routes, as after they were made anew.
    pub fn address(&self) -> Result<()> {
        self.host
            .ip("addr add 192.0.2.1/24 dev eth0\naddr add 2001:db8::1/64 dev eth0\n\
             route add default via 192.0.2.2\nroute add default via 2001:db8::2")?;
        self.client.ip(&format!(
            "addr add 192.0.2.2/24 dev eth0\naddr add 2001:db8::2/64 dev eth0\n\
             addr add {ALLOWED}/32 dev eth0\naddr add {FOREIGN}/32 dev eth0\n\
             addr add {ALLOWED6}/128 dev eth0\naddr add {FOREIGN6}/128 dev eth0"
        ))
    }

    /// Whether a SYN from `source` (one of the client's addresses) to a port of the host is answered, by a listener or a
    /// reset. One SYN is sent, or two.
    pub fn answered(&self, source: &str, port: u16) -> Result<bool> {
        self.client
            .run(|| answered(source.parse()?, port, Duration::from_millis(600)))
    }

    /// The names of what is gated as it should be: the allowed addresses are answered on 25, the foreign ones not, and
    /// all are on 80.
    pub fn gated(&self) -> Result<()> {
        for (source, port, expected) in [
            (ALLOWED, 25, true),
            (FOREIGN, 25, false),
            (FOREIGN, 80, true),
            (ALLOWED6, 25, true),
            (FOREIGN6, 25, false),
            (FOREIGN6, 80, true),
        ] {
            let answered = self.answered(source, port)?;
            anyhow::ensure!(
                answered == expected,
                "port {port} from {source}: answered {answered}, expected {expected}"
            );
        }
        Ok(())
    }

    /// The contrary: everything is answered.
    pub fn open(&self) -> Result<()> {
        for source in [ALLOWED, FOREIGN, ALLOWED6, FOREIGN6] {
            anyhow::ensure!(self.answered(source, 25)?, "port 25 from {source} is not answered");
        }
        Ok(())
    }
}

/// As [`Pair::answered`], in the calling thread's network namespace.
pub fn answered(source: IpAddr, port: u16, patience: Duration) -> Result<bool> {
    let host: IpAddr = HOST[usize::from(source.is_ipv6())].parse()?;
    let to = SocketAddr::new(host, port);
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect_timeout(&to.into(), patience) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(anyhow!(error).context(format!("{source} to {to}"))),
    }
}

/// A policy with one gate on 25 that allows [`ALLOWED`]'s /24 and [`ALLOWED6`]'s /48.
#[must_use]
pub fn intent() -> Intent {
    Intent {
        gates: vec![Gate {
            name: "mx".to_owned(),
            ports: vec![25],
            allow: ["203.0.113.0/24", "2001:db8:a::/48"]
                .iter()
                .filter_map(|net| net.parse().ok())
                .collect(),
            observe: false,
        }],
        ..Intent::default()
    }
}

/// [`intent`] with a ban of one address until a tick.
pub fn banning(address: &str, until: u32) -> Result<Intent> {
    let prefix = address.parse::<IpAddr>()?.into();
    Ok(Intent {
        bans: vec![Ban { prefix, until }],
        ..intent()
    })
}

/// An image of a policy in maps of the usual sizes.
pub fn image(intent: &Intent) -> Result<Image> {
    let table = compile(intent);
    let sizes = Sizes::for_table(&table, &Limits::default())?;
    Ok(Image::build(&table, sizes)?)
}
