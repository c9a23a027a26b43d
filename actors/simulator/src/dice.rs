//! Seeded chance: the same seed, the same run.

use std::ops::Range;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A die that always falls the same way for one seed.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The die of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number of `range`, which is not empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// An index below `end`, which is not 0.
    pub fn index(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// True once in `count` times, on average.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.within(0..count) == 0
    }

    /// A time within `range`, in microseconds.
    pub fn micros(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.within(range))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.random()
    }
}
