//! Who is counted: an IPv4 address, or the IPv6 prefix that one customer has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// An offender. IPv6 keeps the upper 64 bits, those beyond the configured length zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    /// Of a canonical address; `window6` is at most 64.
    pub(super) fn of(address: IpAddr, window6: u8) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(high(address) & mask(window6)),
        }
    }

    pub(super) fn prefix(self, window6: u8) -> IpNet {
        match self {
            Self::V4(bits) => Ipv4Net::from(Ipv4Addr::from_bits(bits)).into(),
            Self::V6(bits) => net6(bits, window6),
        }
    }
}

/// The prefix of the /64 or wider that begins with `bits`.
pub(super) fn net6(bits: u64, length: u8) -> IpNet {
    let address = Ipv6Addr::from_bits(u128::from(bits & mask(length)) << 64);
    Ipv6Net::new(address, length.min(64))
        .unwrap_or(Ipv6Net::from(address))
        .into()
}

/// The upper 64 bits.
pub(super) fn high(address: Ipv6Addr) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The first `length` of 64 bits.
pub(super) fn mask(length: u8) -> u64 {
    match length {
        0 => 0,
        1..=63 => u64::MAX << (64 - length),
        _ => u64::MAX,
    }
}
