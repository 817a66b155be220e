//! When to ban, and for how long.

use std::time::Duration;

use jiff::Timestamp;

/// The admin's `[detect]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectConfig {
    /// That many offences within `findtime` are one ban. A heavier offence counts as several.
    pub maxretry: u32,
    /// How long an offence counts.
    pub findtime: Duration,
    /// Length of the first ban. Each return doubles it.
    pub bantime: Duration,
    /// No ban of the detector's is longer.
    pub bantime_max: Duration,
    /// The IPv6 prefix that stands for one offender: 32 to 64.
    pub window6: u8,
    /// That many offenders close together are a ban of what holds them; 0 = never.
    pub widen: u32,
    /// No IPv4 ban of the detector's is wider: 16 to 32.
    pub widest4: u8,
    /// No IPv6 ban of the detector's is wider: 32 to 64.
    pub widest6: u8,
    /// That many addresses failing on one login name are a siege; 0 = never.
    pub siege_addresses: u32,
    /// Logins of one account from that many networks within an hour are an alarm; 0 = never.
    pub stolen_networks: u32,
    /// The same for countries.
    pub stolen_countries: u32,
    /// That many recipients of one account's messages within an hour are an alarm; 0 = never.
    pub stolen_recipients: u32,
    /// Ban those of a stolen account's networks that it was never used from before.
    pub stolen_ban: bool,
    /// More new bans within a minute wait, the worst first.
    pub bans_per_minute: u32,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            maxretry: 5,
            findtime: Duration::from_mins(10),
            bantime: Duration::from_hours(1),
            bantime_max: Duration::from_hours(30 * 24),
            window6: 64,
            widen: 5,
            widest4: 24,
            widest6: 48,
            siege_addresses: 8,
            stolen_networks: 10,
            stolen_countries: 3,
            stolen_recipients: 500,
            stolen_ban: false,
            bans_per_minute: 300,
        }
    }
}
/// The last ban of a prefix that is over and that nobody took back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// How many times it had come back by then.
    pub returns: u32,
    /// When it ended.
    pub ended: Timestamp,
}

impl DetectConfig {
    /// Number of this return, and the length of the ban for it.
    ///
    /// A return is an offender that is banned again within `bantime_max` of the end of its last ban: the longest ban is
    /// also the longest memory. After a quiet time as long as that, it is a first offender again.
    pub fn length(&self, past: Option<Past>, now: Timestamp) -> (u32, Duration) {
        let quiet = |past: &Past| now.duration_since(past.ended).try_into().unwrap_or(Duration::ZERO);
        let returns = past
            .filter(|past| quiet(past) < self.bantime_max)
            .map_or(0, |past| past.returns.saturating_add(1));
        let doubled = 2u32
            .checked_pow(returns)
            .and_then(|times| self.bantime.checked_mul(times));
        (returns, doubled.unwrap_or(Duration::MAX).min(self.bantime_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detect_ban_length() {
        let config = DetectConfig::default();
        let hours = |hours| Duration::from_hours(hours);
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let cases = [
            ("first", None, (0, hours(1))),
            ("back at once", Some((0, 0)), (1, hours(2))),
            ("third return", Some((2, 24)), (3, hours(8))),
            ("longest", Some((9, 24)), (10, hours(720))),
            ("far too often", Some((40, 24)), (41, hours(720))),
            ("for ever", Some((u32::MAX, 24)), (u32::MAX, hours(720))),
            ("just remembered", Some((2, 719)), (3, hours(8))),
            ("forgotten", Some((2, 720)), (0, hours(1))),
            ("ends later, clock set back", Some((0, -5)), (1, hours(2))),
        ];
        for (name, past, want) in cases {
            let past = past.map(|(returns, ago)| Past {
                returns,
                ended: now - jiff::SignedDuration::from_hours(ago),
            });
            assert_eq!(config.length(past, now), want, "{name}");
        }
        let short = DetectConfig {
            bantime_max: Duration::from_secs(5),
            ..config
        };
        assert_eq!(
            short.length(None, now),
            (0, Duration::from_secs(5)),
            "bantime above bantime_max"
        );
    }
}
