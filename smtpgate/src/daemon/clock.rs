//! The two clocks, read together: the wall's, which people and the ledger use, and the kernel's time since boot.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rustix::time::{ClockId, clock_gettime};
use smtpgate_common::ban;

use crate::maillog;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock.
    pub wall: Timestamp,
    /// Nanoseconds since boot, suspended time included (`CLOCK_BOOTTIME`), as the kernel program reads them.
    pub boot_ns: u64,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(boot.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(boot.tv_nsec).unwrap_or_default();
        Self {
            wall: Timestamp::now(),
            boot_ns: seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds),
        }
    }

    /// The end of a ban in the kernel's ticks, rounded up; one without an end, or with one too far off, gets the last
    /// there is.
    pub fn ticks_until(&self, until: Option<Timestamp>) -> u32 {
        let Some(until) = until else { return ban::LAST };
        let left = until.duration_since(self.wall).max(SignedDuration::ZERO).as_nanos();
        let end = u128::from(self.boot_ns) + u128::try_from(left).unwrap_or_default();
        let ticks = (end + (1 << ban::TICK_SHIFT) - 1) >> ban::TICK_SHIFT;
        u32::try_from(ticks)
            .unwrap_or(ban::LAST)
            .clamp(ban::LIFTED + 1, ban::LAST)
    }

    /// When something happened that the kernel stamped with its own time.
    pub fn wall_of(&self, boot_ns: u64) -> Timestamp {
        let ago = i64::try_from(self.boot_ns.saturating_sub(boot_ns)).unwrap_or(i64::MAX);
        self.wall
            .checked_sub(SignedDuration::from_nanos(ago))
            .unwrap_or(self.wall)
    }
}

/// What the time stamps of this host's log lines are read against.
pub fn of_the_log() -> maillog::Clock {
    maillog::Clock {
        now: Timestamp::now(),
        zone: TimeZone::system(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_NS: u64 = 1 << ban::TICK_SHIFT;

    fn at(boot_ns: u64) -> Moment {
        Moment {
            wall: Timestamp::from_second(1_800_000_000).unwrap(),
            boot_ns,
        }
    }

    #[test]
    fn a_ban_never_ends_early_and_at_most_one_tick_late() {
        let moment = at(12_345_678_901);
        for seconds in [1, 59, 3600, 86_400 * 30] {
            let until = moment.wall + SignedDuration::from_secs(seconds);
            let end = u64::from(moment.ticks_until(Some(until))) * TICK_NS;
            let exact = moment.boot_ns + u64::try_from(seconds).unwrap() * 1_000_000_000;
            assert!(
                end >= exact && end < exact + TICK_NS,
                "{seconds} s: {end} against {exact}"
            );
        }
    }

    #[test]
    fn a_ban_without_an_end_gets_the_last_tick_and_a_past_one_has_ended() {
        let moment = at(TICK_NS * 100);
        assert_eq!(moment.ticks_until(None), ban::LAST);
        let past = moment.wall - SignedDuration::from_secs(10);
        assert!(moment.ticks_until(Some(past)) <= 100);
    }

    #[test]
    fn the_kernels_stamp_becomes_a_wall_time() {
        let moment = at(10_000_000_000);
        assert_eq!(
            moment.wall_of(8_000_000_000),
            moment.wall - SignedDuration::from_secs(2)
        );
    }
}
