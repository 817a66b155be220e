//! `smtpgate setup` on a mail host that lives: what it sees, what it proposes, and what it leaves alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::{Command, Output};

use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::{Internet, Site};
use smtpgate_tests::lab::smtp::Smtp;

fn said(out: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

fn send(site: &Site, sender: &str) {
    let mut smtp = Smtp::connect(site, site.v4(1).into(), 25).unwrap();
    smtp.say("EHLO client.example.net").unwrap();
    let reply = smtp
        .mail(sender, "taro@example.com", "Subject: hello\r\n\r\nhello")
        .unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    smtp.say("QUIT").unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_setup_proposes_what_fits_the_host_and_overwrites_nothing() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let gate = Gate::new(&host, &Gate::japan(&host, "")).unwrap();
    let path = gate.path("proposed/config.toml");
    let log = host.maillog();
    let smtpgate = |words: &[&str]| -> Command {
        let mut command = host.command(gate.program());
        command.args(words).arg("--config").arg(&path);
        // Where the host is, its address does not tell: it is from the documentation's range.
        command.env("TZ", "Asia/Tokyo");
        command.env("SSH_CONNECTION", "198.51.100.7 50022 203.0.113.25 22");
        command
    };
    let setup = |words: &[&str]| {
        let mut command = smtpgate(&["setup"]);
        command.args(words).arg("--log").arg(&log).output().unwrap()
    };

    send(&internet.tokyo, "hanako@partner.example");
    let out = setup(&["--json"]);
    assert!(out.status.success(), "{}", said(&out));
    let seen: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let facts = &seen["facts"];
    assert_eq!(facts["interfaces"][0]["name"], "eth0", "{facts:#}");
    assert_eq!(facts["interfaces"][0]["expect"], "native", "{facts:#}");
    assert_eq!(facts["interfaces"][0]["default_route"], true, "{facts:#}");
    assert_eq!(facts["home"]["country"], "JP", "{facts:#}");
    assert_eq!(facts["listening"].to_string(), "[25,143,465,587,993]");
    assert!(facts["daemons"].to_string().contains("Postfix"), "{facts:#}");
    assert_eq!(facts["admin"], "198.51.100.7");
    let config = seen["config"].as_str().unwrap();
    assert!(
        config.contains("[gate.mx]\nports = [25]\nallow = [\"country:JP\", \"private\"]"),
        "{config}"
    );
    assert!(!host.seen(&path).exists(), "nothing was to be written");

    send(&internet.america, "john@customer.example");
    let out = setup(&["--write"]);
    println!("{}", said(&out));
    assert!(out.status.success(), "{}", said(&out));
    let written = fs::read_to_string(host.seen(&path)).unwrap();
    println!("{written}");
    assert!(written.contains("customer.example (US): 1 message"), "{written}");
    assert!(
        written.contains("[gate.mx]\nports = [25]\nallow = [\"world\"]"),
        "{written}"
    );
    assert!(
        written.contains("[gate.submission]\nports = [465, 587]\nallow = [\"country:JP\", \"private\"]"),
        "{written}"
    );
    let out = smtpgate(&["check"]).output().unwrap();
    assert!(out.status.success(), "{}", said(&out));

    let out = setup(&["--write"]);
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    assert!(
        said(&out).contains("is there already, and is left as it is"),
        "{}",
        said(&out)
    );
    assert_eq!(fs::read_to_string(host.seen(&path)).unwrap(), written);
}
