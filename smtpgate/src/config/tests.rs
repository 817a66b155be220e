//! Whole files in, values or whole error texts out.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::maillog::{Kind, Pattern};

/// Writes `files` (the first is the configuration itself) below a new folder and loads them. The folder's name in an
/// error is cut out.
fn load(files: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let prefix = format!("{}/", folder.path().display());
    Config::load(Some(&folder.path().join(files[0].0))).map_err(|error| error.to_string().replace(&prefix, ""))
}

fn load_one(text: &str) -> Result<Config, String> {
    load(&[("c.toml", text)])
}

const GATE: &str = "[gate.mx]\nports = [25]\nallow = [\"world\"]\n";

fn specs(texts: &[&str]) -> Vec<Spec> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn config_of_the_design_is_the_default() {
    let text = r#"
mode = "enforce"                       # or "observe"
trust = []
block = []

[gate.submission]
ports = [465, 587]
allow = ["country:JP", "private"]

[gate.mx]
ports = [25]
allow = ["country:JP", "private"]

[maillog]
follow = "auto"

[detect]
maxretry = 5
findtime = "10m"
bantime = "1h"
bantime-max = "30d"

[paths]
state = "/var/lib/smtpgate"
run = "/run/smtpgate"
pins = "/sys/fs/bpf/smtpgate"
"#;
    let config = load_one(text).unwrap();
    assert_eq!(config.written.files.len(), 1);
    assert_eq!(
        Config {
            written: Written::default(),
            ..config
        },
        Config::default()
    );
    assert_eq!(Config::default().gates[0].allow, specs(&["country:JP", "private"]));
}

#[test]
fn config_without_any_file_is_the_default_but_a_named_file_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    assert_eq!(Config::load_from(&path, false), Ok(Config::default()));
    let error = Config::load(Some(&path)).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: there is no such file", path.display()));
}

#[test]
fn config_drop_ins_alone_are_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config.d")).unwrap();
    std::fs::write(folder.path().join("config.d/mx.toml"), GATE).unwrap();
    let config = Config::load_from(&folder.path().join("config.toml"), false).unwrap();
    assert_eq!(
        config.written.files,
        [(folder.path().join("config.d/mx.toml"), GATE.to_owned())]
    );
    assert_eq!(config.gates.len(), 1);
}

#[test]
fn config_every_key_is_read() {
    let text = r#"
mode = "observe"
interfaces = ["eth0", "wg0"]
trust = ["cidr:198.51.100.0/24"]
ignoreip = ["2001:db8::7"]
block = ["file:lists/bad.txt", "country:KP"]
[gate.zeta]
ports = [587, 465]
allow = []
mode = "enforce"
[gate.alpha]
ports = [0x19]
allow = ["world"]
[maillog]
follow = ["/var/log/mail.log", "logs/other.log"]
[detect]
maxretry = 3
findtime = 600
bantime = "90d"
window6 = 56
widen = 0
widest4 = 28
widest6 = 52
siege-addresses = 20
stolen-networks = 5
stolen-countries = 2
stolen-recipients = 1000
stolen-ban = true
bans-per-minute = 60
[hooks]
on_ban = ["/usr/local/bin/tell", "ban"]
[paths]
state = "state"
[limits]
prefixes = 1048576
bans = 1_000
headroom = 0
[geoip]
database = "GeoLite2-Country.mmdb"
asn = "GeoLite2-ASN.mmdb"
[metrics]
listen = "[::1]:9725"
textfile = "smtpgate.prom"
"#;
    let config = load_one(text).unwrap();
    let folder = config.written.folder.clone();
    let expected = Config {
        written: Written {
            folder: folder.clone(),
            files: vec![(folder.join("c.toml"), text.to_owned())],
        },
        mode: Mode::Observe,
        interfaces: vec!["eth0".to_owned(), "wg0".to_owned()],
        trust: specs(&["198.51.100.0/24", "2001:db8::7"]),
        block: vec![Spec::File(folder.join("lists/bad.txt")), "country:KP".parse().unwrap()],
        gates: vec![
            Gate {
                name: "zeta".to_owned(),
                ports: vec![465, 587],
                allow: vec![],
                mode: Mode::Enforce,
            },
            Gate {
                name: "alpha".to_owned(),
                ports: vec![25],
                allow: vec![Spec::World],
                mode: Mode::Observe,
            },
        ],
        maillog: Maillog {
            follow: Follow::Files(vec!["/var/log/mail.log".into(), folder.join("logs/other.log")]),
            patterns: Patterns::default(),
        },
        detect: Detect {
            maxretry: 3,
            findtime: Duration::from_secs(600),
            bantime: Duration::from_secs(90 * 86_400),
            bantime_max: Duration::from_secs(90 * 86_400),
            window6: 56,
            widen: 0,
            widest4: 28,
            widest6: 52,
            siege_addresses: 20,
            stolen_networks: 5,
            stolen_countries: 2,
            stolen_recipients: 1000,
            stolen_ban: true,
            bans_per_minute: 60,
        },
        hooks: Hooks {
            on_ban: vec!["/usr/local/bin/tell".to_owned(), "ban".to_owned()],
            on_alarm: vec![],
        },
        paths: Paths {
            state: folder.join("state"),
            ..Paths::default()
        },
        limits: Limits {
            prefixes: Some(1_048_576),
            bans: Some(1_000),
            headroom: 0,
        },
        geoip: Geoip {
            database: Database::File(folder.join("GeoLite2-Country.mmdb")),
            asn: OwnerDatabase::File(folder.join("GeoLite2-ASN.mmdb")),
        },
        metrics: Metrics {
            listen: Some(Listen::Tcp("[::1]:9725".parse().unwrap())),
            textfile: Some(folder.join("smtpgate.prom")),
        },
    };
    assert_eq!(config, expected);
}

#[test]
fn config_drop_ins_are_merged_in_the_order_of_their_names() {
    let config = load(&[
        (
            "c.toml",
            "trust = [\"192.0.2.1\"]\n[gate.mx]\nports = [25]\nallow = [\"country:JP\"]\n[detect]\nmaxretry = 1\n",
        ),
        (
            "c.d/20.toml",
            "[gate.mx]\nallow = [\"world\"]\n[detect]\nmaxretry = 3\n",
        ),
        (
            "c.d/10.toml",
            "trust = [\"192.0.2.2\"]\n[detect]\nmaxretry = 2\nfindtime = \"5m\"\n",
        ),
        ("c.d/30.toml.dpkg-old", "broken"),
        ("c.d/.hidden.toml", "broken"),
        ("config.d/other.toml", "broken"),
    ])
    .unwrap();
    let names: Vec<_> = config
        .written
        .files
        .iter()
        .map(|(file, _)| file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, ["c.toml", "10.toml", "20.toml"]);
    assert_eq!(config.trust, specs(&["192.0.2.2"]));
    assert_eq!(config.gates[0].ports, [25]);
    assert_eq!(config.gates[0].allow, [Spec::World]);
    assert_eq!((config.detect.maxretry, config.detect.findtime.as_secs()), (3, 300));
}

#[test]
fn config_words_and_paths_of_single_keys() {
    let follow = |value: &str| load_one(&format!("{GATE}[maillog]\nfollow = {value}")).map(|c| c.maillog.follow);
    assert_eq!(follow("\"none\""), Ok(Follow::None));
    assert_eq!(follow("\"auto\""), Ok(Follow::Auto));
    assert_eq!(follow("\"-\""), Ok(Follow::Input));
    assert_eq!(follow("\"journal\""), Ok(Follow::Journal(None)));
    assert_eq!(follow("\"journal:/j\""), Ok(Follow::Journal(Some(PathBuf::from("/j")))));
    assert_eq!(follow("\"/a\""), Ok(Follow::Files(vec![PathBuf::from("/a")])));
    let listen = |value: &str| load_one(&format!("{GATE}[metrics]\nlisten = {value}")).map(|c| c.metrics.listen);
    assert_eq!(listen("\"unix:/run/m\""), Ok(Some(Listen::Unix("/run/m".into()))));
    for (value, why) in [
        ("\"0.0.0.0:9725\"", "other hosts could reach it"),
        ("\"[::]:9725\"", "other hosts could reach it"),
        ("\"192.0.2.1:9725\"", "other hosts could reach it"),
        ("\"127.0.0.1:0\"", "the port is 0"),
        ("\"unix:m.sock\"", "not absolute"),
        ("\"localhost\"", "no address and port"),
    ] {
        let said = listen(value).unwrap_err();
        assert!(said.contains("metrics.listen") && said.contains(why), "{value}: {said}");
    }
    let said = load_one(&format!("{GATE}[metrics]\ntextfile = \"/x/y.txt\"")).unwrap_err();
    assert!(said.contains(".prom"), "{said}");
    let database = |value: &str| load_one(&format!("{GATE}[geoip]\ndatabase = {value}")).map(|c| c.geoip.database);
    assert_eq!(database("\"built-in\""), Ok(Database::BuiltIn));
    assert_eq!(database("\"auto\""), Ok(Database::Auto));
    let asn = |value: &str| load_one(&format!("{GATE}[geoip]\nasn = {value}")).map(|c| c.geoip.asn);
    assert_eq!(asn("\"off\""), Ok(OwnerDatabase::Off));
    assert_eq!(asn("\"auto\""), Ok(OwnerDatabase::Auto));
    assert!(asn("7").is_err());
}

#[test]
fn config_problems_name_file_line_column_key_and_what_is_allowed() {
    let specs_list = "a list of sources like [\"country:JP\", \"192.0.2.0/24\"]";
    for (case, text, expected) in [
        (
            "typo at the top",
            "intefaces = [\"eth0\"]",
            "c.toml:1:1: unknown key `intefaces`: did you mean `interfaces`?",
        ),
        (
            "unknown word",
            "colour = 1",
            "c.toml:1:1: unknown key `colour`: the top of the file takes mode, interfaces, trust, ignoreip, block, gate, maillog, detect, hooks, paths, limits, geoip, metrics",
        ),
        (
            "key of a section at the top",
            "bantime = 1",
            "c.toml:1:1: unknown key `bantime`: it belongs in [detect]",
        ),
        (
            "top key in a section",
            "[detect]\ntrust = []",
            "c.toml:2:1: unknown key `detect.trust`: it belongs at the top of the file, before the first [section]",
        ),
        (
            "gate key at the top",
            "ports = [25]",
            "c.toml:1:1: unknown key `ports`: it belongs in a section like [gate.submission]",
        ),
        (
            "underscore",
            "[detect]\nbantime_max = 1",
            "c.toml:2:1: unknown key `detect.bantime_max`: did you mean `bantime-max`?",
        ),
        (
            "typo in a gate",
            "[gate.a]\nports = [1]\nallow = []\nalow = []",
            "c.toml:4:1: unknown key `gate.a.alow`: did you mean `allow`?",
        ),
        (
            "wrong kind",
            "trust = \"private\"",
            &format!("c.toml:1:9: trust: a string stands where {specs_list} belongs"),
        ),
        (
            "wrong kind in a list",
            "trust = [\"private\",\n  7]",
            &format!("c.toml:2:3: trust: a number stands in the list; it takes {specs_list}"),
        ),
        (
            "section as a value",
            "detect = true",
            "c.toml:1:10: detect: true or false stands where a section [detect] belongs",
        ),
        (
            "bad spec",
            "block = [\"private\", \"contry:JP\"]",
            "c.toml:1:21: block: `contry` is no kind of source: did you mean `country`?",
        ),
        (
            "host bits",
            "trust = [\"192.0.2.7/24\"]",
            "c.toml:1:10: trust: `192.0.2.7/24` is an address inside 192.0.2.0/24: write 192.0.2.0/24 for the network, or 192.0.2.7 for the one address",
        ),
        (
            "mode",
            "mode = \"enfroce\"",
            "c.toml:1:8: mode: `enfroce` is no mode: write \"enforce\" or \"observe\"",
        ),
        (
            "mode as a bool",
            "mode = true",
            "c.toml:1:8: mode: true or false stands where \"enforce\" or \"observe\" belongs",
        ),
        (
            "no interface",
            "interfaces = []",
            "c.toml:1:14: interfaces: the list is empty: name one, or leave the key out for all that hold a default route",
        ),
        (
            "interface name",
            "interfaces = [\"eth 0\", \"a\", \"a\"]",
            "c.toml:1:15: interfaces: `eth 0` is no interface name, as `ip link` shows them\nc.toml:1:29: interfaces: `a` is listed twice",
        ),
        (
            "gate without a name",
            "[gate]\nports = [25]",
            "c.toml:2:1: `gate.ports` is not a gate: a gate has a name, and a section like [gate.submission]",
        ),
        (
            "gate name",
            "[gate.MX]\nports = [1]\nallow = []",
            "c.toml:1:7: `MX` is no name for a gate: 1 to 32 of a-z, 0-9, _ and -",
        ),
        (
            "empty gate name",
            "[gate.\"\"]\nports = [1]\nallow = []",
            "c.toml:1:7: `` is no name for a gate: 1 to 32 of a-z, 0-9, _ and -",
        ),
        (
            "gate lacks keys",
            "[gate.a]",
            "c.toml:1:7: gate.a: `ports` is missing, as in ports = [25]\nc.toml:1:7: gate.a: `allow` is missing, as in allow = [\"country:JP\", \"private\"]",
        ),
        (
            "no ports",
            "[gate.a]\nports = []\nallow = []",
            "c.toml:2:9: gate.a.ports: the list is empty: give a list of TCP ports like [465, 587]",
        ),
        (
            "bad ports",
            "[gate.a]\nports = [0, 70000, -1, \"smtp\"]\nallow = []",
            "c.toml:2:10: gate.a.ports: 0 is no TCP port: give 1 to 65535\nc.toml:2:13: gate.a.ports: 70000 is no TCP port: give 1 to 65535\nc.toml:2:20: gate.a.ports: -1 is no TCP port: give 1 to 65535\nc.toml:2:24: gate.a.ports: a string stands in the list; it takes a list of TCP ports like [465, 587]",
        ),
        (
            "port twice in a gate",
            "[gate.a]\nports = [25, 25]\nallow = []",
            "c.toml:2:14: gate.a.ports: port 25 is listed twice",
        ),
        (
            "port in two gates",
            "[gate.b]\nports = [25]\nallow = []\n[gate.a]\nports = [25]\nallow = []",
            "c.toml:5:10: gate.a.ports: port 25 is already in gate `b` (c.toml:2): a port is in one gate",
        ),
        (
            "yes or no",
            "[detect]\nstolen-ban = 1",
            "c.toml:2:14: detect.stolen-ban: a number stands where true or false belongs",
        ),
        (
            "prefix length",
            "[detect]\nwidest4 = 8",
            "c.toml:2:11: detect.widest4: 8 is out of range: give a number from 16 to 32",
        ),
        (
            "hook as a line",
            "[hooks]\non_ban = \"tell\"",
            "c.toml:2:10: hooks.on_ban: a string stands where a program and its arguments, like [\"/usr/local/bin/tell\", \"ban\"] belongs",
        ),
        (
            "hook without its folder",
            "[hooks]\non_alarm = [\"tell\"]",
            "c.toml:2:13: hooks.on_alarm: `tell` is no absolute path: it takes a program and its arguments, like [\"/usr/local/bin/tell\", \"ban\"]",
        ),
        (
            "duration",
            "[detect]\nfindtime = \"10 min\"",
            "c.toml:2:12: detect.findtime: `10 min` is no duration: `min` is no unit; write it like 600, 10m, 1h30m or 7d (units s, m, h, d, w)",
        ),
        (
            "for ever",
            "[detect]\nbantime = -1",
            "c.toml:2:11: detect.bantime: `-1` is no duration: it is negative (what is to be refused for good belongs in `block`); write it like 600, 10m, 1h30m or 7d (units s, m, h, d, w)",
        ),
        (
            "duration as a float",
            "[detect]\nbantime = 1.5",
            "c.toml:2:11: detect.bantime: a decimal number stands where a duration like \"10m\" belongs",
        ),
        (
            "maximum below",
            "[detect]\nbantime = \"2h\"\nbantime-max = \"90m\"",
            "c.toml:3:15: detect.bantime-max: 1h30m is shorter than bantime, 2h",
        ),
        (
            "maxretry",
            "[detect]\nmaxretry = 0",
            "c.toml:2:12: detect.maxretry: 0 is out of range: give a number from 1 to 10000",
        ),
        (
            "too many bans",
            "[limits]\nbans = 1048577",
            "c.toml:2:8: limits.bans: 1048577 is out of range: give a number from 1 to 1048576",
        ),
        (
            "huge number",
            "[limits]\nbans = 99999999999999999999",
            "c.toml:2:8: limits.bans: a number beyond 64 bits stands where a number from 1 to 1048576 belongs",
        ),
        (
            "log word",
            "[maillog]\nfollow = \"jurnal\"",
            "c.toml:2:10: maillog.follow: `jurnal` is no log: give \"auto\", \"none\", \"journal\", \"-\" (standard input), a path, or a list of paths",
        ),
        (
            "no log",
            "[maillog]\nfollow = []",
            "c.toml:2:10: maillog.follow: the list is empty: write \"none\" to follow no log",
        ),
        (
            "empty path",
            "[paths]\nstate = \"\"",
            "c.toml:2:9: paths.state: the path is empty",
        ),
        (
            "column counts characters",
            "trust = [\"日本\"]",
            "c.toml:1:10: trust: `日本` is no kind of source: a source is country:JP, cidr:192.0.2.0/24, file:PATH, private or world",
        ),
        (
            "not TOML",
            "mode = enforce",
            "c.toml:1:8: not valid TOML: string values must be quoted, expected literal string",
        ),
        (
            "key twice",
            "mode = \"observe\"\nmode = \"observe\"",
            "c.toml:2:1: not valid TOML: duplicate key",
        ),
    ] {
        // A gate of its own, after the case, so that only the case's problems are seen.
        let gate = if text.contains("[gate") {
            ""
        } else {
            "\n[gate.z]\nports = [26]\nallow = []"
        };
        assert_eq!(load_one(&format!("{text}{gate}")).unwrap_err(), expected, "{case}");
    }
}

#[test]
fn config_without_a_gate_is_refused() {
    let expected = "c.toml: no gate is defined: add a section like [gate.mx] with ports = [25] and allow = [\"world\"]";
    assert_eq!(load_one("mode = \"enforce\"").unwrap_err(), expected);
    assert_eq!(load_one("").unwrap_err(), expected);
}

#[test]
fn config_takes_sixteen_gates_and_no_more() {
    let gates = |count: usize| -> String {
        (1..=count)
            .map(|n| format!("[gate.g{n}]\nports = [{n}]\nallow = []\n"))
            .collect()
    };
    assert_eq!(load_one(&gates(16)).unwrap().gates[15].name, "g16");
    assert_eq!(
        load_one(&gates(17)).unwrap_err(),
        "c.toml:49:7: 17 gates are defined, and at most 16 are possible"
    );
}

#[test]
fn config_problems_of_all_files_come_in_order() {
    let error = load(&[
        ("c.toml", "[gate.mx]\nports = [0]\nallow = [\"x:y\"]\n[zoo]\n"),
        ("c.d/a.toml", "[detect]\nmaxretry = \"5\"\n"),
    ])
    .unwrap_err();
    let expected = "c.toml:2:10: gate.mx.ports: 0 is no TCP port: give 1 to 65535\n\
        c.toml:3:10: gate.mx.allow: `x` is no kind of source: a source is country:JP, cidr:192.0.2.0/24, file:PATH, private or world\n\
        c.toml:4:2: unknown key `zoo`: the top of the file takes mode, interfaces, trust, ignoreip, block, gate, maillog, detect, hooks, paths, limits, geoip, metrics\n\
        c.d/a.toml:2:12: detect.maxretry: a string stands where a number from 1 to 10000 belongs";
    assert_eq!(error, expected);
}

#[test]
fn config_that_is_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, b"mode = \"\xff\"").unwrap();
    let error = Config::load(Some(&path)).unwrap_err().to_string();
    assert_eq!(error, format!("{}: is not UTF-8 text", path.display()));
    let error = Config::load(Some(folder.path())).unwrap_err().to_string();
    assert!(
        error.ends_with(": cannot be read: Is a directory (os error 21)"),
        "{error}"
    );
}

#[test]
fn config_patterns_of_the_maillog() {
    let with = |patterns: &str| load_one(&format!("{GATE}\n{patterns}"));
    let good = r#"
[[maillog.pattern]]
name = "mine"
program = "imapd"
regex = '^login of <(?<user>[^>]*)> failed from \[(?<address>[^\]]+)\]'
kind = "auth_failed"

[[maillog.pattern]]
name = "theirs"
regex = '^relay refused to (?<address>[0-9a-f.:]+)'
kind = "relay_denied"
weight = 5
"#;
    let got = with(good).unwrap().maillog.patterns;
    let pattern = |name, program, regex, kind, weight| Pattern::new(name, program, regex, kind, weight).unwrap();
    let want = [
        pattern(
            "mine",
            Some("imapd"),
            r"^login of <(?<user>[^>]*)> failed from \[(?<address>[^\]]+)\]",
            Kind::AuthFailed,
            Some(1),
        ),
        pattern(
            "theirs",
            None,
            r"^relay refused to (?<address>[0-9a-f.:]+)",
            Kind::RelayDenied,
            Some(5),
        ),
    ];
    assert_eq!(got, Patterns::new(want.into()));

    let complete = "name = \"x\"\nregex = '^from (?<address>[0-9.]+)'\nkind = \"auth_failed\"\n";
    let cases = [
        (
            "no section",
            "[maillog]\npattern = \"x\"".to_owned(),
            vec!["c.toml:6:11: maillog.pattern: a string stands where a section like [[maillog.pattern]] belongs"],
        ),
        (
            "empty",
            "[[maillog.pattern]]".to_owned(),
            vec!["`name` is missing", "`regex` is missing", "`kind` is missing"],
        ),
        (
            "key misspelt",
            format!("[[maillog.pattern]]\n{complete}programm = \"y\""),
            vec!["c.toml:9:1: unknown key `maillog.pattern.programm`: did you mean `program`?"],
        ),
        (
            "kind misspelt",
            format!("[[maillog.pattern]]\n{}", complete.replace("auth_failed", "auth_fail")),
            vec!["c.toml:8:8: maillog.pattern.kind: `auth_fail` is no kind of event: did you mean `auth_failed`?"],
        ),
        (
            "two of a name",
            format!("[[maillog.pattern]]\n{complete}[[maillog.pattern]]\n{complete}"),
            vec!["there are two patterns of the name `x`"],
        ),
        (
            "weight too large",
            format!("[[maillog.pattern]]\n{complete}weight = 5000"),
            vec!["c.toml:9:10: maillog.pattern.weight: 5000 is out of range: give a number from 0 to 1000"],
        ),
        (
            "weight of a good one",
            format!(
                "[[maillog.pattern]]\n{}weight = 1",
                complete.replace("auth_failed", "auth_ok")
            ),
            vec!["c.toml:9:10: maillog.pattern.weight: auth_ok is no offence"],
        ),
        (
            "not anchored",
            format!("[[maillog.pattern]]\n{}", complete.replace('^', "")),
            vec!["c.toml:7:9: maillog.pattern.regex: the pattern `x` is not anchored"],
        ),
        (
            "client text before",
            format!("[[maillog.pattern]]\n{}", complete.replace('^', "^.*")),
            vec!["c.toml:7:9: maillog.pattern.regex: the pattern `x` lets a client's text reach the address"],
        ),
    ];
    for (name, text, wants) in cases {
        let error = with(&text).map(|_| ()).expect_err(name);
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), wants.len(), "{name}: {error}");
        for (line, want) in lines.iter().zip(wants) {
            assert!(line.contains(want), "{name}: {line}");
        }
    }
}

/// Keys, each with its default where it has one.
type Keys = Vec<(String, Option<String>)>;

/// What the page on the configuration says of each section.
fn documented() -> Vec<(&'static str, Keys)> {
    let page = include_str!("../../../docs/configuration.md");
    let keys_between = |from: &str, to: &str| {
        let (_, behind) = page
            .split_once(from)
            .unwrap_or_else(|| panic!("the page has no `{from}`"));
        let (part, _) = behind
            .split_once(to)
            .unwrap_or_else(|| panic!("the page has no `{to}`"));
        let terms = part
            .lines()
            .filter_map(|line| line.strip_prefix("- `")?.strip_suffix("`\\"));
        terms
            .map(|term| match term.split_once("` = `") {
                Some((key, default)) => (key.to_owned(), Some(default.to_owned())),
                None => (term.to_owned(), None),
            })
            .collect()
    };
    let places = [
        ("", "\n## Top of the file\n"),
        ("gate", "\n## Gates\n"),
        ("maillog", "\n## Maillog\n"),
        ("maillog.pattern", "\n`[[maillog.pattern]]` adds"),
        ("detect", "\n## Detect\n"),
        ("hooks", "\n## Hooks\n"),
        ("geoip", "\n## GeoIP\n"),
        ("paths", "\n## Paths\n"),
        ("limits", "\n## Limits\n"),
        ("metrics", "\n## Metrics\n"),
        ("end", "\n## Example\n"),
    ];
    places
        .windows(2)
        .map(|pair| (pair[0].0, keys_between(pair[0].1, pair[1].1)))
        .collect()
}

#[test]
fn config_page_names_every_key_and_no_other() {
    let page = documented();
    let sections: Vec<&str> = read::SECTIONS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.is_empty())
        .collect();
    for (section, keys) in read::SECTIONS {
        let (_, told) = page
            .iter()
            .find(|(name, _)| *name == section)
            .unwrap_or_else(|| panic!("docs/configuration.md says nothing of [{section}]"));
        let mut told: Vec<&str> = told.iter().map(|(key, _)| key.as_str()).collect();
        let mut keys: Vec<&str> = keys.iter().copied().filter(|key| !sections.contains(key)).collect();
        told.sort_unstable();
        keys.sort_unstable();
        assert_eq!(told, keys, "docs/configuration.md on [{section}]");
    }
}

#[test]
fn config_page_tells_the_true_defaults() {
    let mut text = String::new();
    for (section, keys) in documented() {
        if !matches!(section, "" | "gate" | "maillog.pattern") {
            text.push_str(&format!("[{section}]\n"));
        }
        for (key, default) in keys {
            if let Some(default) = default {
                text.push_str(&format!("{key} = {default}\n"));
            }
        }
    }
    let without = |config: Config| Config {
        written: Written::default(),
        ..config
    };
    let told = load_one(&format!("{text}{GATE}")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(without(told), without(load_one(GATE).unwrap()), "{text}");
}
