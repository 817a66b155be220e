//! Asking the kernel over netlink: one request, its answers. Nothing here knows what the messages mean.
//!
//! Answers are handed on as bytes: readers pick the attributes that they know, so that an attribute of a newer kernel
//! cannot make an interface disappear.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// `NLMSG_ERROR`, linux/netlink.h.
const ERROR: u16 = 2;
/// `NLMSG_DONE`, linux/netlink.h.
const DONE: u16 = 3;

/// One message from the kernel, behind its netlink header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Message type, in the numbers of the protocol that was asked.
    pub(crate) kind: u16,
    /// What follows the netlink header.
    pub(crate) payload: Vec<u8>,
}

/// A socket to one netlink protocol, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket for `protocol` (`netlink_sys::protocols`).
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Everything that answers `message`.
    pub(crate) fn dump<M: NetlinkSerializable>(&mut self, message: M) -> io::Result<Vec<Answer>>
    where
        NetlinkPayload<M>: From<M>,
    {
        self.ask(NetlinkPayload::from(message), NLM_F_DUMP)
    }

    /// Has `message` done.
    pub(crate) fn act<M: NetlinkSerializable>(&mut self, message: M) -> io::Result<()>
    where
        NetlinkPayload<M>: From<M>,
    {
        self.ask(NetlinkPayload::from(message), NLM_F_ACK).map(drop)
    }

    fn ask<M: NetlinkSerializable>(&mut self, payload: NetlinkPayload<M>, flags: u16) -> io::Result<Vec<Answer>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            if read(&datagram, Some(self.sequence), &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Reads the messages of one datagram into `answers`; true when the last one of the answer to request `sequence` was
/// among them. An error when the kernel refused the request.
pub(crate) fn read(datagram: &[u8], sequence: Option<u32>, answers: &mut Vec<Answer>) -> io::Result<bool> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let ours = sequence.is_none_or(|sequence| message.sequence_number() == sequence);
        let payload = message.payload();
        match message.message_type() {
            // A left-over of an earlier request on this socket.
            _ if !ours => {}
            // Both begin with a negative error number, or 0; an error answer to ACK with 0 is the acknowledgement.
            ERROR | DONE => {
                let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return if code < 0 {
                    Err(io::Error::from_raw_os_error(-code))
                } else {
                    Ok(true)
                };
            }
            kind => answers.push(Answer {
                kind,
                payload: payload.to_vec(),
            }),
        }
        let step = usize::try_from(message.length())
            .unwrap_or(rest.len())
            .next_multiple_of(4);
        rest = rest.get(step..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = [
            len.to_ne_bytes().as_slice(),
            &kind.to_ne_bytes(),
            &[0, 0],
            &sequence.to_ne_bytes(),
            &[0; 4],
            payload,
        ]
        .concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn dataplane_netlink_collects_until_done() {
        let mut answers = Vec::new();
        let datagram = [message(16, 7, b"abc"), message(16, 6, b"old"), message(16, 7, b"defg")].concat();
        assert!(!read(&datagram, Some(7), &mut answers).unwrap());
        assert!(read(&message(DONE, 7, &[0; 4]), Some(7), &mut answers).unwrap());
        let payloads: Vec<_> = answers.iter().map(|answer| answer.payload.as_slice()).collect();
        assert_eq!(payloads, [b"abc".as_slice(), b"defg"]);
    }

    #[test]
    fn dataplane_netlink_reports_what_the_kernel_refused() {
        let refused = message(ERROR, 1, &(-libc::EOPNOTSUPP).to_ne_bytes());
        let error = read(&refused, Some(1), &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        assert!(
            read(&message(ERROR, 1, &[0; 4]), Some(1), &mut Vec::new()).unwrap(),
            "0 is the acknowledgement"
        );
    }

    #[test]
    fn dataplane_netlink_survives_a_cut_datagram() {
        let mut cut = message(16, 1, b"abcd");
        cut.truncate(18);
        assert!(read(&cut, Some(1), &mut Vec::new()).is_err());
    }
}
