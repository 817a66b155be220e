//! No gap: whatever happens to the daemon, no refused SYN passes and no allowed one is lost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::probe::Stream;

const PORTS: [u16; 3] = [25, 465, 587];

/// A refused and an allowed SYN each millisecond, over both families and all ports, while something happens.
struct Watch {
    refused: Stream,
    allowed: Stream,
}

impl Watch {
    fn start(internet: &Internet) -> Self {
        let stream = |site: &Site| {
            let sources: Vec<IpAddr> = (1..=20).flat_map(|n| site.both(n)).collect();
            Stream::start(site, sources, PORTS.to_vec()).unwrap()
        };
        Self {
            refused: stream(&internet.america),
            allowed: stream(&internet.tokyo),
        }
    }

    fn end(self, what: &str) {
        // Long enough that the last change is seen from both sides.
        std::thread::sleep(Duration::from_millis(300));
        let (refused, allowed) = (self.refused.stop().unwrap(), self.allowed.stop().unwrap());
        println!("{what}: {} refused and {} allowed SYNs", refused.sent, allowed.sent);
        assert!(
            refused.sent > 100 && allowed.sent > 100,
            "{what}: too few probes to see a gap"
        );
        assert_eq!(refused.answered, [], "{what}: passed");
        assert_eq!(allowed.silent, [], "{what}: dropped");
    }
}

fn scene() -> (Internet, MailHost) {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    (internet, host)
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_gapless_while_the_daemon_is_killed_stopped_and_started() {
    let (internet, host) = scene();
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    gate.start().unwrap();
    let watch = Watch::start(&internet);
    for _ in 0..3 {
        gate.kill().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        gate.start().unwrap();
    }
    assert!(gate.stop().unwrap().success());
    std::thread::sleep(Duration::from_millis(200));
    gate.start().unwrap();
    watch.end("kill -9, SIGTERM, start");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_gapless_over_an_upgrade_and_back() {
    let (internet, host) = scene();
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let now = gate.program().to_owned();
    let earlier = with_earlier_object(&now, folder.path());

    gate.install(earlier.clone());
    gate.start().unwrap();
    let before = attached(&host);
    let watch = Watch::start(&internet);
    gate.kill().unwrap();
    gate.install(now);
    gate.start().unwrap();
    let upgraded = attached(&host);
    std::thread::sleep(Duration::from_millis(200));
    assert!(gate.stop().unwrap().success());
    gate.install(earlier);
    gate.start().unwrap();
    watch.end("upgrade, downgrade");
    assert_ne!(before, upgraded, "the upgrade brought no other program");
    assert_eq!(
        before,
        attached(&host),
        "the downgrade did not bring the former one back"
    );
}

/// The command around the kernel object of an earlier commit (`data/earlier.bpf.o`).
fn with_earlier_object(command: &Path, folder: &Path) -> PathBuf {
    const NOW: &[u8] = include_bytes!("../../smtpgate/data/smtpgate.bpf.o");
    const EARLIER: &[u8] = include_bytes!("../data/earlier.bpf.o");
    const { assert!(EARLIER.len() <= NOW.len(), "it would not fit in the other's place") };
    let mut bytes = std::fs::read(command).unwrap();
    let places: Vec<usize> = (0..bytes.len())
        .step_by(8)
        .filter(|at| bytes[*at..].starts_with(NOW))
        .collect();
    let [at] = places[..] else {
        panic!(
            "{}: the kernel object is there {} times",
            command.display(),
            places.len()
        )
    };
    bytes[at..at + NOW.len()].fill(0);
    bytes[at..at + EARLIER.len()].copy_from_slice(EARLIER);
    let path = folder.join("smtpgate");
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The kernel's hash of the instructions attached to the outer interface.
fn attached(host: &MailHost) -> String {
    let out = host
        .command("ip")
        .args(["-json", "link", "show", "dev", "eth0"])
        .output()
        .unwrap();
    let links: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    links[0]["xdp"]["prog"]["tag"]
        .as_str()
        .unwrap_or_else(|| panic!("no XDP program: {links}"))
        .to_owned()
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_gapless_while_the_policy_changes() {
    let (internet, host) = scene();
    let japan = Gate::japan(&host, "");
    let mut gate = Gate::new(&host, &japan).unwrap();
    gate.start().unwrap();
    // Each of these refuses America and lets Tokyo in, and each differs otherwise from the one before.
    let policies = [
        (
            "another country more",
            japan.replace("country:JP", "country:RU\", \"country:JP"),
        ),
        (
            "one prefix more",
            japan.replace("country:JP", "cidr:0.0.0.0/7\", \"country:JP"),
        ),
        (
            "other gates",
            format!("{japan}[gate.imap]\nports = [143, 993]\nallow = [\"country:JP\"]\n"),
        ),
        (
            "few prefixes",
            japan.replace("country:JP", "cidr:133.11.0.0/16\", \"cidr:2001:2f8::/32"),
        ),
        (
            "blocked neighbours",
            format!("block = [\"country:US\", \"cidr:133.12.0.0/16\"]\n{japan}"),
        ),
        ("Japan again", japan.clone()),
    ];
    for (name, policy) in policies {
        gate.configure(&policy).unwrap();
        let watch = Watch::start(&internet);
        let out = gate.cli(&["reload"]).unwrap();
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        watch.end(name);
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_gapless_while_ten_thousand_bans_a_second_come_in() {
    const BANS: u32 = 50_000;
    const A_SECOND: u32 = 10_000;
    let (internet, host) = scene();
    let mut gate = Gate::new(&host, &Gate::japan(&host, "maxretry = 1")).unwrap();
    gate.start().unwrap();
    let watch = Watch::start(&internet);
    // By the way a real guesser takes: its line in the maillog. 133.12/16 and on is Japan too, and nobody here lives there.
    let mut log = File::options().append(true).open(host.seen(&host.maillog())).unwrap();
    let first = Ipv4Addr::new(133, 12, 0, 0).to_bits();
    let start = Instant::now();
    for batch in 0..BANS / 100 {
        let mut lines = String::new();
        for n in 0..100 {
            let guesser = Ipv4Addr::from_bits(first + batch * 100 + n);
            writeln!(
                lines,
                "{} mail postfix/smtpd[99]: warning: unknown[{guesser}]: SASL LOGIN authentication failed: \
                 UGFzc3dvcmQ6, sasl_username=taro",
                now()
            )
            .unwrap();
        }
        log.write_all(lines.as_bytes()).unwrap();
        let due = Duration::from_secs(1) * (batch + 1) * 100 / A_SECOND;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    // The last of them is in force.
    let last = Ipv4Addr::from_bits(first + BANS - 1).to_string();
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        let out = gate.cli(&["explain", &last, "--json"]).unwrap();
        if String::from_utf8_lossy(&out.stdout).contains("banned") {
            break;
        }
        let said = gate.said();
        assert!(Instant::now() < deadline, "{last} is not banned: {out:?}\n{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{BANS} bans in force after {:.1} s", start.elapsed().as_secs_f64());
    watch.end("10,000 bans a second");
}

/// RFC 3339, UTC, as rsyslog writes it.
fn now() -> String {
    jiff::Timestamp::now().to_string()
}
