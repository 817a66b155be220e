//! Metrics, as Prometheus and the node-exporter meet them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use smtpgate_tests::lab::gate::Gate;
use smtpgate_tests::lab::host::{MailHost, MailLog};
use smtpgate_tests::lab::internet::Internet;
use smtpgate_tests::lab::probe;
use smtpgate_tests::promtool;

const REQUEST: &str = "GET /metrics HTTP/1.1\r\nHost: x\r\n";

/// Head and body of the answer.
fn get(mut stream: impl std::io::Read + std::io::Write, more: &str) -> (String, String) {
    write!(stream, "{REQUEST}{more}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn value(text: &str, series: &str) -> u64 {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_metrics_are_served_and_written_where_the_configuration_says() {
    let internet = Internet::new().unwrap();
    let host = MailHost::boot(&internet.mail, MailLog::Rfc3339).unwrap();
    let russia = &internet.russia;
    let config = |listen: &str, textfile: &str| {
        format!("{}[metrics]\nlisten = \"{listen}\"\n{textfile}", Gate::japan(&host, ""))
    };
    let mut gate = Gate::new(&host, "").unwrap();
    let file = gate.path("smtpgate.prom");
    let textfile = format!("textfile = \"{}\"\n", file.display());
    gate.configure(&config("127.0.0.1:9725", &textfile)).unwrap();
    gate.start().unwrap();
    let sources = vec![russia.v4(1).into(), russia.v6(1).into()];
    let outcome = probe::volley(russia, sources, vec![25, 465], 8).unwrap();
    assert_eq!(outcome.answered, []);

    let tcp = || internet.mail.run(|| Ok(TcpStream::connect("127.0.0.1:9725")?));
    let (head, served) = get(tcp().unwrap(), "");
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"),
        "{head}"
    );
    let printed = gate.cli(&["metrics"]).unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    for text in [&served, &printed] {
        assert_eq!(promtool::check_metrics(text).unwrap(), "");
        for family in ["ipv4", "ipv6"] {
            let refused = |gate: &str| {
                let labels = format!(r#"gate="{gate}",verdict="drop",reason="outside",family="{family}""#);
                value(text, &format!("smtpgate_packets_total{{{labels}}}"))
            };
            assert_eq!(refused("mx") + refused("submission"), 4, "{text}");
        }
        assert_eq!(
            value(text, r#"smtpgate_attach_mode{interface="eth0",mode="native"}"#),
            1
        );
        assert_eq!(value(text, "smtpgate_enforcing"), 1);
    }
    let (head, open) = get(
        tcp().unwrap(),
        "Accept: application/openmetrics-text; version=1.0.0\r\n",
    );
    assert!(
        head.contains("application/openmetrics-text") && open.ends_with("# EOF\n"),
        "{head}\n{open}"
    );

    let written = host.seen(&file);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !written.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = std::fs::read_to_string(&written).unwrap();
    assert_eq!(promtool::check_metrics(&text).unwrap(), "");
    assert_eq!(value(&text, "smtpgate_enforcing"), 1);
    let mode = std::fs::metadata(&written).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "the node-exporter is another user");

    let socket = gate.path("metrics.sock");
    gate.configure(&config(&format!("unix:{}", socket.display()), ""))
        .unwrap();
    assert!(gate.cli(&["reload"]).unwrap().status.success());
    let (_, served) = get(UnixStream::connect(host.seen(&socket)).unwrap(), "");
    assert_eq!(value(&served, "smtpgate_enforcing"), 1);
    assert!(tcp().is_err() && !written.exists(), "the former places are left");
    assert!(gate.stop().unwrap().success());
    assert!(!host.seen(&socket).exists());

    // Nobody's metrics keep the gate from coming up.
    gate.write("taken", "").unwrap();
    let taken = gate.path("taken");
    gate.configure(&config(&format!("unix:{}", taken.display()), ""))
        .unwrap();
    gate.start().unwrap();
    let status = gate.json(&["status"]).unwrap();
    assert!(status["attention"].to_string().contains("no socket"), "{status:#}");
    assert!(host.seen(&taken).exists(), "a file of somebody else's is gone");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_metrics_alerts_are_rules_that_prometheus_takes() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/prometheus/smtpgate.rules.yml");
    assert_eq!(promtool::check_rules(&rules).unwrap(), "");
}
