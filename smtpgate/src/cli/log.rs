//! Where the log of a process that stays goes: to the journal, with its fields, when systemd reads what it writes to
//! standard error; else to standard error.
//!
//! Fields are in the journal as `SMTPGATE_PREFIX`, `SMTPGATE_RULE` and so on: `journalctl -t smtpgate SMTPGATE_RULE=siege`.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Level {
    /// What does not work
    Error,
    /// And what needs attention
    Warn,
    /// And every ban and change
    Info,
    /// And what it decides on the way
    Debug,
    /// And all there is
    Trace,
}

/// Begins the log. Without a `level` it is what `RUST_LOG` says, or else `info`.
pub(super) fn begin(level: Option<Level>) {
    let filter = match level {
        Some(level) => EnvFilter::default().add_directive(LevelFilter::from(level).into()),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| LevelFilter::INFO.to_string().into()),
    };
    let journal = in_journal().then(tracing_journald::layer).and_then(Result::ok);
    let text = journal.is_none().then(|| {
        fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
    });
    let journal = journal.map(|journal| {
        journal
            .with_field_prefix(Some("SMTPGATE".to_owned()))
            .with_syslog_identifier("smtpgate".to_owned())
            .with_priority_mappings(PriorityMappings {
                info: Priority::Informational,
                debug: Priority::Debug,
                ..PriorityMappings::new()
            })
    });
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(text)
        .try_init();
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Whether standard error is the stream that systemd gave us (systemd.exec(5), `JOURNAL_STREAM`). The variable alone says
/// little: whatever that process starts has it too, and may write elsewhere.
fn in_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}
