//! Whether a new copy of a list may replace the last good one. Pure.

use super::ranges::Coverage;

/// Lists shorter than this are written by hand, and a hand may cut them as it likes.
const FEED: usize = 64;

/// The size of a list: prefixes of each family, and what they cover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// IPv4 prefixes.
    pub v4_prefixes: usize,
    /// IPv6 prefixes.
    pub v6_prefixes: usize,
    /// What they cover.
    pub coverage: Coverage,
}

/// Refuses a copy that covers, in either family, less than half of what the last one did, or that is empty where the last
/// one was not: such a copy is more often a broken download than a wish, and would shut out the wanted. Families of
/// fewer than 64 prefixes are not judged, save that the whole list must not become empty. The error says the numbers.
pub fn check(old: &Size, new: &Size) -> Result<(), String> {
    if new.v4_prefixes + new.v6_prefixes == 0 && old.v4_prefixes + old.v6_prefixes > 0 {
        return Err(format!(
            "it is empty, and held {} prefixes before",
            old.v4_prefixes + old.v6_prefixes
        ));
    }
    if old.v4_prefixes >= FEED && new.coverage.v4 < old.coverage.v4 / 2 {
        return Err(format!(
            "it shrank from {} to {} IPv4 addresses, less than half",
            old.coverage.v4, new.coverage.v4
        ));
    }
    if old.v6_prefixes >= FEED && new.coverage.v6 < old.coverage.v6 / 2 {
        // Nobody thinks in single IPv6 addresses; but a list may hold less than one /64.
        let (unit, name) = if old.coverage.v6 >> 64 == 0 {
            (0, "addresses")
        } else {
            (64, "/64 networks")
        };
        let count = |coverage: u128| coverage >> unit;
        let (before, now) = (count(old.coverage.v6), count(new.coverage.v6));
        return Err(format!("it shrank from {before} to {now} IPv6 {name}, less than half"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guard_refuses_what_lost_more_than_half() {
        let size = |p4, c4, p6, c6| Size {
            v4_prefixes: p4,
            v6_prefixes: p6,
            coverage: Coverage { v4: c4, v6: c6 },
        };
        let feed = size(1000, 256_000, 100, 100 << 64);
        let ok = Ok(());
        let refused = |text: &str| Err(text.to_owned());
        for (case, old, new, expected) in [
            ("first copy", Size::default(), feed, ok.clone()),
            ("the same", feed, feed, ok.clone()),
            ("half", feed, size(500, 128_000, 50, 50 << 64), ok.clone()),
            (
                "fewer prefixes that cover the same",
                feed,
                size(1, 256_000, 1, 100 << 64),
                ok.clone(),
            ),
            (
                "less than half of IPv4",
                feed,
                size(499, 127_999, 100, 100 << 64),
                refused("it shrank from 256000 to 127999 IPv4 addresses, less than half"),
            ),
            (
                "IPv6 gone",
                feed,
                size(1000, 256_000, 0, 0),
                refused("it shrank from 100 to 0 IPv6 /64 networks, less than half"),
            ),
            (
                "single IPv6 addresses gone",
                size(0, 0, 90, 90),
                size(0, 0, 9, 9),
                refused("it shrank from 90 to 9 IPv6 addresses, less than half"),
            ),
            (
                "by hand, three to one",
                size(3, 768, 0, 0),
                size(1, 256, 0, 0),
                ok.clone(),
            ),
            (
                "by hand, to nothing",
                size(3, 768, 0, 0),
                Size::default(),
                refused("it is empty, and held 3 prefixes before"),
            ),
            ("stays empty", Size::default(), Size::default(), ok.clone()),
            ("grows", size(64, 64, 0, 0), feed, ok.clone()),
        ] {
            assert_eq!(check(&old, &new), expected, "{case}");
        }
    }
}
