//! The wire: a mail host and whoever floods it, one veth pair between them, each end on a processor of its own.
//!
//! The host's end receives in a kernel thread, as a NIC's driver under load does, so that what a frame costs there is that
//! thread's processor time, exactly.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::bpf;
use super::driver::only_for;
use super::world::CLIENT;
use crate::kernels::succeed;
use crate::lab::netns::{End, Netns, veth};

/// The mail host.
pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The next hop on the other side.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Its Ethernet address.
pub(super) const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The processor of the receiving side.
pub(super) const RECEIVING: usize = 0;
/// The processor of the sending side.
pub(super) const SENDING: usize = 1;

pub(super) struct Link {
    pub(super) host: Netns,
    pub(super) client: Netns,
    /// The host's interface.
    pub(super) gated: Interface,
    /// The other end.
    pub(super) far: Interface,
    _server: Server,
    _only_for_client: OwnedFd,
}

#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
}

impl Link {
    pub(super) fn new() -> Result<Self> {
        let (host, client) = (Netns::new("peers-host")?, Netns::new("peers-client")?);
        // Kernel threads are called by them, whatever their namespace.
        let [gated, far] = ["h", "c"].map(|end| format!("p{end}{}", std::process::id()));
        veth(
            End {
                ns: &host,
                interface: &gated,
                mac: HOST_MAC,
            },
            End {
                ns: &client,
                interface: &far,
                mac: CLIENT_MAC,
            },
        )?;
        for (ns, interface) in [(&host, &gated), (&client, &far)] {
            ns.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
            // Segments of a sender that may leave them to the device do not go through the ring that the flood fills.
            succeed(ns.command("ethtool").args(["-K", interface, "tso", "off"]))?;
            // The interfaces that a sysfs shows are those of the namespace it was mounted in.
            let threaded = format!("mount -t sysfs sysfs /sys && echo 1 > /sys/class/net/{interface}/threaded");
            succeed(ns.command("unshare").args(["--mount", "sh", "-c", &threaded]))?;
        }
        client.ip(&format!(
            "addr add {CLIENT}/32 dev {far}\naddr add {GATEWAY}/32 dev {far}\n\
             route add {HOST} dev {far} src {CLIENT}\n\
             neigh add {HOST} lladdr 02:00:00:00:00:01 dev {far} nud permanent"
        ))?;
        host.ip(&format!(
            "addr add {HOST}/32 dev {gated}\nneigh add {GATEWAY} lladdr 02:00:00:00:00:02 dev {gated} nud permanent\n\
             route add default via {GATEWAY} dev {gated} onlink"
        ))?;
        let (gated, far) = (Interface::of(&host, gated)?, Interface::of(&client, far)?);
        let only_for_client = client.run(|| bpf::attach(only_for(CLIENT)?.as_fd(), far.index, 0))?;
        let server = Server::start(&host)?;
        let link = Self {
            host,
            client,
            gated,
            far,
            _server: server,
            _only_for_client: only_for_client,
        };
        link.settle()?;
        Ok(link)
    }

    /// Binds both receiving threads to their processors, at the rank that softirqs have; attaching a program makes new ones.
    pub(super) fn settle(&self) -> Result<()> {
        for (interface, processor) in [(&self.gated, RECEIVING), (&self.far, SENDING)] {
            let thread = receiver(interface)?;
            sched_setaffinity(Some(thread), &only(processor))?;
            let id = thread.as_raw_nonzero().to_string();
            succeed(Command::new("renice").args(["-n", "-20", "-p", &id]))?;
        }
        Ok(())
    }

    /// Processor time that the host spent on receiving.
    pub(super) fn receiving(&self) -> Result<Duration> {
        let thread = receiver(&self.gated)?.as_raw_nonzero();
        let text = fs::read_to_string(format!("/proc/{thread}/schedstat"))?;
        let first = text.split_whitespace().next().context("schedstat")?;
        Ok(Duration::from_nanos(first.parse()?))
    }

    /// Frames that the host received, whatever became of them.
    pub(super) fn received(&self) -> Result<u64> {
        let text = self.host.run(|| Ok(fs::read_to_string("/proc/thread-self/net/dev")?))?;
        let start = format!("{}:", self.gated.name);
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&start));
        let packets = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(packets.context("/proc/net/dev")?.parse()?)
    }

    /// TCP segments that got as far as the host's stack.
    pub(super) fn segments(&self) -> Result<u64> {
        let text = self
            .host
            .run(|| Ok(fs::read_to_string("/proc/thread-self/net/snmp")?))?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
            bail!("/proc/net/snmp has no TCP")
        };
        let mut pairs = names.split(' ').zip(numbers.split(' '));
        let (_, number) = pairs.find(|(name, _)| *name == "InSegs").context("InSegs")?;
        Ok(number.parse()?)
    }
}

impl Interface {
    fn of(ns: &Netns, name: String) -> Result<Self> {
        let index = ns.run(|| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
            Ok(rustix::net::netdevice::name_to_index(&socket, &name)?)
        })?;
        Ok(Self { name, index })
    }
}

/// The thread that receives on an interface.
fn receiver(interface: &Interface) -> Result<Pid> {
    // Names of threads are cut.
    let name: String = format!("napi/{}-", interface.name).chars().take(15).collect();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|id| id.parse().ok()) else {
            continue;
        };
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.starts_with(&name) {
            return Pid::from_raw(id).context("a thread's number");
        }
    }
    bail!("{}: no thread receives on it (Linux 5.12 has them)", interface.name)
}

pub(super) fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(processor);
    set
}

/// Binds the calling thread.
pub(super) fn bind(processor: usize) -> Result<()> {
    Ok(sched_setaffinity(None, &only(processor))?)
}

/// A mail server as far as a client waits for it: it greets and hangs up, on the receiving processor.
struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(host: &Netns) -> Result<Self> {
        let listener = host.run(|| Ok(TcpListener::bind((HOST, 25))?))?;
        listener.set_nonblocking(false)?;
        let wait = socket2::SockRef::from(&listener);
        wait.set_read_timeout(Some(Duration::from_millis(50)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let _ = bind(RECEIVING);
            while !stopped.load(Relaxed) {
                if let Ok((mut client, _)) = listener.accept() {
                    let _ = client.write_all(b"220 mail.example.com ESMTP\r\n");
                }
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
