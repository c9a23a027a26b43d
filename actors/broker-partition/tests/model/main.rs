//! A partition under generated steps against a small reference: who must get what, in which order; the conservation law
//! after every step; nothing accepted is lost; the log is never told to forget what a flow still needs.
//!
//! `SEED=n` replays one run.

mod dice;
mod reference;
mod steps;
mod world;

use std::collections::BTreeMap;

use contract::Counters;
use world::World;

const STEPS_COUNT: usize = 1_500;
const SEEDS_COUNT: u64 = 200;

#[test]
fn whatever_comes_the_partition_does_as_the_reference_says() {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    let mut sums = BTreeMap::new();
    for seed in only.map_or(0..SEEDS_COUNT, |seed| seed..seed + 1) {
        let mut world = World::new(seed);
        for _ in 0..STEPS_COUNT {
            world.generated_step();
        }
        world.heal_and_drain();
        world.actor.visit_counters(&mut |name, value| *sums.entry(name).or_insert(0) += value);
        *sums.entry("held back").or_insert(0) += world.held_back_count;
        *sums.entry("log failed").or_insert(0) += world.log_failures_count;
        *sums.entry("visible without answer").or_insert(0) += world.silent_count;
    }
    if only.is_none() {
        for name in SEEN {
            assert!(sums[name] > 0, "runs that never saw `{name}` prove less: {sums:?}");
        }
    }
}

const SEEN: [&str; 16] = [
    "delivered",
    "filtered",
    "expired",
    "redelivered",
    "dropped_queue_full",
    "dropped_packet_too_large",
    "dropped_session_ended",
    "dropped_not_connected",
    "dropped_dead_letter",
    "publications_refused",
    "publications_dropped_memory_budget",
    "retained_left_out",
    "unknown",
    "held back",
    "log failed",
    "visible without answer",
];
