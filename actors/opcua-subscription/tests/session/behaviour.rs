//! One Session against the model server, one behaviour a test.

use std::time::Duration;

use crate::world::{Scenario, World, user_property};
use opcua_subscription::{AcknowledgeAt, Conflate, GapCause, Report, ResumedHow, StatusCode};

const SECOND: Duration = Duration::from_secs(1);

/// 3 assets, 2 intervals a second, 10 seconds of the test and 15 until values stop to change.
const MESSAGES_COUNT: u64 = 3 * 2 * 25;

fn resumed(world: &World) -> Vec<ResumedHow> {
    let how = |report: &Report| if let Report::Resumed { how, .. } = report { Some(*how) } else { None };
    world.reports.iter().filter_map(how).collect()
}

fn gap_causes(world: &World) -> Vec<GapCause> {
    let cause = |report: &Report| if let Report::Gap { cause, .. } = report { Some(*cause) } else { None };
    world.reports.iter().filter_map(cause).collect()
}

#[test]
fn every_value_arrives_once_and_in_order_while_nothing_happens() {
    let mut world = World::new(Scenario::new(1));
    world.run_for(10 * SECOND);
    assert_eq!(world.counter("unaccepted_notification_messages"), 0);
    world.heal_and_check();
    assert_eq!((world.lost_count(), world.counter("duplicates"), world.counter("gaps")), (0, 0, 0));
    assert_eq!(world.counter("notification_messages"), world.counter("acknowledgements"));
    assert_eq!(world.counter("acknowledgements_refused"), 0);
    assert_eq!(world.server.counts(), (2, 6));
    assert_eq!(resumed(&world), [ResumedHow::New]);
}

#[test]
fn the_last_value_of_an_interval_supersedes_the_others() {
    let mut world = World::new(Scenario { conflate: Conflate::Last, ..Scenario::new(2) });
    world.run_for(10 * SECOND);
    world.heal_and_check();
    let received = world.counter("values_received");
    assert_eq!(received, world.counter("points_written") + world.counter("values_superseded"));
    assert_eq!(world.counter("messages_written"), MESSAGES_COUNT);
}

#[test]
fn more_notifications_belong_to_the_same_interval() {
    let mut scenario = Scenario { conflate: Conflate::Last, ..Scenario::new(3) };
    scenario.server.notifications_per_publish_max = 3;
    let mut world = World::new(scenario);
    world.run_for(10 * SECOND);
    world.heal_and_check();
    assert!(world.counter("notification_messages") > 3 * MESSAGES_COUNT / 2);
    assert!(world.counter("messages_written").abs_diff(MESSAGES_COUNT) <= 3);
}

#[test]
fn a_short_drop_reactivates_the_session_and_loses_nothing() {
    let mut world = World::new(Scenario::new(4));
    world.run_for(5 * SECOND);
    world.drop_connection();
    world.run_for(5 * SECOND);
    world.heal_and_check();
    assert_eq!(resumed(&world), [ResumedHow::New, ResumedHow::Reactivated]);
    assert_eq!((world.lost_count(), world.counter("gaps")), (0, 0));
}

#[test]
fn an_outage_of_half_a_minute_is_bridged_by_the_servers_queues() {
    let mut world = World::new(Scenario::new(5));
    world.run_for(5 * SECOND);
    world.server_is_up = false;
    world.drop_connection();
    world.run_for(30 * SECOND);
    world.heal_and_check();
    assert_eq!(world.lost_count(), 0);
    assert!(world.connects_count > 4);
}

#[test]
fn a_session_that_is_refused_hands_its_subscriptions_to_a_new_one() {
    let mut scenario = Scenario::new(6);
    scenario.server.allows_reactivation = false;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    world.drop_connection();
    world.run_for(5 * SECOND);
    world.heal_and_check();
    assert_eq!(resumed(&world), [ResumedHow::New, ResumedHow::Transferred]);
    assert_eq!((world.lost_count(), world.counter("gaps")), (0, 0));
}

#[test]
fn a_transfer_that_is_refused_makes_the_subscriptions_anew_and_names_the_gap() {
    let mut scenario = Scenario::new(7);
    scenario.server.allows_reactivation = false;
    scenario.server.allows_transfer = false;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    world.server_is_up = false;
    world.drop_connection();
    world.run_for(5 * SECOND);
    world.heal_and_check();
    assert_eq!(resumed(&world), [ResumedHow::New, ResumedHow::Recreated]);
    assert_eq!(gap_causes(&world), [GapCause::SubscriptionLost; 2]);
    assert!(world.lost_count() > 0);
}

#[test]
fn a_restart_of_the_server_is_a_named_gap_and_no_silence() {
    let mut world = World::new(Scenario::new(8));
    world.run_for(5 * SECOND);
    world.server_is_up = false;
    world.restart_server();
    world.run_for(3 * SECOND);
    world.heal_and_check();
    assert_eq!(gap_causes(&world), [GapCause::SubscriptionLost; 2]);
}

#[test]
fn the_value_that_a_new_subscription_begins_with_is_not_sent_twice() {
    let mut scenario = Scenario::new(9);
    scenario.change_period = 20 * SECOND;
    let mut world = World::new(scenario);
    world.run_for(15 * SECOND);
    world.restart_server();
    world.heal_and_check();
    assert!(world.counter("values_repeated") > 0);
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let mut world = World::new(Scenario::new(10));
    world.run_for(5 * SECOND);
    world.is_black_hole = true;
    world.run_for(30 * SECOND);
    assert!(world.reports.iter().any(|report| matches!(report, Report::Silent { .. })));
    assert_eq!(resumed(&world).len(), 2);
    world.heal_and_check();
    assert_eq!(world.lost_count(), 0);
}

#[test]
fn subscriptions_that_an_operator_deletes_are_made_again() {
    let mut world = World::new(Scenario::new(11));
    world.run_for(5 * SECOND);
    world.server.delete_subscriptions();
    world.run_for(20 * SECOND);
    world.heal_and_check();
    assert_eq!(world.server.counts(), (2, 6));
    assert_eq!(gap_causes(&world).len(), 2);
}

#[test]
fn a_stalled_partition_withholds_publish_requests_and_the_server_keeps_the_values() {
    let mut world = World::new(Scenario::new(12));
    world.run_for(5 * SECOND);
    world.is_stalled = true;
    world.run_for(40 * SECOND);
    assert_eq!(world.counter("unaccepted_notification_messages"), 8);
    assert!(world.counter("publish_requests_withheld") > 0);
    world.heal_and_check();
    assert_eq!((world.lost_count(), resumed(&world).len()), (0, 1));
}

#[test]
fn delivery_is_waited_for_where_the_data_set_asks_for_it() {
    let mut world = World::new(Scenario { acknowledge: AcknowledgeAt::Delivered, ..Scenario::new(13) });
    world.run_for(10 * SECOND);
    world.heal_and_check();
    assert_eq!(world.counter("notification_messages"), world.counter("acknowledgements"));
    assert_eq!(world.lost_count(), 0);
}

#[test]
fn a_queue_that_is_too_small_is_named_tag_by_tag() {
    let mut scenario = Scenario::new(14);
    scenario.server.queue_size_max = 3;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    world.server_is_up = false;
    world.drop_connection();
    world.run_for(10 * SECOND);
    world.heal_and_check();
    assert!(world.lost_count() > 0);
    assert!(world.counter("values_overflowed") >= 6);
    let is_revised = |report: &Report| matches!(report, Report::SubscriptionCreated { queue_size_smallest, .. } if queue_size_smallest.revised == 3);
    assert!(world.reports.iter().any(is_revised));
}

#[test]
fn a_node_that_does_not_exist_is_named_and_the_rest_runs() {
    let mut world = World::new(Scenario { has_unknown_tag: true, ..Scenario::new(15) });
    world.run_for(10 * SECOND);
    world.heal_and_check();
    let rejected: usize = world
        .reports
        .iter()
        .map(|report| if let Report::TagsRejected { tags } = report { tags.len() } else { 0 })
        .sum();
    assert_eq!(rejected, 3);
    assert_eq!(world.lost_count(), 0);
    // The server gets the node later; the tag is tried again within a minute.
    let node = "ns=1;s=nowhere".parse::<opcua_subscription::NodeIdText>().unwrap().resolve(&[]).unwrap();
    let value = opcua_subscription::model_server::encode::ModelValue::number(1, world.utc());
    world.server.set_value(&node, &value);
    let items_count = world.server.counts().1;
    world.run_for(70 * SECOND);
    assert_eq!(world.server.counts().1, items_count + 3);
}

#[test]
fn calls_are_divided_until_the_server_takes_them() {
    let mut scenario = Scenario::new(16);
    scenario.limits.items_per_subscription = 100;
    let mut world = World::new(scenario);
    // Not told by the limits that are read, so it has to be found out.
    world.server.config_mut().items_per_call_max = 1;
    world.run_for(10 * SECOND);
    world.heal_and_check();
    assert_eq!(world.server.counts(), (1, 6));
}

#[test]
fn a_server_that_takes_one_publish_request_is_served_with_one() {
    let mut scenario = Scenario::new(17);
    scenario.server.publish_requests_max = 1;
    let mut world = World::new(scenario);
    world.run_for(10 * SECOND);
    world.heal_and_check();
    assert!((1..10).contains(&world.counter("too_many_publish_requests")));
    assert_eq!(world.lost_count(), 0);
}

#[test]
fn a_retransmission_queue_of_one_makes_a_named_loss() {
    let mut scenario = Scenario::new(18);
    scenario.server.retransmissions_max = 1;
    scenario.server.notifications_per_publish_max = 2;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    for _ in 0..40 {
        world.run_for(Duration::from_millis(1_013));
        world.drop_connection();
    }
    world.heal_and_check();
}

#[test]
fn a_server_that_forgets_what_is_not_acknowledged_gets_less_to_keep() {
    let mut scenario = Scenario::new(25);
    scenario.server.retransmissions_max = 2;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    world.is_stalled = true;
    world.run_for(10 * SECOND);
    let short = |report: &Report| matches!(report, Report::RetransmissionsShort { .. });
    assert!(world.reports.iter().any(short));
    world.is_stalled = false;
    world.run_for(5 * SECOND);
    world.is_stalled = true;
    world.run_for(10 * SECOND);
    assert!(world.counter("unaccepted_notification_messages") < 8);
    world.heal_and_check();
    assert_eq!(world.lost_count(), 0);
}

#[test]
fn a_session_with_a_short_timeout_is_kept_alive_while_nothing_is_published() {
    let mut scenario = Scenario::new(26);
    scenario.server.session_timeout_max = 3 * SECOND;
    let mut world = World::new(scenario);
    world.run_for(5 * SECOND);
    world.is_stalled = true;
    world.run_for(30 * SECOND);
    world.heal_and_check();
    assert_eq!(resumed(&world), [ResumedHow::New]);
    assert_eq!(world.lost_count(), 0);
}

#[test]
fn sequence_numbers_go_on_with_one_after_the_largest() {
    let mut scenario = Scenario::new(19);
    scenario.server.first_sequence_number = u32::MAX - 5;
    let mut world = World::new(scenario);
    for _ in 0..8 {
        world.run_for(Duration::from_millis(1_700));
        world.drop_connection();
    }
    world.heal_and_check();
    assert_eq!((world.lost_count(), world.counter("messages_lost")), (0, 0));
}

#[test]
fn key_frames_hold_every_tag() {
    let mut scenario = Scenario { key_frame_count: 5, conflate: Conflate::Last, ..Scenario::new(20) };
    scenario.change_period = 3 * SECOND;
    let mut world = World::new(scenario);
    world.run_for(60 * SECOND);
    let (key_frames, delta_frames): (Vec<_>, Vec<_>) =
        world.publications.iter().partition(|publication| user_property(publication, "type") == "ua-keyframe");
    assert!(!key_frames.is_empty() && delta_frames.len() > 3 * key_frames.len());
    assert!(key_frames.iter().all(|frame| frame.points_count() == 2));
    assert!(delta_frames.iter().any(|frame| frame.points_count() == 1));
}

#[test]
fn a_stop_waits_for_acceptance_and_the_next_start_goes_on_where_it_ended() {
    let mut world = World::new(Scenario::new(21));
    world.run_for(5 * SECOND);
    world.stop(false);
    world.run_for(SECOND);
    assert!(world.is_stopped);
    world.start_again();
    world.run_for(5 * SECOND);
    world.heal_and_check();
    assert_eq!(resumed(&world), [ResumedHow::New, ResumedHow::Reactivated]);
    assert_eq!((world.lost_count(), world.repeats_count), (0, 0));
}

#[test]
fn a_stop_that_closes_the_session_leaves_nothing_at_the_server() {
    let mut world = World::new(Scenario::new(22));
    world.run_for(5 * SECOND);
    world.stop(true);
    world.run_for(SECOND);
    assert!(world.is_stopped);
    assert_eq!(world.server.counts(), (0, 0));
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let mut world = World::new(Scenario::new(23));
    world.run_for(5 * SECOND);
    world.is_stalled = true;
    world.run_for(2 * SECOND);
    world.stop(false);
    world.run_for(4 * SECOND);
    assert!(!world.is_stopped);
    world.run_for(2 * SECOND);
    assert!(world.is_stopped);
    world.kill();
    world.heal_and_check();
    assert_eq!(world.lost_count(), 0);
}

#[test]
fn a_kill_loses_nothing_and_what_comes_twice_is_recognised() {
    let mut repeats_count = 0;
    for seed in 100..120 {
        let mut world = World::new(Scenario::new(seed));
        world.run_for(5 * SECOND);
        for _ in 0..4 {
            let wait = world.dice.below(3_000);
            world.run_for(Duration::from_millis(wait));
            world.kill();
        }
        world.heal_and_check();
        assert_eq!(world.lost_count(), 0, "seed {seed}");
        repeats_count += world.repeats_count;
    }
    assert!(repeats_count > 0, "some message was accepted and not yet acknowledged");
}

#[test]
fn a_wrong_saved_state_costs_a_new_session_and_nothing_else() {
    let mut world = World::new(Scenario::new(24));
    world.run_for(5 * SECOND);
    world.server.restart();
    world.repeats_allowed = 6;
    world.kill();
    world.run_for(5 * SECOND);
    world.heal_and_check();
    assert_eq!(gap_causes(&world), [GapCause::SubscriptionLost; 2]);
    assert_eq!(StatusCode::BAD_SESSION_ID_INVALID.symbol(), Some("BadSessionIdInvalid"));
}
