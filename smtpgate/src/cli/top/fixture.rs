//! Answers of a daemon, for the tests of this folder.

use jiff::{SignedDuration, Timestamp};

use crate::daemon::report::{BanState, Counter, CountrySeen, InterfaceState, Pulse, Sample, SourceSeen, Span, Top};
use crate::sources::Owner;

/// The present of every fixture.
pub(super) fn now() -> Timestamp {
    "2026-11-24T05:02:11Z".parse().unwrap()
}

fn back(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn spans(rows: &[(&str, &str, u64)], verdict: &str) -> Vec<Span> {
    [("minute", 60, 1), ("hour", 3600, 53), ("day", 86_400, 1207)]
        .map(|(span, seconds, times)| Span {
            span: span.to_owned(),
            seconds,
            counters: rows
                .iter()
                .map(|(gate, reason, packets)| Counter {
                    gate: (!gate.is_empty()).then(|| (*gate).to_owned()),
                    verdict: if matches!(*reason, "allowed" | "trusted") {
                        "pass"
                    } else {
                        verdict
                    }
                    .to_owned(),
                    reason: (*reason).to_owned(),
                    family: "ipv4".to_owned(),
                    packets: packets * times,
                })
                .collect(),
        })
        .to_vec()
}

pub(super) fn source(source: &str, country: &str, gate: &str, reason: &str, refusals: u64, ago: i64) -> SourceSeen {
    SourceSeen {
        source: source.parse().unwrap(),
        country: (!country.is_empty()).then(|| country.to_owned()),
        owner: (refusals > 100).then(|| Owner {
            asn: 64_496,
            name: Some("EXAMPLE-BACKBONE No. 31 Example Street".to_owned()),
        }),
        gate: (!gate.is_empty()).then(|| gate.to_owned()),
        reason: reason.to_owned(),
        refusals,
        last: back(ago),
    }
}

pub(super) fn ban(
    prefix: &str,
    country: &str,
    ago: i64,
    length: Option<i64>,
    reason: &str,
    evidence: &[&str],
) -> BanState {
    BanState {
        prefix: prefix.parse().unwrap(),
        country: (!country.is_empty()).then(|| country.to_owned()),
        since: back(ago),
        until: length.map(|length| back(ago - length)),
        rule: if reason.starts_with("banned by") {
            "operator"
        } else {
            "maxretry"
        }
        .to_owned(),
        reason: reason.to_owned(),
        times: 2,
        evidence: evidence.iter().map(|line| (*line).to_owned()).collect(),
    }
}

/// A daemon that has just been started.
pub(super) fn quiet() -> Top {
    Top {
        now: now(),
        enforcing: true,
        mode: "enforce".to_owned(),
        interfaces: vec![InterfaceState {
            name: "eth0".to_owned(),
            attach: "native".to_owned(),
            note: None,
        }],
        attention: 0,
        pulses: Vec::new(),
        traffic: spans(&[], "drop"),
        sample: Sample {
            refusals: 0,
            since: None,
        },
        sources: Vec::new(),
        countries: Vec::new(),
        bans_in_force: 0,
        bans: Vec::new(),
    }
}

/// A usual night: a few refusals a minute.
pub(super) fn night() -> Top {
    let pulses = (0..600)
        .map(|n| Pulse {
            at: back(599 - n),
            refused: u64::from(n % 13 == 0) + u64::from(n > 300 && n < 360),
            would_refuse: 0,
            passed: u64::from(n % 20 == 0),
        })
        .collect();
    let country = |code: &str, refusals| CountrySeen {
        country: (!code.is_empty()).then(|| code.to_owned()),
        refusals,
    };
    Top {
        attention: 1,
        pulses,
        traffic: spans(
            &[
                ("submission", "outside", 11),
                ("mx", "outside", 4),
                ("submission", "banned", 2),
                ("", "fragment", 1),
                ("mx", "allowed", 3),
            ],
            "drop",
        ),
        sample: Sample {
            refusals: 812,
            since: Some(back(3300)),
        },
        sources: vec![
            source("203.0.113.77", "RU", "submission", "outside", 318, 2),
            source("198.51.100.9", "CN", "submission", "outside", 190, 1),
            source("192.0.2.201", "JP", "mx", "banned", 44, 31),
            source("2001:db8:7::9", "", "mx", "outside", 12, 240),
            source("203.0.113.5", "US", "submission", "outside", 9, 900),
            source("203.0.113.6", "US", "submission", "outside", 3, 7300),
        ],
        countries: vec![
            country("RU", 400),
            country("CN", 250),
            country("JP", 140),
            country("US", 20),
            country("", 2),
        ],
        bans_in_force: 1204,
        bans: vec![
            ban(
                "192.0.2.201/32",
                "JP",
                95,
                Some(3600),
                "5 failed logins within 10 min",
                &[
                    "Nov 24 13:59:50 mx postfix/smtpd[811]: warning: unknown[192.0.2.201]: SASL LOGIN authentication failed: x",
                    "Nov 24 14:00:36 mx postfix/smtpd[811]: warning: unknown[192.0.2.201]: SASL LOGIN authentication failed: authentication failure, sasl_username=info",
                ],
            ),
            ban("192.0.2.0/28", "JP", 4000, None, "banned by the operator", &[]),
            ban(
                "2001:db8:5:6::/64",
                "JP",
                86_000,
                Some(864_000),
                "7 failed logins as 経理部@example.jp within 10 min",
                &["Nov 23 14:00:36 mx dovecot: imap-login: Disconnected (auth failed): user=<経理部@example.jp>"],
            ),
        ],
        ..quiet()
    }
}

/// Millions of packets, from everywhere.
pub(super) fn flood() -> Top {
    let pulses = (0..600)
        .map(|n| Pulse {
            at: back(599 - n),
            refused: if n < 400 {
                2
            } else {
                2_000_000 + 3_000 * u64::try_from(n).unwrap()
            },
            would_refuse: 0,
            passed: 3,
        })
        .collect();
    let sources = (0..50).map(|n| {
        let address = format!("2001:db8:{:x}:ffff:ffff:ffff:ffff:{:x}", 0xf000 + n, 0xeeee - n);
        source(
            &address,
            "BR",
            "submission",
            "header_chain",
            10_000 - u64::try_from(n).unwrap(),
            0,
        )
    });
    Top {
        attention: 3,
        pulses,
        traffic: spans(
            &[
                ("submission", "outside", 91_234_567),
                ("mx", "outside", 88_000_000),
                ("", "header_chain", 1_500_000),
                ("mx", "blocklist", 12),
                ("mx", "banned", 9),
                ("", "fragment", 8),
                ("a-gate-of-a-long-name", "outside", 7),
            ],
            "drop",
        ),
        sample: Sample {
            refusals: 10_000,
            since: Some(back(4)),
        },
        sources: sources.collect(),
        ..night()
    }
}

/// As many bans as are named.
pub(super) fn many_bans() -> Top {
    let bans = (0..30).map(|n| {
        let prefix = format!("203.0.113.{n}/32");
        ban(
            &prefix,
            "RU",
            10 + n * 7,
            Some(3600),
            "5 failed logins within 10 min",
            &["a log line, the last of five"],
        )
    });
    Top {
        bans_in_force: 103_377,
        bans: bans.collect(),
        ..night()
    }
}
