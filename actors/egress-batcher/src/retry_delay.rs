//! How long to wait before another attempt, with seeded jitter.

use std::time::Duration;

use crate::message::Failure;

/// The longest wait before the second attempt; each further one doubles it.
const FIRST_DELAY_MAX: Duration = Duration::from_millis(200);

/// The service asks for this much after `com.microsoft:server-busy`.
const SERVER_BUSY_DELAY_MIN: Duration = Duration::from_secs(4);

/// A seeded source of numbers (`SplitMix64`): the same seed gives the same waits.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A duration from zero to `longest`, evenly spread.
    fn up_to(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * (u128::from(nanos) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).expect("scaled to 64 bits"))
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The wait before attempt `attempt` (1 is the first repetition): full jitter below a limit that doubles up to
/// `longest`. After server-busy never less than 4 s; `None` stands for an outcome without a failure.
pub(crate) fn retry_delay(dice: &mut Dice, attempt: u32, failure: Option<Failure>, longest: Duration) -> Duration {
    let doubled = FIRST_DELAY_MAX.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let jitter = dice.up_to(doubled.min(longest));
    if failure == Some(Failure::ServerBusy) { (SERVER_BUSY_DELAY_MIN + jitter).min(longest) } else { jitter }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    #[test]
    fn waits_spread_below_a_limit_that_doubles_to_the_longest() {
        for (attempt, limit_ms) in [(1, 200), (2, 400), (3, 800), (8, 25_600), (9, 30_000), (u32::MAX, 30_000)] {
            let mut dice = Dice::new(7);
            let waits: Vec<_> = (0..1_000).map(|_| retry_delay(&mut dice, attempt, None, LONGEST)).collect();
            let limit = Duration::from_millis(limit_ms);
            assert!(waits.iter().all(|wait| *wait <= limit), "attempt {attempt}");
            assert!(waits.iter().any(|wait| *wait > limit * 9 / 10), "attempt {attempt}");
            assert!(waits.iter().any(|wait| *wait < limit / 10), "attempt {attempt}");
        }
    }

    #[test]
    fn after_server_busy_the_wait_is_four_seconds_at_least() {
        let mut dice = Dice::new(7);
        for attempt in 1..40 {
            let wait = retry_delay(&mut dice, attempt, Some(Failure::ServerBusy), LONGEST);
            assert!((SERVER_BUSY_DELAY_MIN..=LONGEST).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let waits = |seed| {
            let mut dice = Dice::new(seed);
            [(); 8].map(|()| retry_delay(&mut dice, 5, None, LONGEST))
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
