//! Bytes to lines, in bounded memory.

use std::io::{self, BufRead};

/// Longer lines are cut here. Postfix wraps its own at 2,000 characters and rsyslog at 8 KiB.
pub const LINE_MAX: usize = 8192;

/// Reads lines of any length, keeping only their first [`LINE_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    cut: bool,
}

impl Lines {
    /// The next line, without its line end; also a last one that has none. `None` at the end.
    pub fn next_line(&mut self, from: &mut impl BufRead) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.cut = false;
        let mut any = false;
        loop {
            let chunk = from.fill_buf()?;
            if chunk.is_empty() {
                return Ok(any.then_some(&self.line));
            }
            any = true;
            let end = memchr::memchr(b'\n', chunk);
            let text = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            self.cut |= self.line.len() + text.len() > LINE_MAX;
            keep(&mut self.line, text);
            let used = end.map_or(chunk.len(), |end| end + 1);
            from.consume(used);
            if end.is_some() {
                return Ok(Some(&self.line));
            }
        }
    }

    /// The line that was read last, and whether it was longer than is kept.
    pub(in crate::maillog) fn last(&self) -> (&[u8], bool) {
        (&self.line, self.cut)
    }
}

/// Adds as much of `text` as a line may still hold.
pub(super) fn keep(line: &mut Vec<u8>, text: &[u8]) {
    let room = LINE_MAX.saturating_sub(line.len()).min(text.len());
    line.extend_from_slice(text.get(..room).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maillog_lines_of_any_length() {
        let mut log = b"one\n\ntwo\0\xff\n".to_vec();
        log.extend(vec![b'x'; 1 << 20]);
        log.extend(b"\nlast");
        let mut from = io::BufReader::with_capacity(100, &log[..]);
        let mut lines = Lines::default();
        let mut got = Vec::new();
        while let Some(line) = lines.next_line(&mut from).unwrap() {
            got.push(line.to_vec());
        }
        assert_eq!(
            got,
            [
                b"one".to_vec(),
                vec![],
                b"two\0\xff".to_vec(),
                vec![b'x'; LINE_MAX],
                b"last".to_vec()
            ]
        );
    }
}
