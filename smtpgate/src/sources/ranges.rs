//! Sets of addresses as ranges: the one form in which sources are gathered, joined, counted and cut into prefixes. Pure.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A set of IPv4 and IPv6 addresses. Host order: an address is the number that its octets spell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    v4: Family<u32>,
    v6: Family<u128>,
}

/// How much a set covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// IPv4 addresses.
    pub v4: u64,
    /// IPv6 addresses; `::/0` counts one less than it holds, so that it fits.
    pub v6: u128,
}

impl Ranges {
    /// Adds one network.
    pub fn add_net(&mut self, net: IpNet) {
        match net {
            IpNet::V4(net) => self.v4.add(net.network().into(), net.broadcast().into()),
            IpNet::V6(net) => self.v6.add(net.network().into(), net.broadcast().into()),
        }
    }

    /// Adds all IPv4 addresses from `low` to `high`, both included.
    pub fn add_v4(&mut self, low: u32, high: u32) {
        self.v4.add(low, high);
    }

    /// Adds all IPv6 addresses from `low` to `high`, both included.
    pub fn add_v6(&mut self, low: u128, high: u128) {
        self.v6.add(low, high);
    }

    /// Adds everything that is in `other`.
    pub fn add_all(&mut self, other: &Ranges) {
        self.v4.ranges.extend_from_slice(&other.v4.ranges);
        self.v6.ranges.extend_from_slice(&other.v6.ranges);
    }

    /// Takes out everything that is in `other`. Both must be in normal form.
    pub fn remove_all(&mut self, other: &Ranges) {
        self.v4.remove_all(&other.v4);
        self.v6.remove_all(&other.v6);
    }

    /// Brings the set into its normal form: ascending, and nothing that touches its neighbour. The other methods that
    /// read a set need it.
    pub fn normalise(&mut self) {
        self.v4.normalise();
        self.v6.normalise();
    }

    /// The IPv4 ranges, both ends included.
    pub fn v4(&self) -> &[(u32, u32)] {
        &self.v4.ranges
    }

    /// The IPv6 ranges, both ends included.
    pub fn v6(&self) -> &[(u128, u128)] {
        &self.v6.ranges
    }

    /// Whether the set holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.into()),
            IpAddr::V6(address) => self.v6.contains(address.into()),
        }
    }

    /// Whether the set holds all of `net`.
    pub fn holds(&self, net: IpNet) -> bool {
        match net {
            IpNet::V4(net) => self.v4.holds(net.network().into(), net.broadcast().into()),
            IpNet::V6(net) => self.v6.holds(net.network().into(), net.broadcast().into()),
        }
    }

    /// The fewest prefixes that cover exactly this set: IPv4 first, each family ascending.
    pub fn to_nets(&self) -> Vec<IpNet> {
        let mut nets = Vec::with_capacity(self.v4.ranges.len() + self.v6.ranges.len());
        self.v4
            .blocks(|first, length| nets.extend(Ipv4Net::new(Ipv4Addr::from(first), length).map(IpNet::V4)));
        self.v6
            .blocks(|first, length| nets.extend(Ipv6Net::new(Ipv6Addr::from(first), length).map(IpNet::V6)));
        nets
    }

    /// How much the set covers.
    pub fn coverage(&self) -> Coverage {
        Coverage {
            v4: self.v4.ranges.iter().map(|(low, high)| u64::from(high - low) + 1).sum(),
            v6: self.v6.ranges.iter().fold(0, |sum: u128, (low, high)| {
                sum.saturating_add((high - low).saturating_add(1))
            }),
        }
    }

    /// A hash of the set (FNV-1a, the same on every machine and in every version). Not proof against forgery.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = fnv::FnvHasher::default();
        for (low, high) in &self.v4.ranges {
            hasher.write(&low.to_be_bytes());
            hasher.write(&high.to_be_bytes());
        }
        hasher.write(b"/");
        for (low, high) in &self.v6.ranges {
            hasher.write(&low.to_be_bytes());
            hasher.write(&high.to_be_bytes());
        }
        hasher.finish()
    }
}

impl FromIterator<IpNet> for Ranges {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let mut ranges = Ranges::default();
        for net in nets {
            ranges.add_net(net);
        }
        ranges.normalise();
        ranges
    }
}

/// An address as a number.
trait Address: Copy + Ord {
    const BITS: u8;
    /// The next one, if there is one.
    fn next(self) -> Option<Self>;
    /// The one before, if there is one.
    fn previous(self) -> Option<Self>;
    /// How many low bits are zero.
    fn zeros(self) -> u8;
    /// The binary logarithm, rounded down, of how many addresses lie from `self` to `high`.
    fn log2_to(self, high: Self) -> u8;
    /// The last address of the block of 2^`bits` that starts here.
    fn last_of(self, bits: u8) -> Self;
}

macro_rules! address {
    ($number:ty, $bits:literal) => {
        impl Address for $number {
            const BITS: u8 = $bits;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
            fn zeros(self) -> u8 {
                u8::try_from(self.trailing_zeros()).unwrap_or($bits)
            }
            fn log2_to(self, high: Self) -> u8 {
                let log2 = (high - self).checked_add(1).map_or($bits, Self::ilog2);
                u8::try_from(log2).unwrap_or($bits)
            }
            fn last_of(self, bits: u8) -> Self {
                self | !Self::MAX.checked_shl(bits.into()).unwrap_or(0)
            }
        }
    };
}
address!(u32, 32);
address!(u128, 128);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Family<A> {
    ranges: Vec<(A, A)>,
}

impl<A: Address> Family<A> {
    fn add(&mut self, low: A, high: A) {
        self.ranges.push((low, high));
    }

    fn contains(&self, address: A) -> bool {
        self.holds(address, address)
    }

    fn holds(&self, first: A, last: A) -> bool {
        let after = self.ranges.partition_point(|(low, _)| *low <= first);
        after
            .checked_sub(1)
            .and_then(|index| self.ranges.get(index))
            .is_some_and(|(_, high)| last <= *high)
    }

    fn remove_all(&mut self, other: &Family<A>) {
        let mut left = Vec::with_capacity(self.ranges.len());
        for (low, high) in &self.ranges {
            // What is left of this range, from here on; none when its end is reached.
            let mut first = Some(*low);
            let from = other.ranges.partition_point(|(_, end)| end < low);
            for (start, end) in other.ranges.iter().skip(from).take_while(|(start, _)| start <= high) {
                if let (Some(begin), Some(before)) = (first, start.previous())
                    && begin <= before
                {
                    left.push((begin, before));
                }
                first = end.next();
            }
            if let Some(begin) = first
                && begin <= *high
            {
                left.push((begin, *high));
            }
        }
        self.ranges = left;
    }

    fn normalise(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|(low, high), (_, last)| {
            let touches = last.next().is_none_or(|next| *low <= next);
            if touches {
                *last = (*last).max(*high);
            }
            touches
        });
    }

    /// Calls `block` with the first address and the prefix length of every prefix.
    fn blocks(&self, mut block: impl FnMut(A, u8)) {
        for (low, high) in &self.ranges {
            let mut first = *low;
            loop {
                // The largest block that starts here, is aligned, and does not reach beyond the end.
                let bits = first.zeros().min(first.log2_to(*high));
                block(first, A::BITS - bits);
                match first.last_of(bits).next() {
                    Some(next) if next <= *high => first = next,
                    _ => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nets(ranges: &Ranges) -> Vec<String> {
        ranges.to_nets().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ranges_become_the_fewest_prefixes() {
        let v4 = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
        let v6 = |text: &str| u128::from(text.parse::<Ipv6Addr>().unwrap());
        for (low, high, expected) in [
            ("0.0.0.0", "255.255.255.255", vec!["0.0.0.0/0"]),
            ("192.0.2.0", "192.0.2.0", vec!["192.0.2.0/32"]),
            ("255.255.255.255", "255.255.255.255", vec!["255.255.255.255/32"]),
            (
                "192.0.2.1",
                "192.0.2.6",
                vec!["192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6/32"],
            ),
            (
                "198.51.99.0",
                "198.51.100.255",
                vec!["198.51.99.0/24", "198.51.100.0/24"],
            ),
        ] {
            let mut ranges = Ranges::default();
            ranges.add_v4(v4(low), v4(high));
            assert_eq!(nets(&ranges), expected, "{low}-{high}");
        }
        for (low, high, expected) in [
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", vec!["::/0"]),
            (
                "2001:db8::",
                "2001:db8:2:ffff:ffff:ffff:ffff:ffff",
                vec!["2001:db8::/47", "2001:db8:2::/48"],
            ),
        ] {
            let mut ranges = Ranges::default();
            ranges.add_v6(v6(low), v6(high));
            assert_eq!(nets(&ranges), expected, "{low}-{high}");
        }
    }

    #[test]
    fn ranges_join_what_overlaps_or_touches() {
        let texts = [
            "192.0.2.128/25",
            "192.0.2.0/25",
            "192.0.2.7/32",
            "2001:db8:1::/48",
            "2001:db8::/48",
            "192.0.2.0/24",
        ];
        let ranges: Ranges = texts.iter().map(|text| text.parse::<IpNet>().unwrap()).collect();
        assert_eq!(nets(&ranges), ["192.0.2.0/24", "2001:db8::/47"]);
        assert_eq!(ranges.coverage(), Coverage { v4: 256, v6: 1 << 81 });
        let world: Ranges = ["0.0.0.0/0", "::/0"]
            .iter()
            .map(|text| text.parse::<IpNet>().unwrap())
            .collect();
        assert_eq!(
            world.coverage(),
            Coverage {
                v4: 1 << 32,
                v6: u128::MAX
            }
        );
    }

    proptest! {
        /// The naive model again: one flag an address, at either end of the space.
        #[test]
        fn ranges_removed_are_gone_and_nothing_else(
            parts in prop::collection::vec((corner(), corner()), 0..8),
            removed in prop::collection::vec((corner(), corner()), 0..8),
            high_end: bool,
        ) {
            let base = if high_end { u32::MAX - 255 } else { 0 };
            let mut model = [false; 256];
            let (mut ranges, mut others) = (Ranges::default(), Ranges::default());
            for (a, b) in parts {
                let (low, high) = (a.min(b), a.max(b));
                ranges.add_v4(base + u32::from(low), base + u32::from(high));
                model[usize::from(low)..=usize::from(high)].fill(true);
            }
            for (a, b) in removed {
                let (low, high) = (a.min(b), a.max(b));
                others.add_v4(base + u32::from(low), base + u32::from(high));
                model[usize::from(low)..=usize::from(high)].fill(false);
            }
            ranges.normalise();
            others.normalise();
            ranges.remove_all(&others);
            for (address, flag) in (0..=255u32).zip(model) {
                prop_assert_eq!(ranges.contains(Ipv4Addr::from(base + address).into()), flag);
            }
            let mut normal = ranges.clone();
            normal.normalise();
            prop_assert_eq!(normal, ranges);
        }
    }

    #[test]
    fn fingerprint_differs_by_set_and_family_only() {
        let of = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.parse::<IpNet>().unwrap())
                .collect::<Ranges>()
                .fingerprint()
        };
        assert_eq!(of(&["192.0.2.0/25", "192.0.2.128/25"]), of(&["192.0.2.0/24"]));
        assert_ne!(of(&["192.0.2.0/25"]), of(&["192.0.2.0/24"]));
        assert_ne!(of(&["::/128"]), of(&[]));
        // Kept in files: must never change.
        assert_eq!(of(&["192.0.2.0/24", "2001:db8::/32"]), 0xc6e368253b966af5);
    }

    /// Addresses near each other and near both ends of the family, where the arithmetic has its corners.
    fn corner() -> impl Strategy<Value = u8> {
        prop_oneof![0..=255u8, 0..4u8, 252..=255u8]
    }

    proptest! {
        /// The naive model: one flag for each of 256 addresses, at either end of the IPv4 space.
        #[test]
        fn ranges_to_prefixes_is_exact_and_minimal(parts in prop::collection::vec((corner(), corner()), 0..12), high_end: bool) {
            let base = if high_end { u32::MAX - 255 } else { 0 };
            let mut model = [false; 256];
            let mut ranges = Ranges::default();
            for (a, b) in parts {
                let (low, high) = (a.min(b), a.max(b));
                ranges.add_v4(base + u32::from(low), base + u32::from(high));
                // The same set, in IPv6, at the same end.
                let base6 = if high_end { u128::MAX - 255 } else { 0 };
                ranges.add_v6(base6 + u128::from(low), base6 + u128::from(high));
                model[usize::from(low)..=usize::from(high)].fill(true);
            }
            ranges.normalise();
            let nets = ranges.to_nets();
            let mut covered = [0u8; 256];
            for net in nets.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(net) } else { None }) {
                for address in u32::from(net.network())..=u32::from(net.broadcast()) {
                    covered[usize::try_from(address - base).unwrap()] += 1;
                    prop_assert!(ranges.contains(Ipv4Addr::from(address).into()));
                    if address == u32::MAX { break; }
                }
            }
            for (flag, times) in model.iter().zip(covered) {
                prop_assert_eq!(u8::from(*flag), times);
            }
            // No two neighbours make one larger prefix: ipnet's own aggregation finds nothing to do.
            let four: Vec<IpNet> = nets.iter().copied().filter(|net| matches!(net, IpNet::V4(_))).collect();
            prop_assert_eq!(&IpNet::aggregate(&four), &four);
            let six: Vec<IpNet> = nets.iter().copied().filter(|net| matches!(net, IpNet::V6(_))).collect();
            prop_assert_eq!(&IpNet::aggregate(&six), &six);
            prop_assert_eq!(six.len(), four.len());
            let count = model.iter().filter(|flag| **flag).count();
            prop_assert_eq!(ranges.coverage(), Coverage { v4: count as u64, v6: count as u128 });
            // Back again: the same set.
            prop_assert_eq!(nets.into_iter().collect::<Ranges>(), ranges);
        }
    }
}
