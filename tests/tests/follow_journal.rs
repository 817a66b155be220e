//! The journal as a mail log: files that systemd-journal-remote writes, read by journalctl for the real daemon.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smtpgate_tests::reader::{Reader, message};

/// Writes a journal file: what it reads in the export format, it stores as journald does.
struct Journal {
    remote: Child,
    input: Option<ChildStdin>,
    monotonic: u64,
}

impl Journal {
    fn new(file: &Path) -> Self {
        let mut remote = Command::new("/lib/systemd/systemd-journal-remote")
            .arg(format!("--output={}", file.display()))
            .arg("-")
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = remote.stdin.take();
        Self {
            remote,
            input,
            monotonic: 1,
        }
    }

    fn entry(&mut self, ago: Duration, fields: &[u8]) {
        self.monotonic += 1;
        let time = (SystemTime::now() - ago)
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_micros();
        let head = format!(
            "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=0123456789abcdef0123456789abcdef\n\
             _MACHINE_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=mx1\n",
            self.monotonic
        );
        let input = self.input.as_mut().unwrap();
        input.write_all(&[head.as_bytes(), fields, b"\n"].concat()).unwrap();
    }

    /// An offence as Postfix logs it by syslog.
    fn offence(&mut self, number: u32, ago: Duration) {
        let fields = format!(
            "SYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/submission/smtpd\nSYSLOG_PID={}\n_COMM=smtpd\nMESSAGE={}\n",
            number % 100 + 1,
            message(number)
        );
        self.entry(ago, fields.as_bytes());
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.input.take());
        self.remote.wait().unwrap();
    }
}

/// As the export format has a value with any bytes in.
fn binary(name: &str, value: &[u8]) -> Vec<u8> {
    let length = u64::try_from(value.len()).unwrap().to_le_bytes();
    [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
}

#[test]
#[ignore = "root: cargo xtask test"]
fn follow_journal_loses_nothing_and_reads_nothing_twice() {
    const NOW: Duration = Duration::ZERO;
    let mut reader = Reader::new().unwrap();
    let folder = reader.folder().join("journal");
    std::fs::create_dir(&folder).unwrap();
    reader.configure(&format!("\"journal:{}\"", folder.display())).unwrap();
    let mut journal = Journal::new(&folder.join("remote.journal"));

    // There before the daemon: findtime (10 minutes) of it is read.
    journal.offence(1_000_000, Duration::from_secs(3600));
    journal.offence(0, Duration::from_secs(60));
    reader.start().unwrap();
    let mut written = 1;
    reader.wait_exact(0..written).unwrap();

    // By nobody's mail daemon; of another facility; and no UTF-8, over several lines, long.
    journal.entry(
        NOW,
        format!(
            "SYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=postfix/smtpd\nMESSAGE={}\n",
            message(1_000_001)
        )
        .as_bytes(),
    );
    let lines = format!("hello\n{}", message(1_000_002));
    let fields = [
        &b"SYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/smtpd\n"[..],
        &binary("MESSAGE", lines.as_bytes()),
    ];
    journal.entry(NOW, &fields.concat());
    for tail in [&b"\xff\xfe\0\x01"[..], &vec![b'x'; 100_000], &vec![0xff; 1 << 20]] {
        let text = [message(written).as_bytes(), tail].concat();
        let fields = [
            &b"SYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/smtpd\n"[..],
            &binary("MESSAGE", &text),
        ];
        journal.entry(NOW, &fields.concat());
        written += 1;
    }
    reader.wait_exact(0..written).unwrap();
    assert_eq!(reader.status().unwrap()["maillog"]["cut_lines"], 2);

    // Written to without a pause, while the daemon is killed, is down, and comes again, and so does its journalctl.
    for round in 0..6 {
        for burst in 0..10 {
            for _ in 0..200 {
                journal.offence(written, NOW);
                written += 1;
            }
            std::thread::sleep(Duration::from_millis(20));
            match (round, burst) {
                (0 | 2 | 4, 3) => reader.kill().unwrap(),
                (0 | 2 | 4, 6) => reader.start().unwrap(),
                (1 | 3, 5) => assert_eq!(reader.kill_journalctl().unwrap(), 1),
                _ => {}
            }
        }
    }
    reader.wait_exact(0..written).unwrap();
    let status = reader.status().unwrap();
    assert_eq!(status["maillog"]["behind_bytes"], 0, "{status}");
    assert_eq!(status["maillog"]["skipped_bytes"], 0, "{status}");
    assert!(status["follow"][0].as_str().unwrap().contains("journal in"), "{status}");
}
