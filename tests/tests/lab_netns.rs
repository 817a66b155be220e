//! The lab's ground: namespaces, veth pairs, and that nothing of them is left behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use smtpgate_tests::lab::netns::{End, Netns, veth};

fn pair() -> (Netns, Netns) {
    let (a, b) = (Netns::new("a").unwrap(), Netns::new("b").unwrap());
    veth(
        End {
            ns: &a,
            interface: "eth0",
            mac: [2, 0, 0, 0, 0, 1],
        },
        End {
            ns: &b,
            interface: "eth0",
            mac: [2, 0, 0, 0, 0, 2],
        },
    )
    .unwrap();
    a.ip("addr add 192.0.2.1/24 dev eth0\naddr add 2001:db8::1/64 dev eth0")
        .unwrap();
    b.ip("addr add 192.0.2.2/24 dev eth0\naddr add 2001:db8::2/64 dev eth0")
        .unwrap();
    (a, b)
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_netns_joined_hosts_talk_over_both_families() {
    let (a, b) = pair();
    let listener = a.run(|| Ok(TcpListener::bind("[::]:25")?)).unwrap();
    for to in ["192.0.2.1:25", "[2001:db8::1]:25"] {
        let mut client = b
            .run(|| Ok(TcpStream::connect_timeout(&to.parse()?, Duration::from_secs(5))?))
            .unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"220\n").unwrap();
        let mut said = [0; 4];
        client.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"220\n", "{to}");
    }
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_netns_gro_is_on_as_native_xdp_on_veth_needs() {
    let (a, _b) = pair();
    let out = a.command("ethtool").args(["-k", "eth0"]).output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.contains("generic-receive-offload: on"), "{said}");
}

#[test]
#[ignore = "root: cargo xtask test"]
fn lab_netns_has_no_route_out() {
    let (a, _b) = pair();
    let out = a
        .run(|| {
            Ok(TcpStream::connect_timeout(
                &"198.51.100.1:80".parse()?,
                Duration::from_secs(1),
            ))
        })
        .unwrap();
    assert_eq!(out.unwrap_err().kind(), std::io::ErrorKind::NetworkUnreachable);
}
