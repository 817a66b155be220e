//! A status as numbers for Prometheus. Pure: values in, text out.
//!
//! Names follow Prometheus' conventions: base units, `_total` for what only grows. What grows begins at 0 again when the
//! gate was taken down (packets) or the daemon started (drift, lines, offences).

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, AtomicU64},
};

use prometheus_client::{
    encoding::{prometheus_text, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use smtpgate_common::{Family as AddressFamily, Reason};

use super::{report::Status, views};
use crate::dataplane::AttachMode;

/// What a scraper reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4: every scraper, the textfile collector, `promtool`.
    Text,
    /// OpenMetrics 1.0, for those who ask for it.
    OpenMetrics,
}

impl Format {
    /// As HTTP names it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics of a status.
pub fn render(status: &Status, format: Format) -> String {
    let registry = registry(status);
    let mut text = String::new();
    let written = match format {
        Format::Text => prometheus_text::encode(&mut text, &registry),
        Format::OpenMetrics => text::encode(&mut text, &registry),
    };
    // Writing to a string does not fail.
    written.map(|()| text).unwrap_or_default()
}

fn registry(status: &Status) -> Registry {
    let mut book = Book(Registry::with_prefix("smtpgate"));
    gate(&mut book, status);
    policy(&mut book, status);
    daemon(&mut book, status);
    book.0
}

fn gate(book: &mut Book, status: &Status) {
    let info = Info::new(vec![("version", status.version.clone()), ("mode", status.mode.clone())]);
    book.0
        .register("build", "Version of the command, and what refusals do", info);
    book.gauge(
        "enforcing",
        "Whether a foreign SYN is refused on every interface that should be guarded",
        i64::from(status.enforcing),
    );
    book.gauge(
        "attention",
        "How many things `smtpgate status` says need attention",
        count(status.attention.len() as u64),
    );
    let modes = AttachMode::ALL.map(AttachMode::name);
    let attached = status.interfaces.iter().flat_map(|interface| {
        modes.into_iter().chain(["none"]).map(|mode| {
            let labels = [("interface", interface.name.clone()), ("mode", mode.to_owned())];
            (labels, i64::from(interface.attach == mode))
        })
    });
    book.gauges(
        "attach_mode",
        "1 for the mode in which an interface is guarded",
        attached,
    );
    book.counters(
        "packets",
        "What became of packets, since the gate was put up; gate is empty where none is known",
        packets(status)
            .into_iter()
            .map(|([gate, verdict, reason, family], packets)| {
                let labels = [
                    ("gate", gate),
                    ("verdict", verdict),
                    ("reason", reason),
                    ("family", family),
                ];
                (labels, packets)
            }),
    );
    let map = |name: &str| [("map", name.to_owned())];
    let entries = status.maps.iter().map(|found| (map(&found.name), count(found.entries)));
    book.gauges("map_entries", "Entries in a kernel map", entries);
    let capacity = status
        .maps
        .iter()
        .map(|found| (map(&found.name), count(found.capacity)));
    book.gauges("map_capacity", "Entries that a kernel map has room for", capacity);
    book.gauge(
        "kernel_memory_bytes",
        "Memory that the kernel holds for maps and programs",
        count(status.kernel_bytes),
    );
}

fn policy(book: &mut Book, status: &Status) {
    let mut bans = status.bans_by_rule.clone();
    // Also where there is none: what is not there cannot be compared with anything.
    bans.entry(views::OPERATOR.to_owned()).or_default();
    let bans = bans.into_iter().map(|(rule, bans)| ([("rule", rule)], count(bans)));
    book.gauges("bans", "Bans in force, by the rule that made them", bans);

    let labels = |source: &super::report::SourceState| [("list", source.list.clone()), ("spec", source.spec.clone())];
    let sources = || status.sources.iter();
    let ages = sources().filter_map(|source| Some((labels(source), count(source.age_seconds?))));
    book.gauges(
        "source_age_seconds",
        "Age of a source's data, where it has a date",
        ages,
    );
    let prefixes = sources().map(|source| (labels(source), count(source.prefixes)));
    book.gauges("source_prefixes", "Prefixes that a source gives", prefixes);
    let failing = sources().map(|source| (labels(source), i64::from(source.last_good)));
    book.gauges(
        "source_failing",
        "Whether a source failed, and its last good copy serves",
        failing,
    );
    book.counter(
        "drift",
        "Differences between kernel and policy that were found and repaired",
        status.drift,
    );
}

fn daemon(book: &mut Book, status: &Status) {
    if let Some(daemon) = &status.daemon {
        book.gauge(
            "daemon_start_time_seconds",
            "Start of the daemon, in seconds since 1970",
            daemon.since.as_second(),
        );
    }
    let Some(maillog) = status.maillog else { return };
    book.gauge(
        "follow_lag_seconds",
        "How long the oldest unread line of the maillog has been waiting",
        count(maillog.behind_seconds),
    );
    book.gauge(
        "follow_lag_bytes",
        "How much of the maillog is not read yet",
        count(maillog.behind_bytes),
    );
    book.counter(
        "follow_skipped_bytes",
        "What was left out of the maillog, since the backlog was too long",
        maillog.skipped_bytes,
    );
    book.counter("maillog_lines", "Lines of the maillog that were read", maillog.lines);
    book.counter("offences", "Offences that the maillog told of", maillog.offences);
}

/// By gate, verdict, reason and family. With what can be and has not been yet, as 0: the first packets of a series that
/// was not there before are no rise.
fn packets(status: &Status) -> BTreeMap<[String; 4], u64> {
    let mut packets = BTreeMap::new();
    for family in [AddressFamily::V4, AddressFamily::V6] {
        for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::None) {
            let structural = matches!(reason, Reason::Malformed | Reason::Fragment | Reason::HeaderChain);
            let gates: Vec<(&str, bool)> = if structural {
                vec![("", status.mode == "observe")]
            } else {
                let gates = status.gates.iter();
                gates.map(|gate| (gate.name.as_str(), gate.mode == "observe")).collect()
            };
            for (gate, observed) in gates {
                let verdict = views::verdict(reason, observed);
                packets.insert([gate, verdict, reason.name(), family.name()].map(str::to_owned), 0);
            }
        }
    }
    for row in &status.counters {
        let gate = row.gate.clone().unwrap_or_default();
        packets.insert(
            [gate, row.verdict.clone(), row.reason.clone(), row.family.clone()],
            row.packets,
        );
    }
    packets
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

struct Book(Registry);

impl Book {
    fn gauge(&mut self, name: &str, help: &str, value: i64) {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    fn gauges<const N: usize>(&mut self, name: &str, help: &str, rows: impl Iterator<Item = (Labels<N>, i64)>) {
        let family = Family::<Labels<N>, Gauge<i64, AtomicI64>>::default();
        for (labels, value) in rows {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64, AtomicU64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn counters<const N: usize>(&mut self, name: &str, help: &str, rows: impl Iterator<Item = (Labels<N>, u64)>) {
        let family = Family::<Labels<N>, Counter<u64, AtomicU64>>::default();
        for (labels, value) in rows {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;
    use serde_json::json;

    /// Of a daemon that has all there is.
    fn status() -> Status {
        let row = |gate, verdict, reason, family, packets: u64| json!({"gate": gate, "verdict": verdict, "reason": reason, "family": family, "packets": packets});
        serde_json::from_value(json!({
            "enforcing": true, "mode": "mixed", "version": "1.2.3",
            "daemon": {"pid": 7, "since": "2026-11-24T08:00:00Z"},
            "gates": [
                {"name": "mx", "ports": [25], "mode": "enforce", "allow": []},
                {"name": "submission", "ports": [587], "mode": "observe", "allow": []},
            ],
            "interfaces": [{"name": "eth0", "attach": "generic", "note": "no XDP in \"virtio\""}],
            "up_since": "2026-11-24T08:00:00Z",
            "counters": [
                row(Some("mx"), "drop", "outside", "ipv4", 41),
                row(None, "drop", "fragment", "ipv6", 2),
                row(None, "drop", "header_chain", "other", 1),
            ],
            "traffic": [],
            "maps": [{"name": "BANS4", "entries": 3, "capacity": 64}],
            "kernel_bytes": 4096,
            "sources": [
                {"list": "mx", "spec": "country:JP", "origin": "built-in", "date": "2026-06-17", "age_seconds": 86400,
                 "last_good": false, "prefixes": 9, "warning": null},
                {"list": "block", "spec": "file:/etc/a \"b\"\n", "origin": "file", "date": null, "age_seconds": null,
                 "last_good": true, "prefixes": 1, "warning": "gone"},
            ],
            "bans": 5, "bans_by_rule": {"maxretry": 5}, "drift": 4, "follow": [],
            "maillog": {"behind_bytes": 10, "behind_seconds": 2, "skipped_bytes": 0, "cut_lines": 0, "lines": 100, "offences": 6},
            "pending": null, "files_differ": false, "attention": ["one", "two"],
        }))
        .unwrap()
    }

    #[test]
    fn metrics_say_what_the_status_says() {
        let text = render(&status(), Format::Text);
        for line in [
            "# TYPE smtpgate_packets_total counter",
            r#"smtpgate_packets_total{gate="mx",verdict="drop",reason="outside",family="ipv4"} 41"#,
            r#"smtpgate_packets_total{gate="",verdict="drop",reason="fragment",family="ipv6"} 2"#,
            r#"smtpgate_packets_total{gate="",verdict="drop",reason="header_chain",family="other"} 1"#,
            r#"smtpgate_packets_total{gate="submission",verdict="would_drop",reason="banned",family="ipv6"} 0"#,
            r#"smtpgate_attach_mode{interface="eth0",mode="generic"} 1"#,
            r#"smtpgate_attach_mode{interface="eth0",mode="native"} 0"#,
            r#"smtpgate_bans{rule="maxretry"} 5"#,
            r#"smtpgate_bans{rule="operator"} 0"#,
            r#"smtpgate_map_entries{map="BANS4"} 3"#,
            r#"smtpgate_map_capacity{map="BANS4"} 64"#,
            r#"smtpgate_source_age_seconds{list="mx",spec="country:JP"} 86400"#,
            r#"smtpgate_source_failing{list="block",spec="file:/etc/a \"b\"\n"} 1"#,
            r#"smtpgate_build_info{version="1.2.3",mode="mixed"} 1"#,
            "smtpgate_enforcing 1",
            "smtpgate_attention 2",
            "smtpgate_drift_total 4",
            "smtpgate_follow_lag_seconds 2",
            "smtpgate_offences_total 6",
            "smtpgate_daemon_start_time_seconds 1795507200",
        ] {
            assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
        }
        let open = render(&status(), Format::OpenMetrics);
        assert!(
            open.contains("# TYPE smtpgate_packets counter\n") && open.ends_with("# EOF\n"),
            "{open}"
        );
    }

    #[test]
    fn metrics_of_the_dashboard_and_the_alerts_are_those_that_there_are() {
        let text = render(&status(), Format::Text);
        let names = |text: &str| -> std::collections::BTreeSet<String> {
            let name = Regex::new("smtpgate_[a-z_]+").unwrap();
            name.find_iter(text).map(|found| found.as_str().to_owned()).collect()
        };
        let known = names(&text);
        let rules = include_str!("../../../dist/prometheus/smtpgate.rules.yml");
        let dashboard = include_str!("../../../dist/grafana/smtpgate.json");
        serde_json::from_str::<serde_json::Value>(dashboard).unwrap();
        for (file, named) in [("rules", names(rules)), ("dashboard", names(dashboard))] {
            assert!(named.len() > 5, "{file}: {named:?}");
            assert!(named.is_subset(&known), "{file} names {:?}", &named - &known);
        }
        // Nor labels, or values of them, that there are not.
        let selector = Regex::new(r#"\{([^{}]*)\}"#).unwrap();
        let label = Regex::new(r#"([a-z]+)=~?\\?"([^"\\]*)"#).unwrap();
        for file in [rules, dashboard] {
            for part in selector.captures_iter(file) {
                for found in label.captures_iter(&part[1]).filter(|found| &found[1] != "instance") {
                    let fits = Regex::new(&format!(r#"[{{,]{}="({})""#, &found[1], &found[2])).unwrap();
                    assert!(fits.is_match(&text), "no metric has {}", &found[0]);
                }
            }
        }
    }
}
