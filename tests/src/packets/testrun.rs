//! The table through `BPF_PROG_TEST_RUN`, and over the same decision on the host.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::TestRun as _;
use aya::programs::{SchedClassifier, TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;
use smtpgate_common::abi::programs;
use smtpgate_common::{Decision, Link, Reason, Tables, decide};

use super::builder::ethertype;
use super::cases::{Case, Counted, Expect};
use super::gate::{Gate, difference, expected};

/// linux/bpf.h: `enum xdp_action`.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
/// linux/pkt_cls.h: `TC_ACT_SHOT`, and `TC_ACT_UNSPEC`, which is -1: go on.
const TC_SHOT: u32 = 2;
const TC_UNSPEC: u32 = u32::MAX;
/// The smallest frame that a test run takes: an Ethernet header (net/bpf/test_run.c: bpf_test_init).
const SMALLEST: usize = 14;
/// Misses that a failure names.
const NAMED: usize = 40;

/// Runs all cases through every program that the gate loaded. `expect` says what a case must become under this policy.
/// Gives what ran, an error names what went wrong.
pub fn all_programs(gate: &Gate, cases: &[Case], expect: impl Fn(&Case) -> Expect + Copy) -> Result<String> {
    let mut said = Vec::new();
    for name in [programs::XDP, programs::XDP_FRAGS, programs::TC, programs::TC_L3] {
        // Which programs must be there is another test's business.
        if let Some(pin) = gate.program(name) {
            let ran =
                program(gate, &Program::open(name, &pin)?, cases, expect).with_context(|| format!("program {name}"))?;
            said.push(format!("{name} {ran}"));
        }
    }
    Ok(format!("cases run: {}", said.join(", ")))
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
            wrong.push(format!("{}: {}", case.name, if drops { "dropped" } else { "passed" }));
        }
    }
    let found = difference(&before, &gate.counts()?);
    if found == expected(cases.iter().copied(), expect) {
        wrong.into_iter().for_each(|what| missed.add(what));
    } else if let [case] = cases {
        missed.add(format!(
            "{}: counted as {found:?}, not {:?}{wrong:?}",
            case.name,
            expect(case).counted
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
            let decision = decide(input, link, tables);
            let found = Expect {
                drop: decision.drops(),
                counted: as_counted(&decision),
            };
            if found != expect(case) {
                missed.add(format!("{} ({link:?}): {found:?}, not {:?}", case.name, expect(case)));
            }
        }
    }
    missed.none()
}

fn as_counted(decision: &Decision) -> Option<Counted> {
    (decision.reason != Reason::None).then_some(Counted {
        reason: decision.reason,
        family: decision.family,
        gate: decision.gate,
        observed: decision.observed,
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
