//! Thousands of seeded runs: nothing acknowledged is lost, and every kind of fault and effect occurs.
//!
//! `SEED=n cargo nextest run -p simulator` replays one. The parts are tests of their own, so that all cores have work.

use simulator::{Options, Outcome, Simulator, seeds};

/// Parts of the seeds.
const PARTS_COUNT: u64 = 8;
/// From so many runs on, one of them meets each kind of fault and effect.
const RUNS_TO_MEET_ALL: u64 = 100;

fn run_part(index: u64) {
    let seeds = seeds(index, PARTS_COUNT);
    let count = seeds.end - seeds.start;
    let options = Options::default();
    let mut sum = Outcome::default();
    for seed in seeds.clone() {
        let outcome = Simulator::new(seed, options).run().unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(outcome.publications >= options.publications_min, "{} publications, SEED={seed}", outcome.publications);
        assert!(outcome.faults.sum() >= options.faults_min, "{} faults, SEED={seed}", outcome.faults.sum());
        sum.merge(&outcome);
    }
    println!(
        "seeds {seeds:?}: {} publications, {} faults, {} cuts, {} resumptions, {} Wills, {} steps, {} values lost and named, {:?}, {:?}",
        sum.publications,
        sum.faults.sum(),
        sum.cuts.sum(),
        sum.resumptions,
        sum.wills,
        sum.steps,
        sum.values_lost_and_named,
        sum.faults,
        sum.effects,
    );
    if count >= RUNS_TO_MEET_ALL {
        assert!(sum.faults.missing().is_empty(), "never happened in {seeds:?}: {:?}", sum.faults.missing());
        assert!(sum.cuts.missing().is_empty(), "never cut in {seeds:?}: {:?}", sum.cuts.missing());
        assert!(sum.effects.missing().is_empty(), "never occurred in {seeds:?}: {:?}", sum.effects.missing());
    }
}

macro_rules! parts {
    ($($name:ident = $index:literal,)*) => { $(#[test] fn $name() { run_part($index); })* };
}

parts! {
    part_0 = 0,
    part_1 = 1,
    part_2 = 2,
    part_3 = 3,
    part_4 = 4,
    part_5 = 5,
    part_6 = 6,
    part_7 = 7,
}
