//! What a run is told beside its seed, and what it saw; and which seeds are run.

use std::ops::Range;
use std::time::Duration;

use crate::coverage::EffectCounts;
use crate::{CutCounts, FaultCounts, Mutation};

/// What a run is told beside its seed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long faults and traffic go on at least.
    pub duration: Duration,
    /// Publications that are stored before the faults end.
    pub publications_min: u64,
    /// Faults that happen before they end.
    pub faults_min: u64,
    /// Damage to be done once, or none.
    pub mutation: Option<Mutation>,
}

impl Default for Options {
    fn default() -> Self {
        Self { duration: Duration::from_secs(3), publications_min: 500, faults_min: 10, mutation: None }
    }
}

/// What a run saw.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Publications that the hub of the first flow, which takes everything, stored; redeliveries left out.
    pub publications: u64,
    /// Values that were lost at the source and named.
    pub values_lost_and_named: u64,
    /// Faults.
    pub faults: FaultCounts,
    /// Connections that broke at a packet.
    pub cuts: CutCounts,
    /// Sessions that were continued.
    pub resumptions: u64,
    /// Will Messages that came.
    pub wills: u64,
    /// Effects of actors.
    pub effects: EffectCounts,
    /// Steps of actors.
    pub steps: u64,
    /// Whether the mutation found its occasion.
    pub is_mutated: bool,
}

impl Outcome {
    /// Adds another run's.
    pub fn merge(&mut self, other: &Self) {
        self.publications += other.publications;
        self.values_lost_and_named += other.values_lost_and_named;
        self.faults.merge(&other.faults);
        self.cuts.merge(&other.cuts);
        self.resumptions += other.resumptions;
        self.wills += other.wills;
        self.effects.merge(&other.effects);
        self.steps += other.steps;
    }
}

/// Seeds of part `index` of `count` parts of a test: together `SIMULATOR_SEEDS` of them (2,000 by default), from
/// `SIMULATOR_FIRST_SEED` on (0 by default; CI takes it from the commit). With `SEED`, that one alone, in part 0.
///
/// # Panics
/// When one of the variables is no number.
pub fn seeds(index: u64, count: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a seed is a number"));
    if let Some(seed) = number("SEED") {
        return if index == 0 { seed..seed + 1 } else { seed..seed };
    }
    let first = number("SIMULATOR_FIRST_SEED").unwrap_or(0) % (1 << 48);
    let sum = number("SIMULATOR_SEEDS").unwrap_or(2_000);
    first + sum * index / count..first + sum * (index + 1) / count
}
