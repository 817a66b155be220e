//! What is in force, written for other tools, so that nobody is locked in.

use std::{collections::BTreeMap, fmt::Write as _};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::own;
use crate::sources::ranges::Ranges;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Writing {
    /// Prefixes, one a line: what `file:` reads
    Cidr,
    /// For `ipset restore`
    Ipset,
    /// A table for `nft -f`, with the rules that use its sets
    Nft,
    /// A table for Postfix's check_client_access, with all that it takes to refuse the same clients
    PostfixCidr,
}

/// What is in force, without the words around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Who passes every gate.
    pub trust: Vec<IpNet>,
    /// Who passes none.
    pub block: Vec<IpNet>,
    /// Who passes none until a time; none is until somebody takes it back.
    pub bans: Vec<(IpNet, Option<Timestamp>)>,
    /// Of each gate its name, its ports, and whom it allows.
    pub gates: Vec<(String, Vec<u16>, Vec<IpNet>)>,
}

/// A set, with the name of its kind.
struct Part<'a> {
    /// `ban`, `block`, `trust`, or `allow`.
    kind: &'static str,
    ports: &'a [u16],
    nets: Vec<Entry>,
}

/// Who, and until when; none is without an end.
type Entry = (IpNet, Option<Timestamp>);

/// Writes it; with `rest`, also that whom a gate does not allow is refused there.
pub fn export(leaving: &Leaving, writing: Writing, rest: bool, now: Timestamp) -> String {
    let forever = |nets: &[IpNet]| nets.iter().map(|net| (*net, None)).collect();
    let mut parts = vec![
        Part {
            kind: "trust",
            ports: &[],
            nets: forever(&leaving.trust),
        },
        Part {
            kind: "block",
            ports: &[],
            nets: forever(&leaving.block),
        },
        Part {
            kind: "ban",
            ports: &[],
            nets: leaving.bans.clone(),
        },
    ];
    parts.extend(leaving.gates.iter().map(|(_, ports, nets)| Part {
        kind: "allow",
        ports,
        nets: forever(nets),
    }));
    parts.retain(|part| !part.nets.is_empty());
    match writing {
        Writing::Cidr => cidr(&parts),
        Writing::Ipset => ipset(&parts, now),
        Writing::Nft => {
            let gated: Vec<u16> = leaving
                .gates
                .iter()
                .flat_map(|(_, ports, _)| ports.iter().copied())
                .collect();
            nft(&parts, &ports(&gated).replace(',', ", "), rest, now)
        }
        Writing::PostfixCidr => postfix(&parts, rest),
    }
}

fn ports(ports: &[u16]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn heading(part: &Part<'_>) -> String {
    format!("{}{} {}", own::HEADING, part.kind, ports(part.ports))
        .trim_end()
        .to_owned()
}

fn cidr(parts: &[Part<'_>]) -> String {
    let mut text = String::new();
    for part in parts {
        text.push_str(&heading(part));
        text.push('\n');
        for (net, until) in &part.nets {
            let until = until
                .map(|until| format!(" # {}{until}", own::UNTIL))
                .unwrap_or_default();
            let _ = writeln!(text, "{net}{until}");
        }
    }
    text
}

fn postfix(parts: &[Part<'_>], rest: bool) -> String {
    let mut text = String::from(
        "# check_client_access cidr:THIS_FILE, in smtpd_client_restrictions. The first line that holds the client decides.\n\
         # DUNNO, never OK: whoever is let in is still held against all other restrictions.\n",
    );
    for part in parts {
        text.push_str(&heading(part));
        text.push('\n');
        let action = match part.kind {
            "trust" | "allow" => "DUNNO",
            "ban" => "REJECT banned",
            _ => "REJECT",
        };
        for (net, until) in &part.nets {
            if let Some(until) = until {
                let _ = writeln!(text, "# {}{until}", own::UNTIL);
            }
            let _ = writeln!(text, "{net} {action}");
        }
    }
    if rest {
        let _ = write!(text, "{}rest\n0.0.0.0/0 REJECT\n::/0 REJECT\n", own::HEADING);
    }
    text
}

/// Seconds that an ipset can count down at the most.
const IPSET_LONGEST: i64 = 2_147_483;

fn left(until: Timestamp, now: Timestamp) -> i64 {
    until.duration_since(now).as_secs().max(1)
}

fn families(nets: &[Entry]) -> [(&'static str, Vec<&Entry>); 2] {
    let (v4, v6) = nets.iter().partition(|(net, _)| matches!(net, IpNet::V4(_)));
    [("4", v4), ("6", v6)]
}

fn ipset(parts: &[Part<'_>], now: Timestamp) -> String {
    let mut text = String::new();
    for part in parts {
        for (family, nets) in families(&part.nets) {
            if nets.is_empty() {
                continue;
            }
            // A set's name has room for one port; the first stands for its gate.
            let port = part.ports.first().map(|port| format!("-{port}")).unwrap_or_default();
            let name = format!("{}{}{family}{port}", own::SET, part.kind);
            let inet = if family == "4" { "inet" } else { "inet6" };
            let timed = part.kind == "ban";
            let options = if timed { " timeout 0 comment" } else { "" };
            let room = (nets.len() * 2).max(65_536);
            let _ = writeln!(text, "create {name} hash:net family {inet} maxelem {room}{options}");
            for (net, until) in nets {
                let options = until.map(|until| {
                    let seconds = left(until, now).min(IPSET_LONGEST);
                    format!(" timeout {seconds} comment \"{}{until}\"", own::UNTIL)
                });
                let options = options.unwrap_or_default();
                // An ipset of networks has no /0.
                let halves = if net.prefix_len() == 0 {
                    net.subnets(1).map(Iterator::collect).unwrap_or_default()
                } else {
                    vec![*net]
                };
                for net in halves {
                    let _ = writeln!(text, "add {name} {net}{options}");
                }
            }
        }
    }
    text
}

fn nft(parts: &[Part<'_>], all: &str, rest: bool, now: Timestamp) -> String {
    let table = own::TABLE;
    // Made and flushed first, so that loading it again replaces it.
    let mut text = format!("table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
    let mut rules = String::new();
    for part in parts {
        let port = part.ports.first().map(|port| format!("-{port}")).unwrap_or_default();
        let at = if part.ports.is_empty() {
            all.to_owned()
        } else {
            ports(part.ports).replace(',', ", ")
        };
        for (family, nets) in families(&part.nets) {
            if nets.is_empty() {
                continue;
            }
            let name = format!("{}{family}{port}", part.kind);
            let (kind, ip) = if family == "4" {
                ("ipv4_addr", "ip")
            } else {
                ("ipv6_addr", "ip6")
            };
            let timed = part.kind == "ban";
            let flags = if timed { "interval, timeout" } else { "interval" };
            let _ = writeln!(text, "\tset {name} {{\n\t\ttype {kind}\n\t\tflags {flags}");
            let elements: Vec<String> = apart(&nets)
                .into_iter()
                .map(|(net, until)| match until {
                    Some(until) => format!("{net} timeout {}s comment \"{}{until}\"", left(until, now), own::UNTIL),
                    None => net.to_string(),
                })
                .collect();
            let _ = writeln!(text, "\t\telements = {{ {} }}\n\t}}", elements.join(",\n\t\t\t"));
            let verdict = if matches!(part.kind, "trust" | "allow") {
                "accept"
            } else {
                "drop"
            };
            let rule = format!("\t\ttcp dport {{ {at} }} {ip} saddr @{name} {verdict}\n");
            rules.push_str(&rule);
        }
    }
    let rest = if rest {
        format!("\t\ttcp dport {{ {all} }} drop\n")
    } else {
        String::new()
    };
    let _ = write!(
        text,
        "\tchain input {{\n\t\ttype filter hook input priority -10; policy accept;\n\t\tct state established,related accept\n\
         \t\tiifname \"lo\" accept\n{rules}{rest}\t}}\n}}\n"
    );
    text
}

/// The same without prefixes inside of others, which an nft set refuses: where several hold an address, the longest counts.
fn apart(nets: &[&Entry]) -> Vec<Entry> {
    // From those that last longest: each gets what no longer one has.
    let mut by_end: BTreeMap<(bool, Option<Timestamp>), Ranges> = BTreeMap::new();
    for (net, until) in nets {
        by_end.entry((until.is_none(), *until)).or_default().add_net(*net);
    }
    let mut given = Ranges::default();
    let mut all = Vec::new();
    for ((_, until), mut ranges) in by_end.into_iter().rev() {
        ranges.normalise();
        ranges.remove_all(&given);
        all.extend(ranges.to_nets().into_iter().map(|net| (net, until)));
        given.add_all(&ranges);
        given.normalise();
    }
    all.sort_unstable();
    all
}
