//! A log in any pieces: the lines are the same however the bytes are cut into reads, and none is longer than is kept.

use std::io::{self, BufRead, Read};

use smtpgate::maillog::Lines;
use smtpgate::maillog::follow::LINE_MAX;

/// Gives its bytes in pieces of so many bytes, over and over.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    /// What is left of the piece that was given.
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece == 0 {
            self.piece = usize::from(*self.sizes.next().unwrap_or(&0)) + 1;
        }
        Ok(&self.bytes[..self.piece.min(self.bytes.len())])
    }

    fn consume(&mut self, count: usize) {
        self.piece -= count;
        self.bytes = &self.bytes[count..];
    }
}

/// See the module.
pub(crate) fn run(input: &[u8]) {
    // The first line of the input says the pieces. A byte of 0xff stands for a run that is longer than a line may be.
    let cut = memchr::memchr(b'\n', input).unwrap_or(0);
    let (sizes, rest) = input.split_at(cut);
    let mut log = Vec::new();
    for byte in rest {
        match byte {
            0xff => log.extend([b'x'; LINE_MAX / 2 + 1]),
            byte => log.push(*byte),
        }
    }
    let mut from = Pieces {
        bytes: &log,
        sizes: sizes.iter().cycle(),
        piece: 0,
    };
    let mut wanted: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
    if wanted.last().is_some_and(|last| last.is_empty()) {
        wanted.pop();
    }
    let mut lines = Lines::default();
    for wanted in wanted {
        let line = lines.next_line(&mut from).expect("memory can be read").expect("a line");
        assert_eq!(line, &wanted[..wanted.len().min(LINE_MAX)]);
    }
    assert_eq!(lines.next_line(&mut from).expect("memory can be read"), None);
}
