//! Bad input, through the real command on the real host: a clear error that names the thing, and the gate as it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::net::IpAddr;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::Internet;
use smtpgate_tests::lab::probe;

const PORTS: [u16; 3] = [25, 465, 587];
/// Exit codes of the contract.
const FAILED: i32 = 1;
const USAGE: i32 = 2;

struct Scene {
    internet: Internet,
    host: MailHost,
}

impl Scene {
    fn new() -> Self {
        let internet = Internet::new().unwrap();
        let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
        Self { internet, host }
    }

    /// Tokyo is answered, America and the banned one are not.
    fn as_it_was(&self, banned: IpAddr, after: &str) {
        let all = |site: &smtpgate_tests::lab::internet::Site| (1..=10).flat_map(|n| site.both(n)).collect::<Vec<_>>();
        let tokyo = probe::volley(&self.internet.tokyo, all(&self.internet.tokyo), PORTS.to_vec(), 60).unwrap();
        assert_eq!(tokyo.silent, [], "after {after}: dropped");
        let america = probe::volley(&self.internet.america, all(&self.internet.america), PORTS.to_vec(), 60).unwrap();
        assert_eq!(america.answered, [], "after {after}: passed");
        let guesser = probe::volley(&self.internet.tokyo, vec![banned], PORTS.to_vec(), 3).unwrap();
        assert_eq!(guesser.answered, [], "after {after}: the ban is gone");
    }
}

/// It failed with `code`, and its message holds every one of `words`.
fn refused(name: &str, out: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&out.stderr);
    println!("--- {name}\n{said}");
    assert_eq!(out.status.code(), Some(code), "{name}: {said}");
    for word in words {
        assert!(said.contains(word), "{name}: `{word}` is not in: {said}");
    }
}

/// Runs to its end, or is killed: a daemon that starts where it should not must not hang the test.
fn ends(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_bad_input_in_a_configuration_or_source_is_refused_whole() {
    let scene = Scene::new();
    let good = Gate::japan(&scene.host, "");
    let mut gate = Gate::new(&scene.host, &good).unwrap();
    gate.start().unwrap();
    let banned = scene.internet.tokyo.v4(200).into();
    assert!(gate.cli(&["ban", "133.11.0.200"]).unwrap().status.success());
    scene.as_it_was(banned, "start");

    gate.write("list.txt", "192.0.2.0/24\n# a comment\n192.0.2.0/33\n198.51.100.7\n")
        .unwrap();
    gate.write("empty.mmdb", "").unwrap();
    gate.write("wrong.mmdb", "this is no database ".repeat(1000)).unwrap();
    gate.write("cut.mmdb", [&[0; 4096], b"\xab\xcd\xefMaxMind.com".as_slice()].concat())
        .unwrap();
    let with_file = |name: &str| good.replace("\"country:JP\"", &format!("\"file:{}\"", gate.path(name).display()));
    let with_mmdb = |name: &str| format!("{good}[geoip]\ndatabase = \"{}\"\n", gate.path(name).display());
    let cases: [(&str, String, i32, &[&str]); 11] = [
        ("wrong TOML", format!("{good}maxretry = = 5\n"), USAGE, &["config.toml"]),
        (
            "unknown key",
            format!("{good}maxretries = 5\n"),
            USAGE,
            &["config.toml", "maxretries", "maxretry"],
        ),
        (
            "unknown section",
            format!("{good}[detct]\n"),
            USAGE,
            &["config.toml", "detct", "detect"],
        ),
        (
            "wrong duration",
            format!("{good}bantime = \"soon\"\n"),
            USAGE,
            &["config.toml", "bantime", "soon"],
        ),
        (
            "unknown country",
            good.replace("country:JP", "country:XX"),
            USAGE,
            &["config.toml", "`XX`"],
        ),
        (
            "bad line in a list",
            with_file("list.txt"),
            USAGE,
            &["list.txt", "3", "192.0.2.0/33"],
        ),
        ("list that is not there", with_file("none.txt"), USAGE, &["none.txt"]),
        ("empty database", with_mmdb("empty.mmdb"), USAGE, &["empty.mmdb"]),
        ("cut database", with_mmdb("cut.mmdb"), USAGE, &["cut.mmdb"]),
        ("wrong database", with_mmdb("wrong.mmdb"), USAGE, &["wrong.mmdb"]),
        (
            "too many prefixes",
            format!("{good}[limits]\nprefixes = 100\n"),
            USAGE,
            &["100", "prefixes"],
        ),
    ];
    for (name, config, code, words) in cases {
        gate.configure(&config).unwrap();
        refused(&format!("check: {name}"), &gate.cli(&["check"]).unwrap(), code, words);
        refused(&format!("reload: {name}"), &gate.cli(&["reload"]).unwrap(), code, words);
        scene.as_it_was(banned, name);
    }
    gate.kill().unwrap();
    gate.configure(&format!("{good}maxretries = 5\n")).unwrap();
    refused(
        "start: unknown key",
        &ends(gate.command(&["run"])),
        USAGE,
        &["config.toml", "maxretries"],
    );
    scene.as_it_was(banned, "a start with an unknown key");
    gate.configure(&good).unwrap();
    gate.start().unwrap();
    scene.as_it_was(banned, "all of it");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_bad_input_from_the_system_is_named_and_leaves_the_gate_alone() {
    let scene = Scene::new();
    let good = Gate::japan(&scene.host, "");
    let mut gate = Gate::new(&scene.host, &good).unwrap();
    gate.start().unwrap();
    let banned = scene.internet.tokyo.v4(200).into();
    assert!(gate.cli(&["ban", "133.11.0.200"]).unwrap().status.success());
    scene.as_it_was(banned, "start");

    refused("a second daemon", &ends(gate.command(&["run"])), FAILED, &["run"]);
    scene.as_it_was(banned, "a second daemon");
    gate.kill().unwrap();

    let as_weak = |caps: &str| {
        let mut command = scene.host.command("setpriv");
        command.arg(format!("--bounding-set={caps}")).arg(gate.program());
        command.arg("run").arg("--config").arg(gate.path("config.toml"));
        command
    };
    let out = ends(as_weak("-bpf,-sys_admin,-net_admin,-perfmon"));
    refused("no CAP_BPF", &out, FAILED, &["CAP_BPF"]);
    scene.as_it_was(banned, "no CAP_BPF");

    // A process of personality UNAME26 is told that the kernel is a 2.6 (personality(2)).
    let mut aged = scene.host.command("setarch");
    aged.arg("--uname-2.6").arg(gate.program());
    aged.arg("run").arg("--config").arg(gate.path("config.toml"));
    refused("kernel too old", &ends(aged), FAILED, &["2.6.", "5.10"]);
    scene.as_it_was(banned, "kernel too old");

    let mut hidden = scene.host.command("unshare");
    hidden
        .args(["--mount", "sh", "-c", "umount /sys/fs/bpf && exec \"$0\" \"$@\""])
        .arg(gate.program());
    hidden.arg("run").arg("--config").arg(gate.path("config.toml"));
    refused(
        "bpffs not mounted",
        &ends(hidden),
        FAILED,
        &["/sys/fs/bpf", "mount -t bpf"],
    );
    scene.as_it_was(banned, "bpffs not mounted");

    gate.configure(&good.replace("\"eth0\"", "\"eth9\"")).unwrap();
    refused("interface absent", &gate.cli(&["load"]).unwrap(), FAILED, &["eth9"]);
    scene.as_it_was(banned, "interface absent");
    gate.configure(&good).unwrap();

    let ledger = scene.host.seen(&gate.path("state/ledger.db"));
    let kept = fs::read(&ledger).unwrap();
    for beside in ["state/ledger.db-wal", "state/ledger.db-shm"] {
        let _ = fs::remove_file(scene.host.seen(&gate.path(beside)));
    }
    fs::write(&ledger, "scribble ".repeat(2000)).unwrap();
    refused("corrupt ledger", &ends(gate.command(&["run"])), FAILED, &["ledger.db"]);
    scene.as_it_was(banned, "corrupt ledger");
    fs::write(&ledger, kept).unwrap();
    gate.start().unwrap();
    scene.as_it_was(banned, "all of it");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_bad_input_full_disk_is_named_and_the_gate_holds() {
    let scene = Scene::new();
    let mut gate = Gate::new(&scene.host, &Gate::japan(&scene.host, "")).unwrap();
    let state = gate.path("state");
    let small = format!("mkdir {0} && mount -t tmpfs -o size=1M tmpfs {0}", state.display());
    assert!(
        scene
            .host
            .command("sh")
            .args(["-c", &small])
            .status()
            .unwrap()
            .success()
    );
    gate.start().unwrap();
    let banned = scene.internet.tokyo.v4(200).into();
    assert!(gate.cli(&["ban", "133.11.0.200"]).unwrap().status.success());
    let filler = scene.host.seen(&state).join("filler");
    // It ends with the disk: no space left.
    let full = std::io::copy(&mut std::io::repeat(0), &mut fs::File::create(&filler).unwrap()).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);

    let mut out = gate.cli(&["ban", "133.11.0.201"]).unwrap();
    for n in 202..255 {
        // What SQLite had already reserved is used up at last.
        if !out.status.success() {
            break;
        }
        out = gate.cli(&["ban", &format!("133.11.0.{n}")]).unwrap();
    }
    refused("full disk", &out, FAILED, &["ledger.db", "full"]);
    scene.as_it_was(banned, "full disk");
    fs::remove_file(&filler).unwrap();
    assert!(gate.cli(&["ban", "133.11.1.1"]).unwrap().status.success());
    scene.as_it_was(banned, "space again");
    gate.kill().unwrap();
    gate.start().unwrap();
    scene.as_it_was(banned, "a start after it");
}
