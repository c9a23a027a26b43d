//! The process's one clock: monotonic instants for actors, UTC ticks for timestamps.

use std::sync::OnceLock;
use std::time::{Duration, Instant as StdInstant, SystemTime};

use contract::{Instant, UtcTime};

/// Reads the time. All clocks of the process count from the same start, so instants may cross cores.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: StdInstant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// The process's clock. Its zero is the first call of this function.
    pub fn new() -> Self {
        static START: OnceLock<StdInstant> = OnceLock::new();
        Self { start: *START.get_or_init(StdInstant::now) }
    }

    /// The monotonic time. Costs some 25 ns.
    pub fn now(self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// The date in UTC; it jumps when somebody sets it. Before 1970 where the machine's clock says so.
    pub fn utc(self) -> UtcTime {
        let epoch = UtcTime::from_ticks(0);
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => epoch.saturating_add(since),
            Err(before) => UtcTime::from_ticks(-epoch.saturating_add(before.duration()).ticks()),
        }
    }

    /// How long until `instant`; zero when it has passed.
    pub fn until(self, instant: Instant) -> Duration {
        instant - self.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_made_on_different_threads_agree() {
        let here = Clock::new().now();
        let there = std::thread::spawn(|| Clock::new().now()).join().expect("reading a clock does not panic");
        assert!(there >= here && there - here < Duration::from_secs(10));
    }

    #[test]
    fn the_date_is_after_this_was_written() {
        assert!(Clock::new().utc().unix_millis() > 1_700_000_000_000);
    }
}
