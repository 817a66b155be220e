//! The kernel's maps: what user space writes is what the program reads, and both are what the policy says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::time::Duration;

use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use proptest::prelude::*;
use smtpgate::dataplane::{Dataplane, Kernel, Rate, boot_ns, drift, unload};
use smtpgate::policy::{Ban, Image, Intent, Limits, Op, Single, Sizes, compile};
use smtpgate_common::ban::{LAST, ticks};
use smtpgate_common::cell::Cell;
use smtpgate_common::{Family, Reason, Source, judge};
use smtpgate_tests::gated::{ALLOWED, ALLOWED6, BpfFs, FOREIGN, FOREIGN6, Pair, banning, image, intent};

fn kernel() -> Kernel {
    Kernel::probe().unwrap()
}

fn source(address: &str) -> Source {
    match address.parse().unwrap() {
        IpAddr::V4(address) => Source::V4(address.octets()),
        IpAddr::V6(address) => Source::V6(address.octets()),
    }
}

/// A SYN to port 25 in an Ethernet frame.
fn syn(source: Source) -> Vec<u8> {
    let tcp = [&[0x9c, 0x40, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0][..]].concat();
    let (ethertype, ip) = match source {
        Source::V4(address) => {
            let head = [0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0];
            ([8, 0], [&head[..], &address, &[192, 0, 2, 1]].concat())
        }
        Source::V6(address) => {
            let head = [0x60, 0, 0, 0, 0, 20, 6, 64];
            (
                [0x86, 0xdd],
                [
                    &head[..],
                    &address,
                    &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                ]
                .concat(),
            )
        }
    };
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &ethertype, &ip, &tcp].concat()
}

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// The verdict of the loaded program itself.
fn verdict(dataplane: &Dataplane, address: &str) -> u32 {
    let pin = dataplane.program("smtpgate").unwrap();
    let program = Xdp::from_pin(pin, aya_obj::programs::XdpAttachType::Interface).unwrap();
    let frame = syn(source(address));
    let options = TestRunOptions {
        data_in: Some(&frame),
        ..TestRunOptions::new()
    };
    program.test_run(options).unwrap().return_value
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_maps_writes_are_seen_by_the_program_at_once() {
    let bpffs = BpfFs::mount().unwrap();
    let mut image = image(&intent()).unwrap();
    let mut dataplane = Dataplane::install(&bpffs.pins(), kernel(), &image).unwrap();
    for (address, expected) in [
        (ALLOWED, XDP_PASS),
        (ALLOWED6, XDP_PASS),
        (FOREIGN, XDP_DROP),
        (FOREIGN6, XDP_DROP),
    ] {
        assert_eq!(verdict(&dataplane, address), expected, "{address}");
    }
    let v6 = ALLOWED6.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let net = u64::from_be_bytes(*v6.first_chunk().unwrap());
    let v4 = u32::from(ALLOWED.parse::<std::net::Ipv4Addr>().unwrap());
    for (address, single) in [
        (ALLOWED, Single::V4(v4)),
        (ALLOWED6, Single::Net6(net)),
        (ALLOWED6, Single::V6(v6)),
    ] {
        for op in image.ban(single, LAST).unwrap() {
            dataplane.live_mut().apply(&op).unwrap();
        }
        assert_eq!(verdict(&dataplane, address), XDP_DROP, "{single:?} is banned");
        assert_eq!(dataplane.live().judge(0, &source(address)).unwrap(), Reason::Banned);
        for op in image.unban(single) {
            dataplane.live_mut().apply(&op).unwrap();
        }
        assert_eq!(verdict(&dataplane, address), XDP_PASS, "{single:?} is no more");
    }
    // A ban ends by the kernel's clock, with nobody there to lift it.
    let soon = ticks(boot_ns()) + 4;
    for op in image.ban(Single::V4(v4), soon).unwrap() {
        dataplane.live_mut().apply(&op).unwrap();
    }
    assert_eq!(verdict(&dataplane, ALLOWED), XDP_DROP);
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(verdict(&dataplane, ALLOWED), XDP_PASS);
    // The policy changes: what was foreign is allowed, and the contrary.
    let mut other = intent();
    other.gates[0].allow = vec!["198.51.100.0/24".parse().unwrap(), "2001:db8:f::/48".parse().unwrap()];
    for op in image.plan(&compile(&other)).unwrap() {
        dataplane.live_mut().apply(&op).unwrap();
    }
    for (address, expected) in [
        (ALLOWED, XDP_DROP),
        (ALLOWED6, XDP_DROP),
        (FOREIGN, XDP_PASS),
        (FOREIGN6, XDP_PASS),
    ] {
        assert_eq!(verdict(&dataplane, address), expected, "{address}");
    }
    assert_eq!(dataplane.live().gate(25).unwrap(), Some(0));
    assert_eq!(dataplane.live().gate(80).unwrap(), None);
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_maps_drift_is_found_and_mended() {
    let bpffs = BpfFs::mount().unwrap();
    let image = image(&banning(ALLOWED, LAST).unwrap()).unwrap();
    let mut dataplane = Dataplane::install(&bpffs.pins(), kernel(), &image).unwrap();
    let found = drift(&dataplane.live().read().unwrap(), image.maps());
    assert!(found.is_none(), "just installed: {found:?}");
    // Somebody with bpftool.
    let spoil = [
        Op::Trie4Set("198.51.100.0/24".parse().unwrap(), Cell::new(1, 0, 0)),
        Op::Trie6Remove("2001:db8:a::/48".parse().unwrap()),
        Op::Root4Set(0xc633, 255),
        Op::Ban4Set {
            bucket: 3,
            slot: 1,
            word: 77,
        },
        Op::Over6Set(1, 2),
        Op::Observe(1),
    ];
    for op in &spoil {
        dataplane.live_mut().apply(op).unwrap();
    }
    let found = drift(&dataplane.live().read().unwrap(), image.maps());
    assert_eq!(found.ops.len(), spoil.len(), "{found:?}");
    assert_ne!(verdict(&dataplane, FOREIGN), XDP_DROP);
    for op in &found.ops {
        dataplane.live_mut().apply(op).unwrap();
    }
    assert!(drift(&dataplane.live().read().unwrap(), image.maps()).is_none());
    assert_eq!(verdict(&dataplane, FOREIGN), XDP_DROP);
}

/// A small world, so that prefixes nest, repeat and collide.
fn prefix() -> impl Strategy<Value = ipnet::IpNet> {
    let v4 = (0..4_u8, 0..4_u8, any::<u8>(), 8..=32_u8)
        .prop_map(|(b, c, d, len)| ipnet::Ipv4Net::new([198, b, c, d].into(), len).unwrap().trunc().into());
    let v6 = (0..3_u16, 0..3_u16, 0..3_u16, 20..=128_u8).prop_map(|(b, d, h, len)| {
        ipnet::Ipv6Net::new([0x2001, 0xdb8, b, d, 0, 0, 0, h].into(), len)
            .unwrap()
            .trunc()
            .into()
    });
    prop_oneof![v4, v6]
}

fn policy() -> impl Strategy<Value = Intent> {
    let nets = |most| prop::collection::vec(prefix(), 0..most);
    let ban = (prefix(), prop_oneof![Just(LAST), Just(5)]).prop_map(|(prefix, until)| Ban { prefix, until });
    (
        nets(12),
        nets(12),
        nets(3),
        nets(6),
        prop::collection::vec(ban, 0..12),
        any::<bool>(),
    )
        .prop_map(|(first, second, trust, block, bans, observe)| {
            let gate = |name: &str, port, allow, observe| smtpgate::policy::Gate {
                name: name.to_owned(),
                ports: vec![port],
                allow,
                observe,
            };
            Intent {
                gates: vec![gate("mx", 25, first, false), gate("submission", 587, second, observe)],
                trust,
                block,
                bans,
            }
        })
}

#[derive(Clone, Debug)]
enum Step {
    Policy(Intent),
    Ban(Single),
    Unban(Single),
}

fn step() -> impl Strategy<Value = Step> {
    let single = || prefix().prop_filter_map("a single source", Single::of);
    prop_oneof![
        policy().prop_map(Step::Policy),
        single().prop_map(Step::Ban),
        single().prop_map(Step::Ban),
        single().prop_map(Step::Unban),
    ]
}

/// Room for much, but two buckets only, so that bans overflow.
fn tight(table: &smtpgate::policy::GateTable) -> Sizes {
    let sizes = Sizes::for_table(table, &Limits::default()).unwrap();
    Sizes {
        bans4_log2: 1,
        over4: 4096,
        bans6_log2: 1,
        over6: 4096,
        ..sizes
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_maps_stay_equal_to_the_image_over_random_operations() {
    let bpffs = BpfFs::mount().unwrap();
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let probes = || prop::collection::vec(prefix(), 40);
    proptest!(config, |(first in policy(), steps in prop::collection::vec(step(), 1..24), probes in probes())| {
        let table = compile(&first);
        let mut image = Image::build(&table, tight(&table)).unwrap();
        let mut dataplane = Dataplane::install(&bpffs.pins(), kernel(), &image).unwrap();
        for step in steps {
            image.set_now(ticks(boot_ns()));
            let ops = match step {
                // One that needs new maps is left out: that is another test.
                Step::Policy(intent) => image.plan(&compile(&intent)).unwrap_or_default(),
                Step::Ban(single) => image.ban(single, LAST).unwrap_or_default(),
                Step::Unban(single) => image.unban(single),
            };
            for op in &ops {
                dataplane.live_mut().apply(op).unwrap();
            }
        }
        let found = drift(&dataplane.live().read().unwrap(), image.maps());
        prop_assert!(found.is_none(), "{found:?}");
        image.set_now(ticks(boot_ns()));
        for (number, probe) in probes.into_iter().enumerate() {
            let source = match probe.addr() {
                IpAddr::V4(address) => Source::V4(address.octets()),
                IpAddr::V6(address) => Source::V6(address.octets()),
            };
            for gate in 0..2 {
                prop_assert_eq!(dataplane.live().judge(gate, &source).unwrap(), judge(&image.maps(), gate, &source));
            }
            // A test run waits for a grace period.
            if number < 4 {
                let dropped = verdict(&dataplane, &probe.addr().to_string()) == XDP_DROP;
                prop_assert_eq!(dropped, judge(&image.maps(), 0, &source).drops(), "{}", probe);
            }
        }
    });
    unload(&bpffs.pins()).unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_maps_count_every_frame_and_tell_of_as_many_as_there_are_tokens() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    pair.host
        .run(|| {
            let dataplane = Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?;
            let eth0 = dataplane.attach("eth0")?;
            let mut tokens = dataplane.tokens()?;
            // One a round and CPU.
            tokens.refill(Rate(1))?;
            for _ in 0..20 {
                verdict(&dataplane, FOREIGN);
            }
            // A SYN through the wire for the interface's name.
            tokens.refill(Rate(1))?;
            let before = boot_ns();
            assert!(!pair.answered(FOREIGN6, 25)?);
            let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
            let mut events = Vec::new();
            runtime.block_on(async {
                let mut reader = dataplane.events().unwrap();
                while let Ok(Ok(more)) = tokio::time::timeout(Duration::from_millis(300), reader.next()).await {
                    events.extend(more);
                }
            });
            assert!(
                (2..=2 * cpus).contains(&events.len()),
                "{} events on {cpus} CPUs",
                events.len()
            );
            let of = |address: &str| {
                let address: IpAddr = address.parse().unwrap();
                events.iter().find(|event| event.source == Some(address)).cloned()
            };
            let event = of(FOREIGN6).expect("an event of the SYN on the wire");
            assert_eq!(
                (event.port, event.gate, event.reason, event.family),
                (Some(25), Some(0), Reason::Outside, Family::V6)
            );
            assert_eq!((event.ifindex, event.interface.as_deref()), (eth0.index, Some("eth0")));
            assert!(!event.observed && event.boot_ns >= before && event.boot_ns <= boot_ns());
            assert!(of(FOREIGN).is_some());
            let counts = dataplane.counts()?;
            let outside = |family| {
                counts
                    .iter()
                    .find(|count| count.family == family && count.reason == Reason::Outside)
            };
            let v4 = outside(Family::V4).expect("a count for IPv4");
            assert_eq!((v4.frames, v4.gate, v4.observed), (20, Some(0), false));
            assert!(outside(Family::V6).is_some_and(|count| count.frames >= 1));
            Ok(())
        })
        .unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_maps_tell_how_full_they_are() {
    let bpffs = BpfFs::mount().unwrap();
    let image = image(&banning(ALLOWED, LAST).unwrap()).unwrap();
    let dataplane = Dataplane::install(&bpffs.pins(), kernel(), &image).unwrap();
    let usage = dataplane.usage().unwrap();
    let of = |map: &str| *usage.iter().find(|usage| usage.map == map).unwrap();
    let fill = image.fill();
    assert_eq!(of("TRIE4").used, Some(fill.trie4 as u64));
    assert_eq!(of("TRIE4").capacity, u64::from(image.sizes().trie4));
    assert_eq!(of("NODES4").used, Some(fill.nodes4 as u64));
    assert_eq!(of("NODES6").used, Some(fill.nodes6 as u64));
    assert_eq!(of("BANS4").used, Some(1));
    assert_eq!(of("BANS4").capacity, 8 << image.sizes().bans4_log2);
    assert_eq!(usage.len(), 13);
    assert!(usage.iter().all(|usage| usage.bytes > 0), "{usage:?}");
}
