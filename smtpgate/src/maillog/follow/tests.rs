//! Real files, treated as logrotate, admins and accidents treat them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::maillog::Reached;

const NOW: &str = "2026-11-24T12:00:00Z";

fn start(paths: &[&Path], positions: Vec<Position>) -> Start {
    let now: Timestamp = NOW.parse().unwrap();
    Start {
        paths: paths.iter().map(|path| path.to_path_buf()).collect(),
        positions,
        since: now - jiff::SignedDuration::from_mins(10),
        clock: Clock {
            now,
            zone: TimeZone::UTC,
        },
        behind: BEHIND,
        unpack_in: std::env::temp_dir(),
    }
}

/// A part of a line that is in no other one, as a time with fractions is.
const HALF: usize = 42;

fn line(number: u32) -> String {
    format!("Nov 24 11:59:59 mx1 postfix/smtpd[{number:05}]: line {number}\n")
}

fn remember(positions: &mut Vec<Position>, reached: Reached) {
    let Reached::File(position) = reached else {
        panic!("a file has a position: {reached:?}")
    };
    positions.retain(|known| known.id() != position.id());
    positions.push(position);
}

/// A log in a folder of its own, its writer, and a follower that looks when it is told to.
struct Log {
    folder: TempDir,
    writer: File,
    written: u32,
    start: Start,
    /// `None` while it is down.
    follower: Option<Follower>,
    /// As the ledger has them.
    positions: Vec<Position>,
    read: Vec<String>,
    backlog: Vec<bool>,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.log");
        let writer = append(&path);
        let start = start(&[&path], vec![]);
        let follower = Some(Follower::begin(start.clone()));
        Self {
            folder,
            writer,
            written: 0,
            start,
            follower,
            positions: vec![],
            read: vec![],
            backlog: vec![],
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mail.log")
    }

    fn sibling(&self, suffix: impl std::fmt::Display) -> PathBuf {
        self.folder.path().join(format!("mail.log.{suffix}"))
    }

    fn write(&mut self, lines: u32) {
        for _ in 0..lines {
            self.writer.write_all(line(self.written).as_bytes()).unwrap();
            self.written += 1;
        }
    }

    /// A line, as a writer with a small buffer writes it: in two pieces. The second comes with the next write.
    fn write_half(&mut self) {
        let text = line(self.written);
        self.written += 1;
        let (first, second) = text.split_at(HALF);
        self.writer.write_all(first.as_bytes()).unwrap();
        self.look();
        self.writer.write_all(second.as_bytes()).unwrap();
    }

    /// Reads what is there, and commits it.
    fn look(&mut self) {
        let (read, positions, backlog) = (&mut self.read, &mut self.positions, &mut self.backlog);
        self.follower.as_mut().unwrap().look(&mut |batch| {
            for line in batch.lines() {
                read.push(String::from_utf8(line.to_vec()).unwrap());
                backlog.push(batch.backlog);
            }
            remember(positions, batch.position);
            true
        });
    }

    /// Reads one batch, and is killed before the next.
    fn look_once(&mut self) {
        self.one_batch();
        self.stop();
    }

    /// Reads one batch: whoever takes them in is slow.
    fn one_batch(&mut self) {
        let (read, positions) = (&mut self.read, &mut self.positions);
        self.follower.as_mut().unwrap().look(&mut |batch| {
            read.extend(batch.lines().map(|line| String::from_utf8(line.to_vec()).unwrap()));
            remember(positions, batch.position);
            false
        });
    }

    fn stop(&mut self) {
        self.follower = None;
    }

    fn begin(&mut self) {
        self.start.positions = self.positions.clone();
        self.follower = Some(Follower::begin(self.start.clone()));
    }

    fn shift(&self) {
        for number in (1..50).rev() {
            if self.sibling(number).exists() {
                fs::rename(self.sibling(number), self.sibling(number + 1)).unwrap();
            }
        }
    }

    /// The compressed ones make room for the next.
    fn shift_packed(&self) {
        for number in (1..50).rev() {
            let packed = |number| self.sibling(format!("{number}.gz"));
            if packed(number).exists() {
                fs::rename(packed(number), packed(number + 1)).unwrap();
            }
        }
    }

    fn rename(&mut self) {
        self.shift();
        fs::rename(self.path(), self.sibling(1)).unwrap();
    }

    /// As logrotate does: the time of the file is kept.
    fn pack(&self, number: u32) {
        let (plain, packed) = (self.sibling(number), self.sibling(format!("{number}.gz")));
        let mut gz = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
        gz.write_all(&fs::read(&plain).unwrap()).unwrap();
        let file = gz.finish().unwrap();
        file.set_modified(fs::metadata(&plain).unwrap().modified().unwrap())
            .unwrap();
        fs::remove_file(plain).unwrap();
    }

    fn create(&mut self) {
        self.writer = append(&self.path());
    }

    fn copytruncate(&mut self) {
        self.shift();
        fs::copy(self.path(), self.sibling(1)).unwrap();
        fs::OpenOptions::new()
            .write(true)
            .open(self.path())
            .unwrap()
            .set_len(0)
            .unwrap();
    }

    /// All that was written was read, in its order, once.
    fn assert_exact(&mut self) {
        self.look();
        let want: Vec<_> = (0..self.written)
            .map(|number| line(number).trim_end().to_owned())
            .collect();
        assert_eq!(self.read, want);
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

#[test]
fn maillog_follow_through_everything() {
    type Happening = fn(&mut Log);
    let cases: &[(&str, Happening)] = &[
        ("appended", |log| log.write(3)),
        ("in pieces", |log| {
            log.write_half();
            log.write_half();
        }),
        ("renamed, writer reopens later", |log| {
            log.rename();
            log.write(2);
            log.look();
            log.write(2);
            log.create();
            log.write(2);
        }),
        ("renamed, old file written to after the new one is there", |log| {
            log.rename();
            append(&log.path());
            log.look();
            log.write(2);
            log.look();
            log.create();
            log.write(2);
        }),
        ("renamed within a line", |log| {
            log.writer.write_all(&line(log.written).as_bytes()[..HALF]).unwrap();
            log.look();
            log.rename();
            append(&log.path());
            log.look();
            log.writer.write_all(&line(log.written).as_bytes()[HALF..]).unwrap();
            log.written += 1;
            log.look();
            log.create();
            log.write(1);
        }),
        ("renamed twice between looks", |log| {
            for _ in 0..2 {
                log.rename();
                log.create();
                log.look();
                log.write(2);
            }
        }),
        ("copytruncate", |log| {
            log.copytruncate();
            log.write(1);
        }),
        ("copytruncate, with lines that were not yet read", |log| {
            log.write(3);
            log.copytruncate();
            log.write(1);
        }),
        ("copytruncate, and grown beyond before the next look", |log| {
            log.write(3);
            log.copytruncate();
            log.write(500);
        }),
        ("emptied", |log| {
            log.writer.set_len(0).unwrap();
            log.look();
            log.write(2);
        }),
        ("deleted, and created again", |log| {
            fs::remove_file(log.path()).unwrap();
            log.write(2);
            log.look();
            log.create();
            log.write(2);
        }),
        ("symlink switched", |log| {
            let (first, second) = (log.folder.path().join("mail-1"), log.folder.path().join("mail-2"));
            fs::rename(log.path(), &first).unwrap();
            symlink(&first, log.path()).unwrap();
            log.look();
            log.write(2);
            let link = log.folder.path().join("link");
            symlink(&second, &link).unwrap();
            log.writer = append(&second);
            log.write(2);
            fs::rename(&link, log.path()).unwrap();
            log.look();
            log.write(2);
            // And back: what was read of the first is not read again.
            symlink(&first, &link).unwrap();
            fs::rename(&link, log.path()).unwrap();
            log.look();
            log.writer = append(&first);
            log.write(2);
        }),
        ("restarted, the path a link to a file beside it", |log| {
            let dated = log.sibling("2026-11-24");
            fs::rename(log.path(), &dated).unwrap();
            symlink(&dated, log.path()).unwrap();
            log.look();
            log.write(1);
            log.look();
            log.write(2);
            log.begin();
            log.write(2);
        }),
        ("restarted", |log| {
            log.begin();
            log.write(2);
        }),
        ("restarted within a line", |log| {
            log.writer.write_all(&line(log.written).as_bytes()[..HALF]).unwrap();
            log.look();
            log.begin();
            log.look();
            log.writer.write_all(&line(log.written).as_bytes()[HALF..]).unwrap();
            log.written += 1;
        }),
        ("written to while down", |log| {
            log.stop();
            log.write(500);
            log.begin();
        }),
        ("renamed while down", |log| {
            log.stop();
            log.write(2);
            log.rename();
            log.write(2);
            log.create();
            log.write(2);
            log.begin();
        }),
        ("renamed while down, and nothing at the path yet", |log| {
            log.stop();
            log.write(2);
            log.rename();
            log.begin();
            log.look();
            log.create();
            log.write(2);
        }),
        ("renamed three times while down", |log| {
            log.stop();
            for _ in 0..3 {
                log.write(2);
                log.rename();
                log.create();
            }
            log.write(2);
            log.begin();
        }),
        ("copytruncate while down", |log| {
            log.stop();
            log.write(2);
            log.copytruncate();
            log.write(1);
            log.begin();
        }),
        ("renamed and compressed while down", |log| {
            log.stop();
            log.write(200);
            log.rename();
            log.create();
            log.write(2);
            log.pack(1);
            log.begin();
        }),
        ("renamed three times and compressed while down", |log| {
            log.stop();
            for _ in 0..3 {
                log.write(200);
                log.rename();
                log.create();
            }
            log.pack(3);
            log.pack(2);
            log.write(2);
            log.begin();
        }),
        ("copytruncate and compressed while down", |log| {
            log.stop();
            log.write(2);
            log.copytruncate();
            log.write(1);
            log.pack(1);
            log.begin();
        }),
        ("copytruncate and compressed between looks", |log| {
            log.write(3);
            log.copytruncate();
            log.pack(1);
            log.write(1);
        }),
        ("renamed twice between looks, and compressed", |log| {
            log.write(3);
            log.rename();
            log.create();
            log.write(200);
            log.rename();
            log.create();
            log.pack(2);
            log.pack(1);
            log.write(2);
        }),
        ("renamed twice between looks, the older one compressed", |log| {
            log.write(3);
            log.rename();
            log.create();
            log.write(200);
            log.rename();
            log.create();
            log.pack(2);
            log.write(2);
        }),
        ("renamed and compressed fifteen times while down", |log| {
            log.stop();
            for _ in 0..15 {
                log.write(3);
                log.rename();
                log.create();
                log.pack(1);
                log.shift_packed();
            }
            log.write(2);
            log.begin();
        }),
        ("renamed forty times while down", |log| {
            log.stop();
            for _ in 0..40 {
                log.write(3);
                log.rename();
                log.create();
            }
            log.begin();
        }),
        ("compression was broken off", |log| {
            log.stop();
            log.write(3);
            log.rename();
            log.create();
            fs::write(log.sibling("1.gz"), b"\x1f\x8b").unwrap();
            log.write(2);
            log.begin();
        }),
        ("copytruncate twice, and nothing was read between", |log| {
            log.write(3);
            log.copytruncate();
            log.write(5);
            // The copy is read first; meanwhile:
            log.one_batch();
            log.copytruncate();
            log.write(2);
        }),
        (
            "copytruncate while down; filled, renamed, and the next one copied before a look",
            |log| {
                log.copytruncate();
                log.write(15);
                log.stop();
                log.copytruncate();
                log.begin();
                log.look();
                log.write(5);
                log.rename();
                log.create();
                log.write(1);
                log.copytruncate();
            },
        ),
        ("compressed while down, killed after a part of it was read", |log| {
            log.stop();
            log.write(12_000);
            log.rename();
            log.create();
            log.pack(1);
            log.write(2);
            log.begin();
            log.look_once();
            log.begin();
        }),
        ("copytruncate twice while down, grown beyond", |log| {
            log.stop();
            log.write(2);
            log.copytruncate();
            log.write(3);
            log.copytruncate();
            log.write(500);
            log.begin();
        }),
        ("copytruncate, killed after the copy was read", |log| {
            log.stop();
            log.write(2);
            log.copytruncate();
            log.begin();
            log.look_once();
            log.write(2);
            log.begin();
        }),
        ("renamed twice, and nothing is at the path", |log| {
            log.rename();
            log.create();
            log.rename();
            log.write(1);
        }),
        ("copytruncate, and renamed before the next look", |log| {
            log.write(2);
            log.copytruncate();
            log.rename();
            log.write(1);
        }),
        ("copytruncate while down, begun before the second emptying", |log| {
            log.stop();
            log.write(2);
            log.copytruncate();
            log.write(3);
            log.shift();
            fs::copy(log.path(), log.sibling(1)).unwrap();
            log.begin();
            File::options()
                .write(true)
                .open(log.path())
                .unwrap()
                .set_len(0)
                .unwrap();
            log.write(2);
        }),
        ("copytruncate twice, and what was between was not looked at", |log| {
            log.copytruncate();
            log.look();
            log.write(3);
            log.copytruncate();
            log.write(2);
        }),
        (
            "renamed, then copytruncate and compressed before it was looked at",
            |log| {
                log.rename();
                log.create();
                log.look();
                log.write(3);
                log.copytruncate();
                log.pack(1);
                log.write(2);
            },
        ),
        (
            "copytruncate, renamed, and copytruncate twice before the next look",
            |log| {
                log.write(3);
                log.copytruncate();
                log.write(3);
                log.rename();
                log.write(3);
                log.create();
                log.copytruncate();
                log.write(6);
                log.copytruncate();
                log.write(1);
            },
        ),
        (
            "copytruncate, renamed twice and compressed before the next look",
            |log| {
                log.write(3);
                log.copytruncate();
                log.write(7);
                log.rename();
                log.create();
                log.write(1);
                log.rename();
                log.pack(2);
                log.write(1);
            },
        ),
        ("somebody's copy is no log", |log| {
            fs::copy(log.path(), log.sibling("bak")).unwrap();
            log.stop();
            log.rename();
            fs::copy(log.sibling(1), log.sibling("orig")).unwrap();
            log.create();
            log.write(2);
            log.begin();
        }),
    ];
    for (name, happens) in cases {
        let mut log = Log::new();
        println!("{name}");
        log.look();
        log.write(5);
        log.look();
        happens(&mut log);
        log.assert_exact();
        // And nothing of it comes again after one more restart.
        log.begin();
        log.write(1);
        log.assert_exact();
    }
}

#[test]
fn maillog_follow_waits_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/mail.log");
    let start = start(&[&path], vec![]);
    let mut follower = Follower::begin(start);
    let mut lines = 0;
    assert!(follower.look(&mut |_| panic!("there is nothing")));
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, line(0)).unwrap();
    follower.look(&mut |batch| {
        lines += batch.lines().count();
        true
    });
    assert_eq!(lines, 1);
}

#[test]
fn maillog_follow_reads_back_findtime_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.log");
    let text = "Nov 24 11:49:59 mx1 postfix/smtpd[1]: before\nNov 24 11:50:00 mx1 postfix/smtpd[1]: within\n";
    fs::write(&path, text).unwrap();
    let start = start(&[&path], vec![]);
    let mut follower = Follower::begin(start);
    let mut got = Vec::new();
    let mut look = || {
        follower.look(&mut |batch| {
            got.extend(
                batch
                    .lines()
                    .map(|line| (String::from_utf8(line.to_vec()).unwrap(), batch.backlog)),
            );
            true
        })
    };
    look();
    append(&path).write_all(line(1).as_bytes()).unwrap();
    look();
    let within = "Nov 24 11:50:00 mx1 postfix/smtpd[1]: within".to_owned();
    assert_eq!(got, [(within, true), (line(1).trim_end().to_owned(), false)]);
}

#[test]
fn maillog_follow_cuts_long_lines() {
    let mut log = Log::new();
    log.look();
    let mut cut = 0;
    let mut got = Vec::new();
    for _ in 0..5 {
        log.writer.write_all(&vec![b'x'; 300_000]).unwrap();
        assert!(
            log.follower
                .as_mut()
                .unwrap()
                .look(&mut |_| panic!("no line is finished"))
        );
    }
    log.writer.write_all(b"\nshort\n").unwrap();
    log.follower.as_mut().unwrap().look(&mut |batch| {
        cut += batch.cut;
        got.extend(batch.lines().map(<[u8]>::to_vec));
        true
    });
    assert_eq!(got, [vec![b'x'; LINE_MAX], b"short".to_vec()]);
    assert_eq!(cut, 1);
}

#[test]
fn maillog_follow_does_not_let_the_newest_wait() {
    const LINE: u64 = 53;
    let wait = |lines: u32, kept: std::ops::RangeInclusive<u64>, happens: fn(&mut Log)| {
        let mut log = Log::new();
        log.start.behind = 400_000;
        log.begin();
        log.write(5);
        log.look();
        log.stop();
        log.write(lines);
        happens(&mut log);
        log.begin();
        let before = log.read.len() as u64;
        let mut skipped = 0;
        let read = &mut log.read;
        log.follower.as_mut().unwrap().look(&mut |batch| {
            skipped += batch.skipped;
            read.extend(batch.lines().map(|line| String::from_utf8(line.to_vec()).unwrap()));
            true
        });
        let got = read.len() as u64 - before;
        assert!(kept.contains(&got), "{got} lines of {lines}");
        let written = u64::from(log.written) - 5;
        assert_eq!(skipped > 0, got < written);
        let left_out = (written - got) * LINE;
        assert!(
            skipped.abs_diff(left_out) < left_out / 10 + 1,
            "{skipped} against {left_out}"
        );
        // The last ones, whole and in their order.
        let last = (u64::from(log.written) - got..u64::from(log.written)).map(|n| line(u32::try_from(n).unwrap()));
        assert!(
            read.iter()
                .skip(usize::try_from(before).unwrap())
                .eq(last.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().iter())
        );
    };
    wait(7000, 7000..=7000, |_| {});
    wait(12_000, 1800..=2100, |_| {});
    wait(12_000, 1800..=2100, |log| {
        log.rename();
        log.create();
        log.write(100);
    });
    wait(12_000, 1800..=2100, |log| {
        log.rename();
        log.create();
        log.write(12_000);
    });
}

#[test]
fn maillog_follow_one_file_under_two_names_once() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("mail.log"), folder.path().join("maillog"));
    fs::write(&path, line(0)).unwrap();
    symlink(&path, &link).unwrap();
    let start = start(&[&path, &link], vec![]);
    let mut follower = Follower::begin(start);
    let mut lines = 0;
    for _ in 0..3 {
        follower.look(&mut |batch| {
            lines += batch.lines().count();
            true
        });
    }
    assert_eq!(lines, 1);
}

#[test]
fn maillog_follow_does_not_hang_on_what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    for path in [fifo.as_path(), folder.path()] {
        let start = start(&[path], vec![]);
        let mut follower = Follower::begin(start);
        assert!(follower.look(&mut |_| panic!("nothing can be read there")));
    }
}

#[test]
fn maillog_follow_by_inotify() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.log");
    let mut batches = spawn(start(&[&path], vec![]), 4).unwrap();
    let mut got = 0;
    let mut receive = |until: u32| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while got < until {
            match batches.try_next() {
                Some(batch) => {
                    for text in batch.lines() {
                        assert_eq!(text, line(got).trim_end().as_bytes());
                        got += 1;
                    }
                }
                None => {
                    assert!(Instant::now() < deadline, "line {got} of {until} does not come");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    };
    let mut file = append(&path);
    for number in 0..1000 {
        if number % 250 == 249 {
            fs::rename(&path, folder.path().join(format!("mail.log.{number}"))).unwrap();
            file.write_all(line(number).as_bytes()).unwrap();
            file = append(&path);
        } else {
            file.write_all(line(number).as_bytes()).unwrap();
        }
        if number % 100 == 0 {
            receive(number + 1);
        }
    }
    receive(1000);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Write(u32),
    WriteHalf,
    Look,
    Rename,
    Reopen,
    Copytruncate,
    Stop,
    LookOnceAndStop,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1u32..40).prop_map(Act::Write),
        1 => Just(Act::WriteHalf),
        4 => Just(Act::Look),
        2 => Just(Act::Rename),
        2 => Just(Act::Reopen),
        2 => Just(Act::Copytruncate),
        1 => Just(Act::Stop),
        1 => Just(Act::LookOnceAndStop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
    /// Whatever the order of writing, rotation in both ways, looking and restarts: each line once, in its order.
    #[test]
    fn maillog_follow_loses_nothing(acts in prop::collection::vec(act(), 1..40)) {
        let mut log = Log::new();
        log.look();
        log.write(3);
        log.look();
        // Whether the writer still has a file that is not at the path any more.
        let mut renamed = false;
        for act in acts {
            if log.follower.is_none() {
                log.begin();
            }
            match act {
                Act::Write(lines) => log.write(lines),
                Act::WriteHalf => log.write_half(),
                Act::Look => log.look(),
                Act::Rename if !renamed => {
                    log.rename();
                    renamed = true;
                }
                Act::Reopen if renamed => {
                    log.look();
                    log.create();
                    renamed = false;
                }
                Act::Copytruncate if !renamed => {
                    log.copytruncate();
                }
                Act::Stop => log.stop(),
                Act::LookOnceAndStop => log.look_once(),
                Act::Rename | Act::Reopen | Act::Copytruncate => {}
            }
        }
        if log.follower.is_none() {
            log.begin();
        }
        // Of a file that was empty at each look, nobody knows that it was emptied until it has a line again.
        log.write(1);
        log.assert_exact();
    }
}
