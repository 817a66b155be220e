//! Bare SYNs to the mail host, and who was answered: one each millisecond to find a gap, or a volley of a thousand.
//!
//! Raw sockets, so nothing is sent twice and no connect is kept back: each probe is one packet with its own number in the
//! sequence field, and a SYN+ACK that acknowledges it is the proof that it went through (RFC 9293, section 3.10.7.2).

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::internet::{MAIL4, MAIL6, Site};

/// The sequence number of probe 0.
const FIRST: u32 = 0x5347_0000;
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
/// How long after the last probe answers are still waited for.
const LATE: Duration = Duration::from_millis(500);
/// What protocol number means "with my own IP header", for both families (raw(7), ipv6_raw).
const IPPROTO_RAW: i32 = 255;

/// What became of all probes.
#[derive(Debug)]
pub struct Outcome {
    /// How many were sent.
    pub sent: u32,
    /// The probes that were answered by SYN+ACK: number to source, and milliseconds from the start.
    pub answered: Vec<Probed>,
    /// The probes that were not.
    pub silent: Vec<Probed>,
}

/// One probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    /// Who it came from.
    pub source: IpAddr,
    /// The port of the mail host that it went to.
    pub port: u16,
    /// When it was sent, after the first.
    pub at: Duration,
}

/// Probes that go out until [`Stream::stop`].
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<Outcome>>,
}

impl Stream {
    /// From `site`, one probe a millisecond, the sources and ports in turn.
    pub fn start(site: &Site, sources: Vec<IpAddr>, ports: Vec<u16>) -> Result<Self> {
        let sockets = Sockets::open(site)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let targets = targets(sources, ports);
        let sender = std::thread::spawn(move || {
            sockets.probe(&targets, Duration::from_millis(1), |_| !stopped.load(Ordering::Relaxed))
        });
        Ok(Self { stop, sender })
    }

    /// Ends it, waits for late answers, and tells.
    pub fn stop(self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        self.sender
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Sends `count` probes at once (20 a millisecond), the sources and ports in turn.
pub fn volley(site: &Site, sources: Vec<IpAddr>, ports: Vec<u16>, count: u32) -> Result<Outcome> {
    let pace = Duration::from_micros(50);
    Sockets::open(site)?.probe(&targets(sources, ports), pace, |number| number < count)
}

fn targets(sources: Vec<IpAddr>, ports: Vec<u16>) -> Vec<(IpAddr, u16)> {
    ports
        .iter()
        .flat_map(|port| sources.iter().map(|source| (*source, *port)))
        .collect()
}

struct Sockets {
    send4: Socket,
    send6: Socket,
    receive4: Socket,
    receive6: Socket,
}

impl Sockets {
    fn open(site: &Site) -> Result<Self> {
        site.ns.run(|| {
            let raw = |domain, protocol| Socket::new(domain, Type::RAW, Some(protocol));
            let receive = |domain| {
                let socket = raw(domain, Protocol::TCP)?;
                socket.set_recv_buffer_size(8 << 20)?;
                socket.set_read_timeout(Some(Duration::from_millis(20)))?;
                Ok::<_, io::Error>(socket)
            };
            let opened = (|| {
                Ok::<_, io::Error>(Self {
                    send4: raw(Domain::IPV4, Protocol::from(IPPROTO_RAW))?,
                    send6: raw(Domain::IPV6, Protocol::from(IPPROTO_RAW))?,
                    receive4: receive(Domain::IPV4)?,
                    receive6: receive(Domain::IPV6)?,
                })
            })();
            opened.context("raw sockets")
        })
    }

    /// Sends while `go_on(number)`, one probe each `pace`.
    fn probe(self, targets: &[(IpAddr, u16)], pace: Duration, go_on: impl Fn(u32) -> bool) -> Result<Outcome> {
        let done = Arc::new(AtomicBool::new(false));
        let (acknowledged, numbers) = mpsc::channel();
        let listeners = [(self.receive4, true), (self.receive6, false)].map(|(socket, with_ip)| {
            let (done, acknowledged) = (Arc::clone(&done), acknowledged.clone());
            std::thread::spawn(move || listen(&socket, with_ip, &done, &acknowledged))
        });
        drop(acknowledged);

        let start = Instant::now();
        let mut probes = BTreeMap::new();
        for (number, (source, port)) in (0_u32..).zip(targets.iter().copied().cycle()) {
            if !go_on(number) {
                break;
            }
            if let Some(early) = (start + pace * number).checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            let packet = syn(source, port, number);
            let (socket, to) = match source {
                IpAddr::V4(_) => (&self.send4, SocketAddr::from((MAIL4, 0))),
                IpAddr::V6(_) => (&self.send6, SocketAddr::from((MAIL6, 0))),
            };
            socket
                .send_to(&packet, &to.into())
                .with_context(|| format!("SYN from {source}"))?;
            probes.insert(
                number,
                Probed {
                    source,
                    port,
                    at: start.elapsed(),
                },
            );
        }
        std::thread::sleep(LATE);
        done.store(true, Ordering::Relaxed);
        for listener in listeners {
            listener
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }

        let sent = u32::try_from(probes.len())?;
        let answered = numbers.iter().filter_map(|number| probes.remove(&number)).collect();
        Ok(Outcome {
            sent,
            answered,
            silent: probes.into_values().collect(),
        })
    }
}

fn listen(mut socket: &Socket, with_ip: bool, done: &AtomicBool, found: &mpsc::Sender<u32>) -> Result<()> {
    let mut buffer = [0; 2048];
    while !done.load(Ordering::Relaxed) {
        match socket.read(&mut buffer) {
            Ok(length) => {
                if let Some(number) = acknowledged(&buffer[..length], with_ip) {
                    // The other end is there for as long as listeners are.
                    let _ = found.send(number);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("raw socket"),
        }
    }
    Ok(())
}

/// The number of the probe that a segment accepts. A raw IPv4 socket gives the IP header too, an IPv6 one does not.
fn acknowledged(packet: &[u8], with_ip: bool) -> Option<u32> {
    let header = if with_ip {
        usize::from(packet.first()? & 0x0f) * 4
    } else {
        0
    };
    let tcp = packet.get(header..)?;
    let acknowledges = u32::from_be_bytes(*tcp.get(8..)?.first_chunk()?);
    (tcp.get(13)? & SYN_ACK == SYN_ACK).then(|| acknowledges.wrapping_sub(FIRST + 1))
}

/// An IP packet with nothing but a TCP SYN (RFC 791, 8200, 9293).
fn syn(source: IpAddr, port: u16, number: u32) -> Vec<u8> {
    let mut tcp = [0; 20];
    // A port for each probe of one source: 60,000 of them before one comes again.
    let [_, _, high, low] = (1024 + number % 60_000).to_be_bytes();
    tcp[..2].copy_from_slice(&[high, low]);
    tcp[2..4].copy_from_slice(&port.to_be_bytes());
    tcp[4..8].copy_from_slice(&(FIRST + number).to_be_bytes());
    tcp[12] = 5 << 4;
    tcp[13] = SYN;
    tcp[14..16].copy_from_slice(&[0xff, 0xff]);
    let mut packet = Vec::with_capacity(60);
    let addresses = match source {
        IpAddr::V4(source) => {
            // Linux fills in the header checksum; raw(7).
            packet.extend_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
            [source.octets(), MAIL4.octets()].concat()
        }
        IpAddr::V6(source) => {
            packet.extend_from_slice(&[0x60, 0, 0, 0, 0, 20, 6, 64]);
            [source.octets(), MAIL6.octets()].concat()
        }
    };
    let sum = checksum(&[&addresses, &[0, 6, 0, 20], &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&addresses);
    packet.extend_from_slice(&tcp);
    packet
}

/// RFC 1071, over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let [high, low] = [sum >> 16, sum & 0xffff];
    let folded = high + low;
    !u16::try_from((folded >> 16) + (folded & 0xffff)).unwrap_or(u16::MAX)
}
