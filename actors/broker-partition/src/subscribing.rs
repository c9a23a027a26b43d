//! Subscriptions of clients, shared ones and others: made, replaced and ended; Retained Messages for new ones.

use contract::{
    ConnectionAddress, Delivery, Effects, Instant, RetainHandling, SessionId, SubscribeResult, SubscribeToken,
    SubscriptionName, SubscriptionRequest,
};

use crate::effect::Effect;
use crate::shared_groups::GroupIndex;
use crate::state::BrokerPartition;
use crate::subscriber::{NO_GROUP, Waiting};
use crate::subscription::{SubscriptionEntry, SubscriptionOptions};

impl BrokerPartition {
    pub(crate) fn handle_subscribe(
        &mut self,
        session: SessionId,
        connection: ConnectionAddress,
        token: SubscribeToken,
        subscriptions: Vec<SubscriptionRequest>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let Some(index) = self.find_or_make_subscriber(session, connection) else {
            let results = vec![SubscribeResult::QuotaExceeded; subscriptions.len()];
            effects.push(Effect::Subscribed { connection, token, results });
            return;
        };
        let mut replays = Vec::new();
        let results = subscriptions.into_iter().map(|request| self.subscribe(index, request, &mut replays)).collect();
        effects.push(Effect::Subscribed { connection, token, results });
        let mut deliveries = Vec::new();
        for (topic_filter, options) in replays {
            self.replay(index, &topic_filter, options, now, &mut deliveries);
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
        let options = SubscriptionOptions::of(&request);
        let entry = SubscriptionEntry { subscriber: index, options };
        if let Some(share_name) = &request.share_name {
            // No Retained Messages are sent (MQTT 5.0 §4.8.2).
            return self.subscribe_shared(entry, share_name, &request.topic_filter);
        }
        let is_new = !self.index.contains(&request.topic_filter, index);
        if is_new && self.is_full_of_subscriptions(index) {
            return SubscribeResult::QuotaExceeded;
        }
        let (node, replaced) = self.index.insert(&request.topic_filter, entry);
        match replaced {
            Some(before) => self.no_local_count -= u32::from(before.options.no_local()),
            None => {
                self.subscribers.get_mut(index).nodes.push(node);
                self.subscriptions_count += 1;
            }
        }
        self.no_local_count += u32::from(options.no_local());
        let is_replayed = match request.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if is_replayed {
            replays.push((request.topic_filter, options));
        }
        SubscribeResult::Granted
    }

    fn is_full_of_subscriptions(&self, index: u32) -> bool {
        let own_count = self.subscribers.get(index).subscriptions_count();
        own_count >= self.limits.subscriptions_per_client_max as usize
            || self.subscriptions_count >= self.limits.subscriptions_count_max
    }

    fn subscribe_shared(&mut self, entry: SubscriptionEntry, share_name: &str, topic_filter: &str) -> SubscribeResult {
        let known = self.find_group(share_name, topic_filter);
        let is_new = !known.is_some_and(|group| self.groups.contains(group, entry.subscriber));
        if is_new {
            let has_no_room = self.groups.count() >= self.limits.shared_subscriptions_count_max as usize;
            if self.is_full_of_subscriptions(entry.subscriber) || (known.is_none() && has_no_room) {
                return SubscribeResult::QuotaExceeded;
            }
        }
        let group = known.unwrap_or_else(|| {
            let group = self.groups.next_index();
            let node = self.index.insert_group(topic_filter, group);
            self.groups.insert(share_name, topic_filter, node);
            group
        });
        self.groups.join(group, entry);
        if is_new {
            self.subscribers.get_mut(entry.subscriber).groups.push(group);
            self.subscriptions_count += 1;
        }
        SubscribeResult::Granted
    }

    fn find_group(&self, share_name: &str, topic_filter: &str) -> Option<GroupIndex> {
        self.groups.find(self.index.groups(topic_filter), share_name)
    }

    /// Takes a member out of a Shared Subscription, which goes with its last; whether it was one.
    pub(crate) fn leave_group(&mut self, group: GroupIndex, index: u32) -> bool {
        let (was_there, empty) = self.groups.leave(group, index);
        if let Some(node) = empty {
            self.index.remove_group(node, group);
        }
        was_there
    }

    /// A Subscription has left the index.
    pub(crate) fn count_removed(&mut self, no_local: bool) {
        self.subscriptions_count -= 1;
        self.no_local_count -= u32::from(no_local);
    }

    /// Queues the Retained Messages of a Subscription; what the credit allows leaves the queue at once, to `deliveries`.
    fn replay(
        &mut self,
        index: u32,
        topic_filter: &str,
        options: SubscriptionOptions,
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
            let held = records.get(record);
            if let Some(expires_at) = held.expires_at {
                expires_first = Some(expires_first.map_or(expires_at, |first| first.min(expires_at)));
            }
            let waiting = Waiting {
                record,
                group: NO_GROUP,
                qos: held.qos.min(options.maximum_qos()),
                retain: true,
                identifiers: options.identifier().map_or_else(Box::default, |identifier| Box::from([identifier])),
            };
            subscriber.enqueue_retained(waiting, limits, records);
        });
        self.note_queue(index, expires_first);
    }

    pub(crate) fn handle_unsubscribe(
        &mut self,
        session: SessionId,
        connection: ConnectionAddress,
        token: SubscribeToken,
        topic_filters: &[SubscriptionName],
        effects: &mut Effects<Effect>,
    ) {
        let index = self.subscribers_by_session.get(&session).copied();
        let unsubscribe = |name| index.is_some_and(|index| self.unsubscribe(index, name));
        let existed = topic_filters.iter().map(unsubscribe).collect();
        effects.push(Effect::Unsubscribed { connection, token, existed });
    }

    /// Ends a Subscription; whether it was there. What is queued stays queued (MQTT-3.10.4-3).
    fn unsubscribe(&mut self, index: u32, name: &SubscriptionName) -> bool {
        let SubscriptionName { share_name, topic_filter } = name;
        if let Some(share_name) = share_name {
            let Some(group) = self.find_group(share_name, topic_filter) else { return false };
            if !self.leave_group(group, index) {
                return false;
            }
            forget(&mut self.subscribers.get_mut(index).groups, group);
            self.count_removed(false);
            return true;
        }
        let Some((node, removed)) = self.index.remove(topic_filter, index) else { return false };
        forget(&mut self.subscribers.get_mut(index).nodes, node);
        self.count_removed(removed.options.no_local());
        true
    }

    /// The session of a connection that publishes, where a Subscription leaves a client's own publications out.
    pub(crate) fn session_without_local(&self, connection: ConnectionAddress) -> Option<SessionId> {
        if self.no_local_count == 0 {
            return None;
        }
        let index = self.subscribers_by_connection.get(&connection)?;
        Some(self.subscribers.get(*index).session)
    }
}

/// Takes one number out of a list in no order. Some 50 us in a list of a million.
fn forget(numbers: &mut Vec<u32>, number: u32) {
    let at = numbers.iter().position(|each| *each == number).expect("a subscriber knows its Subscriptions");
    numbers.swap_remove(at);
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
