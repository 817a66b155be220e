//! Any bytes as a frame, on any link: the decision is made, hangs on nothing behind the packet's end, and is no milder
//! for headers that cannot be read in place.

use std::sync::LazyLock;

use smtpgate::policy::{Ban, Gate, Image, Intent, Limits, Maps, Sizes, compile};
use smtpgate_common::abi::NO_GATE;
use smtpgate_common::{Decision, Family, Frame, Link, Reason, Source, decide, judge};

fn image(observe: bool) -> Image {
    let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().expect("a prefix")).collect();
    let intent = Intent {
        gates: vec![
            Gate {
                name: "mx".into(),
                ports: vec![25],
                allow: nets(&["192.0.2.0/24", "2001:db8::/32"]),
                observe,
            },
            Gate {
                name: "submission".into(),
                ports: vec![465, 587],
                allow: nets(&["192.0.2.0/25", "2001:db8:1::/48"]),
                observe,
            },
        ],
        trust: nets(&["192.0.2.192/26", "2001:db8:2::/48"]),
        block: nets(&["192.0.2.64/27", "192.0.2.9/32", "2001:db8:3::/48", "2001:db8:4::9/128"]),
        bans: [
            "192.0.2.7/32",
            "192.0.2.32/29",
            "2001:db8:5::/64",
            "2001:db8:6::7/128",
            "2001:db8:7::/48",
        ]
        .map(|net| Ban {
            prefix: net.parse().expect("a prefix"),
            until: 1000,
        })
        .to_vec(),
    };
    let table = compile(&intent);
    let sizes = Sizes::for_table(&table, &Limits::default()).expect("it fits");
    let mut image = Image::build(&table, sizes).expect("it fits");
    image.set_now(10);
    image
}

static ENFORCING: LazyLock<Image> = LazyLock::new(|| image(false));
static OBSERVING: LazyLock<Image> = LazyLock::new(|| image(true));

/// A frame of which only the first bytes can be read in place.
struct Linear<'a> {
    bytes: &'a [u8],
    linear: usize,
}

impl Frame for Linear<'_> {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn header<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.bytes.get(..self.linear)?.get(at..)?.first_chunk()
    }
}

/// Where the IP packet in a frame ends, as its header has it. `None` without one, and where the header leaves it open.
fn end(frame: &[u8], link: Link) -> Option<usize> {
    let mut at = 0;
    let version = match link {
        Link::Ip => frame.first()? >> 4,
        Link::Ethernet { .. } => {
            at = 14;
            loop {
                match frame.get(at - 2..at)? {
                    [0x81, 0x00] | [0x88, 0xa8] => at += 4,
                    [0x08, 0x00] => break 4,
                    [0x86, 0xdd] => break 6,
                    _ => return None,
                }
            }
        }
    };
    let header = frame.get(at..)?;
    let number = |at: usize| Some(usize::from(u16::from_be_bytes(*header.get(at..)?.first_chunk()?)));
    match version {
        // One that is shorter than itself leaves nothing to look at.
        4 => number(2).filter(|length| *length >= 20).map(|length| at + length),
        6 => {
            let payload = number(4)?;
            // Up to the frame's end, when hop-by-hop options come first.
            (payload != 0 || *header.get(6)? != 0).then_some(at + 40 + payload)
        }
        _ => None,
    }
}

/// See the module.
pub(crate) fn run(input: &[u8]) {
    let [how, much, frame @ ..] = input else { return };
    let (link, least) = match how % 8 {
        7 => (Link::Ip, 2),
        stripped => (Link::Ethernet { stripped }, 14),
    };
    let maps: &Maps = ENFORCING.maps();
    let decision = decide(frame, link, maps);
    consistent(&decision, maps);

    let observing = decide(frame, link, OBSERVING.maps());
    assert!(!observing.drops(), "a gate that observes drops");
    assert_eq!(
        observing,
        Decision {
            observed: observing.observed,
            ..decision
        },
        "a gate that observes sees something else"
    );
    assert_eq!(observing.observed, decision.drops());

    if let Some(end) = end(frame, link).filter(|end| *end <= frame.len()) {
        let packet = &frame[..end];
        assert_eq!(decide(packet, link, maps), decision, "what is behind the packet counts");
        for padding in [0x00, 0x02, 0x19, 0xff] {
            let padded = [packet, &vec![padding; usize::from(*much)]].concat();
            assert_eq!(decide(&padded[..], link, maps), decision, "padding counts");
        }
    }

    let linear = usize::from(*much).max(least).min(frame.len());
    let hidden = decide(&Linear { bytes: frame, linear }, link, maps);
    assert!(
        hidden == decision || hidden.reason == Reason::HeaderChain,
        "{hidden:?} in place of {decision:?}"
    );
}

fn consistent(decision: &Decision, maps: &Maps) {
    let gated = match decision.port {
        25 => 0,
        465 | 587 => 1,
        _ => NO_GATE,
    };
    assert_eq!(decision.gate, gated);
    assert!(!decision.observed);
    let source = decision.source.to_le_bytes();
    let judged = |source: &Source| judge(&maps, decision.gate, source);
    match decision.reason {
        Reason::None => assert_eq!(decision.gate, NO_GATE),
        Reason::Malformed | Reason::Fragment | Reason::HeaderChain => {}
        reason => match (decision.family, source) {
            (Family::V4, [a, b, c, d, ..]) => assert_eq!(reason, judged(&Source::V4([a, b, c, d]))),
            (Family::V6, source) => assert_eq!(reason, judged(&Source::V6(source))),
            (Family::Other, _) => panic!("a SYN of no family"),
        },
    }
}
