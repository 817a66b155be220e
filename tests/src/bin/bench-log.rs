//! How fast lines become bans, and what a million offenders weigh. Run by `cargo xtask bench-log`.

use std::{collections::HashSet, fmt::Write as _, net::IpAddr, time::Instant};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use smtpgate::{
    detect::{DetectConfig, Detector, Known, Past},
    maillog::Reader,
    sources::Country,
};

const LINES: usize = 1_000_000;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("memory") => memory(),
        _ => speed(),
    }
}

/// Nobody is trusted; bans hold.
#[derive(Default)]
struct World(HashSet<IpNet>);

impl Known for World {
    fn trusted(&self, _: IpNet) -> bool {
        false
    }

    fn trusted_within(&self, _: IpNet) -> Vec<IpNet> {
        Vec::new()
    }

    fn banned(&self, prefix: IpNet, _: Timestamp) -> bool {
        self.0.contains(&prefix)
    }

    fn past(&self, _: IpNet) -> Option<Past> {
        None
    }

    fn country(&self, _: IpAddr) -> Option<Country> {
        None
    }
}

/// Parse and detect over a log as a mail host under attack has it, one core, from memory.
fn speed() -> Result<()> {
    let log = mixed(LINES);
    println!(
        "{LINES} mixed lines of {} bytes on average, {ROUNDS} rounds",
        log.len() / LINES
    );
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let (mut reader, mut detector, mut world) = (Reader::default(), detector(), World::default());
        let (mut understood, mut offences, mut bans) = (0u64, 0u64, 0u64);
        let start = Instant::now();
        let mut now = Timestamp::UNIX_EPOCH;
        for (number, line) in log.as_bytes().split(|&b| b == b'\n').enumerate() {
            // A thousand lines a second.
            if number % 1000 == 0 {
                now = now.checked_add(SignedDuration::from_secs(1))?;
            }
            let Some(event) = reader.read(line) else { continue };
            let observed = detector.observe(&event, line, now, &world);
            understood += 1;
            offences += u64::from(observed.offence.is_some());
            bans += observed.bans.len() as u64;
            world.0.extend(observed.bans.iter().map(|ban| ban.prefix));
        }
        let seconds = start.elapsed().as_secs_f64();
        let rate = LINES as f64 / seconds;
        println!("  {rate:>10.0} lines/s  ({understood} understood, {offences} offences, {bans} bans)");
        rates.push(rate);
    }
    rates.sort_by(f64::total_cmp);
    println!("median {:.0} lines/s", rates[rates.len() / 2]);
    Ok(())
}

/// A million addresses, one failure each, all within the window.
fn memory() -> Result<()> {
    let before = resident()?;
    let (mut reader, mut detector, world) = (Reader::default(), detector(), World::default());
    let mut line = String::new();
    for number in 0..1u32 << 20 {
        line.clear();
        let [_, a, b, c] = number.to_be_bytes();
        write!(
            line,
            "Nov 24 02:27:08 mx1 postfix/submission/smtpd[{number}]: warning: unknown[198.{a}.{b}.{c}]: SASL LOGIN \
             authentication failed: UGFzc3dvcmQ6, sasl_username=user{number}"
        )?;
        let event = reader.read(line.as_bytes()).context("not understood")?;
        let observed = detector.observe(&event, line.as_bytes(), Timestamp::UNIX_EPOCH, &world);
        anyhow::ensure!(observed.offence.is_some(), "no offence: {line}");
    }
    let after = resident()?;
    println!(
        "1,048,576 offenders in the window: {} MiB (at the peak {} MiB)",
        (after.0 - before.0) >> 20,
        (after.1 - before.0) >> 20
    );
    Ok(())
}

fn detector() -> Detector {
    Detector::new(DetectConfig::default())
}

/// Bytes resident now, and at the peak.
fn resident() -> Result<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> Result<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .context("no such field")?;
        let kib: u64 = line.split_whitespace().next().context("no number")?.parse()?;
        Ok(kib << 10)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// The same log every time.
fn mixed(lines: usize) -> String {
    let mut log = String::new();
    let mut random = Random(1);
    for number in 0..lines {
        if number > 0 {
            log.push('\n');
        }
        let pid = 400 + random.below(64);
        let second = number / 1000 % 60;
        let attacker = format!(
            "{}.{}.{}.{}",
            20 + random.below(180),
            random.below(256),
            random.below(16),
            random.below(256)
        );
        let friend = format!("198.51.100.{}", random.below(200));
        let id = format!("{:010X}", 0x4F_B000_0000u64 + number as u64);
        let user = random.below(5000);
        // Writing to a String does not fail.
        let _ = write!(log, "Nov 24 02:27:{second:02} mx1 ");
        let _ = match random.below(20) {
            0..=2 => write!(
                log,
                "postfix/submission/smtpd[{pid}]: warning: unknown[{attacker}]: SASL LOGIN authentication failed: \
                 UGFzc3dvcmQ6, sasl_username=user{user}@example.com"
            ),
            3 => write!(
                log,
                "dovecot: auth: passwd-file(user{user}@example.com,{attacker},<4bX0hJ5LvP8Af3kB>): Password mismatch (SHA1 of \
                 given password: 5baa61)"
            ),
            4 => write!(
                log,
                "postfix/smtpd[{pid}]: NOQUEUE: reject: RCPT from unknown[{attacker}]: 554 5.7.1 <u@example.net>: Relay access \
                 denied; from=<a@example.org> to=<u@example.net> proto=ESMTP helo=<x>"
            ),
            5..=7 => write!(
                log,
                "postfix/smtpd[{pid}]: connect from host-{user}.pool.example.net[{attacker}]"
            ),
            8..=9 => write!(
                log,
                "postfix/smtpd[{pid}]: disconnect from host-{user}.pool.example.net[{attacker}] ehlo=1 auth=0/1 rset=1 quit=1 \
                 commands=3/4"
            ),
            10 => write!(
                log,
                "postfix/submission/smtpd[{pid}]: {id}: client=client-{user}.example.com[{friend}], sasl_method=PLAIN, \
                 sasl_username=user{user}@example.com"
            ),
            11 => write!(
                log,
                "dovecot: imap-login: Login: user=<user{user}@example.com>, method=PLAIN, rip={friend}, lip=192.0.2.25, mpid={pid}, \
                 TLS, session=<4bX0hJ5LvP8Af3kB>"
            ),
            12..=13 => write!(
                log,
                "postfix/qmgr[439]: {id}: from=<user{user}@example.com>, size=48213, nrcpt=1 (queue active), and on it goes, \
                 and on, to its length"
            ),
            14..=15 => write!(
                log,
                "postfix/smtp[{pid}]: {id}: to=<someone{user}@example.net>, relay=mx.example.net[192.0.2.99]:25, delay=0.31, \
                 delays=0.02/0/0.1/0.19, dsn=2.0.0, status=sent (250 2.0.0 Ok)"
            ),
            16..=17 => write!(
                log,
                "postfix/cleanup[{pid}]: {id}: message-id=<{user}.1795487265.611622396.a.long.one.that.fills.the.line@mail.example.com>"
            ),
            _ => write!(
                log,
                "systemd[1]: Finished session-{user}.scope - Session {user} of user root: consumed 1.204s CPU time, and 24.1M \
                 memory at the peak."
            ),
        };
    }
    log
}

/// A linear congruential generator (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
