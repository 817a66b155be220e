//! Ends the connections that a banned source already has: the gate only refuses new ones.
//!
//! The kernel is asked for the TCP sockets of the current network namespace (sock_diag(7)), and told to destroy those
//! that lead from the prefix to a gated port: both ends see a reset (`tcp_diag_destroy`, Linux 4.5).

use std::io;
use std::net::IpAddr;

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

/// Destroys the TCP connections of the far ends that `banned` names to the local ports that `gated` names. Mapped
/// addresses are asked for as the IPv4 addresses they are. A connection that ends meanwhile is not counted.
pub fn cut(banned: impl Fn(IpAddr) -> bool, gated: impl Fn(u16) -> bool) -> Result<Cut, Error> {
    let mut netlink = Netlink::open(NETLINK_SOCK_DIAG).map_err(Error::netlink("open a socket for sock_diag"))?;
    let mut destroyed = 0;
    for family in [AF_INET, AF_INET6] {
        let connections = match connections(&mut netlink, family)? {
            Some(connections) => connections,
            // A kernel without IPv6 has no such sockets.
            None if family == AF_INET6 => continue,
            None => return Ok(Cut::Unsupported),
        };
        for (family, id) in connections {
            // A socket that listens on :: holds IPv4 connections as mapped addresses (RFC 4291 2.5.5.2).
            if !gated(id.source_port) || !banned(id.destination_address.to_canonical()) {
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
