//! The detector on lines of Postfix's, and against a model that remembers everything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::maillog::{Daemon, Event, Kind, LogTime, parse};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn free(_: IpAddr, _: ipnet::IpNet) -> Standing {
    Standing::Free(None)
}

/// Feeds messages of Postfix processes, one a second; returns the prefixes that were banned, with the number of the
/// line (from 1) that did it.
fn feed(lines: &[(u32, &str)]) -> Vec<(usize, String)> {
    let mut detector = Detector::new(DetectConfig::default());
    let mut bans = Vec::new();
    for (number, (pid, message)) in (1..).zip(lines) {
        let line = format!("Nov 24 02:27:08 mx1 postfix/submission/smtpd[{pid}]: {message}");
        let event = parse(line.as_bytes()).unwrap_or_else(|| panic!("not understood: {line}"));
        let observed = detector.observe(&event, line.as_bytes(), at(number as i64), free);
        bans.extend(observed.decision.map(|decision| (number, decision.prefix.to_string())));
    }
    bans
}

const CONNECT: &str = "connect from unknown[192.0.2.1]";
const FAIL: &str =
    "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=bob";
const OUR_FAULT: &str =
    "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: Connection lost to authentication server";
const DOWN: &str = "warning: SASL: Connect to private/auth failed: Connection refused";

#[test]
fn detect_counts_a_failure_once() {
    // Name, lines, and which of them ban.
    type Case<'a> = (&'a str, &'a [(u32, &'a str)], &'a [usize]);
    let cases: &[Case<'_>] = &[
        ("the fifth bans", &[(1, FAIL); 5], &[5]),
        ("four do not", &[(1, FAIL); 4], &[]),
        ("and after it the count starts anew", &[(1, FAIL); 10], &[5, 10]),
        (
            "the counters at the end tell of the same",
            &[
                (1, CONNECT),
                (1, FAIL),
                (1, FAIL),
                (1, FAIL),
                (1, "disconnect from unknown[192.0.2.1] ehlo=1 auth=0/3 commands=1/4"),
                (2, FAIL),
            ],
            &[],
        ),
        (
            "AUTH that no other line tells of",
            &[
                (1, CONNECT),
                (1, FAIL),
                (1, "disconnect from unknown[192.0.2.1] ehlo=1 auth=0/5 commands=1/6"),
            ],
            &[3],
        ),
        (
            "sessions side by side",
            &[
                (1, CONNECT),
                (2, CONNECT),
                (1, FAIL),
                (2, FAIL),
                (2, "disconnect from unknown[192.0.2.1] auth=0/1"),
                (1, FAIL),
                (1, "disconnect from unknown[192.0.2.1] auth=0/2"),
                (1, FAIL),
            ],
            &[],
        ),
        (
            "a session whose beginning was not seen",
            &[(1, "disconnect from unknown[192.0.2.1] auth=0/9"), (1, FAIL)],
            &[],
        ),
        (
            "a process that serves somebody else by now",
            &[
                (1, "connect from unknown[192.0.2.2]"),
                (1, "disconnect from unknown[192.0.2.1] auth=0/9"),
            ],
            &[],
        ),
        (
            "given up with *",
            &[
                (1, CONNECT),
                (1, "warning: unknown[192.0.2.1]: SASL GSSAPI authentication aborted"),
                (1, FAIL),
                (1, "disconnect from unknown[192.0.2.1] auth=0/2"),
                (2, FAIL),
                (2, FAIL),
                (2, FAIL),
            ],
            &[],
        ),
        (
            "left before the answer",
            &[
                (1, CONNECT),
                (1, "lost connection after AUTH from unknown[192.0.2.1]"),
                (1, "disconnect from unknown[192.0.2.1] ehlo=1 auth=0/1 commands=1/2"),
                (1, FAIL),
                (1, FAIL),
                (1, FAIL),
                (1, FAIL),
            ],
            &[],
        ),
    ];
    for (name, lines, want) in cases {
        let want: Vec<_> = want.iter().map(|&line| (line, "192.0.2.1/32".to_owned())).collect();
        assert_eq!(feed(lines), want, "{name}");
    }
}

#[test]
fn detect_dead_dovecot_bans_nobody() {
    let mut lines = Vec::new();
    for pid in 0..20 {
        lines.extend([(pid, CONNECT), (pid, OUR_FAULT), (pid, DOWN), (pid, FAIL)]);
        lines.push((pid, "disconnect from unknown[192.0.2.1] ehlo=1 auth=0/2 commands=1/3"));
    }
    assert_eq!(feed(&lines), []);
    // When it is back, guesses count again, also in a process that had seen it down.
    lines.extend([(3, CONNECT), (3, FAIL), (3, FAIL), (3, FAIL), (3, FAIL), (3, FAIL)]);
    assert_eq!(feed(&lines), [(106, "192.0.2.1/32".to_owned())]);
}

fn failure(address: &str) -> Event<'static> {
    Event {
        time: LogTime::Rfc3164(b"Nov 24 02:27:08"),
        daemon: Daemon::Postfix,
        kind: Kind::SaslAuthFailed,
        address: Some(address.parse().unwrap()),
        user: Some(b"bob"),
        mechanism: None,
        queue_id: None,
        sender: None,
        recipients: 0,
        weight: 1,
        session: None,
    }
}

#[test]
fn detect_bans_by_prefix() {
    let cases = [
        ("IPv4", ["192.0.2.1"; 5], Some("192.0.2.1/32")),
        (
            "IPv4 neighbours are apart",
            ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"],
            None,
        ),
        (
            "IPv4-mapped is IPv4",
            [
                "192.0.2.1",
                "::ffff:192.0.2.1",
                "192.0.2.1",
                "::ffff:192.0.2.1",
                "192.0.2.1",
            ],
            Some("192.0.2.1/32"),
        ),
        (
            "one IPv6 /64",
            [
                "2001:db8::1",
                "2001:db8::2",
                "2001:db8::3",
                "2001:db8:0:0:ffff::4",
                "2001:db8::5",
            ],
            Some("2001:db8::/64"),
        ),
        (
            "IPv6 /64s are apart",
            [
                "2001:db8::1",
                "2001:db8:0:1::1",
                "2001:db8:0:2::1",
                "2001:db8:0:3::1",
                "2001:db8:0:4::1",
            ],
            None,
        ),
    ];
    for (name, addresses, want) in cases {
        let mut detector = Detector::new(DetectConfig::default());
        let bans: Vec<_> = addresses
            .iter()
            .filter_map(|address| detector.observe(&failure(address), b"a line", at(0), free).decision)
            .map(|decision| decision.prefix.to_string())
            .collect();
        assert_eq!(bans, Vec::from_iter(want), "{name}");
    }
}

#[test]
fn detect_decision_says_all() {
    let mut detector = Detector::new(DetectConfig {
        maxretry: 7,
        ..DetectConfig::default()
    });
    let past = Past {
        returns: 1,
        ended: at(-60),
    };
    let mut last = Observed::default();
    for number in 1..=7 {
        let line = format!("line {number}\x07");
        let standing = |address, prefix: ipnet::IpNet| {
            assert_eq!(
                (address, prefix),
                ("192.0.2.1".parse().unwrap(), "192.0.2.1/32".parse().unwrap())
            );
            Standing::Free(Some(past))
        };
        last = detector.observe(&failure("192.0.2.1"), line.as_bytes(), at(number), standing);
    }
    let lines: Vec<_> = (3..=7).map(|number| format!("line {number}\\u{{7}}")).collect();
    assert_eq!(
        last.decision,
        Some(Decision {
            prefix: "192.0.2.1/32".parse().unwrap(),
            address: "192.0.2.1".parse().unwrap(),
            since: at(7),
            until: at(7) + SignedDuration::from_hours(4),
            returns: 2,
            rule: Rule::Maxretry,
            reason: "7 offences within 10m".into(),
            evidence: lines.clone(),
        })
    );
    let offence = last.offence.unwrap();
    assert_eq!(
        (offence.line.as_str(), offence.user.as_deref(), offence.weight),
        (lines[4].as_str(), Some("bob"), 1)
    );
}

#[test]
fn detect_trusted_and_banned_are_left_alone() {
    for standing in [Standing::Trusted, Standing::Banned] {
        let mut detector = Detector::new(DetectConfig::default());
        let mut asked = 0;
        for second in 0..50 {
            let observed = detector.observe(&failure("192.0.2.1"), b"a line", at(second), |_, _| {
                asked += 1;
                standing
            });
            assert_eq!(observed.decision, None, "{standing:?}");
            assert!(observed.offence.is_some(), "it is an offence all the same");
        }
        assert_eq!(asked, 10, "{standing:?}: asked once per maxretry offences");
    }
}

#[test]
fn detect_restart_does_not_forgive() {
    let mut before = Detector::new(DetectConfig::default());
    let offences: Vec<_> = (0..4)
        .filter_map(|second| {
            before
                .observe(&failure("192.0.2.1"), b"a line", at(second), free)
                .offence
        })
        .collect();
    let mut after = Detector::new(DetectConfig::default());
    offences.iter().for_each(|offence| after.restore(offence));
    let decision = after
        .observe(&failure("192.0.2.1"), b"the last", at(5), free)
        .decision
        .unwrap();
    assert_eq!(decision.evidence, ["a line", "a line", "a line", "a line", "the last"]);

    offences.iter().for_each(|offence| after.restore(offence));
    after.pardon("192.0.2.1".parse().unwrap());
    assert_eq!(
        after.observe(&failure("192.0.2.1"), b"a line", at(6), free).decision,
        None,
        "pardoned"
    );
}

#[test]
fn detect_clock_set_back_forgets() {
    let mut detector = Detector::new(DetectConfig::default());
    for second in [0, 1, 2, 3] {
        detector.observe(&failure("192.0.2.1"), b"a line", at(second), free);
    }
    let year = 365 * 86_400;
    let observed = detector.observe(&failure("192.0.2.1"), b"a line", at(-year), free);
    assert_eq!(observed.decision, None);
    for second in [1, 2, 3] {
        assert_eq!(
            detector
                .observe(&failure("192.0.2.1"), b"a line", at(second - year), free)
                .decision,
            None
        );
    }
    assert!(
        detector
            .observe(&failure("192.0.2.1"), b"a line", at(4 - year), free)
            .decision
            .is_some()
    );
}

/// Remembers every offence of every prefix for ever, and adds up what is within findtime.
#[derive(Default)]
struct Model(BTreeMap<String, Vec<(i64, u64)>>);

impl Model {
    fn offence(&mut self, prefix: String, weight: u16, now: i64, config: &DetectConfig) -> bool {
        let all = self.0.entry(prefix).or_default();
        all.push((now, u64::from(weight)));
        let from = now - i64::try_from(config.findtime.as_secs()).unwrap();
        let sum: u64 = all.iter().filter(|(at, _)| *at > from).map(|(_, weight)| weight).sum();
        let over = sum >= u64::from(config.maxretry);
        if over {
            all.clear();
        }
        over
    }
}

proptest! {
    #[test]
    fn detect_agrees_with_the_model(
        maxretry in 1u32..8,
        findtime in 1u64..40,
        acts in prop::collection::vec((0usize..5, 1u16..4, 0i64..15), 1..200),
    ) {
        let config = DetectConfig { maxretry, findtime: Duration::from_secs(findtime), ..DetectConfig::default() };
        let who = ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.2", "2001:db8::1", "2001:db8::2"];
        let mut detector = Detector::new(config.clone());
        let mut model = Model::default();
        let mut now = 0;
        for (index, weight, later) in acts {
            now += later;
            let event = Event { weight, ..failure(who[index]) };
            let prefix = prefix_of(who[index].parse().unwrap()).to_string();
            let banned = detector.observe(&event, b"a line", at(now), free).decision;
            prop_assert_eq!(banned.is_some(), model.offence(prefix, weight, now, &config));
        }
    }
}
