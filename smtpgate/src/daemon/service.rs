//! The daemon's loop: one engine, and everything that may want something of it, one at a time.

use std::{collections::BTreeSet, io, path::PathBuf, pin::pin, time::Duration};

use jiff::Timestamp;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    SOCKET,
    clock::{self, Moment},
    confirm::Undone,
    engine::Engine,
    exporter::Exporter,
    failure::Failure,
    maillog::Maillog,
    protocol::Request,
    report::{Applied, DaemonState, MaillogState, News, Refusal, Status},
    server::{Call, Limits, Server},
    views,
    watch::Watch,
};
use crate::{
    dataplane::{Changes, Event, Events, Rate, Tokens},
    sources::{Sources, host::Host},
};

/// How often the kernel's maps are compared with the policy.
const RECONCILE: Duration = Duration::from_secs(60);
/// How often ended bans make room.
const SWEEP: Duration = Duration::from_secs(5);
/// How often bans that had to wait are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often the ledger learns of good addresses.
const KEEP: Duration = Duration::from_secs(30);
/// How often the ledger learns what the kernel counted.
const COUNT: Duration = Duration::from_secs(60);
/// How often the ledger forgets what no longer counts.
const PRUNE: Duration = Duration::from_secs(3600);
/// How long a burst of changes (interfaces, files) is waited out.
const SETTLE: Duration = Duration::from_millis(250);

/// What the daemon tells while it runs.
pub trait Audience {
    /// The gate enforces from here on.
    fn ready(&mut self, applied: &Applied);
    /// Something was refused. A sample under flood; the counters are exact.
    fn refused(&mut self, refusal: &Refusal);
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a signal; the gate stays up.
    GateStays,
    /// The gate was taken down.
    GateDown,
}

/// Runs the daemon until a signal or `unload` ends it. With `ephemeral` the gate goes down at the end;
/// with `confirm` it is as before after that time, unless a confirm follows.
///
/// # Errors
/// When the gate cannot be put up; it is as it was then.
pub fn run(
    mut engine: Engine,
    ephemeral: bool,
    confirm: Option<Duration>,
    audience: &mut dyn Audience,
) -> Result<End, Failure> {
    let socket = engine.config.paths.run.join(SOCKET);
    let server = Server::bind(socket.clone(), Limits::default())
        .map_err(|error| Failure::Failed(format!("{}: {error}", socket.display())))?;
    engine.settle_in();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    let end = runtime.block_on(serve(&mut engine, &server, confirm, audience))?;
    engine.record_traffic();
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    if ephemeral && end == End::GateStays {
        engine.unload()?;
        return Ok(End::GateDown);
    }
    Ok(end)
}

async fn serve(
    engine: &mut Engine,
    server: &Server,
    confirm: Option<Duration>,
    audience: &mut dyn Audience,
) -> Result<End, Failure> {
    let since = Timestamp::now();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(Failure::failed)?;
    let mut links = Changes::listen().map_err(Failure::failed)?;

    if engine.undo_overdue() == Some(Undone::GateDown) {
        // Not a failed start, which the service manager would try again, now without anything to undo.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        return Ok(End::GateDown);
    }
    let applied = engine.start(confirm)?;
    let (call, mut calls) = mpsc::channel::<Call>(64);
    let mut serving = pin!(server.serve(call.clone(), engine.news.handle()));
    let mut exporter = Exporter::start(&engine.config.metrics, &call);

    let mut telling = Telling::of(engine)?;
    let (changed, mut sources_changed) = mpsc::channel(1);
    let mut watch = Watched::default();
    watch.follow(engine, &changed);
    let mut revision = engine.revision;
    let mut maillog = Maillog::follow(engine)?;
    for line in views::introduction(engine)? {
        tracing::info!("{line}");
    }
    audience.ready(&applied);
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let watchdog = sd_notify::watchdog_enabled().is_some();

    let mut refill = interval(Rate::EVERY);
    let mut sweep = interval(SWEEP);
    let mut reconcile = interval(RECONCILE);
    let mut second = interval(TICK);
    let mut prune = interval(PRUNE);
    let mut keep = interval(KEEP);
    let mut count = interval(COUNT);
    for timer in [
        &mut refill,
        &mut sweep,
        &mut reconcile,
        &mut second,
        &mut prune,
        &mut keep,
        &mut count,
    ] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    reconcile.reset();
    prune.reset();
    keep.reset();
    let (mut links_due, mut sources_due) = (None, None);

    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(End::GateStays),
            _ = terminate.recv() => return Ok(End::GateStays),
            _ = hang_up.recv() => match engine.reload(None) {
                Ok(applied) => tracing::info!("reloaded: {}, {} prefixes in force", applied.how, applied.prefixes),
                Err(failure) => tracing::error!("not reloaded, the running policy stays: {failure}"),
            },
            ended = &mut serving => {
                let why = ended.err().map_or_else(String::new, |error| format!(": {error}"));
                return Err(Failure::Failed(format!("the control socket closed{why}")));
            },
            Some((asked, reply)) = calls.recv() => {
                let status = asked.request == Request::Status;
                let mut answer = engine.handle(asked);
                if status {
                    answer = answer.and_then(|report| add_daemon(report, since, engine, &maillog, &exporter));
                }
                let done = answer.is_ok() && engine.plane.is_none();
                // Before the answer to a reload leaves: it is in force then.
                exporter.follow(&engine.config.metrics, &call);
                // Whoever asked may be gone.
                let _ = reply.send(answer);
                if done {
                    // The answer leaves before the socket does.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    return Ok(End::GateDown);
                }
            },
            batch = maillog.next() => engine.read(&batch?, &clock::of_the_log()),
            events = telling.next() => match events {
                Ok(events) => for event in events {
                    let refusal = refusal(engine, event);
                    audience.refused(&refusal);
                    engine.sightings.see(&refusal);
                    if engine.news.has_readers() {
                        engine.news.tell(News::Refused(refusal));
                    }
                },
                Err(error) => {
                    tracing::warn!("refusals can no longer be told of: {error}; counters and verdicts are not touched");
                    telling.events = None;
                },
            },
            changed = links.changed() => match changed {
                Ok(()) => links_due = Some(Instant::now() + SETTLE),
                Err(error) => return Err(Failure::Failed(format!("netlink: {error}"))),
            },
            Some(()) = sources_changed.recv() => sources_due = Some(Instant::now() + SETTLE),
            () = due(links_due) => {
                links_due = None;
                engine.follow_interfaces();
                if Host::ask().is_ok_and(|host| host != engine.assembled.host) {
                    tell("this host's addresses changed", engine.refresh());
                }
            },
            () = due(sources_due) => {
                sources_due = None;
                tell("source files changed", engine.refresh());
            },
            _ = refill.tick() => telling.refill(),
            _ = second.tick() => {
                engine.tick();
                if engine.undo_overdue() == Some(Undone::GateDown) {
                    return Ok(End::GateDown);
                }
                engine.pulse();
                // From here and nowhere else: a loop that no longer turns is what the watchdog is for.
                if watchdog {
                    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                }
            },
            _ = count.tick() => engine.record_traffic(),
            _ = prune.tick() => engine.prune(),
            _ = sweep.tick() => {
                maillog.tell();
                if let Err(failure) = engine.sweep() {
                    tracing::error!("ended bans could not be swept: {failure}");
                }
            },
            _ = keep.tick() => engine.keep_good(),
            _ = reconcile.tick() => if let Err(failure) = engine.reconcile() {
                tracing::error!("the kernel's maps could not be compared with the policy: {failure}");
            },
        }
        if telling.generation != engine.generation {
            telling = Telling::of(engine)?;
        }
        if revision != engine.revision {
            revision = engine.revision;
            watch.follow(engine, &changed);
            exporter.follow(&engine.config.metrics, &call);
        }
        if maillog.config.follow != engine.config.maillog.follow {
            maillog = Maillog::follow(engine)?;
        }
    }
}

/// What a generation tells of refusals.
struct Telling {
    generation: u64,
    events: Option<Events>,
    tokens: Option<Tokens>,
}

impl Telling {
    fn of(engine: &Engine) -> Result<Self, Failure> {
        let Some(plane) = &engine.plane else {
            return Ok(Self {
                generation: engine.generation,
                events: None,
                tokens: None,
            });
        };
        let mut telling = Self {
            generation: engine.generation,
            events: Some(plane.events().map_err(Failure::failed)?),
            tokens: Some(plane.tokens().map_err(Failure::failed)?),
        };
        telling.refill();
        Ok(telling)
    }

    async fn next(&mut self) -> io::Result<Vec<Event>> {
        match &mut self.events {
            Some(events) => events.next().await,
            None => std::future::pending().await,
        }
    }

    fn refill(&mut self) {
        if let Some(tokens) = &mut self.tokens
            && let Err(error) = tokens.refill(Rate::default())
        {
            tracing::warn!("{error}");
            self.tokens = None;
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn tell(why: &str, applied: Result<Applied, Failure>) {
    match applied {
        Ok(applied) => {
            tracing::info!("{why}: {}, {} prefixes in force", applied.how, applied.prefixes);
            for note in applied.notes {
                tracing::warn!("{note}");
            }
        }
        Err(failure) => tracing::error!("{why}, but the running policy stays: {failure}"),
    }
}

/// The source files that are watched, and what watches them.
#[derive(Default)]
struct Watched {
    paths: BTreeSet<PathBuf>,
    watch: Option<Watch>,
}

impl Watched {
    /// Watches what the configuration in force names.
    fn follow(&mut self, engine: &Engine, changed: &mpsc::Sender<()>) {
        let config = &engine.config;
        let allow = config.gates.iter().flat_map(|gate| &gate.allow);
        let specs = config.trust.iter().chain(&config.block).chain(allow);
        let paths = Sources::new(&config.geoip.database, &config.paths.state).watched(specs);
        if self.watch.is_none() || paths != self.paths {
            self.watch = Some(Watch::start(paths.clone(), changed.clone()));
            self.paths = paths;
        }
    }
}

fn refusal(engine: &Engine, event: Event) -> Refusal {
    Refusal {
        time: Moment::now().wall_of(event.boot_ns),
        verdict: views::verdict(event.reason, event.observed).to_owned(),
        reason: event.reason.name().to_owned(),
        source: event.source,
        country: event
            .source
            .and_then(|source| engine.countries.of_address(source))
            .map(|country| country.to_string()),
        gate: event.gate.map(|number| views::gate_name(&engine.config, number)),
        port: event.port,
        interface: event.interface,
    }
}

fn add_daemon(
    report: serde_json::Value,
    since: Timestamp,
    engine: &Engine,
    maillog: &Maillog,
    exporter: &Exporter,
) -> Result<serde_json::Value, Failure> {
    let mut status: Status = serde_json::from_value(report).map_err(Failure::failed)?;
    status.daemon = Some(DaemonState {
        pid: std::process::id(),
        since,
    });
    status.attention.extend(maillog.attention());
    status.attention.extend(exporter.attention());
    status.follow = maillog.sources();
    status.maillog = Some(MaillogState {
        lines: engine.lines,
        offences: engine.offences,
        ..maillog.state()
    });
    serde_json::to_value(status).map_err(Failure::failed)
}
