//! The table through `BPF_PROG_TEST_RUN`, and over the same decision on the host; and frames by chance through both.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::TestRun as _;
use aya::programs::{SchedClassifier, TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;
use smtpgate::policy::{Image, Maps};
use smtpgate_common::abi::programs;
use smtpgate_common::{Decision, Family, Link, Reason, Tables, decide};

use super::builder::ethertype;
use super::cases::{Case, Counted, Expect};
use super::gate::{Gate, difference, expected, image};
use super::generated::{Amount, Generator};
use super::policy::intent;

/// linux/bpf.h: `enum xdp_action`.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
/// linux/pkt_cls.h: `TC_ACT_SHOT`, and `TC_ACT_UNSPEC`, which is -1: go on.
const TC_SHOT: u32 = 2;
const TC_UNSPEC: u32 = u32::MAX;
/// The smallest frame that a test run takes: an Ethernet header (net/bpf/test_run.c: bpf_test_init).
const SMALLEST: usize = 14;
/// Generated frames that are compared at once.
const BATCH: u64 = 50_000;
/// Misses that a failure names.
const NAMED: usize = 40;

/// Runs all cases through every program that the gate loaded. `expect` says what a case must become under this policy.
/// Gives what ran, an error names what went wrong.
pub fn all_programs(gate: &Gate, cases: &[Case], expect: impl Fn(&Case) -> Expect + Copy) -> Result<String> {
    let mut programs = loaded(gate)?;
    run(gate, &mut programs, cases, expect)?;
    Ok(format!("cases run: {}", told(&programs)))
}

/// Runs frames by chance through every program of a gate with the table's policy: each must become of every frame what the
/// decision makes of it here. Gives what ran and how the frames divide, an error names those that came out otherwise.
pub fn generated(gate: &Gate, amount: Amount) -> Result<String> {
    let image = image_now()?;
    let generator = Generator::new(amount.seed);
    let mut programs = loaded(gate)?;
    let mut shares = Shares::default();
    let mut first = 0;
    while first < amount.frames {
        let next = amount.frames.min(first + BATCH);
        let cases: Vec<Case> = (first..next)
            .map(|number| decided(image.maps(), &generator, number))
            .collect();
        run(gate, &mut programs, &cases, |case| case.expect)
            .with_context(|| format!("{}={}", Amount::SEED, amount.seed))?;
        shares.count(&cases);
        first = next;
    }
    Ok(format!(
        "{} frames of seed {}, run: {}\n{shares}",
        amount.frames,
        amount.seed,
        told(&programs)
    ))
}

/// The table's policy on the host, at a time when its bans are over or practically never will be.
pub fn image_now() -> Result<Image> {
    let mut image = image(&intent())?;
    image.set_now(3);
    Ok(image)
}

/// The generator's frame, and what the decision makes of it on the host.
pub fn decided(maps: &Maps, generator: &Generator, number: u64) -> Case {
    let frame = generator.frame(number);
    let decision = decide(&frame[..], Link::Ethernet { stripped: 0 }, maps);
    Case {
        name: format!("frame {number}"),
        expect: as_expect(&decision),
        frame,
        train: 0,
        answered: false,
        vlan: false,
    }
}

/// A program that the gate loaded, and how many frames ran through it.
struct Loaded {
    name: &'static str,
    program: Program,
    ran: usize,
}

/// Which programs must be there is another test's business.
fn loaded(gate: &Gate) -> Result<Vec<Loaded>> {
    let mut loaded = Vec::new();
    for name in [programs::XDP, programs::XDP_FRAGS, programs::TC, programs::TC_L3] {
        if let Some(pin) = gate.program(name) {
            let program = Program::open(name, &pin)?;
            loaded.push(Loaded { name, program, ran: 0 });
        }
    }
    Ok(loaded)
}

fn run(gate: &Gate, programs: &mut [Loaded], cases: &[Case], expect: impl Fn(&Case) -> Expect + Copy) -> Result<()> {
    for loaded in programs {
        let ran = program(gate, &loaded.program, cases, expect).with_context(|| format!("program {}", loaded.name))?;
        loaded.ran += ran;
    }
    Ok(())
}

fn told(programs: &[Loaded]) -> String {
    let ran: Vec<String> = programs
        .iter()
        .map(|loaded| format!("{} {}", loaded.name, loaded.ran))
        .collect();
    ran.join(", ")
}

/// A loaded program.
enum Program {
    Xdp(Xdp),
    Tc(SchedClassifier),
    TcL3(SchedClassifier),
}

impl Program {
    fn open(name: &str, pin: &Path) -> Result<Self> {
        Ok(match name {
            programs::TC => Self::Tc(SchedClassifier::from_pin(pin)?),
            programs::TC_L3 => Self::TcL3(SchedClassifier::from_pin(pin)?),
            _ => Self::Xdp(Xdp::from_pin(pin, XdpAttachType::Interface)?),
        })
    }

    /// What of the frame is given to the program; `None` for frames that cannot be.
    fn input<'a>(&self, case: &'a Case) -> Option<&'a [u8]> {
        let frame = case.frame.as_slice();
        match self {
            Self::Xdp(_) => (frame.len() >= SMALLEST).then_some(frame),
            Self::Tc(_) => (frame.len() >= smallest_skb(frame)).then_some(frame),
            Self::TcL3(_) => packet(frame).filter(|packet| packet.len() >= smallest_skb(packet)),
        }
    }

    /// Whether it drops the frame.
    fn drops(&self, input: &[u8]) -> Result<bool> {
        let options = TestRunOptions {
            data_in: Some(input),
            ..TestRunOptions::new()
        };
        let ran = match self {
            Self::Xdp(program) => program.test_run(options),
            Self::Tc(program) | Self::TcL3(program) => program.test_run(options),
        }?;
        match (self, ran.return_value) {
            (Self::Xdp(_), XDP_PASS) | (Self::Tc(_) | Self::TcL3(_), TC_UNSPEC) => Ok(false),
            (Self::Xdp(_), XDP_DROP) | (Self::Tc(_) | Self::TcL3(_), TC_SHOT) => Ok(true),
            (_, other) => bail!("unknown verdict {other}"),
        }
    }
}

/// Newer kernels run no skb that is empty behind its Ethernet header, or whose IP header is not whole
/// (bpf_prog_test_run_skb). On the wire such frames reach the classifier, and are sent there.
fn smallest_skb(frame: &[u8]) -> usize {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => SMALLEST + 20,
        Some([0x86, 0xdd]) => SMALLEST + 40,
        _ => SMALLEST + 1,
    }
}

/// The packet in an untagged frame, where a reader without the `EtherType` would take it for the same. A single byte is
/// no packet.
fn packet(frame: &[u8]) -> Option<&[u8]> {
    let kind = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    let packet = &frame[14..];
    let version = packet.first_chunk::<2>()?[0] >> 4;
    matches!((kind, version), (ethertype::IPV4, 4) | (ethertype::IPV6, 6)).then_some(packet)
}

/// Cases of one expectation are run together, and counted together: whatever one of them is counted as instead shows.
fn program(gate: &Gate, program: &Program, cases: &[Case], expect: impl Fn(&Case) -> Expect + Copy) -> Result<usize> {
    let mut groups: BTreeMap<_, Vec<&Case>> = BTreeMap::new();
    for case in cases.iter().filter(|case| program.input(case).is_some()) {
        groups.entry(expect(case)).or_default().push(case);
    }
    let mut missed = Missed::default();
    for group in groups.values() {
        counted(gate, program, group, expect, &mut missed)?;
    }
    missed.none()?;
    let ran = groups.values().map(Vec::len).sum();
    if ran == 0 {
        bail!("no case was run");
    }
    Ok(ran)
}

fn counted(
    gate: &Gate,
    program: &Program,
    cases: &[&Case],
    expect: impl Fn(&Case) -> Expect + Copy,
    missed: &mut Missed,
) -> Result<()> {
    let before = gate.counts()?;
    let mut wrong = Vec::new();
    for case in cases {
        let Some(input) = program.input(case) else { continue };
        let drops = program.drops(input).with_context(|| case.name.clone())?;
        if drops != expect(case).drop {
            let verdict = if drops { "dropped" } else { "passed" };
            wrong.push(format!("{}: {verdict}: {}", case.name, hex(input)));
        }
    }
    let found = difference(&before, &gate.counts()?);
    if found == expected(cases.iter().copied(), expect) {
        wrong.into_iter().for_each(|what| missed.add(what));
    } else if let [case] = cases {
        missed.add(format!(
            "{}: counted as {found:?}, not {:?}: {} {wrong:?}",
            case.name,
            expect(case).counted,
            hex(&case.frame)
        ));
    } else {
        // Which of them was it?
        let (one, other) = cases.split_at(cases.len() / 2);
        counted(gate, program, one, expect, missed)?;
        counted(gate, program, other, expect, missed)?;
    }
    Ok(())
}

/// Runs all cases through the decision on the host, over any tables.
pub fn host<T: Tables>(tables: &T, cases: &[Case], expect: impl Fn(&Case) -> Expect) -> Result<()> {
    let mut missed = Missed::default();
    for case in cases {
        let ethernet = (case.frame.as_slice(), Link::Ethernet { stripped: 0 });
        for (input, link) in std::iter::once(ethernet).chain(packet(&case.frame).map(|packet| (packet, Link::Ip))) {
            let found = as_expect(&decide(input, link, tables));
            if found != expect(case) {
                missed.add(format!("{} ({link:?}): {found:?}, not {:?}", case.name, expect(case)));
            }
        }
    }
    missed.none()
}

fn as_expect(decision: &Decision) -> Expect {
    let counted = Counted {
        reason: decision.reason,
        family: decision.family,
        gate: decision.gate,
        observed: decision.observed,
    };
    Expect {
        drop: decision.drops(),
        counted: (decision.reason != Reason::None).then_some(counted),
    }
}

/// How frames divide over verdicts and reasons.
#[derive(Debug, Default)]
pub struct Shares(BTreeMap<(bool, Option<Reason>), [u64; 3]>);

impl Shares {
    /// Counts these, too.
    pub fn count(&mut self, cases: &[Case]) {
        for case in cases {
            let (reason, family) = match case.expect.counted {
                Some(counted) => (Some(counted.reason), counted.family),
                None => (None, Family::Other),
            };
            self.0.entry((case.expect.drop, reason)).or_default()[family as usize] += 1;
        }
    }

    /// How many passed or were dropped for this reason, over all families; `None` is what is not counted.
    #[must_use]
    pub fn of(&self, drop: bool, reason: Option<Reason>) -> u64 {
        self.0.get(&(drop, reason)).map_or(0, |frames| frames.iter().sum())
    }
}

impl Display for Shares {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for ((drop, reason), [other, v4, v6]) in &self.0 {
            let verdict = if *drop { "drop" } else { "pass" };
            let reason = reason.map_or("not counted", Reason::name);
            let all = other + v4 + v6;
            writeln!(
                f,
                "  {verdict} {reason:<12} {all:>8}  (ipv4 {v4}, ipv6 {v6}, not told {other})"
            )?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What did not come out as the table says.
#[derive(Default)]
struct Missed(Vec<String>);

impl Missed {
    fn add(&mut self, what: String) {
        self.0.push(what);
    }

    fn none(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut text = format!("{} cases came out wrong:", self.0.len());
        for what in self.0.iter().take(NAMED) {
            write!(text, "\n  {what}")?;
        }
        bail!("{text}")
    }
}
