//! The network beside the program: interfaces, their changes, and connections that are cut.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ipnet::IpNet;
use smtpgate::dataplane::{Changes, Cut, Layer, cut, default_routes, interfaces};
use smtpgate_tests::gated::{ALLOWED, ALLOWED6, FOREIGN, HOST, Pair};
use smtpgate_tests::lab::netns::Netns;

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_net_finds_interfaces_and_default_routes() {
    let pair = Pair::new().unwrap();
    pair.host.ip("link add name unused type bridge").unwrap();
    let (all, routes) = pair.host.run(|| Ok((interfaces()?, default_routes()?))).unwrap();
    let named = |name: &str| all.iter().find(|interface| interface.name == name).unwrap();
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(named("lo").layer, Layer::Loopback);
    let eth0 = named("eth0");
    assert_eq!(
        (eth0.layer, eth0.mtu, eth0.state.as_str(), eth0.xdp.len()),
        (Layer::Ethernet, 1500, "up", 0)
    );
    assert_eq!(routes, [eth0.index]);
    // Only one family's default route is enough, and a host without one has none.
    pair.host.ip("route del default").unwrap();
    assert_eq!(pair.host.run(|| Ok(default_routes()?)).unwrap(), [eth0.index]);
    pair.host.ip("route del default via 2001:db8::2 dev eth0").unwrap();
    assert_eq!(pair.host.run(|| Ok(default_routes()?)).unwrap(), [0_u32; 0]);
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_net_tells_of_changes() {
    let host = Netns::new("host").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let mut changes = host
        .run(|| {
            let _inside = runtime.enter();
            Ok(Changes::listen()?)
        })
        .unwrap();
    let patience = Duration::from_millis(300);
    let mut told = || runtime.block_on(async { tokio::time::timeout(patience, changes.changed()).await });
    while told().is_ok() {}
    for (what, lines) in [
        ("new", "link add name br0 type bridge"),
        ("up", "link set br0 up\naddr add 192.0.2.1/24 dev br0"),
        ("a default route", "route add default via 192.0.2.9"),
        ("renamed", "link set br0 down\nlink set br0 name br1"),
        ("deleted", "link del br1"),
    ] {
        host.ip(lines).unwrap();
        told().unwrap_or_else(|_| panic!("{what}: nothing was told")).unwrap();
        while told().is_ok() {}
    }
    assert!(told().is_err(), "told of nothing");
}

struct Open {
    client: TcpStream,
    _server: TcpStream,
}

impl Open {
    /// From `source` to a listener of the host.
    fn new(pair: &Pair, listener: &TcpListener, source: &str, host: &str) -> anyhow::Result<Self> {
        let to = SocketAddr::new(host.parse()?, listener.local_addr()?.port());
        let client = pair.client.run(|| {
            let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
            socket.bind(&SocketAddr::new(source.parse()?, 0).into())?;
            socket.connect_timeout(&to.into(), Duration::from_secs(5))?;
            Ok(TcpStream::from(socket))
        })?;
        let (server, _) = listener.accept()?;
        client.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok(Self {
            client,
            _server: server,
        })
    }

    fn alive(&mut self) -> bool {
        let error = self.client.read(&mut [0; 1]).err();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn dataplane_net_cuts_the_connections_of_a_banned_source_and_no_others() {
    let pair = Pair::new().unwrap();
    let listen = |at: &str| pair.host.run(|| Ok(TcpListener::bind(at)?)).unwrap();
    // IPv4 alone, and both families on one socket, which sees IPv4 as mapped addresses.
    let (gated4, gated, other) = (listen("0.0.0.0:465"), listen("[::]:25"), listen("[::]:80"));
    let mut open: Vec<_> = [
        ("banned v4", &gated4, ALLOWED, HOST[0]),
        ("banned mapped", &gated, ALLOWED, HOST[0]),
        ("banned, other port", &other, ALLOWED, HOST[0]),
        ("other source", &gated, FOREIGN, HOST[0]),
        ("v6", &gated, ALLOWED6, HOST[1]),
    ]
    .map(|(name, listener, source, host)| (name, Open::new(&pair, listener, source, host).unwrap()))
    .into();
    let is_gated = |port| [25, 465].contains(&port);
    let cut = |prefix: &str| {
        let prefix: IpNet = prefix.parse().unwrap();
        pair.host
            .run(|| Ok(cut(|address| prefix.contains(&address), is_gated)?))
            .unwrap()
    };
    assert_eq!(cut("192.0.2.99/32"), Cut::Done(0), "who has no connection");
    assert!(open.iter_mut().all(|(_, open)| open.alive()));
    assert_eq!(cut(&format!("{ALLOWED}/32")), Cut::Done(2));
    let alive: Vec<_> = open.iter_mut().map(|(name, open)| (*name, open.alive())).collect();
    let expected = [
        ("banned v4", false),
        ("banned mapped", false),
        ("banned, other port", true),
        ("other source", true),
        ("v6", true),
    ];
    assert_eq!(alive, expected);
    assert_eq!(cut("2001:db8:a::/64"), Cut::Done(1));
    assert!(!open[4].1.alive());
}
