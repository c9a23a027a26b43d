//! Every answer that a hub can give, and none that is taken for success without being one.

use std::time::{Duration, Instant};

use egress_batcher::{Failure, Message, Outcome};
use eventhubs_lane::Request;
use serde_json::json;

use crate::hub::{Hub, Stored, route, route_to};
use crate::identity::{Identity, route_of_identity};
use crate::lane::{TestLane, event, event_at, send_request};

const OPENED: Message = Message::Opened { hub_partitions_count: 4, message_bytes_max: Some(1_048_576) };

#[test]
fn an_accepted_batch_is_stored_in_its_partition_and_order() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    assert_eq!(lane.open(), OPENED);
    assert_eq!(lane.send(1, 2, vec![event(1), event(2)]), Outcome::Accepted);
    assert_eq!(lane.send(2, 0, vec![event(3)]), Outcome::Accepted);
    lane.close(1);
    let at = |partition, id: &str| Stored { hub: "plant".to_owned(), partition, id: id.to_owned() };
    assert_eq!(hub.stop(), [at(2, "1-2-3-1"), at(2, "1-2-3-2"), at(0, "1-2-3-3")]);
}

#[test]
fn what_is_not_accepted_is_told_apart_and_can_be_sent_again() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    assert_eq!(lane.open(), OPENED);
    for (number, (kind, outcome)) in (1..).zip([
        ("released", Outcome::Released),
        ("modified", Outcome::Modified),
        ("server-busy", Outcome::Failed(Failure::ServerBusy)),
        ("internal-error", Outcome::Failed(Failure::Transient)),
        ("reject-size", Outcome::Failed(Failure::SizeExceeded)),
    ]) {
        hub.fault(kind, 1);
        assert_eq!(lane.send(number, 1, vec![event(number)]), outcome, "{kind}");
        assert_eq!(lane.send(number, 1, vec![event(number)]), Outcome::Accepted, "after {kind}");
    }
    lane.close(1);
    assert_eq!(hub.stop().len(), 5, "nothing was stored twice, or not at all");
}

#[test]
fn a_batch_whose_link_is_detached_times_out_and_another_client_carries_it() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    lane.open();
    hub.fault("detach", 1);
    let outcome = lane.send(1, 3, vec![event(1)]);
    // The SDK does not tell a batch that waits for its outcome that the link is gone.
    assert_eq!(outcome, Outcome::Failed(Failure::TimedOut));
    assert_eq!(lane.open(), OPENED);
    assert_eq!(lane.send(1, 3, vec![event(1)]), Outcome::Accepted);
    lane.close(1);
    hub.stop();
}

#[test]
fn a_cut_connection_is_lost_until_another_client_is_asked_for() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    lane.open();
    hub.fault("disconnect", 1);
    assert_eq!(lane.send(1, 0, vec![event(1)]), Outcome::Failed(Failure::ConnectionLost));
    assert_eq!(lane.open(), OPENED);
    assert_eq!(lane.send(1, 0, vec![event(1)]), Outcome::Accepted);
    lane.close(1);
    assert_eq!(hub.stop().len(), 1);
}

#[test]
fn a_batch_without_answer_times_out_and_another_client_carries_it() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    lane.open();
    hub.fault("stall", 1);
    let started = Instant::now();
    assert_eq!(lane.send(1, 0, vec![event(1)]), Outcome::Failed(Failure::TimedOut));
    assert!(started.elapsed() >= Duration::from_secs(3));
    assert_eq!(lane.open(), OPENED);
    assert_eq!(lane.send(1, 0, vec![event(1)]), Outcome::Accepted);
    lane.close(1);
    hub.stop();
}

#[test]
fn batches_of_a_client_that_is_let_go_still_settle() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    lane.open();
    assert_eq!(lane.send(1, 0, vec![event(1)]), Outcome::Accepted);
    hub.control(&json!({ "cmd": "fault", "kind": "ack-latency", "latency_ms": 1_000, "count": 1 }));
    lane.ask(0, send_request(2, 0, vec![event(2)]));
    lane.ask(0, Request::Open);
    let mut answers = [lane.answer(), lane.answer()];
    answers.sort_by_key(|answer| matches!(answer, Message::Opened { .. }));
    let accepted = Message::Settled { batch_id: contract::BatchId(2), outcome: Outcome::Accepted };
    assert_eq!(answers, [accepted, OPENED]);
    lane.close(1);
    assert_eq!(hub.stop().len(), 2);
}

#[test]
fn partitions_are_under_way_side_by_side() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    lane.open();
    for hub_partition in 0..4 {
        assert_eq!(lane.send(u64::from(hub_partition), hub_partition, vec![event(0)]), Outcome::Accepted);
    }
    hub.control(&json!({ "cmd": "fault", "kind": "ack-latency", "latency_ms": 700 }));
    let started = Instant::now();
    for hub_partition in 0..4 {
        lane.ask(0, send_request(10 + u64::from(hub_partition), hub_partition, vec![event(1)]));
    }
    for _ in 0..4 {
        assert!(matches!(lane.answer(), Message::Settled { outcome: Outcome::Accepted, .. }));
    }
    assert!(started.elapsed() < Duration::from_millis(1_400), "{:?}", started.elapsed());
    lane.close(1);
    hub.stop();
}

#[test]
fn an_identity_of_entra_sends_with_its_tokens() {
    let hub = Hub::start_without_checks();
    let mut lane = TestLane::start(vec![route_of_identity(hub.amqp, "plant", Identity::known())]);
    assert_eq!(lane.open(), OPENED);
    assert_eq!(lane.send(1, 0, vec![event(1)]), Outcome::Accepted);
    lane.close(1);
    let mut lane = TestLane::start(vec![route_of_identity(hub.amqp, "plant", Identity::unknown())]);
    assert_eq!(lane.open(), Message::OpenFailed(Failure::Unauthorized));
    lane.close(1);
    assert_eq!(hub.stop().len(), 1);
}

#[test]
fn a_wrong_key_and_a_hub_that_is_not_there_are_told_apart() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route_to(hub.amqp, "plant", "d3Jvbmc=")]);
    assert_eq!(lane.open(), Message::OpenFailed(Failure::Unauthorized));
    lane.close(1);
    let mut lane = TestLane::start(vec![route(hub.amqp, "nowhere")]);
    assert_eq!(lane.open(), Message::OpenFailed(Failure::NotFound));
    lane.close(1);
    hub.stop();
}

#[test]
fn a_batch_larger_than_the_link_takes_never_leaves() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    lane.open();
    let large = event_at(1, "key", 1_048_576, contract::Instant::ZERO);
    assert_eq!(lane.send(1, 0, vec![large]), Outcome::Failed(Failure::SizeExceeded));
    let fits = event_at(2, "key", 1_048_000, contract::Instant::ZERO);
    assert_eq!(lane.send(2, 0, vec![fits]), Outcome::Accepted);
    lane.close(1);
    assert_eq!(hub.stop().len(), 1);
}

#[test]
fn an_endpoint_that_is_away_is_told_at_once_and_found_later() {
    let address = Hub::free_address();
    let mut lane = TestLane::start(vec![route(address, "plant")]);
    let started = Instant::now();
    assert_eq!(lane.open(), Message::OpenFailed(Failure::ConnectionLost));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(lane.send(1, 0, vec![event(1)]), Outcome::Failed(Failure::ConnectionLost), "there is no client");
    let hub = Hub::start_at(address);
    assert_eq!(lane.open(), OPENED);
    assert_eq!(lane.send(1, 0, vec![event(1)]), Outcome::Accepted);
    lane.ask(0, Request::RefreshPartitions);
    assert_eq!(lane.answer(), Message::PartitionsRefreshed { hub_partitions_count: 4 });
    lane.close(1);
    hub.stop();
}
