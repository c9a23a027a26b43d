//! Monotonic instants and UTC ticks. Actors receive both, and read neither.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on the process's monotonic clock, in nanoseconds since the process started.
///
/// Timeouts, Message Expiry and leases count on it; it never goes back and says nothing about the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the process, or of a simulation.
    pub const ZERO: Self = Self(0);

    /// Makes an instant from nanoseconds since the process started.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Makes an instant from milliseconds since the process started.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since the process started.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// The instant `duration` later; the end of time where that would overflow (584 years).
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

/// A UTC date in ticks of 100 ns since 1970-01-01, the resolution of an OPC UA `DateTime` (Part 6 §5.2.2.5).
///
/// Negative before 1970. Leap seconds are not counted, as in POSIX time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(i64);

impl UtcTime {
    /// Ticks between 1601-01-01, where OPC UA counts from, and 1970-01-01.
    pub const OPC_UA_EPOCH_TICKS: i64 = 116_444_736_000_000_000;
    /// Ticks in a second.
    pub const TICKS_PER_SECOND: i64 = 10_000_000;

    /// Makes a date from ticks of 100 ns since 1970-01-01.
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Makes a date from an OPC UA `DateTime`: ticks of 100 ns since 1601-01-01.
    pub const fn from_opc_ua_ticks(ticks: i64) -> Self {
        Self(ticks.saturating_sub(Self::OPC_UA_EPOCH_TICKS))
    }

    /// Ticks of 100 ns since 1970-01-01.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970-01-01, rounded down.
    pub const fn unix_millis(self) -> i64 {
        self.0.div_euclid(10_000)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let ticks = u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0);
        Duration::from_nanos(ticks.saturating_mul(100))
    }

    /// The date `duration` later, to the tick below.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opc_ua_date_counts_from_1601() {
        assert_eq!(UtcTime::from_opc_ua_ticks(UtcTime::OPC_UA_EPOCH_TICKS), UtcTime::from_ticks(0));
        assert_eq!(UtcTime::from_opc_ua_ticks(i64::MIN).ticks(), i64::MIN);
    }

    #[test]
    fn a_difference_never_goes_below_zero() {
        assert_eq!(Instant::ZERO - Instant::from_millis(1), Duration::ZERO);
        assert_eq!(UtcTime::from_ticks(1).saturating_since(UtcTime::from_ticks(2)), Duration::ZERO);
        assert_eq!(Instant::from_millis(3) - Instant::from_millis(1), Duration::from_millis(2));
    }

    #[test]
    fn the_end_of_time_is_not_passed() {
        assert_eq!(Instant::from_nanos(u64::MAX) + Duration::from_secs(1), Instant::from_nanos(u64::MAX));
    }
}
