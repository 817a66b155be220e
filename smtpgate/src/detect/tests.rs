//! The detector on lines of Postfix's, and against a model that remembers everything.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::maillog::{Daemon, Event, Kind, LogTime, Session, Step, parse};
use crate::sources::Country;

mod models;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// What the detector asks, with answers from here. Of a new one: nobody is trusted, nobody banned.
#[derive(Default)]
struct World {
    trust: Vec<IpNet>,
    bans: BTreeMap<IpNet, Timestamp>,
    past: Option<Past>,
    countries: BTreeMap<IpAddr, Country>,
    asked: Cell<u32>,
}

impl Known for World {
    fn trusted(&self, prefix: IpNet) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.trust.iter().any(|net| net.contains(&prefix))
    }

    fn trusted_within(&self, prefix: IpNet) -> Vec<IpNet> {
        self.trust.iter().copied().filter(|net| prefix.contains(net)).collect()
    }

    fn banned(&self, prefix: IpNet, now: Timestamp) -> bool {
        self.bans
            .iter()
            .any(|(net, until)| net.contains(&prefix) && *until > now)
    }

    fn past(&self, _: IpNet) -> Option<Past> {
        self.past
    }

    fn country(&self, address: IpAddr) -> Option<Country> {
        self.countries.get(&address).copied()
    }
}

/// A detector in its world: bans hold from when they are made.
struct Play {
    detector: Detector,
    world: World,
    bans: Vec<Decision>,
    alarms: Alarms,
}

impl Play {
    fn new(config: DetectConfig) -> Self {
        Self {
            detector: Detector::new(config),
            world: World::default(),
            bans: Vec::new(),
            alarms: Alarms::default(),
        }
    }

    fn take(&mut self, observed: &Observed) -> Vec<String> {
        for ban in &observed.bans {
            self.world.bans.insert(ban.prefix, ban.until);
            self.bans.push(ban.clone());
        }
        for alarm in &observed.alarms {
            self.alarms.take(alarm);
        }
        observed
            .bans
            .iter()
            .map(|ban| format!("{} {}", ban.prefix, ban.rule.name()))
            .collect()
    }

    fn see(&mut self, event: &Event<'_>, seconds: i64) -> Vec<String> {
        let line = format!("line at {seconds}");
        let observed = self.detector.observe(event, line.as_bytes(), at(seconds), &self.world);
        self.take(&observed)
    }

    fn fail(&mut self, address: &str, user: &str, seconds: i64) -> Vec<String> {
        let event = Event {
            user: Some(user.as_bytes()),
            ..failure(address)
        };
        self.see(&event, seconds)
    }

    fn login(&mut self, address: &str, user: &str, seconds: i64) -> Vec<String> {
        let event = Event {
            kind: Kind::AuthOk,
            user: Some(user.as_bytes()),
            weight: 0,
            ..failure(address)
        };
        self.see(&event, seconds)
    }

    fn all(&self) -> Vec<String> {
        self.bans
            .iter()
            .map(|ban| format!("{} {}", ban.prefix, ban.rule.name()))
            .collect()
    }
}

/// Feeds messages of Postfix processes, one a second; returns the prefixes that were banned, with the number of the
/// line (from 1) that did it.
fn feed(lines: &[(u32, &str)]) -> Vec<(usize, String)> {
    let mut detector = Detector::new(DetectConfig::default());
    let mut bans = Vec::new();
    for (number, (pid, message)) in (1..).zip(lines) {
        let line = format!("Nov 24 02:27:08 mx1 postfix/submission/smtpd[{pid}]: {message}");
        let event = parse(line.as_bytes()).unwrap_or_else(|| panic!("not understood: {line}"));
        let observed = detector.observe(&event, line.as_bytes(), at(number as i64), &World::default());
        bans.extend(observed.bans.iter().map(|ban| (number, ban.prefix.to_string())));
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
        let mut play = Play::new(DetectConfig::default());
        for address in addresses {
            play.see(&failure(address), 0);
        }
        let want: Vec<_> = want.into_iter().map(|prefix| format!("{prefix} maxretry")).collect();
        assert_eq!(play.all(), want, "{name}");
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
    let world = World {
        past: Some(past),
        ..World::default()
    };
    let mut last = Observed::default();
    for number in 1..=7 {
        let line = format!("line {number}\x07");
        last = detector.observe(&failure("192.0.2.1"), line.as_bytes(), at(number), &world);
    }
    let lines: Vec<_> = (3..=7).map(|number| format!("line {number}\\u{{7}}")).collect();
    assert_eq!(
        last.bans,
        [Decision {
            prefix: "192.0.2.1/32".parse().unwrap(),
            since: at(7),
            until: at(7) + SignedDuration::from_hours(4),
            returns: 2,
            rule: Rule::Maxretry,
            reason: "7 offences within 10m".into(),
            evidence: lines.clone(),
        }]
    );
    let offence = last.offence.unwrap();
    assert_eq!(
        (offence.line.as_str(), offence.user.as_deref(), offence.weight),
        (lines[4].as_str(), Some("bob"), 1)
    );
}

#[test]
fn detect_keeps_no_password() {
    let lines = [
        "mx1 dovecot: auth: sql(bob,192.0.2.1): Password mismatch (given password: hunter2)",
        "mx1 vchkpw-smtp[7]: vchkpw-smtp: password fail (pass: 'hunter2') bob@example.com:192.0.2.1",
        "mx1 courieresmtpd: error,relay=::ffff:192.0.2.1,msg=\"535 Authentication failed.\",cmd: aHVudGVyMg==",
        "mx1 exim[7]: SMTP protocol error in \"AUTH PLAIN AGJvYgBodW50ZXIy\" H=(mx) [192.0.2.1]:4711 AUTH command used when \
         not advertised",
        "mx1 postfix/smtpd[7]: warning: non-SMTP command from unknown[192.0.2.1]: aHVudGVyMg==",
        r"mx1 postfix/smtpd[7]: improper command pipelining after AUTH from unknown[192.0.2.1]: Ym9i\r\naHVudGVyMg==\r\n",
        r"mx1 postfix/postscreen[7]: PREGREET 36 after 0 from [192.0.2.1]:4711: EHLO x\r\nAUTH PLAIN AGJvYgBodW50ZXIy\r\n",
    ];
    for line in lines {
        let line = format!("Nov 24 02:27:08 {line}");
        let event = parse(line.as_bytes()).unwrap_or_else(|| panic!("not understood: {line}"));
        let mut detector = Detector::new(DetectConfig::default());
        let mut seen = String::new();
        for second in 0..5 {
            let observed = detector.observe(&event, line.as_bytes(), at(second), &World::default());
            seen += &format!("{observed:?}");
        }
        assert!(seen.contains("***") && seen.contains("evidence: [\""), "{seen}");
        for secret in ["hunter2", "aHVudGVyMg", "AGJvYgBodW50ZXIy"] {
            assert!(!seen.contains(secret), "{seen}");
        }
    }
}

#[test]
fn detect_trusted_and_banned_are_left_alone() {
    let trusted = World {
        trust: vec!["192.0.2.0/24".parse().unwrap()],
        ..World::default()
    };
    let banned = World {
        bans: BTreeMap::from([("192.0.2.0/24".parse().unwrap(), at(1000))]),
        ..World::default()
    };
    for (name, world) in [("trusted", trusted), ("banned", banned)] {
        let mut detector = Detector::new(DetectConfig::default());
        for second in 0..50 {
            let observed = detector.observe(&failure("192.0.2.1"), b"a line", at(second), &world);
            assert_eq!(observed.bans, [], "{name}");
            assert!(observed.offence.is_some(), "it is an offence all the same");
        }
        assert!(world.asked.get() < 20, "{name}: not asked for each line");
    }
}

#[test]
fn detect_restart_does_not_forgive() {
    let world = World::default();
    let mut before = Detector::new(DetectConfig::default());
    let offences: Vec<_> = (0..4)
        .filter_map(|second| {
            before
                .observe(&failure("192.0.2.1"), b"a line", at(second), &world)
                .offence
        })
        .collect();
    let mut after = Detector::new(DetectConfig::default());
    offences.iter().for_each(|offence| after.restore(offence));
    let bans = after.observe(&failure("192.0.2.1"), b"the last", at(5), &world).bans;
    assert_eq!(bans[0].evidence, ["a line", "a line", "a line", "a line", "the last"]);

    offences.iter().for_each(|offence| after.restore(offence));
    after.pardon("192.0.2.1/32".parse().unwrap());
    let bans = after.observe(&failure("192.0.2.1"), b"a line", at(6), &world).bans;
    assert_eq!(bans, [], "pardoned");
}

#[test]
fn detect_clock_set_back_forgets() {
    let mut play = Play::new(DetectConfig::default());
    for second in [0, 1, 2, 3] {
        play.see(&failure("192.0.2.1"), second);
    }
    let year = 365 * 86_400;
    for second in [0, 1, 2, 3] {
        assert!(play.see(&failure("192.0.2.1"), second - year).is_empty());
    }
    assert_eq!(play.see(&failure("192.0.2.1"), 4 - year), ["192.0.2.1/32 maxretry"]);
}

#[test]
fn detect_two_servers_tell_of_one_failure() {
    let mut play = Play::new(DetectConfig::default());
    let told = |step| Event {
        session: Some(Session { id: 1, step }),
        ..failure("192.0.2.1")
    };
    for second in 0..4 {
        for step in [Step::Backend(1), Step::Backend(2), Step::Answered] {
            assert!(play.see(&told(step), second).is_empty(), "{second} {step:?}");
        }
    }
    // One more, at IMAP: Dovecot's auth tells of it at once, the login process at the end.
    assert_eq!(play.see(&told(Step::Backend(1)), 5), ["192.0.2.1/32 maxretry"]);
    let login = Event {
        weight: 1,
        ..told(Step::Login)
    };
    assert!(play.see(&login, 6).is_empty(), "it was counted");
    // Where only the servers tell, each is believed.
    let mut play = Play::new(DetectConfig::default());
    for second in 0..2 {
        assert!(play.see(&told(Step::Answered), second).is_empty());
        assert!(play.see(&login, second).is_empty());
    }
    assert_eq!(play.see(&login, 2), ["192.0.2.1/32 maxretry"]);
}

#[test]
fn detect_exim_and_dovecot_tell_of_one_failure() {
    let exim = "mx1 exim[77]: dovecot_login authenticator failed for (mx) [192.0.2.1]:4711 I=[198.51.100.25]:587: 535 \
                Incorrect authentication data (set_id=bob)";
    let dovecot = "mx1 dovecot: auth: passwd-file(bob,192.0.2.1): Password mismatch";
    let cases: [(&str, &[&str]); 3] = [
        ("Exim alone", &[exim]),
        ("both", &[dovecot, exim]),
        ("both, the other way round", &[exim, dovecot]),
    ];
    for (name, lines) in cases {
        let mut play = Play::new(DetectConfig::default());
        for failure in 1..=5 {
            let mut banned = Vec::new();
            for line in lines {
                let line = format!("Nov 24 02:27:08 {line}");
                let event = parse(line.as_bytes()).unwrap();
                assert_eq!(event.address, Some("192.0.2.1".parse().unwrap()), "{name}");
                banned.extend(play.see(&event, failure));
            }
            assert_eq!(banned.is_empty(), failure < 5, "{name}: {failure}");
        }
    }
}

#[test]
fn detect_slow_guesser() {
    let mut play = Play::new(DetectConfig::default());
    let bans: Vec<i64> = (0..40)
        .filter(|hour_half| !play.see(&failure("192.0.2.1"), hour_half * 1800).is_empty())
        .collect();
    assert_eq!(bans, [29], "the thirtieth within a day");
    assert_eq!(play.all(), ["192.0.2.1/32 slow"]);
    // One an hour is what a forgotten phone does.
    let mut play = Play::new(DetectConfig::default());
    for hour in 0..100 {
        assert!(play.see(&failure("192.0.2.1"), hour * 3600).is_empty());
    }
}

#[test]
fn detect_office_behind_nat() {
    // A phone with an old password, every ten seconds, beside colleagues who work.
    let mut play = Play::new(DetectConfig::default());
    play.login("198.51.100.16", "alice", 0);
    for second in 1..60 {
        assert!(play.fail("198.51.100.16", "dave", second * 10).is_empty(), "{second}");
    }
    assert!(play.all().is_empty());
    // Somebody there guesses: many names.
    let mut play = Play::new(DetectConfig::default());
    play.login("198.51.100.16", "alice", 0);
    for second in 1..=14 {
        let user = format!("user{second}");
        assert!(play.fail("198.51.100.16", &user, second).is_empty(), "{second}");
    }
    assert_eq!(play.fail("198.51.100.16", "user15", 15), ["198.51.100.16/32 maxretry"]);
    let length = play.bans[0].until.duration_since(play.bans[0].since);
    assert_eq!(length, SignedDuration::from_mins(15), "a short first ban");
    // Without a login from there, five are enough.
    let mut play = Play::new(DetectConfig::default());
    for second in 1..=5 {
        play.fail("198.51.100.16", "dave", second);
    }
    assert_eq!(play.all(), ["198.51.100.16/32 maxretry"]);
}

#[test]
fn detect_siege_of_one_account() {
    let mut play = Play::new(DetectConfig::default());
    play.world.trust.push("198.51.100.3/32".parse().unwrap());
    play.login("192.0.2.200", "root", 0);
    // The owner mistypes; a trusted host fails, too.
    assert!(play.fail("192.0.2.200", "root", 1).is_empty());
    for host in 1..=7 {
        let address = format!("198.51.{host}.3");
        assert!(play.fail(&address, "root", host * 60).is_empty(), "{address}");
    }
    let all: Vec<String> = (1..=8).map(|host| format!("198.51.{host}.3/32 siege")).collect();
    assert_eq!(play.fail("198.51.8.3", "ROOT", 480), all, "those that came before, too");
    assert_eq!(play.fail("203.0.113.9", "root", 500), ["203.0.113.9/32 siege"]);
    assert!(play.fail("198.51.100.3", "root", 501).is_empty(), "trusted");
    assert!(play.fail("192.0.2.200", "root", 502).is_empty(), "has logged in");
    assert!(play.fail("203.0.113.10", "alice", 503).is_empty(), "another account");
    let evidence = &play.bans[8].evidence;
    assert!(
        evidence[0].starts_with("account root under siege since "),
        "{evidence:?}"
    );
    assert_eq!(evidence[1], "line at 500");
    let alarms = play.alarms.all();
    assert_eq!(alarms.len(), 1);
    assert_eq!(
        (alarms[0].kind, alarms[0].user.as_deref()),
        (AlarmKind::Siege, Some("root"))
    );
    assert_eq!(alarms[0].prefixes.len(), 9);
    // It is over when nobody new has come for an hour.
    assert!(play.fail("203.0.113.11", "root", 500 + 3700).is_empty());
}

#[test]
fn detect_siege_by_a_list_of_names() {
    let mut play = Play::new(DetectConfig::default());
    let names = ["root", "admin", "test", "info", "sales", "office", "backup", "scanner"];
    let mut bans = Vec::new();
    for (host, name) in (1..=16).zip(names.iter().cycle()) {
        bans.extend(play.fail(&format!("198.51.{host}.3"), name, host));
    }
    assert_eq!(bans.len(), 16, "{bans:?}");
    assert!(bans.iter().all(|ban| ban.ends_with(" siege")));
    assert_eq!(play.fail("203.0.113.9", "admin", 20), ["203.0.113.9/32 siege"]);
    assert!(play.fail("203.0.113.10", "carol", 21).is_empty(), "not on the list");
    assert!(play.alarms.all()[0].user.as_deref().unwrap().contains("admin"));
}

#[test]
fn detect_many_users_who_mistype_are_no_siege() {
    let mut play = Play::new(DetectConfig::default());
    for host in 0..200 {
        let bans = play.fail(&format!("198.51.{host}.3"), &format!("user{host}"), host);
        assert!(bans.is_empty(), "{bans:?}");
    }
    assert!(play.alarms.all().is_empty());
}

#[test]
fn detect_stolen_account() {
    let mut play = Play::new(DetectConfig::default());
    for host in 1..=38 {
        play.login(&format!("198.18.{host}.9"), "bob", host * 30);
    }
    let alarms = play.alarms.all();
    assert_eq!(alarms.len(), 1);
    assert_eq!(
        (alarms[0].kind, alarms[0].user.as_deref()),
        (AlarmKind::StolenAccount, Some("bob"))
    );
    assert_eq!((alarms[0].prefixes.len(), alarms[0].at), (38, at(300)));
    assert!(play.all().is_empty(), "an alarm bans nobody unless asked to");
    // Its thieves get no care.
    for number in 1..=5 {
        play.fail("198.18.20.9", &format!("user{number}"), 2000);
    }
    assert_eq!(play.all(), ["198.18.20.9/32 maxretry"]);
}

#[test]
fn detect_account_that_travels_is_not_stolen() {
    let mut play = Play::new(DetectConfig::default());
    for hour in 0..200 {
        play.login(&format!("198.18.{hour}.9"), "bob", hour * 1000);
    }
    // A list server's many addresses in one network.
    for host in 1..100 {
        play.login(&format!("192.0.2.{host}"), "list", host);
    }
    // One name at many domains is many accounts, as long as nobody logs in without a domain.
    for host in 0..100 {
        play.login(&format!("198.19.{host}.9"), &format!("info@d{host}.example"), host);
    }
    assert_eq!(play.alarms.all(), []);
    for host in 0..10 {
        play.login(&format!("198.19.{host}.9"), "info", 1000);
    }
    assert_eq!(play.alarms.all().len(), 1);
}

#[test]
fn detect_stolen_account_by_country_and_its_foreigners_banned() {
    let mut play = Play::new(DetectConfig {
        stolen_ban: true,
        ..DetectConfig::default()
    });
    let places = [
        ("192.0.2.1", "JP"),
        ("198.51.100.1", "JP"),
        ("203.0.113.1", "BR"),
        ("2001:db8:1::1", "VN"),
    ];
    for (address, country) in places {
        play.world
            .countries
            .insert(address.parse().unwrap(), country.parse().unwrap());
    }
    let bans: Vec<String> = places
        .iter()
        .zip([0, 8000, 8010, 8020])
        .flat_map(|((address, _), second)| play.login(address, "alice@example.com", second))
        .collect();
    assert_eq!(play.alarms.all().len(), 1);
    assert_eq!(
        play.alarms.all()[0].text,
        "alice@example.com logged in from 3 countries within an hour"
    );
    assert_eq!(
        bans,
        ["203.0.113.1/32 stolen", "2001:db8:1::/64 stolen"],
        "Japan is its home"
    );
}

#[test]
fn detect_burst_of_recipients() {
    let mut play = Play::new(DetectConfig::default());
    let mail = Event {
        kind: Kind::Received,
        recipients: 50,
        weight: 0,
        ..failure("192.0.2.1")
    };
    for second in 0..9 {
        play.see(&mail, second);
    }
    assert_eq!(play.alarms.all(), []);
    for second in 9..20 {
        play.see(&mail, second);
    }
    assert_eq!(play.alarms.all().len(), 1);
    assert_eq!(play.alarms.all()[0].text, "bob sent to 500 recipients within an hour");
}

#[test]
fn detect_wide_ban_spares_trust_and_good_addresses() {
    let mut play = Play::new(DetectConfig {
        widen: 8,
        ..DetectConfig::default()
    });
    play.world.trust.push("192.0.2.5/32".parse().unwrap());
    let mail = Event {
        kind: Kind::Received,
        user: None,
        weight: 0,
        ..failure("192.0.2.14")
    };
    play.see(&mail, 0);
    for host in [1, 2, 3, 8, 9, 10, 11, 12] {
        for try_number in 0..5 {
            let user = format!("u{host}-{try_number}");
            play.fail(&format!("192.0.2.{host}"), &user, 1);
        }
    }
    let wide: Vec<&Decision> = play.bans.iter().filter(|ban| ban.rule == Rule::Wide).collect();
    let prefixes: Vec<String> = wide.iter().map(|ban| ban.prefix.to_string()).collect();
    assert_eq!(prefixes, ["192.0.2.0/30", "192.0.2.8/30", "192.0.2.12/31"]);
    assert_eq!(wide[0].evidence[0], "8 offenders in 192.0.2.0/28");
}

#[test]
fn detect_good_neighbour_within_a_64() {
    let mut play = Play::new(DetectConfig::default());
    play.login("2001:db8:0:1:600d::1", "dave", 0);
    for number in 1..=20 {
        play.fail(&format!("2001:db8:0:1::{number:x}"), &format!("user{number}"), number);
    }
    assert_eq!(play.all(), ["2001:db8:0:1::/66 maxretry"]);
}

#[test]
fn detect_no_more_bans_than_wanted_and_the_worst_first() {
    let config = DetectConfig {
        bans_per_minute: 3,
        widen: 0,
        ..DetectConfig::default()
    };
    let mut play = Play::new(config);
    let offend = |play: &mut Play, host: i64, weight, second| {
        let event = Event {
            kind: Kind::ProtocolAbuse,
            weight,
            ..failure(&format!("198.51.{host}.1"))
        };
        play.see(&event, second).len()
    };
    let made: usize = (0..8).map(|host| offend(&mut play, host, 5, 0)).sum();
    assert_eq!(made, 3);
    offend(&mut play, 9, 50, 1);
    let alarms = play.alarms.all();
    assert_eq!((alarms.len(), alarms[0].kind), (1, AlarmKind::BanRate));
    assert_eq!(play.detector.waiting(), 6);
    let observed = play.detector.tick(at(59));
    assert_eq!(observed.bans, []);
    let observed = play.detector.tick(at(60));
    let prefixes: Vec<_> = observed.bans.iter().map(|ban| ban.prefix.to_string()).collect();
    assert_eq!(prefixes.len(), 3);
    assert!(
        prefixes.contains(&"198.51.9.1/32".to_owned()),
        "the worst: {prefixes:?}"
    );
    assert_eq!(observed.bans[0].since, at(60), "it begins when it is made");
    assert_eq!(play.detector.tick(at(120)).bans.len(), 3);
    assert_eq!(play.detector.waiting(), 0);
}

/// Remembers every offence of every prefix for ever, and adds up what is within findtime.
#[derive(Default)]
struct Model(BTreeMap<String, Vec<(i64, u64)>>);

impl Model {
    fn offence(&mut self, prefix: String, weight: u16, now: i64, config: &DetectConfig) -> bool {
        let all = self.0.entry(prefix).or_default();
        all.push((now, u64::from(weight)));
        let from = now - i64::try_from(config.findtime.as_secs()).unwrap();
        let since = |from| -> u64 { all.iter().filter(|(at, _)| *at > from).map(|(_, weight)| weight).sum() };
        let over = since(from) >= u64::from(config.maxretry) || since(now - 86_400) >= 6 * u64::from(config.maxretry);
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
            let prefix = ["192.0.2.1", "192.0.2.2", "192.0.2.2", "2001:db8::/64", "2001:db8::/64"][index];
            let bans = detector.observe(&event, b"a line", at(now), &World::default()).bans;
            prop_assert_eq!(bans.len() == 1, model.offence(prefix.to_owned(), weight, now, &config));
        }
    }
}
