//! An egress batcher with a hub of one partition, whose batches close when they are full.

use bytes::Bytes;
use contract::{Actor, Effects, Epoch, Event, EventId, FlowIndex, Instant, Offset, PartitionIndex, PublicationArena};
use egress_batcher::{Effect, EgressBatcher, Limits, Message, Outcome};

use crate::record;

/// An egress batcher that is ready to send.
#[derive(Debug)]
pub struct Batcher {
    actor: EgressBatcher,
    effects: Effects<Effect>,
    events: Vec<Event>,
}

impl Batcher {
    /// One whose batches hold `events_count` events of `points_count` points each.
    pub fn new(events_count: usize, points_count: u32) -> Self {
        let limits = Limits { events_per_batch_max: events_count, ..Limits::default() };
        let actor = EgressBatcher::new(limits, 7);
        let effects = Effects::new(actor.effects_count_max());
        let mut arena = PublicationArena::new(record::CHUNK_BYTES);
        let events = (0..)
            .take(events_count)
            .map(|offset| Event {
                id: EventId {
                    flow: FlowIndex(0),
                    partition: PartitionIndex(0),
                    epoch: Epoch(1),
                    offset: Offset(offset),
                },
                key: Bytes::from_static(b"plant/data/asset000"),
                publication: record::build(&mut arena, points_count),
            })
            .collect();
        let mut batcher = Self { actor, effects, events };
        batcher.actor.handle_timeout(Instant::ZERO, &mut batcher.effects);
        batcher.drain();
        batcher.step(Message::Opened { hub_partitions_count: 1, message_bytes_max: Some(1_048_576) });
        batcher
    }

    /// Publishes one batch's events, and settles what is sent. Returns how many events that was: all of them, unless
    /// the batch reached its size before.
    pub fn fill_and_settle(&mut self) -> usize {
        let mut sent_count = 0;
        let mut sent = self.step(Message::Publish(self.events.clone()));
        while let Some(Effect::Send(send)) = sent.pop() {
            sent_count += send.events.len();
            let settled = Message::Settled { batch_id: send.batch_id, outcome: Outcome::Accepted };
            drop(send);
            sent.extend(self.step(settled).into_iter().filter(|effect| matches!(effect, Effect::Send(_))));
        }
        sent_count
    }

    fn step(&mut self, message: Message) -> Vec<Effect> {
        self.actor.handle(message, Instant::ZERO, &mut self.effects);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Effect> {
        self.effects.drain_observations();
        std::iter::from_fn(|| self.effects.pop()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_batch_goes_at_once_and_the_next_one_too() {
        let mut batcher = Batcher::new(8, 5);
        assert_eq!(batcher.fill_and_settle(), 8);
        assert_eq!(batcher.fill_and_settle(), 8);
    }
}
