//! Steering it: who may speak to the control socket, the documented example, what somebody else wrote into the maps, and the
//! panic word.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::path::Path;
use std::process::Output;

use smtpgate::dataplane::{Dataplane, Kernel};
use smtpgate::policy::Op;
use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::probe;

fn answered(site: &Site, from: IpAddr) -> bool {
    let outcome = probe::volley(site, vec![from], vec![25], 3).unwrap();
    outcome.silent.is_empty()
}

fn said(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_control_socket_serves_its_group_and_the_panic_word_works_without_anything() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let (tokyo, russia) = (&internet.tokyo, &internet.russia);
    let (wanted, foreign): (IpAddr, IpAddr) = (tokyo.v4(1).into(), russia.v4(1).into());
    let mut gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();

    // A group with one member, on this host only.
    gate.write(
        "group",
        "root:x:0:\nsmtpgate:x:4000:mailadm\nmailadm:x:4001:\nweb:x:4002:\n",
    )
    .unwrap();
    gate.write(
        "passwd",
        "root:x:0:0::/:/bin/sh\nmailadm:x:4001:4001::/:/bin/sh\nweb:x:4002:4002::/:/bin/sh\n",
    )
    .unwrap();
    let on_host = |words: &[&str]| {
        let (program, args) = words.split_first().unwrap();
        host.command(program).args(args).output().unwrap()
    };
    for file in ["group", "passwd"] {
        let bound = on_host(&[
            "mount",
            "--bind",
            gate.path(file).to_str().unwrap(),
            &format!("/etc/{file}"),
        ]);
        assert!(bound.status.success(), "{}", said(&bound));
    }
    gate.start().unwrap();
    let program = gate.path("smtpgate");
    gate.write("smtpgate", std::fs::read(gate.program()).unwrap()).unwrap();
    on_host(&["chmod", "755", program.to_str().unwrap()]);
    let socket = gate.path("run/control.sock");
    let config = gate.path("config.toml");
    let verb = |user: &str, groups: &str, words: &[&str]| {
        let identity = [
            format!("--reuid={user}"),
            format!("--regid={user}"),
            format!("--groups={groups}"),
        ];
        let mut command = host.command("setpriv");
        command
            .args(identity)
            .arg(&program)
            .args(words)
            .arg("--config")
            .arg(&config);
        command.output().unwrap()
    };
    let member = verb("4001", "4000", &["status"]);
    assert_eq!(member.status.code(), Some(0), "a member: {}", said(&member));
    let ban = verb("4001", "4000", &["ban", "133.11.0.5", "--for", "1h"]);
    assert!(ban.status.success(), "a member: {}", said(&ban));
    assert!(!answered(tokyo, "133.11.0.5".parse().unwrap()));
    assert!(gate.said().contains("asked for ban by user 4001"), "{}", gate.said());
    let stranger = verb("4002", "4002", &["unban", "--all"]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(said(&stranger).contains("permission denied"), "{}", said(&stranger));
    // Also when somebody has loosened the mode.
    on_host(&["chmod", "666", socket.to_str().unwrap()]);
    let stranger = verb("4002", "4002", &["unban", "--all"]);
    assert!(
        said(&stranger).contains("not in the group smtpgate"),
        "{}",
        said(&stranger)
    );
    assert!(!answered(tokyo, "133.11.0.5".parse().unwrap()), "nothing was changed");

    // The example of docs/control.md, as it stands there.
    let page = include_str!("../../docs/control.md");
    let example: String = page
        .lines()
        .skip_while(|line| *line != "## Example")
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(example.contains("control.sock"), "the page has an example");
    let root = host.gate_folder().parent().unwrap().join("root");
    let inside = root.join("run/smtpgate");
    on_host(&["mkdir", "-p", inside.to_str().unwrap()]);
    on_host(&[
        "mount",
        "--bind",
        gate.path("run").to_str().unwrap(),
        inside.to_str().unwrap(),
    ]);
    let python = host.command_in_root("python3").args(["-c", &example]).output().unwrap();
    assert_eq!(said(&python), "True\n", "{example}");

    // Somebody writes into the kernel's maps: the gate observes only, and Tokyo is foreign.
    let calm = gate.json(&["reconcile"]).unwrap();
    assert_eq!(calm["differences"], 0, "{calm:#}");
    let pins = host.seen(Path::new("/sys/fs/bpf/smtpgate"));
    let mut plane = Dataplane::open(&pins, Kernel::probe().unwrap()).unwrap();
    plane.live_mut().apply(&Op::Observe(u32::MAX)).unwrap();
    plane.live_mut().apply(&Op::Root4Set(0x850b, 0)).unwrap();
    drop(plane);
    assert!(answered(russia, foreign), "the gate is open");
    let drift = gate.json(&["reconcile"]).unwrap();
    assert!(
        !answered(russia, foreign) && answered(tokyo, wanted),
        "put right: {drift:#}"
    );
    assert_eq!(drift["differences"], 2, "{drift:#}");
    let places = drift["places"].to_string();
    assert!(
        places.contains("133.11.0.0/16") && places.contains("only observe"),
        "{places}"
    );
    assert_eq!(gate.json(&["status"]).unwrap()["drift"], 2);
    assert_eq!(gate.json(&["reconcile"]).unwrap()["differences"], 0);

    // Everything is broken, and the daemon is dead: `unload` takes the gate down.
    gate.kill().unwrap();
    gate.write("state/ledger.db", "no database").unwrap();
    gate.write("state/in-force.json", "{").unwrap();
    let broken = std::fs::read_to_string(host.seen(&config))
        .unwrap()
        .replace("[gate.mx]", "[gate.mx");
    gate.write("config.toml", broken).unwrap();
    let status = gate.cli(&["status"]).unwrap();
    assert!(!status.status.success(), "all is broken: {}", said(&status));
    let down = gate.cli(&["unload"]).unwrap();
    assert!(down.status.success(), "{}", said(&down));
    assert!(answered(russia, foreign), "the gate is down");
}
