//! Files of prefixes, one a line: plain lists, as `file:` reads them, and Postfix's cidr_table(5).

use super::{
    Left, Place, own,
    ports::Ports,
    rules::{Action, Net, Parsed, Rule, Set, Who},
};
use crate::sources::net;

/// A plain list; what it is for is said by `export`'s heading, if it has one.
pub(super) fn cidr(file: usize, text: &str, parsed: &mut Parsed) -> Result<(), String> {
    let mut set = Set::new(Place { file, line: 1 }, None);
    let mut bad = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = Place { file, line: index + 1 };
        if let Some(kind) = own::heading(line) {
            keep(parsed, set);
            set = Set::new(place, kind);
            continue;
        }
        let (entry, comment) = line.split_at(line.find(['#', ';']).unwrap_or(line.len()));
        let entry = entry.trim();
        if entry.is_empty() {
            continue;
        }
        match super::range(entry) {
            Some(nets) => set.nets.extend(nets.into_iter().map(|net| Net {
                net,
                until: own::until(comment),
                place,
            })),
            None => bad.push(format!(
                "line {}: `{}` is no address, network or range",
                place.line,
                super::short(entry)
            )),
        }
    }
    keep(parsed, set);
    match bad.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!("{first} ({} such line(s))", bad.len())),
    }
}

fn keep(parsed: &mut Parsed, set: Set) {
    if !set.nets.is_empty() {
        let name = format!("list at line {}", set.place.line);
        parsed.sets.insert(format!("{}/{name}", set.place.file), set);
    }
}

/// A table for `check_client_access cidr:`; the first line that holds the client decides.
pub(super) fn postfix(file: usize, text: &str, parsed: &mut Parsed) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    let mut section: Option<Set> = None;
    let mut until = None;
    let mut depth = 0_usize;
    for (line, entry) in folded(text) {
        let place = Place { file, line };
        if let Some(kind) = own::heading(&entry) {
            section.take().into_iter().for_each(|set| keep(parsed, set));
            section = kind.map(|kind| Set::new(place, Some(kind)));
            continue;
        }
        if entry.starts_with('#') {
            until = own::until(&entry);
            continue;
        }
        let (pattern, result) = entry.split_once(char::is_whitespace).unwrap_or((&entry, ""));
        let mut leave = |why: &str| parsed.left.push(Left::new(place, &entry, why.to_owned()));
        match pattern.to_ascii_lowercase().as_str() {
            "if" => {
                depth += 1;
                leave("it is a condition: the lines up to its `endif` are left, too");
                continue;
            }
            "endif" => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ if depth > 0 => {
                leave("it stands inside of an `if`");
                continue;
            }
            _ => {}
        }
        if pattern.starts_with('!') {
            leave("it is for everyone but a network");
            continue;
        }
        let Ok(prefix) = net::parse(pattern) else {
            return Err(format!(
                "line {line}: `{}` is no line of a cidr table: NETWORK ACTION",
                super::short(&entry)
            ));
        };
        let net = Net {
            net: prefix,
            until: until.take(),
            place,
        };
        if let Some(set) = &mut section {
            set.nets.push(net);
            continue;
        }
        let Some(action) = action(result.trim()) else {
            leave("its action neither lets in nor refuses");
            continue;
        };
        rules.push(Rule {
            place,
            text: entry.clone(),
            who: Who::Nets(vec![net]),
            except: Vec::new(),
            ports: Ports::all(),
            action,
            doubt: None,
        });
    }
    section.into_iter().for_each(|set| keep(parsed, set));
    Ok(rules)
}

fn action(result: &str) -> Option<Action> {
    let word = result.split_whitespace().next()?.to_ascii_uppercase();
    Some(match word.as_str() {
        "OK" | "DUNNO" | "PERMIT" => Action::Accept,
        "REJECT" | "DISCARD" | "DEFER" | "DEFER_IF_PERMIT" | "DEFER_IF_REJECT" => Action::Refuse,
        code if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()) => {
            // In an access table, a number beginning with 4 or 5 is an answer; any other means OK.
            if code.starts_with(['4', '5']) {
                Action::Refuse
            } else {
                Action::Accept
            }
        }
        code if !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit()) => Action::Accept,
        _ => return None,
    })
}

/// Lines that begin with a blank belong to the one before; comments by themselves.
fn folded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with([' ', '\t']) && !last.starts_with('#') => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push((index + 1, line.trim().to_owned())),
        }
    }
    lines
}
