//! Ends the connections that a banned source already has: the gate only refuses new ones.
//!
//! The kernel is asked for the TCP sockets of the current network namespace (sock_diag(7)), and told to destroy those
//! that lead from the prefix to a gated port: both ends see a reset (`tcp_diag_destroy`, Linux 4.5).

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable as _;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_packet_sock_diag::message::SockDiagDestroy;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::error::Error;
use super::netlink::Netlink;

/// What became of a source's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// So many were destroyed.
    Done(usize),
    /// The kernel cannot (`CONFIG_INET_DIAG_DESTROY` or `CONFIG_INET_DIAG` is off): the connections live until they end
    /// by themselves.
    Unsupported,
}

/// Destroys the TCP connections between `prefix` and the local ports that `gated` names. A connection that ends
/// meanwhile is not counted.
pub fn cut(prefix: IpNet, gated: impl Fn(u16) -> bool) -> Result<Cut, Error> {
    let prefix = prefix.trunc();
    let mut netlink = Netlink::open(NETLINK_SOCK_DIAG).map_err(Error::netlink("open a socket for sock_diag"))?;
    let mut destroyed = 0;
    for family in [AF_INET, AF_INET6] {
        // A socket that listens on :: holds IPv4 connections as mapped addresses.
        if family == AF_INET && matches!(prefix, IpNet::V6(_)) {
            continue;
        }
        let connections = match connections(&mut netlink, family)? {
            Some(connections) => connections,
            // A kernel without IPv6 has no sockets that could hold mapped addresses.
            None if family == AF_INET6 && matches!(prefix, IpNet::V4(_)) => continue,
            None => return Ok(Cut::Unsupported),
        };
        for (family, id) in connections {
            if !concerns(&prefix, &id) || !gated(id.source_port) {
                continue;
            }
            let message = SockDiagMessage::InetRequest(request(family, id));
            match netlink.act(SockDiagDestroy::new(message)) {
                Ok(()) => destroyed += 1,
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Cut::Unsupported),
                // It ended between the two requests, or another process was faster.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE)) => {}
                Err(source) => return Err(Error::netlink("destroy a banned connection")(source)),
            }
        }
    }
    Ok(Cut::Done(destroyed))
}

/// `None` when the kernel cannot list the sockets of this family.
fn connections(netlink: &mut Netlink, family: u8) -> Result<Option<Vec<(u8, SocketId)>>, Error> {
    let any = if family == AF_INET {
        SocketId::new_v4()
    } else {
        SocketId::new_v6()
    };
    let answers = match netlink.dump(SockDiagMessage::InetRequest(request(family, any))) {
        Ok(answers) => answers,
        // `sock_diag_rcv_msg`: nobody has registered for the family, and the module (tcp_diag) is not to be had.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::netlink("list TCP connections")(source)),
    };
    let headers = answers
        .iter()
        .filter_map(|answer| InetResponseHeader::parse(answer.payload.as_slice()).ok());
    Ok(Some(headers.map(|header| (header.family, header.socket_id)).collect()))
}

fn request(family: u8, socket_id: SocketId) -> InetRequest {
    InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        // All in which data can still flow. TIME_WAIT holds none, and a listener is no connection.
        states: StateFlags::ESTABLISHED
            | StateFlags::SYN_RECV
            | StateFlags::FIN_WAIT1
            | StateFlags::FIN_WAIT2
            | StateFlags::CLOSE_WAIT
            | StateFlags::LAST_ACK
            | StateFlags::CLOSING,
        socket_id,
    }
}

/// Whether a connection's far end lies in the prefix, also as a mapped address (RFC 4291 2.5.5.2).
fn concerns(prefix: &IpNet, id: &SocketId) -> bool {
    let remote = match id.destination_address {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        address => address,
    };
    prefix.contains(&remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dataplane_cut_knows_whom_a_connection_concerns() {
        for (prefix, remote, expected) in [
            ("192.0.2.1/32", "192.0.2.1", true),
            ("192.0.2.0/24", "192.0.2.200", true),
            ("192.0.2.0/24", "198.51.100.1", false),
            ("192.0.2.1/32", "::ffff:192.0.2.1", true),
            ("192.0.2.1/32", "::ffff:192.0.2.2", false),
            ("2001:db8::/64", "2001:db8::1", true),
            ("2001:db8::/64", "2001:db8:1::1", false),
            ("::/0", "::ffff:192.0.2.1", false),
        ] {
            let id = SocketId {
                destination_address: remote.parse().unwrap(),
                ..SocketId::new_v6()
            };
            assert_eq!(concerns(&prefix.parse().unwrap(), &id), expected, "{prefix} {remote}");
        }
    }
}
