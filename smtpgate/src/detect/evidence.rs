//! Log lines as evidence: short, and safe on any terminal.

use std::collections::VecDeque;
use std::fmt::Write;

use crate::unseen::is_unseen;

/// A ban keeps that many lines, the last before it.
pub const EVIDENCE_LINES: usize = 5;

/// A line is cut at that many characters.
pub const EVIDENCE_WIDTH: usize = 300;

/// A line in printable characters: controls, invisible direction marks and bytes that are not UTF-8 become `\n`,
/// `\u{202e}`, `\xff`; a backslash is doubled. Cut at [`EVIDENCE_WIDTH`], never within an escape.
pub fn escape(line: &[u8]) -> String {
    // Nearly every line is plain.
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    if line.len() <= EVIDENCE_WIDTH
        && line.iter().all(plain)
        && let Ok(line) = std::str::from_utf8(line)
    {
        return line.to_owned();
    }
    let mut text = String::new();
    let mut width = 0;
    let mut piece = String::new();
    for chunk in line.utf8_chunks() {
        let valid = chunk.valid().chars().map(Ok);
        for part in valid.chain(chunk.invalid().iter().map(Err)) {
            piece.clear();
            match part {
                Ok(char) if is_plain(char) => piece.push(char),
                Ok(char) => piece.extend(char.escape_default()),
                // Writing to a String does not fail.
                Err(byte) => drop(write!(piece, "\\x{byte:02x}")),
            }
            width += piece.chars().count();
            if width > EVIDENCE_WIDTH {
                return text;
            }
            text.push_str(&piece);
        }
    }
    text
}

fn is_plain(char: char) -> bool {
    !is_unseen(char) && char != '\\'
}

/// The newest lines, within a budget of bytes: the oldest go first.
#[derive(Debug)]
pub(super) struct Lines {
    bytes: VecDeque<u8>,
    /// Number of the first byte that is still there, counted from the first ever.
    start: u64,
    budget: usize,
}

/// Where a line is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    at: u64,
    len: u16,
}

impl Lines {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            start: 0,
            budget,
        }
    }

    pub(super) fn push(&mut self, line: &str) -> Place {
        let len = u16::try_from(line.len()).unwrap_or(u16::MAX);
        let line = line.as_bytes().get(..usize::from(len)).unwrap_or_default();
        let over = (self.bytes.len() + line.len())
            .saturating_sub(self.budget)
            .min(self.bytes.len());
        self.bytes.drain(..over);
        self.start += over as u64;
        let at = self.start + self.bytes.len() as u64;
        self.bytes.extend(line);
        Place { at, len }
    }

    /// The line, unless it had to go.
    pub(super) fn get(&self, place: Place) -> Option<String> {
        let from = usize::try_from(place.at.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(usize::from(place.len))?;
        let (first, second) = self.bytes.as_slices();
        let cut = first.len();
        let mut line = first.get(from.min(cut)..to.min(cut))?.to_vec();
        line.extend_from_slice(second.get(from.max(cut) - cut..to.max(cut) - cut)?);
        String::from_utf8(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detect_evidence_is_printable() {
        let cases: &[(&str, &[u8], &str)] = &[
            (
                "plain",
                b"unknown[192.0.2.1]: \"x\" 'y'",
                "unknown[192.0.2.1]: \"x\" 'y'",
            ),
            ("controls", b"a\x1b[31m\r\n\t\0b", "a\\u{1b}[31m\\r\\n\\t\\u{0}b"),
            ("not UTF-8", b"a\xff\xfeb", "a\\xff\\xfeb"),
            ("backslash", b"a\\nb", "a\\\\nb"),
            ("Japanese", "客".as_bytes(), "客"),
            ("direction mark", "a\u{202e}b".as_bytes(), "a\\u{202e}b"),
        ];
        for (name, line, want) in cases {
            assert_eq!(escape(line), *want, "{name}");
        }
        assert_eq!(escape("客".repeat(400).as_bytes()).chars().count(), EVIDENCE_WIDTH);
        let mut long = vec![b'a'; EVIDENCE_WIDTH - 2];
        long.extend(b"\x01\x01");
        assert_eq!(
            escape(&long),
            "a".repeat(EVIDENCE_WIDTH - 2),
            "an escape is not cut in two"
        );
    }

    #[test]
    fn detect_evidence_drops_the_oldest() {
        let mut lines = Lines::new(10);
        let (a, b) = (lines.push("aaaa"), lines.push("bbbb"));
        assert_eq!((lines.get(a), lines.get(b)), (Some("aaaa".into()), Some("bbbb".into())));
        let c = lines.push("cccc");
        assert_eq!(
            (lines.get(a), lines.get(b), lines.get(c)),
            (None, Some("bbbb".into()), Some("cccc".into()))
        );
    }
}
