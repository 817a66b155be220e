//! Frames by chance, of which most are nearly what an honest or a hostile host would send: so they get as far into the
//! decision as the cases of the table do, and to places that nobody thought of.
//!
//! A frame hangs on its seed and its number alone. What must become of it is not known here; it is asked of two that must
//! agree.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use super::builder::{ACK, DONT, Extension, Ipv4, Ipv6, MORE, RESERVED, SYN, Tag, Tcp, ethernet, ethertype, protocol};
use super::policy::{GATED, VLAN, Version, Who, intent, to_host};
use crate::dice::Dice;

/// Before Linux 5.18 a test run takes no more than a page with its head and tail room (net/bpf/test_run.c).
const LONGEST: usize = 3_400;
/// The Ethernet header: what a test run wants at least.
const SHORTEST: usize = 14;
/// Bytes of a frame that hold its headers, most of the time.
const HEADERS: usize = 120;
/// What headers are often told apart by.
const TELLING: [u8; 16] = [0, 1, 2, 4, 5, 6, 8, 0x10, 43, 44, 0x45, 0x4f, 51, 60, 0x60, 0xff];

/// Which frames are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// So many.
    pub frames: u64,
    /// Another seed, other frames.
    pub seed: u64,
}

impl Amount {
    /// Variable of the environment that says how many.
    pub const FRAMES: &'static str = "SMTPGATE_FRAMES";
    /// Variable of the environment that says from which seed.
    pub const SEED: &'static str = "SMTPGATE_SEED";

    /// As the environment has it; without it a slice that takes seconds on an emulated machine.
    pub fn asked() -> Result<Self> {
        let number = |name: &str, usual: u64| match std::env::var(name) {
            Ok(text) => text.parse().with_context(|| format!("{name}={text} is no number")),
            Err(_) => Ok(usual),
        };
        Ok(Self {
            frames: number(Self::FRAMES, 5_000)?,
            seed: number(Self::SEED, 1)?,
        })
    }
}

/// Makes frames for the policy of the table.
#[derive(Debug)]
pub struct Generator {
    seed: u64,
    nets: [Vec<IpNet>; 2],
}

impl Generator {
    /// Of these frames.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let intent = intent();
        let allow = intent.gates.iter().flat_map(|gate| &gate.allow);
        let bans = intent.bans.iter().map(|ban| &ban.prefix);
        let all = allow.chain(&intent.trust).chain(&intent.block).chain(bans);
        let (six, four) = all.copied().partition(|net| net.addr().is_ipv6());
        Self {
            seed,
            nets: [four, six],
        }
    }

    /// The frame of this number.
    #[must_use]
    pub fn frame(&self, number: u64) -> Vec<u8> {
        let mut maker = Maker {
            dice: Dice(self.seed.rotate_left(40) ^ number << 16),
            nets: &self.nets,
        };
        maker.frame()
    }
}

struct Maker<'a> {
    dice: Dice,
    nets: &'a [Vec<IpNet>; 2],
}

impl Maker<'_> {
    fn frame(&mut self) -> Vec<u8> {
        let version = self.dice.pick(&Version::BOTH);
        let packet = match version {
            Version::Four => self.ipv4(),
            Version::Six => self.ipv6(),
        };
        let mut kind = match version {
            Version::Four => ethertype::IPV4,
            Version::Six => ethertype::IPV6,
        };
        if self.dice.chance(3) {
            kind = self
                .dice
                .pick(&[ethertype::IPV4, ethertype::IPV6, ethertype::ARP, 0x9100]);
        }
        let tags = self.tags();
        let mut frame = ethernet(&tags, kind, &packet);
        if self.dice.chance(20) {
            let padding = self.dice.below(64);
            let filling = self.dice.pick(&[0, SYN, 0x19, 0xff]);
            frame.resize(frame.len() + padding, filling);
        }
        if self.dice.chance(30) {
            for _ in 0..=self.dice.below(3) {
                self.spoil(&mut frame);
            }
        }
        frame.resize(frame.len().clamp(SHORTEST, LONGEST), 0);
        frame
    }

    fn tags(&mut self) -> Vec<Tag> {
        let number = match self.dice.below(10) {
            0..=6 => 0,
            7 | 8 => 1 + self.dice.below(2),
            _ => 3 + self.dice.below(4),
        };
        let mut tags = Vec::new();
        for _ in 0..number {
            tags.push(Tag {
                kind: self.dice.pick(&[ethertype::VLAN, ethertype::SERVICE_VLAN]),
                control: if self.dice.chance(80) {
                    self.dice.pick(&[0, VLAN])
                } else {
                    self.dice.short()
                },
            });
        }
        tags
    }

    fn source(&mut self, version: Version) -> IpAddr {
        let nets = &self.nets[usize::from(version == Version::Six)];
        let bits = match self.dice.below(20) {
            0..=11 => return self.dice.pick(&Who::ALL).address(version),
            // On both sides of an edge.
            12..=16 => {
                let (first, last) = edges(&self.dice.pick(nets));
                self.dice
                    .pick(&[first.wrapping_sub(1), first, last, last.wrapping_add(1)])
            }
            17 | 18 => {
                let (first, last) = edges(&self.dice.pick(nets));
                first | self.bits() & (last ^ first)
            }
            _ => self.bits(),
        };
        match version {
            Version::Four => {
                let [.., a, b, c, d] = bits.to_be_bytes();
                Ipv4Addr::new(a, b, c, d).into()
            }
            Version::Six => Ipv6Addr::from_bits(bits).into(),
        }
    }

    fn bits(&mut self) -> u128 {
        u128::from(self.dice.word()) << 64 | u128::from(self.dice.word())
    }

    /// What an IP packet with this protocol carries: a TCP segment, or the beginning of one.
    fn payload(&mut self, source: IpAddr) -> Vec<u8> {
        let mut segment = self.tcp().bytes(to_host(source));
        if self.dice.chance(12) {
            segment.truncate(self.dice.below(24));
        }
        segment
    }

    fn tcp(&mut self) -> Tcp {
        let port = match self.dice.below(10) {
            0..=7 => self.dice.pick(&GATED),
            // Beside a gate, and with its bytes the other way round.
            8 => self
                .dice
                .pick(&[24, 26, 464, 466, 586, 588, 2524, 2526, 0x1900, 0xd101]),
            _ => self.dice.short(),
        };
        let flags = match self.dice.below(12) {
            0..=8 => SYN,
            9 => SYN | self.dice.byte() & !ACK,
            10 => SYN | ACK,
            _ => self.dice.byte(),
        };
        let source = self.dice.short();
        let mut tcp = Tcp::syn(source, port, self.dice.half()).flags(flags);
        tcp.acknowledged = self.dice.half();
        if self.dice.chance(30) {
            tcp.options = vec![1; self.dice.below(11) * 4];
        }
        if self.dice.chance(20) {
            tcp.data = vec![SYN; self.dice.below(64)];
        }
        if self.dice.chance(10) {
            tcp.words = Some(self.dice.byte() & 15);
            tcp.reserved = self.dice.byte() & 15;
        }
        tcp.checksum = !self.dice.chance(10);
        tcp
    }

    /// Mostly TCP; a tunnel, too, with a SYN inside it that is none of the gate's business.
    fn protocol(&mut self) -> u8 {
        const IPV6: u8 = 41;
        const GRE: u8 = 47;
        if self.dice.chance(92) {
            return protocol::TCP;
        }
        let other = self.dice.byte();
        let known = [protocol::ICMP, protocol::IPIP, protocol::UDP, IPV6, GRE, protocol::SCTP];
        if self.dice.chance(50) {
            self.dice.pick(&known)
        } else {
            other
        }
    }

    #[allow(clippy::unreachable, reason = "addresses of the family that was asked for")]
    fn ipv4(&mut self) -> Vec<u8> {
        let source = self.source(Version::Four);
        let ends = to_host(source);
        let (IpAddr::V4(from), IpAddr::V4(to)) = (source, ends.destination) else {
            unreachable!()
        };
        let payload = self.payload(source);
        let mut ip = Ipv4::new(from, to, self.protocol());
        ip.marks = self.dice.pick(&[0, DONT]);
        if self.dice.chance(25) {
            ip.options = vec![1; self.dice.below(11) * 4];
        }
        if self.dice.chance(25) {
            (ip.marks, ip.offset) = match self.dice.below(4) {
                0 | 1 => (MORE, 0),
                2 => (self.dice.pick(&[0, MORE]), 1),
                _ => (self.dice.short() & (RESERVED | DONT | MORE), self.dice.short() & 0x1fff),
            };
        }
        if self.dice.chance(8) {
            ip.total = Some(self.length(20 + ip.options.len() + payload.len()));
        }
        if self.dice.chance(4) {
            ip.words = Some(self.dice.byte() & 15);
        }
        if self.dice.chance(1) {
            ip.version = self.dice.byte() & 15;
        }
        ip.checksum = !self.dice.chance(10);
        ip.packet(&payload)
    }

    #[allow(clippy::unreachable, reason = "addresses of the family that was asked for")]
    fn ipv6(&mut self) -> Vec<u8> {
        let source = self.source(Version::Six);
        let ends = to_host(source);
        let (IpAddr::V6(from), IpAddr::V6(to)) = (source, ends.destination) else {
            unreachable!()
        };
        let payload = self.payload(source);
        let mut ip = Ipv6::new(from, to, self.protocol());
        let number = match self.dice.below(10) {
            0..=4 => 0,
            5..=7 => 1 + self.dice.below(3),
            8 => 4 + self.dice.below(5),
            _ => 7 + self.dice.below(4),
        };
        for _ in 0..number {
            let extension = self.extension();
            ip.extensions.push(extension);
        }
        let jumbo = ip
            .extensions
            .first()
            .is_some_and(|first| first.kind == protocol::HOP_BY_HOP);
        if jumbo && self.dice.chance(20) {
            ip.length = Some(0);
        } else if self.dice.chance(8) {
            let behind: usize = ip.extensions.iter().map(|extension| 1 + extension.rest.len()).sum();
            ip.length = Some(self.length(behind + payload.len()));
        }
        if self.dice.chance(1) {
            ip.version = self.dice.byte() & 15;
        }
        ip.packet(&payload)
    }

    fn extension(&mut self) -> Extension {
        const MOBILITY: u8 = 135;
        let long = self.dice.chance(3);
        let units = 1 + self.dice.byte() % if long { 128 } else { 4 };
        let extension = match self.dice.below(20) {
            0..=3 => Extension::options(protocol::HOP_BY_HOP, units),
            4..=7 => Extension::options(protocol::DESTINATION, units),
            8..=11 => Extension::routing(units),
            12..=14 => Extension::authentication(units),
            15..=17 => Extension::fragment(0, self.dice.chance(60), self.dice.half()),
            18 => {
                let offset = if self.dice.chance(50) {
                    1
                } else {
                    self.dice.short() >> 3
                };
                Extension::fragment(offset, self.dice.chance(50), self.dice.half())
            }
            _ => Extension::options(MOBILITY, 1),
        };
        if self.dice.chance(2) {
            let length = self.dice.byte();
            return extension.length(length);
        }
        extension
    }

    /// A length that is a lie: a little too much or too little, or anything.
    fn length(&mut self, honest: usize) -> u16 {
        let honest = u16::try_from(honest).unwrap_or(u16::MAX);
        let lie = u16::from(self.dice.byte() % 32);
        match self.dice.below(5) {
            0 | 1 => honest.saturating_sub(lie),
            2 => honest.saturating_add(lie),
            3 => u16::try_from(self.dice.below(usize::from(honest) + 1)).unwrap_or_default(),
            _ => self.dice.short(),
        }
    }

    /// One thing wrong that no builder would do.
    fn spoil(&mut self, frame: &mut Vec<u8>) {
        let headers = frame.len().min(HEADERS);
        // Behind the Ethernet addresses.
        let at = 12 + self.dice.below(headers.saturating_sub(12));
        let byte = self.dice.byte();
        match self.dice.below(8) {
            0..=2 => frame[at] ^= 1 << (byte & 7),
            3 => frame[at] = byte,
            4 => frame[at] = self.dice.pick(&TELLING),
            5 => frame.truncate(at),
            6 => frame.insert(at, byte),
            _ => {
                frame.remove(at);
            }
        }
        frame.resize(frame.len().max(SHORTEST), 0);
    }
}

/// First and last address as numbers.
fn edges(net: &IpNet) -> (u128, u128) {
    match net {
        IpNet::V4(net) => (net.network().to_bits().into(), net.broadcast().to_bits().into()),
        IpNet::V6(net) => (net.network().to_bits(), net.broadcast().to_bits()),
    }
}
