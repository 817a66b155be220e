//! Rows of the link layer: VLAN tags, what is not IP, a version that is not what the EtherType says.

use smtpgate_common::Family;

use super::{BOTH, Expect, PORT, Table, framed, kind, plain};
use crate::packets::builder::{Tag, ethernet, ethertype};
use crate::packets::policy::{MX, VLAN, Version, Who};

pub(super) fn rows(table: &mut Table) {
    tags(table);
    cut_tags(table);
    other_ethertypes(table);
    versions(table);
}

const MIXES: [(&str, [u16; 2]); 4] = [
    ("802.1Q", [ethertype::VLAN, ethertype::VLAN]),
    ("802.1ad", [ethertype::SERVICE_VLAN, ethertype::SERVICE_VLAN]),
    ("802.1ad and 802.1Q", [ethertype::SERVICE_VLAN, ethertype::VLAN]),
    ("802.1Q and 802.1ad", [ethertype::VLAN, ethertype::SERVICE_VLAN]),
];

fn pile(kinds: [u16; 2], control: u16, count: usize) -> Vec<Tag> {
    kinds
        .into_iter()
        .cycle()
        .take(count)
        .map(|kind| Tag { kind, control })
        .collect()
}

fn tags(table: &mut Table) {
    for count in 0..=6 {
        for (mix, kinds) in MIXES {
            // Priority 7 and DEI beside the id.
            for (id, control) in [
                ("id 0", 0),
                ("id 5", VLAN),
                ("id 0 priority 7", 0xf000),
                ("id 4095", 0x0fff),
            ] {
                let tags = pile(kinds, control, count);
                for version in Version::BOTH {
                    for who in [Who::Allowed, Who::Foreign, Who::Trusted] {
                        let expect = if count <= 4 {
                            Expect::judged(version, who, MX)
                        } else {
                            Expect::chain(Family::Other)
                        };
                        let frame = ethernet(&tags, kind(version), &plain(version, who, &table.syn(PORT)));
                        let name = format!("vlan: {count} {mix} {id}, {} {who:?}", version.name());
                        let case = table.add(name, frame, expect);
                        match control & 0x0fff {
                            0 => case.answered(),
                            // Interfaces for every mix of kinds would be too many.
                            VLAN if kinds[0] == kinds[1] => {
                                case.answered();
                                case.vlan = count > 0;
                            }
                            _ => {}
                        }
                    }
                }
                let arp = ethernet(&tags, ethertype::ARP, &[0; 46]);
                let expect = if count <= 4 {
                    Expect::PASS
                } else {
                    Expect::chain(Family::Other)
                };
                table.add(format!("vlan: {count} {mix} {id}, ARP"), arp, expect);
            }
        }
    }
}

/// A frame that ends within a tag is not known to be IP.
fn cut_tags(table: &mut Table) {
    for count in 1..=5 {
        for left in 0..4 {
            let mut frame = ethernet(&pile([ethertype::VLAN; 2], 0, count), ethertype::IPV4, &[]);
            frame.truncate(frame.len() - 4 + left);
            // That there is a fifth tag is known from the fourth.
            let expect = if count <= 4 {
                Expect::PASS
            } else {
                Expect::chain(Family::Other)
            };
            table.add(format!("vlan: tag {count} has {left} bytes"), frame, expect);
        }
    }
}

fn other_ethertypes(table: &mut Table) {
    for (name, number) in [
        ("length 46", 46),
        ("length 1500", 1500),
        ("ARP", ethertype::ARP),
        ("RARP", 0x8035),
        ("QinQ of old", 0x9100),
        ("MPLS", 0x8847),
        ("PPPoE session", 0x8864),
        ("EAPOL", 0x888e),
        ("MACsec", 0x88e5),
        ("LLDP", 0x88cc),
        ("0", 0),
        ("IPv4 byte-swapped", 0x0008),
        ("IPv6 byte-swapped", 0xdd86),
        ("802.1Q byte-swapped", 0x0081),
        ("experiment", ethertype::EXPERIMENT),
        ("65535", 0xffff),
    ] {
        for version in Version::BOTH {
            let packet = plain(version, Who::Foreign, &table.syn(PORT));
            let name = format!("ethertype: {name} before a {} SYN", version.name());
            table.add(name, ethernet(&[], number, &packet), Expect::PASS);
        }
    }
}

fn versions(table: &mut Table) {
    for version in Version::BOTH {
        let right = match version {
            Version::Four => 4,
            Version::Six => 6,
        };
        for number in (0..16_u8).filter(|number| *number != right) {
            for who in BOTH {
                let mut packet = plain(version, who, &table.syn(PORT));
                packet[0] = number << 4 | packet[0] & 15;
                let name = format!("version: {number} in {}, {who:?}", version.name());
                table.add(name, framed(version, &packet), Expect::malformed(version));
            }
        }
    }
    for who in BOTH {
        let packet = plain(Version::Four, who, &table.syn(PORT));
        let frame = ethernet(&[], ethertype::IPV6, &packet);
        table.add(
            format!("version: v4 packet as v6, {who:?}"),
            frame,
            Expect::malformed(Version::Six),
        );
        let packet = plain(Version::Six, who, &table.syn(PORT));
        let frame = ethernet(&[], ethertype::IPV4, &packet);
        table.add(
            format!("version: v6 packet as v4, {who:?}"),
            frame,
            Expect::malformed(Version::Four),
        );
    }
}
