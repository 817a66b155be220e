//! Real logrotate, in each of its ways, under 5,000 lines a second and kill -9 of the real daemon: each line is taken in
//! once. And a log that grows beyond all measure.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use smtpgate_tests::reader::{Reader, message};

/// Lines a millisecond.
const PACE: u128 = 5;

fn line(number: u32) -> String {
    let now = jiff::Timestamp::now();
    format!(
        "{now:.6} mx1 postfix/smtpd[{}]: {}\n",
        number % 100 + 1,
        message(number)
    )
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// A writer as syslog daemons are: it keeps the file open until it is told to open the path again.
struct Writer {
    path: PathBuf,
    /// Tells it: a file that it removes when it has done so.
    told: PathBuf,
    /// The next line's number. Locked while lines are written.
    next: Mutex<u32>,
    stop: AtomicBool,
}

impl Writer {
    fn run(&self) {
        let mut file = append(&self.path);
        let begin = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            if self.told.exists() {
                file = append(&self.path);
                fs::remove_file(&self.told).unwrap();
            }
            {
                let mut next = self.next.lock().unwrap();
                let due = u32::try_from(begin.elapsed().as_millis() * PACE).unwrap();
                while *next < due {
                    file.write_all(line(*next).as_bytes()).unwrap();
                    *next += 1;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A log in a folder of its own, written to while it is rotated.
struct Log {
    folder: PathBuf,
    writer: Writer,
    /// Whether lines are written also while logrotate copies and empties the file.
    never_pauses: bool,
    /// What is between two rotations at least: their names may hold a second.
    apart: Duration,
    copies: bool,
}

impl Log {
    /// For logrotate's options `way`.
    fn new(reader: &Reader, way: &str) -> Self {
        let folder = reader.folder().join("log");
        fs::create_dir_all(folder.join("old")).unwrap();
        let log = Self {
            writer: Writer {
                path: folder.join("mail.log"),
                told: folder.join("reopen"),
                next: Mutex::new(0),
                stop: AtomicBool::new(false),
            },
            never_pauses: false,
            apart: Duration::from_millis(if way.contains("%s") { 1100 } else { 0 }),
            copies: way.contains("copy"),
            folder,
        };
        let told = log.writer.told.display();
        let tell = format!("postrotate\ntouch {told}\nwhile [ -e {told} ]; do sleep 0.005; done\nendscript\n");
        let config = format!(
            "{} {{\nrotate 20\n{}\n{}}}\n",
            log.writer.path.display(),
            way.replace(", ", "\n"),
            if log.copies { "" } else { &tell }
        );
        fs::write(log.folder.join("rotate.conf"), config).unwrap();
        reader.configure(&format!("\"{}\"", log.writer.path.display())).unwrap();
        log
    }

    /// Rotates once, by force.
    fn rotate(&self) {
        std::thread::sleep(self.apart);
        // Lines that are written between copying and emptying are lost by logrotate itself: logrotate(8), copytruncate.
        let paused = (self.copies && !self.never_pauses).then(|| self.writer.next.lock().unwrap());
        let out = Command::new("logrotate")
            .arg("--force")
            .arg("--state")
            .arg(self.folder.join("state"))
            .arg(self.folder.join("rotate.conf"))
            .output()
            .unwrap();
        drop(paused);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// Has lines written while that `happens`.
    fn write_while(&self, happens: impl FnOnce()) {
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| self.writer.run());
            let done = catch_unwind(AssertUnwindSafe(happens));
            self.writer.stop.store(true, Ordering::Relaxed);
            writing.join().unwrap();
            if let Err(panic) = done {
                resume_unwind(panic);
            }
        });
    }

    /// The lines that were written.
    fn written(&self) -> BTreeSet<u32> {
        let written = *self.writer.next.lock().unwrap();
        assert!(written > 10_000, "{written} lines");
        (0..written).collect()
    }

    /// The lines that are whole in the log and in what was rotated away.
    fn on_disk(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for file in fs::read_dir(&self.folder).unwrap() {
            let path = file.unwrap().path();
            if !path.to_string_lossy().contains("mail.log") {
                continue;
            }
            let mut log = String::new();
            let file = File::open(&path).unwrap();
            smtpgate::maillog::open(file).unwrap().read_to_string(&mut log).unwrap();
            let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let number = |line: &str| line.trim_end().rsplit_once("=user")?.1.parse::<u32>().ok();
            found.extend(whole.filter_map(number));
        }
        found
    }
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Seven rotations while lines are written, around which the daemon is killed and started in different orders.
fn rotate_and_kill(reader: &mut Reader, log: &Log) {
    reader.start().unwrap();
    log.write_while(|| {
        pause(600);
        log.rotate();
        pause(1000);
        log.rotate();
        reader.kill().unwrap();
        pause(300);
        reader.start().unwrap();
        pause(500);
        reader.kill().unwrap();
        log.rotate();
        reader.start().unwrap();
        pause(500);
        reader.kill().unwrap();
        pause(300);
        log.rotate();
        pause(1000);
        log.rotate();
        reader.start().unwrap();
        log.rotate();
        reader.kill().unwrap();
        reader.start().unwrap();
        log.rotate();
        pause(300);
    });
}

/// Each of logrotate's ways that keeps every line: each is taken in once.
fn exact_by(way: &str) {
    let mut reader = Reader::new().unwrap();
    let log = Log::new(&reader, way);
    rotate_and_kill(&mut reader, &log);
    reader
        .wait_exact(log.written())
        .unwrap_or_else(|error| panic!("{way}: {error:#}"));
}

/// Copying and emptying while lines are written loses some of them, whoever follows: those that come between the two. Each
/// line that is on disk after it is taken in once; of the lost ones those that were read in time, and none twice.
fn exact_but_for_what_copytruncate_loses(way: &str) {
    let mut reader = Reader::new().unwrap();
    let mut log = Log::new(&reader, way);
    log.never_pauses = true;
    rotate_and_kill(&mut reader, &log);
    let (written, kept) = (log.written(), log.on_disk());
    println!(
        "{way}: logrotate lost {} of {} lines",
        written.len() - kept.len(),
        written.len()
    );
    assert!(
        kept.len() > written.len() / 2,
        "{} of {} lines",
        kept.len(),
        written.len()
    );
    reader
        .wait_exact_but(&kept, &written)
        .unwrap_or_else(|error| panic!("{way}, while lines are written: {error:#}"));
}

/// Into another folder: there it is not looked for, but whoever has the file open reads it to its end.
fn exact_with_olddir(way: &str) {
    let mut reader = Reader::new().unwrap();
    let log = Log::new(&reader, way);
    reader.start().unwrap();
    log.write_while(|| {
        for _ in 0..3 {
            pause(500);
            log.rotate();
            pause(500);
            log.rotate();
            // What is in the new file is read after what was in the old one.
            let next = *log.writer.next.lock().unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            while !reader.read().unwrap().contains_key(&next) {
                assert!(
                    Instant::now() < deadline,
                    "{way}: line {next} is not read\n{}",
                    reader.said()
                );
                pause(200);
            }
            reader.kill().unwrap();
            pause(300);
            reader.start().unwrap();
        }
    });
    reader
        .wait_exact(log.written())
        .unwrap_or_else(|error| panic!("{way}: {error:#}"));
}

/// As cronolog does it: the path is a link, and points to another file from some time on.
fn exact_with_a_link() {
    let mut reader = Reader::new().unwrap();
    let log = Log::new(&reader, "link");
    let next = std::cell::Cell::new(0);
    let switch = || {
        next.set(next.get() + 1);
        let link = log.folder.join("link");
        symlink(log.folder.join(format!("mail.log.2026-11-{:02}", next.get())), &link).unwrap();
        append(&link);
        fs::rename(&link, &log.writer.path).unwrap();
        fs::write(&log.writer.told, "").unwrap();
        while log.writer.told.exists() {
            pause(1);
        }
    };
    let link = log.folder.join("mail.log.2026-11-00");
    append(&link);
    symlink(&link, &log.writer.path).unwrap();
    reader.start().unwrap();
    log.write_while(|| {
        pause(600);
        switch();
        pause(600);
        switch();
        reader.kill().unwrap();
        pause(300);
        reader.start().unwrap();
        pause(300);
        reader.kill().unwrap();
        switch();
        pause(300);
        switch();
        reader.start().unwrap();
        switch();
        reader.kill().unwrap();
        switch();
        reader.start().unwrap();
        pause(600);
    });
    reader
        .wait_exact(log.written())
        .unwrap_or_else(|error| panic!("link: {error:#}"));
}

/// Three at a time: most of it is waiting.
fn at_once(ways: &[&(dyn Fn() + Sync)]) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || {
            while let Some(way) = ways.get(next.fetch_add(1, Ordering::Relaxed)) {
                way();
            }
        };
        let threads = [(); 3].map(|()| scope.spawn(work));
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
}

#[test]
#[ignore = "root: cargo xtask test"]
fn follow_rotation_that_renames_loses_nothing() {
    at_once(&[
        &|| exact_by("create 0640 root root"),
        &|| exact_by("nocreate"),
        &|| exact_by("create, dateext, dateformat -%Y%m%d-%s"),
        &|| exact_by("create, compress, delaycompress"),
        &|| exact_with_olddir("create, olddir old"),
        &exact_with_a_link,
    ]);
}

#[test]
#[ignore = "root: cargo xtask test"]
fn follow_rotation_that_compresses_at_once_loses_nothing() {
    at_once(&[
        &|| exact_by("create, compress"),
        &|| exact_by("nocreate, compress, compresscmd /usr/bin/xz, compressext .xz, dateext, dateformat -%Y%m%d-%s"),
        &|| exact_by("copytruncate, compress"),
    ]);
}

#[test]
#[ignore = "root: cargo xtask test"]
fn follow_rotation_that_copies_loses_nothing() {
    at_once(&[
        &|| exact_by("copytruncate"),
        &|| exact_by("copytruncate, dateext, dateformat -%Y%m%d-%s, compress, delaycompress"),
        &|| exact_by("copy"),
        &|| exact_but_for_what_copytruncate_loses("copytruncate"),
        &|| exact_but_for_what_copytruncate_loses("copytruncate, compress"),
    ]);
}

#[test]
#[ignore = "root: cargo xtask test"]
fn follow_stress_of_200_mb_a_minute_in_bounded_memory() {
    let mut reader = Reader::new().unwrap();
    let log = reader.folder().join("mail.log");
    reader.configure(&format!("\"{}\"", log.display())).unwrap();
    reader.start().unwrap();
    let mut file = append(&log);
    file.write_all(line(0).as_bytes()).unwrap();
    reader.wait_exact(0..1).unwrap();
    let before = reader.resident().unwrap();
    let most = AtomicU32::new(0);
    // 3.4 MB a second, for twelve: lines that nobody knows, long ones, NULs, what is no UTF-8; an offence in each round.
    let noise = format!("{} mx1 kernel: nothing to see\n", jiff::Timestamp::now()).repeat(8000);
    let begin = Instant::now();
    for round in 0..60_u32 {
        file.write_all(noise.as_bytes()).unwrap();
        match round % 4 {
            0 => file.write_all(&[&vec![b'x'; 1 << 20][..], b"\n"].concat()).unwrap(),
            1 => file.write_all(&[&vec![0; 100_000][..], b"\n"].concat()).unwrap(),
            2 => file.write_all(&[&vec![0xff; 1 << 20][..], b"\n"].concat()).unwrap(),
            _ => {}
        }
        file.write_all(line(round + 1).as_bytes()).unwrap();
        let due = Duration::from_millis(200) * (round + 1);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        let grown = reader.resident().unwrap().saturating_sub(before) >> 20;
        most.fetch_max(u32::try_from(grown).unwrap(), Ordering::Relaxed);
    }
    reader.wait_exact(0..61).unwrap();
    let size = fs::metadata(&log).unwrap().len() >> 20;
    assert!(size > 40, "{size} MiB");
    let most = most.into_inner();
    assert!(most < 32, "grew by {most} MiB while {size} MiB were read");
    let maillog = &reader.status().unwrap()["maillog"];
    assert_eq!(maillog["behind_bytes"], 0, "{maillog}");
    assert!(maillog["cut_lines"].as_u64().unwrap() >= 45, "{maillog}");

    // And 300 MiB at once: the newest are read, the oldest are left out, and status says so.
    reader.kill().unwrap();
    let mut whole = noise.repeat(16);
    while whole.len() < 20 << 20 {
        whole.push_str(&noise);
    }
    for _ in 0..15 {
        file.write_all(whole.as_bytes()).unwrap();
    }
    file.write_all(line(61).as_bytes()).unwrap();
    reader.start().unwrap();
    reader.wait_exact(0..62).unwrap();
    let status = reader.status().unwrap();
    assert!(
        status["maillog"]["skipped_bytes"].as_u64().unwrap() > 200 << 20,
        "{status}"
    );
    let attention = status["attention"].to_string();
    assert!(attention.contains("of the maillog were left out"), "{status}");
}
