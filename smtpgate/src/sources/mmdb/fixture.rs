//! A writer of small databases for tests, after <https://maxmind.github.io/MaxMind-DB/>: 24-bit records.

use std::path::{Path, PathBuf};

/// A value of the data section.
pub(in crate::sources) enum Value {
    Text(&'static str),
    Number(u32),
    Short(u16),
    Long(u64),
    EmptyList,
    Map(Vec<(&'static str, Value)>),
}
use Value::{EmptyList, Long, Map, Number, Short, Text};

/// `{"country": {"iso_code": CODE}}`, as GeoIP2 has it, with a registered country beside it.
pub(in crate::sources) fn geoip2(code: &'static str, registered: &'static str) -> Value {
    let mut fields = vec![(
        "registered_country",
        Map(vec![("geoname_id", Number(1)), ("iso_code", Text(registered))]),
    )];
    if !code.is_empty() {
        fields.push((
            "country",
            Map(vec![("geoname_id", Number(2)), ("iso_code", Text(code))]),
        ));
    }
    Map(fields)
}

/// `{"country_code": CODE}`, the flat layout.
pub(in crate::sources) fn flat(code: &'static str) -> Value {
    Map(vec![("country_code", Text(code))])
}

/// A database of `networks`: prefix as IPv6 bits (an IPv4 network lies under ::/96) and length, and its value. `aliases`
/// are prefixes that point at the IPv4 tree again, as MaxMind's files have them.
pub(in crate::sources) fn database(
    networks: &[(&str, Value)],
    aliases: &[&str],
    epoch: u32,
    kind: &'static str,
) -> Vec<u8> {
    // A node is two records; a record is nothing, a node, or a place in the data section.
    #[derive(Clone, Copy, PartialEq)]
    enum Record {
        Nothing,
        Node(usize),
        Data(usize),
    }
    let mut nodes = vec![[Record::Nothing; 2]];
    let mut data = Vec::new();
    fn bit(bits: u128, depth: u8) -> usize {
        usize::from(bits >> (127 - depth) & 1 == 1)
    }
    fn insert(nodes: &mut Vec<[Record; 2]>, bits: u128, length: u8, target: Record) {
        let mut node = 0;
        for depth in 0..length - 1 {
            node = match nodes[node][bit(bits, depth)] {
                Record::Node(next) => next,
                Record::Nothing => {
                    nodes.push([Record::Nothing; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][bit(bits, depth)] = Record::Node(next);
                    next
                }
                Record::Data(_) => panic!("networks of a fixture must not overlap"),
            };
        }
        nodes[node][bit(bits, length - 1)] = target;
    }
    for (net, value) in networks {
        let offset = data.len();
        encode(value, &mut data);
        let (bits, length) = match net.parse().unwrap() {
            ipnet::IpNet::V4(net) => (u128::from(u32::from(net.addr())), net.prefix_len() + 96),
            ipnet::IpNet::V6(net) => (net.addr().into(), net.prefix_len()),
        };
        insert(&mut nodes, bits, length, Record::Data(offset));
    }
    if !aliases.is_empty() {
        let mut ipv4 = 0;
        for _ in 0..96 {
            let Record::Node(next) = nodes[ipv4][0] else {
                panic!("an alias needs an IPv4 network")
            };
            ipv4 = next;
        }
        for alias in aliases {
            let net: ipnet::Ipv6Net = alias.parse().unwrap();
            insert(&mut nodes, net.addr().into(), net.prefix_len(), Record::Node(ipv4));
        }
    }

    let count = nodes.len();
    let mut bytes = Vec::new();
    for record in nodes.into_iter().flatten() {
        let number = match record {
            Record::Nothing => count,
            Record::Node(node) => node,
            Record::Data(offset) => count + 16 + offset,
        };
        bytes.extend(&u32::try_from(number).unwrap().to_be_bytes()[1..]);
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = Map(vec![
        ("binary_format_major_version", Short(2)),
        ("binary_format_minor_version", Short(0)),
        ("build_epoch", Long(epoch.into())),
        ("database_type", Text(kind)),
        ("description", Map(vec![])),
        ("ip_version", Short(6)),
        ("languages", EmptyList),
        ("node_count", Number(u32::try_from(count).unwrap())),
        ("record_size", Short(24)),
    ]);
    encode(&metadata, &mut bytes);
    bytes
}

/// Writes a database below `folder`.
pub(in crate::sources) fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn encode(value: &Value, bytes: &mut Vec<u8>) {
    // Control byte: type in the upper three bits, size below 29 in the lower five.
    let control = |kind: u8, size: usize| kind << 5 | u8::try_from(size).ok().filter(|size| *size < 29).unwrap();
    match value {
        Text(text) => {
            // Sizes from 29 on are told by a byte of their own, less 29.
            match text.len().checked_sub(29) {
                None => bytes.push(control(2, text.len())),
                Some(more) => bytes.extend([2 << 5 | 29, u8::try_from(more).unwrap()]),
            }
            bytes.extend(text.as_bytes());
        }
        Number(number) => {
            bytes.push(control(6, 4));
            bytes.extend(number.to_be_bytes());
        }
        Short(number) => {
            bytes.push(control(5, 2));
            bytes.extend(number.to_be_bytes());
        }
        // Types beyond 7 have a byte of their own, their number less 7, after a control byte of type 0.
        Long(number) => {
            bytes.extend([control(0, 8), 9 - 7]);
            bytes.extend(number.to_be_bytes());
        }
        EmptyList => bytes.extend([control(0, 0), 11 - 7]),
        Map(fields) => {
            bytes.push(control(7, fields.len()));
            for (key, value) in fields {
                encode(&Text(key), bytes);
                encode(value, bytes);
            }
        }
    }
}
