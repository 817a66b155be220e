//! Message forms of the admin's own: `[[maillog.pattern]]`. Regular expressions of the `regex` crate, whose time is linear
//! in the line, over the message behind the header.
//!
//! A pattern is refused when a client's text could reach its address group. What a client may write no expression tells,
//! so the rule is about the expression:
//!
//! 1. It is anchored: it begins with `^`. Else a client that writes a whole message into its user name is believed.
//! 2. Up to the group, each part of variable length ends where the next begins: it cannot go on with a byte that may
//!    begin what follows (`[^ ]+ `, `<[^>]*>`, but not `.*` or `\S+@`). So there is one way to match, and text that keeps
//!    to its field cannot move the group.
//! 3. The group always takes part: it is not optional, not repeated, not one of several alternatives.
//! 4. If anything before the group is of variable length, fixed text stands right before it.
//!
//! A field may hold more than the pattern says of it (a user named `bob from 198.51.100.7`). So where rule 4 applies, all
//! places of the message are looked at where that fixed text and an address stand; if they do not agree, nobody is blamed.
//! And an address is only taken whole: not the start of a longer one.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::event::Kind;
use super::parse::Reading;
use super::scan::address;
use super::weight;

/// A message form of the admin's own.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Its name.
    pub name: String,
    /// The program that writes it, as in the line, or the last part of its path; `None` for any.
    pub program: Option<String>,
    /// What such a message says.
    pub kind: Kind,
    /// How much it counts, in mistyped passwords.
    pub weight: u16,
    regex: Regex,
    /// What stands right before the address, and the address, where anything before it is of variable length.
    behind: Option<Regex>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        let key = |pattern: &Self| (pattern.kind, pattern.weight);
        (&self.name, &self.program, self.regex.as_str()) == (&other.name, &other.program, other.regex.as_str())
            && key(self) == key(other)
    }
}

impl Eq for Pattern {}

/// Why a pattern is refused: the rest of a sentence that begins with the pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

/// Beyond that many places that look like the address, nobody is blamed.
const PLACES_MAX: usize = 64;

impl Pattern {
    /// Checks and compiles. Without `weight`, what such an act counts elsewhere.
    pub fn new(
        name: &str,
        program: Option<&str>,
        regex: &str,
        kind: Kind,
        weight: Option<u16>,
    ) -> Result<Self, PatternError> {
        // Bytes, not characters: what is not UTF-8 must not keep a line from matching.
        let hir = ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(regex)
            .map_err(|error| PatternError(format!("is no regular expression: {}", said(&error))))?;
        let compile = |regex: &str| {
            RegexBuilder::new(regex)
                .unicode(false)
                .size_limit(1 << 20)
                .build()
                .map_err(|error| {
                    // What it shows of the expression is not as it was written.
                    let error = error.to_string();
                    let said = error.lines().last().unwrap_or_default();
                    PatternError(format!("is too large, or no regular expression: {said}"))
                })
        };
        let behind = check(&hir)?.map(|behind| compile(&behind)).transpose()?;
        Ok(Self {
            name: name.to_owned(),
            program: program.map(str::to_owned),
            kind,
            weight: weight.unwrap_or_else(|| weight::of(kind)),
            regex: compile(regex)?,
            behind,
        })
    }

    /// Reads a message of `program`.
    fn read<'a>(&self, program: &[u8], message: &'a [u8]) -> Option<Reading<'a>> {
        if let Some(wanted) = &self.program {
            let last = program.rsplit(|&b| b == b'/').next();
            if program != wanted.as_bytes() && last != Some(wanted.as_bytes()) {
                return None;
            }
        }
        let found = self.regex.captures(message)?;
        let client = whole(message, &found)?;
        if let Some(behind) = &self.behind {
            let mut from = 0;
            for place in 0.. {
                let Some(other) = behind.captures_at(message, from) else {
                    break;
                };
                if place == PLACES_MAX || whole(message, &other).is_some_and(|other| other != client) {
                    return None;
                }
                from = other.get(0)?.start() + 1;
            }
        }
        Some(Reading {
            user: found.name("user").map(|user| user.as_bytes()),
            ..Reading::blame(self.kind, self.weight).by(client)
        })
    }
}

/// The address group, unless it is a part of something longer.
fn whole(message: &[u8], found: &regex::bytes::Captures<'_>) -> Option<IpAddr> {
    let group = found.name("address")?;
    let client = address(group.as_bytes())?;
    let cut = message
        .get(group.end())
        .is_some_and(|next| next.is_ascii_alphanumeric() || (*next == b':' && group.as_bytes().contains(&b':')));
    (!cut).then_some(client)
}

/// Patterns, the first that fits is taken. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Arc<[Pattern]>);

impl Patterns {
    /// These, in their order.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns.into())
    }

    pub(super) fn read<'a>(&self, program: &[u8], message: &'a [u8]) -> Option<Reading<'a>> {
        self.0.iter().find_map(|pattern| pattern.read(program, message))
    }
}

/// In one line, with the place.
fn said(error: &regex_syntax::Error) -> String {
    let (kind, at) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span().start.column),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span().start.column),
        other => return other.to_string(),
    };
    format!("{kind}, at character {at}")
}

/// Applies the rules. The expression for what stands right before the address, and it, if it is to be looked for.
fn check(hir: &Hir) -> Result<Option<String>, PatternError> {
    let refuse = |text: &str| Err(PatternError(text.to_owned()));
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return refuse("is not anchored: begin it with `^`, or a client could write a whole message that matches");
    }
    if !holds_address(hir) {
        return refuse("has no group for the client's address: write it as (?<address>[0-9a-f.:]+)");
    }
    let mut parts = Vec::new();
    up_to_address(hir, &mut parts)?;
    let Some((group, before)) = parts.split_last() else {
        return refuse("has no group for the client's address: write it as (?<address>[0-9a-f.:]+)");
    };
    if is_nullable(group) {
        return refuse("has an address group that may be empty");
    }
    let mut follow = first(group);
    for part in before.iter().rev() {
        ends_before(part, &follow)?;
        let mut begins = first(part);
        if is_nullable(part) {
            begins.add(&follow);
        }
        follow = begins;
    }
    let Some(last) = before.iter().rposition(is_variable) else {
        return Ok(None);
    };
    let behind = parts.get(last + 1..).unwrap_or_default();
    let fixed = behind
        .split_last()
        .map_or(0, |(_group, fixed)| fixed.iter().filter_map(least).sum());
    if fixed == 0 {
        return refuse("has a part of variable length right before the address: fixed text must stand between them");
    }
    Ok(Some(Hir::concat(behind.to_vec()).to_string()))
}

fn holds_address(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => capture.name.as_deref() == Some("address") || holds_address(&capture.sub),
        HirKind::Repetition(repetition) => holds_address(&repetition.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(holds_address),
        _ => false,
    }
}

/// All parts up to the address group, and that.
fn up_to_address(hir: &Hir, parts: &mut Vec<Hir>) -> Result<bool, PatternError> {
    if !holds_address(hir) {
        parts.push(hir.clone());
        return Ok(false);
    }
    match hir.kind() {
        HirKind::Capture(capture) if capture.name.as_deref() != Some("address") => up_to_address(&capture.sub, parts),
        HirKind::Concat(subs) => {
            for sub in subs {
                if up_to_address(sub, parts)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        HirKind::Alternation(_) => Err(PatternError(
            "has its address group in one of several alternatives: write a pattern for each".to_owned(),
        )),
        HirKind::Repetition(_) => Err(PatternError(
            "has its address group in something that is optional or repeated: it must stand there once".to_owned(),
        )),
        _ => {
            parts.push(hir.clone());
            Ok(true)
        }
    }
}

/// Whether to go on with anything of variable length in `hir`, the next byte decides: what it goes on with never begins
/// as what follows does. So no text matches in two ways.
fn ends_before(hir: &Hir, follow: &Bytes) -> Result<(), PatternError> {
    match hir.kind() {
        HirKind::Capture(capture) => ends_before(&capture.sub, follow),
        HirKind::Alternation(branches) => branches.iter().try_for_each(|branch| ends_before(branch, follow)),
        HirKind::Concat(parts) => {
            let mut follow = follow.clone();
            for part in parts.iter().rev() {
                ends_before(part, &follow)?;
                let mut begins = first(part);
                if is_nullable(part) {
                    begins.add(&follow);
                }
                follow = begins;
            }
            Ok(())
        }
        HirKind::Repetition(repetition) => {
            if repetition.max != Some(repetition.min)
                && let Some(byte) = first(&repetition.sub).shared(follow)
            {
                let byte = std::ascii::escape_default(byte);
                // As people write them.
                let hir = hir
                    .to_string()
                    .replace(r"(?-u:[\x00-\x09\x0B-\xFF])", ".")
                    .replace(r"(?-u:[\x00-\x08\x0E-\x1F!-\xFF])", r"\S")
                    .replace('\n', r"\n")
                    .replace(char::is_control, "\u{fffd}");
                return Err(PatternError(format!(
                    "lets a client's text reach the address: `{hir}` before it can go on with `{byte}`, which can also \
                     begin what follows it; take that out of it, as in `[^{byte}]*{byte}`"
                )));
            }
            let mut follow = follow.clone();
            follow.add(&first(&repetition.sub));
            ends_before(&repetition.sub, &follow)
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => Ok(()),
    }
}

fn least(hir: &Hir) -> Option<usize> {
    hir.properties().minimum_len()
}

fn is_nullable(hir: &Hir) -> bool {
    least(hir) == Some(0)
}

fn is_variable(hir: &Hir) -> bool {
    least(hir) != hir.properties().maximum_len()
}

/// The bytes with which a match may begin.
fn first(hir: &Hir) -> Bytes {
    let mut bytes = Bytes::default();
    match hir.kind() {
        HirKind::Concat(parts) => {
            for part in parts {
                bytes.add(&first(part));
                if !is_nullable(part) {
                    break;
                }
            }
        }
        HirKind::Literal(literal) => bytes.insert_all(literal.0.iter().take(1)),
        HirKind::Capture(capture) => return first(&capture.sub),
        HirKind::Repetition(repetition) => return first(&repetition.sub),
        HirKind::Alternation(branches) => branches.iter().for_each(|branch| bytes.add(&first(branch))),
        HirKind::Class(Class::Bytes(class)) => {
            for range in class.ranges() {
                (range.start()..=range.end()).for_each(|byte| bytes.insert(byte));
            }
        }
        // Not with bytes for characters.
        HirKind::Class(Class::Unicode(_)) => bytes = Bytes([true; 256]),
        HirKind::Empty | HirKind::Look(_) => {}
    }
    bytes
}

/// A set of bytes.
#[derive(Clone)]
struct Bytes([bool; 256]);

impl Default for Bytes {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl Bytes {
    fn insert(&mut self, byte: u8) {
        if let Some(is_in) = self.0.get_mut(usize::from(byte)) {
            *is_in = true;
        }
    }

    fn insert_all<'a>(&mut self, bytes: impl Iterator<Item = &'a u8>) {
        bytes.for_each(|&byte| self.insert(byte));
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }

    /// A byte of both; one that can be read if there is one.
    fn shared(&self, other: &Self) -> Option<u8> {
        let both = |byte: &u8| {
            let at = usize::from(*byte);
            self.0.get(at) == Some(&true) && other.0.get(at) == Some(&true)
        };
        (b' '..=b'~').chain(0..=u8::MAX).find(both)
    }
}

#[cfg(test)]
mod tests;
