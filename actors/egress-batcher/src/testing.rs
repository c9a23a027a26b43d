//! What the tests lean on: a batcher whose clock is moved by hand, and events for it.

use std::time::Duration;

use bytes::Bytes;
use contract::{
    Actor, BatchId, Effects, Epoch, Event, EventId, FlowIndex, Instant, MESSAGE_EXPIRY_NEVER, Offset, PartitionIndex,
    PublicationArena, PublicationDraft, QoS, UtcTime,
};

use crate::effect::{Effect, Send};
use crate::hub_partition_hash::hub_partition_of;
use crate::limits::Limits;
use crate::message::{Message, Outcome};
use crate::state::EgressBatcher;

/// A batcher with room for 100 events, ten to a batch.
pub(crate) struct Batcher {
    pub(crate) actor: EgressBatcher,
    pub(crate) effects: Effects<Effect>,
    pub(crate) now: Instant,
}

pub(crate) fn limits() -> Limits {
    Limits {
        batch_bytes_max: 4_000,
        events_per_batch_max: 10,
        batches_in_flight_max: 16,
        pending_count_max: 100,
        ..Limits::default()
    }
}

impl Batcher {
    pub(crate) fn with(limits: Limits) -> Self {
        let actor = EgressBatcher::new(limits, 7);
        let effects = Effects::new(actor.effects_count_max());
        Self { actor, effects, now: Instant::ZERO }
    }

    pub(crate) fn away() -> Self {
        Self::with(limits())
    }

    pub(crate) fn open(hub_partitions_count: u16) -> Self {
        let mut batcher = Self::away();
        batcher.timeout();
        batcher.opened(hub_partitions_count);
        batcher
    }

    pub(crate) fn advance_ms(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    pub(crate) fn step(&mut self, message: Message) -> Vec<Effect> {
        self.actor.handle(message, self.now, &mut self.effects);
        self.drain()
    }

    pub(crate) fn timeout(&mut self) -> Vec<Effect> {
        self.actor.handle_timeout(self.now, &mut self.effects);
        self.drain()
    }

    pub(crate) fn drain(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.effects.pop()).collect()
    }

    pub(crate) fn opened(&mut self, hub_partitions_count: u16) -> Vec<Effect> {
        self.step(Message::Opened { hub_partitions_count, message_bytes_max: Some(1_048_576) })
    }

    pub(crate) fn publish(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
        self.step(Message::Publish(events.into_iter().collect()))
    }

    pub(crate) fn settle(&mut self, batch_id: BatchId, outcome: Outcome) -> Vec<Effect> {
        self.step(Message::Settled { batch_id, outcome })
    }

    pub(crate) fn settle_and_wait(&mut self, batch_id: BatchId, outcome: Outcome, longest: Duration) -> Send {
        self.settle(batch_id, outcome);
        self.now += longest;
        sent(&self.timeout()).remove(0)
    }

    pub(crate) fn advance_and_send(&mut self, millis: u64) -> Vec<Send> {
        self.advance_ms(millis);
        sent(&self.timeout())
    }

    pub(crate) fn sent_offsets(&mut self) -> Vec<Vec<u64>> {
        sent(&self.timeout()).iter().map(offsets_of).collect()
    }
}

pub(crate) fn as_send(effect: Effect) -> Option<Send> {
    if let Effect::Send(send) = effect { Some(send) } else { None }
}

pub(crate) fn sent(effects: &[Effect]) -> Vec<Send> {
    effects.iter().cloned().filter_map(as_send).collect()
}

pub(crate) fn offsets_of(send: &Send) -> Vec<u64> {
    send.events.iter().map(|event| event.id.offset.0).collect()
}

pub(crate) fn two_keys_of_two_hub_partitions() -> (String, String) {
    let key_of =
        |index| (0..100).map(|n| format!("k{n}")).find(|key| hub_partition_of(key.as_bytes(), 2).0 == index).unwrap();
    (key_of(0), key_of(1))
}

/// An event of one data point, received at the start, with a payload of 2 bytes.
pub(crate) fn event(partition: u16, offset: u64, key: &str) -> Event {
    event_of_bytes(partition, offset, key, 2)
}

/// The same with a payload of `payload_bytes`.
pub(crate) fn event_of_bytes(partition: u16, offset: u64, key: &str, payload_bytes: usize) -> Event {
    let mut arena = PublicationArena::new(1_024);
    let draft = PublicationDraft {
        topic_name: "t",
        properties: &[],
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: Instant::ZERO,
        received_utc: UtcTime::default(),
    };
    let mut builder = arena.begin(&draft);
    builder.put(&vec![b'x'; payload_bytes]);
    let id =
        EventId { flow: FlowIndex(0), partition: PartitionIndex(partition), epoch: Epoch(1), offset: Offset(offset) };
    Event { id, key: Bytes::copy_from_slice(key.as_bytes()), publication: builder.finish(1) }
}
