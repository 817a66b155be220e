//! `smtpgate report --html`, in a real browser that can reach nothing: what its readers see, on which screens.
//!
//! The page is made by the command from a ledger with a week in it. Pictures of it are left in `target/report/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use smtpgate::detect::{Offence, Rule};
use smtpgate::ledger::{Ban, Fate, Ledger, Mark, Origin, Sampled, Stretch};
use smtpgate::maillog::event::Kind;
use smtpgate_tests::browser::{Browser, Screen};
use smtpgate_tests::lab::gate::binary;
use smtpgate_tests::lab::netns::Netns;
use tempfile::TempDir;

/// What an attacker would have the page do.
const HOSTILE: &str = "<img src=http://192.0.2.1/x onerror=console.log(1)><script>console.log(2)</script>\u{202e}";

const DESKTOP: Screen = Screen {
    width: 1280,
    height: 900,
    phone: false,
    dark: false,
};
const PHONE: Screen = Screen {
    width: 360,
    height: 740,
    phone: true,
    dark: false,
};

/// Where a gate's ledger and configuration are, and nothing else of it.
struct Host {
    folder: TempDir,
    network: Netns,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            folder: tempfile::tempdir().unwrap(),
            network: Netns::new("mail").unwrap(),
        };
        let folder = host.folder.path().display();
        let config = format!(
            "interfaces = [\"lo\"]\n[gate.mx]\nports = [25]\nallow = [\"country:JP\"]\n[maillog]\nfollow = \"none\"\n\
             [paths]\nstate = \"{folder}/state\"\nrun = \"{folder}/run\"\npins = \"/sys/fs/bpf/none-{}\"\n",
            std::process::id()
        );
        fs::write(host.folder.path().join("config.toml"), config).unwrap();
        fs::create_dir(host.folder.path().join("state")).unwrap();
        host
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(&self.folder.path().join("state/ledger.db")).unwrap()
    }

    /// The page's file.
    fn report(&self, language: &str) -> PathBuf {
        let page = self.folder.path().join(format!("{language}.html"));
        let mut command = self.network.command(binary().unwrap());
        command.args(["report", "--lang", language, "--html"]).arg(&page);
        command.arg("--config").arg(self.folder.path().join("config.toml"));
        let out = command.env("TZ", "Asia/Tokyo").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        page
    }
}

/// A week of attacks, some of whose text is made to break the page.
fn fill(ledger: &mut Ledger) {
    let now = Timestamp::now();
    let mark = |at| Mark {
        counters: "test".to_owned(),
        at,
        totals: BTreeMap::new(),
    };
    for hour in 0..165_u64 {
        let since = now - SignedDuration::from_hours(166 - i64::try_from(hour).unwrap());
        let siege = if (90..97).contains(&hour) { 5000 } else { 0 };
        let fate = |verdict: &str, reason: &str| Fate {
            gate: Some("mx".to_owned()),
            verdict: verdict.to_owned(),
            reason: reason.to_owned(),
            family: "ipv4".to_owned(),
        };
        let packets = [
            (fate("drop", "outside"), 900 + hour * 7919 % 331 + siege),
            (fate("drop", "banned"), 12),
            (fate("pass", "allowed"), 40),
        ];
        let until = since + SignedDuration::from_hours(1);
        let stretch = Stretch {
            since,
            until,
            packets: packets.into(),
        };
        ledger.count(&stretch, &mark(until)).unwrap();
    }
    let countries = "CN RU US VN BR IN NL BG SG HK DE KR FR GB ID IR UA PL TR TH TW RO IT MX AR CO BD PK ZA EG";
    let seen: Vec<Sampled> = countries
        .split(' ')
        .zip(0_u8..)
        .map(|(country, number)| Sampled {
            country: Some(country.to_owned()),
            network: Some(format!("198.18.{number}.0/24").parse().unwrap()),
            packets: 40_000 >> (number / 2),
        })
        .collect();
    ledger.sample(&seen, now).unwrap();

    let users = [
        "info@example.jp",
        "a-rather-long-local-part-of-an-address@mail.subsidiary.example.co.jp",
        HOSTILE,
    ];
    let offences: Vec<Offence> = (0_u8..60)
        .map(|number| Offence {
            at: now - SignedDuration::from_hours(i64::from(number)),
            address: format!("198.51.100.{number}").parse().unwrap(),
            user: Some(users[usize::from(number) % users.len()].to_owned()),
            kind: Kind::SaslAuthFailed,
            weight: 1,
            line: HOSTILE.to_owned(),
        })
        .collect();
    ledger.record(&offences, &[], None, now).unwrap();
    for number in 0_u8..4 {
        let ban = Ban {
            prefix: format!("203.0.113.{number}/32").parse().unwrap(),
            since: now - SignedDuration::from_hours(1),
            until: Some(now + SignedDuration::from_hours(3)),
            returns: u32::from(number),
            reason: format!("5 offences in 10m {HOSTILE}"),
            rule: Some(Rule::Maxretry),
            origin: Origin::Detect,
        };
        let line =
            "Nov 24 07:12:01 mail postfix/smtpd[2211]: warning: unknown[203.0.113.1]: SASL LOGIN authentication failed";
        ledger
            .ban(
                &ban,
                &[format!("{line}, sasl_username={}", "x".repeat(200)), HOSTILE.to_owned()],
            )
            .unwrap();
    }
}

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("report");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Brightness of the page's background, from 0 to 255.
const BRIGHTNESS: &str =
    "(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b })()";
/// Texts whose contrast with what is behind them is below WCAG's 4.5.
const FAINT: &str = "(() => {
    const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const colour = text => { const c = text.match(/[\\d.]+/g).map(Number); return c.length < 4 || c[3] > 0 ? c.slice(0, 3) : null };
    const behind = e => e ? colour(getComputedStyle(e).backgroundColor) ?? behind(e.parentElement) : [255, 255, 255];
    const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    return [...document.body.querySelectorAll('*')].filter(e => !(e instanceof SVGElement) && e.getClientRects().length && own(e)).filter(e => {
        const [a, b] = [light(colour(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05) < 4.5 }).map(e => e.textContent.slice(0, 40)) })()";
/// Elements that reach beyond the screen.
const OUTSIDE: &str = "[...document.body.querySelectorAll('*')].filter(e => !e.closest('svg') && e.getClientRects().length
    && (e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5 || e.getBoundingClientRect().left < -0.5)).map(e => e.outerHTML.slice(0, 80))";
/// The smallest text, in CSS pixels.
const SMALLEST: &str =
    "Math.min(...[...document.body.querySelectorAll('*')].filter(e => !e.closest('svg') && e.textContent.trim())
    .map(e => parseFloat(getComputedStyle(e).fontSize)))";
const FILL: &str =
    "(title => [...document.querySelectorAll('.map path, .map circle')].filter(e => e.textContent.startsWith(title))
    .map(e => [getComputedStyle(e).fill, e.getBBox().width > 0]))";

#[test]
#[ignore = "root: cargo xtask test --full"]
fn report_page_shows_the_same_on_every_screen_and_reaches_for_nothing() {
    let host = Host::new();
    fill(&mut host.ledger());
    let mut browser = Browser::start().unwrap();
    for (language, title, china) in [
        ("en", "Refused over time", "China: 40,000"),
        ("ja", "遮断数の推移", "中国: 40,000"),
    ] {
        let page = host.report(language);
        for screen in [DESKTOP, PHONE] {
            let width = screen.width;
            for dark in [false, true] {
                let case = format!("{language}-{width}{}", if dark { "-dark" } else { "" });
                browser.show(&page, Screen { dark, ..screen }).unwrap();
                let picture = pictures().join(format!("{case}.png"));
                fs::write(&picture, browser.picture().unwrap()).unwrap();

                assert_eq!(browser.requests(), Vec::<String>::new(), "{case}");
                assert_eq!(browser.complaints(), Vec::<String>::new(), "{case}");
                let mut value = |expression: &str| browser.evaluate(expression).unwrap();
                assert_eq!(
                    value("document.documentElement.scrollWidth"),
                    json!(width),
                    "{case}: {}",
                    value(OUTSIDE)
                );
                assert_eq!(value(OUTSIDE), json!([]), "{case}");
                assert_eq!(value(FAINT), json!([]), "{case}");
                assert!(value(SMALLEST).as_f64() >= Some(12.0), "{case}: {}", value(SMALLEST));
                let brightness = value(BRIGHTNESS).as_f64().unwrap();
                assert!(
                    if dark { brightness < 50.0 } else { brightness > 220.0 },
                    "{case}: {brightness}"
                );
                assert_eq!(value("document.documentElement.lang"), json!(language), "{case}");
                assert_eq!(
                    value("document.querySelectorAll('img, script').length"),
                    json!(0),
                    "{case}"
                );
                let text = value("document.body.innerText");
                assert!(text.as_str().unwrap().contains(title), "{case}: {text}");

                let most = value(&format!("{FILL}('{china}')"));
                let least = value(&format!(
                    "{FILL}('{}')",
                    if language == "en" { "Egypt" } else { "エジプト" }
                ));
                let island = value(&format!(
                    "{FILL}('{}')",
                    if language == "en" {
                        "Singapore"
                    } else {
                        "シンガポール"
                    }
                ));
                assert!(
                    most[0][0].is_string() && least[0][0].is_string(),
                    "{case}: {most} {least}"
                );
                assert_ne!(most[0][0], least[0][0], "{case}: the colours say how many");
                assert_eq!(
                    island[0][1],
                    json!(true),
                    "{case}: what is too small for the map is a dot"
                );
                let chart = value("document.querySelector('.plot path.refused').getBBox().height");
                assert!(chart.as_f64() > Some(500.0), "{case}: {chart}");

                // The evidence is a touch away, and inert.
                value("document.querySelectorAll('details').forEach(e => e.open = true)");
                let evidence = value("document.querySelector('.log').innerText");
                assert!(
                    evidence
                        .as_str()
                        .unwrap()
                        .contains("<script>console.log(2)</script>\\u{202e}"),
                    "{case}: {evidence}"
                );
                assert_eq!(
                    value("document.documentElement.scrollWidth"),
                    json!(width),
                    "{case}: {}",
                    value(OUTSIDE)
                );
                assert_eq!(browser.requests(), Vec::<String>::new(), "{case}");
                assert_eq!(browser.complaints(), Vec::<String>::new(), "{case}");
            }
        }
        let paper = browser.print().unwrap();
        fs::write(pictures().join(format!("{language}.pdf")), &paper).unwrap();
        assert!(paper.starts_with(b"%PDF"), "{language}");
    }
}

#[test]
#[ignore = "root: cargo xtask test --full"]
fn report_page_on_paper_is_light_and_has_the_evidence() {
    let host = Host::new();
    fill(&mut host.ledger());
    let page = host.report("en");
    let mut browser = Browser::start().unwrap();
    browser.show(&page, Screen { dark: true, ..DESKTOP }).unwrap();
    let seen = "document.querySelector('.log').checkVisibility({ contentVisibilityAuto: true }) && document.querySelector('.log').getBoundingClientRect().height > 0";
    assert_eq!(
        browser.evaluate(seen).unwrap(),
        json!(false),
        "on the screen it is folded"
    );
    browser
        .ask(
            "Emulation.setEmulatedMedia",
            &json!({ "media": "print", "features": [{ "name": "prefers-color-scheme", "value": "dark" }] }),
        )
        .unwrap();
    assert_eq!(browser.evaluate(seen).unwrap(), json!(true));
    let brightness = browser.evaluate(BRIGHTNESS).unwrap();
    assert!(
        brightness.as_f64() > Some(254.0),
        "no ink for a dark page: {brightness}"
    );
    let adjust = "getComputedStyle(document.querySelector('.bar i')).printColorAdjust";
    assert_eq!(
        browser.evaluate(adjust).unwrap(),
        json!("exact"),
        "bars and map are printed in their colours"
    );
}

#[test]
#[ignore = "root: cargo xtask test --full"]
fn report_page_tests_would_notice_what_it_must_not_do() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("bad.html");
    let body = format!(
        "<!doctype html><meta name=viewport content='width=device-width'><body style='color:#ccc;background:#fff'>\
         <p style='width:500px'>faint and wide</p>{HOSTILE}"
    );
    fs::write(&page, body).unwrap();
    let mut browser = Browser::start().unwrap();
    browser.show(&page, PHONE).unwrap();
    assert_eq!(browser.requests(), ["http://192.0.2.1/x"]);
    assert!(
        browser.complaints().iter().any(|said| said.contains("\"value\":2")),
        "{:?}",
        browser.complaints()
    );
    assert_ne!(
        browser.evaluate("document.documentElement.scrollWidth").unwrap(),
        json!(PHONE.width)
    );
    assert_eq!(browser.evaluate(FAINT).unwrap(), json!(["faint and wide"]));
    assert_ne!(browser.evaluate(OUTSIDE).unwrap(), Value::Array(Vec::new()));
}
