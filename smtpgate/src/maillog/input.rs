//! Standard input as a mail log: `something | smtpgate run` with `follow = "-"`. What was read of it does not come again,
//! so there is no position.

use std::io::{self, BufReader, Read};

use super::follow::lines::Lines;
use super::queue::{Batches, Outlet, queue};
use super::{Batch, Reached};

/// Bytes read at once: bounds a batch.
const CHUNK: usize = 256 * 1024;

/// Starts to read standard input to its end.
pub fn spawn(batches: usize) -> io::Result<Batches> {
    let (outlet, batches) = queue(batches);
    std::thread::Builder::new().name("maillog".into()).spawn(move || {
        if let Err(error) = read(io::stdin().lock(), &outlet) {
            tracing::warn!(%error, "standard input cannot be read any more");
        }
    })?;
    Ok(batches)
}

fn read(input: impl Read, outlet: &Outlet) -> io::Result<()> {
    let mut input = BufReader::with_capacity(CHUNK, input);
    let mut lines = Lines::default();
    let (mut bytes, mut cut) = (Vec::new(), 0);
    while lines.next_line(&mut input)?.is_some() {
        let (line, was_cut) = lines.last();
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        cut += u64::from(was_cut);
        // What is whole goes before the wait for more.
        let waits = memchr::memchr(b'\n', input.buffer()).is_none();
        if waits || bytes.len() >= CHUNK {
            let batch = Batch {
                position: Reached::Input,
                backlog: false,
                cut: std::mem::take(&mut cut),
                unread: 0,
                skipped: 0,
                bytes: std::mem::take(&mut bytes),
            };
            if !outlet.send(batch) {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::follow::LINE_MAX;
    use super::*;

    #[test]
    fn maillog_input_gives_lines_as_they_come() {
        let (theirs, ours) = io::pipe().unwrap();
        let (outlet, mut batches) = queue(4);
        let reader = std::thread::spawn(move || read(theirs, &outlet));
        let mut next = || batches.blocking_next().map(|batch| (batch.bytes, batch.cut));
        (&ours).write_all(b"one\ntw").unwrap();
        assert_eq!(next(), Some((b"one\n".to_vec(), 0)));
        (&ours).write_all(b"o\0\xff\n").unwrap();
        assert_eq!(next(), Some((b"two\0\xff\n".to_vec(), 0)));
        let mut long = vec![b'x'; 1 << 20];
        long.extend(b"\nlast");
        (&ours).write_all(&long).unwrap();
        drop(ours);
        assert_eq!(next(), Some(([&[b'x'; LINE_MAX][..], b"\n"].concat(), 1)));
        assert_eq!(next(), Some((b"last\n".to_vec(), 0)));
        assert_eq!(next(), None);
        reader.join().unwrap().unwrap();
    }
}
