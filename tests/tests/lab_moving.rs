//! Moving in from hosts.allow, iptables and fail2ban, and out to ipset, nftables and Postfix: with the real programs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::probe;

/// The gate that the tests start from: nobody is allowed but by import.
fn nobody(host: &MailHost) -> String {
    Gate::japan(host, "")
        .replace("\"country:JP\", \"private\"", "\"private\"")
        .replace(
            "[gate.submission]",
            "trust = [\"cidr:12.34.200.0/24\"]\n[gate.submission]",
        )
}

fn answered(site: &Site, from: IpAddr, port: u16) -> bool {
    let outcome = probe::volley(site, vec![from], vec![port], 3).unwrap();
    outcome.silent.is_empty()
}

/// A time without what the ledger does not keep.
fn second(time: &serde_json::Value) -> Option<String> {
    time.as_str().map(|time| time[..19].to_owned())
}

fn succeed(mut command: Command) -> String {
    let out: Output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "{command:?}: {}\n{said}", out.status);
    said
}

/// A hosts.allow as it grows over the years: every form there is. Returns its text, the prefixes that it lets in at every
/// gate, and how many of its patterns cannot be meant.
fn hosts_allow() -> (String, Vec<IpNet>, usize) {
    let mut text = String::from("# mail for our people only\n");
    let (mut allowed, mut left) = (Vec::new(), 0);
    let mut lines = 1;
    let mut n: u32 = 0;
    while lines < 1939 {
        let (a, b) = (n / 200, n % 200);
        let (entry, nets, cannot) = match n % 13 {
            0 => (
                format!("smtpd: 133.{}.{b}.", 20 + a),
                vec![format!("133.{}.{b}.0/24", 20 + a)],
                0,
            ),
            1 => (
                format!("ALL : 126.{a}.{b}.0/255.255.255.0"),
                vec![format!("126.{a}.{b}.0/24")],
                0,
            ),
            2 => (
                format!("smtpd,sendmail: 202.{a}.{b}.0/25 202.{a}.{b}.192/26"),
                vec![format!("202.{a}.{b}.0/25"), format!("202.{a}.{b}.192/26")],
                0,
            ),
            3 => (
                format!("ALL: [2001:2f8:{a:x}:{b:x}::]/64"),
                vec![format!("2001:2f8:{a:x}:{b:x}::/64")],
                0,
            ),
            4 => (format!("smtpd: 210.{a}.{b}.7"), vec![format!("210.{a}.{b}.7/32")], 0),
            5 => (format!("smtpd: .isp{n}.example.ne.jp"), vec![], 1),
            6 => (format!("# branch office {n}"), vec![], 0),
            7 => (String::new(), vec![], 0),
            8 => (format!("sshd: 192.0.2.{b}"), vec![], 1),
            9 => (
                format!("ALL EXCEPT sshd: 219.{a}.{b}.0/255.255.255.128 : spawn (/bin/echo %a >> /tmp/x) &"),
                vec![format!("219.{a}.{b}.0/25")],
                0,
            ),
            10 => (
                format!("smtpd: 220.{a}.{b}.0/24 EXCEPT 220.{a}.{b}.128/25"),
                vec![format!("220.{a}.{b}.0/25")],
                1,
            ),
            11 => (format!("smtpd: 221.{a}.{b}.9/255.255.255.0"), vec![], 1),
            _ => (
                format!("smtpd: 222.{a}.{b}.1, \\\n       222.{a}.{b}.2"),
                vec![format!("222.{a}.{b}.1/32"), format!("222.{a}.{b}.2/32")],
                0,
            ),
        };
        n += 1;
        let more = entry.matches('\n').count() + 1;
        if lines + more > 1939 {
            text.push_str("# end\n");
            lines += 1;
            continue;
        }
        lines += more;
        writeln!(text, "{entry}").unwrap();
        allowed.extend(nets.iter().map(|net| net.parse::<IpNet>().unwrap()));
        left += cannot;
    }
    assert_eq!(text.lines().count(), 1939);
    (text, allowed, left)
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_moving_in_gives_the_policy_that_was_there_before() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let (tokyo, russia) = (&internet.tokyo, &internet.russia);
    let mut gate = Gate::new(&host, &nobody(&host)).unwrap();
    gate.start().unwrap();

    // hosts.allow and hosts.deny.
    let (text, allowed, left) = hosts_allow();
    gate.write("hosts.allow", &text).unwrap();
    let deny = format!("ALL: {}\nALL: ALL\n", russia.v4(9));
    gate.write("hosts.deny", deny).unwrap();
    let (allow, deny) = (gate.path("hosts.allow"), gate.path("hosts.deny"));
    let files = [allow.to_str().unwrap(), deny.to_str().unwrap()];
    let dry = gate.json(&[&["import", "--dry-run"][..], &files].concat()).unwrap();
    let list = gate.json(&["list"]).unwrap();
    assert_eq!(list["exceptions"].as_array().unwrap().len(), 0, "a dry run");
    let report = gate.json(&[&["import"][..], &files].concat()).unwrap();
    assert_eq!(report["allowed"], dry["allowed"], "what the dry run said");
    let mut taken: Vec<IpNet> = report["allowed"]
        .as_array()
        .unwrap()
        .iter()
        .inspect(|entry| assert!(entry["gate"].is_null(), "{entry}"))
        .map(|entry| entry["prefix"].as_str().unwrap().parse().unwrap())
        .collect();
    let mut wanted = allowed;
    taken.sort_unstable();
    wanted.sort_unstable();
    wanted.dedup();
    assert_eq!(taken, wanted);
    // Beside what hosts.allow leaves: the last line of hosts.deny.
    assert_eq!(
        report["left"].as_array().unwrap().len(),
        left + 1,
        "{:#}",
        report["left"]
    );
    assert_eq!(report["banned"].as_array().unwrap().len(), 1);
    for address in ["133.20.0.7", "222.0.12.2", "2001:2f8:0:3::5"] {
        let explained = gate.json(&["explain", address]).unwrap();
        for at in explained["gates"].as_array().unwrap() {
            assert_eq!(at["verdict"], "pass", "{address}: {explained:#}");
            assert_eq!(at["kernel"]["verdict"], "pass", "{address}: {explained:#}");
        }
    }
    gate.write(
        "one.allow",
        format!("smtpd: {}\n", tokyo.net4.to_string().replace(".0.0/16", ".")),
    )
    .unwrap();
    assert!(!answered(tokyo, tokyo.v4(3).into(), 25), "not yet allowed");
    gate.json(&["import", gate.path("one.allow").to_str().unwrap()])
        .unwrap();
    assert!(answered(tokyo, tokyo.v4(3).into(), 587), "allowed");

    // iptables with 500 drops: accepted before them, and among them.
    let mut rules =
        String::from("# Generated by iptables-save v1.8.9 on Tue Nov 24 12:00:00 2026\n*filter\n:INPUT ACCEPT [0:0]\n");
    writeln!(rules, "-A INPUT -s {}/32 -j ACCEPT", tokyo.v4(2)).unwrap();
    for n in 0..499 {
        writeln!(
            rules,
            "-A INPUT -s {}/32 -p tcp -m multiport --dports 25,465,587 -j DROP",
            tokyo.v4(1000 + n)
        )
        .unwrap();
    }
    writeln!(
        rules,
        "-A INPUT -s {}/29 -j REJECT --reject-with icmp-port-unreachable\nCOMMIT",
        tokyo.v4(0)
    )
    .unwrap();
    gate.write("rules.v4", &rules).unwrap();
    let rules = gate.path("rules.v4");
    let report = gate.json(&["import", rules.to_str().unwrap()]).unwrap();
    assert_eq!(
        report["banned"].as_array().unwrap().len(),
        499 + 3,
        "499 addresses, and a /29 less one"
    );
    for (n, expected) in [
        (2, true),
        (3, false),
        (7, false),
        (8, true),
        (1000, false),
        (1498, false),
        (1499, true),
    ] {
        assert_eq!(answered(tokyo, tokyo.v4(n).into(), 465), expected, "{}", tokyo.v4(n));
    }
    let again = gate.json(&["import", rules.to_str().unwrap()]).unwrap();
    assert_eq!(again["banned"].as_array().unwrap().len(), 0, "twice changes nothing");

    // It survives, and it can be taken back.
    gate.kill().unwrap();
    gate.start().unwrap();
    assert!(!answered(tokyo, tokyo.v4(1000).into(), 25), "after a restart");
    gate.json(&["import", "--undo", rules.to_str().unwrap()]).unwrap();
    assert!(answered(tokyo, tokyo.v4(1000).into(), 25), "taken back");
    gate.json(&["import", "--confirm", "2s", rules.to_str().unwrap()])
        .unwrap();
    assert!(!answered(tokyo, tokyo.v4(1000).into(), 25), "with --confirm");
    let deadline = Instant::now() + Duration::from_secs(15);
    while !answered(tokyo, tokyo.v4(1000).into(), 25) {
        assert!(Instant::now() < deadline, "not confirmed, not undone");
        std::thread::sleep(Duration::from_millis(200));
    }

    // A bad file among good ones: nothing of any.
    gate.write("bad", "192.0.2.0/24\nnonsense\n").unwrap();
    let bad = gate
        .cli(&["import", rules.to_str().unwrap(), gate.path("bad").to_str().unwrap()])
        .unwrap();
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("line 2: `nonsense`"));
    assert!(answered(tokyo, tokyo.v4(1000).into(), 25), "nothing was changed");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_moving_out_is_taken_by_the_real_programs_and_comes_back() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let (tokyo, russia) = (&internet.tokyo, &internet.russia);
    let config = nobody(&host).replace("\"private\"", "\"cidr:133.11.0.0/16\", \"cidr:2001:2f8::/32\"");
    let config = config.replacen(
        "trust = [\"cidr:12.34.200.0/24\"]\n",
        "trust = [\"cidr:12.34.200.0/24\"]\nblock = [\"cidr:133.11.77.0/24\"]\n",
        1,
    );
    let mut gate = Gate::new(&host, &config).unwrap();
    gate.start().unwrap();
    let (week, ever, net) = (tokyo.v4(5).to_string(), tokyo.v4(6).to_string(), "133.11.66.0/24");
    let six = tokyo.v6(5).to_string();
    gate.json(&["ban", &week, &six, "--for", "7d"]).unwrap();
    gate.json(&["ban", "133.11.66.5", "--for", "40d"]).unwrap();
    gate.json(&["ban", &ever]).unwrap();
    gate.json(&["ban", net, "--for", "1h"]).unwrap();
    gate.json(&["allow", &russia.v4(3).to_string(), "--gate", "mx"])
        .unwrap();
    let before = gate.json(&["export"]).unwrap();
    let root = host.gate_folder().parent().unwrap().join("root");
    let export = |format: &str| {
        // A table of Postfix has one policy.
        let gate_only: &[&str] = if format == "postfix-cidr" {
            &["--gate", "mx"]
        } else {
            &[]
        };
        let out = gate
            .cli(&[&["export", "--format", format], gate_only].concat())
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        std::fs::write(host.seen(&root.join(format!("tmp/{format}"))), &out.stdout).unwrap();
    };
    let in_root = |words: &str| {
        let mut command = host.command_in_root("sh");
        command.args(["-c", words]);
        succeed(command)
    };

    // As Postfix reads it.
    export("postfix-cidr");
    for (address, expected) in [
        (tokyo.v4(1).to_string().as_str(), "DUNNO"),
        (&week, "REJECT banned"),
        ("133.11.77.1", "REJECT"),
        (&russia.v4(1).to_string(), "REJECT"),
        (&russia.v4(3).to_string(), "DUNNO"),
        ("12.34.200.1", "DUNNO"),
        ("2001:2f8:9::1", "DUNNO"),
    ] {
        let said = in_root(&format!("postmap -q {address} cidr:/tmp/postfix-cidr"));
        assert_eq!(said.trim(), expected, "{address}");
    }

    // As the kernel takes it; what it says then comes back.
    export("ipset");
    in_root("ipset restore -file /tmp/ipset && ipset save > /tmp/ipset.saved");
    in_root(&format!(
        "ipset test smtpgate-ban4 {week} && ipset test smtpgate-allow4-25 133.11.1.1"
    ));
    export("nft");
    in_root("nft -c -f /tmp/nft && nft -f /tmp/nft && nft list ruleset > /tmp/nft.listed");
    // The table refuses by itself.
    gate.json(&["unload"]).unwrap();
    assert!(answered(tokyo, tokyo.v4(1).into(), 25) && !answered(tokyo, week.parse().unwrap(), 25));
    assert!(answered(russia, russia.v4(3).into(), 25) && !answered(russia, russia.v4(3).into(), 587));
    in_root("nft -f /tmp/nft && nft delete table inet smtpgate-export");
    gate.kill().unwrap();

    for file in ["postfix-cidr", "ipset.saved", "nft.listed"] {
        // Another gate, that knows nothing of it.
        std::fs::remove_dir_all(host.seen(&gate.path("state"))).unwrap();
        gate.configure(&nobody(&host)).unwrap();
        gate.json(&["load"]).unwrap();
        let path = root.join("tmp").join(file);
        let report = gate.json(&["import", path.to_str().unwrap()]).unwrap();
        let after = gate.json(&["export"]).unwrap();
        for (address, wanted) in [(&week, true), (&ever, true), (&six, true)] {
            let of = |export: &serde_json::Value| {
                let bans = export["bans"].as_array().unwrap().clone();
                let address: IpAddr = address.parse().unwrap();
                bans.into_iter()
                    .find(|ban| ban[0].as_str().unwrap().parse::<IpNet>().unwrap().contains(&address))
            };
            let (was, is) = (of(&before).unwrap(), of(&after));
            assert!(is.is_some() == wanted, "{file}: {address}: {:#}", report["left"]);
            assert_eq!(second(&is.unwrap()[1]), second(&was[1]), "{file}: {address}");
        }
        // Nested bans: each address is refused as long as before.
        let explained = gate.json(&["explain", "133.11.66.5"]).unwrap();
        let ends: Vec<_> = explained["bans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ban| second(&ban["until"]))
            .collect();
        let forty = before["bans"]
            .as_array()
            .unwrap()
            .iter()
            .find(|ban| ban[0] == "133.11.66.5/32")
            .unwrap();
        assert!(ends.contains(&second(&forty[1])), "{file}: {explained:#}");
        for (address, expected) in [
            ("133.11.1.1", ["pass", "pass"]),
            ("133.11.77.1", ["drop", "drop"]),
            (&russia.v4(3).to_string(), ["drop", "pass"]),
        ] {
            let explained = gate.json(&["explain", address]).unwrap();
            let verdicts: Vec<_> = explained["gates"]
                .as_array()
                .unwrap()
                .iter()
                .map(|at| at["verdict"].clone())
                .collect();
            let gates = if file == "postfix-cidr" { 1..2 } else { 0..2 };
            assert_eq!(
                verdicts[gates.clone()],
                expected[gates],
                "{file}: {address}: {explained:#}"
            );
        }
        gate.json(&["unload"]).unwrap();
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_moving_fail2ban_bans_and_lifts_by_smtpgate_and_hands_over_its_bans() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let tokyo = &internet.tokyo;
    let mut gate = Gate::new(&host, &Gate::japan(&host, "maxretry = 100")).unwrap();
    gate.start().unwrap();
    let root = host.gate_folder().parent().unwrap().join("root");
    let write = |path: &str, text: &str| {
        std::fs::write(host.seen(&root.join(path)), text).unwrap();
    };
    let in_root = |words: &str| {
        let mut command = host.command_in_root("sh");
        command.args(["-c", words]);
        succeed(command)
    };
    // fail2ban sees the Debian root only; the command it calls goes out to where the gate is.
    let action = include_str!("../../dist/fail2ban/action.d/smtpgate.conf");
    write("etc/fail2ban/action.d/smtpgate.conf", action);
    let outside = host.gate_folder();
    write(
        "usr/local/bin/smtpgate",
        &format!(
            "#!/bin/sh\nexec nsenter --mount=/proc/1/ns/mnt --wdns=/ -- {} \"$@\" --config {}/config.toml\n",
            gate.program().display(),
            outside.display()
        ),
    );
    in_root("chmod +x /usr/local/bin/smtpgate; mkdir -p /run/fail2ban");
    write(
        "etc/fail2ban/jail.d/test.conf",
        "[DEFAULT]\nbackend = polling\nbanaction = smtpgate\nallowipv6 = auto\n[sshd]\nenabled = false\n\
         [postfix-sasl]\nenabled = true\nlogpath = /var/log/mail.log\nmaxretry = 3\nbantime = 3600\naction = smtpgate\n",
    );
    in_root("fail2ban-client -t");
    in_root("fail2ban-client start");
    let guesser = tokyo.v4(66);
    let six = tokyo.v6(66);
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done() {
            let log = in_root("cat /var/log/fail2ban.log");
            assert!(Instant::now() < deadline, "{what}:\n{log}\n{}", gate.said());
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    // Its own filter reads the log, its own action calls us.
    let log = host.seen(&root.join("var/log/mail.log"));
    let now = in_root("date +%Y-%m-%dT%H:%M:%S.000000+00:00");
    let mut lines = String::new();
    for _ in 0..3 {
        writeln!(
            lines,
            "{} mail postfix/smtpd[9]: warning: unknown[{guesser}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
            now.trim()
        )
        .unwrap();
    }
    let mut file = std::fs::File::options().append(true).open(log).unwrap();
    std::io::Write::write_all(&mut file, lines.as_bytes()).unwrap();
    wait("the guesser is banned", &|| !answered(tokyo, guesser.into(), 25));
    let list = gate.json(&["list"]).unwrap();
    assert_eq!(list["bans"][0]["reason"], "fail2ban postfix-sasl", "{list:#}");
    assert!(!list["bans"][0]["until"].is_null(), "{list:#}");
    in_root(&format!("fail2ban-client set postfix-sasl banip {six}"));
    wait("by hand, IPv6", &|| !answered(tokyo, six.into(), 25));
    in_root(&format!("fail2ban-client set postfix-sasl unbanip {guesser}"));
    wait("lifted", &|| answered(tokyo, guesser.into(), 25));
    // One that smtpgate no longer knows is no error to fail2ban.
    gate.json(&["unban", "--all"]).unwrap();
    in_root(&format!("fail2ban-client set postfix-sasl unbanip {six}"));
    in_root("fail2ban-client set postfix-sasl bantime -1");
    in_root(&format!("fail2ban-client set postfix-sasl banip {guesser}"));
    wait("for ever", &|| !answered(tokyo, guesser.into(), 25));
    let list = gate.json(&["list"]).unwrap();
    assert!(list["bans"][0]["until"].is_null(), "{list:#}");
    let log = in_root("cat /var/log/fail2ban.log");
    assert!(!log.contains("ERROR"), "{log}");

    // Its database, as it has written it itself.
    in_root(&format!(
        "fail2ban-client set postfix-sasl bantime 3600; fail2ban-client set postfix-sasl banip {six}"
    ));
    let path = root.join("var/lib/fail2ban/fail2ban.sqlite3");
    gate.json(&["unban", "--all"]).unwrap();
    let report = gate.json(&["import", path.to_str().unwrap()]).unwrap();
    let banned = report["banned"].as_array().unwrap();
    assert_eq!(banned.len(), 2, "{report:#}");
    for ban in banned {
        let ever = ban["prefix"] == format!("{guesser}/32");
        assert_eq!(ban["until"].is_null(), ever, "{ban}");
    }
    assert!(!answered(tokyo, guesser.into(), 25) && !answered(tokyo, six.into(), 25));
    in_root("fail2ban-client stop");
}
