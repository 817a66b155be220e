//! Refused SYNs as they happen, as far as the tokens go.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::maps::{Map, MapData, RingBuf};
use smtpgate_common::abi::{self, NO_GATE, maps};
use smtpgate_common::{Family, Reason};
use tokio::io::unix::AsyncFd;

use super::error::Error;
use super::wait;

/// A frame that was refused, or would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub boot_ns: u64,
    /// Who sent it; `None` when it was refused before its addresses were read.
    pub source: Option<IpAddr>,
    /// On which interface, by index.
    pub ifindex: u32,
    /// The interface's name, if it still has one.
    pub interface: Option<String>,
    /// Destination port; `None` when it could not be read.
    pub port: Option<u16>,
    /// Gate number; `None` for structural drops.
    pub gate: Option<u8>,
    /// Why.
    pub reason: Reason,
    /// Address family.
    pub family: Family,
    /// It passed, because its gate only observes.
    pub observed: bool,
}

/// Reads the ring buffer of one generation. Of two readers each gets a part.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
    names: rustix::fd::OwnedFd,
}

impl Events {
    /// Needs a tokio runtime.
    pub(super) fn new(map: MapData) -> Result<Self, Error> {
        let ring = Map::from_map_data(map)
            .and_then(RingBuf::try_from)
            .map_err(Error::map(maps::EVENTS, "use it"))?;
        let error = |source: io::Error| Error::Map {
            map: maps::EVENTS,
            what: "wait for it",
            reason: source.to_string(),
        };
        // Interface names are asked of any socket of the network namespace (netdevice(7)).
        let names = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
            .map_err(|source| error(source.into()))?;
        Ok(Self {
            ring: wait::readable(ring).map_err(error)?,
            names,
        })
    }

    /// The next events, at least one. Cancel-safe: nothing is lost while it waits.
    pub async fn next(&mut self) -> io::Result<Vec<Event>> {
        loop {
            let mut ready = self.ring.readable_mut().await?;
            let mut found = Vec::new();
            while let Some(item) = ready.get_inner_mut().next() {
                found.extend(decode(&item));
            }
            ready.clear_ready();
            if !found.is_empty() {
                for event in &mut found {
                    event.interface = rustix::net::netdevice::index_to_name(&self.names, event.ifindex).ok();
                }
                return Ok(found);
            }
        }
    }
}

/// An event from the bytes of an [`abi::Event`]; `None` for what a newer program wrote.
fn decode(bytes: &[u8]) -> Option<Event> {
    if bytes.len() < size_of::<abi::Event>() {
        return None;
    }
    let at = |offset: usize| bytes.get(offset..);
    let boot_ns = u64::from_ne_bytes(*at(0)?.first_chunk()?);
    let address: [u8; 16] = *at(8)?.first_chunk()?;
    let ifindex = u32::from_ne_bytes(*at(24)?.first_chunk()?);
    let port = u16::from_ne_bytes(*at(28)?.first_chunk()?);
    let [gate, reason, family, observed] = *at(30)?.first_chunk()?;
    let family = Family::from_code(family)?;
    let [a, b, c, d, ..] = address;
    let source = match family {
        _ if address == [0; 16] => None,
        Family::V4 => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
        Family::V6 => Some(IpAddr::V6(Ipv6Addr::from(address))),
        Family::Other => None,
    };
    Some(Event {
        boot_ns,
        source,
        ifindex,
        interface: None,
        port: (port != 0).then_some(port),
        gate: (gate < NO_GATE).then_some(gate),
        reason: Reason::from_code(reason)?,
        family,
        observed: observed != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(source: &[u8], port: u16, codes: [u8; 4]) -> Vec<u8> {
        let mut address = [0; 16];
        address[..source.len()].copy_from_slice(source);
        [
            5u64.to_ne_bytes().as_slice(),
            &address,
            &3u32.to_ne_bytes(),
            &port.to_ne_bytes(),
            &codes,
            &[0; 6],
        ]
        .concat()
    }

    #[test]
    fn dataplane_events_are_read_as_they_were_written() {
        let v6 = "2001:db8::7".parse::<Ipv6Addr>().unwrap();
        let event = decode(&bytes(&v6.octets(), 587, [1, 3, 2, 1])).unwrap();
        let expected = Event {
            boot_ns: 5,
            source: Some(v6.into()),
            ifindex: 3,
            interface: None,
            port: Some(587),
            gate: Some(1),
            reason: Reason::Outside,
            family: Family::V6,
            observed: true,
        };
        assert_eq!(event, expected);
        let event = decode(&bytes(&[192, 0, 2, 1], 25, [0, 5, 1, 0])).unwrap();
        assert_eq!(
            (event.source, event.observed),
            (Some("192.0.2.1".parse().unwrap()), false)
        );
    }

    #[test]
    fn dataplane_events_leave_open_what_was_not_read() {
        let event = decode(&bytes(&[], 0, [NO_GATE, 8, 0, 0])).unwrap();
        assert_eq!((event.source, event.port, event.gate), (None, None, None));
        for (name, bytes) in [
            ("a reason to come", bytes(&[], 0, [0, 15, 1, 0])),
            ("a family to come", bytes(&[], 0, [0, 3, 9, 0])),
            ("cut off", bytes(&[], 0, [0, 3, 1, 0])[..39].to_vec()),
        ] {
            assert_eq!(decode(&bytes), None, "{name}");
        }
    }
}
