//! `iptables-save` and `ip6tables-save`, and shell scripts that call `iptables`: the rules that a connection to this host
//! meets, in the order in which the kernel would have them in the end.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Left, Place, ipset,
    ports::{self, Ports},
    rules::{Action, List, Net, Parsed, Rule, Who},
};

/// Chains of one table and family, with the words of each rule, so that `-D` finds it.
#[derive(Default)]
struct Table {
    chains: BTreeMap<String, Vec<(Vec<String>, Rule)>>,
}

/// Reads a file of either kind.
///
/// # Errors
/// A line that cannot be in such a file.
pub(super) fn parse(file: usize, text: &str, saved: Timestamp, parsed: &mut Parsed) -> Result<(), String> {
    let mut tables: BTreeMap<(bool, String), Table> = BTreeMap::new();
    let mut now = "filter".to_owned();
    let v6_file = text.lines().take(3).any(|line| line.contains("ip6tables-save"));
    let mut depth = 0_usize;
    for (line, entry) in super::joined_lines(text) {
        let place = Place { file, line };
        let mut entry = entry.trim();
        if entry.is_empty() || entry.starts_with('#') || entry.starts_with(':') || entry == "COMMIT" {
            continue;
        }
        if let Some(table) = entry.strip_prefix('*') {
            table.trim().clone_into(&mut now);
            continue;
        }
        // Packet counters of iptables-save -c.
        if let Some(rest) = entry.strip_prefix('[')
            && let Some((_, rest)) = rest.split_once(']')
        {
            entry = rest.trim();
        }
        let first = entry.split([' ', '\t', ';']).next().unwrap_or_default();
        match first {
            "if" | "for" | "while" | "until" | "case" => depth += 1,
            "fi" | "done" | "esac" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let words = shlex::split(entry).ok_or_else(|| format!("line {line}: a quote is not closed"))?;
        let Some(command) = command(&words) else {
            continue;
        };
        let (args, v6) = match command {
            Command::Ipset(args) => {
                ipset::line(place, &args.join(" "), saved, parsed).map_err(|why| format!("line {line}: {why}"))?;
                continue;
            }
            Command::Saved => (words.as_slice(), v6_file),
            Command::Called(args, v6) => (args, v6),
        };
        let mut leave = |why: String| parsed.left.push(Left::new(place, entry, why));
        if depth > 0 {
            leave("it stands inside of a loop or condition of the shell".to_owned());
            continue;
        }
        let mut change = match change(args) {
            Ok(Some(change)) => change,
            Ok(None) => continue,
            Err(why) => {
                leave(why);
                continue;
            }
        };
        let table = change.table.take().unwrap_or_else(|| now.clone());
        if !matches!(
            (table.as_str(), change.chain.as_str()),
            ("nat" | "mangle", _) | ("filter", "FORWARD" | "OUTPUT") | ("raw", "OUTPUT") | ("security", _)
        ) {
            let table = tables.entry((v6, table)).or_default();
            if let Err(why) = table.apply(place, entry, change) {
                leave(why);
            }
        } else if matches!(change.act, Act::Append | Act::Insert(_)) {
            leave(format!(
                "it is in the chain {} of the table {table}, which is not about who connects to this host",
                change.chain
            ));
        }
    }
    for table in tables.into_values() {
        let mut list = List::default();
        for (name, rules) in table.chains {
            if matches!(name.as_str(), "INPUT" | "PREROUTING") {
                list.roots.push(name.clone());
            }
            let mut kept = Vec::new();
            for (words, mut rule) in rules {
                match conditions(&words, &mut rule) {
                    Ok(()) => kept.push(rule),
                    Err(why) => parsed.left.push(Left::of(&rule, why)),
                }
            }
            list.chains.insert(name, kept);
        }
        parsed.lists.push(list);
    }
    Ok(())
}

enum Command<'a> {
    /// A line of iptables-save.
    Saved,
    /// The arguments, and whether it is ip6tables.
    Called(&'a [String], bool),
    Ipset(&'a [String]),
}

fn command(words: &[String]) -> Option<Command<'_>> {
    if words.first().is_some_and(|word| word.starts_with('-')) {
        return Some(Command::Saved);
    }
    words.iter().enumerate().find_map(|(at, word)| {
        let args = words.get(at + 1..).unwrap_or_default();
        let name = word.rsplit('/').next().unwrap_or(word).to_ascii_lowercase();
        let name = name.trim_start_matches(['$', '{']).trim_end_matches('}');
        let variable = word.starts_with('$');
        match name {
            "iptables" | "iptables-legacy" | "iptables-nft" => Some(Command::Called(args, false)),
            "ip6tables" | "ip6tables-legacy" | "ip6tables-nft" => Some(Command::Called(args, true)),
            "ipset" => Some(Command::Ipset(args)),
            _ if variable && (name.starts_with("ipt") || name.starts_with("iptables")) => {
                Some(Command::Called(args, false))
            }
            _ if variable && (name.starts_with("ip6t") || name.starts_with("ipt6")) => {
                Some(Command::Called(args, true))
            }
            _ => None,
        }
    })
}

enum Act {
    Append,
    /// At this place, from 1.
    Insert(usize),
    Delete,
    DeleteAt(usize),
    Flush,
    FlushAll,
}

struct Change {
    table: Option<String>,
    chain: String,
    act: Act,
    /// What follows the chain.
    words: Vec<String>,
}

/// What a call changes; nothing where it makes no rule.
fn change(args: &[String]) -> Result<Option<Change>, String> {
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    // The end of a command in the shell.
    if let Some(end) = args.iter().position(|word| {
        matches!(
            *word,
            ";" | "&&" | "||" | "|" | "&" | ">" | ">>" | "2>" | "2>/dev/null" | ">/dev/null"
        )
    }) {
        args.truncate(end);
    }
    let mut table = None;
    while let Some(at) = args.iter().position(|word| matches!(*word, "-t" | "--table")) {
        table = args.get(at + 1).map(|name| (*name).to_owned());
        args.drain(at..(at + 2).min(args.len()));
    }
    args.retain(|word| !matches!(*word, "-w" | "--wait" | "-n" | "-v"));
    let Some((verb, rest)) = args.split_first() else {
        return Ok(None);
    };
    let chain = rest.first().copied().map(|chain| chain.trim_end_matches(';'));
    let after = rest.get(1..).unwrap_or_default();
    let number = after.first().and_then(|word| word.parse::<usize>().ok());
    let (act, words) = match *verb {
        "-A" | "--append" => (Act::Append, after),
        "-I" | "--insert" => match number {
            Some(number) => (Act::Insert(number), after.get(1..).unwrap_or_default()),
            None => (Act::Insert(1), after),
        },
        "-D" | "--delete" => match number {
            Some(number) => (Act::DeleteAt(number), after),
            None => (Act::Delete, after),
        },
        "-F" | "--flush" => (if chain.is_some() { Act::Flush } else { Act::FlushAll }, after),
        "-R" | "--replace" => return Err("it replaces a rule by its number: give what `iptables-save` says".to_owned()),
        _ => return Ok(None),
    };
    let Some(chain) = chain.or_else(|| matches!(act, Act::FlushAll).then_some("")) else {
        return Err("it names no chain".to_owned());
    };
    Ok(Some(Change {
        table,
        chain: chain.to_owned(),
        act,
        words: words
            .iter()
            .map(|word| (*word).trim_end_matches(';').to_owned())
            .collect(),
    }))
}

impl Table {
    fn apply(&mut self, place: Place, text: &str, change: Change) -> Result<(), String> {
        if matches!(change.act, Act::FlushAll) {
            self.chains.clear();
            return Ok(());
        }
        let rules = self.chains.entry(change.chain).or_default();
        let rule = Rule {
            place,
            text: text.to_owned(),
            who: Who::Everyone,
            except: Vec::new(),
            ports: Ports::all(),
            action: Action::Return,
            doubt: None,
        };
        let gone = |found: Option<usize>, rules: &mut Vec<(Vec<String>, Rule)>| match found {
            Some(at) if at < rules.len() => {
                rules.remove(at);
                Ok(())
            }
            _ => Err("it deletes a rule that does not stand above it".to_owned()),
        };
        match change.act {
            Act::Append => rules.push((change.words, rule)),
            Act::Insert(number) => rules.insert(number.saturating_sub(1).min(rules.len()), (change.words, rule)),
            Act::Delete => gone(rules.iter().position(|(words, _)| *words == change.words), rules)?,
            Act::DeleteAt(number) => gone(number.checked_sub(1), rules)?,
            Act::Flush | Act::FlushAll => rules.clear(),
        }
        Ok(())
    }
}

/// Matches that are conditions only together with their options, which are read by themselves.
const PLAIN: [&str; 8] = [
    "tcp",
    "udp",
    "comment",
    "multiport",
    "state",
    "conntrack",
    "set",
    "iprange",
];

/// Reads the words of a rule.
///
/// # Errors
/// Why the rule says nothing about new connections to a mail port.
fn conditions(words: &[String], rule: &mut Rule) -> Result<(), String> {
    let mut words = words.iter().map(String::as_str).peekable();
    let mut target = None;
    let mut not = false;
    let mut doubt: Option<String> = None;
    let mut doubtful = |why: String| {
        doubt.get_or_insert(why);
    };
    while let Some(word) = words.next() {
        if word == "!" {
            not = true;
            continue;
        }
        let negated = std::mem::take(&mut not);
        let mut value = || words.next().unwrap_or_default();
        match word {
            "-s" | "--source" | "--src" => {
                let value = value();
                let nets: Option<Vec<_>> = value.split(',').map(super::masked).collect();
                match nets {
                    Some(nets) if negated => rule.except.extend(nets.iter().map(ipnet::IpNet::trunc)),
                    Some(nets) => {
                        let net = |net: ipnet::IpNet| Net {
                            net: net.trunc(),
                            until: None,
                            place: rule.place,
                        };
                        let nets: Vec<Net> = nets.into_iter().map(net).collect();
                        // Everyone, written out.
                        if nets.iter().all(|net| net.net.prefix_len() > 0) {
                            rule.who = Who::Nets(nets);
                        }
                    }
                    None => return Err(unread("source", value)),
                }
            }
            "--src-range" => {
                let value = value();
                match super::range(value) {
                    Some(nets) if negated => rule.except.extend(nets),
                    Some(nets) => {
                        let net = |net| Net {
                            net,
                            until: None,
                            place: rule.place,
                        };
                        rule.who = Who::Nets(nets.into_iter().map(net).collect());
                    }
                    None => return Err(unread("source", value)),
                }
            }
            "--match-set" => {
                let (name, flags) = (value().to_owned(), value());
                if negated {
                    doubtful(format!("it is for those that are not in the set {name}"));
                } else if flags != "src" {
                    doubtful(format!("the set {name} is held against more than the source"));
                }
                rule.who = Who::Set(name);
            }
            "-p" | "--protocol" | "--proto" => {
                let value = value();
                let tcp = matches!(value.to_ascii_lowercase().as_str(), "tcp" | "6" | "all" | "0");
                if tcp == negated {
                    return Err(format!("it is about {}{value}", if negated { "all but " } else { "" }));
                }
            }
            "--dport" | "--dports" | "--destination-port" | "--destination-ports" => {
                let value = value();
                let ports = port_list(value).ok_or_else(|| unread("port", value))?;
                rule.ports = rule
                    .ports
                    .and(&if negated { Ports::all().without(&ports) } else { ports });
            }
            "--state" | "--ctstate" => {
                let new = value().split(',').any(|state| state.eq_ignore_ascii_case("NEW"));
                if new == negated {
                    return Err("it is not about new connections".to_owned());
                }
            }
            "--syn" => {
                if negated {
                    return Err("it is not about new connections".to_owned());
                }
            }
            "--tcp-flags" => {
                let (_, set) = (value(), value());
                if (set == "SYN") == negated {
                    return Err("it is not about SYNs".to_owned());
                }
            }
            "-i" | "--in-interface" => {
                let value = value();
                if value == "lo" && !negated {
                    return Err("it is about this host itself, which is always trusted".to_owned());
                }
                doubtful(format!("it is for the interface {value} only"));
            }
            "-m" | "--match" => {
                let value = value();
                if !PLAIN.contains(&value) {
                    doubtful(format!("its match `{value}` cannot be carried over"));
                }
            }
            "-j" | "--jump" => target = Some(Action::Jump(value().to_owned())),
            "-g" | "--goto" => target = Some(Action::Goto(value().to_owned())),
            "--comment" | "--reject-with" => {
                value();
            }
            "-f" | "--fragment" => return Err("it is about fragments".to_owned()),
            word => {
                doubtful(format!("its `{}` cannot be carried over", super::short(word)));
                while words.next_if(|word| !word.starts_with('-') && *word != "!").is_some() {}
            }
        }
    }
    rule.doubt = doubt;
    rule.action = match target {
        Some(Action::Jump(name)) => match name.as_str() {
            "ACCEPT" => Action::Accept,
            "DROP" | "REJECT" | "TARPIT" => Action::Refuse,
            "RETURN" => Action::Return,
            "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "SET" | "NOTRACK" | "CT" | "TRACE" | "AUDIT"
            | "NFQUEUE" => {
                return Err(format!("{name} neither lets in nor refuses"));
            }
            _ => Action::Jump(name),
        },
        Some(goto) => goto,
        None => return Err("it has no target".to_owned()),
    };
    Ok(())
}

fn unread(what: &str, value: &str) -> String {
    if value.contains(['$', '`']) {
        return format!("its {what} is a variable of the shell: give what `iptables-save` says");
    }
    format!(
        "its {what} `{}` is a name, or nothing that is known here",
        super::short(value)
    )
}

fn port_list(list: &str) -> Option<Ports> {
    let mut ports = Ports::none();
    for item in list.split(',') {
        match item.split_once([':', '-']) {
            Some((low, high)) => {
                let low = if low.is_empty() { 0 } else { ports::service(low)? };
                let high = if high.is_empty() {
                    u16::MAX
                } else {
                    ports::service(high)?
                };
                ports.add(low, high);
            }
            None => {
                let port = ports::service(item)?;
                ports.add(port, port);
            }
        }
    }
    Some(ports)
}
