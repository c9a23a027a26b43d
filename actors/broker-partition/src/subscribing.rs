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
        if replaced.is_none() {
            self.subscribers.get_mut(index).nodes.push(node);
            self.subscriptions_count += 1;
        }
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
            self.subscriptions_count -= 1;
            return true;
        }
        let Some((node, _)) = self.index.remove(topic_filter, index) else { return false };
        forget(&mut self.subscribers.get_mut(index).nodes, node);
        self.subscriptions_count -= 1;
        true
    }
}

/// Takes one number out of a list in no order. Some 50 us in a list of a million.
fn forget(numbers: &mut Vec<u32>, number: u32) {
    let at = numbers.iter().position(|each| *each == number).expect("a subscriber knows its Subscriptions");
    numbers.swap_remove(at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::testing::{TOKEN, World, connection, delivered, request, session};

    #[test]
    fn a_subscription_replaces_one_with_the_same_filter_and_ends_with_unsubscribe() {
        let mut world = World::new();
        world.subscriber_credit(1, 10);
        world.subscribe(1, "a");
        world.subscribe(1, "a");
        assert_eq!((delivered(&world.publish("a")).len(), world.counter("subscriptions")), (1, 1));
        assert_eq!(unsubscribe(&mut world, 1, &[(None, "a"), (None, "b")]), [true, false]);
        assert_eq!((delivered(&world.publish("a")).len(), world.counter("subscriptions")), (0, 0));
        assert_eq!(unsubscribe(&mut world, 9, &[(None, "a")]), [false], "a session that is not known here");
    }

    #[test]
    fn subscriptions_are_limited_for_a_client_and_in_all() {
        let mut world = World::with(|limits| {
            limits.subscriptions_per_client_max = 2;
            limits.subscriptions_count_max = 3;
        });
        let (granted, refused) = (SubscribeResult::Granted, SubscribeResult::QuotaExceeded);
        let none = |filter| (None, filter);
        assert_eq!(
            subscribe_all(&mut world, 1, &[none("a"), (Some("s"), "b"), none("c"), (Some("t"), "b"), none("a")]),
            [granted, granted, refused, refused, granted]
        );
        assert_eq!(subscribe_all(&mut world, 2, &[none("a"), (Some("s"), "b")]), [granted, refused]);
        world.detach(1);
        assert_eq!(subscribe_all(&mut world, 3, &[none("a"), none("b")]), [granted, granted]);
    }

    #[test]
    fn so_many_sessions_of_each_home_may_be_subscribers() {
        let mut world = World::with(|limits| limits.sessions_count_max = 1);
        let (granted, refused) = (SubscribeResult::Granted, SubscribeResult::QuotaExceeded);
        for slot in 0..4 {
            assert_eq!(subscribe_all(&mut world, slot, &[(None, "a")]), [granted]);
        }
        assert_eq!(subscribe_all(&mut world, 4, &[(None, "a"), (None, "b")]), [refused, refused]);
        world.subscriber_credit(4, 1);
        assert_eq!(["subscribers", "unknown"].map(|name| world.counter(name)), [4, 1]);
    }

    #[test]
    fn shared_subscriptions_are_limited_and_go_with_their_last_member() {
        let mut world = World::with(|limits| limits.shared_subscriptions_count_max = 2);
        let (granted, refused) = (SubscribeResult::Granted, SubscribeResult::QuotaExceeded);
        let names = [(Some("s"), "a"), (Some("s"), "b"), (Some("t"), "a")];
        assert_eq!(subscribe_all(&mut world, 1, &names), [granted, granted, refused]);
        assert_eq!(subscribe_all(&mut world, 2, &names), [granted, granted, refused], "a member more is none more");
        assert_eq!(unsubscribe(&mut world, 1, &names), [true, true, false]);
        assert_eq!(unsubscribe(&mut world, 1, &names), [false, false, false]);
        assert_eq!(unsubscribe(&mut world, 2, &[(None, "a"), (Some("s"), "b")]), [false, true], "known by both");
        assert_eq!(subscribe_all(&mut world, 3, &[(Some("t"), "a")]), [granted]);
        assert_eq!(["subscriptions", "shared_subscriptions"].map(|name| world.counter(name)), [2, 2]);
    }

    #[test]
    fn the_end_of_a_session_with_many_subscriptions_takes_several_steps() {
        let mut world = World::with(|limits| {
            limits.subscriptions_per_client_max = 10_000;
            limits.subscriptions_count_max = 10_000;
        });
        let filters: Vec<_> = (0..10_000).map(|number| request(&format!("a/{number}"))).collect();
        world.subscribe_all(1, filters);
        world.subscriber_credit(1, 10);
        assert_eq!(world.detach(1), []);
        assert!(world.counter("subscriptions") > 5_000);
        assert_eq!(contract::Actor::poll_timeout(&world.actor), Some(world.now));
        assert_eq!(delivered(&world.publish("a/0")), [], "no record is queued for it any more");
        world.wait(std::time::Duration::ZERO);
        assert_eq!(["subscriptions", "subscribers"].map(|name| world.counter(name)), [0, 0]);
        assert_eq!((world.actor.subscribers.len(), contract::Actor::poll_timeout(&world.actor)), (0, None));
    }

    type Name<'a> = (Option<&'a str>, &'a str);

    fn unsubscribe(world: &mut World, slot: u32, names: &[Name<'_>]) -> Vec<bool> {
        let name = |(share_name, topic_filter): &Name<'_>| SubscriptionName {
            share_name: share_name.map(Box::from),
            topic_filter: (*topic_filter).into(),
        };
        let topic_filters = names.iter().map(name).collect();
        let (session, connection) = (session(slot), connection(slot));
        let effects = world.step(Message::Unsubscribe { session, connection, token: TOKEN, topic_filters });
        let [Effect::Unsubscribed { existed, .. }] = &effects[..] else { panic!("{effects:?}") };
        existed.clone()
    }

    fn subscribe_all(world: &mut World, slot: u32, names: &[Name<'_>]) -> Vec<SubscribeResult> {
        let request = |(share_name, topic_filter): &Name<'_>| SubscriptionRequest {
            share_name: share_name.map(Box::from),
            ..request(topic_filter)
        };
        let effects = world.subscribe_all(slot, names.iter().map(request).collect());
        let Effect::Subscribed { results, .. } = &effects[0] else { panic!("{effects:?}") };
        results.clone()
    }
}
