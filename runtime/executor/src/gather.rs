//! Whether a busy core waits a moment before it looks at its sockets, so that one wake-up serves many packets.
//!
//! Paced traffic of many small packets wakes a core for each of them, and the wake-up costs more than the packet. A core that
//! sleeps blindly for some hundred microseconds finds what came meanwhile in one look. A peer that waits for its answers would be
//! slowed down by that, so it is tried: for one window the core gathers, and where less arrived than in the window before, it
//! does not gather for a while.

use std::time::Duration;

use contract::Instant;

/// How long the core counts before it decides.
const WINDOW: Duration = Duration::from_millis(20);
/// How long a decision to gather holds before the core looks anew what comes without.
const GATHER_HOLD: Duration = Duration::from_secs(1);
/// How long a decision against it holds at first; it doubles each time, up to [`DIRECT_HOLD_MAX`].
const DIRECT_HOLD: Duration = Duration::from_secs(1);
const DIRECT_HOLD_MAX: Duration = Duration::from_secs(32);
/// Of what came without gathering, in percent, as much must come with it.
const KEPT_PERCENT_MIN: u64 = 88;

/// Decides whether the next sleep is blind. Pure: time and work are passed in.
#[derive(Debug)]
pub(crate) struct Gather {
    max: Duration,
    state: State,
    window_began_at: Instant,
    window_work: u64,
    window_sleeps: u32,
    direct_hold: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Each packet wakes. Not tried before `not_before`.
    Direct { not_before: Instant },
    /// One window of gathering; `work` came in the window before.
    Trial { work: u64 },
    /// Gathering holds.
    Gathering { until: Instant },
}

impl Gather {
    /// Sleeps of `max` at most; zero: never.
    pub(crate) fn new(max: Duration) -> Self {
        Self {
            max,
            state: State::Direct { not_before: Instant::ZERO },
            window_began_at: Instant::ZERO,
            window_work: 0,
            window_sleeps: 0,
            direct_hold: DIRECT_HOLD,
        }
    }

    /// The core is about to sleep at `now`; `work` is all that it was given since its start, in any unit that follows the
    /// traffic. Answers for how long it sleeps blindly first.
    pub(crate) fn before_sleep(&mut self, now: Instant, work: u64) -> Option<Duration> {
        if self.max.is_zero() {
            return None;
        }
        let elapsed = now - self.window_began_at;
        if elapsed >= WINDOW {
            self.end_window(now, work, elapsed);
        }
        self.window_sleeps = self.window_sleeps.saturating_add(1);
        match self.state {
            State::Direct { .. } => None,
            State::Trial { .. } | State::Gathering { .. } => Some(self.max),
        }
    }

    fn end_window(&mut self, now: Instant, work: u64, elapsed: Duration) {
        let came = work.saturating_sub(self.window_work);
        // A window that a long sleep stretched says nothing of a busy core.
        let is_whole = elapsed < 2 * WINDOW;
        self.state = match self.state {
            State::Direct { not_before } => {
                let is_often = self.window_sleeps >= Self::sleeps(self.max / 2);
                if is_whole && is_often && now >= not_before && came > 0 {
                    State::Trial { work: came }
                } else {
                    self.state
                }
            }
            State::Trial { work: before } => {
                if is_whole && came.saturating_mul(100) >= before.saturating_mul(KEPT_PERCENT_MIN) {
                    self.direct_hold = DIRECT_HOLD;
                    State::Gathering { until: now + GATHER_HOLD }
                } else {
                    let not_before = now + self.direct_hold;
                    self.direct_hold = (2 * self.direct_hold).min(DIRECT_HOLD_MAX);
                    State::Direct { not_before }
                }
            }
            // A window of direct waking follows, and then another trial: what may come is known anew.
            State::Gathering { until } if until <= now || !is_whole => State::Direct { not_before: now },
            State::Gathering { .. } => self.state,
        };
        self.window_began_at = now;
        self.window_work = work;
        self.window_sleeps = 0;
    }

    /// Sleeps in a window where each takes `each`.
    fn sleeps(each: Duration) -> u32 {
        u32::try_from(WINDOW.as_nanos() / each.as_nanos().max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_micros(500);

    /// Plays traffic for `duration`: after each sleep of `between` (or blindly `MAX`) as much work has come as `work` says.
    struct World {
        gather: Gather,
        now: Instant,
        work: u64,
        blind_sleeps: u32,
        sleeps: u32,
    }

    impl World {
        fn new() -> Self {
            Self { gather: Gather::new(MAX), now: Instant::from_millis(1), work: 0, blind_sleeps: 0, sleeps: 0 }
        }

        fn play(&mut self, duration: Duration, between: Duration, work_in: impl Fn(Duration, bool) -> u64) {
            let end = self.now + duration;
            (self.blind_sleeps, self.sleeps) = (0, 0);
            while self.now < end {
                let blind = self.gather.before_sleep(self.now, self.work);
                let slept = blind.unwrap_or(between);
                self.now += slept;
                self.work += work_in(slept, blind.is_some());
                self.blind_sleeps += u32::from(blind.is_some());
                self.sleeps += 1;
            }
        }
    }

    fn paced(slept: Duration, _blind: bool) -> u64 {
        u64::try_from(slept.as_micros()).unwrap()
    }

    #[test]
    fn paced_traffic_of_many_packets_is_gathered() {
        let mut world = World::new();
        world.play(Duration::from_secs(10), Duration::from_micros(50), paced);
        assert!(world.sleeps < 32_000, "{} sleeps instead of 200,000", world.sleeps);
        assert!(world.blind_sleeps > 15_000, "{}", world.blind_sleeps);
    }

    #[test]
    fn a_peer_that_waits_for_its_answers_is_not_slowed_down() {
        let mut world = World::new();
        // A window of 64: so much comes after each sleep, however long it was.
        world.play(Duration::from_mins(1), Duration::from_micros(50), |_, _| 64);
        let blind_time = MAX * world.blind_sleeps;
        assert!(blind_time < Duration::from_millis(500), "{blind_time:?} of a minute were slept blindly");
    }

    #[test]
    fn sparse_traffic_is_never_delayed() {
        let mut world = World::new();
        world.play(Duration::from_secs(10), Duration::from_millis(4), |_, _| 4_096);
        assert_eq!(world.blind_sleeps, 0);
    }

    #[test]
    fn gathering_ends_when_the_traffic_does() {
        let mut world = World::new();
        world.play(Duration::from_secs(2), Duration::from_micros(50), paced);
        assert!(world.blind_sleeps > 0);
        world.play(Duration::from_secs(2), Duration::from_millis(8), |_, _| 100);
        world.play(Duration::from_secs(2), Duration::from_millis(8), |_, _| 100);
        assert_eq!(world.blind_sleeps, 0);
    }

    #[test]
    fn zero_switches_it_off() {
        let mut world = World { gather: Gather::new(Duration::ZERO), ..World::new() };
        world.play(Duration::from_secs(2), Duration::from_micros(50), paced);
        assert_eq!(world.blind_sleeps, 0);
    }
}
