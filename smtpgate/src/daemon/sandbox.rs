//! What the daemon gives up once it has started, so that a flaw in the reading of what strangers write is no way into the
//! machine: all capabilities but those that change the gate, all files but those that its configuration leads to, all
//! programs but `journalctl`, and connections to anybody. The one list of it for people is `docs/hardening.md`.
//!
//! Files are Linux's landlock (5.13 and later); before, they are left to the service manager. Everything here holds for
//! the calling thread and those that it starts, so it comes before the first of them.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetStatus,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

use crate::config::{Config, DEFAULT_PATH, Database, Follow, Listen, OwnerDatabase};
use crate::sources::{self, Spec};

/// Loading and replacing programs, maps and links, cutting connections; and reading logs of other owners, where the
/// daemon was started with it.
const KEPT: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// The newest rights that are asked for; what the kernel does not know yet is left out.
const RIGHTS: ABI = ABI::V5;

/// Read whatever the configuration says: mail logs and journals, what the kernel tells, libraries and time zones, and what
/// the C library looks names up in.
const ALWAYS_READ: [&str; 20] = [
    "/var/log",
    "/run/log",
    "/proc",
    "/sys",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share",
    "/usr/local/share",
    "/lib",
    "/lib64",
    "/dev/urandom",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/timezone",
];

/// The programs that the kernel starts others by, and so must be allowed to execute.
const LOADERS: [(&str, &str); 3] = [("/lib64", "ld-linux"), ("/lib", "ld-linux"), ("/lib", "ld-musl")];

/// Which files a configuration leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reach {
    /// Files and folders with all that is in them.
    read: BTreeSet<PathBuf>,
    /// Folders of our own.
    write: BTreeSet<PathBuf>,
    /// Folders of others, in which we have a file.
    put: BTreeSet<PathBuf>,
}

impl Reach {
    /// Folders rather than files: files are replaced by renaming, and what is granted is what lies there now.
    fn of(config: &Config, config_path: Option<&Path>) -> Self {
        let mut reach = Self {
            read: BTreeSet::new(),
            write: [&config.paths.state, &config.paths.run, &config.paths.pins]
                .into_iter()
                .cloned()
                .collect(),
            put: BTreeSet::new(),
        };
        reach.beside(config_path.unwrap_or(Path::new(DEFAULT_PATH)));
        for (file, _) in &config.written.files {
            reach.beside(file);
        }
        let allow = config.gates.iter().flat_map(|gate| &gate.allow);
        for spec in config.trust.iter().chain(&config.block).chain(allow) {
            if let Spec::File(path) = spec {
                reach.beside(path);
            }
        }
        match &config.geoip.database {
            Database::Auto => reach.read.extend(sources::geoip_folders().map(PathBuf::from)),
            Database::File(path) => reach.beside(path),
            Database::BuiltIn => {}
        }
        match &config.geoip.asn {
            OwnerDatabase::Auto => reach.read.extend(sources::geoip_folders().map(PathBuf::from)),
            OwnerDatabase::File(path) => reach.beside(path),
            OwnerDatabase::Off => {}
        }
        let socket = match &config.metrics.listen {
            Some(Listen::Unix(path)) => Some(path),
            Some(Listen::Tcp(_)) | None => None,
        };
        let put = socket.into_iter().chain(&config.metrics.textfile);
        reach
            .put
            .extend(put.filter_map(|file| file.parent()).map(PathBuf::from));
        match &config.maillog.follow {
            Follow::Files(files) => files.iter().for_each(|file| reach.beside(file)),
            Follow::Journal(Some(folder)) => {
                reach.read.insert(folder.clone());
            }
            Follow::Auto | Follow::None | Follow::Journal(None) | Follow::Input => {}
        }
        reach
    }

    /// The folder of a file, and that of the file which it is a symbolic link to.
    fn beside(&mut self, file: &Path) {
        let real = file.canonicalize().ok();
        for folder in [Some(file), real.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(Path::parent)
        {
            self.read.insert(folder.to_owned());
        }
    }
}

/// The sandbox that this process is in.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// What may be read, by its real path; none where the kernel has no landlock.
    read: Option<Vec<PathBuf>>,
}

impl Sandbox {
    /// Gives up what none of `configs` needs. There is no way back.
    ///
    /// # Errors
    /// What the kernel refused. What was given up until then stays so.
    pub fn enter<'a>(configs: impl IntoIterator<Item = &'a Config>, config_path: Option<&Path>) -> Result<Self> {
        set_no_new_privs(true).context("no_new_privs")?;
        let mut reach = Reach::default();
        for config in configs {
            let Reach { read, write, put } = Reach::of(config, config_path);
            reach.read.extend(read);
            reach.write.extend(write);
            reach.put.extend(put);
        }
        let sandbox = Self {
            read: files(&reach).context("landlock")?,
        };
        privileges().context("capabilities")?;
        Ok(sandbox)
    }

    /// Whether the kernel keeps this process from other files.
    pub const fn holds_files(&self) -> bool {
        self.read.is_some()
    }

    /// The folders that `config` leads to and this process has no right to.
    pub fn outside(&self, config: &Config, config_path: Option<&Path>) -> Vec<PathBuf> {
        let Some(read) = &self.read else { return Vec::new() };
        let may_read = |folder: &PathBuf| read.iter().any(|granted| folder.starts_with(granted));
        let reach = Reach::of(config, config_path);
        let folders = reach.read.iter().chain(&reach.put);
        folders
            .filter_map(|folder| folder.canonicalize().ok())
            .filter(|folder| !may_read(folder))
            .collect()
    }
}

/// Restricts files, programs and connections. Returns what may be read, or nothing on a kernel that restricts nothing.
fn files(reach: &Reach) -> Result<Option<Vec<PathBuf>>> {
    let all = AccessFs::from_all(RIGHTS);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Rules {
        ruleset: Ruleset::default()
            .handle_access(all)?
            .handle_access(AccessNet::ConnectTcp)?
            .create()?,
        read: Vec::new(),
    };
    for path in ALWAYS_READ {
        rules.allow(Path::new(path), read)?;
    }
    for folder in &reach.read {
        rules.allow(folder, read)?;
    }
    for folder in reach.write.iter().chain(&reach.put) {
        rules.allow(folder, all & !AccessFs::Execute)?;
    }
    for folder in &reach.write {
        // `unload` takes the empty folder away.
        if let Some(above) = folder.parent() {
            rules.allow(above, AccessFs::RemoveDir.into())?;
        }
    }
    rules.allow(Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    for program in journalctl().into_iter().chain(loaders()) {
        rules.allow(&program, AccessFs::ReadFile | AccessFs::Execute)?;
    }
    let status = rules.ruleset.restrict_self()?;
    Ok((status.ruleset != RulesetStatus::NotEnforced).then_some(rules.read))
}

struct Rules {
    ruleset: RulesetCreated,
    read: Vec<PathBuf>,
}

impl Rules {
    /// What is not there is passed over.
    fn allow(&mut self, path: &Path, rights: BitFlags<AccessFs>) -> Result<()> {
        let Ok(real) = path.canonicalize() else { return Ok(()) };
        let rights = if real.is_dir() {
            rights
        } else {
            rights & AccessFs::from_file(RIGHTS)
        };
        let rule = PathBeneath::new(PathFd::new(&real)?, rights);
        (&mut self.ruleset)
            .add_rule(rule)
            .with_context(|| path.display().to_string())?;
        if rights.contains(AccessFs::ReadFile) {
            self.read.push(real);
        }
        Ok(())
    }
}

fn journalctl() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join("journalctl"))
        .find(|program| program.is_file())
}

fn loaders() -> impl Iterator<Item = PathBuf> {
    LOADERS.into_iter().flat_map(|(folder, name)| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(move |entry| entry.file_name().to_string_lossy().starts_with(name))
            .map(|entry| entry.path())
    })
}

/// Lets go of every capability but [`KEPT`], for this process and all that it starts.
fn privileges() -> rustix::io::Result<()> {
    let had = capabilities(None)?;
    // Without this one the bounding set cannot be changed; who starts a process without it has set its bounds.
    if had.effective.contains(CapabilitySet::SETPCAP) {
        clear_ambient_capability_set()?;
        for capability in CapabilitySet::all().difference(KEPT).iter() {
            match remove_capability_from_bounding_set(capability) {
                // This kernel does not know it.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let kept = had.permitted & KEPT;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Spec;

    #[test]
    fn sandbox_reaches_the_folders_of_what_the_configuration_names() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs::create_dir(real.join("elsewhere")).unwrap();
        fs::write(real.join("elsewhere/log"), "").unwrap();
        fs::create_dir(real.join("log")).unwrap();
        std::os::unix::fs::symlink(real.join("elsewhere/log"), real.join("log/mail.log")).unwrap();
        let mut config = Config {
            trust: vec![Spec::File("/srv/lists/office".into())],
            ..Config::default()
        };
        config.maillog.follow = Follow::Files(vec![real.join("log/mail.log")]);
        config.geoip.database = Database::File("/data/country.mmdb".into());
        config.geoip.asn = OwnerDatabase::File("/owners/asn.mmdb".into());
        config.metrics.textfile = Some("/textfiles/smtpgate.prom".into());
        config.metrics.listen = Some(Listen::Unix("/sockets/metrics".into()));
        let reach = Reach::of(&config, None);
        let want: BTreeSet<PathBuf> = [
            "/etc/smtpgate".into(),
            "/srv/lists".into(),
            "/data".into(),
            "/owners".into(),
            real.join("log"),
            real.join("elsewhere"),
        ]
        .into_iter()
        .collect();
        assert_eq!(reach.read, want);
        assert_eq!(reach.write.len(), 3);
        assert_eq!(reach.put, ["/sockets".into(), "/textfiles".into()].into());
    }

    #[test]
    fn sandbox_names_what_a_new_configuration_needs_beyond_it() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        for name in ["in", "out"] {
            fs::create_dir(real.join(name)).unwrap();
        }
        let sandbox = Sandbox {
            read: Some(vec![
                real.join("in"),
                "/etc".into(),
                "/usr".into(),
                "/var".into(),
                "/opt".into(),
            ]),
        };
        let config = Config {
            block: vec![Spec::File(real.join("in/deeper")), Spec::File(real.join("out/list"))],
            ..Config::default()
        };
        assert_eq!(sandbox.outside(&config, None), [real.join("out")]);
        let open = Sandbox { read: None };
        assert!(
            open.outside(&config, None).is_empty(),
            "a kernel without landlock keeps nothing out"
        );
    }
}
