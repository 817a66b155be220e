//! Where the gate meets the packets, and that nothing of it stays behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use smtpgate::dataplane::{AttachMode, Dataplane, Kernel, Removed, interfaces, unload};
use smtpgate_tests::gated::{ALLOWED, BpfFs, FOREIGN, Pair, image, intent};
use smtpgate_tests::lab::netns::{End, Netns, veth};
use smtpgate_tests::tun::Tun;

fn kernel() -> Kernel {
    Kernel::probe().unwrap()
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_is_native_where_the_driver_can() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    pair.open().unwrap();
    let attachment = pair
        .host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?.attach("eth0")?))
        .unwrap();
    assert_eq!(attachment.mode, AttachMode::Native, "{attachment:?}");
    assert_eq!(attachment.passed_over, Vec::<String>::new());
    pair.gated().unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_is_generic_where_the_driver_cannot() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    // A bridge has no XDP in its driver.
    pair.host.ip("link add br0 type bridge\naddr flush dev eth0\nlink set eth0 master br0\nlink set br0 up\naddr add 192.0.2.1/24 dev br0\naddr add 2001:db8::1/64 dev br0\nroute replace default via 192.0.2.2\nroute replace default via 2001:db8::2").unwrap();
    let attachment = pair
        .host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?.attach("br0")?))
        .unwrap();
    assert_eq!(attachment.mode, AttachMode::Generic, "{attachment:?}");
    assert!(attachment.passed_over[0].starts_with("native XDP: "), "{attachment:?}");
    pair.gated().unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_goes_to_tc_where_xdp_is_taken_and_says_by_whom() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    // The neighbour is another gate of ours with other pins: a whole XDP program of somebody else.
    let neighbour = bpffs.root().join("neighbour");
    let (other, attachment) = pair
        .host
        .run(|| {
            let open = image(&smtpgate::policy::Intent::default())?;
            let other = Dataplane::install(&neighbour, kernel(), &open)?.attach("eth0")?;
            Ok((
                other,
                Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?.attach("eth0")?,
            ))
        })
        .unwrap();
    assert_eq!((other.mode, attachment.mode), (AttachMode::Native, AttachMode::Tc));
    let expected = format!("XDP is taken by program {} (smtpgate)", other.program);
    assert_eq!(attachment.passed_over, [expected]);
    pair.gated().unwrap();
    // Taken off, it leaves the neighbour alone.
    pair.host.run(|| Ok(unload(&bpffs.pins())?)).unwrap();
    pair.open().unwrap();
    let left = pair.host.run(|| Ok(interfaces()?)).unwrap();
    let eth0 = left.iter().find(|interface| interface.name == "eth0").unwrap();
    assert_eq!(
        eth0.xdp.iter().map(|xdp| xdp.program).collect::<Vec<_>>(),
        [other.program]
    );
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_reads_links_without_an_ethernet_header() {
    let bpffs = BpfFs::mount().unwrap();
    let host = Netns::new("host").unwrap();
    let tun = host.run(|| Tun::open("tun9")).unwrap();
    host.ip("link set tun9 up\naddr add 192.0.2.1/24 dev tun9\nroute add default dev tun9")
        .unwrap();
    assert!(
        tun.answered(FOREIGN, 25).unwrap() && tun.answered(ALLOWED, 25).unwrap(),
        "before it is gated"
    );
    let attachment = host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?.attach("tun9")?))
        .unwrap();
    assert_eq!(attachment.mode, AttachMode::Tc, "{attachment:?}");
    for (source, port, expected) in [(FOREIGN, 25, false), (ALLOWED, 25, true), (FOREIGN, 80, true)] {
        assert_eq!(
            tun.answered(source, port).unwrap(),
            expected,
            "port {port} from {source}"
        );
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_refuses_what_it_cannot_gate() {
    let bpffs = BpfFs::mount().unwrap();
    let host = Netns::new("host").unwrap();
    let dataplane = host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?))
        .unwrap();
    for (interface, word) in [("lo", "loopback"), ("eth7", "does not exist")] {
        let error = host
            .run(|| Ok(dataplane.attach(interface).unwrap_err().to_string()))
            .unwrap();
        assert!(error.contains(interface) && error.contains(word), "{error}");
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_takes_the_frags_program_for_large_frames() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    // veth refuses a plain XDP program where the peer's MTU is beyond a page (veth_xdp_set).
    for ns in [&pair.host, &pair.client] {
        ns.ip("link set eth0 mtu 9000").unwrap();
    }
    let attachment = pair
        .host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?.attach("eth0")?))
        .unwrap();
    assert_eq!(attachment.mode, AttachMode::Native, "{attachment:?}");
    assert!(attachment.passed_over.len() == 1, "{attachment:?}");
    pair.gated().unwrap();
    // And a new generation in the same link takes it again.
    let after = pair
        .host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?.attach("eth0")?))
        .unwrap();
    assert_eq!(after.mode, AttachMode::Native);
    assert_ne!(after.program, attachment.program);
    pair.gated().unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_follows_a_link_made_anew_and_one_renamed() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let install = || {
        pair.host
            .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?))
            .unwrap()
    };
    let dataplane = install();
    pair.host.run(|| Ok(dataplane.attach("eth0")?)).unwrap();
    pair.host.ip("link del eth0").unwrap();
    assert_eq!(
        pair.host.run(|| Ok(dataplane.attachments()?)).unwrap(),
        [],
        "the interface is gone"
    );
    veth(
        End {
            ns: &pair.host,
            interface: "eth0",
            mac: [2, 0, 0, 0, 0, 1],
        },
        End {
            ns: &pair.client,
            interface: "eth0",
            mac: [2, 0, 0, 0, 0, 2],
        },
    )
    .unwrap();
    pair.address().unwrap();
    pair.open().unwrap();
    pair.host.run(|| Ok(dataplane.attach("eth0")?)).unwrap();
    pair.gated().unwrap();
    pair.host.ip("link set eth0 down\nlink set eth0 name lan.0\nlink set lan.0 up\naddr add 2001:db8::1/64 dev lan.0\nroute add default via 192.0.2.2\nroute add default via 2001:db8::2").unwrap();
    let dataplane = install();
    let found = pair.host.run(|| Ok(dataplane.attachments()?)).unwrap();
    assert_eq!(
        found
            .iter()
            .map(|attachment| attachment.interface.as_str())
            .collect::<Vec<_>>(),
        ["lan.0"]
    );
    pair.gated().unwrap();
    assert!(pair.host.run(|| Ok(dataplane.detach("lan.0")?)).unwrap());
    pair.open().unwrap();
}

/// What `tc` and `ip` tell of the host's interface, without counters.
fn traces(host: &Netns) -> String {
    let mut text = String::new();
    for (program, args) in [
        ("ip", ["-d", "link", "show", "eth0"].as_slice()),
        ("tc", &["qdisc", "show", "dev", "eth0"]),
        ("tc", &["filter", "show", "dev", "eth0", "ingress"]),
    ] {
        let out = host.command(program).args(args).output().unwrap();
        text.push_str(&String::from_utf8_lossy(&out.stdout));
    }
    text
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_unload_leaves_nothing() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let before = traces(&pair.host);
    let dataplane = pair
        .host
        .run(|| Ok(Dataplane::install(&bpffs.pins(), kernel(), &image(&intent())?)?))
        .unwrap();
    pair.host.run(|| Ok(dataplane.attach("eth0")?)).unwrap();
    drop(dataplane);
    assert_ne!(traces(&pair.host), before);
    let removed = pair.host.run(|| Ok(unload(&bpffs.pins())?)).unwrap();
    let expected = [
        Removed::Attachment {
            interface: "eth0".to_owned(),
            mode: Some(AttachMode::Native),
        },
        Removed::Generation(1),
        Removed::Counters,
    ];
    assert_eq!(removed, expected);
    assert_eq!(traces(&pair.host), before);
    assert!(!bpffs.pins().exists());
    pair.open().unwrap();
    assert_eq!(pair.host.run(|| Ok(unload(&bpffs.pins())?)).unwrap(), [], "done again");
    let gone = pair
        .host
        .run(|| {
            Ok(Dataplane::open(&bpffs.pins(), kernel())
                .err()
                .map(|error| error.to_string()))
        })
        .unwrap();
    assert!(gone.unwrap().contains("smtpgate load"));
}

/// As on kernels before 6.6.
const OLD: Kernel = Kernel {
    frags: false,
    tcx: false,
    tunnels: false,
};

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_hangs_on_clsact_where_tc_has_no_links() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let neighbour = bpffs.root().join("neighbour");
    pair.host
        .run(|| {
            let open = image(&smtpgate::policy::Intent::default())?;
            Ok(Dataplane::install(&neighbour, OLD, &open)?.attach("eth0")?)
        })
        .unwrap();
    let before = traces(&pair.host);
    let install = || {
        pair.host
            .run(|| Ok(Dataplane::install(&bpffs.pins(), OLD, &image(&intent())?)?))
            .unwrap()
    };
    let first = pair.host.run(|| Ok(install().attach("eth0")?)).unwrap();
    assert_eq!(first.mode, AttachMode::Tc, "{first:?}");
    pair.gated().unwrap();
    // A new generation takes the filter's place: same priority, same handle, and one filter only.
    let dataplane = install();
    let second = pair.host.run(|| Ok(dataplane.attach("eth0")?)).unwrap();
    assert_eq!((second.mode, second.interface.as_str()), (AttachMode::Tc, "eth0"));
    assert_ne!(second.program, first.program);
    pair.gated().unwrap();
    assert_eq!(
        traces(&pair.host)
            .matches("filter protocol all pref 49152 bpf chain 0 handle")
            .count(),
        1
    );
    drop(dataplane);
    let removed = pair.host.run(|| Ok(unload(&bpffs.pins())?)).unwrap();
    assert_eq!(
        removed[0],
        Removed::Attachment {
            interface: "eth0".to_owned(),
            mode: Some(AttachMode::Tc)
        }
    );
    assert_eq!(traces(&pair.host), before);
    pair.open().unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_finds_its_clsact_filter_on_a_renamed_interface() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let neighbour = bpffs.root().join("neighbour");
    let install = || {
        pair.host
            .run(|| Ok(Dataplane::install(&bpffs.pins(), OLD, &image(&intent())?)?))
            .unwrap()
    };
    pair.host
        .run(|| {
            let open = image(&smtpgate::policy::Intent::default())?;
            Dataplane::install(&neighbour, OLD, &open)?.attach("eth0")?;
            Ok(install().attach("eth0")?)
        })
        .unwrap();
    pair.host
        .ip("link set eth0 down\nlink set eth0 name lan0\nlink set lan0 up")
        .unwrap();
    let found = pair.host.run(|| Ok(install().attachments()?)).unwrap();
    assert_eq!(
        found
            .iter()
            .map(|attachment| (attachment.interface.as_str(), attachment.mode))
            .collect::<Vec<_>>(),
        [("lan0", AttachMode::Tc)]
    );
    pair.host.run(|| Ok(unload(&bpffs.pins())?)).unwrap();
    let out = pair
        .host
        .command("tc")
        .args(["qdisc", "show", "dev", "lan0"])
        .output()
        .unwrap();
    let left = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && !left.contains("clsact"), "{left}");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_leaves_a_clsact_qdisc_that_was_there() {
    let bpffs = BpfFs::mount().unwrap();
    let pair = Pair::new().unwrap();
    let neighbour = bpffs.root().join("neighbour");
    let out = pair
        .host
        .command("tc")
        .args(["qdisc", "add", "dev", "eth0", "clsact"])
        .output()
        .unwrap();
    assert!(out.status.success(), "tc: {}", String::from_utf8_lossy(&out.stderr));
    pair.host
        .run(|| {
            let open = image(&smtpgate::policy::Intent::default())?;
            Dataplane::install(&neighbour, OLD, &open)?.attach("eth0")?;
            Dataplane::install(&bpffs.pins(), OLD, &image(&intent())?)?.attach("eth0")?;
            Ok(unload(&bpffs.pins())?)
        })
        .unwrap();
    assert!(traces(&pair.host).contains("qdisc clsact"), "{}", traces(&pair.host));
    pair.open().unwrap();
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_attach_names_a_missing_bpf_file_system() {
    let bpffs = BpfFs::mount().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pins = folder.path().join("pins");
    let error = Dataplane::install(&pins, kernel(), &image(&intent()).unwrap())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("mount -t bpf bpf") && error.contains(&pins.display().to_string()),
        "{error}"
    );
    assert!(!pins.exists(), "nothing was made");
    drop(bpffs);
}
