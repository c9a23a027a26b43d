//! Subscribers: their Subscriptions, their credit, what they settle, and their end.

use std::ops::Range;
use std::time::Duration;

use contract::{
    ConnectionAddress, Credit, Delivery, DeliveryNumber, DeliveryOutcome, Effects, Instant, RetainHandling,
    SubscribeResult, SubscribeToken, SubscriptionRequest,
};

use crate::clients::Arrival;
use crate::effect::{Effect, Report};
use crate::limits::QueueWhenFull;
use crate::state::BrokerPartition;
use crate::subscriber::Subscriber;
use crate::subscription_index::{SubscriptionEntry, SubscriptionOptions};

/// Waiting records, and Retained Messages, that one step looks at for expiry, about.
const SWEPT_PER_STEP_MAX: usize = 16_384;

impl BrokerPartition {
    pub(crate) fn handle_attach(
        &mut self,
        connection: ConnectionAddress,
        client_identifier: Box<str>,
        effects: &mut Effects<Effect>,
    ) {
        match self.clients.arrive(connection, client_identifier, self.limits.sessions_count_max) {
            Arrival::New => self.told.sessions_are_full = false,
            Arrival::TakesOver(older) => effects.push(Effect::TakenOver { connection: older }),
            Arrival::NotKept => {
                self.clients_not_kept_count += 1;
                if !self.told.sessions_are_full {
                    self.told.sessions_are_full = true;
                    effects.push(Effect::Report(Report::SessionsLimitReached));
                }
            }
        }
        let session = contract::SessionId { home: self.partition, number: 0 };
        effects.push(Effect::Attached { connection, session, state: None });
    }

    pub(crate) fn handle_subscribe(
        &mut self,
        connection: ConnectionAddress,
        token: SubscribeToken,
        subscriptions: Vec<SubscriptionRequest>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let Some(index) = self.find_or_make_subscriber(connection) else {
            let results = vec![SubscribeResult::QuotaExceeded; subscriptions.len()];
            effects.push(Effect::Subscribed { connection, token, results });
            return;
        };
        let mut replays = Vec::new();
        let results = subscriptions.into_iter().map(|request| self.subscribe(index, request, &mut replays)).collect();
        effects.push(Effect::Subscribed { connection, token, results });
        let mut deliveries = Vec::new();
        for (topic_filter, options) in replays {
            self.replay(index, &topic_filter, &options, now, &mut deliveries);
        }
        if !deliveries.is_empty() {
            effects.push(Effect::Deliver { connection, deliveries });
        }
    }

    fn subscribe(
        &mut self,
        index: u32,
        request: SubscriptionRequest,
        replays: &mut Vec<(Box<str>, SubscriptionOptions)>,
    ) -> SubscribeResult {
        let subscriber = self.subscribers.get_mut(index);
        let is_new = !subscriber.topic_filters.contains(&request.topic_filter);
        let is_full = subscriber.topic_filters.len() >= self.limits.subscriptions_per_client_max as usize
            || self.index.subscriptions_count() >= self.limits.subscriptions_count_max;
        if is_new && is_full {
            return SubscribeResult::QuotaExceeded;
        }
        let options = SubscriptionOptions {
            maximum_qos: request.maximum_qos,
            no_local: request.no_local,
            retain_as_published: request.retain_as_published,
            identifier: request.subscription_identifier,
        };
        self.index.insert(&request.topic_filter, SubscriptionEntry { subscriber: index, options });
        let is_replayed = match request.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if is_replayed {
            replays.push((request.topic_filter.clone(), options));
        }
        subscriber.topic_filters.insert(request.topic_filter);
        SubscribeResult::Granted
    }

    /// Queues the Retained Messages of a Subscription; what the credit allows leaves the queue at once, to `deliveries`.
    fn replay(
        &mut self,
        index: u32,
        topic_filter: &str,
        options: &SubscriptionOptions,
        now: Instant,
        deliveries: &mut Vec<Delivery>,
    ) {
        let Self { retained, records, subscribers, limits, .. } = self;
        let subscriber = subscribers.get_mut(index);
        let mut expires_first: Option<Instant> = None;
        retained.visit_matching(topic_filter, now, records, |record, records| {
            if subscriber.may_send() {
                deliveries.append(&mut subscriber.take_deliveries(now, records));
            }
            if let Some(expires_at) = records.get(record).expires_at {
                expires_first = Some(expires_first.map_or(expires_at, |first| first.min(expires_at)));
            }
            subscriber.enqueue_retained(record, options, limits, records);
        });
        self.note_queue(index, expires_first);
    }

    pub(crate) fn handle_unsubscribe(
        &mut self,
        connection: ConnectionAddress,
        token: SubscribeToken,
        topic_filters: &[Box<str>],
        effects: &mut Effects<Effect>,
    ) {
        let index = self.subscribers_by_connection.get(&connection).copied();
        let mut remove = |topic_filter: &str| {
            let Some(index) = index else { return false };
            self.subscribers.get_mut(index).topic_filters.remove(topic_filter);
            self.index.remove(topic_filter, index)
        };
        let existed = topic_filters.iter().map(|topic_filter| remove(topic_filter)).collect();
        effects.push(Effect::Unsubscribed { connection, token, existed });
    }

    pub(crate) fn handle_subscriber_credit(&mut self, connection: ConnectionAddress, credit: Credit) {
        let Some(index) = self.find_or_make_subscriber(connection) else {
            self.unknown_count += 1;
            return;
        };
        add(&mut self.subscribers.get_mut(index).credit, credit);
        self.note_queue(index, None);
    }

    pub(crate) fn handle_deliveries_settled(
        &mut self,
        connection: ConnectionAddress,
        numbers: &[Range<DeliveryNumber>],
        outcome: DeliveryOutcome,
    ) {
        let Some(index) = self.subscribers_by_connection.get(&connection).copied() else {
            self.unknown_count += 1;
            return;
        };
        let subscriber = self.subscribers.get_mut(index);
        for range in numbers {
            self.unknown_count =
                self.unknown_count.saturating_add(subscriber.settle(range, outcome, &mut self.records));
        }
    }

    pub(crate) fn handle_detach(&mut self, connection: ConnectionAddress) {
        self.clients.leave(connection);
        let Some(index) = self.subscribers_by_connection.remove(&connection) else { return };
        let mut subscriber = self.subscribers.remove(index);
        for topic_filter in &subscriber.topic_filters {
            self.index.remove(topic_filter, index);
        }
        if let Some(due) = subscriber.expiry_due {
            self.expiries.remove(&(due, index));
        }
        self.full_subscribers_count -= u32::from(subscriber.is_noted_full);
        subscriber.drop_all(&mut self.records);
        self.ended_subscribers.merge(&subscriber.ledger);
    }

    fn find_or_make_subscriber(&mut self, connection: ConnectionAddress) -> Option<u32> {
        if let Some(index) = self.subscribers_by_connection.get(&connection) {
            return Some(*index);
        }
        if self.subscribers.len() >= self.limits.sessions_count_max as usize {
            return None;
        }
        let index = self.subscribers.insert(Subscriber::new(connection));
        self.subscribers_by_connection.insert(connection, index);
        Some(index)
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
            let deliveries = subscriber.take_deliveries(now, &mut self.records);
            if !deliveries.is_empty() {
                effects.push(Effect::Deliver { connection: subscriber.connection, deliveries });
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
    use contract::{Offset, PublicationDraft};

    use super::*;
    use crate::message::Message;
    use crate::testing::{
        SESSION, TOKEN, World, accepted, connection, delivered, draft, publication, publish, request,
    };

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
        settle(&mut world, 2..4, DeliveryOutcome::Delivered);
        settle(&mut world, 0..1, DeliveryOutcome::PacketTooLarge);
        settle(&mut world, 0..2, DeliveryOutcome::Expired);
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

    #[test]
    fn a_subscription_replaces_one_with_the_same_filter_and_ends_with_unsubscribe() {
        let mut world = World::new();
        world.subscriber_credit(1, 10);
        world.subscribe(1, "a");
        world.subscribe(1, "a");
        assert_eq!((delivered(&world.publish("a")).len(), world.counter("subscriptions")), (1, 1));
        let topic_filters = vec!["a".into(), "b".into()];
        let unsubscribe = Message::Unsubscribe { connection: connection(1), token: TOKEN, topic_filters };
        let existed = vec![true, false];
        let answer = Effect::Unsubscribed { connection: connection(1), token: TOKEN, existed };
        assert_eq!(world.step(unsubscribe), [answer]);
        assert_eq!((delivered(&world.publish("a")).len(), world.counter("subscriptions")), (0, 0));
    }

    #[test]
    fn subscriptions_are_limited_for_a_client_and_in_all() {
        let mut world = World::with(|limits| {
            limits.subscriptions_per_client_max = 2;
            limits.subscriptions_count_max = 3;
            limits.sessions_count_max = 2;
        });
        let (granted, refused) = (SubscribeResult::Granted, SubscribeResult::QuotaExceeded);
        assert_eq!(subscribe_all(&mut world, 1, &["a", "b", "c", "a"]), [granted, granted, refused, granted]);
        assert_eq!(subscribe_all(&mut world, 2, &["a", "b"]), [granted, refused]);
        assert_eq!(subscribe_all(&mut world, 3, &["a", "b"]), [refused, refused]);
        world.step(Message::Detach { connection: connection(1) });
        assert_eq!(subscribe_all(&mut world, 3, &["a", "b"]), [granted, granted]);
    }

    #[test]
    fn the_end_of_a_session_drops_what_waits_and_what_is_under_way() {
        let mut world = World::new();
        world.subscribe(1, "a");
        world.subscriber_credit(1, 1);
        world.publish("a");
        world.publish("a");
        world.step(Message::Detach { connection: connection(1) });
        assert_eq!(["dropped_session_ended", "queued", "subscribers"].map(|name| world.counter(name)), [2, 0, 0]);
        assert_eq!(world.actor.bytes(), 0);
        settle(&mut world, 0..1, DeliveryOutcome::Delivered);
        assert_eq!(world.step(Message::Detach { connection: connection(1) }), []);
        assert_eq!(delivered(&world.publish("a")), []);
    }

    #[test]
    fn a_place_that_another_subscriber_takes_sends_nothing_of_its_predecessor() {
        let mut world = World::new();
        world.log_is_held = true;
        world.subscribe(1, "a");
        world.publish("a");
        world.step(Message::Detach { connection: connection(1) });
        world.subscribe(2, "b");
        world.subscriber_credit(2, 10);
        assert_eq!(delivered(&world.answer(contract::LogResponse::Durable { up_to: Offset(1) })), []);
    }

    #[test]
    fn an_older_connection_of_the_same_client_is_taken_over() {
        let mut world = World::new();
        let attached = |slot| Effect::Attached { connection: connection(slot), session_present: false };
        assert_eq!(attach(&mut world, 1, "c"), [attached(1)]);
        let taken_over = Effect::TakenOver { connection: connection(1) };
        assert_eq!(attach(&mut world, 2, "c"), [taken_over, attached(2)]);
        world.step(Message::Detach { connection: connection(1) });
        let taken_over = Effect::TakenOver { connection: connection(2) };
        assert_eq!(attach(&mut world, 3, "c"), [taken_over, attached(3)], "the older one's end changes nothing");
        world.step(Message::Detach { connection: connection(3) });
        assert_eq!(attach(&mut world, 4, "c"), [attached(4)]);
    }

    #[test]
    fn clients_past_the_limit_are_served_but_not_kept() {
        let mut world = World::with(|limits| limits.sessions_count_max = 1);
        attach(&mut world, 1, "c");
        let effects = attach(&mut world, 2, "d");
        assert_eq!(effects[0], Effect::Report(Report::SessionsLimitReached));
        assert!(matches!(effects[1], Effect::Attached { .. }));
        assert_eq!(attach(&mut world, 3, "d").len(), 1, "told once");
        assert_eq!(["clients", "clients_not_kept"].map(|name| world.counter(name)), [1, 2]);
    }

    fn attach(world: &mut World, slot: u32, client_identifier: &str) -> Vec<Effect> {
        let client_identifier = client_identifier.into();
        world.step(Message::Attach { connection: connection(slot), client_identifier })
    }

    fn settle(world: &mut World, numbers: Range<u64>, outcome: DeliveryOutcome) {
        let numbers = vec![DeliveryNumber(numbers.start)..DeliveryNumber(numbers.end)];
        world.step(Message::DeliveriesSettled { connection: connection(1), numbers, outcome });
    }

    fn subscribe_all(world: &mut World, slot: u32, filters: &[&str]) -> Vec<SubscribeResult> {
        let subscriptions = filters.iter().map(|filter| request(filter)).collect();
        let effects = world.step(Message::Subscribe { connection: connection(slot), token: TOKEN, subscriptions });
        let Effect::Subscribed { results, .. } = &effects[0] else { panic!("{effects:?}") };
        results.clone()
    }
}
