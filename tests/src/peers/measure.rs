//! What is measured of a filter in force.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use super::driver::{Driver, Sent, Way};
use super::filters::Running;
use super::link::{HOST, HOST_MAC, Link, RECEIVING, SENDING, bind};
use super::world::{CLIENT, World};
use crate::kernels::succeed;

/// Rate at which nothing is lost on the way, so that frames can be counted.
const SLOW: u32 = 20_000;
/// Until what is on the way has arrived.
const ARRIVED: Duration = Duration::from_millis(50);
/// Between two connections of the legitimate client.
const PAUSE: Duration = Duration::from_micros(500);
/// After it the client would send its SYN again: that one was lost.
const PATIENCE: Duration = Duration::from_millis(900);

/// Fails unless the filter refuses what it must and lets in what it must: figures of one that does not filter say nothing.
pub(super) fn filters(link: &Link, world: &World, time: Duration) -> Result<()> {
    for (kind, sources, passes) in [
        ("outside", &world.foreign, false),
        ("banned", &world.refused, false),
        ("allowed", &world.welcome, true),
    ] {
        let before = link.segments()?;
        let sent = flood(link, sources, Some(SLOW), |took| took < time)?.frames;
        thread::sleep(ARRIVED);
        let passed = link.segments()? - before;
        // The server's own connections count, too: none is open now.
        let well = if passes { passed * 100 >= sent * 99 } else { passed == 0 };
        ensure!(
            well && sent > 0,
            "{kind} sources: {passed} of {sent} SYNs got to the stack"
        );
    }
    Ok(())
}

/// Sends from the client's end, out of its interface, on the sending processor.
fn flood(link: &Link, sources: &[u32], rate: Option<u32>, go_on: impl Fn(Duration) -> bool + Send) -> Result<Sent> {
    let way = Way::Out {
        interface: link.far.index,
        rate,
    };
    link.client.run(|| {
        bind(SENDING)?;
        Driver::new(sources, (HOST, HOST_MAC), &way, None)?.send(go_on)
    })
}

/// Nanoseconds of processor time for a SYN on one core, driver and frame included: the program is called as the driver calls
/// it, or the frame is given to the stack as the driver gives it.
pub(super) fn one_core(link: &Link, running: &Running, sources: &[u32], time: Duration) -> Result<f64> {
    let way = running
        .program
        .as_ref()
        .map_or(Way::Stack, |program| Way::Program(program.as_fd()));
    let sent = link.host.run(|| {
        bind(RECEIVING)?;
        let driver = Driver::new(sources, (HOST, HOST_MAC), &way, Some(link.gated.index))?;
        // Once through what is cold.
        driver.send(|took| took < time / 4)?;
        driver.send(|took| took < time)
    })?;
    per_frame(sent.cpu, sent.frames)
}

/// The link under as much as it carries.
pub(super) fn overload(link: &Link, sources: &[u32], time: Duration) -> Result<Value> {
    link.settle()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| flood(link, sources, None, |_| !over.load(Relaxed)));
        thread::sleep(Duration::from_millis(300));
        let looked = || Ok::<_, anyhow::Error>((link.received()?, link.receiving()?, link.segments()?, Instant::now()));
        let before = looked();
        thread::sleep(time);
        let after = looked();
        over.store(true, Relaxed);
        let sent = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let ((frames, cpu, segments, start), (frames2, cpu2, segments2, end)) = (before?, after?);
        let (frames, seconds) = (frames2 - frames, (end - start).as_secs_f64());
        Ok(json!({
            "received_per_second": rate(frames, seconds),
            "sent_per_second": rate(sent.frames, sent.took.as_secs_f64()),
            "cpu_ns": per_frame(cpu2 - cpu, frames)?,
            "busy": (cpu2 - cpu).as_secs_f64() / seconds,
            "passed": segments2 - segments,
        }))
    })
}

/// How long a legitimate client waits for the greeting, from the first SYN, under a flood of so many SYNs a second.
pub(super) fn latency(link: &Link, sources: &[u32], rate: u32, time: Duration) -> Result<Value> {
    link.settle()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = (rate > 0).then(|| scope.spawn(|| flood(link, sources, Some(rate), |_| !over.load(Relaxed))));
        thread::sleep(Duration::from_millis(200));
        let before = (link.received(), Instant::now());
        let waited = link.client.run(|| {
            bind(SENDING)?;
            // Who waits for a processor that the flood is made on would measure the flood's maker.
            let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
            succeed(Command::new("chrt").args(["--fifo", "--pid", "10", &thread]))?;
            waits(time)
        });
        let after = (link.received(), Instant::now());
        over.store(true, Relaxed);
        if let Some(sender) = sender {
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        let (mut waited, lost) = waited?;
        waited.sort_unstable();
        let at = |percent: usize| {
            let place = (waited.len() * percent / 100).min(waited.len().saturating_sub(1));
            waited.get(place).map(|waited| waited.as_secs_f64() * 1e6)
        };
        Ok(json!({
            "rate": rate,
            "arrived_per_second": self::rate(after.0? - before.0?, (after.1 - before.1).as_secs_f64()),
            "connections": waited.len(),
            "lost": lost,
            "p50_us": at(50),
            "p99_us": at(99),
            "most_us": at(100),
        }))
    })
}

/// One connection after the other; how many had no answer in time is told, too.
fn waits(time: Duration) -> Result<(Vec<Duration>, u32)> {
    let (mut waited, mut lost) = (Vec::new(), 0);
    let begin = Instant::now();
    while begin.elapsed() < time {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((CLIENT, 0)).into())?;
        socket.set_linger(Some(Duration::ZERO))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let start = Instant::now();
        let greeted = socket
            .connect_timeout(&SocketAddr::from((HOST, 25)).into(), PATIENCE)
            .and_then(|()| {
                let mut greeting = [0; 3];
                TcpStream::from(socket).read_exact(&mut greeting)?;
                Ok(greeting == *b"220")
            });
        match greeted {
            Ok(true) => waited.push(start.elapsed()),
            Ok(false) | Err(_) => lost += 1,
        }
        thread::sleep(PAUSE);
    }
    Ok((waited, lost))
}

/// Memory that the kernel holds for itself and cannot give back: what lists cost is the difference.
pub(super) fn kernel_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let mut bytes = 0;
    for name in ["SUnreclaim:", "VmallocUsed:", "Percpu:"] {
        bytes += bytes_of(&text, name)?;
    }
    Ok(bytes)
}

/// Memory of a process that is its own and in use.
pub(super) fn resident(process: u32) -> Result<u64> {
    bytes_of(&fs::read_to_string(format!("/proc/{process}/status"))?, "RssAnon:")
}

/// A line `NAME:  N kB` of procfs.
fn bytes_of(text: &str, name: &'static str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context(name)?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// As [`kernel_memory`], once what went before has been given back.
pub(super) fn settled_memory() -> Result<u64> {
    let mut last = kernel_memory()?;
    for _ in 0..50 {
        thread::sleep(Duration::from_millis(100));
        let now = kernel_memory()?;
        if now.abs_diff(last) < 256 << 10 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

#[allow(clippy::cast_precision_loss, reason = "a mean for people")]
fn per_frame(cpu: Duration, frames: u64) -> Result<f64> {
    ensure!(frames > 0, "no frame was received");
    Ok(cpu.as_nanos() as f64 / frames as f64)
}

#[allow(clippy::cast_precision_loss, reason = "a mean for people")]
fn rate(frames: u64, seconds: f64) -> f64 {
    frames as f64 / seconds
}
