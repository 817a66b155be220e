//! The configuration: TOML files to validated values. Reads files; knows no kernel and no clock.
//!
//! Files: `/etc/smtpgate/config.toml`, then every `/etc/smtpgate/config.d/*.toml` in the order of their names. A named
//! file (`--config F.toml`) has its own such folder beside it, `F.d`; so the two never mix. Later files win: sections
//! are merged key by key, any other value, lists included, replaces the earlier one. Relative paths are taken from the
//! folder of the file that holds them (a file in `config.d` counts as standing beside `config.toml`).

pub mod duration;
mod peek;
mod read;
mod tree;

pub use crate::detect::DetectConfig as Detect;
use crate::maillog::Patterns;
use crate::sources::Spec;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_PATH: &str = "/etc/smtpgate/config.toml";
/// The most gates there can be: the width of the kernel's gate mask.
pub const MAX_GATES: usize = 16;
/// The most prefixes of one family, and the most bans, that can be configured.
pub const MAX_ENTRIES: u32 = 1_048_576;

/// The validated configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What it was read from.
    pub written: Written,
    /// What a refusal does at gates that do not say it themselves.
    pub mode: Mode,
    /// The interfaces to guard; none means all that hold a default route.
    pub interfaces: Vec<String>,
    /// What passes every gate and is never banned (`trust` and `ignoreip` joined).
    pub trust: Vec<Spec>,
    /// What passes no gate.
    pub block: Vec<Spec>,
    /// 1 to [`MAX_GATES`] gates, no port in two of them. In the order of the files; the place is the gate's number.
    pub gates: Vec<Gate>,
    /// `[maillog]`
    pub maillog: Maillog,
    /// `[detect]`
    pub detect: Detect,
    /// `[hooks]`
    pub hooks: Hooks,
    /// `[paths]`
    pub paths: Paths,
    /// `[limits]`
    pub limits: Limits,
    /// `[geoip]`
    pub geoip: Geoip,
    /// `[metrics]`
    pub metrics: Metrics,
}

/// A configuration as it was written: what can be kept, compared with what stands there now, and read again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Written {
    /// Where relative paths in the files start.
    pub folder: PathBuf,
    /// Path and text, in the order of reading; none for the built-in defaults.
    pub files: Vec<(PathBuf, String)>,
}

/// What a refusal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Drops the packet.
    Enforce,
    /// Counts what would have been dropped, and lets it pass.
    Observe,
}

impl Mode {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `[gate.NAME]`: ports with one allow policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// 1 to 32 of `a-z`, `0-9`, `_`, `-`.
    pub name: String,
    /// At least one, none 0, ascending.
    pub ports: Vec<u16>,
    /// Who may connect. Empty means: nobody but `trust`.
    pub allow: Vec<Spec>,
    /// The gate's own mode if it has one, else the configuration's.
    pub mode: Mode,
}

/// `[maillog]`: what is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maillog {
    /// Which logs are read.
    pub follow: Follow,
    /// `[[maillog.pattern]]`: message forms of the admin's own.
    pub patterns: Patterns,
}

/// Which logs are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// What this host has: `/var/log/mail.log`, `/var/log/maillog`, or the journal.
    Auto,
    /// Nothing.
    None,
    /// These files, at least one. They need not exist yet.
    Files(Vec<PathBuf>),
    /// The systemd journal: this host's, or the one in a folder.
    Journal(Option<PathBuf>),
    /// Standard input.
    Input,
}

/// `[hooks]`: programs that are told of bans and alarms, as program and arguments; empty = none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Run for each ban.
    pub on_ban: Vec<String>,
    /// Run for each alarm.
    pub on_alarm: Vec<String>,
}

/// `[paths]`: folders of this gate; another set of them is another gate on the same machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// What must survive a reboot: the ledger, last good copies of sources.
    pub state: PathBuf,
    /// The control socket and the lock.
    pub run: PathBuf,
    /// Pinned links, programs and maps; on a bpffs.
    pub pins: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Paths {
            state: "/var/lib/smtpgate".into(),
            run: "/run/smtpgate".into(),
            pins: "/sys/fs/bpf/smtpgate".into(),
        }
    }
}

/// `[limits]`: the sizes of the kernel's maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Room for prefixes, for each family; `None` sizes it from the policy plus `headroom`.
    pub prefixes: Option<u32>,
    /// Room for bans, for each family; `None` sizes it from the policy plus `headroom`.
    pub bans: Option<u32>,
    /// Room beyond what the policy needs now, in percent of it.
    pub headroom: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            prefixes: None,
            bans: None,
            headroom: 50,
        }
    }
}

/// `[geoip]`: what `country:` is read from, and who is shown as the owner of a network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Geoip {
    /// Which database.
    pub database: Database,
    /// Which file names the owners of networks.
    pub asn: OwnerDatabase,
}

/// Which country database is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Database {
    /// The newest of the built-in table and of the files at the usual places.
    #[default]
    Auto,
    /// Always the built-in table.
    BuiltIn,
    /// Always this MaxMind-format file.
    File(PathBuf),
}

/// Which file names the owners of networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OwnerDatabase {
    /// The first at the usual places, if there is one.
    #[default]
    Auto,
    /// Nobody is named.
    Off,
    /// This MaxMind-format file.
    File(PathBuf),
}

/// `[metrics]`: numbers for Prometheus; nowhere unless asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Where they can be fetched by HTTP.
    pub listen: Option<Listen>,
    /// The file that the node-exporter's textfile collector reads.
    pub textfile: Option<PathBuf>,
}

/// Where metrics are served. Nothing that another host could reach: they have no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A unix socket.
    Unix(PathBuf),
    /// A loopback address and a port.
    Tcp(SocketAddr),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

impl Default for Config {
    /// What is used when there is no configuration file (DESIGN §7).
    fn default() -> Self {
        let gate = |name: &str, ports: &[u16]| Gate {
            name: name.to_owned(),
            ports: ports.to_vec(),
            allow: read::DEFAULT_ALLOW
                .iter()
                .filter_map(|spec| spec.parse().ok())
                .collect(),
            mode: Mode::Enforce,
        };
        Config {
            written: Written::default(),
            mode: Mode::Enforce,
            interfaces: Vec::new(),
            trust: Vec::new(),
            block: Vec::new(),
            gates: vec![gate("submission", &[465, 587]), gate("mx", &[25])],
            maillog: Maillog {
                follow: Follow::Auto,
                patterns: Patterns::default(),
            },
            detect: Detect::default(),
            hooks: Hooks::default(),
            paths: Paths::default(),
            limits: Limits::default(),
            geoip: Geoip::default(),
            metrics: Metrics::default(),
        }
    }
}

impl Config {
    /// Reads and validates the configuration: `path` and its folder if one is named, else the default place, else the
    /// built-in defaults. Every problem of every file is reported at once.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
        Config::load_from(path.unwrap_or(Path::new(DEFAULT_PATH)), path.is_some())
    }

    /// [`Config::load`] with the place as an argument; `named` says that the file must exist.
    fn load_from(path: &Path, named: bool) -> Result<Config, ConfigError> {
        let (written, problems) = Written::collect(path, named)?;
        Config::judge(written, problems)
    }

    /// Validates a configuration that was read before.
    pub fn of(written: Written) -> Result<Config, ConfigError> {
        Config::judge(written, Vec::new())
    }

    /// `problems` are those of files that could not be read.
    fn judge(written: Written, mut problems: Vec<Problem>) -> Result<Config, ConfigError> {
        if written.files.is_empty() && problems.is_empty() {
            return Ok(Config::default());
        }
        let mut root = tree::Table::new();
        for (order, (file, text)) in written.files.iter().enumerate() {
            match tree::parse(file, order, text) {
                Ok(table) => tree::merge(&mut root, table),
                Err(error) => problems.extend(error.problems),
            }
        }
        // What an unreadable file would have set is unknown: judging the rest would only add noise.
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        read::config(&root, written)
    }
}

impl Written {
    /// Reads the files of [`Config::load`], and does not judge them.
    pub fn read(path: Option<&Path>) -> Result<Written, ConfigError> {
        let (written, problems) = Written::collect(path.unwrap_or(Path::new(DEFAULT_PATH)), path.is_some())?;
        if problems.is_empty() {
            return Ok(written);
        }
        Err(ConfigError { problems })
    }

    /// What could be read, and what could not.
    fn collect(path: &Path, named: bool) -> Result<(Written, Vec<Problem>), ConfigError> {
        let path = std::path::absolute(path).map_err(|error| ConfigError::io(path, &error))?;
        let mut paths = Vec::new();
        if named || path.try_exists().map_err(|error| ConfigError::io(&path, &error))? {
            paths.push(path.clone());
        }
        paths.extend(drop_ins(&path.with_extension("d"))?);
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for file in paths {
            match std::fs::read_to_string(&file) {
                Ok(text) => files.push((file, text)),
                Err(error) => problems.extend(ConfigError::io(&file, &error).problems),
            }
        }
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok((Written { folder, files }, problems))
    }
}

/// The `*.toml` files of a folder in the order of their names; hidden ones are left out, a missing folder is empty.
fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ConfigError::io(folder, &error)),
    };
    let paths: Result<Vec<PathBuf>, io::Error> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|error| ConfigError::io(folder, &error))?;
    let hidden = |path: &PathBuf| {
        path.file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
    paths.sort();
    Ok(paths)
}

/// Everything that is wrong with a configuration. Its display is one line for each problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one, in the order of files and lines.
    pub problems: Vec<Problem>,
}

/// One thing wrong. Its display is `FILE:LINE:COLUMN: MESSAGE`, or `FILE: MESSAGE` for a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1; `None` for the file as a whole.
    pub position: Option<(usize, usize)>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    fn new(at: &tree::Place, message: String) -> Problem {
        Problem {
            file: at.file.to_path_buf(),
            position: Some((at.line, at.column)),
            message,
        }
    }
}

impl ConfigError {
    fn io(file: &Path, error: &io::Error) -> ConfigError {
        let message = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        ConfigError {
            problems: vec![Problem {
                file: file.to_owned(),
                position: None,
                message,
            }],
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
