//! The systemd journal as a mail log, read by `journalctl`: its file format is systemd's own affair, and what it prints is
//! not (systemd.io/JOURNAL_EXPORT_FORMATS).
//!
//! Only what mail daemons write is asked for. Each entry becomes the line that a syslog daemon would have written, for the
//! one parser there is. How far the reading got is journald's cursor of the last entry.

mod export;

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use tracing::{info, warn};

use self::export::{Entry, Export};
use super::queue::{Batches, Outlet, queue};
use super::{Batch, Cursor, Reached};

/// Where journald keeps its files: over reboots, or until the next one (systemd-journald.service(8), FILES).
const FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// Bytes read at once: bounds a batch.
const CHUNK: usize = 64 * 1024;
/// Between two looks whether anybody still wants it.
const TICK: Duration = Duration::from_millis(250);
/// Before journalctl is started again; doubled each time that it gave nothing, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Alternatives (sd_journal_add_match(3)): equal fields are joined by *or*, and so are these.
///
/// The facility *mail* is what Postfix, Dovecot, Exim, Sendmail, OpenSMTPD, Courier and, in Debian, Cyrus log to, under
/// program names without number. The rest is what logs elsewhere, or to its standard output below systemd.
const MATCHES: [&[&str]; 3] = [
    &["SYSLOG_FACILITY=2"],
    &[
        "SYSLOG_IDENTIFIER=saslauthd",
        "SYSLOG_IDENTIFIER=dovecot",
        "SYSLOG_IDENTIFIER=roundcube",
        "SYSLOG_IDENTIFIER=HORDE",
        "SYSLOG_IDENTIFIER=sogod",
        "SYSLOG_IDENTIFIER=perdition",
    ],
    &[
        "_SYSTEMD_UNIT=postfix.service",
        "_SYSTEMD_UNIT=postfix@-.service",
        "_SYSTEMD_UNIT=dovecot.service",
        "_SYSTEMD_UNIT=exim.service",
        "_SYSTEMD_UNIT=exim4.service",
        "_SYSTEMD_UNIT=sendmail.service",
        "_SYSTEMD_UNIT=opensmtpd.service",
        "_SYSTEMD_UNIT=smtpd.service",
        "_SYSTEMD_UNIT=saslauthd.service",
        "_SYSTEMD_UNIT=cyrus-imapd.service",
        "_SYSTEMD_UNIT=cyrus-imap.service",
    ],
];

/// The fields that a line is made of, and who wrote it.
const FIELDS: &str = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_UID,_COMM,_HOSTNAME";

/// What the reader starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// A folder of journal files; `None` is this host's journal.
    pub folder: Option<PathBuf>,
    /// The last entry that was read, from the ledger.
    pub cursor: Option<String>,
    /// A journal that was never read is read back to this time: `findtime` before now.
    pub since: Timestamp,
    /// Entries from before are backlog.
    pub now: Timestamp,
}

/// The name under which the ledger keeps the cursor: `journal`, or `journal:FOLDER`.
pub fn name(folder: Option<&Path>) -> PathBuf {
    let mut name = std::ffi::OsString::from("journal");
    if let Some(folder) = folder {
        name.push(":");
        name.push(folder);
    }
    name.into()
}

/// Whether this host has a journal, and `journalctl` to read it.
pub fn is_there() -> bool {
    let holds_journal = |folder: &str| {
        let machines = std::fs::read_dir(folder).into_iter().flatten().flatten();
        machines
            .filter_map(|machine| std::fs::read_dir(machine.path()).ok())
            .flatten()
            .flatten()
            .any(|file| file.path().extension().is_some_and(|ending| ending == "journal"))
    };
    FOLDERS.iter().any(|folder| holds_journal(folder)) && is_on_path("journalctl")
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Starts to follow. `batches` is how many (up to 64 KiB each, or one entry) may wait. The thread ends, and journalctl with
/// it, when the receiver is dropped, or journalctl may not be run.
pub fn spawn(start: Start, batches: usize) -> io::Result<Batches> {
    let (outlet, batches) = queue(batches);
    std::thread::Builder::new()
        .name("maillog".into())
        .spawn(move || follow(start, &outlet))?;
    Ok(batches)
}

/// Hands what this host's journal has since then to `each`, line by line, and ends.
///
/// # Errors
/// When journalctl is not there, or fails.
pub fn past(since: Timestamp, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut command = command();
    command.arg(format!("--since=@{}", since.as_second()));
    add_matches(&mut command);
    let mut child = Reaped(command.spawn()?);
    let Some(output) = child.0.stdout.take() else {
        return Ok(());
    };
    let mut from = BufReader::with_capacity(CHUNK, output);
    let (mut export, mut entry) = (Export::default(), Entry::default());
    let mut line = Vec::new();
    while export.next_entry(&mut from, &mut entry)? {
        line.clear();
        if entry.line(&mut line) {
            each(line.trim_ascii_end());
        }
    }
    // It fails, too, where nothing matches (journalctl(1)).
    child.0.wait().map(drop)
}

fn command() -> Command {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=export", FIELDS]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

fn add_matches(command: &mut Command) {
    for (at, matches) in MATCHES.iter().enumerate() {
        if at > 0 {
            command.arg("+");
        }
        command.args(*matches);
    }
}

fn follow(start: Start, outlet: &Outlet) {
    let mut reading = Reading {
        name: name(start.folder.as_deref()),
        cursor: start.cursor.clone(),
        start,
        outlet,
    };
    let mut pause = SHORTEST;
    info!(journal = %reading.name.display(), "following the mail log in the journal");
    while !outlet.is_closed() {
        let before = reading.cursor.clone();
        let ended = reading.session();
        if outlet.is_closed() {
            return;
        }
        // It was replaced by an upgrade, and a process that gave up running anything else cannot run the new one.
        if ended
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        {
            return;
        }
        if reading.cursor != before {
            pause = SHORTEST;
        }
        let why = ended.map_or_else(|error| error.to_string(), |()| "it ended".to_owned());
        warn!(journal = %reading.name.display(), "journalctl: {why}; started again in {pause:?} where it left off");
        let mut waited = Duration::ZERO;
        while waited < pause && !outlet.is_closed() {
            std::thread::sleep(TICK);
            waited += TICK;
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// The journal, as far as it was handed over.
struct Reading<'a> {
    start: Start,
    name: PathBuf,
    cursor: Option<String>,
    outlet: &'a Outlet,
}

/// Ends with what reads from it.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Gone already, most likely.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Reading<'_> {
    /// One run of journalctl, to its end, or to that of the receiver.
    fn session(&mut self) -> io::Result<()> {
        let mut child = Reaped(self.command().spawn()?);
        let Some(output) = child.0.stdout.take() else {
            return Ok(());
        };
        let mut from = BufReader::with_capacity(CHUNK, output);
        let (mut export, mut entry) = (Export::default(), Entry::default());
        let mut found = Found::default();
        // Where it goes on is asked for with that entry itself: only so is the one after it not lost when that entry has
        // been vacuumed away, and the next one is shown instead.
        let mut known = self.cursor.clone();
        loop {
            if from.buffer().is_empty() && (!self.hand_over(&mut found) || !self.wait(&mut from)?) {
                return Ok(());
            }
            if !export.next_entry(&mut from, &mut entry)? {
                self.hand_over(&mut found);
                let status = child.0.wait()?;
                return Err(io::Error::other(status.to_string()));
            }
            if known.take().is_some_and(|known| known.as_bytes() == entry.cursor) {
                continue;
            }
            let time = entry.time().unwrap_or(self.start.now);
            let backlog = time < self.start.now;
            if (backlog != found.backlog || found.bytes.len() >= CHUNK) && !self.hand_over(&mut found) {
                return Ok(());
            }
            found.backlog = backlog;
            if entry.line(&mut found.bytes) {
                found.cut += u64::from(entry.cut);
                found.last.clone_from(&entry.cursor);
                found.written = Some(time);
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = command();
        // It ends by itself when its output is closed, so also after our kill -9 (journalctl watches it with --follow).
        command.args(["--follow", "--no-tail"]);
        if let Some(folder) = &self.start.folder {
            command.arg("--directory").arg(folder);
        }
        match &self.cursor {
            Some(cursor) => command.arg(format!("--cursor={cursor}")),
            None => command.arg(format!("--since=@{}", self.start.since.as_second())),
        };
        add_matches(&mut command);
        command
    }

    /// Waits for more. False when nobody receives any more.
    fn wait(&self, from: &mut BufReader<ChildStdout>) -> io::Result<bool> {
        loop {
            if self.outlet.is_closed() {
                return Ok(false);
            }
            let output = from.get_ref();
            let timeout = TICK.try_into().map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(output, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => self.outlet.unread(0),
                Ok(_) => return from.fill_buf().map(|_| true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Hands over what was found. False when nobody receives any more.
    fn hand_over(&mut self, found: &mut Found) -> bool {
        if found.bytes.is_empty() {
            return true;
        }
        let found = std::mem::take(found);
        let cursor = String::from_utf8_lossy(&found.last).into_owned();
        self.cursor = Some(cursor.clone());
        let age = found.written.map(|written| Timestamp::now().duration_since(written));
        self.outlet
            .age(age.and_then(|age| age.try_into().ok()).unwrap_or_default());
        self.outlet.send(Batch {
            position: Reached::Journal(Cursor {
                journal: self.name.clone(),
                cursor,
            }),
            backlog: found.backlog,
            cut: found.cut,
            unread: 0,
            skipped: 0,
            bytes: found.bytes,
        })
    }
}

/// Entries that were read and not yet handed over.
#[derive(Default)]
struct Found {
    bytes: Vec<u8>,
    backlog: bool,
    cut: u64,
    /// The cursor of the last of them.
    last: Vec<u8>,
    /// When that was written.
    written: Option<Timestamp>,
}
