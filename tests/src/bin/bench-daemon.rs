//! How fast the daemon is: from the last byte of the line that convicts to the dropped SYN, and from the start of the
//! process to `ready` with many bans in the ledger. `bench-daemon SMTPGATE [BANS]`.
//!
//! In a network namespace and on a BPF file system of its own. The drop is looked for by running the loaded program on a
//! SYN of the guesser over and over (`BPF_PROG_TEST_RUN`), so it is seen within 0.1 ms.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use aya::TestRun as _;
use aya::programs::{TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;
use jiff::{SignedDuration, Timestamp};
use smtpgate::dataplane::{Dataplane, Kernel};
use smtpgate::ledger::{Ban, Ledger, Origin};
use smtpgate_common::abi::programs;
use smtpgate_tests::gated::{BpfFs, Pair};
use smtpgate_tests::packets::builder::{Ends, Ipv4, Tcp, ethernet, ethertype, protocol};

/// Guessers, each banned once.
const GUESSERS: u32 = 200;
/// Starts that are timed.
const STARTS: usize = 5;
/// Linux `enum xdp_action`.
const XDP_DROP: u32 = 1;
/// Between two looks for the drop: whoever only looks takes the daemon's processor for whole slices of the scheduler.
const LOOK: Duration = Duration::from_micros(20);
/// Beyond it something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let binary = PathBuf::from(arguments.next().context("usage: bench-daemon SMTPGATE [BANS]")?);
    let bans: u32 = arguments
        .next()
        .map_or(Ok(100_000), |text| text.to_string_lossy().parse())?;
    let (bpffs, pair) = (BpfFs::mount()?, Pair::new()?);
    let folder = tempfile::tempdir()?;
    let bench = Bench {
        binary,
        folder: folder.path(),
        pins: bpffs.pins(),
        pair: &pair,
    };
    bench.configure()?;
    bench.time_to_drop()?;
    bench.time_to_ready(bans)
}

struct Bench<'a> {
    binary: PathBuf,
    folder: &'a Path,
    pins: PathBuf,
    pair: &'a Pair,
}

impl Bench<'_> {
    fn log(&self) -> PathBuf {
        self.folder.join("mail.log")
    }

    fn configure(&self) -> Result<()> {
        let folder = self.folder.display();
        let config = format!(
            "interfaces = [\"eth0\"]\n[gate.mail]\nports = [25]\nallow = [\"world\"]\n\
             [maillog]\nfollow = [\"{}\"]\n[detect]\nwiden = 1000\nbans-per-minute = 100000\n\
             [paths]\nstate = \"{folder}/state\"\nrun = \"{folder}/run\"\npins = \"{}\"\n",
            self.log().display(),
            self.pins.display(),
        );
        File::create(self.log())?;
        Ok(fs::write(self.folder.join("config.toml"), config)?)
    }

    /// Starts the daemon and waits for its `ready`.
    fn start(&self) -> Result<Daemon> {
        let mut command: Command = self.pair.host.command(&self.binary);
        let mut child = command
            .args(["run", "--config"])
            .arg(self.folder.join("config.toml"))
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("its output")?;
        let daemon = Daemon(child);
        for line in BufReader::new(stdout).lines() {
            if line? == "ready" {
                return Ok(daemon);
            }
        }
        bail!("the daemon ended before it was ready")
    }

    /// The program that is loaded now.
    fn program(&self) -> Result<Xdp> {
        let dataplane = Dataplane::open(&self.pins, Kernel::probe()?)?;
        let pin = dataplane.program(programs::XDP).context("the XDP program")?;
        Ok(Xdp::from_pin(pin, XdpAttachType::Interface)?)
    }

    fn time_to_drop(&self) -> Result<()> {
        let daemon = self.start()?;
        let program = self.program()?;
        let mut log = OpenOptions::new().append(true).open(self.log())?;
        let mut took = Vec::new();
        for number in 0..GUESSERS {
            // A /24 of its own for each, so that no wide ban comes first.
            let address = Ipv4Addr::from_bits((60 << 24) | (number << 8) | 7);
            let frame = syn(address);
            for _ in 0..4 {
                log.write_all(&line(address, number))?;
            }
            std::thread::sleep(Duration::from_millis(30));
            if drops(&program, &frame)? {
                bail!("{address} was banned after four tries");
            }
            let start = Instant::now();
            log.write_all(&line(address, number))?;
            while !drops(&program, &frame)? {
                if start.elapsed() > PATIENCE {
                    bail!("{address} was never banned");
                }
                std::thread::sleep(LOOK);
            }
            took.push(start.elapsed());
        }
        drop(daemon);
        took.sort();
        let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
        println!(
            "last byte of the deciding line to the dropped SYN, {GUESSERS} bans: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
            at(50),
            at(99),
            at(100)
        );
        Ok(())
    }

    fn time_to_ready(&self, count: u32) -> Result<()> {
        let state = self.folder.join("state");
        fs::create_dir_all(&state)?;
        let mut ledger = Ledger::open(&state.join("ledger.db"))?;
        let now = Timestamp::now();
        let bans: Vec<(Ban, Vec<String>)> = (0..count)
            .map(|number| {
                // Spread over 1.0.0.0 to 64.255.255.255 by an odd factor, so each another one, and none of the host's own.
                let bits = (1 << 24) + number.wrapping_mul(0x9E37_79B1) % (64 << 24);
                let ban = Ban {
                    prefix: IpAddr::V4(Ipv4Addr::from_bits(bits)).into(),
                    since: now,
                    until: now.checked_add(SignedDuration::from_hours(24)).ok(),
                    returns: 0,
                    reason: "5 offences within 10m".into(),
                    rule: None,
                    origin: Origin::Operator,
                };
                (ban, Vec::new())
            })
            .collect();
        ledger.record(&[], &bans, None, now)?;
        drop(ledger);
        let mut took = Vec::new();
        for _ in 0..STARTS {
            let start = Instant::now();
            let daemon = self.start()?;
            took.push(start.elapsed());
            let program = self.program()?;
            for (ban, _) in &bans {
                let IpAddr::V4(address) = ban.prefix.addr() else {
                    continue;
                };
                anyhow::ensure!(drops(&program, &syn(address))?, "ready, and {address} is not dropped");
            }
            drop(daemon);
        }
        took.sort();
        println!(
            "start of the process to `ready` with {count} live bans, all in the kernel: median {:.0} ms of {STARTS} starts",
            took[STARTS / 2].as_secs_f64() * 1e3
        );
        Ok(())
    }
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As Postfix writes a failed login; each with another name, so that it is no siege.
fn line(address: Ipv4Addr, number: u32) -> Vec<u8> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00");
    format!(
        "{now} mail postfix/submission/smtpd[{}]: warning: unknown[{address}]: SASL LOGIN authentication failed: \
         UGFzc3dvcmQ6, sasl_username=user{number}\n",
        1000 + number
    )
    .into_bytes()
}

fn syn(source: Ipv4Addr) -> Vec<u8> {
    let host = Ipv4Addr::new(192, 0, 2, 1);
    let ends = Ends {
        source: source.into(),
        destination: host.into(),
    };
    let segment = Tcp::syn(40_000, 25, 1).bytes(ends);
    ethernet(
        &[],
        ethertype::IPV4,
        &Ipv4::new(source, host, protocol::TCP).packet(&segment),
    )
}

fn drops(program: &Xdp, frame: &[u8]) -> Result<bool> {
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::new()
    };
    Ok(program.test_run(options)?.return_value == XDP_DROP)
}
