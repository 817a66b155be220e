//! What changes the gate and what is asked of it. The daemon owns one engine for its life; a verb without a daemon makes
//! one for a moment. Both hold the lock, so there is one writer at a time.
//!
//! The order of every change: decide all of it, then the kernel, then what is remembered. What fails before the kernel
//! has changed nothing.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use ipnet::IpNet;
use jiff::Timestamp;
use smtpgate_common::ban::ticks;

use super::{
    assemble::{Assembled, Strictness},
    clock::Moment,
    confirm::{self, Confirming, Former, InForce, Pending},
    countries::Countries,
    failure::Failure,
    history::History,
    hooks::{self, Hooks},
    listing,
    lock::Lock,
    news::Newsroom,
    overrides::Overrides,
    period,
    protocol::{Asked, Request},
    report::{Applied, Checked, Needs, Unloaded},
    sandbox::Sandbox,
    sightings::Sightings,
    top, views,
};
use crate::{
    config::{Config, OwnerDatabase, Paths, Written},
    dataplane::{self, Dataplane, Kernel, Removed},
    detect::{Alarms, Detector},
    ledger::{self, Ledger},
    maillog::Reader,
    policy::{
        compile::compile,
        image::Image,
        intent::Ban,
        ops::{Op, Sizes},
        sizes::Limits,
        table::GateTable,
    },
    sources::{OwnerFile, Resolved, Sources, host::Host, owners::Owners},
};

/// The gate with all that belongs to it.
pub struct Engine {
    /// In force, options included.
    pub(super) config: Config,
    pub(super) overrides: Overrides,
    config_path: Option<PathBuf>,
    _lock: Lock,
    pub(super) ledger: Ledger,
    pub(super) assembled: Assembled,
    /// Bans in force, by prefix.
    pub(super) bans: BTreeMap<IpNet, ledger::Ban>,
    kernel: Kernel,
    /// The loaded gate; none where there is none, or one of another layout.
    pub(super) plane: Option<Dataplane>,
    /// The kernel's maps, once this engine has made them; a gate that was found loaded has none.
    pub(super) image: Option<Image>,
    /// What joins the lines of each followed file.
    pub(super) readers: BTreeMap<PathBuf, Reader>,
    pub(super) detector: Detector,
    /// Alarms since the start.
    pub(super) alarms: Alarms,
    pub(super) hooks: Hooks,
    /// What the daemon has given up; none in a verb.
    sandbox: Option<Sandbox>,
    pub(super) countries: Countries,
    pub(super) owners: OwnerFile,
    /// Counts the generations that this engine has made; events and tokens belong to one.
    pub(super) generation: u64,
    /// Counts the configurations that came into force.
    pub(super) revision: u64,
    /// Differences between kernel and image that were found and repaired.
    pub(super) drift: u64,
    /// Changes that wait for their confirm, or were not confirmed.
    pub(super) confirming: Confirming,
    pub(super) history: History,
    pub(super) sightings: Sightings,
    pub(super) news: Newsroom,
    /// Lines of the maillog that were read, and offences among them.
    pub(super) lines: u64,
    pub(super) offences: u64,
}

impl Engine {
    /// Takes the lock, opens ledger and pins, asks every source (the last good copy serves for one that fails).
    ///
    /// # Errors
    /// Whatever of these cannot be had. The gate is as it was.
    pub fn open(config: Config, overrides: Overrides, config_path: Option<PathBuf>) -> Result<Self, Failure> {
        let config = overrides.over(config);
        let kernel = Kernel::probe().map_err(Failure::failed)?;
        let lock = Lock::take(&config.paths.run)?;
        let state = &config.paths.state;
        fs::create_dir_all(state)
            .map_err(|error| Failure::Failed(format!("{}: {error}; run as root?", state.display())))?;
        let mut ledger = Ledger::open(&state.join("ledger.db")).map_err(Failure::failed)?;
        let now = Moment::now();
        let bans = ledger.live_bans(now.wall).map_err(Failure::failed)?;
        let exceptions = ledger.exceptions().map_err(Failure::failed)?;
        let sources = Sources::new(&config.geoip.database, state);
        let assembled = Assembled::of(&config, &sources, Strictness::LastGood, host()?, exceptions)?;
        let plane = match Dataplane::open(&config.paths.pins, kernel) {
            Ok(plane) => Some(plane),
            // Of another layout: loading replaces it, and nothing else can be done with it.
            Err(dataplane::Error::NotLoaded { .. } | dataplane::Error::Layout { .. }) => None,
            Err(error) => return Err(Failure::failed(error)),
        };
        let held = InForce::read(state)
            .filter(|copy| copy.written.files == config.written.files)
            .and_then(|copy| copy.held);
        let confirming = Confirming::found(Pending::read(state), held);
        let countries = Countries::of(&config);
        let owners = OwnerFile::new(&config.geoip.asn);
        let mut detector = Detector::new(config.detect.clone());
        let since = now
            .wall
            .checked_sub(Detector::memory(&config.detect))
            .unwrap_or(now.wall);
        for offence in ledger.offences_since(since).map_err(Failure::failed)? {
            detector.restore(&offence);
        }
        let since = now.wall.checked_sub(Detector::good_memory()).unwrap_or(now.wall);
        for good in ledger.good_since(since).map_err(Failure::failed)? {
            detector.restore_good(&good);
        }
        let history = History::from(ledger.mark().map_err(Failure::failed)?);
        Ok(Self {
            config,
            overrides,
            config_path,
            _lock: lock,
            ledger,
            assembled,
            bans: bans.into_iter().map(|ban| (ban.prefix, ban)).collect(),
            kernel,
            plane,
            image: None,
            readers: BTreeMap::new(),
            detector,
            alarms: Alarms::default(),
            hooks: Hooks::default(),
            sandbox: None,
            countries,
            owners,
            generation: 0,
            revision: 0,
            drift: 0,
            confirming,
            history,
            sightings: Sightings::default(),
            news: Newsroom::default(),
            lines: 0,
            offences: 0,
        })
    }

    /// For a verb when no daemon runs: with what the loaded gate was made of. An overdue undo is done first.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn beside_no_daemon(config_path: Option<PathBuf>) -> Result<Self, Failure> {
        let pins = Paths::peek(config_path.as_deref()).pins;
        let loaded = match Kernel::probe().and_then(|kernel| Dataplane::open(&pins, kernel)) {
            Ok(_) => true,
            Err(error @ dataplane::Error::Layout { .. }) => return Err(Failure::failed(error)),
            Err(_) => false,
        };
        let (config, overrides) = confirm::beside_no_daemon(config_path.as_ref(), loaded)?;
        let mut engine = Self::open(config, overrides, config_path)?;
        let _ = engine.undo_overdue();
        Ok(engine)
    }

    /// Answers a request of the protocol, but for [`Request::Unload`], which ends the engine.
    ///
    /// # Errors
    /// As the verb's own.
    pub fn handle(&mut self, asked: Asked) -> Result<serde_json::Value, Failure> {
        fn report<T: serde::Serialize>(report: T) -> Result<serde_json::Value, Failure> {
            serde_json::to_value(report).map_err(Failure::failed)
        }
        let Asked { request, confirm } = asked;
        let within = confirm.map(Duration::from_secs);
        match request {
            Request::Status => report(views::status(self)?),
            Request::List(filter) => report(listing::list(self, &filter)?),
            Request::Top => report(top::top(self)?),
            Request::Report { since } => report(period::period(self, since)?),
            Request::Watch => Err(Failure::Failed(
                "nobody is there to watch: `smtpgate run`, or `systemctl start smtpgate`, starts the daemon".to_owned(),
            )),
            Request::Explain { address } => report(views::explain(self, address)?),
            Request::Ban {
                prefixes,
                seconds,
                reason,
            } => report(self.ban(&prefixes, seconds, &reason, within)?),
            Request::Unban {
                prefixes,
                all,
                missing_ok,
            } => report(self.unban(&self.to_unban(&prefixes, all, missing_ok))?),
            Request::Allow { prefix, gate, note } => report(self.allow(prefix, gate, note, within)?),
            Request::Disallow { prefix, gate } => report(self.disallow(prefix, gate, within)?),
            Request::Import { parts, dry_run } => report(self.import(&parts, dry_run, within)?),
            Request::Withdraw { from } => report(self.withdraw(&from)?),
            Request::Export => report(self.leaving()),
            Request::Reconcile => report(self.reconcile()?),
            Request::Reload => report(self.reload(within)?),
            Request::Confirm { undo: false } => report(self.confirm()?),
            Request::Confirm { undo: true } => report(self.undo()?),
            Request::Unload => report(self.unload()?),
        }
    }

    /// The daemon's first act: what starts other programs is started, and all else that it will not need is given up,
    /// before there is a second thread, which would keep it. A kernel that refuses to take it is no reason to leave the ports open.
    pub(super) fn settle_in(&mut self) {
        let path = self.config_path.as_deref();
        let helper = hooks::start(path);
        dataplane::prepare(&self.config.paths.pins);
        let formers: Vec<Config> = self.formers().collect();
        match Sandbox::enter([&self.config].into_iter().chain(&formers), path) {
            Ok(sandbox) => {
                if !sandbox.holds_files() {
                    tracing::info!("this kernel has no landlock: files are left to the service manager");
                }
                self.sandbox = Some(sandbox);
            }
            Err(error) => tracing::warn!("this process keeps more rights than it needs: {error:#}"),
        }
        match helper.and_then(Hooks::by) {
            Ok(hooks) => self.hooks = hooks,
            Err(error) => tracing::error!(
                "the helper cannot be started: {error}; [hooks] are not run, and when this daemon ends, the undo of a \
                 change that waits for its confirm is left to the next one"
            ),
        }
    }

    /// The configurations that an undo may go back to.
    fn formers(&self) -> impl Iterator<Item = Config> {
        let before = match &self.confirming.pending {
            None => InForce::read(&self.config.paths.state),
            Some(Pending {
                former: Former::Configuration(copy),
                ..
            }) => Some(*copy.clone()),
            Some(_) => None,
        };
        before.and_then(|copy| copy.config().ok()).into_iter()
    }

    /// Puts the gate up for a daemon that starts. A change that waits already keeps its time, whatever `within` says: a
    /// daemon that starts again is no new change.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn start(&mut self, within: Option<Duration>) -> Result<Applied, Failure> {
        if self.confirming.pending.is_some() {
            return self.put_up();
        }
        self.until_confirmed("run", within, Self::gate_before, Self::put_up)
    }

    /// Puts the gate up: new maps, new program, on every interface that should be guarded. With `within` it is as before
    /// then, unless a confirm follows.
    ///
    /// # Errors
    /// When the policy does not fit, the kernel refuses, or an interface cannot be guarded. The gate is as it was then:
    /// what was attached before stays so, what was not is not.
    pub fn load(&mut self, within: Option<Duration>) -> Result<Applied, Failure> {
        if self.undo_overdue().is_some() {
            return Err(Failure::Failed(
                "a change that was not confirmed in time has been undone now; `smtpgate load` again loads what the \
                 configuration's files say"
                    .to_owned(),
            ));
        }
        self.until_confirmed("load", within, Self::gate_before, Self::put_up)
    }

    fn put_up(&mut self) -> Result<Applied, Failure> {
        let wanted = self.wanted_interfaces()?;
        let table = self.table(&self.config, &self.assembled);
        let fresh = self.plane.is_none();
        self.install(&table, &limits(&self.config))?;
        let mut notes = self.assembled.warnings(&self.config);
        match self.guard(&wanted) {
            Ok(told) => notes.extend(told),
            Err(failure) => {
                if fresh {
                    self.unload()?;
                }
                return Err(failure);
            }
        }
        self.remember(&mut notes);
        Ok(Applied {
            how: "generation".to_owned(),
            operations: 0,
            prefixes: prefixes(&table),
            notes,
        })
    }

    /// Reads the configuration again and puts it in force; with `within`, until then unless a confirm follows.
    ///
    /// # Errors
    /// When anything in it or in a source is wrong: nothing has changed then.
    pub fn reload(&mut self, within: Option<Duration>) -> Result<Applied, Failure> {
        let config = Config::load(self.config_path.as_deref()).map_err(Failure::usage)?;
        let config = self.overrides.over(config);
        if config.paths != self.config.paths {
            return Err(Failure::Usage(
                "[paths] cannot change while the gate is up: `smtpgate unload`, then start again".to_owned(),
            ));
        }
        self.within_reach(&config)?;
        let former = |engine: &Self| Former::Configuration(Box::new(engine.in_force()));
        let applied = self.until_confirmed("reload", within, former, |engine| {
            let held = engine.confirming.held.take();
            engine
                .apply(config, Strictness::Refuse)
                .inspect_err(|_| engine.confirming.held = held)
        })?;
        self.hooks.reload();
        Ok(applied)
    }

    /// # Errors
    /// When `config` leads to files that this process has given up reading.
    fn within_reach(&self, config: &Config) -> Result<(), Failure> {
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        let outside = sandbox.outside(config, self.config_path.as_deref());
        let Some(folder) = outside.first() else { return Ok(()) };
        Err(Failure::Usage(format!(
            "restart needed: {}: the daemon has given up reading other folders than those that it was started for; \
             `systemctl restart smtpgate` takes this one in, too (the gate stays up meanwhile)",
            folder.display()
        )))
    }

    /// Back to what was in force.
    pub(super) fn put_back(&mut self, copy: &InForce) -> Result<Vec<String>, Failure> {
        let overrides = std::mem::replace(&mut self.overrides, copy.overrides.clone());
        let config = copy.config().map(|config| self.overrides.over(config));
        let applied = config
            .and_then(|config| self.apply(config, Strictness::LastGood))
            .inspect_err(|_| self.overrides = overrides)?;
        self.hooks.reload();
        Ok(applied.notes)
    }

    /// Whether the configuration's files are no longer what is in force.
    pub(super) fn files_differ(&self) -> bool {
        Written::read(self.config_path.as_deref()).map_or(true, |written| written.files != self.config.written.files)
    }

    /// Asks the sources again, because their data, or this host's addresses, may have changed.
    ///
    /// # Errors
    /// When the kernel refuses the change.
    pub fn refresh(&mut self) -> Result<Applied, Failure> {
        self.apply(self.config.clone(), Strictness::LastGood)
    }

    fn apply(&mut self, config: Config, strictness: Strictness) -> Result<Applied, Failure> {
        let sources = Sources::new(&config.geoip.database, &config.paths.state);
        let exceptions = self.ledger.exceptions().map_err(Failure::failed)?;
        let assembled = Assembled::of(&config, &sources, strictness, host()?, exceptions)?;
        let applied = self.put_in_force(config, assembled)?;
        self.countries = Countries::of(&self.config);
        self.owners = OwnerFile::new(&self.config.geoip.asn);
        Ok(applied)
    }

    /// The one way in which a policy comes into force.
    pub(super) fn put_in_force(&mut self, config: Config, assembled: Assembled) -> Result<Applied, Failure> {
        let table = self.table(&config, &assembled);
        Sizes::for_table(&table, &limits(&config)).map_err(Failure::usage)?;
        let interfaces_changed = config.interfaces != self.config.interfaces;
        if config.gates != self.config.gates {
            // What was counted so far is the old gates'.
            self.count();
        }
        let (how, operations) = self.change(&table, &config)?;
        self.detector.reconfigure(config.detect.clone());
        self.config = config;
        self.revision += 1;
        self.assembled = assembled;
        let mut notes = self.assembled.warnings(&self.config);
        if interfaces_changed && self.plane.is_some() {
            let wanted = self.wanted_interfaces()?;
            notes.extend(self.guard(&wanted)?);
        }
        self.remember(&mut notes);
        Ok(Applied {
            how: how.to_owned(),
            operations,
            prefixes: prefixes(&table),
            notes,
        })
    }

    /// Compiles the policy and its bans again, after a change of either.
    pub(super) fn recompile(&mut self) -> Result<(), Failure> {
        let table = self.table(&self.config, &self.assembled);
        self.change(&table, &self.config.clone()).map(|_| ())
    }

    /// Brings the kernel to `table`: in place if that can be, else by a new generation.
    fn change(&mut self, table: &GateTable, config: &Config) -> Result<(&'static str, u64), Failure> {
        if self.plane.is_none() {
            return Ok(("stored", 0));
        }
        if let Some(image) = &mut self.image {
            image.set_now(ticks(Moment::now().boot_ns));
            match image.plan(table) {
                Ok(ops) if ops.is_empty() => return Ok(("unchanged", 0)),
                Ok(ops) => match self.perform(&ops) {
                    Ok(()) => return Ok(("live", ops.len() as u64)),
                    Err(error) => tracing::warn!("a change in place failed, new maps are made instead: {error}"),
                },
                Err(why) => tracing::info!("new maps are made: {why}"),
            }
        }
        self.install(table, &limits(config))?;
        Ok(("generation", 0))
    }

    /// New maps with all that is in force.
    pub(super) fn renew(&mut self) -> Result<(), Failure> {
        let table = self.table(&self.config, &self.assembled);
        self.install(&table, &limits(&self.config))
    }

    fn install(&mut self, table: &GateTable, limits: &Limits) -> Result<(), Failure> {
        let sizes = Sizes::for_table(table, limits).map_err(Failure::usage)?;
        let image = Image::build(table, sizes).map_err(Failure::usage)?;
        self.plane = Some(Dataplane::install(&self.config.paths.pins, self.kernel, &image).map_err(Failure::failed)?);
        self.image = Some(image);
        self.generation += 1;
        Ok(())
    }

    /// Has operations done that the image has taken in already.
    pub(super) fn perform(&mut self, ops: &[Op]) -> Result<(), Failure> {
        let Some(plane) = &mut self.plane else { return Ok(()) };
        ops.iter()
            .try_for_each(|op| plane.live_mut().apply(op))
            .map_err(Failure::failed)
    }

    fn table(&self, config: &Config, assembled: &Assembled) -> GateTable {
        let now = Moment::now();
        let bans = self
            .bans
            .values()
            .map(|ban| Ban {
                prefix: ban.prefix,
                until: now.ticks_until(ban.until),
            })
            .collect();
        compile(&assembled.intent(config, bans))
    }

    /// Takes the gate down.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn unload(&mut self) -> Result<Unloaded, Failure> {
        self.count();
        self.image = None;
        self.plane = None;
        self.confirming = Confirming::default();
        unload(&self.config.paths)
    }

    /// What is kept: last good copies of the sources, and what is in force.
    fn remember(&self, notes: &mut Vec<String>) {
        let sources = Sources::new(&self.config.geoip.database, &self.config.paths.state);
        let applied: Vec<Resolved> = self
            .assembled
            .listed
            .iter()
            .map(|listed| listed.resolved.clone())
            .collect();
        if let Err(error) = sources.keep(&applied) {
            notes.push(error);
        }
        let state = &self.config.paths.state;
        if let Err(error) = self.in_force().write(state) {
            notes.push(format!("{}: what is in force cannot be kept: {error}", state.display()));
        }
    }
}

/// Takes down the gate whose pins are in `paths`; needs nothing else.
///
/// # Errors
/// What could not be removed.
pub fn unload(paths: &Paths) -> Result<Unloaded, Failure> {
    let removed = dataplane::unload(&paths.pins)
        .map_err(Failure::failed)?
        .into_iter()
        .map(in_words)
        .collect();
    // Nothing is in force, and nothing is left to undo. That they cannot be removed must not hold this up.
    InForce::forget(&paths.state);
    let _ = Pending::forget(&paths.state);
    Ok(Unloaded { removed })
}

fn in_words(removed: Removed) -> String {
    match removed {
        Removed::Attachment {
            interface,
            mode: Some(mode),
        } => format!("the gate on {interface} ({mode})"),
        Removed::Attachment { interface, mode: None } => format!("a dead link on {interface}"),
        Removed::Generation(number) => format!("maps and programs (generation {number})"),
        Removed::Counters => "the counters".to_owned(),
    }
}

/// Validates what a configuration leads to, up to the sizes of the kernel's maps. Touches no kernel, takes no lock.
///
/// # Errors
/// Every source that fails; a policy that does not fit.
pub fn check(config: &Config) -> Result<Checked, Failure> {
    let sources = Sources::new(&config.geoip.database, &config.paths.state);
    let assembled = Assembled::of(config, &sources, Strictness::Refuse, host()?, Vec::new())?;
    let table = compile(&assembled.intent(config, Vec::new()));
    Sizes::for_table(&table, &limits(config)).map_err(Failure::usage)?;
    let mut notes = assembled.warnings(config);
    if let OwnerDatabase::File(path) = &config.geoip.asn {
        notes.extend(Owners::open(path).err());
    }
    Ok(Checked {
        gates: views::gates(config),
        sources: views::sources(config, &assembled, Timestamp::now()),
        needs: Needs {
            prefixes4: table.cells4.len() as u64,
            prefixes6: table.cells6.len() as u64,
            singles: table.singles.len() as u64,
        },
        notes,
    })
}

fn prefixes(table: &GateTable) -> u64 {
    (table.cells4.len() + table.cells6.len()) as u64
}

pub(super) fn host() -> Result<Host, Failure> {
    Host::ask().map_err(Failure::failed)
}

fn limits(config: &Config) -> Limits {
    let default = Limits::default();
    Limits {
        prefixes: config.limits.prefixes.unwrap_or(default.prefixes),
        bans: config.limits.bans.unwrap_or(default.bans),
        headroom: config.limits.headroom,
    }
}
