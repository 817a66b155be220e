//! Frames of more than one page, which a driver hands to XDP in several buffers: only the first can be read in place.

use smtpgate_common::Family;

use super::{BOTH, Case, Expect, PORT, Table, framed, plain, six};
use crate::packets::builder::{ACK, Extension, protocol};
use crate::packets::policy::{MX, Version};

/// Cases for a link of 9,000 bytes. No honest host's headers are longer than a page, so what hides behind one is refused
/// whatever it is.
#[must_use]
pub fn jumbo() -> Vec<Case> {
    let mut table = Table { cases: Vec::new() };
    for version in Version::BOTH {
        for who in BOTH {
            let name = |what: &str| format!("jumbo: {} {what}, {who:?}", version.name());
            let syn = table.syn(PORT).data(vec![b'A'; 8_000]);
            let frame = framed(version, &plain(version, who, &syn));
            table.add(
                name("SYN with 8000 bytes of data"),
                frame,
                Expect::judged(version, who, MX),
            );
            let stream = table.syn(PORT).flags(ACK).data(vec![b'A'; 8_000]);
            let frame = framed(version, &plain(version, who, &stream));
            table.add(name("8000 bytes of an established stream"), frame, Expect::PASS);
        }
    }
    for who in BOTH {
        for (what, headers, expect) in [
            // 2,048 bytes: still in the first buffer.
            ("one header of 2048 bytes", 1, Expect::judged(Version::Six, who, MX)),
            ("three headers of 2048 bytes", 3, Expect::chain(Family::V6)),
        ] {
            let segment = table.syn(PORT).bytes(who.ends(Version::Six));
            let mut header = Extension::routing(128);
            header.rest.resize(2_047, 0);
            let packet = six(who, protocol::TCP)
                .extensions(vec![header.length(255); headers])
                .packet(&segment);
            table.add(
                format!("jumbo: {what} before a SYN, {who:?}"),
                framed(Version::Six, &packet),
                expect,
            );
        }
    }
    table.cases
}
