//! The names and marks by which `import` knows what `export` has written.

use jiff::Timestamp;

use super::{ports::Ports, rules::Kind};

/// Stands before each part of a file of prefixes: then comes what it is.
pub(super) const HEADING: &str = "# smtpgate export: ";
/// Stands before the end of a ban.
pub(super) const UNTIL: &str = "until=";
/// Begins the name of each ipset.
pub(super) const SET: &str = "smtpgate-";
/// The nft table.
pub(super) const TABLE: &str = "smtpgate-export";

/// What an ipset of ours holds, by its name.
pub(super) fn ipset(name: &str) -> Option<Kind> {
    kind(name.strip_prefix(SET)?)
}

/// By the name without its beginning: `ban4`, `allow6-465`.
pub(super) fn kind(name: &str) -> Option<Kind> {
    let (name, port) = match name.split_once('-') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (name, None),
    };
    match (name.trim_end_matches(['4', '6']), port) {
        ("ban" | "block", None) => Some(Kind::Ban),
        ("trust", None) => Some(Kind::Trust),
        ("allow", Some(port)) => Some(Kind::Allow(Ports::of(&[port]))),
        _ => None,
    }
}

/// What a heading announces; none where the line is none.
pub(super) fn heading(line: &str) -> Option<Option<Kind>> {
    let mut words = line.strip_prefix(HEADING)?.split_whitespace();
    Some(match (words.next(), words.next()) {
        (Some("ban" | "block"), _) => Some(Kind::Ban),
        (Some("trust"), _) => Some(Kind::Trust),
        (Some("allow"), Some(ports)) => {
            let ports: Vec<u16> = ports.split(',').filter_map(|port| port.parse().ok()).collect();
            Some(Kind::Allow(Ports::of(&ports)))
        }
        _ => None,
    })
}

/// The end of a ban in a comment.
pub(super) fn until(comment: &str) -> Option<Timestamp> {
    let at = comment.find(UNTIL)?;
    let text = comment.get(at + UNTIL.len()..)?;
    text.split_whitespace().next()?.trim_end_matches('"').parse().ok()
}
