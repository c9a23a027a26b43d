//! One visible record: who gets it.

use contract::{Effects, Hop, Instant, Offset, Publication, Publisher, QoS, SessionId};

use crate::effect::{Effect, Report};
use crate::records::{RecordIndex, WatchIndex};
use crate::retained::{Retained, RetainedLimits};
use crate::shared_groups::Key;
use crate::state::BrokerPartition;
use crate::subscriber::{NO_GROUP, Waiting};
use crate::subscription::SubscriptionEntry;
use crate::subscription_index::Matches;

/// Who published a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) publisher: Publisher,
    /// Its session, where its connection does not say it.
    pub(crate) session: Option<SessionId>,
}

impl BrokerPartition {
    /// Retains the publication if it asks for it, and queues it for the flows and subscribers that it matches.
    pub(crate) fn route(
        &mut self,
        publication: Publication,
        offset: Offset,
        source: Source,
        watch: Option<u32>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let points_count = publication.points_count().max(1);
        effects.observe_since(Hop::ReceivedToAccepted, publication.received_at(), now, points_count);
        if publication.retain() {
            self.retain(&publication, now, effects);
        }
        let mut matches = std::mem::take(&mut self.matches);
        self.index.find(publication.topic_name(), &mut matches);
        if !matches.is_empty() {
            let record = self.records.insert(publication, Some(offset), now, watch.map(WatchIndex));
            self.queue_for_flows(record, watch, &matches);
            self.queue_for_subscribers(record, source, &matches.entries);
            self.queue_for_groups(record, &matches.groups);
            self.records.drop_unheld(record);
        }
        self.matches = matches;
    }

    fn queue_for_flows(&mut self, record: RecordIndex, watch: Option<u32>, matches: &Matches) {
        for position in &matches.flows {
            self.flows[usize::from(*position)].enqueue(record, &mut self.records);
        }
        if let Some(watch) = watch
            && self.records.flows_count(record) > 0
        {
            self.watches.get_mut(watch).records_count += 1;
        }
    }

    /// Queues a record once for each subscriber among `entries`, which stand by subscriber (MQTT 5.0 §3.3.4).
    fn queue_for_subscribers(&mut self, record: RecordIndex, source: Source, entries: &[SubscriptionEntry]) {
        let held = self.records.get(record);
        let (expires_at, held_qos, held_retain) = (held.expires_at, held.qos, held.retain);
        for of_one in entries.chunk_by(|left, right| left.subscriber == right.subscriber) {
            let index = of_one[0].subscriber;
            let subscriber = self.subscribers.get_mut(index);
            if subscriber.has_ended {
                continue;
            }
            // A client that does not want its own publications back (MQTT-3.8.3-3).
            let is_own = || {
                source.session == Some(subscriber.session)
                    || subscriber.connection.map(Publisher::Connection) == Some(source.publisher)
            };
            let (mut maximum_qos, mut retain_as_published) = (None::<QoS>, false);
            for SubscriptionEntry { options, .. } in of_one {
                if options.no_local() && is_own() {
                    continue;
                }
                maximum_qos = maximum_qos.max(Some(options.maximum_qos()));
                retain_as_published |= options.retain_as_published();
                self.identifiers.extend(options.identifier());
            }
            let Some(maximum_qos) = maximum_qos else { continue };
            let waiting = Waiting {
                record,
                group: NO_GROUP,
                qos: held_qos.min(maximum_qos),
                retain: held_retain && retain_as_published,
                identifiers: take_identifiers(&mut self.identifiers),
            };
            subscriber.enqueue(waiting, &self.limits, &mut self.records);
            self.note_queue(index, expires_at);
        }
    }

    /// Queues a record for one member of each Shared Subscription.
    fn queue_for_groups(&mut self, record: RecordIndex, groups: &[u32]) {
        if groups.is_empty() {
            return;
        }
        let publication = self.records.get(record).publication.clone();
        let key = Key::of(&publication);
        for group in groups {
            if let Some(entry) = self.choose_member(*group, &key) {
                self.enqueue_shared(entry, *group, record);
            }
        }
    }

    fn retain(&mut self, publication: &Publication, now: Instant, effects: &mut Effects<Effect>) {
        let limits = RetainedLimits {
            count_max: self.limits.retained_count_max,
            bytes_max: self.limits.retained_bytes(),
            shard_room_bytes: self.limits.shard_bytes_max.saturating_sub(self.held_bytes()),
        };
        let is_full = self.retained.put(publication, now, &limits, &mut self.records) == Retained::LeftOut;
        if is_full && !self.told.retained_is_full {
            effects.push(Effect::Report(Report::RetainedLimitReached));
        }
        self.told.retained_is_full = is_full;
    }
}

/// The Subscription Identifiers that were gathered, ascending, without repetition.
fn take_identifiers(identifiers: &mut Vec<u32>) -> Box<[u32]> {
    if identifiers.is_empty() {
        return Box::default();
    }
    identifiers.sort_unstable();
    identifiers.dedup();
    let taken = identifiers.as_slice().into();
    identifiers.clear();
    taken
}

#[cfg(test)]
mod tests {
    use contract::{Delivery, PublicationDraft, QoS, RetainHandling, SubscriptionRequest};

    use super::*;
    use crate::testing::{SESSION, World, client, delivered, draft, publication, publish, request, session};

    #[test]
    fn one_delivery_carries_the_highest_level_and_all_identifiers_of_a_client() {
        let mut world = World::new();
        world.subscriber_credit(1, 10);
        for (filter, maximum_qos, identifier) in
            [("a/#", QoS::AtMostOnce, 9), ("a/+", QoS::ExactlyOnce, 2), ("a/b", QoS::AtMostOnce, 9)]
        {
            let subscription_identifier = Some(identifier);
            world.subscribe_with(1, SubscriptionRequest { maximum_qos, subscription_identifier, ..request(filter) });
        }
        let deliveries = deliveries(&world.publish("a/b"));
        assert_eq!(deliveries.len(), 1);
        assert_eq!(*deliveries[0].subscription_identifiers, [2, 9]);
        assert_eq!(deliveries[0].qos, QoS::AtLeastOnce, "not above the publication's");
        assert_eq!(deliveries[0].offset, Some(Offset(0)));
    }

    #[test]
    fn a_client_that_wants_it_does_not_get_its_own_publications() {
        let mut world = World::new();
        world.subscriber_credit(1, 10);
        world.subscribe_with(1, SubscriptionRequest { no_local: true, ..request("a") });
        assert_eq!(delivered(&world.publish_as(client(1), publication("a"))), []);
        assert_eq!(delivered(&world.publish_as(Publisher::Will(session(1)), publication("a"))), []);
        assert_eq!(delivered(&world.publish_as(client(2), publication("a"))).len(), 1);
        assert_eq!(delivered(&world.publish_as(Publisher::Will(session(2)), publication("a"))).len(), 1);
        assert_eq!(delivered(&world.publish_as(SESSION, publication("a"))).len(), 1);
    }

    #[test]
    fn the_retain_flag_is_seen_only_as_the_subscription_asks() {
        let mut world = World::new();
        for (slot, retain_as_published) in [(1, false), (2, true)] {
            world.subscriber_credit(slot, 10);
            world.subscribe_with(slot, SubscriptionRequest { retain_as_published, ..request("a") });
        }
        let effects = world.publish_as(SESSION, retained("a", b"1"));
        let mut flags: Vec<_> = deliveries(&effects).iter().map(|delivery| delivery.retain).collect();
        flags.sort_unstable();
        assert_eq!(flags, [false, true]);
        let mut flags: Vec<_> = deliveries(&world.publish("a")).iter().map(|delivery| delivery.retain).collect();
        flags.dedup();
        assert_eq!(flags, [false]);
    }

    #[test]
    fn retained_messages_are_replayed_in_topic_order_after_the_answer() {
        let mut world = World::new();
        for topic_name in ["a/c", "a", "b/x", "a/b", "$a/b"] {
            world.publish_as(SESSION, retained(topic_name, b"old"));
            world.publish_as(SESSION, retained(topic_name, b"new"));
        }
        world.publish_as(SESSION, retained("a/b", b""));
        world.subscriber_credit(1, 2);
        let request = SubscriptionRequest { subscription_identifier: Some(4), ..request("#") };
        let effects = world.subscribe_with(1, request);
        assert!(matches!(effects[0], Effect::Subscribed { .. }));
        let sent = deliveries(&effects);
        let seen: Vec<_> = sent.iter().map(|each| (each.publication.topic_name_str(), each.offset)).collect();
        assert_eq!(seen, [("a", None), ("a/c", None)]);
        assert!(sent.iter().all(|each| each.retain && each.publication.payload() == b"new"));
        assert_eq!(*sent[0].subscription_identifiers, [4]);
        assert_eq!(delivered(&world.subscriber_credit(1, 2)), [(1, "b/x".to_owned())]);
    }

    #[test]
    fn retain_handling_decides_when_retained_messages_are_sent() {
        let mut world = World::new();
        world.publish_as(SESSION, retained("a", b"1"));
        world.subscriber_credit(1, 100);
        let mut sent_count = |filter, retain_handling| {
            let request = SubscriptionRequest { retain_handling, ..request(filter) };
            deliveries(&world.subscribe_with(1, request)).len()
        };
        assert_eq!(sent_count("a", RetainHandling::DoNotSend), 0);
        assert_eq!(sent_count("a", RetainHandling::SendIfNew), 0);
        assert_eq!(sent_count("+", RetainHandling::SendIfNew), 1);
        assert_eq!(sent_count("a", RetainHandling::Send), 1);
    }

    #[test]
    fn what_finds_no_room_is_delivered_but_not_retained_and_leaves_no_older_value() {
        let mut world = World::with(|limits| {
            limits.retained_count_max = 2;
            limits.retained_bytes_max = 300;
        });
        world.subscriber_credit(1, 100);
        world.subscribe(1, "#");
        let is_report = |effect: &Effect| *effect == Effect::Report(Report::RetainedLimitReached);
        for topic_name in ["a", "b"] {
            assert!(!world.publish_as(SESSION, retained(topic_name, b"1")).iter().any(is_report));
        }
        let effects = world.publish_as(SESSION, retained("c", b"1"));
        assert_eq!((deliveries(&effects).len(), effects.iter().filter(|each| is_report(each)).count()), (1, 1));
        assert!(!world.publish_as(SESSION, retained("d", b"1")).iter().any(is_report), "told once");
        world.publish_as(SESSION, retained("a", &[7; 300]));
        assert_eq!(["retained_messages", "retained_left_out"].map(|name| world.counter(name)), [1, 3]);
        assert_eq!(deliveries(&world.subscribe(1, "#")).len(), 1);
    }

    #[test]
    fn retained_messages_expire() {
        let mut world = World::new();
        let expiring = PublicationDraft { retain: true, message_expiry_s: 10, ..draft("a") };
        world.publish_as(SESSION, publish(&expiring, b"1"));
        let bytes = world.actor.bytes();
        assert!(bytes > 0);
        world.wait(std::time::Duration::from_secs(9));
        assert_eq!(world.actor.bytes(), bytes);
        world.wait(std::time::Duration::from_secs(1));
        assert_eq!((world.actor.bytes(), world.counter("retained_expired")), (0, 1));
        assert_eq!(contract::Actor::poll_timeout(&world.actor), None);
    }

    #[test]
    fn subscribers_together_hold_no_more_than_half_of_the_threshold() {
        let size = publication("a").size_bytes() as u64;
        let mut world = World::with(|limits| limits.spill_bytes = size * 40);
        world.subscribe(1, "a");
        for slot in 2..9 {
            world.subscribe(slot, "+");
        }
        for _ in 0..100 {
            world.publish("a");
            assert!(world.actor.bytes() <= size * 20, "{}", world.actor.bytes());
        }
        assert!(!world.actor.is_under_pressure());
        assert!(world.counter("dropped_queue_full") > 0);
        world.detach(1);
    }

    fn deliveries(effects: &[Effect]) -> Vec<Delivery> {
        let mut all = Vec::new();
        for effect in effects {
            if let Effect::Deliver { deliveries, .. } = effect {
                all.extend(deliveries.iter().cloned());
            }
        }
        all
    }

    fn retained(topic_name: &str, payload: &[u8]) -> Publication {
        publish(&PublicationDraft { retain: true, qos: QoS::AtMostOnce, ..draft(topic_name) }, payload)
    }
}
