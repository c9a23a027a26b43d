//! The law of `world` under faults: a connection that breaks at every message, and seeded storms of everything.

use std::time::Duration;

use crate::world::{Dice, Scenario, World};
use contract::Counters;
use opcua_subscription::{AcknowledgeAt, Conflate};

/// How many storms; more are run by setting `SEEDS`.
fn seeds() -> std::ops::Range<u64> {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        return seed..seed + 1;
    }
    0..std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(150)
}

#[test]
fn a_connection_may_break_before_any_message() {
    for (reactivation, transfer) in [(true, true), (false, true), (false, false)] {
        let mut drop_before = 1;
        loop {
            let mut scenario = Scenario::new(drop_before);
            scenario.server.allows_reactivation = reactivation;
            scenario.server.allows_transfer = transfer;
            scenario.server.notifications_per_publish_max = 5;
            let mut world = World::new(scenario);
            world.drop_before = Some(drop_before);
            world.run_for(Duration::from_secs(4));
            if world.messages_count < drop_before {
                break;
            }
            world.heal_and_check();
            if reactivation || transfer {
                assert_eq!(world.lost_count(), 0, "before message {drop_before}");
            }
            if reactivation {
                assert_eq!(world.server.unacknowledged_count(), 0, "before message {drop_before}");
            }
            drop_before += 1;
        }
        assert!(drop_before > 60, "{drop_before}");
    }
}

fn scenario(seed: u64) -> Scenario {
    let mut dice = Dice(seed ^ 0x5eed);
    let mut scenario = Scenario::new(seed);
    scenario.assets_count = 1 + dice.small(4);
    scenario.tags_count = 1 + dice.small(4);
    scenario.limits.items_per_subscription = 1 + dice.small(8);
    scenario.limits.unacknowledged_notifications_max = 3 + dice.small(8);
    scenario.limits.payload_bytes_max = 1_024;
    scenario.conflate = if dice.below(4) == 0 { Conflate::Last } else { Conflate::All };
    scenario.acknowledge = if dice.below(4) == 0 { AcknowledgeAt::Delivered } else { AcknowledgeAt::Accepted };
    scenario.server.allows_reactivation = dice.below(4) != 0;
    scenario.server.allows_transfer = dice.below(4) != 0;
    scenario.server.items_per_call_max = dice.small(4) as usize;
    scenario.server.notifications_per_publish_max = dice.small(4) as usize * 3;
    if dice.below(3) == 0 {
        // A queue of one cannot say what it lost (Part 4 §5.13.1.5).
        scenario.server.queue_size_max = 2 + dice.small(30);
    }
    if dice.below(3) == 0 {
        scenario.server.retransmissions_max = 1 + dice.small(5) as usize;
    }
    if dice.below(3) == 0 {
        scenario.server.session_timeout_max = Duration::from_secs(2 + dice.below(20));
    }
    if dice.below(4) == 0 {
        scenario.server.first_sequence_number = u32::MAX - dice.small(60);
    }
    scenario
}

fn storm(world: &mut World, with_kills: bool) {
    for _ in 0..12 {
        let wait = world.dice.below(4_000);
        world.run_for(Duration::from_millis(wait));
        match world.dice.below(if with_kills { 9 } else { 8 }) {
            0 => world.drop_connection(),
            1 => {
                world.server_is_up = false;
                world.drop_connection();
            }
            2 => world.server_is_up = true,
            3 => world.is_black_hole = true,
            4 => world.restart_server(),
            5 => world.is_stalled = !world.is_stalled,
            6 => world.server.delete_subscriptions(),
            7 => {
                let behind = 1 + world.dice.below(12);
                world.drop_before = Some(world.messages_count + behind);
            }
            _ => world.kill(),
        }
    }
}

#[test]
fn storms_lose_nothing_that_is_not_named() {
    let mut totals = std::collections::BTreeMap::new();
    for seed in seeds() {
        let mut world = World::new(scenario(seed));
        storm(&mut world, false);
        world.heal_and_check();
        world.session.visit_counters(&mut |name, count| *totals.entry(name).or_insert(0) += count);
    }
    if seeds().count() < 100 {
        return;
    }
    for name in [
        "reactivations",
        "transfers",
        "subscriptions_lost",
        "republished",
        "messages_lost",
        "gaps",
        "silences",
        "values_overflowed",
        "values_repeated",
        "publish_requests_withheld",
    ] {
        assert!(totals[name] > 0, "no storm had any {name}: {totals:?}");
    }
}

#[test]
fn storms_with_kills_lose_nothing_that_is_not_named() {
    for seed in seeds() {
        let mut scenario = scenario(seed.wrapping_add(1 << 20));
        // One interval, one message: so that what comes again after a kill has the same id.
        scenario.server.notifications_per_publish_max = 0;
        // A server that forgets what was not acknowledged leaves a new life nothing to find that out by.
        scenario.server.retransmissions_max = 100;
        let mut world = World::new(scenario);
        world.run_for(Duration::from_secs(5));
        // A Subscription that was lost begins with a value that an earlier life may have had.
        world.repeats_allowed = u64::MAX;
        storm(&mut world, true);
        world.heal_and_check();
    }
}
