//! Two timers a core: one for what is due next, and a guard behind it.
//!
//! glommio can park although the loop is runnable, and only a later event wakes it. So a timer is always
//! registered while the loop does not run: `due` until it fires, and the guard, which fires only when the
//! loop has not come round for two heartbeats. Both are moved, never cancelled; moving costs two operations
//! on an ordered map and no system call.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use contract::Instant;
use glommio::timer::Timer;

use crate::clock::Clock;

/// Deadlines are rounded up to whole milliseconds, so that neighbours share one wake-up.
const GRANULARITY_NANOS: u64 = 1_000_000;

pub(crate) struct Timers {
    clock: Clock,
    heartbeat: Duration,
    due: Timer,
    due_at: Instant,
    guard: Timer,
    guard_at: Instant,
}

impl Timers {
    /// Must be called on the executor's thread.
    pub(crate) fn new(clock: Clock, heartbeat: Duration) -> Self {
        let (due, guard) = (Timer::new(heartbeat), Timer::new(heartbeat));
        Self { clock, heartbeat, due, due_at: Instant::ZERO, guard, guard_at: Instant::ZERO }
    }

    /// Moves the timers: the next wake-up comes at `timeout`, or after a heartbeat if that is earlier.
    ///
    /// Returns when that is. [`Timers::poll_due`] registers them.
    pub(crate) fn set(&mut self, now: Instant, timeout: Option<Instant>) -> Instant {
        let heartbeat_at = now + self.heartbeat;
        self.due_at = timeout.map_or(heartbeat_at, |timeout| round_up(timeout).min(heartbeat_at));
        self.due.reset(self.clock.until(self.due_at));
        if self.guard_at < self.due_at + self.heartbeat {
            self.guard_at = now + 3 * self.heartbeat;
            self.guard.reset(self.clock.until(self.guard_at));
        }
        self.due_at
    }

    /// Whether one of them is no longer registered, because its time has come.
    pub(crate) fn have_fired(&self, now: Instant) -> bool {
        self.due_at <= now || self.guard_at <= now
    }

    /// Registers both timers for the task of `context`. Ready when one of them has passed.
    pub(crate) fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let guard = Pin::new(&mut self.guard).poll(context);
        let due = Pin::new(&mut self.due).poll(context);
        if guard.is_ready() || due.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn round_up(instant: Instant) -> Instant {
    Instant::from_nanos(instant.as_nanos().div_ceil(GRANULARITY_NANOS).saturating_mul(GRANULARITY_NANOS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_always_stands_a_heartbeat_behind_what_is_due() {
        let heartbeat = Duration::from_millis(100);
        let executor = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound).io_memory(64 << 10).make();
        executor.unwrap().run(async move {
            let clock = Clock::new();
            let mut timers = Timers::new(clock, heartbeat);
            let start = clock.now();
            for millis in (0..2_000).step_by(7) {
                let now = start + Duration::from_millis(millis);
                let due_at = timers.set(now, (millis % 2 == 0).then_some(now + Duration::from_millis(3)));
                assert!(due_at <= now + heartbeat);
                assert!(timers.guard_at >= due_at + heartbeat && timers.guard_at <= now + 3 * heartbeat);
                assert!(!timers.have_fired(now) && timers.have_fired(timers.guard_at));
            }
        });
    }

    #[test]
    fn deadlines_are_rounded_up_to_whole_milliseconds() {
        assert_eq!(round_up(Instant::from_nanos(1)), Instant::from_millis(1));
        assert_eq!(round_up(Instant::from_millis(7)), Instant::from_millis(7));
        assert!(round_up(Instant::from_nanos(u64::MAX)) >= Instant::from_nanos(u64::MAX - GRANULARITY_NANOS));
    }
}
