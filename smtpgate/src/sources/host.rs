//! What is always trusted: loopback, this host's own addresses, and the gateways of its routes.
//!
//! Asked of the kernel by rtnetlink(7), in the network namespace of the calling thread (not through /proc/net, which
//! shows the one of the process).

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// The addresses of this host and of its nearest routers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Addresses of all its interfaces.
    pub own: BTreeSet<IpAddr>,
    /// Gateways of all routes in all tables.
    pub gateways: BTreeSet<IpAddr>,
}

impl Host {
    /// Asks the kernel. The error says which question failed.
    pub fn ask() -> io::Result<Host> {
        let mut host = Host::default();
        let failed = |what: &str, error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("the kernel does not tell this host's {what} (rtnetlink): {error}"),
            )
        };
        dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| {
            if let RouteNetlinkMessage::NewAddress(message) = message {
                host.own.extend(own_address(&message));
            }
        })
        .map_err(|error| failed("addresses", error))?;
        dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()), |message| {
            if let RouteNetlinkMessage::NewRoute(message) = message {
                add_gateways(&message.attributes, &mut host.gateways);
            }
        })
        .map_err(|error| failed("routes", error))?;
        Ok(host)
    }

    /// Everything as prefixes, loopback (127.0.0.0/8 and ::1) first.
    pub fn nets(&self) -> Vec<IpNet> {
        let loopback = ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok());
        loopback
            .chain(
                self.own
                    .iter()
                    .chain(&self.gateways)
                    .map(|address| IpNet::from(*address)),
            )
            .collect()
    }
}

/// On a point-to-point link IFA_ADDRESS is the peer, and IFA_LOCAL the own one (linux/if_addr.h).
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let find = |pick: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(pick);
    find(|attribute| {
        if let AddressAttribute::Local(address) = attribute {
            Some(*address)
        } else {
            None
        }
    })
    .or_else(|| {
        find(|attribute| {
            if let AddressAttribute::Address(address) = attribute {
                Some(*address)
            } else {
                None
            }
        })
    })
}

fn add_gateways(attributes: &[RouteAttribute], gateways: &mut BTreeSet<IpAddr>) {
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) | RouteAttribute::Via(RouteVia::Inet(address)) => {
                gateways.insert((*address).into());
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) | RouteAttribute::Via(RouteVia::Inet6(address)) => {
                gateways.insert((*address).into());
            }
            RouteAttribute::MultiPath(hops) => hops.iter().for_each(|hop| add_gateways(&hop.attributes, gateways)),
            _ => {}
        }
    }
}

/// Asks for all objects of one kind, and calls `each` with every one.
fn dump(question: RouteNetlinkMessage, mut each: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(question));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            // Messages are padded to four bytes (NLMSG_ALIGN of linux/netlink.h).
            let length = usize::try_from(message.header.length).unwrap_or(0).next_multiple_of(4);
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => each(message),
                _ => {}
            }
            rest = rest.get(length.max(1)..).unwrap_or(&[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteNextHop;
    use std::net::Ipv4Addr;

    #[test]
    fn host_of_this_machine_has_loopback() {
        let host = Host::ask().unwrap();
        assert!(host.own.contains(&Ipv4Addr::LOCALHOST.into()), "{host:?}");
        assert!(host.nets().contains(&"127.0.0.0/8".parse().unwrap()));
    }

    #[test]
    fn host_takes_the_local_end_of_a_point_to_point_link() {
        let mut message = AddressMessage::default();
        let [own, peer]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        message.attributes = vec![AddressAttribute::Address(peer), AddressAttribute::Local(own)];
        assert_eq!(own_address(&message), Some(own));
        message.attributes.pop();
        assert_eq!(own_address(&message), Some(peer));
    }

    #[test]
    fn host_finds_gateways_of_every_form_of_route() {
        let mut hop = RouteNextHop::default();
        hop.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(
            "192.0.2.2".parse().unwrap(),
        ))];
        let attributes = [
            RouteAttribute::Gateway(RouteAddress::Inet("192.0.2.1".parse().unwrap())),
            RouteAttribute::MultiPath(vec![hop]),
            RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap())),
            RouteAttribute::Destination(RouteAddress::Inet("203.0.113.0".parse().unwrap())),
        ];
        let mut gateways = BTreeSet::new();
        add_gateways(&attributes, &mut gateways);
        let shown: Vec<String> = gateways.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1", "192.0.2.2", "fe80::1"]);
    }
}
