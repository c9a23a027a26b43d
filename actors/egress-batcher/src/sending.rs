//! Which batch goes next.

use contract::{Effects, HubPartitionIndex, Instant};

use crate::effect::{Effect, Send};
use crate::hub_partition::UnderWay;
use crate::state::EgressBatcher;

impl EgressBatcher {
    /// Sends what is ready: one batch to each hub partition that is free, while the limits allow more.
    ///
    /// A hub partition's own batches go before those without a key. The search begins after the one that was served
    /// last, so that a limit below the number of hub partitions starves none.
    pub(crate) fn send_ready(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        self.rate_ready_at = None;
        if !self.route.is_open() {
            return;
        }
        let count = self.hub_partitions.len();
        let first = self.next_hub_partition;
        for index in (first..count).chain(0..first.min(count)) {
            if self.in_flight.len() >= self.limits.batches_in_flight_max {
                return;
            }
            let hub_partition = &self.hub_partitions[index];
            if !hub_partition.is_free(now) || !(hub_partition.queue.is_ready() || self.keyless.is_ready()) {
                continue;
            }
            if self.rate_cap.ready_at() > now {
                self.rate_ready_at = Some(self.rate_cap.ready_at());
                return;
            }
            self.next_hub_partition = (index + 1) % count;
            self.send_from(index, now, effects);
        }
    }

    /// When something can go that cannot go now: a retry, the rate cap, the next look at the hub's partitions.
    pub(crate) fn next_send_due(&self) -> Option<Instant> {
        let retry_at = if self.in_flight.len() < self.limits.batches_in_flight_max && self.rate_ready_at.is_none() {
            self.hub_partitions.iter().filter_map(|hub_partition| hub_partition.retry_at).min()
        } else {
            None
        };
        [retry_at, self.rate_ready_at, self.refresh_at].into_iter().flatten().min()
    }

    /// Gives the lane the next batch of a hub partition that is free; there is one.
    fn send_from(&mut self, index: usize, now: Instant, effects: &mut Effects<Effect>) {
        let hub_partition = &mut self.hub_partitions[index];
        let queue = if hub_partition.queue.is_ready() { &mut hub_partition.queue } else { &mut self.keyless };
        let closed = queue.closed.pop_front();
        let mut batch = closed.unwrap_or_else(|| queue.open.close(self.batch_ids.give(), now, effects));
        let hub_partition_index = HubPartitionIndex(u16::try_from(index).expect("counted by a u16"));
        effects.push(Effect::Send(Send {
            batch_id: batch.id,
            hub_partition: hub_partition_index,
            events: batch.events.clone(),
            attempt: batch.sent_count,
        }));
        self.rate_cap.spend(now, batch.bytes, batch.events.len());
        self.sends.sent += 1;
        if batch.sent_count > 0 {
            self.sends.resent += 1;
            self.ledger.redelivered += batch.events.len() as u64;
        }
        batch.sent_count += 1;
        self.in_flight.insert(batch.id, hub_partition_index);
        hub_partition.retry_at = None;
        hub_partition.under_way = Some(UnderWay { batch, client_count: self.route.clients_count() });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::Actor;

    use super::*;
    use crate::limits::Limits;
    use crate::message::Outcome;
    use crate::testing::*;

    #[test]
    fn one_batch_is_under_way_for_a_hub_partition_and_the_next_fills_meanwhile() {
        let mut batcher = Batcher::open(1);
        batcher.publish([event(0, 1, "k")]);
        let first = batcher.advance_and_send(100);
        batcher.publish([event(0, 2, "k")]);
        batcher.advance_ms(100);
        assert_eq!(batcher.timeout(), [], "its linger is over, but the hub partition is busy");
        batcher.publish([event(0, 3, "k")]);
        let effects = batcher.settle(first[0].batch_id, Outcome::Accepted);
        assert_eq!(offsets_of(&sent(&effects)[0]), [2, 3]);
    }

    #[test]
    fn batches_under_way_are_limited_in_all() {
        let mut batcher = Batcher::open(32);
        batcher.publish((0..30).map(|n| event(0, n, &format!("k{n}"))));
        let mut under_way = batcher.advance_and_send(100);
        under_way
            .extend(batcher.publish((30..90).map(|n| event(0, n, &format!("k{n}")))).into_iter().filter_map(as_send));
        assert_eq!(under_way.len(), 16);
        assert_eq!(batcher.actor.in_flight_count(), 16);
        assert_eq!(sent(&batcher.settle(under_way[0].batch_id, Outcome::Accepted)).len(), 1);
    }

    #[test]
    fn events_without_a_key_go_to_any_hub_partition_that_is_free() {
        let mut batcher = Batcher::open(3);
        let mut hub_partitions = Vec::new();
        for offset in 0..3 {
            batcher.publish([event(0, offset, "")]);
            hub_partitions.extend(batcher.advance_and_send(100).iter().map(|send| send.hub_partition));
        }
        hub_partitions.sort_unstable();
        assert_eq!(hub_partitions, [0, 1, 2].map(HubPartitionIndex));
    }

    #[test]
    fn throughput_units_hold_batches_back() {
        let limits = Limits { throughput_units: Some(1), linger: Duration::ZERO, ..limits() };
        let mut batcher = Batcher::with(limits);
        batcher.timeout();
        batcher.opened(1);
        let mut events_count = 0;
        while batcher.now < Instant::from_millis(10_000) {
            let mut effects = batcher.publish((0..10).map(|n| event(0, n, "k")));
            effects.extend(batcher.timeout());
            while let [send] = &sent(&effects)[..] {
                events_count += send.events.len();
                effects = batcher.settle(send.batch_id, Outcome::Accepted);
            }
            batcher.advance_ms(5);
            if batcher.actor.pending_count() > 80 {
                batcher.now = batcher.actor.poll_timeout().unwrap();
            }
        }
        assert!((9_900..10_400).contains(&events_count), "{events_count} events in 10 s at 1,000/s");
    }
}
