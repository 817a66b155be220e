//! The policy that the packet table is judged by, and who is who in it.
//!
//! Three gates with different allow lists, of which the last only observes; trust, block and bans nested in each other in
//! every way that has its own answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use smtpgate::policy::intent::{Ban, Gate, Intent};
use smtpgate_common::ban::LAST;

use super::builder::Ends;

/// Number of the gate on 465 and 587.
pub const SUBMISSION: u8 = 0;
/// Number of the gate on 25.
pub const MX: u8 = 1;
/// Number of the gate on 2525, which only observes.
pub const WATCH: u8 = 2;

/// Ports of the gates.
pub const GATED: [u16; 4] = [25, 465, 587, 2525];

/// Where all frames go.
pub const HOST4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// Where all frames go.
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);

/// The id of VLANs that a host may be in.
pub const VLAN: u16 = 5;

/// The end of a ban that was over before anything could start: in ticks since boot.
const ENDED: u32 = 2;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    Four,
    /// IPv6.
    Six,
}

impl Version {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Four, Self::Six];

    /// As it stands in the names of cases.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Four => "v4",
            Self::Six => "v6",
        }
    }
}

/// A kind of source: what the policy says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Allowed at every gate.
    Allowed,
    /// Allowed at `mx` only.
    MxOnly,
    /// Known to no source.
    Foreign,
    /// Trusted, in no other list.
    Trusted,
    /// Trusted, inside a blocked prefix.
    TrustedInBlock,
    /// In a blocked prefix inside a trusted one.
    BlockInTrust,
    /// In a blocked prefix inside an allowed one.
    Blocked,
    /// In an allowed prefix inside a blocked one.
    AllowedInBlock,
    /// Listed in block by its address alone, inside an allowed prefix.
    BlockedSingle,
    /// Listed in block by its address alone, in no allowed prefix.
    BlockedForeign,
    /// Allowed, and banned by its address (IPv6: by its /64).
    Banned,
    /// Allowed; its ban is over.
    BanEnded,
    /// Allowed, in a banned prefix.
    BannedPrefix,
    /// Allowed; the ban of its prefix is over.
    BanEndedPrefix,
    /// Trusted, and banned nevertheless.
    TrustedBanned,
    /// Foreign, and banned.
    ForeignBanned,
    /// In a blocked prefix, and banned.
    BlockedBanned,
    /// Allowed, and banned by its single address (IPv6: /128) where the whole prefix around it is not.
    BannedExact,
    /// The next address to [`Who::BannedExact`].
    BesideBannedExact,
    /// Banned by its single address, whose prefix ban is over.
    BannedExactInEnded,
    /// Its own ban is over, that of its prefix is not.
    EndedExactInBanned,
}

impl Who {
    /// All.
    pub const ALL: [Self; 21] = [
        Self::Allowed,
        Self::MxOnly,
        Self::Foreign,
        Self::Trusted,
        Self::TrustedInBlock,
        Self::BlockInTrust,
        Self::Blocked,
        Self::AllowedInBlock,
        Self::BlockedSingle,
        Self::BlockedForeign,
        Self::Banned,
        Self::BanEnded,
        Self::BannedPrefix,
        Self::BanEndedPrefix,
        Self::TrustedBanned,
        Self::ForeignBanned,
        Self::BlockedBanned,
        Self::BannedExact,
        Self::BesideBannedExact,
        Self::BannedExactInEnded,
        Self::EndedExactInBanned,
    ];

    /// Its address.
    #[must_use]
    pub fn address(self, version: Version) -> IpAddr {
        let (four, six) = match self {
            Self::Allowed => ([192, 0, 2, 10], "2001:db8:a::10"),
            Self::MxOnly => ([198, 51, 100, 10], "2001:db8:b::10"),
            Self::Foreign => ([203, 0, 113, 9], "2001:db8:f::9"),
            Self::Trusted => ([203, 0, 113, 65], "2001:db8:c:7::1"),
            Self::TrustedInBlock => ([10, 20, 30, 1], "2001:db8:a:30::1"),
            Self::BlockInTrust => ([10, 20, 30, 129], "2001:db8:a:30:8000::1"),
            Self::Blocked => ([10, 20, 99, 1], "2001:db8:a:3f::1"),
            Self::AllowedInBlock => ([10, 20, 40, 1], "2001:db8:a:31::1"),
            Self::BlockedSingle => ([192, 0, 2, 99], "2001:db8:a::99"),
            Self::BlockedForeign => ([203, 0, 113, 99], "2001:db8:f::99"),
            Self::Banned => ([192, 0, 2, 66], "2001:db8:a:66::1"),
            Self::BanEnded => ([192, 0, 2, 67], "2001:db8:a:67::1"),
            Self::BannedPrefix => ([192, 0, 2, 130], "2001:db8:a:7003::1"),
            Self::BanEndedPrefix => ([192, 0, 2, 146], "2001:db8:a:7103::1"),
            Self::TrustedBanned => ([203, 0, 113, 66], "2001:db8:c:7::66"),
            Self::ForeignBanned => ([203, 0, 113, 166], "2001:db8:f:66::1"),
            Self::BlockedBanned => ([10, 20, 99, 66], "2001:db8:a:3f::66"),
            Self::BannedExact => ([192, 0, 2, 68], "2001:db8:a:68::66"),
            Self::BesideBannedExact => ([192, 0, 2, 69], "2001:db8:a:68::67"),
            Self::BannedExactInEnded => ([192, 0, 2, 147], "2001:db8:a:69::66"),
            Self::EndedExactInBanned => ([192, 0, 2, 131], "2001:db8:a:6a::66"),
        };
        match version {
            Version::Four => IpAddr::V4(four.into()),
            Version::Six => parsed(six),
        }
    }

    /// From it to the host.
    #[must_use]
    pub fn ends(self, version: Version) -> Ends {
        to_host(self.address(version))
    }
}

/// From any source to the host.
#[must_use]
pub fn to_host(source: IpAddr) -> Ends {
    Ends {
        source,
        destination: match source {
            IpAddr::V4(_) => HOST4.into(),
            IpAddr::V6(_) => HOST6.into(),
        },
    }
}

/// Allowed prefixes of uneven lengths, each with foreign addresses on both sides: they cross every step of the lookup.
pub const EDGES: [&str; 22] = [
    "64.0.0.0/3",
    "112.0.0.0/9",
    "172.16.0.0/15",
    "172.20.0.0/16",
    "172.24.128.0/17",
    "172.28.16.0/21",
    "172.28.64.0/24",
    "172.28.66.128/25",
    "172.28.68.64/26",
    "172.28.70.8/30",
    "172.28.72.2/31",
    "172.28.74.7/32",
    "2400::/11",
    "2600:100::/24",
    "2600:280::/25",
    "2600:300:8000::/33",
    "2600:400:0:8000::/49",
    "2600:500:0:40::/58",
    "2600:600:0:7::/64",
    "2600:700:0:7:8000::/65",
    "2600:800:0:7::ffff:0/112",
    "2600:900:0:7::7/128",
];

/// Many single bans in one allowed prefix, so that buckets of the ban table overflow however it is sized for them.
#[must_use]
pub fn crowd(version: Version) -> Vec<IpAddr> {
    (0..250_u8)
        .map(|host| match version {
            Version::Four => Ipv4Addr::new(192, 0, 3, host).into(),
            Version::Six => Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0x100 + u16::from(host), 0, 0, 0, 1).into(),
        })
        .collect()
}

/// The policy.
#[must_use]
pub fn intent() -> Intent {
    let everywhere = nets(&[
        "192.0.2.0/23",
        "10.0.0.0/8",
        "10.20.40.0/24",
        "2001:db8:a::/48",
        "2001:db8:a:31::/64",
    ]);
    let edges = nets(&EDGES);
    let mx_only = nets(&["198.51.100.0/24", "2001:db8:b::/48"]);
    let ban = |prefix: &str, until| Ban {
        prefix: parsed(prefix),
        until,
    };
    let mut bans = vec![
        ban("192.0.2.66/32", LAST),
        ban("192.0.2.67/32", ENDED),
        ban("192.0.2.68/32", LAST),
        ban("192.0.2.128/28", LAST),
        ban("192.0.2.131/32", ENDED),
        ban("192.0.2.144/28", ENDED),
        ban("192.0.2.147/32", LAST),
        ban("203.0.113.66/32", LAST),
        ban("203.0.113.166/32", LAST),
        ban("10.20.99.66/32", LAST),
        ban("2001:db8:a:66::/64", LAST),
        ban("2001:db8:a:67::/64", ENDED),
        ban("2001:db8:a:68::66/128", LAST),
        ban("2001:db8:a:69::/64", ENDED),
        ban("2001:db8:a:69::66/128", LAST),
        ban("2001:db8:a:6a::/64", LAST),
        ban("2001:db8:a:6a::66/128", ENDED),
        ban("2001:db8:a:7000::/56", LAST),
        ban("2001:db8:a:7100::/56", ENDED),
        ban("2001:db8:c:7::66/128", LAST),
        ban("2001:db8:f:66::/64", LAST),
        ban("2001:db8:a:3f::66/128", LAST),
    ];
    for address in Version::BOTH.into_iter().flat_map(crowd) {
        bans.push(Ban {
            prefix: address.into(),
            until: LAST,
        });
    }
    let gate = |name: &str, ports: &[u16], allow: &[&Vec<IpNet>], observe| Gate {
        name: name.to_owned(),
        ports: ports.to_vec(),
        allow: allow.iter().copied().flatten().copied().collect(),
        observe,
    };
    Intent {
        gates: vec![
            gate("submission", &[465, 587], &[&everywhere, &edges], false),
            gate("mx", &[25], &[&everywhere, &edges, &mx_only], false),
            gate("watch", &[2525], &[&everywhere], true),
        ],
        trust: nets(&[
            "203.0.113.64/30",
            "10.20.30.0/24",
            "2001:db8:c:7::/64",
            "2001:db8:a:30::/64",
        ]),
        block: nets(&[
            "10.20.0.0/16",
            "10.20.30.128/25",
            "192.0.2.99/32",
            "203.0.113.99/32",
            "2001:db8:a:30::/60",
            "2001:db8:a:30:8000::/65",
            "2001:db8:a::99/128",
            "2001:db8:f::99/128",
        ]),
        bans,
    }
}

/// The same policy with every gate only observing.
#[must_use]
pub fn observing() -> Intent {
    let mut intent = intent();
    for gate in &mut intent.gates {
        gate.observe = true;
    }
    intent
}

fn nets(prefixes: &[&str]) -> Vec<IpNet> {
    prefixes.iter().map(|prefix| parsed(prefix)).collect()
}

#[allow(clippy::expect_used, reason = "literals of this file")]
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a literal of the packet table")
}
