//! No gap: what filters goes on filtering while generations come and processes go.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use smtpgate::dataplane::{AttachMode, Dataplane, Kernel, unload};
use smtpgate::policy::{Intent, Single};
use smtpgate_tests::gated::{ALLOWED, ALLOWED6, BpfFs, FOREIGN, FOREIGN6, Pair, answered, banning, image, intent};

fn kernel() -> Kernel {
    Kernel::probe().unwrap()
}

/// What SYNs saw while something went on.
#[derive(Debug, Default)]
struct Seen {
    refused: AtomicU32,
    leaked: AtomicU32,
    let_in: AtomicU32,
    lost: AtomicU32,
}

/// Foreign and allowed SYNs to port 25 without a pause, while `body` runs.
fn under_flow(pair: &Pair, body: impl FnOnce()) -> Seen {
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for source in [FOREIGN, FOREIGN6, FOREIGN, FOREIGN6, ALLOWED, ALLOWED6] {
            let (seen, stop) = (&seen, &stop);
            scope.spawn(move || {
                let source: IpAddr = source.parse().unwrap();
                let allowed = [ALLOWED, ALLOWED6].contains(&source.to_string().as_str());
                let (patience, yes, no) = if allowed {
                    // Long before the kernel would send a second SYN.
                    (Duration::from_millis(500), &seen.let_in, &seen.lost)
                } else {
                    (Duration::from_millis(2), &seen.leaked, &seen.refused)
                };
                pair.client
                    .run(|| {
                        while !stop.load(Ordering::Relaxed) {
                            let counter = if answered(source, 25, patience)? { yes } else { no };
                            counter.fetch_add(1, Ordering::Relaxed);
                            if allowed {
                                std::thread::sleep(Duration::from_millis(1));
                            }
                        }
                        Ok(())
                    })
                    .unwrap();
            });
        }
        std::thread::sleep(Duration::from_millis(100));
        // The flow ends also when the body fails, or this would wait for ever.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    assert!(
        count(&seen.refused) > 50 && count(&seen.let_in) > 50,
        "there was no flow: {seen:?}"
    );
    seen
}

fn no_gap(seen: &Seen) {
    assert_eq!(
        seen.leaked.load(Ordering::Relaxed),
        0,
        "foreign SYNs came through: {seen:?}"
    );
    assert_eq!(seen.lost.load(Ordering::Relaxed), 0, "allowed SYNs were lost: {seen:?}");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_life_generations_follow_each_other_without_a_gap() {
    for mode in [AttachMode::Native, AttachMode::Tc] {
        for kernel in [
            kernel(),
            Kernel {
                frags: false,
                tcx: false,
                tunnels: false,
            },
        ] {
            let bpffs = BpfFs::mount().unwrap();
            let pair = Pair::new().unwrap();
            if mode == AttachMode::Tc {
                // Somebody else's XDP.
                let neighbour = bpffs.root().join("neighbour");
                let open = image(&Intent::default()).unwrap();
                pair.host
                    .run(|| Ok(Dataplane::install(&neighbour, kernel, &open)?.attach("eth0")?))
                    .unwrap();
            }
            let image = image(&intent()).unwrap();
            let install = || {
                pair.host
                    .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel, &image)?))
                    .unwrap()
            };
            let attached = pair.host.run(|| Ok(install().attach("eth0")?)).unwrap();
            assert_eq!(attached.mode, mode, "{kernel:?}");
            let seen = under_flow(&pair, || {
                for _ in 0..10 {
                    drop(install());
                }
            });
            no_gap(&seen);
            let now = pair.host.run(|| Ok(install().attachments()?)).unwrap();
            assert_eq!(now.len(), 1, "{now:?}");
            assert_eq!((now[0].mode, now[0].program != attached.program), (mode, true));
            pair.host.run(|| Ok(unload(&bpffs.pins())?)).unwrap();
        }
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_life_is_found_again_without_the_process_that_made_it() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let mut image = image(&intent()).unwrap();
    pair.host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image)?.attach("eth0")?))
        .unwrap();
    // All handles are dropped: the gate goes on, and a later process bans over its pins.
    pair.gated().unwrap();
    let address = u32::from(ALLOWED.parse::<std::net::Ipv4Addr>().unwrap());
    let ops = image.ban(Single::V4(address), u32::MAX - 1).unwrap();
    pair.host
        .run(|| {
            let mut dataplane = Dataplane::open(&bpffs.pins(), kernel())?;
            for op in &ops {
                dataplane.live_mut().apply(op)?;
            }
            Ok(())
        })
        .unwrap();
    assert!(!pair.answered(ALLOWED, 25).unwrap(), "banned");
    assert!(pair.answered(ALLOWED, 80).unwrap());
    // The counters go over into the next generation.
    let banned = |dataplane: &Dataplane| {
        let counts = dataplane.counts().unwrap();
        counts
            .iter()
            .filter(|count| count.reason.name() == "banned")
            .map(|count| count.frames)
            .sum::<u64>()
    };
    let dataplane = Dataplane::open(&bpffs.pins(), kernel()).unwrap();
    let before = banned(&dataplane);
    assert!(before > 0);
    drop(dataplane);
    let next = smtpgate_tests::gated::image(&banning(ALLOWED6, u32::MAX - 1).unwrap()).unwrap();
    let dataplane = pair
        .host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &next)?))
        .unwrap();
    assert_eq!(banned(&dataplane), before);
    assert!(
        pair.answered(ALLOWED, 25).unwrap(),
        "the next policy does not know that ban"
    );
    assert!(!pair.answered(ALLOWED6, 25).unwrap(), "but this one");
    assert!(banned(&dataplane) > before);
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_life_survives_installers_that_die_anywhere() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let image = image(&intent()).unwrap();
    pair.host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image)?.attach("eth0")?))
        .unwrap();
    let mut generations = 0;
    let seen = under_flow(&pair, || {
        for round in 0..40 {
            let mut child = pair
                .host
                .command(env!("CARGO_BIN_EXE_dataplane-install"))
                .arg(bpffs.pins())
                .spawn()
                .unwrap();
            // Further and further into the work, round after round.
            std::thread::sleep(Duration::from_millis(60 + round * 7));
            assert_eq!(child.try_wait().unwrap(), None, "the installer failed by itself");
            child.kill().unwrap();
            child.wait().unwrap();
            generations = generations.max(std::fs::read_dir(bpffs.pins()).unwrap().count());
            // Whatever it left, it can be used.
            let found = pair
                .host
                .run(|| Ok(Dataplane::open(&bpffs.pins(), kernel())?.attachments()?))
                .unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
        }
    });
    no_gap(&seen);
    assert!(
        generations > 3,
        "no installer was killed in the middle: folders at the most: {generations}"
    );
    let dataplane = pair
        .host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image)?))
        .unwrap();
    let left = std::fs::read_dir(bpffs.pins()).unwrap().count();
    assert_eq!(left, 3, "counters, links and one generation");
    assert_eq!(
        dataplane.attachments().unwrap_or_default().len(),
        0,
        "not in this network namespace"
    );
    pair.gated().unwrap();
    let start = Instant::now();
    pair.host.run(|| Ok(unload(&bpffs.pins())?)).unwrap();
    pair.open().unwrap();
    assert!(!bpffs.pins().exists(), "after {:?}", start.elapsed());
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_life_an_older_layout_is_named_and_replaced() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let image = image(&intent()).unwrap();
    pair.host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image)?.attach("eth0")?))
        .unwrap();
    std::fs::rename(bpffs.pins().join("gen-1_v1"), bpffs.pins().join("gen-1_v0")).unwrap();
    let error = pair
        .host
        .run(|| {
            Ok(Dataplane::open(&bpffs.pins(), kernel())
                .err()
                .map(|error| error.to_string()))
        })
        .unwrap()
        .unwrap();
    assert!(error.contains("layout 0") && error.contains("smtpgate load"), "{error}");
    let seen = under_flow(&pair, || {
        let found = pair
            .host
            .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image)?.attachments()?))
            .unwrap();
        assert_eq!(found.len(), 1);
    });
    no_gap(&seen);
    assert!(!bpffs.pins().join("gen-1_v0").exists());
}
