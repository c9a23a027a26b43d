//! What the tests lean on: a lane with its mailboxes, and events for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::{
    BatchId, Epoch, Event, EventId, FlowIndex, HubPartitionIndex, Instant, MESSAGE_EXPIRY_NEVER, Offset,
    PartitionIndex, PublicationArena, PublicationDraft, QoS, UtcTime,
};
use egress_batcher::{Message, Outcome, Send};
use eventhubs_lane::{LaneAnswer, LaneCommand, Request, Route, RouteConfig, run_lane};
use executor::{Decision, Lane, LaneSpec, Supervisor};
use mailbox::{Doorbell, Receiver, Sender};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A lane, and the core that its batchers would live on.
pub(crate) struct TestLane {
    pub(crate) supervisor: Supervisor,
    pub(crate) lane: Lane,
    pub(crate) commands: Sender<LaneCommand>,
    pub(crate) answers: Receiver<LaneAnswer>,
    pub(crate) doorbell: Doorbell,
    runtime: tokio::runtime::Runtime,
}

impl TestLane {
    pub(crate) fn start(configs: Vec<RouteConfig>) -> Self {
        Self::with_room_for(configs, 64)
    }

    /// A lane whose mailbox of answers holds `answers_count_max`.
    pub(crate) fn with_room_for(configs: Vec<RouteConfig>, answers_count_max: usize) -> Self {
        let supervisor = Supervisor::new(Duration::from_secs(1), |_| Decision::EndProcess);
        let spec = LaneSpec::new("eventhubs", None);
        let (commands, lane_commands) = mailbox::channel(64, &spec.doorbell);
        let doorbell = Doorbell::new();
        let (lane_answers, answers) = mailbox::channel(answers_count_max, &doorbell);
        let routes =
            configs.into_iter().map(|config| Route { config, answers: lane_answers.clone() }).collect::<Vec<_>>();
        let factory = move |context| Box::pin(run_lane(context, routes, lane_commands)) as _;
        let lane = Lane::start(spec, &supervisor, factory).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { supervisor, lane, commands, answers, doorbell, runtime }
    }

    pub(crate) fn ask(&self, route: usize, request: Request) {
        self.commands.try_send(LaneCommand { route, request }).unwrap();
    }

    /// The next answer, if there is one before `timeout` is over.
    pub(crate) fn answer_within(&mut self, timeout: Duration) -> Option<LaneAnswer> {
        let (answers, doorbell) = (&mut self.answers, &self.doorbell);
        let answer = async {
            loop {
                if let Some(answer) = answers.receive() {
                    return answer;
                }
                doorbell.wait().await;
            }
        };
        self.runtime.block_on(async { tokio::time::timeout(timeout, answer).await.ok() })
    }

    pub(crate) fn answer(&mut self) -> Message {
        self.answer_within(PATIENCE).expect("the lane answers every command").message
    }

    pub(crate) fn open(&mut self) -> Message {
        self.ask(0, Request::Open);
        self.answer()
    }

    pub(crate) fn send(&mut self, batch_id: u64, hub_partition: u16, events: Vec<Event>) -> Outcome {
        self.ask(0, send_request(batch_id, hub_partition, events));
        let answer = self.answer();
        let Message::Settled { batch_id: settled, outcome } = answer else { panic!("{answer:?}") };
        assert_eq!(settled, BatchId(batch_id));
        outcome
    }

    /// Closes every route and waits for the lane to end.
    pub(crate) fn close(self, routes_count: usize) {
        for route in 0..routes_count {
            self.ask(route, Request::Close);
        }
        self.join();
    }

    pub(crate) fn join(self) {
        drop(self.commands);
        self.lane.join().unwrap();
    }
}

pub(crate) fn send_request(batch_id: u64, hub_partition: u16, events: Vec<Event>) -> Request {
    Request::Send(Send {
        batch_id: BatchId(batch_id),
        hub_partition: HubPartitionIndex(hub_partition),
        events: Arc::from(events),
        attempt: 0,
    })
}

/// Event `offset` of flow 1 and partition 2 in epoch 3, received at `now`.
pub(crate) fn event_at(offset: u64, key: &str, payload_bytes: usize, now: Instant) -> Event {
    let draft = PublicationDraft {
        topic_name: "plant/line",
        properties: b"\x03\x00\x10application/json\x26\x00\x0bspecversion\x00\x031.0\x26\x00\x02id\x00\x017",
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: now,
        received_utc: UtcTime::default(),
    };
    let mut arena = PublicationArena::new(256);
    let mut builder = arena.begin(&draft);
    builder.put(&vec![b'x'; payload_bytes]);
    let id = EventId { flow: FlowIndex(1), partition: PartitionIndex(2), epoch: Epoch(3), offset: Offset(offset) };
    Event { id, key: Bytes::copy_from_slice(key.as_bytes()), publication: builder.finish(1) }
}

pub(crate) fn event(offset: u64) -> Event {
    event_at(offset, "key", 100, Instant::ZERO)
}
