//! The configuration that fits a host, with its reasons as comments. Pure text: what was seen comes in as values.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::{Facts, Nic};
use crate::daemon::report::{Lost, Simulation};

/// Senders that are named; the rest is counted.
const NAMED: usize = 12;

/// What the last log says of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Which log it was.
    pub log: &'a str,
    /// With every gate open to the host's country alone.
    pub home: &'a Simulation,
    /// With port 25 open to the world, where the first lost good mail.
    pub open: Option<&'a Simulation>,
}

/// Who is let in at port 25.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mx {
    /// The host's country.
    Home,
    /// Everybody who is not banned.
    World,
}

/// Whether port 25 can be for the host's country alone: only if a log shows that its mail comes from there.
pub fn mx(facts: &Facts, past: Option<&Past<'_>>) -> Mx {
    match past {
        Some(past) if facts.home.is_some() && past.home.lines.messages > 0 && past.home.lost.is_empty() => Mx::Home,
        _ => Mx::World,
    }
}

/// The file.
pub fn file(facts: &Facts, mx: Mx, past: Option<&Past<'_>>, now: Timestamp) -> String {
    let mut text = format!(
        "# smtpgate: proposed by `smtpgate setup` for {} at {}, from what it saw there.\n\
         #\n\
         # It only counts what it would refuse (`smtpgate status`). To refuse it: mode = \"enforce\" below, and then\n\
         # `smtpgate reload --confirm 5m`, which goes back by itself unless `smtpgate confirm` follows.\n\
         #\n\
         # After any other change: `smtpgate check`, then `smtpgate reload`.\n\n",
        facts.host,
        now.strftime("%Y-%m-%d %H:%M UTC")
    );
    let attention = attention(facts);
    for line in &attention {
        comment(&mut text, "ATTENTION: ", line);
    }
    if !attention.is_empty() {
        text.push('\n');
    }
    text.push_str("mode = \"observe\"\n\n");
    interfaces(&mut text, facts);
    trust(&mut text, facts.admin);
    gates(&mut text, facts, mx, past);
    maillog(&mut text, facts);
    if let Some(past) = past {
        text.push('\n');
        simulated(&mut text, past);
    }
    text
}

/// What the admin has to do, or to know before he enforces.
pub fn attention(facts: &Facts) -> Vec<String> {
    let mut lines = facts.trouble.clone();
    for (from, to) in &facts.firewall.redirects {
        lines.push(format!(
            "the firewall redirects port {from} to {to}. The gate comes before it and sees {from}: put {from} into the \
             `ports` of {to}'s gate, too"
        ));
    }
    if !facts.interfaces.iter().any(|nic| nic.default_route) {
        lines.push("no interface holds a default route: name those to guard in `interfaces`".to_owned());
    }
    lines
}

fn interfaces(text: &mut String, facts: &Facts) {
    comment(
        text,
        "",
        &format!(
            "Guarded are the interfaces with a default route, also when that changes. Seen here, on Linux {}:",
            facts.kernel
        ),
    );
    // A host may have hundreds that do nothing.
    let of_note = |nic: &&Nic| nic.default_route || nic.state == "up" || !nic.others.is_empty();
    for nic in facts.interfaces.iter().filter(of_note) {
        comment(text, &format!("  {}: ", nic.name), &seen(nic));
    }
    let routed: Vec<String> = facts
        .interfaces
        .iter()
        .filter(|nic| nic.default_route)
        .map(|nic| quoted(&nic.name))
        .collect();
    text.push_str(&format!("#interfaces = [{}]\n\n", routed.join(", ")));
}

fn seen(nic: &Nic) -> String {
    let route = if nic.default_route {
        "default route"
    } else {
        "no default route, not guarded"
    };
    let driver = nic
        .driver
        .as_ref()
        .map(|driver| format!("{driver}, "))
        .unwrap_or_default();
    let what = match nic.expect {
        "none" => format!("cannot be guarded: {}", nic.because),
        mode => format!("{mode} mode to be expected: {}", nic.because),
    };
    format!("{driver}MTU {}, {}, {route}; {what}", nic.mtu, nic.state)
}

fn trust(text: &mut String, admin: Option<IpAddr>) {
    text.push_str(
        "# Passes every gate and is never banned. This host's own addresses and its gateways always are in it.\n",
    );
    match admin {
        Some(address) => {
            text.push_str(
                "# You are logged in by SSH from there; put your own networks, monitoring and relays in its place.\n",
            );
            let net = IpNet::from(address.to_canonical());
            text.push_str(&format!("trust = [{}]\n\n", quoted(&format!("cidr:{net}"))));
        }
        None => {
            text.push_str("# Put your own networks, monitoring and relays here, as \"cidr:192.0.2.0/24\".\n");
            text.push_str("trust = []\n\n");
        }
    }
}

fn gates(text: &mut String, facts: &Facts, mx: Mx, past: Option<&Past<'_>>) {
    if facts.listening.is_empty() {
        comment(
            text,
            "",
            "Nothing listens at a mail port now. These gates are for the usual ones.",
        );
    } else {
        let ports: Vec<String> = facts.listening.iter().map(ToString::to_string).collect();
        let daemons = if facts.daemons.is_empty() {
            "no known mail daemon runs".to_owned()
        } else {
            format!("{} run", facts.daemons.join(" and "))
        };
        comment(
            text,
            "",
            &format!("Here {daemons}, and these mail ports are open: {}.", ports.join(" ")),
        );
    }
    let home = match (&facts.home, &facts.countries) {
        (Some(home), Some(table)) => {
            comment(
                text,
                "",
                &format!(
                    "Your users are taken to be in {}, because {}. Countries are from the {} of {}.",
                    home.country, home.because, table.origin, table.date
                ),
            );
            format!("{}, \"private\"", quoted(&format!("country:{}", home.country)))
        }
        _ => {
            comment(
                text,
                "",
                "In which country your users are could not be seen: put \"country:JP\", \"private\" (or yours) in the place \
                 of \"world\".",
            );
            "\"world\"".to_owned()
        }
    };
    text.push('\n');
    if let Some(lost) = past.map(|past| &past.open.unwrap_or(past.home).lost)
        && !lost.is_empty()
    {
        comment(
            text,
            "",
            "By the log these good logins came from elsewhere. Add what is to stay, here or below:",
        );
        senders(text, lost);
    }
    text.push_str(&format!("[gate.submission]\nports = [465, 587]\nallow = [{home}]\n\n"));
    let mailbox: Vec<String> = facts
        .listening
        .iter()
        .filter(|port| ![25, 465, 587].contains(*port))
        .map(ToString::to_string)
        .collect();
    if !mailbox.is_empty() {
        text.push_str("# Where users fetch their mail.\n");
        text.push_str(&format!(
            "[gate.mailbox]\nports = [{}]\nallow = [{home}]\n\n",
            mailbox.join(", ")
        ));
    }
    match (mx, past) {
        (Mx::Home, _) => {
            text.push_str("# By the log, no good mail of the others came from elsewhere.\n");
            text.push_str(&format!("[gate.mx]\nports = [25]\nallow = [{home}]\n\n"));
        }
        (Mx::World, Some(past)) if !past.home.lost.is_empty() => {
            comment(
                text,
                "",
                &format!(
                    "Open to the world, but not to the banned: for {} alone, it would lose good mail. By the log, it and the \
                     gates above would have lost:",
                    home.replace('"', "").replace(", private", "")
                ),
            );
            senders(text, &past.home.lost);
            text.push_str("[gate.mx]\nports = [25]\nallow = [\"world\"]\n\n");
        }
        (Mx::World, _) => {
            comment(
                text,
                "",
                "Open to the world, but not to the banned: no log has shown where your mail comes from. After some days, \
                 `smtpgate simulate /var/log/mail.log` says what a narrower `allow` would lose.",
            );
            text.push_str("[gate.mx]\nports = [25]\nallow = [\"world\"]\n\n");
        }
    }
}

fn maillog(text: &mut String, facts: &Facts) {
    text.push_str("[maillog]\n");
    comment(
        text,
        "",
        &format!("\"auto\" is {} here: {}.", facts.log.name, facts.log.because),
    );
    text.push_str("follow = \"auto\"\n\n[detect]\n");
    text.push_str("maxretry = 5           # so many failures\n");
    text.push_str("findtime = \"10m\"       # within this time\n");
    text.push_str("bantime = \"1h\"         # are banned for this, doubled on each return\n");
    text.push_str("bantime-max = \"30d\"    # up to this\n");
    let others = &facts.firewall;
    let rules = |name: &str, rules: Option<usize>| match rules {
        None | Some(0) => None,
        Some(1) => Some(format!("{name} has 1 rule")),
        Some(number) => Some(format!("{name} has {number} rules")),
    };
    let mut found: Vec<String> = [
        rules("nftables", others.nft_rules),
        rules("iptables", others.iptables_rules),
    ]
    .into_iter()
    .flatten()
    .collect();
    if others.fail2ban {
        found.push("fail2ban runs".to_owned());
    }
    if !found.is_empty() {
        text.push('\n');
        comment(
            text,
            "",
            &format!(
                "Beside the gate: {}. They go on as they are; what the gate refuses never reaches them.",
                found.join(", ")
            ),
        );
    }
}

fn simulated(text: &mut String, past: &Past<'_>) {
    let said = past.open.unwrap_or(past.home);
    comment(
        text,
        "",
        &format!(
            "What this file would have done to {} ({} lines, {} of them offences): {} connections refused by the gates, {} \
             offences that would not have come, {} bans. `smtpgate simulate` tells it in full.",
            past.log,
            said.lines.read,
            said.lines.offences,
            said.refused.connections,
            said.refused.offences,
            said.bans.len()
        ),
    );
}

/// The good senders that are lost, the most first, each as the entry that would let it in.
fn senders(text: &mut String, lost: &[Lost]) {
    for lost in lost.iter().take(NAMED) {
        let who = if lost.sender.is_empty() { "<>" } else { &lost.sender };
        let country = lost.country.as_deref().unwrap_or("no country");
        let mut what = Vec::new();
        for (number, word) in [(lost.messages, "message"), (lost.logins, "login")] {
            if number > 0 {
                what.push(format!("{number} {word}{}", if number == 1 { "" } else { "s" }));
            }
        }
        let _ = writeln!(
            text,
            "#   {:<34} # {} ({country}): {}",
            format!("{},", quoted(&lost.allow)),
            plain(who),
            what.join(", ")
        );
    }
    if lost.len() > NAMED {
        let _ = writeln!(
            text,
            "#   … and {} more: `smtpgate simulate` names them",
            lost.len() - NAMED
        );
    }
}

/// What strangers wrote must not end a comment.
fn plain(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(60).collect()
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Comment lines of at most 118 columns; `head` begins the first, and the others stand below its text.
fn comment(text: &mut String, head: &str, words: &str) {
    const WIDTH: usize = 116;
    let indent = " ".repeat(head.chars().count());
    let mut line = head.to_owned();
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "# {line}");
            line.clone_from(&indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "# {line}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Written};
    use crate::daemon::report::LinesRead;
    use crate::setup::{Home, Log, Table, firewall::Firewall};

    fn facts() -> Facts {
        Facts {
            host: "mx1".to_owned(),
            kernel: "6.1.0-50-amd64".to_owned(),
            interfaces: vec![Nic {
                name: "eth0".to_owned(),
                driver: Some("ice".to_owned()),
                mtu: 1500,
                state: "up".to_owned(),
                default_route: true,
                expect: "native",
                because: "ice has XDP since Linux 5.5".to_owned(),
                ..Nic::default()
            }],
            listening: vec![25, 587, 993],
            daemons: vec!["Postfix".to_owned(), "Dovecot".to_owned()],
            log: Log {
                name: "/var/log/mail.log".to_owned(),
                because: "a syslog daemon writes it".to_owned(),
                ..Log::default()
            },
            countries: Some(Table {
                origin: "built-in table".to_owned(),
                date: "2026-06-17".to_owned(),
            }),
            home: Some(Home {
                country: "JP".to_owned(),
                because: "this host's address 203.0.113.25 is there".to_owned(),
            }),
            ..Facts::default()
        }
    }

    fn simulation(messages: u64, lost: &[(&str, &str)]) -> Simulation {
        Simulation {
            bans: Vec::new(),
            alarms: Vec::new(),
            lost: lost
                .iter()
                .map(|(sender, network)| Lost {
                    sender: (*sender).to_owned(),
                    network: network.parse().unwrap(),
                    country: Some("US".to_owned()),
                    messages: 3,
                    logins: 0,
                    allow: format!("cidr:{network}"),
                })
                .collect(),
            allow: Vec::new(),
            lines: LinesRead {
                read: 100,
                understood: 90,
                offences: 40,
                messages,
            },
            refused: crate::daemon::report::Turned::default(),
        }
    }

    fn valid(text: &str) -> Config {
        let files = vec![("/etc/smtpgate/config.toml".into(), text.to_owned())];
        let folder = Path::new("/etc/smtpgate").to_owned();
        Config::of(Written { folder, files }).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn proposed(facts: &Facts, past: Option<&Past<'_>>) -> (String, Config) {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let text = file(facts, mx(facts, past), past, now);
        let config = valid(&text);
        for line in text.lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
        (text, config)
    }

    fn allow(config: &Config, gate: &str) -> String {
        let gate = config.gates.iter().find(|known| known.name == gate).unwrap();
        let specs: Vec<String> = gate.allow.iter().map(ToString::to_string).collect();
        specs.join(" ")
    }

    #[test]
    fn setup_closes_port_25_only_where_a_log_shows_that_no_good_mail_is_lost() {
        let (none, some) = (simulation(12, &[]), simulation(12, &[("example.com", "192.0.2.0/24")]));
        let silent = simulation(0, &[]);
        let past = |home, open| Past {
            log: "/var/log/mail.log",
            home,
            open,
        };
        for (case, past, mx) in [
            ("no log", None, "world"),
            ("a log without mail", Some(past(&silent, None)), "world"),
            ("nothing lost", Some(past(&none, None)), "country:JP private"),
            ("mail from abroad", Some(past(&some, Some(&none))), "world"),
        ] {
            let (text, config) = proposed(&facts(), past.as_ref());
            assert_eq!(allow(&config, "mx"), mx, "{case}:\n{text}");
            assert_eq!(allow(&config, "submission"), "country:JP private", "{case}");
            assert_eq!(config.mode, crate::config::Mode::Observe, "{case}");
            assert_eq!(
                text.contains("\"cidr:192.0.2.0/24\",") && text.contains("example.com (US): 3 messages"),
                case == "mail from abroad",
                "{case}:\n{text}"
            );
        }
    }

    #[test]
    fn setup_gates_what_listens_and_trusts_who_is_there() {
        let mut facts = facts();
        facts.admin = Some("::ffff:198.51.100.7".parse().unwrap());
        let (text, config) = proposed(&facts, None);
        let ports = |name: &str| {
            config
                .gates
                .iter()
                .find(|gate| gate.name == name)
                .unwrap()
                .ports
                .clone()
        };
        assert_eq!(ports("mailbox"), [993]);
        assert_eq!(ports("submission"), [465, 587]);
        assert_eq!(config.trust.len(), 1);
        assert_eq!(config.trust[0].to_string(), "cidr:198.51.100.7/32");
        assert!(text.contains("Postfix and Dovecot run"), "{text}");
        facts.listening = vec![25];
        let (_, config) = proposed(&facts, None);
        assert_eq!(config.gates.len(), 2);
    }

    #[test]
    fn setup_of_a_bare_host_is_valid_too_and_says_what_is_amiss() {
        let (text, config) = proposed(&Facts::default(), None);
        assert_eq!(allow(&config, "submission"), "world", "{text}");
        assert!(text.contains("ATTENTION: no interface holds a default route"), "{text}");
        let mut facts = facts();
        facts.trouble = vec!["the kernel is too old".to_owned()];
        facts.firewall = Firewall {
            nft_rules: Some(5),
            redirects: vec![(2525, 587)],
            fail2ban: true,
            ..Firewall::default()
        };
        let (text, _) = proposed(&facts, None);
        for words in [
            "ATTENTION: the kernel is too old",
            "ATTENTION: the firewall redirects port 2525 to 587",
            "nftables has 5 rules, fail2ban runs",
        ] {
            assert!(text.contains(words), "{words}:\n{text}");
        }
    }

    #[test]
    fn setup_lets_no_senders_name_out_of_its_comment() {
        let lost = simulation(5, &[("x\ny = 1\u{85}", "192.0.2.0/24")]);
        let open = simulation(5, &[]);
        let past = Past {
            log: "mail.log",
            home: &lost,
            open: Some(&open),
        };
        let (text, _) = proposed(&facts(), Some(&past));
        assert!(text.contains("# xy = 1 (US)"), "{text}");
    }
}
