//! What a verdict costs: the loaded program by `BPF_PROG_TEST_RUN`, kind by kind, beside a program that only drops.
//!
//! `bench-testrun [ROUNDS]`. Needs root, and nothing else: the policy is the built-in table's Japan with 100,000 listed
//! Japanese addresses, the interface is in a network namespace of its own, and no packet is sent. Every kind is run with
//! many sources, each so often that the clock's grain and the system call do not count; both programs take turns.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aya::programs::{TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, TestRun as _};
use aya_obj::programs::XdpAttachType;
use ipnet::IpNet;
use smtpgate::config::Database;
use smtpgate::policy::intent::{Gate as MailGate, Intent};
use smtpgate::sources::Sources;
use smtpgate_common::abi::programs;
use smtpgate_tests::dice::Dice;
use smtpgate_tests::lab::netns::{End, Netns, veth};
use smtpgate_tests::packets::builder::{ACK, Ends, Ipv4, Ipv6, Tcp, ethernet, ethertype, protocol, udp};
use smtpgate_tests::packets::gate::Gate;

/// Sources of a kind.
const SOURCES: usize = 64;
/// Runs of one frame in one go.
const REPEAT: u32 = 20_000;
/// Listed addresses.
const LISTED: usize = 100_000;

const HOST4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd00, 5, 0, 0, 0, 0, 0, 1);

fn main() -> Result<()> {
    let rounds: usize = std::env::args()
        .nth(1)
        .map_or(Ok(5), |text| text.parse())
        .context("ROUNDS is a number")?;
    let ns = Netns::new("bench")?;
    let far = Netns::new("bench-far")?;
    veth(
        End {
            ns: &ns,
            interface: "eth0",
            mac: [2, 0, 0, 0, 0, 1],
        },
        End {
            ns: &far,
            interface: "eth0",
            mac: [2, 0, 0, 0, 0, 2],
        },
    )?;
    // A program that is attached somewhere is known to the kernel's dispatcher, and a test run need not wait for RCU.
    far.run(|| {
        let mut drop = bare_drop()?;
        let drop: &mut Xdp = drop.program_mut("drop").context("the bare drop")?.try_into()?;
        drop.load()?;
        drop.attach("eth0", XdpMode::Skb)?;
        ns.run(|| measure(drop, rounds))
    })
}

fn measure(drop: &Xdp, rounds: usize) -> Result<()> {
    let world = World::new()?;
    let gate = Gate::load(&world.intent)?;
    gate.dataplane.attach("eth0")?;
    let pin = gate.program(programs::XDP).context("the kernel took no XDP program")?;
    let program = Xdp::from_pin(pin, XdpAttachType::Interface)?;
    println!(
        "{:<24} {:>8} {:>8} {:>8}   ns above a bare drop, median of {rounds} rounds",
        "frame", "median", "least", "most"
    );
    for (kind, frames) in world.kinds() {
        let mut above: Vec<f64> = Vec::new();
        for _ in 0..rounds {
            above.push(run(&program, &frames)? - run(drop, &frames)?);
        }
        above.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (above.first(), above.last()) else {
            bail!("no rounds")
        };
        println!("{kind:<24} {:>8.1} {least:>8.1} {most:>8.1}", above[above.len() / 2]);
    }
    Ok(())
}

/// Nanoseconds a frame, over all frames.
fn run(program: &Xdp, frames: &[Vec<u8>]) -> Result<f64> {
    let mut all = Duration::ZERO;
    for frame in frames {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: REPEAT,
            ..TestRunOptions::new()
        };
        all += program.test_run(options)?.duration;
    }
    #[allow(clippy::cast_precision_loss, reason = "a mean for people")]
    Ok(all.as_nanos() as f64 / frames.len() as f64)
}

/// Who is who.
struct World {
    intent: Intent,
    japan: Vec<IpNet>,
    listed: Vec<Ipv4Addr>,
}

impl World {
    fn new() -> Result<Self> {
        let state = tempfile::tempdir()?;
        let sources = Sources::new(&Database::BuiltIn, state.path());
        let japan = sources.resolve(&"country:JP".parse()?)?.prefixes;
        let mut dice = Dice(1);
        let mut listed = Vec::new();
        while listed.len() < LISTED {
            if let IpAddr::V4(address) = dice.within(&japan, false)? {
                listed.push(address);
            }
        }
        let intent = Intent {
            gates: vec![MailGate {
                name: "mail".into(),
                ports: vec![25, 465, 587],
                allow: japan.clone(),
                observe: false,
            }],
            block: listed.iter().map(|address| IpNet::from(IpAddr::V4(*address))).collect(),
            ..Intent::default()
        };
        Ok(Self { intent, japan, listed })
    }

    fn kinds(&self) -> Vec<(&'static str, Vec<Vec<u8>>)> {
        let syn = |port: u16| move |source: IpAddr| tcp(source, &Tcp::syn(40_000, port, 1));
        let many = |seed: u64, source: &dyn Fn(&mut Dice) -> IpAddr, frame: &dyn Fn(IpAddr) -> Vec<u8>| {
            let mut dice = Dice(seed);
            (0..SOURCES).map(|_| frame(source(&mut dice))).collect::<Vec<_>>()
        };
        let foreign4 = |dice: &mut Dice| self.foreign(dice, false);
        let foreign6 = |dice: &mut Dice| self.foreign(dice, true);
        let japan4 = |dice: &mut Dice| {
            dice.within(&self.japan, false)
                .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
        };
        let japan6 = |dice: &mut Dice| {
            dice.within(&self.japan, true)
                .unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        };
        let listed = |dice: &mut Dice| IpAddr::V4(self.listed[dice.below(self.listed.len())]);
        vec![
            ("UDP to 53", many(2, &foreign4, &|source| datagram(source))),
            ("SYN to 80", many(3, &foreign4, &syn(80))),
            (
                "ACK to 25",
                many(4, &foreign4, &|source| tcp(source, &Tcp::syn(40_000, 25, 1).flags(ACK))),
            ),
            ("foreign SYN", many(5, &foreign4, &syn(25))),
            ("Japanese SYN", many(6, &japan4, &syn(25))),
            ("banned SYN", many(7, &listed, &syn(25))),
            ("foreign SYN, IPv6", many(8, &foreign6, &syn(25))),
            ("Japanese SYN, IPv6", many(9, &japan6, &syn(25))),
        ]
    }

    fn foreign(&self, dice: &mut Dice, v6: bool) -> IpAddr {
        loop {
            let address = if v6 {
                IpAddr::V6(Ipv6Addr::from_bits((0x2000 << 112) | (u128::from(dice.word()) << 61)))
            } else {
                IpAddr::V4(Ipv4Addr::from_bits(dice.half()))
            };
            if !self.japan.iter().any(|net| net.contains(&address)) {
                return address;
            }
        }
    }
}

fn tcp(source: IpAddr, segment: &Tcp) -> Vec<u8> {
    packet(source, protocol::TCP, |ends| segment.bytes(ends))
}

fn datagram(source: IpAddr) -> Vec<u8> {
    packet(source, protocol::UDP, |ends| udp(ends, 40_000, 53, &[0; 32]))
}

fn packet(source: IpAddr, kind: u8, payload: impl Fn(Ends) -> Vec<u8>) -> Vec<u8> {
    match source {
        IpAddr::V4(address) => {
            let ends = Ends {
                source,
                destination: HOST4.into(),
            };
            ethernet(
                &[],
                ethertype::IPV4,
                &Ipv4::new(address, HOST4, kind).packet(&payload(ends)),
            )
        }
        IpAddr::V6(address) => {
            let ends = Ends {
                source,
                destination: HOST6.into(),
            };
            ethernet(
                &[],
                ethertype::IPV6,
                &Ipv6::new(address, HOST6, kind).packet(&payload(ends)),
            )
        }
    }
}

/// An object with one XDP program: `r0 = XDP_DROP; exit`.
fn bare_drop() -> Result<Ebpf> {
    use object::write::{Object, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
    const CODE: [u8; 16] = [0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let code = object.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
    object.append_section_data(code, &CODE, 8);
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(license, b"GPL\0", 1);
    object.add_symbol(Symbol {
        name: b"drop".to_vec(),
        value: 0,
        size: CODE.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(code),
        flags: SymbolFlags::None,
    });
    Ok(Ebpf::load(&object.write()?)?)
}
