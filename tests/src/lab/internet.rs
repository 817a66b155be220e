//! The hosts and the way between them: `mail` behind its uplink, `router` in the middle, and sites at real addresses.
//!
//! ```text
//!   tokyo ────┐
//!   america ──┼── router ── eth0 mail      (default route of mail: router, both families)
//!   russia ───┘
//! ```
//!
//! Every address of a site's networks is its own, so one site speaks from as many sources as a test wants, answers come
//! back to it, and the mail host sees the true source.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnet::{Ipv4Net, Ipv6Net};
use socket2::{Domain, Socket, Type};

use super::netns::{End, Netns, veth};

/// The mail host's address, from the documentation range.
pub const MAIL4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 25);
/// The mail host's IPv6 address, from the documentation range.
pub const MAIL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x25, 0, 0, 0, 0, 0x25);

/// The mail host's interface to the outside.
pub const UPLINK: &str = "eth0";

/// A place in the world, with one network a family.
#[derive(Debug)]
pub struct Site {
    /// Where its sockets live.
    pub ns: Netns,
    /// Its IPv4 network.
    pub net4: Ipv4Net,
    /// Its IPv6 network.
    pub net6: Ipv6Net,
}

/// All hosts.
#[derive(Debug)]
pub struct Internet {
    /// The host to be guarded. Nothing runs on it yet.
    pub mail: Netns,
    /// The provider's router; the mail host's gateway.
    pub router: Netns,
    /// A site in Japan (133.11.0.0/16 and 2001:2f8::/32: universities).
    pub tokyo: Site,
    /// A site in the United States.
    pub america: Site,
    /// A site in Russia.
    pub russia: Site,
}

impl Internet {
    /// Builds it all and waits for nothing: addresses and routes work at once.
    pub fn new() -> Result<Self> {
        Self::around(Netns::new("mail")?)
    }

    /// [`Internet::new`], around a mail host that is there.
    pub fn around(mail: Netns) -> Result<Self> {
        let router = Netns::new("router")?;
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            router.sysctl(key, "1")?;
        }
        // A flood to closed ports must not be answered less often because it is a flood.
        for (key, value) in [("net/ipv4/icmp_ratelimit", "0"), ("net/ipv4/tcp_syncookies", "1")] {
            mail.sysctl(key, value)?;
        }
        veth(
            End {
                ns: &mail,
                interface: UPLINK,
                mac: [2, 0, 0, 0, 0, 25],
            },
            End {
                ns: &router,
                interface: "mail",
                mac: [2, 0, 0, 0, 0, 1],
            },
        )?;
        mail.ip(&format!(
            "addr add {MAIL4}/24 dev {UPLINK}\n\
             addr add {MAIL6}/64 dev {UPLINK}\n\
             route add default via 203.0.113.1\n\
             route add default via 2001:db8:25::1 dev {UPLINK}"
        ))?;
        router.ip("addr add 203.0.113.1/24 dev mail\naddr add 2001:db8:25::1/64 dev mail")?;
        Ok(Self {
            tokyo: Site::new("tokyo", 2, "133.11.0.0/16", "2001:2f8:1::/48", &router)?,
            america: Site::new("america", 3, "12.34.0.0/16", "2607:f8b0:4000::/48", &router)?,
            russia: Site::new("russia", 4, "77.88.0.0/18", "2a02:6b8::/48", &router)?,
            mail,
            router,
        })
    }
}

impl Site {
    fn new(name: &str, number: u8, net4: &str, net6: &str, router: &Netns) -> Result<Self> {
        let (net4, net6): (Ipv4Net, Ipv6Net) = (net4.parse()?, net6.parse()?);
        let site = Self {
            ns: Netns::new(name)?,
            net4,
            net6,
        };
        veth(
            End {
                ns: &site.ns,
                interface: "eth0",
                mac: [2, 0, 0, 0, number, 2],
            },
            End {
                ns: router,
                interface: name,
                mac: [2, 0, 0, 0, number, 1],
            },
        )?;
        // "local" routes make a whole network this host's own (AnyIP); IPv6 wants the sysctl to bind to such an address.
        site.ns.sysctl("net/ipv6/ip_nonlocal_bind", "1")?;
        let link = format!("10.0.{number}");
        site.ns.ip(&format!(
            "addr add {link}.2/24 dev eth0\n\
             addr add fe80::2/64 dev eth0\n\
             route add local {net4} dev lo\n\
             route add local {net6} dev lo\n\
             route add default via {link}.1 src {}\n\
             route add default via fe80::1 dev eth0",
            site.v4(1)
        ))?;
        router.ip(&format!(
            "addr add {link}.1/24 dev {name}\n\
             addr add fe80::1/64 dev {name}\n\
             route add {net4} via {link}.2\n\
             route add {net6} via fe80::2 dev {name}"
        ))?;
        Ok(site)
    }

    /// The `n`-th address of its IPv4 network; 1 is the one it speaks from by itself.
    #[must_use]
    pub fn v4(&self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.net4.network().to_bits() | n)
    }

    /// The first address of the `n`-th /64 of its IPv6 network (bans and tables are by /64), never all-zero at the end.
    #[must_use]
    pub fn v6(&self, n: u16) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.net6.network().to_bits() | u128::from(n) << 64 | 1)
    }

    /// Its addresses number `n` of both families.
    #[must_use]
    pub fn both(&self, n: u16) -> [IpAddr; 2] {
        [self.v4(n.into()).into(), self.v6(n).into()]
    }

    /// Connects from `from`, one of this site's addresses, to `port` of the mail host, over the family of `from`.
    ///
    /// The outer error is the lab's; the inner result is what the network answered: [`io::ErrorKind::TimedOut`] for
    /// silence, `ConnectionRefused` for a closed port.
    pub fn connect(&self, from: IpAddr, port: u16, timeout: Duration) -> Result<io::Result<TcpStream>> {
        self.ns.run(|| {
            let (domain, to): (_, IpAddr) = match from {
                IpAddr::V4(_) => (Domain::IPV4, MAIL4.into()),
                IpAddr::V6(_) => (Domain::IPV6, MAIL6.into()),
            };
            let socket = Socket::new(domain, Type::STREAM, None)?;
            socket
                .bind(&SocketAddr::new(from, 0).into())
                .with_context(|| format!("bind to {from}"))?;
            let connected = socket.connect_timeout(&SocketAddr::new(to, port).into(), timeout);
            Ok(connected.map(|()| TcpStream::from(socket)))
        })
    }
}
