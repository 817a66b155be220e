//! Where the flood comes from: a kernel program that writes the next source into a SYN, and then hands the frame to the
//! program under test, to the stack, or to the other end of the link.
//!
//! `BPF_PROG_TEST_RUN` with live frames is the network driver of this: it makes the frames in pages that it uses again, and
//! does with each what the program says, on the caller's processor and in its time.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Result;
use aya_obj::generated::bpf_map_type;
use rustix::time::{ClockId, clock_gettime};

use super::bpf::{self, Code, Size};
use crate::packets::builder::{Ends, Ipv4, Tcp, ethernet, ethertype, protocol};

/// Sources of a flood: they are sent one after the other, then again from the first.
pub(super) const SOURCES: usize = 1 << 20;
/// Frames in one system call.
const CHUNK: u32 = 1 << 17;
/// As above, of a paced flood, or one that goes through the stack, where a frame can take a tenth of a millisecond: between
/// them it is looked whether it is over.
const CHUNK_SLOW: u32 = 1 << 12;
/// Frames that a driver takes in one go (net/core/dev.c: `NAPI_POLL_WEIGHT`).
const BATCH: u32 = 64;
/// As above, of a paced flood.
const BATCH_PACED: u32 = 16;
/// Slots that were missed by more nanoseconds are not caught up.
const LATE: i32 = 30_000;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const XDP_ABORTED: i32 = 0;
/// linux/bpf.h: `enum bpf_func_id`.
const KTIME: i32 = 5;
const TAIL_CALL: i32 = 12;
const REDIRECT: i32 = 23;

/// Where the frames go.
pub(super) enum Way<'a> {
    /// To an XDP program, which is called as if the driver had called it.
    Program(BorrowedFd<'a>),
    /// To the stack, as received on the interface.
    Stack,
    /// Out of an interface, at so many a second if that is said.
    Out { interface: u32, rate: Option<u32> },
}

/// The generator, ready to send from its sources.
pub(super) struct Driver {
    program: OwnedFd,
    state: OwnedFd,
    frame: Vec<u8>,
    received: Option<u32>,
    chunk: u32,
    batch: u32,
    /// Held open: the program calls through it.
    _calls: OwnedFd,
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) frames: u64,
    pub(super) took: Duration,
    /// Processor time of the sending thread.
    pub(super) cpu: Duration,
}

impl Driver {
    /// Frames from `sources` ([`SOURCES`] of them, network order) to port 25 of `host`, whose Ethernet address is `mac`.
    /// `received` is the interface of the calling thread's namespace on which they seem to come in.
    pub(super) fn new(
        sources: &[u32],
        (host, mac): (Ipv4Addr, [u8; 6]),
        way: &Way<'_>,
        received: Option<u32>,
    ) -> Result<Self> {
        anyhow::ensure!(sources.len() == SOURCES, "{} sources", sources.len());
        let list = bpf::map(bpf_map_type::BPF_MAP_TYPE_ARRAY, u32::try_from(SOURCES * 4)?, 1)?;
        bpf::put(&list, sources)?;
        let state = bpf::map(bpf_map_type::BPF_MAP_TYPE_ARRAY, u32::try_from(size_of::<State>())?, 1)?;
        let calls = bpf::map(bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY, 4, 1)?;
        if let Way::Program(program) = way {
            use std::os::fd::AsRawFd as _;
            bpf::put(&calls, &[program.as_raw_fd()])?;
        }
        let rate = match way {
            Way::Out { rate, .. } => *rate,
            _ => None,
        };
        let mut code = Code::default();
        next_source(&mut code, &list, &state, rate)?;
        match way {
            Way::Program(_) => {
                code.copy(1, 6);
                code.map(2, &calls);
                code.set(3, 0);
                code.call(TAIL_CALL);
                code.end(XDP_ABORTED);
            }
            Way::Stack => code.end(XDP_PASS),
            Way::Out { interface, .. } => {
                code.set(1, i32::try_from(*interface)?);
                code.set(2, 0);
                code.call(REDIRECT);
                code.exit();
            }
        }
        code.out(XDP_ABORTED);
        Ok(Self {
            program: code.load_xdp()?,
            state,
            frame: frame(host, mac),
            received,
            chunk: match way {
                Way::Program(_) | Way::Out { rate: None, .. } => CHUNK,
                Way::Stack | Way::Out { .. } => CHUNK_SLOW,
            },
            batch: if rate.is_some() { BATCH_PACED } else { BATCH },
            _calls: calls,
        })
    }

    /// Sends as long as `go_on`, from the thread's own processor. The calling thread's namespace must be that of the
    /// interfaces.
    pub(super) fn send(&self, go_on: impl Fn(Duration) -> bool) -> Result<Sent> {
        // A program that is attached somewhere is known to the kernel's dispatcher; every run of one that is not would wait
        // for RCU.
        let known = bpf::attach(self.program.as_fd(), 1, bpf::SKB_MODE)?;
        let before = self.state()?.sent;
        let (start, cpu) = (Instant::now(), cpu_time());
        while go_on(start.elapsed()) {
            bpf::run_live(&self.program, &self.frame, self.received, self.chunk, self.batch)?;
        }
        let sent = Sent {
            frames: self.state()?.sent - before,
            took: start.elapsed(),
            cpu: cpu_time() - cpu,
        };
        drop(known);
        Ok(sent)
    }

    fn state(&self) -> Result<State> {
        let mut state = [State::default()];
        bpf::get(&self.state, &mut state)?;
        let [state] = state;
        Ok(state)
    }
}

/// What the program keeps.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct State {
    /// When the next frame is due (`bpf_ktime_get_ns`).
    due: u64,
    /// Frames that were handed on; their number is also that of the next source.
    sent: u64,
}

/// The frame gets the next source. `R6` is the context after it.
fn next_source(code: &mut Code, sources: &OwnedFd, state: &OwnedFd, rate: Option<u32>) -> Result<()> {
    code.copy(6, 1);
    code.load(Size::Word, 7, 6, 0);
    code.load(Size::Word, 8, 6, 4);
    code.copy(2, 7);
    code.add(2, 54);
    code.out_if_above(2, 8);
    code.value(9, state);
    if let Some(rate) = rate {
        code.call(KTIME);
        code.load(Size::Double, 1, 9, 0);
        // Not due: the page is used again.
        code.skip_if_below(1, 0, 2);
        code.end(XDP_DROP);
        // r2 = now - due = now + !due + 1
        code.copy(2, 1);
        code.xor(2, -1);
        code.add(2, 1);
        code.add_register(2, 0);
        code.skip_if_at_most(2, LATE, 1);
        code.copy(1, 0);
        code.add(1, i32::try_from(1_000_000_000 / rate.max(1))?);
        code.store(Size::Double, 9, 0, 1);
    }
    code.load(Size::Double, 1, 9, 8);
    code.copy(2, 1);
    code.add(2, 1);
    code.store(Size::Double, 9, 8, 2);
    code.and(1, i32::try_from(SOURCES - 1)?);
    code.left(1, 2);
    code.value(3, sources);
    code.add_register(3, 1);
    code.load(Size::Word, 4, 3, 0);
    code.store(Size::Word, 7, 26, 4);
    // IP identification and source port become what the source lacks, so that both checksums stay right (RFC 1624).
    for _ in 0..2 {
        code.copy(5, 4);
        code.and(5, 0xffff);
        code.right(4, 16);
        code.add_register(4, 5);
    }
    code.xor(4, 0xffff);
    code.store(Size::Half, 7, 18, 4);
    code.store(Size::Half, 7, 34, 4);
    Ok(())
}

/// A SYN as Linux sends it, from nobody: the program fills in source, identification and port.
fn frame(host: Ipv4Addr, mac: [u8; 6]) -> Vec<u8> {
    // Largest segment, selective acknowledgement, time stamps, window scale.
    const OPTIONS: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    let nobody = Ipv4Addr::UNSPECIFIED;
    let ends = Ends {
        source: nobody.into(),
        destination: host.into(),
    };
    let segment = Tcp::syn(0, 25, 1).options(OPTIONS).bytes(ends);
    let packet = Ipv4 {
        id: 0,
        ..Ipv4::new(nobody, host, protocol::TCP)
    };
    let mut frame = ethernet(&[], ethertype::IPV4, &packet.packet(&segment));
    frame[..6].copy_from_slice(&mac);
    frame
}

/// Drops everything: what no program that looks at a frame can be cheaper than.
pub(super) fn bare_drop() -> Result<OwnedFd> {
    let mut code = Code::default();
    code.end(XDP_DROP);
    code.load_xdp()
}

/// Passes only what is sent to `client`: answers to sources that do not exist end here, and not in the sender's stack.
pub(super) fn only_for(client: Ipv4Addr) -> Result<OwnedFd> {
    let mut code = Code::default();
    code.load(Size::Word, 7, 1, 0);
    code.load(Size::Word, 8, 1, 4);
    code.copy(2, 7);
    code.add(2, 34);
    code.out_if_above(2, 8);
    // Half by half: a number of 32 bits in an instruction has a sign.
    let [a, b, c, d] = client.octets();
    for (offset, half) in [(30, [a, b]), (32, [c, d])] {
        code.load(Size::Half, 1, 7, offset);
        code.out_unless(1, u16::from_le_bytes(half).into());
    }
    code.end(XDP_PASS);
    code.out(XDP_DROP);
    code.load_xdp()
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
