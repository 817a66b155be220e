//! Frames from their parts: Ethernet, VLAN tags, IPv4 with options and fragments, IPv6 with extension headers, TCP.
//!
//! What is not asked to be wrong is right, checksums included, so that a stack that gets such a frame answers it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// FIN flag of TCP.
pub const FIN: u8 = 0x01;
/// SYN flag of TCP.
pub const SYN: u8 = 0x02;
/// RST flag of TCP.
pub const RST: u8 = 0x04;
/// PSH flag of TCP.
pub const PSH: u8 = 0x08;
/// ACK flag of TCP.
pub const ACK: u8 = 0x10;

/// IP protocol numbers and IPv6 next-header values (IANA).
pub mod protocol {
    /// IPv6 hop-by-hop options, RFC 8200 4.3.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP.
    pub const IPIP: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header, RFC 8200 4.4.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header, RFC 8200 4.5.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header, RFC 4302.
    pub const AH: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6: nothing follows.
    pub const NONE: u8 = 59;
    /// IPv6 destination options, RFC 8200 4.6.
    pub const DESTINATION: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// EtherTypes (IEEE).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// 802.1ad service tag.
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// For local experiments: what no stack knows.
    pub const EXPERIMENT: u16 = 0x88b5;
}

/// Both ends of a packet; of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who sends.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledged: u32,
    /// Data offset in 4-byte words, when it shall not be the right one.
    pub words: Option<u8>,
    /// The four bits beside the data offset (reserved, and AE of RFC 7560).
    pub reserved: u8,
    /// CWR to FIN.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// A multiple of four bytes.
    pub options: Vec<u8>,
    /// What follows the header.
    pub data: Vec<u8>,
    /// Whether the checksum is right.
    pub checksum: bool,
}

impl Tcp {
    /// A plain SYN.
    #[must_use]
    pub fn syn(source: u16, destination: u16, sequence: u32) -> Self {
        Self {
            source,
            destination,
            sequence,
            acknowledged: 0,
            words: None,
            reserved: 0,
            flags: SYN,
            window: 64_240,
            options: Vec::new(),
            data: Vec::new(),
            checksum: true,
        }
    }

    /// With other flags.
    #[must_use]
    pub fn flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    /// With options.
    #[must_use]
    pub fn options(self, options: impl Into<Vec<u8>>) -> Self {
        Self {
            options: options.into(),
            ..self
        }
    }

    /// With data.
    #[must_use]
    pub fn data(self, data: impl Into<Vec<u8>>) -> Self {
        Self {
            data: data.into(),
            ..self
        }
    }

    /// Its bytes, with the checksum over the pseudo header of `ends`.
    #[must_use]
    pub fn bytes(&self, ends: Ends) -> Vec<u8> {
        let words = self
            .words
            .unwrap_or(u8::try_from(5 + self.options.len() / 4).unwrap_or(15));
        let mut bytes = Vec::new();
        bytes.extend(self.source.to_be_bytes());
        bytes.extend(self.destination.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledged.to_be_bytes());
        bytes.push(words << 4 | self.reserved & 15);
        bytes.push(self.flags);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.options);
        bytes.extend(&self.data);
        let sum = checksum(&[&pseudo_header(ends, protocol::TCP, bytes.len()), &bytes]);
        let sum = if self.checksum { sum } else { !sum };
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// A UDP datagram.
#[must_use]
pub fn udp(ends: Ends, source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend(word(8 + data.len()));
    bytes.extend([0; 2]);
    bytes.extend(data);
    let sum = checksum(&[&pseudo_header(ends, protocol::UDP, bytes.len()), &bytes]);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// An IPv4 header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Who sends.
    pub source: Ipv4Addr,
    /// To whom.
    pub destination: Ipv4Addr,
    /// Version number.
    pub version: u8,
    /// Header length in 4-byte words, when it shall not be the right one.
    pub words: Option<u8>,
    /// Total length, when it shall not be the right one.
    pub total: Option<u16>,
    /// What fragments of one packet have in common.
    pub id: u16,
    /// Reserved bit, DF and MF: the three high bits of the fragment word.
    pub marks: u16,
    /// Fragment offset in 8-byte units.
    pub offset: u16,
    /// Protocol number.
    pub protocol: u8,
    /// A multiple of four bytes.
    pub options: Vec<u8>,
    /// Whether the checksum is right.
    pub checksum: bool,
}

/// The bit of [`Ipv4::marks`] that no one uses (RFC 3514 jests of it).
pub const RESERVED: u16 = 0x8000;
/// Do not fragment.
pub const DONT: u16 = 0x4000;
/// More fragments follow.
pub const MORE: u16 = 0x2000;

impl Ipv4 {
    /// A plain header.
    #[must_use]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        Self {
            source,
            destination,
            version: 4,
            words: None,
            total: None,
            id: 1,
            marks: 0,
            offset: 0,
            protocol,
            options: Vec::new(),
            checksum: true,
        }
    }

    /// With options.
    #[must_use]
    pub fn options(self, options: impl Into<Vec<u8>>) -> Self {
        Self {
            options: options.into(),
            ..self
        }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let words = self.words.unwrap_or(u8::try_from(header / 4).unwrap_or(15));
        let mut bytes = vec![self.version << 4 | words & 15, 0];
        bytes.extend(
            self.total
                .map_or_else(|| word(header + payload.len()), u16::to_be_bytes),
        );
        bytes.extend(self.id.to_be_bytes());
        bytes.extend((self.marks | self.offset).to_be_bytes());
        bytes.extend([64, self.protocol, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        bytes.extend(payload);
        // Over as many bytes as the header says that it has, as a receiver reckons.
        let covered = (usize::from(words) * 4).clamp(20, bytes.len());
        let sum = checksum(&[&bytes[..covered]]);
        let sum = if self.checksum { sum } else { !sum };
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// One extension header of IPv6, without its next-header byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its number, as the header before it names it.
    pub kind: u8,
    /// All its bytes but the first.
    pub rest: Vec<u8>,
}

impl Extension {
    /// Options (hop-by-hop or destination) of `units` times 8 bytes, all padding.
    #[must_use]
    pub fn options(kind: u8, units: u8) -> Self {
        let mut rest = vec![units - 1];
        // RFC 8200 4.2: PadN holds at most 255 bytes; Linux takes no more than 7 in a row (ip6_parse_tlv).
        let mut room = usize::from(units) * 8 - 2;
        while room > 0 {
            let pad = room.min(7);
            if pad == 1 {
                rest.push(0);
            } else {
                rest.extend([1, u8::try_from(pad - 2).unwrap_or(0)]);
                rest.extend(std::iter::repeat_n(0, pad - 2));
            }
            room -= pad;
        }
        Self { kind, rest }
    }

    /// Hop-by-hop options with the Jumbo option (RFC 2675) for a packet of `length` bytes.
    #[must_use]
    pub fn jumbo(length: u32) -> Self {
        let mut rest = vec![0, 0xc2, 4];
        rest.extend(length.to_be_bytes());
        Self {
            kind: protocol::HOP_BY_HOP,
            rest,
        }
    }

    /// A routing header of an experimental type (RFC 3692: 253) at its end, of `units` times 8 bytes.
    #[must_use]
    pub fn routing(units: u8) -> Self {
        let mut rest = vec![units - 1, 253, 0];
        rest.resize(usize::from(units) * 8 - 1, 0);
        Self {
            kind: protocol::ROUTING,
            rest,
        }
    }

    /// A fragment header; `offset` in 8-byte units.
    #[must_use]
    pub fn fragment(offset: u16, more: bool, id: u32) -> Self {
        let mut rest = vec![0];
        rest.extend((offset << 3 | u16::from(more)).to_be_bytes());
        rest.extend(id.to_be_bytes());
        Self {
            kind: protocol::FRAGMENT,
            rest,
        }
    }

    /// An authentication header whose length byte is `length` (so of `length + 2` times 4 bytes).
    #[must_use]
    pub fn authentication(length: u8) -> Self {
        let mut rest = vec![length];
        rest.resize((usize::from(length) + 2) * 4 - 1, 0);
        Self {
            kind: protocol::AH,
            rest,
        }
    }

    /// The plainest header of a kind: 8 bytes, or 16 for AH (whose ICV needs some room).
    #[must_use]
    pub fn plain(kind: u8) -> Self {
        match kind {
            protocol::ROUTING => Self::routing(1),
            protocol::FRAGMENT => Self::fragment(0, false, 1),
            protocol::AH => Self::authentication(2),
            _ => Self::options(kind, 1),
        }
    }

    /// With another length byte than its own.
    #[must_use]
    pub fn length(mut self, length: u8) -> Self {
        self.rest[0] = length;
        self
    }
}

/// An IPv6 header and its extension headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// Who sends.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// Version number.
    pub version: u8,
    /// Payload length, when it shall not be the right one.
    pub length: Option<u16>,
    /// In this order.
    pub extensions: Vec<Extension>,
    /// What the last header names as next.
    pub protocol: u8,
}

impl Ipv6 {
    /// A plain header.
    #[must_use]
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8) -> Self {
        Self {
            source,
            destination,
            version: 6,
            length: None,
            extensions: Vec::new(),
            protocol,
        }
    }

    /// With extension headers.
    #[must_use]
    pub fn extensions(self, extensions: impl Into<Vec<Extension>>) -> Self {
        Self {
            extensions: extensions.into(),
            ..self
        }
    }

    /// With another payload length than its own.
    #[must_use]
    pub fn length(self, length: u16) -> Self {
        Self {
            length: Some(length),
            ..self
        }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut kinds: Vec<u8> = self.extensions.iter().map(|extension| extension.kind).collect();
        kinds.push(self.protocol);
        let mut behind = Vec::new();
        for (extension, next) in self.extensions.iter().zip(&kinds[1..]) {
            behind.push(*next);
            behind.extend(&extension.rest);
        }
        behind.extend(payload);
        let mut bytes = vec![self.version << 4, 0, 0, 0];
        bytes.extend(self.length.map_or_else(|| word(behind.len()), u16::to_be_bytes));
        bytes.extend([kinds[0], 64]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(behind);
        bytes
    }
}

/// A VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// [`ethertype::VLAN`] or [`ethertype::SERVICE_VLAN`].
    pub kind: u16,
    /// Priority (3 bits), DEI, VLAN id (12 bits).
    pub control: u16,
}

/// The Ethernet frame. The addresses are left to who sends it: all zero.
#[must_use]
pub fn ethernet(tags: &[Tag], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    for tag in tags {
        bytes.extend(tag.kind.to_be_bytes());
        bytes.extend(tag.control.to_be_bytes());
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(packet);
    bytes
}

fn word(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes()
}

/// RFC 9293 3.1, RFC 8200 8.1.
fn pseudo_header(ends: Ends, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for end in [ends.source, ends.destination] {
        match end {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend([0, protocol]);
    bytes.extend(word(length));
    bytes
}

/// RFC 1071, over the parts one behind the other; all but the last are of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_builder_checksums_verify_to_zero_as_receivers_reckon() {
        let v4 = Ends {
            source: "192.0.2.1".parse().unwrap(),
            destination: "198.51.100.2".parse().unwrap(),
        };
        let v6 = Ends {
            source: "2001:db8::1".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
        };
        for ends in [v4, v6] {
            let segment = Tcp::syn(1025, 25, 7).options([2, 4, 5, 0xb4]).data(*b"odd").bytes(ends);
            let pseudo = pseudo_header(ends, protocol::TCP, segment.len());
            assert_eq!(checksum(&[&pseudo, &segment]), 0, "{ends:?}");
        }
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (v4.source, v4.destination) else {
            unreachable!()
        };
        let packet = Ipv4::new(source, destination, protocol::TCP)
            .options([1; 8])
            .packet(&[9; 20]);
        assert_eq!(packet.len(), 48);
        assert_eq!(packet[0], 0x47);
        assert_eq!(checksum(&[&packet[..28]]), 0);
    }

    /// The example of RFC 1071 3.
    #[test]
    fn packets_builder_checksum_is_rfc_1071s() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn packets_builder_chains_extension_headers_by_their_next_header_bytes() {
        let packet = Ipv6::new(
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
            protocol::TCP,
        )
        .extensions([
            Extension::options(protocol::HOP_BY_HOP, 2),
            Extension::authentication(4),
            Extension::fragment(1, true, 5),
        ])
        .packet(&[0xaa; 3]);
        assert_eq!(packet[4..7], [0, 16 + 24 + 8 + 3, protocol::HOP_BY_HOP]);
        assert_eq!(packet[40..42], [protocol::AH, 1]);
        assert_eq!(packet[56..58], [protocol::FRAGMENT, 4]);
        assert_eq!(packet[80..88], [protocol::TCP, 0, 0, 9, 0, 0, 0, 5]);
        assert_eq!(packet[88..], [0xaa; 3]);
    }
}
