//! Moving in and out: what other tools hold against sources, read into what smtpgate says, and what smtpgate says, written
//! for other tools. Pure, but for fail2ban's database, which SQLite opens itself; changes nothing.
//!
//! Every format is read into rules in chains and named sets ([`rules`]); [`decide`] makes allowed and banned prefixes of
//! them. What cannot be meant is left, with its place and the reason.

mod decide;
mod export;
mod fail2ban;
mod hosts;
mod ipset;
mod iptables;
mod lists;
mod nft;
mod own;
mod ports;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use serde::Serialize;

pub use export::{Leaving, Writing, export};

use crate::sources::{net, ranges::Ranges};
use ports::Ports;
use rules::{Flat, Flattener, Kind, List, Net, Parsed, Rule, Set};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// hosts.allow of hosts_access(5)
    #[value(name = "hosts.allow")]
    #[serde(rename = "hosts.allow")]
    HostsAllow,
    /// hosts.deny of hosts_access(5)
    #[value(name = "hosts.deny")]
    #[serde(rename = "hosts.deny")]
    HostsDeny,
    /// iptables-save, ip6tables-save, or a shell script that calls iptables
    Iptables,
    /// ipset save
    Ipset,
    /// nft list ruleset, list table or list set
    Nft,
    /// fail2ban's database
    Fail2ban,
    /// Postfix's cidr_table(5), as an access table
    PostfixCidr,
    /// Addresses, networks and ranges, one a line
    Cidr,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostsAllow => "hosts.allow",
            Self::HostsDeny => "hosts.deny",
            Self::Iptables => "iptables",
            Self::Ipset => "ipset",
            Self::Nft => "nft",
            Self::Fail2ban => "fail2ban",
            Self::PostfixCidr => "postfix-cidr",
            Self::Cidr => "cidr",
        })
    }
}

/// What a set or list is for that does not say it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Purpose {
    /// Whoever is in it is allowed
    Allow,
    /// Whoever is in it is banned
    Ban,
}

/// A file that is to be read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its last change: timeouts in it count from then.
    pub changed: Timestamp,
}

/// A gate, as far as rules are held against it.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// Its ports.
    pub ports: Vec<u16>,
}

/// How files are to be read.
#[derive(Clone, Debug)]
pub struct Options {
    /// What all files are; none finds out.
    pub format: Option<Format>,
    /// What lists and sets are for that do not say it.
    pub purpose: Option<Purpose>,
    /// What is allowed is allowed at this gate only.
    pub gate: Option<String>,
    /// fail2ban's jails that count; none of them is those that guard mail.
    pub jails: Vec<String>,
    /// Bans that ended before are left.
    pub now: Timestamp,
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which file, from 0.
    pub file: usize,
    /// Which line, from 1; which row of a database.
    pub line: usize,
}

/// What is taken from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where it stands.
    pub place: Place,
    /// Who.
    pub prefix: IpNet,
    /// What becomes of him.
    pub what: What,
}

/// What becomes of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Let in.
    Allow {
        /// At this gate; none is every gate.
        gate: Option<String>,
    },
    /// Refused at every gate.
    Ban {
        /// None is until somebody takes it back.
        until: Option<Timestamp>,
    },
}

/// What is left in a file, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where it stands.
    pub place: Place,
    /// What stands there.
    pub text: String,
    /// Why it is left.
    pub why: String,
}

impl Left {
    fn new(place: Place, text: &str, why: String) -> Self {
        Self {
            place,
            text: short(text),
            why,
        }
    }

    fn of(rule: &Rule, why: String) -> Self {
        Self::new(rule.place, &rule.text, why)
    }

    fn rule(rule: &Flat, why: String) -> Self {
        Self::new(rule.place, &rule.text, why)
    }

    fn net(rule: &Flat, net: &Net, why: String) -> Self {
        // The rule's line would not say which of its many sources.
        Self::new(
            net.place,
            &if rule.text.is_empty() {
                net.net.to_string()
            } else {
                rule.text.clone()
            },
            why,
        )
    }
}

/// What was found in files.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Of each file: what it is, and how many lines or rows it has.
    pub files: Vec<(PathBuf, Option<Format>, usize)>,
    /// In the order of files and lines, nothing twice.
    pub taken: Vec<Taken>,
    /// In the order of files and lines.
    pub left: Vec<Left>,
}

/// Reads files together: hosts.deny counts after hosts.allow, and rules find the sets that other files hold.
///
/// # Errors
/// One line for each file that cannot be read as what it is.
pub fn read(files: &[File], options: &Options, gates: &[Gate]) -> Result<Found, String> {
    let mut found = Found::default();
    let mut parsed = Parsed::default();
    let mut hosts = [Vec::new(), Vec::new()];
    let mut bad = Vec::new();
    for (number, file) in files.iter().enumerate() {
        match one(number, file, options, &mut parsed, &mut hosts, &mut found) {
            Ok(()) => {}
            Err(why) => bad.push(format!("{}: {why}", file.path.display())),
        }
    }
    if !bad.is_empty() {
        return Err(bad.join("\n"));
    }
    let [allow, deny] = hosts;
    parsed.lists.push(flat_list([allow, deny].concat()));

    let Parsed { lists, sets, mut left } = parsed;
    let mut used = BTreeSet::new();
    let mut taken = Vec::new();
    for list in &lists {
        let rules = Flattener::new(list, &sets, &mut used, &mut left).flatten();
        decide::decide(&rules, gates, &mut taken, &mut left);
    }
    for (name, set) in sets.iter().filter(|(name, _)| !used.contains(*name)) {
        match by_itself(name, set, options.purpose) {
            Ok(rule) => decide::decide(&[rule], gates, &mut taken, &mut left),
            Err(why) => left.push(Left::new(set.place, name, why)),
        }
    }
    found.taken = once_each(taken, gates, options, &mut left);
    left.sort_by_key(|left| left.place);
    found.left = left;
    Ok(found)
}

fn one(
    number: usize,
    file: &File,
    options: &Options,
    parsed: &mut Parsed,
    hosts: &mut [Vec<Rule>; 2],
    found: &mut Found,
) -> Result<(), String> {
    // Comments may be in any encoding.
    let text = String::from_utf8_lossy(&file.bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let format = match options.format {
        Some(format) => format,
        None => recognise(&file.path, &file.bytes, text)?,
    };
    if format != Format::Fail2ban && file.bytes.contains(&0) {
        return Err("is not text".to_owned());
    }
    let mut lines = text.lines().count();
    let [allow, deny] = hosts;
    match format {
        Format::HostsAllow => allow.extend(hosts::parse(number, text, false, &mut parsed.left)),
        Format::HostsDeny => deny.extend(hosts::parse(number, text, true, &mut parsed.left)),
        Format::Iptables => iptables::parse(number, text, file.changed, parsed)?,
        Format::Nft => nft::parse(number, text, file.changed, parsed)?,
        Format::Cidr => lists::cidr(number, text, parsed)?,
        Format::PostfixCidr => {
            let rules = lists::postfix(number, text, parsed)?;
            parsed.lists.push(flat_list(rules));
        }
        Format::Ipset => {
            for (index, line) in text.lines().enumerate() {
                let place = Place {
                    file: number,
                    line: index + 1,
                };
                let line = line.trim();
                if !line.is_empty() && !line.starts_with('#') && line != "COMMIT" {
                    ipset::line(place, line, file.changed, parsed)
                        .map_err(|why| format!("line {}: {why}", place.line))?;
                }
            }
        }
        Format::Fail2ban => {
            let before = parsed.left.len();
            let rules = fail2ban::read(number, &file.path, &options.jails, &mut parsed.left)?;
            lines = rules.len() + parsed.left.len() - before;
            parsed.lists.push(flat_list(rules));
        }
    }
    found.files.push((file.path.clone(), Some(format), lines));
    Ok(())
}

fn flat_list(rules: Vec<Rule>) -> List {
    List {
        chains: BTreeMap::from([(String::new(), rules)]),
        roots: vec![String::new()],
    }
}

/// What a file is, by its content; of hosts_access's two files, which are alike, by its name.
fn recognise(path: &Path, bytes: &[u8], text: &str) -> Result<Format, String> {
    if bytes.starts_with(b"SQLite format 3\0") {
        return Ok(Format::Fail2ban);
    }
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(first) = lines.next() else {
        // Nothing in it is nothing to take, unless it is the wrong file.
        return if text.contains(own::HEADING) {
            Ok(Format::Cidr)
        } else {
            Err("is empty".to_owned())
        };
    };
    let word = first.split_whitespace().next().unwrap_or_default();
    let all = || std::iter::once(first).chain(text.lines().map(str::trim));
    let calls = |name: &str| {
        all().any(|line| {
            !line.starts_with('#') && line.split([' ', '\t', '/']).any(|word| word.eq_ignore_ascii_case(name))
        })
    };
    if word == "table" {
        return Ok(Format::Nft);
    }
    if first.starts_with('*')
        || first.starts_with("-A ")
        || calls("iptables")
        || calls("ip6tables")
        || calls("$IPTABLES")
        || calls("$IPT")
    {
        return Ok(Format::Iptables);
    }
    if matches!(word, "create" | "add") {
        return Ok(Format::Ipset);
    }
    let bare = first.split(['#', ';']).next().unwrap_or_default().trim();
    if range(bare).is_some() || net::parse(bare).is_ok() {
        return Ok(Format::Cidr);
    }
    if net::parse(word).is_ok() && first.contains([' ', '\t']) {
        return Ok(Format::PostfixCidr);
    }
    if first.contains(':') {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase();
        return match (name.contains("allow"), name.contains("deny")) {
            (true, false) => Ok(Format::HostsAllow),
            (false, true) => Ok(Format::HostsDeny),
            _ => Err(
                "looks like hosts.allow or hosts.deny, which its name does not say: name it, as in --format hosts.deny"
                    .to_owned(),
            ),
        };
    }
    Err(format!(
        "is nothing that is known here, by its first line `{}`: name it by --format, if it is",
        short(first)
    ))
}

/// A set that no rule names.
fn by_itself(name: &str, set: &Set, purpose: Option<Purpose>) -> Result<Flat, String> {
    let kind = set.kind.clone().or(match purpose {
        Some(Purpose::Allow) => Some(Kind::Allow(Ports::all())),
        Some(Purpose::Ban) => Some(Kind::Ban),
        None => None,
    });
    let (accept, ports) = match kind {
        Some(Kind::Ban) => (false, Ports::all()),
        Some(Kind::Allow(ports)) => (true, ports),
        Some(Kind::Trust) => {
            return Err(format!(
                "{} prefixes of trust: they are the configuration's: trust = [\"file:PATH\"], with what \
                 `smtpgate export --format cidr --what trust` writes",
                set.nets.len()
            ));
        }
        None => {
            let what = if name.contains('/') {
                "it".to_owned()
            } else {
                format!("the set {name}")
            };
            return Err(format!(
                "nothing says what {what} is for, with its {} source(s): give the rules, too, or --as allow or --as ban",
                set.nets.len()
            ));
        }
    };
    let minus = if set.except.is_empty() {
        Vec::new()
    } else {
        vec![(set.except.iter().copied().collect::<Ranges>(), Ports::all())]
    };
    Ok(Flat {
        place: set.place,
        text: String::new(),
        nets: Some(set.nets.clone()),
        ports,
        accept,
        doubt: None,
        minus,
    })
}

/// Of the same thing the first, but of bans the longest; what is allowed at each gate is allowed at every.
fn once_each(taken: Vec<Taken>, gates: &[Gate], options: &Options, left: &mut Vec<Left>) -> Vec<Taken> {
    let mut bans: BTreeMap<IpNet, (Place, Option<Timestamp>)> = BTreeMap::new();
    let mut allowed: BTreeMap<IpNet, (Place, BTreeSet<Option<String>>)> = BTreeMap::new();
    for Taken { place, prefix, what } in taken {
        match what {
            What::Ban { until: Some(until) } if until <= options.now => {
                left.push(Left::new(
                    place,
                    &prefix.to_string(),
                    format!("it ended at {}", until.strftime("%F %T UTC")),
                ));
            }
            What::Ban { until } => {
                bans.entry(prefix)
                    .and_modify(|(_, known)| *known = (*known).zip(until).map(|(known, until)| known.max(until)))
                    .or_insert((place, until));
            }
            What::Allow { gate } => match (&options.gate, gate) {
                (Some(only), Some(gate)) if *only != gate => {
                    left.push(Left::new(
                        place,
                        &prefix.to_string(),
                        format!("it is for the gate {gate}"),
                    ));
                }
                (only, gate) => {
                    let gate = only.clone().or(gate);
                    allowed.entry(prefix).or_insert((place, BTreeSet::new())).1.insert(gate);
                }
            },
        }
    }
    let mut all: Vec<Taken> = Vec::new();
    for (prefix, (place, mut at)) in allowed {
        if at.contains(&None) || gates.iter().all(|gate| at.contains(&Some(gate.name.clone()))) {
            at = BTreeSet::from([None]);
        }
        all.extend(at.into_iter().map(|gate| Taken {
            place,
            prefix,
            what: What::Allow { gate },
        }));
    }
    all.extend(bans.into_iter().map(|(prefix, (place, until))| Taken {
        place,
        prefix,
        what: What::Ban { until },
    }));
    all.sort_by_key(|taken| taken.place);
    all
}

/// Lines with those that a backslash joins to them, each with the number of its first.
fn joined_lines(text: &str) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let (line, more) = match line.strip_suffix('\\') {
            Some(line) if !line.trim_start().starts_with('#') => (line, true),
            _ => (line, false),
        };
        match joined.last_mut() {
            Some((_, last)) if goes_on => last.push_str(line),
            _ => joined.push((index + 1, line.to_owned())),
        }
        goes_on = more;
    }
    joined
}

/// An address, or a network by length or netmask; host bits are kept.
fn masked(text: &str) -> Option<IpNet> {
    let Some((address, mask)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(|address| net::unmapped(address).into());
    };
    let address: IpAddr = address.parse().ok()?;
    if let (IpAddr::V4(address), Ok(mask)) = (address, mask.parse()) {
        return Ipv4Net::with_netmask(address, mask).ok().map(IpNet::from);
    }
    let net = IpNet::new(address, mask.parse().ok()?).ok()?;
    match (net, net.prefix_len().checked_sub(96), net::unmapped(address)) {
        (IpNet::V6(_), Some(length), IpAddr::V4(address)) => IpNet::new(address.into(), length).ok(),
        _ => Some(net),
    }
}

/// An address, a network (host bits cut off, as kernels do) or a range `a-b`, as networks.
fn range(text: &str) -> Option<Vec<IpNet>> {
    let Some((low, high)) = text.split_once('-') else {
        return masked(text).map(|net| vec![net.trunc()]);
    };
    let mut ranges = Ranges::default();
    match (low.trim().parse().ok()?, high.trim().parse().ok()?) {
        (IpAddr::V4(low), IpAddr::V4(high)) if low <= high => ranges.add_v4(low.into(), high.into()),
        (IpAddr::V6(low), IpAddr::V6(high)) if low <= high => ranges.add_v6(low.into(), high.into()),
        _ => return None,
    }
    Some(ranges.to_nets())
}

/// The beginning of what stands somewhere, fit for a terminal.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short.replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests;
