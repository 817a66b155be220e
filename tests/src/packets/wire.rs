//! The table over a real link: a host with listeners on every port that the table knows, and whoever sends it frames.
//!
//! All that the host answers goes back over the same link, whatever the source was, so that nothing it says is missed.
//! SYN cookies are always on: each SYN gets its answer at once and leaves no state behind, so none depends on another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::builder::{ethernet, ethertype};
use super::cases::{Case, index_of_mac, mac, train_of_acknowledgement};
use super::policy::{HOST4, HOST6, VLAN};
use super::raw::RawSocket;
use crate::lab::netns::{End, Netns, veth};

/// The host's interface.
pub const INTERFACE: &str = "eth0";
const HOST_MAC: [u8; 6] = [2, 0xff, 0, 0, 0, 1];
const NET_MAC: [u8; 6] = [2, 0xff, 0, 0, 0, 2];
/// In gates, and not.
const PORTS: [u16; 5] = [25, 465, 587, 2525, 80];
/// Frames that are on their way at once; the smallest queue between the two ends holds more.
const BATCH: usize = 64;
/// How long what must come is waited for.
const LATE: Duration = Duration::from_secs(5);
/// How long after the last frame an answer that must not come is waited for.
const QUIET: Duration = Duration::from_millis(300);

/// A host, and the link to it.
#[derive(Debug)]
pub struct Wire {
    /// The host; its interface is [`INTERFACE`].
    pub host: Netns,
    /// The rest of the world.
    net: Netns,
    socket: RawSocket,
    listeners: Vec<TcpListener>,
    vlans: bool,
}

impl Wire {
    /// A host at [`HOST4`] and [`HOST6`], and nothing on its interface yet.
    pub fn new() -> Result<Self> {
        Self::of_mtu(1_500)
    }

    /// The same with packets of so many bytes on the link.
    pub fn of_mtu(mtu: u32) -> Result<Self> {
        let (host, net) = (Netns::new("host")?, Netns::new("net")?);
        veth(
            End {
                ns: &host,
                interface: INTERFACE,
                mac: HOST_MAC,
            },
            End {
                ns: &net,
                interface: INTERFACE,
                mac: NET_MAC,
            },
        )?;
        for end in [&host, &net] {
            end.ip(&format!("link set {INTERFACE} mtu {mtu}"))?;
        }
        // Nothing of its own shall come in between.
        net.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        host.sysctl("net/ipv4/tcp_syncookies", "2")?;
        let neighbour = NET_MAC.map(|byte| format!("{byte:02x}")).join(":");
        host.ip(&format!(
            "addr add {HOST4}/32 dev {INTERFACE}
             addr add {HOST6}/128 dev {INTERFACE} nodad
             route add default via 169.254.0.1 dev {INTERFACE} onlink
             neigh add 169.254.0.1 lladdr {neighbour} dev {INTERFACE} nud permanent
             route add default via fe80::ffff dev {INTERFACE} onlink
             neigh add fe80::ffff lladdr {neighbour} dev {INTERFACE} nud permanent"
        ))?;
        let listeners = host.run(|| {
            PORTS
                .into_iter()
                .map(|port| {
                    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).with_context(|| format!("listen on {port}"))
                })
                .collect()
        })?;
        let socket = net.run(|| RawSocket::open(INTERFACE))?;
        Ok(Self {
            host,
            net,
            socket,
            listeners,
            vlans: false,
        })
    }

    /// Gives the host interfaces for up to six tags of one kind with [`VLAN`] as id: it gets such frames then. Not every
    /// kernel has these (`CONFIG_VLAN_8021Q`).
    pub fn with_vlans(mut self) -> Result<Self> {
        for (kind, letter) in [("802.1Q", 'q'), ("802.1ad", 'd')] {
            let mut below = INTERFACE.to_owned();
            for depth in 1..=6 {
                let name = format!("{letter}{depth}");
                self.host.ip(&format!(
                    "link add link {below} name {name} type vlan protocol {kind} id {VLAN}\nlink set {name} up"
                ))?;
                below = name;
            }
        }
        self.vlans = true;
        Ok(self)
    }

    /// Whether Linux, with no gate before it, answers the case's train on this host.
    #[must_use]
    pub fn answers(&self, case: &Case) -> bool {
        case.answered && (self.vlans || !case.vlan)
    }

    /// Sends every frame of the table that can be sent, and tells which trains the host answered with SYN+ACK from one
    /// of `ports`.
    pub fn answered(&self, cases: &[Case], ports: &[u16]) -> Result<BTreeSet<u32>> {
        if self.listeners.len() != PORTS.len() {
            bail!("{}: listeners are missing", self.net.name());
        }
        let mut trains = BTreeSet::new();
        let mut look = |frame: &[u8]| {
            if let Some((port, acknowledged)) = syn_ack(frame)
                && ports.contains(&port)
            {
                trains.insert(train_of_acknowledgement(acknowledged));
            }
        };
        for batch in sendable(cases).chunks(BATCH) {
            for (_, frame) in batch {
                self.socket.send(frame).context("a frame of the table")?;
            }
            drain(&self.socket, Duration::ZERO, &mut look)?;
        }
        drain(&self.socket, QUIET, &mut look)?;
        Ok(trains)
    }

    /// Puts an observer behind everything that meets frames on the host's interface, XDP and tc. From then on the host
    /// itself gets nothing.
    pub fn observer(&self) -> Result<Observer> {
        // A macvlan in passthru mode takes what is left after XDP, taps and the ingress hook (__netif_receive_skb_core:
        // rx_handler), VLAN tags and all.
        self.host.ip(&format!(
            "link add link {INTERFACE} name behind type macvlan mode passthru\nlink set behind up"
        ))?;
        Ok(Observer(self.host.run(|| RawSocket::open("behind"))?))
    }

    /// Sends every frame that can be sent, and tells which came out behind: numbers of cases.
    pub fn passed(&self, observer: &Observer, cases: &[Case]) -> Result<BTreeSet<usize>> {
        let mut seen = BTreeMap::new();
        let marks = cases.len();
        for (number, batch) in sendable(cases).chunks(BATCH).enumerate() {
            for (_, frame) in batch {
                self.socket.send(frame).context("a frame of the table")?;
            }
            // No gate has anything against this one: when it is there, all before it are.
            let mark = marks + number;
            self.socket
                .send(&addressed(mark, ethernet(&[], ethertype::EXPERIMENT, &[0; 46])))?;
            let deadline = Instant::now() + LATE;
            while !seen.contains_key(&mark) {
                if Instant::now() > deadline {
                    bail!(
                        "a frame that nobody filters did not come through; {} others did",
                        seen.len()
                    );
                }
                drain(&observer.0, Duration::ZERO, &mut |frame| {
                    if let Some(index) = frame.get(6..12).and_then(|mac| index_of_mac(mac.try_into().ok()?)) {
                        *seen.entry(index).or_insert(0) += 1;
                    }
                })?;
            }
        }
        if let Some((index, times)) = seen.iter().find(|(_, times)| **times > 1) {
            bail!("frame {index} came {times} times");
        }
        Ok(seen.into_keys().filter(|index| *index < marks).collect())
    }
}

/// Behind everything on the host's interface.
#[derive(Debug)]
pub struct Observer(RawSocket);

/// The frames that have an Ethernet header, addressed to the host, with their numbers. packet(7) sends no others.
#[must_use]
pub fn sendable(cases: &[Case]) -> Vec<(usize, Vec<u8>)> {
    cases
        .iter()
        .enumerate()
        .filter(|(_, case)| case.frame.len() >= 14)
        .map(|(index, case)| (index, addressed(index, case.frame.clone())))
        .collect()
}

fn addressed(index: usize, mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&HOST_MAC);
    frame[6..12].copy_from_slice(&mac(index));
    frame
}

/// Reads until nothing came for `quiet` (or for the socket's own short patience).
fn drain(socket: &RawSocket, quiet: Duration, look: &mut impl FnMut(&[u8])) -> Result<()> {
    let mut buffer = vec![0; 16_384];
    let mut last = Instant::now();
    loop {
        match socket.receive(&mut buffer)? {
            Some(frame) => {
                look(frame);
                last = Instant::now();
            }
            None if last.elapsed() >= quiet => return Ok(()),
            None => {}
        }
    }
}

/// Source port and acknowledgement number of a SYN+ACK that the host sent.
fn syn_ack(frame: &[u8]) -> Option<(u16, u32)> {
    if frame.get(6..12)? != HOST_MAC {
        return None;
    }
    let tcp = match u16::from_be_bytes(*frame.get(12..)?.first_chunk()?) {
        ethertype::IPV4 if *frame.get(23)? == 6 => frame.get(14 + usize::from(frame.get(14)? & 15) * 4..)?,
        ethertype::IPV6 if *frame.get(20)? == 6 => frame.get(54..)?,
        _ => return None,
    };
    let number = |at: usize| Some(u32::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
    if tcp.get(13)? & 0x12 != 0x12 {
        return None;
    }
    Some((u16::from_be_bytes(*tcp.first_chunk()?), number(8)?))
}
