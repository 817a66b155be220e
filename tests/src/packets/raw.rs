//! Raw frames on an interface: packet(7) sockets.

use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

/// A packet socket on one interface of the network namespace it was opened in.
#[derive(Debug)]
pub struct RawSocket(Socket);

impl RawSocket {
    /// Sees and sends all frames of `interface` from now on. Call it inside the namespace.
    pub fn open(interface: &str) -> Result<Self> {
        let opened = || {
            let every = u16::try_from(libc::ETH_P_ALL).unwrap_or(0).to_be();
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(every))))?;
            socket.set_recv_buffer_size(8 << 20)?;
            socket.set_read_timeout(Some(Duration::from_millis(5)))?;
            socket.bind(&address(
                rustix::net::netdevice::name_to_index(&socket, interface)?,
                every,
            ))?;
            Ok::<_, io::Error>(Self(socket))
        };
        opened().with_context(|| format!("{interface}: no raw socket on it"))
    }

    /// Sends a whole frame, Ethernet header first; at least those 14 bytes.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.0.send(frame).map(drop)
    }

    /// The next frame, also those that were sent here; `None` when there is none for some milliseconds. A VLAN tag that
    /// the kernel took off is missing.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(buffer.get(..length)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// All frames of an interface. `every` is the protocol in network order.
#[allow(unsafe_code, reason = "socket2 has no constructor for packet addresses")]
#[allow(clippy::cast_possible_truncation, reason = "the size of sockaddr_ll")]
fn address(index: u32, every: u16) -> SockAddr {
    let mut storage = MaybeUninit::<SockAddrStorage>::zeroed();
    // SAFETY: a sockaddr_storage has room and alignment for every socket address; sockaddr_ll is plain numbers, for
    // which zero is valid, and its family says what it is.
    unsafe {
        let link = storage.as_mut_ptr().cast::<libc::sockaddr_ll>();
        (*link).sll_family = libc::AF_PACKET as u16;
        (*link).sll_protocol = every;
        (*link).sll_ifindex = index.cast_signed();
        SockAddr::new(storage.assume_init(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
    }
}
