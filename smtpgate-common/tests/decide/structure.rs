//! The structure of a frame, row by row of the design's table: what is left to the stack, what is refused, and where the TCP
//! header is looked for. The whole table of frames is in the crate `smtpgate-tests`; these are the edges of each row.

use smtpgate_common::{Decision, Family, Frame, Link, Reason, abi::NO_GATE, abi::OBSERVE_STRUCTURE, decide};

use super::table::{Buffers, ETHERNET, Table, syn4, syn6, tcp};

const OUTSIDE4: [u8; 4] = [198, 51, 100, 9];
const OUTSIDE6: &str = "2001:db9::9";

fn judged(frame: &[u8]) -> Decision {
    decide(frame, ETHERNET, &Table::new())
}

fn reason(frame: &[u8]) -> Reason {
    judged(frame).reason
}

/// With these bytes at these places.
fn with(mut frame: Vec<u8>, changes: &[(usize, &[u8])]) -> Vec<u8> {
    for (at, bytes) in changes {
        frame[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    frame
}

/// A SYN from outside in an IPv4 packet of so many bytes behind its header.
fn cut4(port: u16, fragment: [u8; 2], behind: u16) -> Vec<u8> {
    let mut frame = with(
        syn4(OUTSIDE4, port),
        &[(16, &(20 + behind).to_be_bytes()), (20, &fragment)],
    );
    frame.truncate(34 + usize::from(behind));
    frame
}

/// An IPv6 packet from outside with these headers, each without its first byte, and so much of a SYN.
fn chain(headers: &[(u8, &[u8])], last: u8, port: u16, behind: usize) -> Vec<u8> {
    let mut frame = syn6(OUTSIDE6, port);
    frame.truncate(54);
    let mut kinds: Vec<u8> = headers.iter().map(|(kind, _)| *kind).collect();
    kinds.push(last);
    frame[20] = kinds[0];
    for ((_, rest), next) in headers.iter().zip(&kinds[1..]) {
        frame.push(*next);
        frame.extend(*rest);
    }
    frame.extend(&tcp(port, 0x02)[..behind]);
    let payload = u16::try_from(frame.len() - 54).unwrap();
    with(frame, &[(18, &payload.to_be_bytes())])
}

const HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AH: u8 = 51;
const DESTINATION: u8 = 60;
/// A header of 8 bytes.
const SHORT: &[u8] = &[0; 7];
/// A first fragment's.
const FIRST: &[u8] = &[0, 0, 1, 0, 0, 0, 0];

#[test]
fn an_ipv4_header_that_lies_is_left_to_the_stack() {
    let frame = || syn4(OUTSIDE4, 25);
    for (name, frame) in [
        ("version 5", with(frame(), &[(14, &[0x55])])),
        ("header of 16 bytes", with(frame(), &[(14, &[0x44])])),
        ("longer than the frame", with(frame(), &[(16, &[0, 41])])),
        ("shorter than its header", with(frame(), &[(16, &[0, 19])])),
        ("shorter than its options", with(frame(), &[(14, &[0x4b])])),
    ] {
        let decision = judged(&frame);
        assert_eq!(
            (decision.reason, decision.family, decision.gate, decision.drops()),
            (Reason::Malformed, Family::V4, NO_GATE, false),
            "{name}"
        );
    }
    for cut in 14..frame().len() {
        assert_eq!(reason(&frame()[..cut]), Reason::Malformed, "cut at {cut}");
    }
    for cut in 0..14 {
        assert_eq!(reason(&frame()[..cut]), Reason::None, "no frame, cut at {cut}");
    }
}

#[test]
fn the_tcp_header_is_looked_for_behind_the_options() {
    for words in 5..=15_u8 {
        let mut frame = syn4(OUTSIDE4, 25);
        let options = usize::from(words - 5) * 4;
        frame.splice(34..34, vec![1; options]);
        let total = u16::try_from(40 + options).unwrap();
        let frame = with(frame, &[(14, &[0x40 | words]), (16, &total.to_be_bytes())]);
        assert_eq!(reason(&frame), Reason::Outside, "{words} words");
    }
}

#[test]
fn later_fragments_and_other_protocols_are_nobodys_business() {
    let frame = || syn4(OUTSIDE4, 25);
    for (name, frame) in [
        ("fragment at offset 2", with(frame(), &[(20, &[0, 2])])),
        ("the last offset there is", with(frame(), &[(20, &[0x1f, 0xff])])),
        ("UDP", with(frame(), &[(23, &[UDP])])),
        ("UDP at offset 1", with(frame(), &[(20, &[0, 1]), (23, &[UDP])])),
    ] {
        assert_eq!(reason(&frame), Reason::None, "{name}");
    }
    for (name, frame) in [
        ("reserved bit", with(frame(), &[(20, &[0x80, 0])])),
        ("whole header, more fragments", with(frame(), &[(20, &[0x20, 0])])),
    ] {
        assert_eq!(reason(&frame), Reason::Outside, "{name}");
    }
}

#[test]
fn a_fragment_that_would_overwrite_the_flags_is_refused() {
    for fragment in [[0, 1], [0x20, 1]] {
        let decision = judged(&with(syn4(OUTSIDE4, 25), &[(20, &fragment)]));
        assert_eq!(
            (decision.reason, decision.family, decision.gate, decision.drops()),
            (Reason::Fragment, Family::V4, NO_GATE, true)
        );
    }
}

#[test]
fn a_first_fragment_that_ends_before_its_flags_is_refused_unless_its_port_is_free() {
    const MORE: [u8; 2] = [0x20, 0];
    for behind in 0..20 {
        let decision = judged(&cut4(25, MORE, behind));
        let (expected, gate, port) = match behind {
            0..4 => (Reason::Fragment, NO_GATE, 0),
            4..14 => (Reason::Fragment, 0, 25),
            _ => (Reason::Outside, 0, 25),
        };
        assert_eq!(
            (decision.reason, decision.gate, decision.port, decision.drops()),
            (expected, gate, port, true),
            "{behind} bytes"
        );
        assert_eq!(decision.source.to_le_bytes()[..4], OUTSIDE4, "{behind} bytes");
        assert_eq!(decision.family, Family::V4);
        let free = reason(&cut4(80, MORE, behind));
        let expected = if behind < 4 { Reason::Fragment } else { Reason::None };
        assert_eq!(free, expected, "no gate's port, {behind} bytes");

        let whole = judged(&cut4(25, [0x40, 0], behind));
        let expected = if behind < 14 {
            Reason::Malformed
        } else {
            Reason::Outside
        };
        assert_eq!(
            (whole.reason, whole.family),
            (expected, Family::V4),
            "no fragment, {behind} bytes"
        );
    }
}

#[test]
fn whose_gate_observes_that_fragment_passes() {
    for (observe, [gate0, gate1, none]) in [
        (0, [true, true, true]),
        (1, [false, true, true]),
        (2, [true, false, true]),
        (OBSERVE_STRUCTURE, [true, true, false]),
    ] {
        let table = Table {
            observe,
            ..Table::new()
        };
        for (frame, drops) in [
            (cut4(25, [0x20, 0], 8), gate0),
            (cut4(587, [0x20, 0], 8), gate1),
            (cut4(25, [0x20, 0], 3), none),
        ] {
            let decision = decide(&frame[..], ETHERNET, &table);
            assert_eq!(
                (decision.drops(), decision.observed),
                (drops, !drops),
                "{observe:#x}: {decision:?}"
            );
        }
    }
}

#[test]
fn an_ipv6_header_that_lies_is_left_to_the_stack() {
    let frame = || syn6(OUTSIDE6, 25);
    for (name, frame) in [
        ("version 4", with(frame(), &[(14, &[0x40])])),
        ("longer than the frame", with(frame(), &[(18, &[0, 21])])),
        ("length 0 without hop-by-hop options", with(frame(), &[(18, &[0, 0])])),
        ("ends before the flags", with(frame(), &[(18, &[0, 13])])),
    ] {
        let decision = judged(&frame);
        assert_eq!(
            (decision.reason, decision.family, decision.drops()),
            (Reason::Malformed, Family::V6, false),
            "{name}"
        );
    }
    for cut in 14..frame().len() {
        assert_eq!(reason(&frame()[..cut]), Reason::Malformed, "cut at {cut}");
    }
    assert_eq!(
        reason(&with(frame(), &[(18, &[0, 14])])),
        Reason::Outside,
        "ends with the flags"
    );
}

#[test]
fn extension_headers_are_walked_by_the_length_that_each_kind_has() {
    for (name, kind, length, bytes) in [
        ("hop-by-hop", HOP, 0, 8),
        ("hop-by-hop", HOP, 3, 32),
        ("routing", ROUTING, 0, 8),
        ("routing", ROUTING, 255, 2048),
        ("destination", DESTINATION, 0, 8),
        ("destination", DESTINATION, 1, 16),
        ("AH", AH, 0, 8),
        ("AH", AH, 1, 12),
        ("AH", AH, 4, 24),
        ("atomic fragment", FRAGMENT, 0, 8),
        ("fragment, whose length byte is reserved", FRAGMENT, 7, 8),
    ] {
        let mut rest = vec![0; bytes - 1];
        rest[0] = length;
        let frame = chain(&[(kind, &rest)], TCP, 25, 20);
        assert_eq!(reason(&frame), Reason::Outside, "{name} of {bytes} bytes");
        let frame = chain(&[(kind, &rest)], UDP, 25, 20);
        assert_eq!(reason(&frame), Reason::None, "{name}, then UDP");
        // One byte short of the header's own end: it does not end in the packet.
        let mut short = chain(&[(kind, &rest)], TCP, 25, 0);
        short.pop();
        let payload = u16::try_from(short.len() - 54).unwrap();
        let short = with(short, &[(18, &payload.to_be_bytes())]);
        assert_eq!(reason(&short), Reason::Malformed, "{name} that is cut off");
    }
}

#[test]
fn eight_extension_headers_are_walked_and_no_more() {
    for number in 0..=8 {
        let headers = vec![(DESTINATION, SHORT); number];
        let frame = if number == 0 {
            syn6(OUTSIDE6, 25)
        } else {
            chain(&headers, TCP, 25, 20)
        };
        assert_eq!(reason(&frame), Reason::Outside, "{number}");
    }
    for next in [HOP, ROUTING, DESTINATION, AH, FRAGMENT] {
        let mut headers = vec![(DESTINATION, SHORT); 8];
        headers.push((next, SHORT));
        for last in [TCP, UDP] {
            let decision = judged(&chain(&headers, last, 25, 20));
            assert_eq!(
                (decision.reason, decision.family, decision.drops()),
                (Reason::HeaderChain, Family::V6, true),
                "the ninth is {next}, then {last}"
            );
        }
    }
    let headers = [(DESTINATION, SHORT); 8];
    assert_eq!(reason(&chain(&headers, UDP, 25, 20)), Reason::None);
}

#[test]
fn ipv6_fragments_are_those_of_ipv4() {
    let fragment = |word: u16| {
        let [high, low] = word.to_be_bytes();
        [0, high, low, 0, 0, 0, 0]
    };
    for (name, word, last, expected) in [
        ("whole header, more", 1, TCP, Reason::Outside),
        ("offset 1", 1 << 3, TCP, Reason::Fragment),
        ("offset 1, more", 1 << 3 | 1, TCP, Reason::Fragment),
        ("offset 1 of UDP", 1 << 3, UDP, Reason::None),
        ("offset 2", 2 << 3, TCP, Reason::None),
        ("the last offset there is", 0xfff8, TCP, Reason::None),
        ("reserved bits", 6, TCP, Reason::Outside),
    ] {
        assert_eq!(
            reason(&chain(&[(FRAGMENT, &fragment(word))], last, 25, 20)),
            expected,
            "{name}"
        );
    }
    for behind in 0..20 {
        let expected = match behind {
            0..14 => Reason::Fragment,
            _ => Reason::Outside,
        };
        // The mark of the first fragment is kept over what follows.
        for headers in [&[(FRAGMENT, FIRST)][..], &[(FRAGMENT, FIRST), (DESTINATION, SHORT)]] {
            assert_eq!(reason(&chain(headers, TCP, 25, behind)), expected, "{behind} bytes");
        }
        let atomic = reason(&chain(&[(FRAGMENT, SHORT)], TCP, 25, behind));
        let expected = if behind < 14 {
            Reason::Malformed
        } else {
            Reason::Outside
        };
        assert_eq!(atomic, expected, "atomic, {behind} bytes");
    }
}

#[test]
fn a_chain_that_does_not_end_in_the_first_fragment_is_refused() {
    for behind in 0..8 {
        let frame = chain(&[(FRAGMENT, FIRST)], DESTINATION, 25, behind);
        assert_eq!(reason(&frame), Reason::Fragment, "{behind} bytes of a header");
        let frame = chain(&[(FRAGMENT, SHORT)], DESTINATION, 25, behind);
        assert_eq!(reason(&frame), Reason::Malformed, "no fragment, {behind} bytes");
    }
    let long = chain(&[(FRAGMENT, FIRST), (DESTINATION, &[9, 0, 0, 0, 0, 0, 0])], TCP, 25, 20);
    assert_eq!(reason(&long), Reason::Fragment, "its length leads out of it");
}

/// As Linux reads it, Jumbo option or none.
#[test]
fn length_0_before_hop_by_hop_options_means_up_to_the_frames_end() {
    let frame = with(chain(&[(HOP, SHORT)], TCP, 25, 20), &[(18, &[0, 0])]);
    assert_eq!(reason(&frame), Reason::Outside);
    let frame = with(chain(&[(DESTINATION, SHORT)], TCP, 25, 20), &[(18, &[0, 0])]);
    assert_eq!(reason(&frame), Reason::Malformed, "not before others");
}

/// An untagged frame with so many tags.
fn tagged(frame: &[u8], kinds: &[[u8; 2]]) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    for kind in kinds {
        tagged.extend(kind);
        tagged.extend([0, 5]);
    }
    tagged.extend(&frame[12..]);
    tagged
}

#[test]
fn up_to_four_vlan_tags_are_looked_behind() {
    const Q: [u8; 2] = [0x81, 0x00];
    const AD: [u8; 2] = [0x88, 0xa8];
    for frame in [syn4(OUTSIDE4, 25), syn6(OUTSIDE6, 25)] {
        for stripped in 0..=5 {
            for kinds in [&[][..], &[Q], &[AD, Q], &[Q, Q, Q], &[AD, Q, AD, Q], &[Q, Q, Q, Q, Q]] {
                let decision = decide(&tagged(&frame, kinds)[..], Link::Ethernet { stripped }, &Table::new());
                let refused = !kinds.is_empty() && kinds.len() + usize::from(stripped) > 4;
                if refused {
                    assert_eq!((decision.reason, decision.family), (Reason::HeaderChain, Family::Other));
                    assert!(decision.drops());
                } else {
                    assert_eq!(decision.reason, Reason::Outside, "{kinds:?}, {stripped} stripped");
                }
            }
        }
    }
    let arp = tagged(&with(syn4(OUTSIDE4, 25), &[(12, &[0x08, 0x06])]), &[Q]);
    assert_eq!(reason(&arp), Reason::None, "what is neither IPv4 nor IPv6");
}

#[test]
fn a_frame_that_ends_in_a_tag_is_nobodys_business_and_one_that_hides_it_is_refused() {
    let frame = tagged(&syn4(OUTSIDE4, 25), &[[0x81, 0x00]; 2]);
    for cut in 14..22 {
        assert_eq!(reason(&frame[..cut]), Reason::None, "cut at {cut}");
        let buffers = Buffers {
            first: &frame[..cut],
            len: frame.len(),
        };
        let decision = decide(&buffers, ETHERNET, &Table::new());
        assert_eq!(
            (decision.reason, decision.drops()),
            (Reason::HeaderChain, true),
            "hidden from {cut} on"
        );
    }
}

#[test]
fn without_a_link_header_the_version_says_what_it_is() {
    for frame in [syn4(OUTSIDE4, 25), syn6(OUTSIDE6, 25)] {
        let packet = &frame[14..];
        let (bare, framed) = (decide(packet, Link::Ip, &Table::new()), judged(&frame));
        assert_eq!(bare, framed);
        assert_eq!(bare.reason, Reason::Outside);
        for version in [0, 1, 5, 7, 15] {
            let other = with(packet.to_vec(), &[(0, &[version << 4])]);
            assert_eq!(
                decide(&other[..], Link::Ip, &Table::new()).reason,
                Reason::None,
                "version {version}"
            );
        }
        for cut in 0..2 {
            assert_eq!(decide(&packet[..cut], Link::Ip, &Table::new()).reason, Reason::None);
        }
        assert_eq!(decide(&packet[..2], Link::Ip, &Table::new()).reason, Reason::Malformed);
    }
}

#[test]
fn a_frame_of_no_bytes_is_empty_and_one_of_some_is_not() {
    assert!(Frame::is_empty(&[][..]));
    assert!(!Frame::is_empty(&[0][..]));
}
