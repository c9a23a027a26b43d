//! Mailboxes that are full, routes side by side, and how a lane ends.

use std::time::{Duration, Instant};

use egress_batcher::{Failure, Message, Outcome};
use eventhubs_lane::Request;

use crate::hub::{Hub, route};
use crate::lane::{TestLane, event, send_request};

#[test]
fn answers_wait_for_space_in_a_full_mailbox() {
    let hub = Hub::start();
    let mut lane = TestLane::with_room_for(vec![route(hub.amqp, "plant")], 1);
    lane.open();
    for number in 0..8_u16 {
        lane.ask(0, send_request(number.into(), number % 4, vec![event(number.into())]));
    }
    let settled = (0..8).filter(|_| matches!(lane.answer(), Message::Settled { outcome: Outcome::Accepted, .. }));
    assert_eq!(settled.count(), 8);
    lane.close(1);
    assert_eq!(hub.stop().len(), 8);
}

#[test]
fn routes_of_one_lane_know_nothing_of_each_other() {
    let hub = Hub::start();
    let away = route(Hub::free_address(), "plant");
    let mut lane = TestLane::start(vec![away, route(hub.amqp, "plant"), route(hub.amqp, "spare")]);
    let mut opened = Vec::new();
    for index in 0..3 {
        lane.ask(index, Request::Open);
        let answer = lane.answer_within(Duration::from_secs(20)).unwrap();
        assert_eq!(answer.route, index);
        opened.push(answer.message);
    }
    assert_eq!(opened[0], Message::OpenFailed(Failure::ConnectionLost));
    assert!(matches!(opened[1], Message::Opened { hub_partitions_count: 4, .. }));
    assert!(matches!(opened[2], Message::Opened { hub_partitions_count: 1, .. }));
    lane.ask(2, send_request(1, 0, vec![event(1)]));
    assert_eq!(lane.answer_within(Duration::from_secs(20)).unwrap().route, 2);
    lane.close(3);
    let stored = hub.stop();
    assert_eq!(stored.iter().map(|event| event.hub.as_str()).collect::<Vec<_>>(), ["spare"]);
}

#[test]
fn past_its_batches_in_flight_a_route_asks_for_another_attempt() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant").with_batches_in_flight_max(1)]);
    lane.open();
    lane.ask(0, send_request(1, 0, vec![event(1)]));
    lane.ask(0, send_request(2, 1, vec![event(2)]));
    let refused = Message::Settled { batch_id: contract::BatchId(2), outcome: Outcome::Failed(Failure::Transient) };
    assert_eq!(lane.answer(), refused);
    assert!(matches!(lane.answer(), Message::Settled { outcome: Outcome::Accepted, .. }));
    lane.close(1);
    hub.stop();
}

#[test]
fn a_lane_ends_when_nobody_can_ask_any_more() {
    let hub = Hub::start();
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant")]);
    lane.open();
    lane.join();
    hub.stop();
}

#[test]
fn a_lane_gives_up_at_the_deadline_of_a_stop() {
    let hub = Hub::start();
    let timeouts = eventhubs_lane::Timeouts { send: Duration::from_mins(1), ..eventhubs_lane::Timeouts::default() };
    let mut lane = TestLane::start(vec![route(hub.amqp, "plant").with_timeouts(timeouts)]);
    lane.open();
    hub.fault("stall", 1);
    lane.ask(0, send_request(1, 0, vec![event(1)]));
    let started = Instant::now();
    lane.supervisor.stop_handle().stop(Duration::from_millis(300));
    let TestLane { lane: running, commands, .. } = lane;
    running.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(commands);
    hub.stop();
}
