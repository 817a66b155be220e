//! A terminal that a command draws its screen on: a pty, and what a person would see on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long something may take to be seen before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(15);

/// A command on a terminal of its own.
pub struct Terminal {
    master: File,
    /// Held open, so that what the command leaves behind can be looked at.
    slave: OwnedFd,
    process: Child,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts `command` on a terminal of that many rows and columns, as its controlling one.
    pub fn start(command: &Command, rows: u16, columns: u16) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let name = std::ffi::OsStr::from_bytes(name.to_bytes());
        // O_NOCTTY: it must not become the terminal of this very process.
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(name)?;
        tcsetwinsize(&slave, size(rows, columns))?;
        let mut whole = Command::new("setsid");
        whole.arg("--ctty").arg(command.get_program()).args(command.get_args());
        whole
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR");
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => whole.env(key, value),
                None => whole.env_remove(key),
            };
        }
        let process = whole
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave.try_clone()?)
            .spawn()
            .context("setsid: cannot be started; apt-get install util-linux")?;
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let master = File::from(master);
        let mut reader = master.try_clone()?;
        let drawn = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with an error when the last one has closed the other end.
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                let mut drawn = drawn.lock().unwrap_or_else(PoisonError::into_inner);
                drawn.process(&bytes[..read]);
            }
        });
        Ok(Self {
            master,
            slave: slave.into(),
            process,
            screen,
        })
    }

    /// What is on the screen now.
    #[must_use]
    pub fn text(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen().contents()
    }

    /// Waits until all of `words` are on the screen, and gives its text.
    pub fn wait_for(&self, words: &[&str]) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if words.iter().all(|word| text.contains(word)) {
                return Ok(text);
            }
            if Instant::now() > deadline {
                bail!("{words:?} are not all on the screen:\n{text}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    /// Gives the window another size; the kernel tells the command.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen_mut().set_size(rows, columns);
        Ok(tcsetwinsize(&self.slave, size(rows, columns))?)
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(rustix::process::kill_process(Pid::from_child(&self.process), signal)?)
    }

    /// Waits for the command's end.
    pub fn wait_end(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the command does not end; its screen:\n{}", self.text());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a shell could go on with this terminal: lines, echo, the usual screen and a cursor.
    pub fn is_as_it_was(&self) -> Result<bool> {
        let modes = tcgetattr(&self.slave)?.local_modes;
        // What was written at last may still be on its way to the reader.
        std::thread::sleep(Duration::from_millis(100));
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = screen.screen();
        Ok(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
            && !screen.alternate_screen()
            && !screen.hide_cursor())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
