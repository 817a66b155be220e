//! One address or network as an admin writes it. Refuses what could be meant two ways, and says what to write instead.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// Why a text is no address or network. Its display says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadNet(String);

impl fmt::Display for BadNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadNet {}

/// Reads `192.0.2.0/24`, `192.0.2.7`, `2001:db8::/32` or `2001:db8::7`; a bare address is a network of one.
///
/// IPv4-mapped addresses (`::ffff:192.0.2.7`, as some daemons log them) are the IPv4 address: on the wire there is no
/// other form of it. A network with host bits set is refused, because `192.0.2.7/24` may be meant as either.
pub fn parse(text: &str) -> Result<IpNet, BadNet> {
    let Some((address_text, length_text)) = text.split_once('/') else {
        return address(text).map(|address| IpNet::from(unmapped(address)));
    };
    let address = address(address_text)?;
    let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
    let length = match length_text.parse::<u8>() {
        Ok(length) if length <= longest && !length_text.starts_with('+') => length,
        _ => return Err(bad_length(text, address, length_text, longest)),
    };
    let (address, length) = match unmapped(address) {
        IpAddr::V4(v4) if address.is_ipv6() && length >= 96 => (IpAddr::V4(v4), length - 96),
        _ => (address, length),
    };
    let net = IpNet::new(address, length).map_err(|error| BadNet(format!("`{text}`: {error}")))?;
    if net.trunc() != net {
        let network = net.trunc();
        return Err(BadNet(format!(
            "`{text}` is an address inside {network}: write {network} for the network, or {address} for the one address"
        )));
    }
    Ok(net)
}

/// Reads one address, without mapping it.
pub(crate) fn address(text: &str) -> Result<IpAddr, BadNet> {
    text.parse().map_err(|_| {
        BadNet(match text {
            "" => "an address is missing, as in 192.0.2.0/24 or 2001:db8::7".to_owned(),
            _ if text.contains('%') => format!("`{text}` names an interface: leave out the `%` and what follows"),
            _ => match leading_octets(text) {
                Some(network) => format!("`{text}` is no address: write {network}"),
                None => format!("`{text}` is no address or network, as 192.0.2.0/24 or 2001:db8::7"),
            },
        })
    })
}

/// `::ffff:192.0.2.7` to `192.0.2.7`; everything else as it is.
pub(crate) fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn bad_length(text: &str, address: IpAddr, length: &str, longest: u8) -> BadNet {
    if let (IpAddr::V4(v4), Ok(mask)) = (address, length.parse::<Ipv4Addr>())
        && let Ok(net) = ipnet::Ipv4Net::with_netmask(v4, mask)
    {
        return BadNet(format!("`{text}` has a netmask: write {}", net.trunc()));
    }
    let family = if address.is_ipv4() { "an IPv4" } else { "an IPv6" };
    BadNet(format!(
        "`{text}`: {family} prefix length is a number from 0 to {longest}"
    ))
}

/// What hosts.allow's `192.0.2.` and an octet-short `192.0.2` stand for.
fn leading_octets(text: &str) -> Option<IpNet> {
    let octets: Vec<u8> = text
        .trim_end_matches('.')
        .split('.')
        .map(|o| o.parse().ok())
        .collect::<Option<_>>()?;
    let mut padded = [0; 4];
    padded.get_mut(..octets.len())?.copy_from_slice(&octets);
    let length = u8::try_from(octets.len() * 8)
        .ok()
        .filter(|length| (8..32).contains(length))?;
    IpNet::new(Ipv4Addr::from(padded).into(), length).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn nets_that_are_read() {
        for (text, expected) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::7", "2001:db8::7/128"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(
                parse(text).map(|net| net.to_string()),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn nets_that_are_refused_say_what_to_write() {
        for (text, expected) in [
            (
                "192.0.2.7/24",
                "`192.0.2.7/24` is an address inside 192.0.2.0/24: write 192.0.2.0/24 for the network, or 192.0.2.7 for the one address",
            ),
            (
                "2001:db8::7/64",
                "`2001:db8::7/64` is an address inside 2001:db8::/64: write 2001:db8::/64 for the network, or 2001:db8::7 for the one address",
            ),
            (
                "192.0.2.0/33",
                "`192.0.2.0/33`: an IPv4 prefix length is a number from 0 to 32",
            ),
            (
                "192.0.2.0/",
                "`192.0.2.0/`: an IPv4 prefix length is a number from 0 to 32",
            ),
            (
                "192.0.2.0/+8",
                "`192.0.2.0/+8`: an IPv4 prefix length is a number from 0 to 32",
            ),
            (
                "2001:db8::/129",
                "`2001:db8::/129`: an IPv6 prefix length is a number from 0 to 128",
            ),
            (
                "192.0.2.0/255.255.255.0",
                "`192.0.2.0/255.255.255.0` has a netmask: write 192.0.2.0/24",
            ),
            ("192.0.2.", "`192.0.2.` is no address: write 192.0.2.0/24"),
            ("10", "`10` is no address: write 10.0.0.0/8"),
            (
                "fe80::1%eth0",
                "`fe80::1%eth0` names an interface: leave out the `%` and what follows",
            ),
            (
                "192.0.2.300",
                "`192.0.2.300` is no address or network, as 192.0.2.0/24 or 2001:db8::7",
            ),
            (
                "mail.example.com",
                "`mail.example.com` is no address or network, as 192.0.2.0/24 or 2001:db8::7",
            ),
            ("", "an address is missing, as in 192.0.2.0/24 or 2001:db8::7"),
        ] {
            assert_eq!(
                parse(text).map_err(|e| e.to_string()),
                Err(expected.to_owned()),
                "{text}"
            );
        }
    }
}
