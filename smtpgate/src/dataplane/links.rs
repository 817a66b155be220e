//! Network interfaces of the current network namespace: what they are, which ones hold a default route, and a stream
//! that says when to look again.

use std::io;

use netlink_packet_core::{NlaBuffer, NlasIterator, ParseableParametrized as _};
use netlink_packet_route::link::{LinkAttribute, LinkHeader, LinkLayerType, LinkMessage, LinkXdp, State, XdpAttached};
use netlink_packet_route::route::{RouteHeader, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tokio::io::unix::AsyncFd;

use super::netlink::Netlink;
use super::wait;

// linux/rtnetlink.h and linux/if_link.h.
const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_XDP: u16 = 43;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const LINK_HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV6_ROUTE: u32 = 11;

/// What stands before the IP header on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// An Ethernet header.
    Ethernet,
    /// Nothing: tun, wireguard, ppp.
    Ip,
    /// Nothing, on kernels that forget the outer header: ipip, sit, gre.
    Tunnel,
    /// `lo`: never gated.
    Loopback,
    /// A header that the gate does not read, with its ARPHRD number.
    Other(u16),
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Interface index; never 0.
    pub index: u32,
    /// Name at the time of asking.
    pub name: String,
    /// What made it, of a virtual one: `veth`, `bond`, `bridge`, …
    pub kind: Option<String>,
    /// What its frames begin with.
    pub layer: Layer,
    /// Largest packet in bytes, without the link-layer header.
    pub mtu: u32,
    /// `operstate` as `ip link` prints it in lower case: up, down, unknown, …
    pub state: String,
    /// XDP programs on it, whosever they are.
    pub xdp: Vec<Xdp>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// Where it runs.
    pub mode: XdpMode,
    /// Program id.
    pub program: u32,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the stack, on an skb.
    Generic,
    /// In the NIC.
    Offloaded,
}

/// All interfaces, by index.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut netlink = Netlink::open(NETLINK_ROUTE)?;
    let answers = netlink.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut found: Vec<_> = answers
        .iter()
        .filter(|answer| answer.kind == RTM_NEWLINK)
        .filter_map(|answer| interface(&answer.payload))
        .collect();
    found.sort_by_key(|interface| interface.index);
    Ok(found)
}

/// Indices of the interfaces that hold a default route of any table, IPv4 or IPv6, sorted.
pub fn default_routes() -> io::Result<Vec<u32>> {
    let mut netlink = Netlink::open(NETLINK_ROUTE)?;
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        for answer in netlink.dump(RouteNetlinkMessage::GetRoute(message))? {
            if answer.kind == RTM_NEWROUTE {
                found.extend(default_route(&answer.payload));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn attributes(payload: &[u8], header: usize) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(payload.get(header..).unwrap_or_default()).map_while(Result::ok)
}

fn interface(payload: &[u8]) -> Option<Interface> {
    let header = LinkHeader::parse(payload).ok()?;
    let mut found = Interface {
        index: header.index,
        name: String::new(),
        kind: None,
        layer: layer(header.link_layer_type),
        mtu: 0,
        state: "unknown".to_owned(),
        xdp: Vec::new(),
    };
    for attribute in attributes(payload, LINK_HEADER) {
        if attribute.kind() == IFLA_LINKINFO {
            found.kind = virtual_kind(attribute.value());
        }
        if !matches!(attribute.kind(), IFLA_IFNAME | IFLA_MTU | IFLA_OPERSTATE | IFLA_XDP) {
            continue;
        }
        match LinkAttribute::parse_with_param(&attribute, AddressFamily::Unspec) {
            Ok(LinkAttribute::IfName(name)) => found.name = name,
            Ok(LinkAttribute::Mtu(mtu)) => found.mtu = mtu,
            Ok(LinkAttribute::OperState(state)) => found.state = state_name(state),
            Ok(LinkAttribute::Xdp(attributes)) => found.xdp = programs(&attributes),
            _ => {}
        }
    }
    (!found.name.is_empty()).then_some(found)
}

fn virtual_kind(info: &[u8]) -> Option<String> {
    let kind = attributes(info, 0).find(|attribute| attribute.kind() == IFLA_INFO_KIND)?;
    let text = String::from_utf8_lossy(kind.value());
    Some(text.trim_end_matches('\0').to_owned())
}

fn state_name(state: State) -> String {
    state.to_string().to_lowercase()
}

/// Link-layer types whose frames begin with the IP header in the classifier: drivers/net/tun.c, ppp_generic.c,
/// wireguard and the IP tunnels set no header length, and hand on packets whose network header comes first.
fn layer(kind: LinkLayerType) -> Layer {
    match kind {
        LinkLayerType::Ether => Layer::Ethernet,
        LinkLayerType::Loopback => Layer::Loopback,
        LinkLayerType::None | LinkLayerType::Ppp | LinkLayerType::Rawip => Layer::Ip,
        LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit
        | LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre => Layer::Tunnel,
        other => Layer::Other(u16::from(other)),
    }
}

/// From `IFLA_XDP`: one id for each mode since Linux 4.19; `IFLA_XDP_PROG_ID` alone when there is one program.
fn programs(attributes: &[LinkXdp]) -> Vec<Xdp> {
    let mut found = Vec::new();
    let mut attached = None;
    let mut only = None;
    for attribute in attributes {
        match *attribute {
            LinkXdp::Attached(mode) => attached = Some(mode),
            LinkXdp::ProgId(program) => only = Some(program),
            LinkXdp::DrvProgId(program) => found.push(Xdp {
                mode: XdpMode::Native,
                program,
            }),
            LinkXdp::SkbProgId(program) => found.push(Xdp {
                mode: XdpMode::Generic,
                program,
            }),
            LinkXdp::HwProgId(program) => found.push(Xdp {
                mode: XdpMode::Offloaded,
                program,
            }),
            _ => {}
        }
    }
    if let (true, Some(program), Some(mode)) = (found.is_empty(), only, attached) {
        let mode = match mode {
            XdpAttached::SocketBuffer => XdpMode::Generic,
            XdpAttached::Hardware => XdpMode::Offloaded,
            _ => XdpMode::Native,
        };
        found.push(Xdp { mode, program });
    }
    found
}

/// Outgoing interfaces of a route, when it is a default route that forwards.
fn default_route(payload: &[u8]) -> Vec<u32> {
    let Ok(header) = RouteHeader::parse(payload) else {
        return Vec::new();
    };
    if header.destination_prefix_length != 0 || header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let mut found = Vec::new();
    for attribute in attributes(payload, ROUTE_HEADER) {
        let value = attribute.value();
        match attribute.kind() {
            RTA_OIF => found.extend(value.first_chunk().map(|index| u32::from_ne_bytes(*index))),
            RTA_MULTIPATH => found.extend(next_hops(value)),
            _ => {}
        }
    }
    found
}

/// Interfaces in a list of `struct rtnexthop`: u16 length, u8 flags, u8 hops, u32 ifindex, attributes.
fn next_hops(mut value: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    while let Some([a, b, _, _, index @ ..]) = value.first_chunk::<8>() {
        found.push(u32::from_ne_bytes(*index));
        let len = usize::from(u16::from_ne_bytes([*a, *b])).next_multiple_of(4);
        if len < 8 {
            break;
        }
        value = value.get(len..).unwrap_or_default();
    }
    found
}

/// Says when interfaces or default routes may have changed. What they are now is asked of [`interfaces`] and
/// [`default_routes`], so a lost message costs nothing.
#[derive(Debug)]
pub struct Changes {
    socket: AsyncFd<Socket>,
}

impl Changes {
    /// Listens from now on, in the current network namespace. Needs a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in [RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE] {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket: wait::readable(socket)?,
        })
    }

    /// Waits until an interface came, went, was renamed or changed, or a route did. Cancel-safe.
    pub async fn changed(&mut self) -> io::Result<()> {
        let mut ready = self.socket.readable().await?;
        let mut bytes = Vec::with_capacity(65_536);
        loop {
            bytes.clear();
            match self.socket.get_ref().recv(&mut bytes, 0) {
                Ok(_) => {}
                // ENOBUFS: more changed than the socket could hold, which is all that is to be known.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [len.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link(kind: u16, index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let header = [[0, 0].as_slice(), &kind.to_ne_bytes(), &index.to_ne_bytes(), &[0; 8]].concat();
        [header, attributes.concat()].concat()
    }

    #[test]
    fn dataplane_links_reads_what_it_needs_and_no_more() {
        let xdp = [
            attribute(2, &[2]),
            attribute(4, &9u32.to_ne_bytes()),
            attribute(6, &9u32.to_ne_bytes()),
        ]
        .concat();
        let payload = link(
            1,
            3,
            &[
                attribute(3, b"eth0.100\0"),
                // An attribute of a kernel to come.
                attribute(900, &[1, 2, 3]),
                attribute(4, &9000u32.to_ne_bytes()),
                attribute(16, &[6]),
                attribute(18, &attribute(1, b"vlan\0")),
                attribute(43, &xdp),
            ],
        );
        let expected = Interface {
            index: 3,
            name: "eth0.100".to_owned(),
            kind: Some("vlan".to_owned()),
            layer: Layer::Ethernet,
            mtu: 9000,
            state: "up".to_owned(),
            xdp: vec![Xdp {
                mode: XdpMode::Generic,
                program: 9,
            }],
        };
        assert_eq!(interface(&payload), Some(expected));
    }

    #[test]
    fn dataplane_links_tells_layers_apart() {
        for (kind, expected) in [
            (1, Layer::Ethernet),
            (772, Layer::Loopback),
            (65534, Layer::Ip),
            (512, Layer::Ip),
            (768, Layer::Tunnel),
            (776, Layer::Tunnel),
            (32, Layer::Other(32)),
        ] {
            let found = interface(&link(kind, 1, &[attribute(3, b"x\0")])).unwrap();
            assert_eq!(found.layer, expected, "ARPHRD {kind}");
        }
    }

    fn route(prefix: u8, kind: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let header = [2, prefix, 0, 0, 254, 3, 0, kind, 0, 0, 0, 0].to_vec();
        [header, attributes.concat()].concat()
    }

    #[test]
    fn dataplane_links_finds_default_routes() {
        let oif = |index: u32| attribute(RTA_OIF, &index.to_ne_bytes());
        let hop = |index: u32| {
            [
                [16, 0, 0, 0].as_slice(),
                &index.to_ne_bytes(),
                &attribute(5, &[192, 0, 2, 1]),
            ]
            .concat()
        };
        let multipath = attribute(RTA_MULTIPATH, &[hop(4), hop(5)].concat());
        for (name, payload, expected) in [
            ("default", route(0, 1, &[oif(2)]), vec![2]),
            ("a net", route(24, 1, &[oif(2)]), vec![]),
            ("unreachable default", route(0, 7, &[oif(1)]), vec![]),
            ("two ways out", route(0, 1, &[multipath]), vec![4, 5]),
            ("cut off", vec![2, 0, 0], vec![]),
        ] {
            assert_eq!(default_route(&payload), expected, "{name}");
        }
    }
}
