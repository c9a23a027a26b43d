//! Queues of subscribers: who may be sent something, what is sent, and what has expired while it waited.

use std::ops::Range;
use std::time::Duration;

use contract::{ConnectionAddress, Credit, DeliveryNumber, DeliveryOutcome, Effects, Instant, SessionId};

use crate::effect::Effect;
use crate::limits::QueueWhenFull;
use crate::state::BrokerPartition;
use crate::subscriber::Subscriber;

/// Waiting records, and Retained Messages, that one step looks at for expiry, about.
const SWEPT_PER_STEP_MAX: usize = 16_384;

impl BrokerPartition {
    pub(crate) fn handle_subscriber_credit(
        &mut self,
        session: SessionId,
        connection: ConnectionAddress,
        credit: Credit,
    ) {
        let Some(index) = self.find_or_make_subscriber(session, connection) else {
            self.unknown_count += 1;
            return;
        };
        add(&mut self.subscribers.get_mut(index).credit, credit);
        self.note_queue(index, None);
    }

    pub(crate) fn handle_deliveries_settled(
        &mut self,
        session: SessionId,
        numbers: &[Range<DeliveryNumber>],
        outcome: DeliveryOutcome,
    ) {
        let Some(index) = self.subscribers_by_session.get(&session).copied() else {
            self.unknown_count += 1;
            return;
        };
        let subscriber = self.subscribers.get_mut(index);
        for range in numbers {
            self.unknown_count =
                self.unknown_count.saturating_add(subscriber.settle(range, outcome, &mut self.records));
        }
    }

    /// Looks at a queue that has changed: whether it may be sent from, whether it holds publishers back, and when it must be swept of
    /// records that expire, of which `expires_at` is the first that joined.
    pub(crate) fn note_queue(&mut self, index: u32, expires_at: Option<Instant>) {
        let subscriber = self.subscribers.get_mut(index);
        if !subscriber.is_ready && subscriber.may_send() {
            subscriber.is_ready = true;
            self.ready.push_back(index);
        }
        if self.limits.subscriber_queue_when_full == QueueWhenFull::BackPressure {
            let was_full = subscriber.is_noted_full;
            let is_full = subscriber.is_full(&self.limits, was_full);
            subscriber.is_noted_full = is_full;
            self.full_subscribers_count += u32::from(is_full);
            self.full_subscribers_count -= u32::from(was_full);
        }
        if let Some(due) = expires_at.map(whole_second_after)
            && subscriber.expiry_due.is_none_or(|known| due < known)
        {
            if let Some(known) = subscriber.expiry_due.replace(due) {
                self.expiries.remove(&(known, index));
            }
            self.expiries.insert((due, index));
        }
    }

    /// Sends subscribers what their credit allows.
    pub(crate) fn send_to_subscribers(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        while self.has_room(effects)
            && let Some(index) = self.ready.pop_front()
        {
            // The place may have another subscriber since, which has not become ready.
            if !self.subscribers.find(index).is_some_and(|subscriber| subscriber.is_ready) {
                continue;
            }
            let subscriber = self.subscribers.get_mut(index);
            subscriber.is_ready = false;
            // It may have been suspended since.
            if let Some(connection) = subscriber.connection {
                let deliveries = subscriber.take_deliveries(now, &mut self.records);
                if !deliveries.is_empty() {
                    effects.push(Effect::Deliver { connection, deliveries });
                }
            }
            self.note_queue(index, None);
        }
        if !self.ready.is_empty() {
            self.continue_at = Some(now);
        }
    }

    /// Drops what has expired, wherever it waits; what is left for another step stays due.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let mut looked_at_count = 0;
        while looked_at_count < SWEPT_PER_STEP_MAX
            && let Some((due, index)) = self.expiries.first().copied()
            && due <= now
        {
            self.expiries.pop_first();
            let subscriber = self.subscribers.get_mut(index);
            looked_at_count += subscriber.sweep(now, &mut self.records);
            let expires_at = subscriber.expiry_due.take();
            self.note_queue(index, expires_at);
        }
        self.retained.sweep(now, SWEPT_PER_STEP_MAX, &mut self.records);
    }

    /// Cuts the longest queues that drop by half until subscribers alone hold no more than their share of the budget. Where a full queue
    /// holds publishers back, only those of sessions drop that no connection has.
    pub(crate) fn cut_long_queues(&mut self) {
        let spares_connected = self.limits.subscriber_queue_when_full == QueueWhenFull::BackPressure;
        let all_are_connected = self.subscribers_by_connection.len() == self.subscribers.len();
        if spares_connected && all_are_connected {
            return;
        }
        while self.records.subscribers_only_bytes() > self.limits.subscribers_bytes_max() {
            let may_cut = |each: &&Subscriber| !(spares_connected && each.connection.is_some());
            let subscribers = self.subscribers.iter().map(|(_, each)| each);
            let longest_bytes = subscribers.filter(may_cut).map(Subscriber::waiting_bytes).max().unwrap_or(0);
            if longest_bytes == 0 {
                return;
            }
            for index in 0..self.subscribers.index_end() {
                let is_long = |bytes| bytes > 0 && bytes >= longest_bytes / 2;
                let found = self.subscribers.find(index).filter(may_cut);
                if found.is_some_and(|each| is_long(each.waiting_bytes())) {
                    self.subscribers.get_mut(index).drop_older_half(&mut self.records);
                }
            }
        }
    }
}

/// Adds credit; it stops at the largest number.
pub(crate) fn add(credit: &mut Credit, more: Credit) {
    credit.count = credit.count.saturating_add(more.count);
    credit.bytes = credit.bytes.saturating_add(more.bytes);
}

/// Sweeps are due at whole seconds only, so that one serves many records; the interval has that unit too.
fn whole_second_after(instant: Instant) -> Instant {
    Instant::ZERO + Duration::from_secs(instant.as_nanos().div_ceil(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use contract::PublicationDraft;

    use super::*;
    use crate::testing::{SESSION, World, accepted, delivered, draft, publication, publish};

    #[test]
    fn nothing_is_sent_before_the_first_credit_and_no_more_than_it() {
        let mut world = World::new();
        world.subscribe(1, "a");
        for _ in 0..3 {
            assert_eq!(delivered(&world.publish("a")), []);
        }
        assert_eq!(delivered(&world.subscriber_credit(1, 2)).len(), 2);
        assert_eq!(delivered(&world.subscriber_credit(1, 2)).len(), 1);
        assert_eq!(delivered(&world.publish("a")).len(), 1);
    }

    #[test]
    fn deliveries_are_numbered_without_gaps_and_settle_in_any_order() {
        let mut world = World::new();
        world.subscribe(1, "a");
        world.subscriber_credit(1, 10);
        for _ in 0..4 {
            world.publish("a");
        }
        world.settle(1, 2..4, DeliveryOutcome::Delivered);
        world.settle(1, 0..1, DeliveryOutcome::PacketTooLarge);
        world.settle(1, 0..2, DeliveryOutcome::Expired);
        let names = ["delivered", "dropped_packet_too_large", "expired", "queued", "unknown"];
        assert_eq!(names.map(|name| world.counter(name)), [2, 1, 1, 0, 1]);
        assert_eq!(world.actor.bytes(), 0);
    }

    #[test]
    fn a_full_queue_drops_its_oldest_record_but_nothing_under_way() {
        let mut world = World::with(|limits| limits.subscriber_queue_count_max = 3);
        world.subscribe(1, "+");
        world.subscriber_credit(1, 1);
        for topic_name in ["a", "b", "c", "d", "e"] {
            assert_eq!(accepted(&world.publish(topic_name)).len(), 1, "publishers do not wait");
        }
        let names = ["c", "d", "e"].map(|name| (1, name.to_owned()));
        assert_eq!(delivered(&world.subscriber_credit(1, 10)), names);
        assert_eq!(world.counter("dropped_queue_full"), 1);
    }

    #[test]
    fn bytes_bound_a_queue_too_and_a_record_larger_than_all_of_it_waits_alone() {
        let bytes = publication("a").size_bytes() as u64 * 2;
        let mut world = World::with(|limits| limits.subscriber_queue_bytes_max = bytes);
        world.subscribe(1, "+");
        for topic_name in ["a", "b", "c"] {
            world.publish(topic_name);
        }
        assert_eq!(world.counter("queued"), 2);
        world.publish_as(SESSION, publish(&draft("d"), &[7; 200]));
        assert_eq!(delivered(&world.subscriber_credit(1, 10)), [(1, "d".to_owned())]);
    }

    #[test]
    fn expired_records_are_dropped_when_reached_and_swept_wherever_they_wait() {
        let mut world = World::new();
        world.subscribe(1, "a");
        world.publish("a");
        for message_expiry_s in [5, 10, 20] {
            world.publish_as(SESSION, publish(&PublicationDraft { message_expiry_s, ..draft("a") }, b"1"));
        }
        world.wait(Duration::from_millis(9_999));
        assert_eq!(["expired", "queued"].map(|name| world.counter(name)), [1, 3]);
        world.wait(Duration::from_millis(1));
        assert_eq!(["expired", "queued"].map(|name| world.counter(name)), [2, 2]);
        world.now = Instant::from_millis(20_000);
        assert_eq!(delivered(&world.subscriber_credit(1, 10)).len(), 1);
        assert_eq!(["expired", "queued"].map(|name| world.counter(name)), [3, 1]);
        world.wait(Duration::from_secs(1));
        assert_eq!(contract::Actor::poll_timeout(&world.actor), None);
    }
}
