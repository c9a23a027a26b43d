//! A real egress batcher through the lane to a hub that fails in every way: all arrives, in order, and what arrives
//! twice is the same event.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::{Actor as _, Effects, Instant};
use egress_batcher::{Effect, EgressBatcher, Limits, Message};
use eventhubs_lane::Request;
use executor::Clock;
use serde_json::json;

use crate::hub::{Hub, route};
use crate::lane::{TestLane, event_at};

const EVENTS_COUNT: u64 = 600;
const KEYS_COUNT: u64 = 12;
const PENDING_COUNT_MAX: usize = 60;

#[test]
fn under_faults_every_event_arrives_in_the_order_of_its_key() {
    let hub = Hub::start();
    for fault in [
        json!({ "cmd": "fault", "kind": "released", "every": 5, "count": 10 }),
        json!({ "cmd": "fault", "kind": "modified", "every": 7, "count": 8 }),
        json!({ "cmd": "fault", "kind": "internal-error", "every": 9, "count": 4, "store": true }),
        json!({ "cmd": "fault", "kind": "detach", "every": 11, "count": 2, "store": true }),
        json!({ "cmd": "fault", "kind": "disconnect", "every": 13, "count": 2, "store": true }),
        json!({ "cmd": "fault", "kind": "stall", "every": 17, "count": 1, "store": true }),
        json!({ "cmd": "fault", "kind": "server-busy", "every": 19, "count": 1 }),
    ] {
        hub.control(&fault);
    }
    let mut core = Core::new(TestLane::start(vec![route(hub.amqp, "plant")]));
    core.run();
    let ledger = *core.batcher.ledger();
    assert_eq!((ledger.accepted, ledger.delivered), (EVENTS_COUNT, EVENTS_COUNT));
    let hits = hub.control(&json!({ "cmd": "stats" }))["stats"]["faults_hit"].as_u64().unwrap();
    assert!(hits >= 20, "only {hits} faults were met");
    core.lane.close(1);

    let mut newest: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut found = vec![0_u32; usize::try_from(EVENTS_COUNT).unwrap()];
    for stored in hub.stop() {
        let offset: u64 = stored.id.strip_prefix("1-2-3-").expect("an id of ours").parse().unwrap();
        let times = &mut found[usize::try_from(offset).unwrap()];
        *times += 1;
        if *times == 1 {
            let before = newest.insert((offset % KEYS_COUNT, stored.partition), offset);
            assert!(before < Some(offset), "{before:?} before {offset}");
        }
    }
    assert!(found.iter().all(|times| *times > 0), "{found:?}");
    assert_eq!(newest.len() as u64, KEYS_COUNT, "each key stays in one partition");
    assert!(found.iter().any(|times| *times > 1), "the faults that store make duplicates");
}

/// A core with one batcher.
struct Core {
    lane: TestLane,
    clock: Clock,
    batcher: EgressBatcher,
    effects: Effects<Effect>,
    published: u64,
    stopped: bool,
}

impl Core {
    fn new(lane: TestLane) -> Self {
        let limits = Limits {
            events_per_batch_max: 8,
            linger: Duration::from_millis(5),
            batches_in_flight_max: 4,
            pending_count_max: PENDING_COUNT_MAX,
            ..Limits::default()
        };
        let batcher = EgressBatcher::new(limits, 7);
        let effects = Effects::new(batcher.effects_count_max());
        Self { lane, clock: Clock::new(), batcher, effects, published: 0, stopped: false }
    }

    fn run(&mut self) {
        let deadline = self.clock.now() + Duration::from_mins(1);
        while !self.stopped {
            let now = self.clock.now();
            assert!(now < deadline, "{} events wait after a minute", self.batcher.pending_count());
            self.publish(now);
            self.batcher.handle_timeout(now, &mut self.effects);
            self.carry_out();
            let wait = self.batcher.poll_timeout().map_or(Duration::from_secs(1), |at| self.clock.until(at));
            if self.stopped || wait.is_zero() {
                continue;
            }
            if let Some(answer) = self.lane.answer_within(wait.min(Duration::from_secs(1))) {
                self.batcher.handle(answer.message, self.clock.now(), &mut self.effects);
                self.carry_out();
            }
        }
    }

    fn publish(&mut self, now: Instant) {
        let room = (PENDING_COUNT_MAX - self.batcher.pending_count()) as u64;
        let count = room.min(EVENTS_COUNT - self.published);
        let key = |offset: u64| format!("key {}", offset % KEYS_COUNT);
        let events: Vec<_> =
            (self.published..self.published + count).map(|offset| event_at(offset, &key(offset), 300, now)).collect();
        self.published += count;
        let message = if self.published == EVENTS_COUNT && events.is_empty() {
            Message::Stop
        } else if events.is_empty() {
            return;
        } else {
            Message::Publish(events)
        };
        self.batcher.handle(message, now, &mut self.effects);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.effects.pop() {
            match effect {
                Effect::Open => self.lane.ask(0, Request::Open),
                Effect::RefreshPartitions => self.lane.ask(0, Request::RefreshPartitions),
                Effect::Send(send) => self.lane.ask(0, Request::Send(send)),
                Effect::Stopped => self.stopped = true,
                Effect::DeadLettered(_) => panic!("nothing here is too large"),
                Effect::Settled(_) | Effect::Report(_) => {}
            }
        }
    }
}
