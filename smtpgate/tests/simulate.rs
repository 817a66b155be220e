//! `smtpgate simulate` as an admin uses it before enforcing: what would be lost, and that its own advice mends it.
#![allow(
    clippy::unwrap_used,
    reason = "a test; clippy sees only its #[test] functions as such"
)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// A message that came in over SMTP and was delivered.
fn delivered(log: &mut String, id: u32, client: &str, sender: &str) {
    let id = format!("4AB{id:07X}");
    for line in [
        format!("smtpd[701]: {id}: client=mail.example[{client}]"),
        format!("cleanup[702]: {id}: message-id=<{id}@mail.example>"),
        format!("qmgr[703]: {id}: from=<{sender}>, size=512, nrcpt=1 (queue active)"),
        format!(
            "local[704]: {id}: to=<taro@home.example>, relay=local, delay=0.1, delays=0.1/0/0/0, dsn=2.0.0, \
             status=sent (delivered to mailbox)"
        ),
        format!("qmgr[703]: {id}: removed"),
    ] {
        writeln!(log, "2026-11-20T09:00:00+00:00 mail postfix/{line}").unwrap();
    }
}

/// Home is 192.0.2.0/24. Partners write from elsewhere, an employee travels, and somebody guesses.
fn log() -> String {
    let mut log = String::new();
    delivered(&mut log, 1, "192.0.2.10", "hanako@home.example");
    for id in 2..5 {
        delivered(&mut log, id, "198.51.100.20", "ann@partner.example");
    }
    delivered(&mut log, 5, "2001:db8:7::25", "list@society.example");
    writeln!(
        log,
        "2026-11-20T09:01:00+00:00 mail postfix/submission/smtpd[711]: 4AB0000009: client=unknown[203.0.113.40], \
         sasl_method=PLAIN, sasl_username=taro"
    )
    .unwrap();
    for second in 0..5 {
        writeln!(
            log,
            "2026-11-20T09:02:0{second}+00:00 mail postfix/smtpd[720]: warning: unknown[198.51.100.66]: SASL LOGIN \
             authentication failed: UGFzc3dvcmQ6, sasl_username=taro"
        )
        .unwrap();
    }
    log
}

/// What `simulate --json` says of `log` where the gates let in `allow`.
fn simulate(folder: &Path, allow: &[&str], log: &Path) -> Value {
    let config = folder.join("config.toml");
    let text = format!(
        "[gate.mail]\nports = [25, 465, 587]\nallow = {allow:?}\n[paths]\nstate = \"{0}/state\"\nrun = \"{0}/run\"\n",
        folder.display()
    );
    fs::write(&config, text).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_smtpgate"))
        .args(["simulate", "--json", "--config"])
        .args([&config, log])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn simulate_names_the_mail_that_would_be_lost_and_its_advice_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.log.2.gz");
    let mut packed = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
    packed.write_all(log().as_bytes()).unwrap();
    packed.finish().unwrap();

    let said = simulate(folder.path(), &["cidr:192.0.2.0/24"], &path);
    let mut lost: Vec<(&str, &str, u64, u64)> = said["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lost| {
            let text = |key: &str| lost[key].as_str().unwrap();
            let count = |key: &str| lost[key].as_u64().unwrap();
            (text("sender"), text("network"), count("messages"), count("logins"))
        })
        .collect();
    lost.sort_unstable();
    assert_eq!(
        lost,
        [
            ("partner.example", "198.51.100.0/24", 3, 0),
            ("society.example", "2001:db8:7::/48", 1, 0),
            ("taro", "203.0.113.0/24", 0, 1),
        ]
    );
    let banned = |said: &Value| said["bans"][0]["prefix"].as_str().map(str::to_owned);
    assert_eq!(banned(&said).as_deref(), Some("198.51.100.66/32"), "{}", said["bans"]);

    let advice = said["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lost| lost["allow"].as_str().unwrap());
    let allow: Vec<&str> = ["cidr:192.0.2.0/24"].into_iter().chain(advice).collect();
    let mended = simulate(folder.path(), &allow, &path);
    assert_eq!(mended["lost"], Value::Array(Vec::new()));
    // A line in the log is a connection that was made: whom the gates let in does not matter.
    assert_eq!(banned(&mended), banned(&said));
}
