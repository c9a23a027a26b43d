//! Shared Subscriptions under generated steps: every record goes to one member, at one moment to one alone, and none is lost while
//! there is a member.
//!
//! `SEED=n` replays one run.

use std::collections::{BTreeMap, BTreeSet};

use broker_partition::{
    BrokerPartition, Cursor, Effect, MemoryLog, Message, PartitionConfig, PartitionLimits, QueueWhenFull,
};
use contract::{
    Acknowledge, Actor, ConnectionAddress, CoreIndex, Credit, Delivery, DeliveryNumber, DeliveryOutcome, Effects,
    Epoch, Instant, MESSAGE_EXPIRY_NEVER, Offset, PartitionIndex, PublicationArena, PublicationDraft, PublishToken,
    Publisher, QoS, RetainHandling, SessionId, SourceIndex, SubscribeToken, SubscriptionRequest, UtcTime, WillFate,
};

const SLOTS_COUNT: usize = 5;
const FILTERS: [&str; 2] = ["a/b", "a/+"];

#[test]
fn each_record_goes_to_one_member_whoever_comes_and_goes() {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    let mut handed_over_count = 0;
    for seed in only.map_or(0..200, |seed| seed..seed + 1) {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.generated_step();
        }
        world.drain();
        handed_over_count += world.handed_over();
    }
    assert!(only.is_some() || handed_over_count > 0, "runs without a hand-over prove less");
}

#[derive(Clone, Copy, Default)]
struct Client {
    session: u64,
    generation: u32,
    is_member: bool,
    is_away: bool,
}

struct World {
    seed: u64,
    dice: u64,
    actor: BrokerPartition,
    effects: Effects<Effect>,
    log: MemoryLog,
    clients: [Client; SLOTS_COUNT],
    /// By session: deliveries under way, with the record and the Shared Subscription's identifier.
    under_way: BTreeMap<SessionId, BTreeMap<DeliveryNumber, (Offset, u32)>>,
    /// What nobody has settled yet, by record and Shared Subscription.
    owed: BTreeSet<(Offset, u32)>,
    records_count: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let limits = PartitionLimits {
            shard_bytes_max: 1 << 30,
            spill_bytes: 1 << 29,
            message_bytes_max: 1 << 20,
            subscriber_queue_count_max: 10_000,
            subscriber_queue_bytes_max: 1 << 28,
            subscriber_queue_when_full: QueueWhenFull::DropOldest,
            retained_count_max: 0,
            retained_bytes_max: 0,
            subscriptions_per_client_max: 10,
            subscriptions_count_max: 100,
            shared_subscriptions_count_max: 10,
            sessions_count_max: 100,
        };
        let (partition, epoch) = (PartitionIndex(0), Epoch(1));
        let config = PartitionConfig { partition, partitions_count: 1, epoch, flows: Vec::new(), limits };
        Self {
            seed,
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            actor: BrokerPartition::new(config),
            effects: Effects::new(BrokerPartition::EFFECTS_COUNT_MAX),
            log: MemoryLog::new(epoch, 1 << 30),
            clients: [Client::default(); SLOTS_COUNT],
            under_way: BTreeMap::new(),
            owed: BTreeSet::new(),
            records_count: 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).expect("31 bits") % end
    }

    fn generated_step(&mut self) {
        let slot = self.below(SLOTS_COUNT);
        match self.below(10) {
            0..4 => self.publish(),
            4 => self.join(slot),
            5 => self.go_or_come_back(slot),
            6 if self.below(3) == 0 => self.end(slot),
            7 => self.credit(slot),
            _ => self.settle(slot),
        }
    }

    fn publish(&mut self) {
        let has_member = self.clients.iter().any(|client| client.is_member);
        let offset = Offset(self.records_count);
        self.records_count += 1;
        if has_member {
            self.owed.extend([(offset, 1), (offset, 2)]);
        }
        let draft = PublicationDraft {
            topic_name: "a/b",
            properties: &[],
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry_s: MESSAGE_EXPIRY_NEVER,
            received_at: Instant::ZERO,
            received_utc: UtcTime::default(),
        };
        let publications = vec![PublicationArena::new(64).begin(&draft).finish(1)];
        let (publisher, acknowledge) = (Publisher::OpcUa(SourceIndex(0)), Acknowledge::Accepted);
        self.step(Message::Publish { publisher, token: PublishToken(offset.0), publications, acknowledge });
    }

    fn join(&mut self, slot: usize) {
        let (session, connection) = self.address(slot);
        if self.clients[slot].is_away {
            return;
        }
        self.clients[slot].is_member = true;
        let request = |(identifier, filter): (u32, &&str)| SubscriptionRequest {
            topic_filter: (**filter).into(),
            share_name: Some("s".into()),
            maximum_qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
            subscription_identifier: Some(identifier),
        };
        let subscriptions = (1..).zip(&FILTERS).map(request).collect();
        self.step(Message::Subscribe { session, connection, token: SubscribeToken(0), subscriptions });
    }

    fn go_or_come_back(&mut self, slot: usize) {
        let is_away = self.clients[slot].is_away;
        self.clients[slot].is_away = !is_away;
        self.clients[slot].generation += u32::from(is_away);
        let (session, connection) = self.address(slot);
        let message =
            if is_away { Message::Resume { session, connection } } else { Message::Suspend { session, connection } };
        self.step(message);
    }

    fn end(&mut self, slot: usize) {
        let (session, connection) = self.address(slot);
        let Client { session: number, generation, .. } = self.clients[slot];
        self.clients[slot] = Client { session: number + 1, generation: generation + 1, ..Client::default() };
        self.under_way.remove(&session);
        if !self.clients.iter().any(|client| client.is_member) {
            self.owed.clear();
        }
        self.step(Message::Detach { session, connection, will: WillFate::Delete });
    }

    fn credit(&mut self, slot: usize) {
        let (session, connection) = self.address(slot);
        if !self.clients[slot].is_away {
            let credit = Credit { count: 10, bytes: u64::MAX };
            self.step(Message::SubscriberCredit { session, connection, credit });
        }
    }

    fn settle(&mut self, slot: usize) {
        let (session, connection) = self.address(slot);
        let under_way = self.under_way.get_mut(&session).filter(|_| !self.clients[slot].is_away);
        let Some((number, record)) = under_way.and_then(BTreeMap::pop_first) else { return };
        assert!(self.owed.remove(&record), "seed={}: {record:?} is settled once", self.seed);
        let numbers = vec![number..number.next()];
        self.step(Message::DeliveriesSettled { session, connection, numbers, outcome: DeliveryOutcome::Delivered });
    }

    fn drain(&mut self) {
        let has_member = self.clients.iter().any(|client| client.is_member);
        for slot in 0..SLOTS_COUNT {
            if self.clients[slot].is_away {
                self.go_or_come_back(slot);
            }
        }
        while has_member && !self.owed.is_empty() {
            let before = self.owed.len();
            for slot in 0..SLOTS_COUNT {
                self.credit(slot);
                for _ in 0..20 {
                    self.settle(slot);
                }
            }
            assert!(self.owed.len() < before, "seed={}: lost {:?}", self.seed, self.owed);
        }
        for slot in 0..SLOTS_COUNT {
            self.end(slot);
        }
        assert_eq!(self.actor.bytes(), 0, "seed={}", self.seed);
    }

    fn handed_over(&self) -> u64 {
        let mut found = 0;
        contract::Counters::visit_counters(&self.actor, &mut |name, value| {
            found += if name == "shared_handed_over" { value } else { 0 };
        });
        found
    }

    fn step(&mut self, message: Message) {
        self.actor.handle(message, Instant::ZERO, &mut self.effects);
        let mut answers = Vec::new();
        while let Some(effect) = self.effects.pop() {
            if let Effect::Deliver { connection, deliveries } = effect {
                self.take_deliveries(connection, &deliveries);
            } else if let Effect::Log(request) = effect {
                answers.extend(self.log.handle(request));
            }
        }
        self.effects.drain_observations();
        let mut accepted = 0;
        let mut settled = 0;
        for account in self.actor.ledgers() {
            assert!(account.ledger.balances(account.queued), "seed={} {account:?}", self.seed);
            if account.cursor != Cursor::Intake {
                accepted += account.ledger.accepted;
                settled += account.ledger.delivered + account.ledger.dropped_sum();
            }
        }
        assert!(accepted - settled <= self.owed.len() as u64, "seed={}: nothing is held twice", self.seed);
        for answer in answers {
            self.step(Message::Log(answer));
        }
    }

    fn take_deliveries(&mut self, connection: ConnectionAddress, deliveries: &[Delivery]) {
        let slot = connection.slot as usize;
        let (session, address) = self.address(slot);
        assert_eq!((connection, self.clients[slot].is_away), (address, false), "seed={}", self.seed);
        for delivery in deliveries {
            let record = (delivery.offset.expect("of the log"), delivery.subscription_identifiers[0]);
            let has = |of: &BTreeMap<_, (Offset, u32)>| of.values().any(|other| *other == record);
            assert!(!self.under_way.values().any(has), "seed={}: {record:?} is at two", self.seed);
            assert!(self.owed.contains(&record), "seed={}: {record:?} was settled", self.seed);
            self.under_way.entry(session).or_default().insert(delivery.number, record);
        }
    }

    fn address(&self, slot: usize) -> (SessionId, ConnectionAddress) {
        let Client { session, generation, .. } = self.clients[slot];
        let number = session * SLOTS_COUNT as u64 + slot as u64;
        let slot = u32::try_from(slot).expect("a few");
        let connection = ConnectionAddress { core: CoreIndex(0), slot, generation };
        (SessionId { home: PartitionIndex(7), number }, connection)
    }
}
