//! What an outcome means for its batch.

use contract::{BatchId, DropReason, Effects, Instant};

use crate::batch::Batch;
use crate::effect::{Effect, Report};
use crate::hub_partition::UnderWay;
use crate::message::{Failure, Outcome};
use crate::retry_delay::retry_delay;
use crate::settlement::settlements;
use crate::state::EgressBatcher;

impl EgressBatcher {
    pub(crate) fn handle_settled(
        &mut self,
        batch_id: BatchId,
        outcome: Outcome,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let Some(index) = self.in_flight.remove(&batch_id) else {
            // A lane that outlived this actor's predecessor.
            self.sends.unknown += 1;
            return;
        };
        let index = usize::from(index.0);
        let UnderWay { batch, client_count } =
            self.hub_partitions[index].under_way.take().expect("what is in flight is under way");
        match outcome {
            Outcome::Accepted => self.settle_accepted(&batch, now, effects),
            Outcome::Released | Outcome::Modified => self.send_again(index, batch, None, now),
            Outcome::Failed(failure) => self.settle_failed(index, batch, failure, client_count, now, effects),
        }
    }

    fn settle_accepted(&mut self, batch: &Batch, now: Instant, effects: &mut Effects<Effect>) {
        let was_parked = self.is_parked();
        self.route.accepted();
        self.forget(batch);
        if was_parked && !self.is_parked() {
            effects.push(Effect::Report(Report::RouteRestored));
        }
        self.ledger.delivered += batch.events.len() as u64;
        batch.observe_accepted(now, effects);
        effects.push(Effect::Settled(settlements(&batch.events)));
    }

    fn settle_failed(
        &mut self,
        index: usize,
        mut batch: Batch,
        failure: Failure,
        client_count: u64,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        self.sends.failed += 1;
        let is_current = self.route.is_open() && self.route.clients_count() == client_count;
        match failure {
            Failure::ServerBusy | Failure::Transient => self.send_again(index, batch, Some(failure), now),
            Failure::TimedOut | Failure::ConnectionLost => {
                self.send_again(index, batch, Some(failure), now);
                // A client that was replaced in the meantime says nothing about its successor.
                if is_current {
                    self.route.fail(failure, now, &mut self.dice, self.limits.retry_delay_max);
                }
            }
            Failure::NotFound | Failure::Unauthorized => {
                self.send_again(index, batch, Some(failure), now);
                if is_current {
                    self.park_route(failure, now, effects);
                }
            }
            Failure::Refused => {
                if !self.is_parked() {
                    effects.push(Effect::Report(Report::RouteParked(failure)));
                }
                if !batch.parked {
                    batch.parked = true;
                    self.parked_batches_count += 1;
                }
                let hub_partition = &mut self.hub_partitions[index];
                hub_partition.queue.closed.push_front(batch);
                hub_partition.retry_at = Some(now + self.limits.park_delay);
            }
            Failure::SizeExceeded => self.split_or_give_up(index, &batch, effects),
        }
    }

    /// Puts a batch back to the front of its hub partition, to go again after a wait.
    fn send_again(&mut self, index: usize, batch: Batch, failure: Option<Failure>, now: Instant) {
        let wait = retry_delay(&mut self.dice, batch.sent_count, failure, self.limits.retry_delay_max);
        let hub_partition = &mut self.hub_partitions[index];
        hub_partition.queue.closed.push_front(batch);
        hub_partition.retry_at = Some(now + wait);
    }

    /// Puts the halves of a batch that is too large in its place; an event that is too large alone is given up.
    fn split_or_give_up(&mut self, index: usize, batch: &Batch, effects: &mut Effects<Effect>) {
        let ids = [self.batch_ids.give(), self.batch_ids.give()];
        if let Some([first, second]) = batch.split(ids) {
            self.sends.split += 1;
            // Both halves are parked where the whole was.
            self.parked_batches_count += usize::from(batch.parked);
            let closed = &mut self.hub_partitions[index].queue.closed;
            closed.push_front(second);
            closed.push_front(first);
            return;
        }
        let was_parked = self.is_parked();
        self.forget(batch);
        self.ledger.drop_records(DropReason::DeadLetter, batch.events.len() as u64);
        for event in batch.events.iter() {
            let size_bytes = event.publication.size_bytes() as u64;
            effects.push(Effect::Report(Report::DeadLetter { id: event.id, size_bytes }));
        }
        effects.push(Effect::DeadLettered(settlements(&batch.events)));
        if was_parked && !self.is_parked() {
            effects.push(Effect::Report(Report::RouteRestored));
        }
    }

    /// Lets go of a batch whose events are settled.
    fn forget(&mut self, batch: &Batch) {
        self.parked_batches_count -= usize::from(batch.parked);
        self.pending_count -= batch.events.len();
        self.pending_bytes -= batch.publication_bytes();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::PartitionIndex;

    use super::*;
    use crate::effect::Send;
    use crate::message::Message;
    use crate::testing::*;

    #[test]
    fn a_released_batch_goes_again_with_its_id_before_what_came_later() {
        for outcome in [Outcome::Released, Outcome::Modified, Outcome::Failed(Failure::Transient)] {
            let mut batcher = Batcher::open(1);
            batcher.publish([event(0, 1, "k")]);
            let first = batcher.advance_and_send(100).remove(0);
            batcher.publish([event(0, 2, "k")]);
            let again = batcher.settle_and_wait(first.batch_id, outcome, Duration::from_millis(200));
            assert_eq!(again, Send { attempt: 1, ..first });
            assert_eq!(batcher.actor.ledger().redelivered, 1);
        }
    }

    #[test]
    fn a_busy_server_is_left_alone_for_four_seconds() {
        let mut batcher = Batcher::open(1);
        batcher.publish([event(0, 1, "k")]);
        let first = batcher.advance_and_send(100).remove(0);
        batcher.settle(first.batch_id, Outcome::Failed(Failure::ServerBusy));
        batcher.advance_ms(3_999);
        assert_eq!(batcher.timeout(), []);
        batcher.advance_ms(201);
        assert_eq!(sent(&batcher.timeout()).len(), 1);
    }

    #[test]
    fn a_batch_too_large_is_halved_until_the_event_is_found() {
        let mut batcher = Batcher::open(1);
        batcher.publish((1..=4).map(|n| event(0, n, "k")));
        let mut send = batcher.advance_and_send(100).remove(0);
        let mut accepted = Vec::new();
        let dead_letter = loop {
            let offsets = offsets_of(&send);
            let too_large = offsets.contains(&3);
            let outcome = if too_large { Outcome::Failed(Failure::SizeExceeded) } else { Outcome::Accepted };
            let effects = batcher.settle(send.batch_id, outcome);
            if too_large && offsets.len() == 1 {
                let [Effect::Report(report), Effect::DeadLettered(_), Effect::Send(last)] = &effects[..] else {
                    panic!("{effects:?}");
                };
                assert_eq!(offsets_of(last), [4]);
                break *report;
            }
            if !too_large {
                accepted.push(offsets);
            }
            send = sent(&effects).remove(0);
        };
        assert!(matches!(dead_letter, Report::DeadLetter { id, .. } if id.offset.0 == 3));
        assert_eq!(accepted, [vec![1, 2]]);
        assert!(batcher.actor.ledger().balances(1));
    }

    #[test]
    fn a_lost_connection_asks_for_another_client_once_for_all_that_it_carried() {
        let mut batcher = Batcher::open(8);
        batcher.publish((0..8).map(|n| event(0, n, &format!("k{n}"))));
        let under_way = batcher.advance_and_send(100);
        assert!(under_way.len() > 2);
        let opens: Vec<_> = under_way
            .iter()
            .flat_map(|send| batcher.settle(send.batch_id, Outcome::Failed(Failure::ConnectionLost)))
            .filter(|effect| *effect == Effect::Open)
            .collect();
        assert_eq!(opens.len(), 1);
        batcher.advance_ms(400);
        assert_eq!(batcher.timeout(), [], "nothing goes before there is a client");
        assert_eq!(sent(&batcher.opened(8)).len(), under_way.len());
    }

    #[test]
    fn a_late_timeout_of_a_client_that_was_replaced_does_not_replace_its_successor() {
        let mut batcher = Batcher::open(2);
        let (one, other) = two_keys_of_two_hub_partitions();
        batcher.publish([event(0, 1, &one), event(0, 2, &other)]);
        let under_way = batcher.advance_and_send(100);
        assert_eq!(batcher.settle(under_way[0].batch_id, Outcome::Failed(Failure::TimedOut)), [Effect::Open]);
        batcher.opened(2);
        assert_eq!(batcher.settle(under_way[1].batch_id, Outcome::Failed(Failure::TimedOut)), []);
    }

    #[test]
    fn a_missing_hub_parks_the_route_is_told_once_and_tried_again_slowly() {
        let mut batcher = Batcher::open(1);
        batcher.publish([event(0, 1, "k")]);
        let send = batcher.advance_and_send(100).remove(0);
        let parked = Effect::Report(Report::RouteParked(Failure::NotFound));
        assert_eq!(batcher.settle(send.batch_id, Outcome::Failed(Failure::NotFound)), [parked]);
        batcher.advance_ms(59_999);
        assert_eq!(batcher.timeout(), []);
        batcher.advance_ms(1);
        assert_eq!(batcher.timeout(), [Effect::Open]);
        assert_eq!(batcher.step(Message::OpenFailed(Failure::NotFound)), [], "it was told");
        batcher.advance_ms(60_000);
        assert_eq!(batcher.timeout(), [Effect::Open]);
        assert_eq!(sent(&batcher.opened(1)).len(), 1);
        let effects = batcher.settle(send.batch_id, Outcome::Accepted);
        assert_eq!(effects[0], Effect::Report(Report::RouteRestored));
        assert!(batcher.actor.ledger().balances(0));
    }

    #[test]
    fn a_refused_batch_parks_its_hub_partition_alone() {
        let mut batcher = Batcher::open(2);
        let (one, other) = two_keys_of_two_hub_partitions();
        batcher.publish([event(0, 1, &one)]);
        let send = batcher.advance_and_send(100).remove(0);
        let parked = Effect::Report(Report::RouteParked(Failure::Refused));
        assert_eq!(batcher.settle(send.batch_id, Outcome::Failed(Failure::Refused)), [parked]);
        batcher.publish([event(0, 2, &one), event(0, 3, &other)]);
        let others = batcher.advance_and_send(100);
        assert_eq!(others.iter().map(offsets_of).collect::<Vec<_>>(), [[3]]);
        assert!(matches!(batcher.settle(others[0].batch_id, Outcome::Accepted)[..], [Effect::Settled(_)]));
        batcher.advance_ms(60_000);
        assert_eq!(sent(&batcher.timeout())[0].batch_id, send.batch_id);
    }

    #[test]
    fn a_parked_batch_that_is_too_large_after_all_restores_the_route_with_its_last_part() {
        let mut batcher = Batcher::open(1);
        batcher.publish([event(0, 1, "k"), event(0, 2, "k")]);
        let send = batcher.advance_and_send(100).remove(0);
        batcher.settle(send.batch_id, Outcome::Failed(Failure::Refused));
        batcher.advance_ms(60_000);
        let again = sent(&batcher.timeout()).remove(0);
        let first = sent(&batcher.settle(again.batch_id, Outcome::Failed(Failure::SizeExceeded))).remove(0);
        let effects = batcher.settle(first.batch_id, Outcome::Failed(Failure::SizeExceeded));
        assert!(!effects.contains(&Effect::Report(Report::RouteRestored)), "the other half is parked still");
        let second = sent(&effects).remove(0);
        let effects = batcher.settle(second.batch_id, Outcome::Failed(Failure::SizeExceeded));
        assert_eq!(effects.last(), Some(&Effect::Report(Report::RouteRestored)));
        assert!(batcher.actor.ledger().balances(0));
    }

    #[test]
    fn a_settlement_names_records_by_partition_and_gives_their_credit_back() {
        let mut batcher = Batcher::open(1);
        let events = [event(0, 1, "k"), event(1, 7, "k"), event(0, 2, "k")];
        let bytes: u64 = events.iter().map(|event| event.publication.size_bytes() as u64).sum();
        batcher.publish(events);
        assert_eq!(batcher.actor.pending_bytes(), bytes);
        let send = batcher.advance_and_send(100).remove(0);
        let effects = batcher.settle(send.batch_id, Outcome::Accepted);
        let [Effect::Settled(settlements)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(settlements.iter().map(|s| s.partition).collect::<Vec<_>>(), [0, 1].map(PartitionIndex));
        assert_eq!(settlements.iter().map(|s| s.released.bytes).sum::<u64>(), bytes);
        assert_eq!((batcher.actor.pending_bytes(), batcher.actor.in_flight_count()), (0, 0));
    }

    #[test]
    fn a_settlement_of_a_batch_that_nobody_waits_for_changes_nothing() {
        let mut batcher = Batcher::open(1);
        assert_eq!(batcher.settle(BatchId(99), Outcome::Accepted), []);
        assert!(batcher.actor.ledger().balances(0));
    }

    #[test]
    fn latencies_count_data_points() {
        let mut batcher = Batcher::open(1);
        batcher.publish([event(0, 1, "k"), event(0, 2, "k")]);
        let send = batcher.advance_and_send(100).remove(0);
        batcher.effects.drain_observations();
        batcher.advance_ms(30);
        batcher.settle(send.batch_id, Outcome::Accepted);
        let seen: Vec<_> = batcher.effects.drain_observations().map(|o| (o.hop, o.latency_us, o.count)).collect();
        assert_eq!(seen, [(contract::Hop::ReceivedToSettled, 130_000, 2), (contract::Hop::BatchToSettled, 30_000, 2)]);
    }
}
