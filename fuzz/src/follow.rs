//! A log file, whatever becomes of it: written to, renamed, copied and emptied, compressed, in any order, while the follower
//! looks, stands still, is killed and starts again. Each line is handed over once, in its order.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use smtpgate::maillog::follow::{BEHIND, Follower, Start};
use smtpgate::maillog::{Clock, Position, Reached};

use crate::folder::Folder;

/// A part of a line that is in no other one, as a time with fractions is.
const HALF: usize = 42;
/// So many acts, and no more.
const ACTS: usize = 48;

/// See the module.
pub(crate) fn run(acts: &[u8]) {
    let mut log = Log::new();
    log.look();
    log.write(3);
    log.look();
    for act in acts.iter().take(ACTS) {
        log.act(*act);
    }
    log.begin();
    // Of a file that was empty at each look, nobody knows that it was emptied until it has a line again.
    log.write(1);
    log.assert_exact();
    // And nothing of it comes again.
    log.follower = None;
    log.begin();
    log.write(1);
    log.assert_exact();
}

fn line(number: u32) -> String {
    format!("Nov 24 11:59:59 mx1 postfix/smtpd[{number:05}]: line {number}\n")
}

/// A log, its writer and its follower.
struct Log {
    folder: Folder,
    writer: File,
    start: Start,
    /// `None` while it is down.
    follower: Option<Follower>,
    written: u32,
    read: Vec<String>,
    /// As the ledger has them.
    positions: Vec<Position>,
    /// What lies beside the log: how many files, and which of them are compressed.
    packed: Vec<bool>,
    /// The writer has not yet been told that its file was renamed.
    renamed: bool,
}

impl Log {
    fn new() -> Self {
        let folder = Folder::new();
        let path = folder.write("mail.log", b"");
        let now = "2026-11-24T12:00:00Z".parse().expect("a time");
        let start = Start {
            paths: vec![path.clone()],
            positions: Vec::new(),
            since: now - jiff::SignedDuration::from_mins(10),
            clock: Clock {
                now,
                zone: TimeZone::UTC,
            },
            behind: BEHIND,
            unpack_in: folder.path().to_owned(),
        };
        let writer = OpenOptions::new().append(true).open(&path);
        let mut log = Self {
            writer: writer.expect("it was made"),
            folder,
            start,
            follower: None,
            written: 0,
            read: Vec::new(),
            positions: Vec::new(),
            packed: Vec::new(),
            renamed: false,
        };
        log.begin();
        log
    }

    fn act(&mut self, act: u8) {
        let much = u32::from(act >> 4);
        match act & 15 {
            0..=2 => self.write(much + 1),
            3 => self.write(100 * (much + 1)),
            4 => self.write_half(),
            5 | 6 => self.look(),
            7 => self.look_once(),
            8 if !self.renamed => self.rename(),
            9 => self.create(),
            10 | 11 => self.reopen(),
            12 if !self.renamed => self.copytruncate(),
            13 => self.pack(much as usize),
            14 => self.follower = None,
            15 => self.begin(),
            _ => {}
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mail.log")
    }

    fn sibling(&self, number: usize, packed: bool) -> PathBuf {
        let ending = if packed { ".gz" } else { "" };
        self.folder.path().join(format!("mail.log.{}{ending}", number + 1))
    }

    fn write(&mut self, lines: u32) {
        for _ in 0..lines {
            self.writer
                .write_all(line(self.written).as_bytes())
                .expect("it can be written");
            self.written += 1;
        }
    }

    /// A line in two pieces, the second one after a look.
    fn write_half(&mut self) {
        let text = line(self.written);
        let (first, second) = text.split_at(HALF);
        self.writer.write_all(first.as_bytes()).expect("it can be written");
        if self.follower.is_some() {
            self.look();
        }
        self.writer.write_all(second.as_bytes()).expect("it can be written");
        self.written += 1;
    }

    /// Starts it, if it is down.
    fn begin(&mut self) {
        if self.follower.is_none() {
            self.start.positions.clone_from(&self.positions);
            self.follower = Some(Follower::begin(self.start.clone()));
        }
    }

    /// Hands over so many batches at most.
    fn take(&mut self, most: usize) {
        self.begin();
        let Self {
            follower,
            read,
            positions,
            ..
        } = self;
        let mut taken = 0;
        let mut send = |batch: smtpgate::maillog::Batch| {
            read.extend(batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()));
            let Reached::File(position) = batch.position else {
                panic!("a file has a position")
            };
            let same = |known: &Position| (known.device, known.inode) == (position.device, position.inode);
            positions.retain(|known| !same(known));
            positions.push(position);
            taken += 1;
            taken < most
        };
        follower.as_mut().expect("it was started").look(&mut send);
    }

    fn look(&mut self) {
        self.take(usize::MAX);
    }

    /// One batch is taken in, and then it is killed.
    fn look_once(&mut self) {
        self.take(1);
        self.follower = None;
    }

    fn shift(&mut self) {
        for (number, packed) in self.packed.iter().enumerate().rev() {
            fs::rename(self.sibling(number, *packed), self.sibling(number + 1, *packed)).expect("it is there");
        }
        self.packed.insert(0, false);
    }

    fn rename(&mut self) {
        self.shift();
        fs::rename(self.path(), self.sibling(0, false)).expect("it is there");
        self.renamed = true;
    }

    /// As logrotate does before it tells the writer.
    fn create(&mut self) {
        if self.renamed {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.path())
                .expect("it can be made");
        }
    }

    fn reopen(&mut self) {
        if self.renamed {
            self.create();
            self.writer = OpenOptions::new().append(true).open(self.path()).expect("it is there");
            self.renamed = false;
        }
    }

    fn copytruncate(&mut self) {
        self.shift();
        fs::copy(self.path(), self.sibling(0, false)).expect("it can be copied");
        self.writer.set_len(0).expect("it can be emptied");
    }

    /// Compresses a file, but not one that is still written to.
    fn pack(&mut self, number: usize) {
        if self.packed.get(number) != Some(&false) || (number == 0 && self.renamed) {
            return;
        }
        let (plain, packed) = (self.sibling(number, false), self.sibling(number, true));
        let bytes = fs::read(&plain).expect("it is there");
        let file = File::create(&packed).expect("it can be made");
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gz.write_all(&bytes).expect("it can be written");
        let modified = fs::metadata(&plain).and_then(|meta| meta.modified());
        gz.finish()
            .and_then(|file| file.set_modified(modified?))
            .expect("it can be written");
        fs::remove_file(plain).expect("it is there");
        self.packed[number] = true;
    }

    /// All that was written was read, in its order, once.
    fn assert_exact(&mut self) {
        self.look();
        let wanted = (0..self.written).map(|number| line(number).trim_end().to_owned());
        for (number, (read, wanted)) in self.read.iter().zip(wanted).enumerate() {
            assert_eq!(read, &wanted, "line {number}");
        }
        assert_eq!(
            self.read.len(),
            self.written as usize,
            "lines are lost at the end, or come twice"
        );
    }
}
