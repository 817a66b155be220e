use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};

use super::{page::page, text::text, words::Language};
use crate::daemon::report::{AccountSeen, BanState, Counter, CountrySeen, NetworkSeen, Period, Step};
use crate::sources::owners::Owner;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A week of a Japanese host, as such a week looks.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some thousands, none below 0"
)]
fn week() -> Period {
    let (since, until) = (at("2026-11-17T02:00:00Z"), at("2026-11-24T02:00:00Z"));
    let mut series = Vec::new();
    for hour in 0..168_i64 {
        let day = (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
        let siege = if (90..97).contains(&hour) {
            5200 - (hour - 92).pow(2) * 210
        } else {
            0
        };
        let refused = 900.0 + 350.0 * day + (hour * 7919 % 223) as f64;
        series.push(Step {
            at: since + jiff::SignedDuration::from_hours(hour),
            refused: refused as u64 + siege as u64,
            would_refuse: 0,
            passed: 40 + (hour * 31 % 17) as u64,
        });
    }
    let counter = |gate: Option<&str>, verdict: &str, reason: &str, family: &str, packets| Counter {
        gate: gate.map(str::to_owned),
        verdict: verdict.to_owned(),
        reason: reason.to_owned(),
        family: family.to_owned(),
        packets,
    };
    let refused: u64 = series.iter().map(|step| step.refused).sum();
    let counters = vec![
        counter(Some("submission"), "drop", "outside", "ipv4", refused * 7 / 10),
        counter(Some("submission"), "drop", "banned", "ipv4", refused / 50),
        counter(Some("mx"), "drop", "outside", "ipv4", refused * 27 / 100),
        counter(Some("mx"), "drop", "outside", "ipv6", 214),
        counter(Some("mx"), "drop", "blocklist", "ipv4", 1310),
        counter(None, "drop", "fragment", "ipv4", 9),
        counter(None, "drop", "header_chain", "ipv6", 2),
        counter(Some("submission"), "pass", "allowed", "ipv4", 4812),
        counter(Some("submission"), "pass", "trusted", "ipv4", 377),
        counter(Some("mx"), "pass", "allowed", "ipv4", 2904),
        counter(Some("mx"), "pass", "allowed", "ipv6", 181),
    ];
    let countries: Vec<CountrySeen> = "CN 38211 RU 21040 US 17233 VN 12844 BR 9921 IN 8810 NL 7740 BG 6602 SG 5511 HK 4902 DE 4430 KR 3904 FR 3511 GB 2890 ID 2604 IR 2310 UA 2204 PL 1903 TR 1822 TH 1544 TW 1402 RO 1303 IT 1204 MX 990 AR 870 CO 744 BD 611 PK 590 ZA 480 EG 402 KZ 333 LT 301 SC 288 MD 240 CA 230 AU 190 NG 120 MA 90 PE 77 LV 60 RS 44 KE 30 JP 21 BO 12 FJ 4 IS 2 MT 1"
        .split(' ')
        .collect::<Vec<_>>()
        .chunks(2)
        .map(|pair| CountrySeen { country: Some(pair[0].to_owned()), refusals: pair[1].parse().unwrap() })
        .chain([CountrySeen { country: None, refusals: 310 }])
        .collect();
    let networks = [
        ("192.0.2.0/24", "CN", 6120),
        ("198.51.100.0/24", "RU", 4410),
        ("203.0.113.0/24", "NL", 3902),
        ("192.0.2.0/25", "US", 1220),
        ("2001:db8:77::/48", "BG", 930),
        ("2001:db8:4000::/48", "VN", 412),
    ]
    .map(|(network, country, refusals)| NetworkSeen {
        network: network.parse().unwrap(),
        country: Some(country.to_owned()),
        owner: (refusals > 4000).then(|| Owner {
            asn: 64_500,
            name: Some("EXAMPLE-BACKBONE Example Telecom".to_owned()),
        }),
        refusals,
    })
    .to_vec();
    let accounts = [
        ("info@example.jp", 812, 344),
        ("sales@example.jp", 590, 231),
        ("tanaka", 120, 9),
        ("webmaster@example.jp", 77, 41),
        (
            "nobody-with-a-rather-long-local-part@mail.subsidiary.example.co.jp",
            20,
            4,
        ),
        ("admin", 6, 5),
    ]
    .map(|(user, offences, addresses)| AccountSeen {
        user: user.to_owned(),
        offences,
        addresses,
        first: since,
        last: until,
    })
    .to_vec();
    let ban = |prefix: &str, country: &str, rule: &str, reason: &str, times, hours: Option<i64>, evidence: &[&str]| {
        BanState {
            prefix: prefix.parse().unwrap(),
            country: Some(country.to_owned()),
            since: at("2026-11-23T22:14:09Z"),
            until: hours.map(|hours| at("2026-11-23T22:14:09Z") + jiff::SignedDuration::from_hours(hours)),
            rule: rule.to_owned(),
            reason: reason.to_owned(),
            times,
            evidence: evidence.iter().map(|line| (*line).to_owned()).collect(),
        }
    };
    let bans = vec![
        ban(
            "203.0.113.77/32",
            "JP",
            "maxretry",
            "5 offences in 10m: 5 failed logins as info@example.jp, sales@example.jp",
            3,
            Some(4),
            &[
                "2026-11-24T07:12:01.104512+09:00 mail postfix/smtpd[2211]: warning: unknown[203.0.113.77]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=info@example.jp",
                "2026-11-24T07:12:44.904001+09:00 mail postfix/smtpd[2211]: warning: unknown[203.0.113.77]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=info@example.jp",
                "2026-11-24T07:14:09.000312+09:00 mail postfix/smtpd[2218]: warning: unknown[203.0.113.77]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=sales@example.jp",
            ],
        ),
        ban(
            "198.51.100.0/24",
            "JP",
            "wide",
            "9 offenders of this network",
            1,
            Some(24),
            &[
                "Nov 24 07:10:00 mail dovecot: imap-login: Disconnected (auth failed, 3 attempts in 14 secs): user=<tanaka>, method=PLAIN, rip=198.51.100.4, lip=192.0.2.1, TLS",
            ],
        ),
        ban(
            "2001:db8:77::/64",
            "SG",
            "siege",
            "a failure on info@example.jp, which is under siege",
            1,
            Some(1),
            &[
                "Nov 24 07:10:00 mail dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<info@example.jp>, method=PLAIN, rip=2001:db8:77::4, lip=2001:db8::1, TLS",
            ],
        ),
        ban("192.0.2.9/32", "JP", "operator", "spam run", 1, None, &[]),
    ];
    Period {
        host: "mail.example.jp".to_owned(),
        since,
        until,
        enforcing: true,
        mode: "enforce".to_owned(),
        counters,
        series,
        sampled: countries.iter().map(|country| country.refusals).sum(),
        countries,
        networks,
        accounts,
        offences: 1711,
        offences_since: since,
        bans_by_rule: BTreeMap::from(
            [("maxretry", 61), ("siege", 148), ("wide", 3), ("operator", 2)]
                .map(|(rule, number)| (rule.to_owned(), number)),
        ),
        bans,
        lines_spared: refused / 4 * 2,
    }
}

fn observing() -> Period {
    let mut observing = week();
    observing.enforcing = false;
    observing.mode = "observe".to_owned();
    for row in observing
        .counters
        .iter_mut()
        .filter(|row| row.gate.is_some() && row.verdict == "drop")
    {
        row.verdict = "would_drop".to_owned();
    }
    for step in &mut observing.series {
        (step.refused, step.would_refuse) = (0, step.refused);
    }
    observing
}

fn quiet() -> Period {
    let mut quiet = week();
    quiet.counters.clear();
    quiet.series.iter_mut().for_each(|step| step.refused = 0);
    quiet.countries.clear();
    quiet.networks.clear();
    quiet.accounts.clear();
    quiet.bans.clear();
    quiet.bans_by_rule.clear();
    (quiet.offences, quiet.sampled, quiet.lines_spared) = (0, 0, 0);
    quiet
}

fn tokyo() -> TimeZone {
    TimeZone::get("Asia/Tokyo").unwrap()
}

/// As a reader sees it: without what is between angle brackets.
fn read(page: &str) -> String {
    let body = page.split_once("<body>").unwrap().1;
    let mut text = String::new();
    for part in body.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn contains_all(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// The week with `text` wherever others than we choose it, or could.
fn said_by_others(text: &str) -> Period {
    let mut period = week();
    period.host = text.to_owned();
    period.mode = text.to_owned();
    for account in &mut period.accounts {
        account.user = text.to_owned();
    }
    for ban in &mut period.bans {
        ban.rule = text.to_owned();
        ban.reason = text.to_owned();
        ban.country = Some(text.to_owned());
        ban.evidence = vec![text.to_owned()];
    }
    for row in period.counters.iter_mut().filter(|row| row.gate.is_some()) {
        row.gate = Some(text.to_owned());
        row.reason = text.to_owned();
    }
    for country in &mut period.countries {
        country.country = Some(text.to_owned());
    }
    for network in &mut period.networks {
        network.country = Some(text.to_owned());
        network.owner = Some(Owner {
            asn: 64_500,
            name: Some(text.to_owned()),
        });
    }
    period.bans_by_rule = BTreeMap::from([(text.to_owned(), 1)]);
    period
}

#[test]
fn report_page_is_the_same_whatever_others_wrote_but_for_their_text() {
    let plain = page(&said_by_others("WORD"), Language::En, &tokyo());
    for (hostile, harmless) in [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\" onload=\"x", "&quot; onload=&quot;x"),
        (
            "</style></title>--><img src=x>",
            "&lt;/style&gt;&lt;/title&gt;--&gt;&lt;img src=x&gt;",
        ),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("{} {0} {{", "{} {0} {{"),
        (
            "a\u{202e}moc.elpmaxe\0\x1b[31m\nb\u{200b}",
            "a\\u{202e}moc.elpmaxe\\u{0}\\u{1b}[31m\\u{a}b\\u{200b}",
        ),
    ] {
        let written = page(&said_by_others(hostile), Language::En, &tokyo());
        assert!(written.contains(harmless), "{hostile:?}");
        let replaced = written.replace(harmless, "WORD");
        assert!(replaced == plain, "{hostile:?}");
    }
}

#[test]
fn report_page_is_whole_in_itself() {
    for language in [Language::En, Language::Ja] {
        let page = page(&week(), language, &tokyo());
        for loaded in ["<script", "://", "url(", "@import", "<iframe", "<link rel=\"stylesheet"] {
            assert!(!page.contains(loaded), "{loaded}");
        }
        contains_all(
            &page,
            &[
                "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';",
                "width=device-width",
            ],
        );
        assert!(page.len() < 150_000, "{} bytes", page.len());
    }
}

#[test]
fn report_page_says_what_was_in_english() {
    let text = read(&page(&week(), Language::En, &tokyo()));
    contains_all(
        &text,
        &[
            "Enforcing mail.example.jp 17 Nov 2026, 11:00 – 24 Nov 2026, 11:00 Asia/Tokyo (UTC+09:00)",
            "Refused 197,852 SYN packets to the mail ports, of about 49,463 connection attempts",
            "Log lines spared ≈ 99,150",
            "Offences in the log 1,711",
            "Bans 214",
            "Packets refused every hour. Times are Asia/Tokyo (UTC+09:00). At most 5,803, at 21 Nov 07:00.",
            "Banned an address that has attacked before 3,966 2.0 %",
            "submission 142,776 5,189",
            "before any gate 11 0",
            "A sample: 170,885 refused packets of 197,852 were looked at one by one.",
            "China CN 38,211 22.4 %",
            "24 more: 6,050",
            "198.51.100.0/24 Russia, AS64500 EXAMPLE-BACKBONE Example Telecom 4,410",
            "203.0.113.0/24 Netherlands 3,902",
            "info@example.jp 812 344 24 Nov 11:00",
            "Siege of an account 148 Too many failures 61",
            "203.0.113.77 Japan Too many failures 24 Nov 07:14, until 24 Nov 11:14",
            "ban no. 3 of this source",
            "sasl_username=sales@example.jp",
            "192.0.2.9 Japan By hand 24 Nov 07:14, until lifted spam run No log lines: banned by hand.",
        ],
    );
    assert!(!text.contains("{}"), "{text}");
}

#[test]
fn report_page_says_what_was_in_japanese() {
    let written = page(&week(), Language::Ja, &tokyo());
    assert!(written.contains("<html lang=\"ja\">"));
    contains_all(
        &read(&written),
        &[
            "遮断中 mail.example.jp 2026年11月17日 11:00 – 2026年11月24日 11:00 Asia/Tokyo、UTC+09:00",
            "遮断した SYN パケット 197,852 メールのポートへの接続試行にして約 49,463 回",
            "1時間ごとの遮断パケット数。",
            "最大は 5,803(11/21 07:00)。",
            "遮断した 197,852 パケットのうち 170,885 パケットを個別に記録しました。",
            "中国 CN 38,211 22.4 %",
            "香港 HK 4,902",
            "ほか 24 か国・地域: 6,050",
            "11/24 07:14, 11/24 11:14 まで",
            "全 214 件のうち、新しい 4 件。",
        ],
    );
}

#[test]
fn report_page_of_a_gate_that_observes_says_that_nothing_was_refused() {
    let text = read(&page(&observing(), Language::En, &tokyo()));
    contains_all(
        &text,
        &[
            "Observing mail.example.jp",
            "The gate only observes: it lets everybody in",
            "Refused 11 ",
            "Would have been refused 197,841",
        ],
    );
    let text = read(&page(&observing(), Language::Ja, &tokyo()));
    contains_all(&text, &["監視のみ mail.example.jp", "誰も遮断せず"]);
}

#[test]
fn report_of_a_gate_that_is_not_up_does_not_seem_to_enforce() {
    let mut period = week();
    period.enforcing = false;
    let english = read(&page(&period, Language::En, &tokyo()));
    contains_all(
        &english,
        &[
            "Not enforcing mail.example.jp",
            "Nothing is refused now: the gate is not up",
        ],
    );
    contains_all(
        &read(&page(&period, Language::Ja, &tokyo())),
        &["現在は遮断していません。"],
    );
    contains_all(&text(&period, &tokyo()), &["now NOT ENFORCING"]);
}

#[test]
fn report_page_of_a_quiet_while_says_so_in_each_part() {
    for (language, expected) in [
        (
            Language::En,
            [
                "Nothing was refused in this time.",
                "No source was seen.",
                "No failed login named an account.",
                "Nobody was banned in this time.",
            ],
        ),
        (
            Language::Ja,
            [
                "この期間に遮断したものはありません。",
                "送信元の記録はありません。",
                "アカウント名の分かる不正ログインはありません。",
                "この期間に ban した送信元はありません。",
            ],
        ),
    ] {
        contains_all(&read(&page(&quiet(), language, &tokyo())), &expected);
    }
}

#[test]
fn report_page_says_when_the_sample_is_all_there_was() {
    let mut period = week();
    period.sampled = 300_000;
    let text = read(&page(&period, Language::En, &tokyo()));
    contains_all(
        &text,
        &["All refused packets, or nearly all, were looked at one by one."],
    );
}

#[test]
fn report_page_says_from_when_on_offences_are_known() {
    let mut period = week();
    period.offences_since = at("2026-11-20T02:00:00Z");
    contains_all(
        &read(&page(&period, Language::En, &tokyo())),
        &[
            "1,711 known since 20 Nov 11:00",
            "they need not exist here. (known since 20 Nov 11:00)",
        ],
    );
    contains_all(
        &read(&page(&period, Language::Ja, &tokyo())),
        &["1,711 11/20 11:00 以降の記録"],
    );
    contains_all(
        &text(&period, &tokyo()),
        &["  offences            1,711  in the log since 2026-11-20 11:00\n"],
    );
}

#[test]
fn report_times_are_marked_at_round_hours_of_the_zone_also_when_its_clock_is_changed() {
    // Berlin's day of 25 hours: 26 October 2025.
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let mut period = week();
    let since = at("2025-10-25T00:00:00Z");
    (period.since, period.until) = (since, since + jiff::SignedDuration::from_hours(48));
    period.series.truncate(48);
    for (hour, step) in period.series.iter_mut().enumerate() {
        step.at = since + jiff::SignedDuration::from_hours(hour as i64);
    }
    let text = read(&page(&period, Language::En, &berlin));
    contains_all(&text, &[" 6:00 12:00 18:00 26 Oct 6:00 12:00 18:00 27 Oct "]);
}

#[test]
fn report_text_is_the_page_in_short() {
    let text = text(&week(), &tokyo());
    contains_all(
        &text,
        &[
            "mail.example.jp: 2026-11-17 11:00 to 2026-11-24 11:00, Asia/Tokyo (UTC+09:00), now enforcing\n",
            "  refused           197,852  packets, of about 49,463 attempts\n",
            "  bans                  214  148 siege, 61 maxretry, 3 wide, 2 operator\n",
            "Where from (a sample: 170,885 of 197,852 packets)\n  China          38,211  22.4 %\n",
            "  and 40 more\n",
            "  198.51.100.0/24     4,410  Russia, AS64500 EXAMPLE-BACKBONE Example Telecom\n",
            "  info@example.jp",
            "2026-11-24 07:14  203.0.113.77      5 offences in 10m: 5 failed logins as info@example.jp, sale…",
        ],
    );
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}
