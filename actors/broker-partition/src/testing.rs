//! What the tests lean on: a partition with its log, on virtual time.

use std::ops::Range;
use std::time::Duration;

use contract::{
    Acknowledge, Actor, ConnectionAddress, CoreIndex, Credit, DeliveryNumber, DeliveryOutcome, Effects, Epoch,
    FlowIndex, Instant, LogRequest, LogResponse, MESSAGE_EXPIRY_NEVER, Offset, PartitionIndex, Publication,
    PublicationArena, PublicationDraft, PublishToken, Publisher, QoS, RetainHandling, SessionId, SourceIndex,
    SubscribeToken, SubscriptionRequest, UtcTime, WillFate,
};

use crate::{
    BrokerPartition, Effect, FlowOutcome, FlowSource, MemoryLog, Message, PartitionConfig, PartitionLimits,
    QueueWhenFull,
};

pub(crate) const PARTITION: PartitionIndex = PartitionIndex(2);
pub(crate) const PARTITIONS_COUNT: u16 = 4;
pub(crate) const EPOCH: Epoch = Epoch(5);
pub(crate) const FLOW: FlowIndex = FlowIndex(3);
pub(crate) const SESSION: Publisher = Publisher::OpcUa(SourceIndex(0));
pub(crate) const TOKEN: SubscribeToken = SubscribeToken(1);

/// A partition whose flow takes `f/#`, with a log that answers at once unless it is held.
pub(crate) struct World {
    pub(crate) actor: BrokerPartition,
    pub(crate) log: MemoryLog,
    /// Requests stay unanswered while it is true.
    pub(crate) log_is_held: bool,
    /// All that the log was asked.
    pub(crate) log_requests: Vec<LogRequest>,
    pub(crate) now: Instant,
    effects: Effects<Effect>,
    tokens_count: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With limits changed by `change`.
    pub(crate) fn with(change: impl FnOnce(&mut PartitionLimits)) -> Self {
        Self::with_flows(&[(FLOW, &["f/#"])], change)
    }

    pub(crate) fn with_flows(flows: &[(FlowIndex, &[&str])], change: impl FnOnce(&mut PartitionLimits)) -> Self {
        let mut limits = PartitionLimits {
            shard_bytes_max: 1_000_000,
            spill_bytes: 750_000,
            message_bytes_max: 10_000,
            subscriber_queue_count_max: 100,
            subscriber_queue_bytes_max: 100_000,
            subscriber_queue_when_full: QueueWhenFull::DropOldest,
            retained_count_max: 100,
            retained_bytes_max: 100_000,
            subscriptions_per_client_max: 10,
            subscriptions_count_max: 50,
            shared_subscriptions_count_max: 10,
            sessions_count_max: 10,
        };
        change(&mut limits);
        let source = |(flow, filters): &(FlowIndex, &[&str])| FlowSource {
            flow: *flow,
            topic_filters: filters.iter().map(|filter| Box::from(*filter)).collect(),
        };
        let flows = flows.iter().map(source).collect();
        let config =
            PartitionConfig { partition: PARTITION, partitions_count: PARTITIONS_COUNT, epoch: EPOCH, flows, limits };
        let mut world = Self {
            actor: BrokerPartition::new(config),
            log: MemoryLog::new(EPOCH, u64::MAX),
            log_is_held: false,
            log_requests: Vec::new(),
            now: Instant::ZERO,
            effects: Effects::new(BrokerPartition::EFFECTS_COUNT_MAX),
            tokens_count: 0,
        };
        world.step(Message::Start);
        world
    }

    /// One message, and the log's answers to what follows; effects for others, in order.
    pub(crate) fn step(&mut self, message: Message) -> Vec<Effect> {
        self.actor.handle(message, self.now, &mut self.effects);
        self.drain()
    }

    /// Lets time pass, and calls the timeouts that are due.
    pub(crate) fn wait(&mut self, duration: Duration) -> Vec<Effect> {
        let end = self.now + duration;
        let mut effects = Vec::new();
        while let Some(due) = self.actor.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.actor.handle_timeout(self.now, &mut self.effects);
            effects.append(&mut self.drain());
        }
        self.now = end;
        effects
    }

    fn drain(&mut self) -> Vec<Effect> {
        let mut others = Vec::new();
        while let Some(effect) = self.effects.pop() {
            let Effect::Log(request) = effect else {
                others.push(effect);
                continue;
            };
            self.log_requests.push(request.clone());
            if !self.log_is_held
                && let Some(response) = self.log.handle(request)
            {
                others.append(&mut self.answer(response));
            }
        }
        self.effects.drain_observations();
        for account in self.actor.ledgers() {
            assert!(account.ledger.balances(account.queued), "{account:?}");
        }
        others
    }

    /// An answer of the log.
    pub(crate) fn answer(&mut self, response: LogResponse) -> Vec<Effect> {
        self.step(Message::Log(response))
    }

    /// One publication of `publisher`; tokens count from 1.
    pub(crate) fn publish_as(&mut self, publisher: Publisher, publication: Publication) -> Vec<Effect> {
        self.publish_all(publisher, vec![publication], Acknowledge::Accepted)
    }

    pub(crate) fn publish_all(
        &mut self,
        publisher: Publisher,
        publications: Vec<Publication>,
        acknowledge: Acknowledge,
    ) -> Vec<Effect> {
        self.tokens_count += 1;
        let token = PublishToken(self.tokens_count);
        self.step(Message::Publish { publisher, token, publications, acknowledge })
    }

    /// One publication of the OPC UA Session, at QoS 1.
    pub(crate) fn publish(&mut self, topic_name: &str) -> Vec<Effect> {
        self.publish_as(SESSION, publication(topic_name))
    }

    pub(crate) fn subscribe(&mut self, slot: u32, topic_filter: &str) -> Vec<Effect> {
        self.subscribe_with(slot, request(topic_filter))
    }

    pub(crate) fn subscribe_with(&mut self, slot: u32, request: SubscriptionRequest) -> Vec<Effect> {
        let subscriptions = vec![request];
        self.subscribe_all(slot, subscriptions)
    }

    pub(crate) fn subscribe_all(&mut self, slot: u32, subscriptions: Vec<SubscriptionRequest>) -> Vec<Effect> {
        let (session, connection) = (session(slot), connection(slot));
        self.step(Message::Subscribe { session, connection, token: TOKEN, subscriptions })
    }

    pub(crate) fn resume(&mut self, slot: u32) -> Vec<Effect> {
        self.step(Message::Resume { session: session(slot), connection: connection(slot) })
    }

    pub(crate) fn suspend(&mut self, slot: u32) -> Vec<Effect> {
        self.step(Message::Suspend { session: session(slot), connection: connection(slot) })
    }

    pub(crate) fn detach(&mut self, slot: u32) -> Vec<Effect> {
        let (session, connection) = (session(slot), connection(slot));
        self.step(Message::Detach { session, connection, will: WillFate::Delete })
    }

    pub(crate) fn settle(&mut self, slot: u32, numbers: Range<u64>, outcome: DeliveryOutcome) -> Vec<Effect> {
        let numbers = vec![DeliveryNumber(numbers.start)..DeliveryNumber(numbers.end)];
        let (session, connection) = (session(slot), connection(slot));
        self.step(Message::DeliveriesSettled { session, connection, numbers, outcome })
    }

    pub(crate) fn subscriber_credit(&mut self, slot: u32, count: u32) -> Vec<Effect> {
        let credit = Credit { count, bytes: 1_000_000 };
        self.step(Message::SubscriberCredit { session: session(slot), connection: connection(slot), credit })
    }

    pub(crate) fn flow_credit(&mut self, count: u32) -> Vec<Effect> {
        self.step(Message::FlowCredit { flow: FLOW, credit: Credit { count, bytes: 1_000_000 } })
    }

    pub(crate) fn flow_settled(&mut self, offsets: std::ops::Range<u64>, outcome: FlowOutcome) -> Vec<Effect> {
        let offsets = vec![Offset(offsets.start)..Offset(offsets.end)];
        self.step(Message::FlowSettled { flow: FLOW, epoch: EPOCH, offsets, outcome })
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        let mut found = None;
        contract::Counters::visit_counters(&self.actor, &mut |each, value| {
            if each == name {
                assert_eq!(found.replace(value), None, "{name} is visited once");
            }
        });
        found.unwrap_or_else(|| panic!("no counter {name}"))
    }
}

/// What the deliveries among `effects` carry: connection slot, Topic Name.
pub(crate) fn delivered(effects: &[Effect]) -> Vec<(u32, String)> {
    let mut delivered = Vec::new();
    for effect in effects {
        if let Effect::Deliver { connection, deliveries } = effect {
            let name = |publication: &Publication| publication.topic_name_str().to_owned();
            delivered.extend(deliveries.iter().map(|each| (connection.slot, name(&each.publication))));
        }
    }
    delivered
}

/// The offsets that flows are sent among `effects`.
pub(crate) fn flow_offsets(effects: &[Effect]) -> Vec<u64> {
    let mut offsets = Vec::new();
    for effect in effects {
        if let Effect::FlowRecords { records, .. } = effect {
            offsets.extend(records.iter().map(|record| record.offset.0));
        }
    }
    offsets
}

/// The tokens accepted among `effects`.
pub(crate) fn accepted(effects: &[Effect]) -> Vec<u64> {
    let token = |effect: &Effect| if let Effect::Accepted { token, .. } = effect { Some(token.0) } else { None };
    effects.iter().filter_map(token).collect()
}

pub(crate) fn connection(slot: u32) -> ConnectionAddress {
    ConnectionAddress { core: CoreIndex(0), slot, generation: 0 }
}

/// The session that the connection of this slot has. Its home is another partition.
pub(crate) fn session(slot: u32) -> SessionId {
    SessionId { home: PartitionIndex(1), number: slot.into() }
}

pub(crate) fn client(slot: u32) -> Publisher {
    Publisher::Connection(connection(slot))
}

/// QoS 1, no options.
pub(crate) fn request(topic_filter: &str) -> SubscriptionRequest {
    SubscriptionRequest {
        topic_filter: topic_filter.into(),
        share_name: None,
        maximum_qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
        subscription_identifier: None,
    }
}

/// A publication at QoS 1, payload "1".
pub(crate) fn publication(topic_name: &str) -> Publication {
    publish(&draft(topic_name), b"1")
}

/// A publication with this payload.
pub(crate) fn publish(draft: &PublicationDraft<'_>, payload: &[u8]) -> Publication {
    let mut arena = PublicationArena::new(256);
    let mut builder = arena.begin(draft);
    builder.put(payload);
    builder.finish(1)
}

/// QoS 1, not retained, never expires, received at the start.
pub(crate) fn draft(topic_name: &str) -> PublicationDraft<'_> {
    PublicationDraft {
        topic_name,
        properties: &[],
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: Instant::ZERO,
        received_utc: UtcTime::default(),
    }
}
