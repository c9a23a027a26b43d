//! Subscribers as their sessions' connections come and go: resumed, suspended, and at their end.

use contract::{ConnectionAddress, DropReason, Effects, Instant, SessionId};

use crate::effect::Effect;
use crate::records::Holder;
use crate::shared_groups::{Key, Presence};
use crate::state::BrokerPartition;
use crate::subscriber::{Orphan, Subscriber, Waiting};
use crate::subscription::SubscriptionEntry;

/// Subscriptions of ended sessions that one step takes out of the index.
const FORGOTTEN_PER_STEP_MAX: usize = 4_096;

impl BrokerPartition {
    pub(crate) fn handle_resume(&mut self, session: SessionId, connection: ConnectionAddress) {
        match self.subscribers_by_session.get(&session).copied() {
            Some(index) => self.connect_subscriber(index, connection),
            None => self.unknown_count += 1,
        }
    }

    /// A connection has the subscriber's session.
    fn connect_subscriber(&mut self, index: u32, connection: ConnectionAddress) {
        let subscriber = self.subscribers.get_mut(index);
        if subscriber.connection == Some(connection) {
            return;
        }
        if let Some(before) = subscriber.connection.replace(connection) {
            self.subscribers_by_connection.remove(&before);
        }
        self.subscribers_by_connection.insert(connection, index);
        self.note_queue(index, None);
    }

    pub(crate) fn find_or_make_subscriber(&mut self, session: SessionId, connection: ConnectionAddress) -> Option<u32> {
        let known = self.subscribers_by_session.get(&session).copied();
        if known.is_none() && self.subscribers_by_session.len() >= self.subscribers_count_max() {
            return None;
        }
        let index = known.unwrap_or_else(|| {
            let index = self.subscribers.insert(Subscriber::new(session));
            self.subscribers_by_session.insert(session, index);
            index
        });
        self.connect_subscriber(index, connection);
        Some(index)
    }

    /// Sessions of all homes.
    fn subscribers_count_max(&self) -> usize {
        self.limits.sessions_count_max as usize * usize::from(self.partitions_count)
    }

    pub(crate) fn handle_suspend(
        &mut self,
        session: SessionId,
        connection: ConnectionAddress,
        effects: &mut Effects<Effect>,
    ) {
        let index = self.subscribers_by_session.get(&session);
        if index.is_some_and(|index| self.subscribers.get(*index).connection == Some(connection)) {
            self.suspend_subscriber(connection);
        }
        if self.intake.suspend(session, connection) {
            effects.push(Effect::Suspended { connection });
        }
    }

    /// The connection has its session no longer: nothing is sent to it.
    pub(crate) fn suspend_subscriber(&mut self, connection: ConnectionAddress) {
        let Some(index) = self.subscribers_by_connection.remove(&connection) else { return };
        let subscriber = self.subscribers.get_mut(index);
        subscriber.connection = None;
        subscriber.drop_at_most_once(&mut self.records);
        self.note_queue(index, None);
    }

    /// The session has ended: nothing is queued for it any more, and what waits goes to other members of its Shared Subscriptions, or
    /// is dropped.
    pub(crate) fn end_subscriber(&mut self, session: SessionId) {
        let Some(index) = self.subscribers_by_session.remove(&session) else { return };
        let subscriber = self.subscribers.get_mut(index);
        subscriber.has_ended = true;
        if let Some(connection) = subscriber.connection.take() {
            self.subscribers_by_connection.remove(&connection);
        }
        if let Some(due) = subscriber.expiry_due.take() {
            self.expiries.remove(&(due, index));
        }
        let orphans = subscriber.end(&mut self.records);
        self.note_queue(index, None);
        for orphan in orphans {
            self.hand_over(index, &orphan);
        }
        let subscriber = self.subscribers.get_mut(index);
        self.ended_subscribers.merge(&std::mem::take(&mut subscriber.ledger));
        self.leaving.push_back(index);
    }

    /// Gives a record to another member of its Shared Subscription, where there is one. Its account moves with it.
    fn hand_over(&mut self, from: u32, orphan: &Orphan) {
        let publication = self.records.get(orphan.record).publication.clone();
        let chosen = self.choose_member(orphan.group, &Key::of(&publication));
        match chosen {
            Some(entry) => {
                self.subscribers.get_mut(from).ledger.accepted -= 1;
                self.enqueue_shared(entry, orphan.group, orphan.record);
                self.subscribers.get_mut(entry.subscriber).ledger.redelivered += u64::from(orphan.was_sent);
                self.handed_over_count += 1;
            }
            None => self.subscribers.get_mut(from).ledger.drop_records(DropReason::SessionEnded, 1),
        }
        self.records.release(orphan.record, Holder::Subscriber);
    }

    /// The member of a Shared Subscription that gets a record.
    pub(crate) fn choose_member(&mut self, group: u32, key: &Key<'_>) -> Option<SubscriptionEntry> {
        let Self { groups, subscribers, .. } = self;
        groups
            .choose(group, key, |subscriber| subscribers.find(subscriber).map_or(Presence::Ended, Subscriber::presence))
    }

    /// Queues a record that came by a Shared Subscription for the member that was chosen.
    pub(crate) fn enqueue_shared(&mut self, entry: SubscriptionEntry, group: u32, record: crate::records::RecordIndex) {
        let SubscriptionEntry { subscriber: index, options } = entry;
        let held = self.records.get(record);
        let expires_at = held.expires_at;
        let waiting = Waiting {
            record,
            group,
            qos: held.qos.min(options.maximum_qos()),
            retain: held.retain && options.retain_as_published(),
            identifiers: options.identifier().map_or_else(Box::default, |identifier| Box::from([identifier])),
        };
        self.subscribers.get_mut(index).enqueue(waiting, &self.limits, &mut self.records);
        self.note_queue(index, expires_at);
    }

    /// Takes Subscriptions of ended sessions out of the index, so many at once that no other client notices.
    pub(crate) fn forget_subscribers(&mut self, now: Instant) {
        let mut left_count = FORGOTTEN_PER_STEP_MAX;
        while let Some(index) = self.leaving.front().copied() {
            let subscriber = self.subscribers.get_mut(index);
            if let Some(node) = subscriber.nodes.pop() {
                self.index.remove_at(node, index);
            } else if let Some(group) = subscriber.groups.pop() {
                self.leave_group(group, index);
            } else {
                self.leaving.pop_front();
                self.subscribers.remove(index);
                continue;
            }
            self.subscriptions_count -= 1;
            left_count -= 1;
            if left_count == 0 {
                self.continue_at = Some(now);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::{
        Acknowledge, DeliveryOutcome, LogResponse, Offset, Publication, PublicationDraft, QoS, SubscriptionRequest,
    };

    use super::*;
    use crate::Message;
    use crate::limits::QueueWhenFull;
    use crate::testing::{
        SESSION, World, accepted, client, connection, delivered, draft, publication, publish, request, session,
    };

    #[test]
    fn a_suspended_session_keeps_subscriptions_queue_and_credit_for_its_next_connection() {
        let mut world = World::new();
        world.subscribe(1, "a");
        world.subscriber_credit(1, 3);
        assert_eq!(delivered(&world.publish("a")).len(), 1);
        assert_eq!(world.suspend(1), [Effect::Suspended { connection: connection(1) }]);
        for _ in 0..3 {
            assert_eq!(delivered(&world.publish("a")), []);
        }
        let other = connection(9);
        let effects = world.step(Message::Resume { session: session(1), connection: other });
        assert_eq!(delivered(&effects), [(9, "a".into()), (9, "a".into())], "what was left of the credit");
        world.settle(1, 0..3, DeliveryOutcome::Delivered);
        assert_eq!(["delivered", "queued", "unknown"].map(|name| world.counter(name)), [3, 1, 0], "numbers go on");
    }

    #[test]
    fn at_qos_0_nothing_waits_for_a_session_without_connection() {
        let mut world = World::new();
        world.subscribe(1, "a");
        let at_most_once = publish(&PublicationDraft { qos: QoS::AtMostOnce, ..draft("a") }, b"1");
        world.publish_as(SESSION, at_most_once.clone());
        world.publish("a");
        world.suspend(1);
        assert_eq!(["dropped_not_connected", "queued"].map(|name| world.counter(name)), [1, 1]);
        world.publish_as(SESSION, at_most_once);
        assert_eq!(["dropped_not_connected", "queued"].map(|name| world.counter(name)), [2, 1]);
    }

    #[test]
    fn a_full_queue_of_an_absent_session_drops_its_oldest_and_holds_nobody_back() {
        let mut world = World::with(|limits| {
            limits.subscriber_queue_when_full = QueueWhenFull::BackPressure;
            limits.subscriber_queue_count_max = 2;
        });
        world.subscribe(1, "+");
        for topic_name in ["a", "b"] {
            world.publish(topic_name);
        }
        assert!(world.actor.is_under_pressure());
        world.suspend(1);
        assert!(!world.actor.is_under_pressure());
        assert_eq!(accepted(&world.publish("c")), [3]);
        world.resume(1);
        assert!(world.actor.is_under_pressure(), "it is full as it comes back");
        assert_eq!(delivered(&world.subscriber_credit(1, 10)), [(1, "b".into()), (1, "c".into())]);
    }

    #[test]
    fn absent_sessions_together_hold_no_more_than_half_of_the_threshold_whatever_the_policy() {
        let size = publication("a").size_bytes() as u64;
        let mut world = World::with(|limits| {
            limits.subscriber_queue_when_full = QueueWhenFull::BackPressure;
            limits.spill_bytes = size * 40;
        });
        world.subscribe(1, "a");
        world.suspend(1);
        for number in 1..100 {
            assert_eq!(accepted(&world.publish("a")), [number]);
            assert!(world.actor.bytes() <= size * 20, "{}", world.actor.bytes());
        }
    }

    #[test]
    fn what_waits_for_an_absent_session_expires() {
        let mut world = World::new();
        world.subscribe(1, "a");
        world.suspend(1);
        world.publish("a");
        world.publish_as(SESSION, publish(&PublicationDraft { message_expiry_s: 5, ..draft("a") }, b"1"));
        world.wait(Duration::from_secs(5));
        assert_eq!(["expired", "queued"].map(|name| world.counter(name)), [1, 1]);
    }

    #[test]
    fn suspended_follows_every_answer_of_what_the_log_has() {
        let mut world = World::new();
        world.log_is_held = true;
        world.publish_as(client(1), publication("a"));
        world.publish_as(client(2), publication("a"));
        assert_eq!(world.suspend(1), []);
        assert_eq!(world.suspend(3), [Effect::Suspended { connection: connection(3) }], "the log has nothing of it");
        let effects = world.answer(LogResponse::Durable { up_to: Offset(2) });
        assert_eq!((accepted(&effects), &effects[2]), (vec![1, 2], &Effect::Suspended { connection: connection(1) }));
    }

    #[test]
    fn publications_at_qos_2_that_wait_for_memory_are_taken_out_and_others_are_not_answered() {
        let mut world = World::with(|limits| limits.spill_bytes = 1);
        world.publish("f/a");
        let exactly_once = || publish(&PublicationDraft { qos: QoS::ExactlyOnce, ..draft("x") }, b"2");
        world.publish_as(client(1), exactly_once());
        world.publish_all(client(1), vec![publication("x"), exactly_once()], Acknowledge::Accepted);
        world.publish_as(client(2), exactly_once());
        assert_eq!(world.counter("publications_queued"), 4);
        assert_eq!(world.suspend(1), [Effect::Suspended { connection: connection(1) }]);
        assert_eq!(world.counter("publications_queued"), 2);
        world.flow_credit(10);
        let effects = world.flow_settled(0..1, crate::FlowOutcome::Delivered);
        assert_eq!(accepted(&effects), [4]);
        assert_eq!(["publications_accepted", "held_bytes"].map(|name| world.counter(name)), [3, 0]);
    }

    #[test]
    fn no_local_is_by_session_also_for_what_waited_while_the_session_changed_connections() {
        let mut world = World::with(|limits| limits.spill_bytes = 1);
        world.subscribe_with(1, SubscriptionRequest { no_local: true, ..request("x") });
        world.subscriber_credit(1, 10);
        world.publish("f/a");
        world.publish_as(client(1), publication("x"));
        world.suspend(1);
        world.step(Message::Resume { session: session(1), connection: connection(9) });
        world.flow_credit(10);
        let effects = world.flow_settled(0..1, crate::FlowOutcome::Delivered);
        assert_eq!((delivered(&effects), world.counter("publications_accepted")), (vec![], 2));
    }

    #[test]
    fn the_end_of_a_session_drops_what_waits_and_what_is_under_way() {
        let mut world = World::new();
        world.subscribe(1, "a");
        world.subscriber_credit(1, 1);
        world.publish("a");
        world.publish("a");
        world.detach(1);
        assert_eq!(["dropped_session_ended", "queued", "subscribers"].map(|name| world.counter(name)), [2, 0, 0]);
        assert_eq!(world.actor.bytes(), 0);
        world.settle(1, 0..1, DeliveryOutcome::Delivered);
        assert_eq!(world.detach(1), []);
        assert_eq!(delivered(&world.publish("a")), []);
    }

    #[test]
    fn the_home_ends_an_absent_session_and_the_runtime_a_lost_connection_suspends_it() {
        let mut world = World::new();
        world.subscribe(1, "a");
        world.subscriber_credit(1, 1);
        world.step(Message::Lost { connection: connection(1) });
        assert_eq!(delivered(&world.publish("a")), []);
        assert_eq!(["subscribers", "subscribers_connected"].map(|name| world.counter(name)), [1, 0]);
        world.step(Message::EndSession { session: session(1) });
        assert_eq!(["subscribers", "dropped_session_ended"].map(|name| world.counter(name)), [0, 1]);
        world.resume(1);
        assert_eq!(world.counter("unknown"), 1);
    }

    #[test]
    fn a_place_that_another_subscriber_takes_sends_nothing_of_its_predecessor() {
        let mut world = World::new();
        world.log_is_held = true;
        world.subscribe(1, "a");
        world.publish("a");
        world.detach(1);
        world.subscribe(2, "b");
        world.subscriber_credit(2, 10);
        assert_eq!(delivered(&world.answer(LogResponse::Durable { up_to: Offset(1) })), []);
    }

    #[test]
    fn shared_records_of_a_session_that_ends_go_to_another_member_in_order() {
        let mut world = World::new();
        let slots = shared_by_name(&mut world, "s", "+", QoS::ExactlyOnce);
        world.subscriber_credit(slots.0, 2);
        for (payload, qos) in [(b"1", QoS::ExactlyOnce), (b"2", QoS::AtLeastOnce), (b"3", QoS::ExactlyOnce)] {
            world.publish_as(SESSION, publish(&PublicationDraft { qos, ..draft("a") }, payload));
        }
        world.subscriber_credit(slots.1, 10);
        let effects = world.detach(slots.0);
        assert_eq!(payloads(&effects), [b"2", b"3"], "not what is under way at QoS 2 (MQTT-4.8.2-5)");
        let names = ["shared_handed_over", "redelivered", "dropped_session_ended", "accepted", "queued"];
        assert_eq!(names.map(|name| world.counter(name)), [2, 1, 1, 3, 2]);
        world.detach(slots.1);
        assert_eq!(["dropped_session_ended", "held_bytes"].map(|name| world.counter(name)), [3, 0], "nobody is left");
    }

    #[test]
    fn a_shared_record_goes_to_a_connected_member_and_waits_where_there_is_none() {
        let mut world = World::new();
        let slots = shared_by_name(&mut world, "s", "+", QoS::AtLeastOnce);
        for slot in [1, 2] {
            world.subscriber_credit(slot, 10);
        }
        world.suspend(slots.0);
        assert_eq!(delivered(&world.publish("a")), [(slots.1, "a".into())]);
        world.suspend(slots.1);
        assert_eq!(delivered(&world.publish("a")), []);
        assert_eq!(delivered(&world.resume(slots.0)), [(slots.0, "a".into())], "the first by its hash");
    }

    /// Members 1 and 2 of a Shared Subscription; the one that gets `a` first.
    fn shared_by_name(world: &mut World, share_name: &str, filter: &str, maximum_qos: QoS) -> (u32, u32) {
        for slot in [1, 2] {
            let share_name = Some(share_name.into());
            world.subscribe_with(slot, SubscriptionRequest { share_name, maximum_qos, ..request(filter) });
        }
        let group = world.actor.index.groups(filter)[0];
        let chosen = world.actor.choose_member(group, &Key::of(&publication("a"))).expect("there are members");
        if world.actor.subscribers.get(chosen.subscriber).session == session(1) { (1, 2) } else { (2, 1) }
    }

    fn payloads(effects: &[Effect]) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        for effect in effects {
            if let Effect::Deliver { deliveries, .. } = effect {
                let payload = |publication: &Publication| publication.payload().to_vec();
                payloads.extend(deliveries.iter().map(|delivery| payload(&delivery.publication)));
            }
        }
        payloads
    }
}
