//! Real logrotate, in each of its ways, under 5,000 lines a second and kill -9 of the real daemon: each line is taken in
//! once. And a log that grows beyond all measure.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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

/// Rotates once, by force.
fn logrotate(folder: &Path) {
    let out = Command::new("logrotate")
        .arg("--force")
        .arg("--state")
        .arg(folder.join("state"))
        .arg(folder.join("rotate.conf"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Six rotations while lines are written, around which the daemon is killed and started in different orders.
fn rotate(way: &str) {
    println!("{way}");
    let mut reader = Reader::new().unwrap();
    let folder = reader.folder().join("log");
    fs::create_dir(&folder).unwrap();
    let writer = Writer {
        path: folder.join("mail.log"),
        told: folder.join("reopen"),
        next: Mutex::new(0),
        stop: AtomicBool::new(false),
    };
    let copies = way.contains("copy");
    let tell = format!(
        "postrotate\ntouch {0}\nwhile [ -e {0} ]; do sleep 0.005; done\nendscript\n",
        writer.told.display()
    );
    let config = format!(
        "{} {{\nrotate 20\n{}\n{}}}\n",
        writer.path.display(),
        way.replace(", ", "\n"),
        if copies { "" } else { &tell }
    );
    fs::write(folder.join("rotate.conf"), config).unwrap();
    reader.configure(&format!("\"{}\"", writer.path.display())).unwrap();
    reader.start().unwrap();
    let rotate = || {
        if way.contains("%s") {
            // Or two would have the same name.
            std::thread::sleep(Duration::from_millis(1100));
        }
        // Between copying and emptying a file logrotate itself loses lines (logrotate(8), copytruncate): none is written.
        let paused = copies.then(|| writer.next.lock().unwrap());
        logrotate(&folder);
        drop(paused);
    };
    let pause = |milliseconds| std::thread::sleep(Duration::from_millis(milliseconds));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| writer.run());
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pause(600);
            rotate();
            pause(1000);
            rotate();
            reader.kill().unwrap();
            pause(300);
            reader.start().unwrap();
            pause(500);
            reader.kill().unwrap();
            rotate();
            reader.start().unwrap();
            pause(500);
            reader.kill().unwrap();
            pause(300);
            rotate();
            pause(1000);
            rotate();
            reader.start().unwrap();
            rotate();
            reader.kill().unwrap();
            reader.start().unwrap();
            pause(300);
        }));
        writer.stop.store(true, Ordering::Relaxed);
        writing.join().unwrap();
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    let written = *writer.next.lock().unwrap();
    assert!(written > 10_000, "{written} lines");
    if let Err(error) = reader.wait_exact(0..written) {
        panic!("{way}: {error:#}");
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn follow_rotation_that_renames_loses_nothing() {
    rotate("create 0640 root root");
    rotate("nocreate");
    rotate("create, dateext, dateformat -%Y%m%d-%s");
    rotate("create, compress, delaycompress");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn follow_rotation_that_compresses_at_once_loses_nothing() {
    rotate("create, compress");
    rotate("nocreate, compress, compresscmd /usr/bin/xz, compressext .xz, dateext, dateformat -%Y%m%d-%s");
    rotate("copytruncate, compress");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn follow_rotation_that_copies_loses_nothing() {
    rotate("copytruncate");
    rotate("copytruncate, dateext, dateformat -%Y%m%d-%s, compress, delaycompress");
    rotate("copy");
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
