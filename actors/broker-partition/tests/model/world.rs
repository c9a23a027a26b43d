//! A partition, its log, and all who speak to it: their state, and what they check of each effect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use broker_partition::{
    BrokerPartition, Cursor, Effect, FlowSource, MemoryLog, Message, PartitionConfig, PartitionLimits, QueueWhenFull,
};
use contract::{
    Actor, ConnectionAddress, CoreIndex, Counters, Credit, DeliveryNumber, Effects, Epoch, FlowIndex, Instant,
    LogRequest, Offset, PartitionIndex, Publication, PublishToken, Publisher, QoS, Record, SessionId,
};

use crate::dice::Dice;
use crate::reference::{FLOWS, Reference, filters_of, takes};

pub(crate) const EPOCH: Epoch = Epoch(5);
pub(crate) const SLOTS_COUNT: u32 = 4;

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) dice: Dice,
    pub(crate) now: Instant,
    pub(crate) actor: BrokerPartition,
    pub(crate) effects: Effects<Effect>,
    pub(crate) limits: PartitionLimits,
    pub(crate) log: MemoryLog,
    pub(crate) log_requests: VecDeque<LogRequest>,
    pub(crate) is_healed: bool,
    pub(crate) reference: Reference,
    /// Publications that are not answered, by publisher and token.
    pub(crate) unanswered: BTreeMap<Publisher, VecDeque<(PublishToken, Vec<Publication>)>>,
    pub(crate) awaits_suspended: BTreeSet<ConnectionAddress>,
    pub(crate) awaits_delivered: BTreeSet<(Publisher, PublishToken)>,
    pub(crate) tokens_count: u64,
    pub(crate) clients: [Client; SLOTS_COUNT as usize],
    /// Publications of connections that ended: visible one day, or taken out, without an answer.
    pub(crate) silent: BTreeMap<Vec<u8>, SessionId>,
    pub(crate) silent_count: u64,
    pub(crate) durable_up_to: Offset,
    /// Of every connection that published.
    pub(crate) sessions: BTreeMap<ConnectionAddress, SessionId>,
    /// Deliveries under way.
    pub(crate) under_way: BTreeMap<SessionId, BTreeSet<DeliveryNumber>>,
    pub(crate) next_numbers: BTreeMap<SessionId, DeliveryNumber>,
    pub(crate) credits: BTreeMap<SessionId, Credit>,
    pub(crate) flows: BTreeMap<FlowIndex, Flow>,
    /// By offset, the newest that the log was asked to store.
    pub(crate) appended: BTreeMap<Offset, Publication>,
    pub(crate) released_up_to: Offset,
    pub(crate) held_back_count: u64,
    pub(crate) log_failures_count: u64,
    pub(crate) has_stopped: bool,
}

#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) credit: Credit,
    pub(crate) last: Option<Offset>,
    pub(crate) under_way: BTreeSet<Offset>,
    pub(crate) settled: BTreeSet<Offset>,
}

/// The client of a slot: its connections, one after the other, and the sessions that they have.
#[derive(Clone, Copy, Default)]
pub(crate) struct Client {
    pub(crate) session: u64,
    pub(crate) generation: u32,
    pub(crate) is_away: bool,
    /// Its queue may have dropped records whatever the policy.
    pub(crate) was_away: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let limits = PartitionLimits {
            shard_bytes_max: 3_000,
            spill_bytes: 2_000,
            message_bytes_max: 400,
            subscriber_queue_count_max: 12,
            subscriber_queue_bytes_max: 1_000,
            subscriber_queue_when_full: [QueueWhenFull::DropOldest, QueueWhenFull::BackPressure]
                [usize::from(seed % 2 == 1)],
            retained_count_max: 3,
            retained_bytes_max: 300,
            subscriptions_per_client_max: 5,
            subscriptions_count_max: 15,
            shared_subscriptions_count_max: 5,
            sessions_count_max: 100,
        };
        let source = |(flow, filters): &(FlowIndex, &[&str])| FlowSource {
            flow: *flow,
            topic_filters: filters.iter().map(|filter| Box::from(*filter)).collect(),
        };
        let flows = FLOWS.iter().map(source).collect();
        let mut world = Self {
            seed,
            dice: Dice::new(seed),
            now: Instant::ZERO,
            actor: BrokerPartition::new(PartitionConfig {
                partition: PartitionIndex(0),
                partitions_count: 1,
                epoch: EPOCH,
                flows,
                limits,
            }),
            effects: Effects::new(BrokerPartition::EFFECTS_COUNT_MAX),
            limits,
            log: MemoryLog::new(EPOCH, if seed.is_multiple_of(3) { 1_000 } else { 100_000 }),
            log_requests: VecDeque::new(),
            is_healed: false,
            reference: Reference::default(),
            unanswered: BTreeMap::new(),
            awaits_suspended: BTreeSet::new(),
            awaits_delivered: BTreeSet::new(),
            tokens_count: 0,
            clients: [Client::default(); SLOTS_COUNT as usize],
            silent: BTreeMap::new(),
            silent_count: 0,
            durable_up_to: Offset(0),
            sessions: BTreeMap::new(),
            under_way: BTreeMap::new(),
            next_numbers: BTreeMap::new(),
            credits: BTreeMap::new(),
            flows: FLOWS.iter().map(|(flow, _)| (*flow, Flow::default())).collect(),
            appended: BTreeMap::new(),
            released_up_to: Offset(0),
            held_back_count: 0,
            log_failures_count: 0,
            has_stopped: false,
        };
        world.step(Message::Start);
        world
    }

    pub(crate) fn heal_and_drain(&mut self) {
        self.is_healed = true;
        for _ in 0..3_000 {
            let slot = self.some_slot();
            self.come_back(slot);
            match self.dice.below(6) {
                0 => self.credit_subscriber(),
                1 => self.settle_deliveries(),
                2 => self.credit_flow(),
                3 => self.settle_flow(),
                4 => self.pass_time(),
                _ => self.answer_of_log(),
            }
        }
        let seed = self.seed;
        let unanswered: Vec<_> = self.unanswered.values().flatten().map(|(token, _)| token).collect();
        assert!(unanswered.is_empty(), "seed={seed}: {unanswered:?}");
        assert!(self.awaits_delivered.is_empty(), "seed={seed}: {:?}", self.awaits_delivered);
        assert!(self.awaits_suspended.is_empty(), "seed={seed}: {:?}", self.awaits_suspended);
        for (flow, known) in &self.flows {
            let expected: BTreeSet<Offset> = self.reference.records_of(filters_of(*flow)).collect();
            assert_eq!(known.settled, expected, "seed={seed} flow {flow}: nothing accepted is lost");
        }
        assert_eq!(self.log.count(), 0, "seed={seed}: the log may forget all");
        self.step(Message::Stop);
        assert!(self.has_stopped, "seed={seed}");
        for slot in 0..SLOTS_COUNT {
            self.end(slot);
        }
        let mut retained_bytes = None;
        self.actor.visit_counters(&mut |name, value| {
            if name == "retained_bytes" {
                retained_bytes = Some(value);
            }
        });
        assert_eq!(Some(self.actor.bytes()), retained_bytes, "seed={seed}: nothing else is held");
        for _ in 0..200 {
            self.generated_step();
        }
    }

    pub(crate) fn step(&mut self, message: Message) {
        self.actor.handle(message, self.now, &mut self.effects);
        self.after_step();
    }

    pub(crate) fn after_step(&mut self) {
        while let Some(effect) = self.effects.pop() {
            self.take(effect);
        }
        self.show_silent();
        self.effects.drain_observations();
        let seed = self.seed;
        for account in self.actor.ledgers() {
            assert!(account.ledger.balances(account.queued), "seed={seed} {account:?}");
            if let Cursor::Subscriber(session) = account.cursor {
                let (expected, of_log) = self.reference.expected(session);
                let lost = account.ledger.dropped_sum() + account.ledger.expired;
                let under_way = self.under_way.get(&session).map_or(0, BTreeSet::len) as u64;
                assert!(account.queued <= expected + under_way, "seed={seed}: queued {} of {expected}", account.queued);
                assert!(account.queued + lost >= of_log, "seed={seed} {account:?} {of_log}");
            }
        }
        // What Sessions have under way comes on top: they are never refused.
        let sessions_bytes = 6 * 3 * 500;
        assert!(self.actor.bytes() <= self.limits.shard_bytes_max + sessions_bytes, "seed={seed}");
        self.held_back_count += u64::from(self.actor.is_under_pressure());
    }

    fn take(&mut self, effect: Effect) {
        let seed = self.seed;
        match effect {
            Effect::Log(request) => self.take_log_request(request),
            Effect::Accepted { publisher, token } => {
                let publications = self.answered(publisher, token);
                self.show_silent_before(publications.first());
                let session = self.session_of(publisher);
                self.reference.accepted(session, &publications, &self.appended);
            }
            Effect::Refused { publisher, token, .. } => {
                self.answered(publisher, token);
                assert!(matches!(publisher, Publisher::Connection(_)), "seed={seed}: a Session is never refused");
                self.awaits_delivered.remove(&(publisher, token));
            }
            Effect::Delivered { publisher, token } => {
                assert!(self.awaits_delivered.remove(&(publisher, token)), "seed={seed}: told once, where asked");
            }
            Effect::Attached { .. }
            | Effect::AttachRefused { .. }
            | Effect::TakenOver { .. }
            | Effect::EndSession { .. }
            | Effect::PublishWill { .. } => panic!("seed={seed}: nobody attached"),
            Effect::Suspended { connection } => self.suspended(connection),
            Effect::Subscribed { results, .. } => {
                self.reference.subscribed(&results, &self.limits, self.now);
            }
            Effect::Unsubscribed { existed, .. } => {
                assert_eq!(Some(existed[0]), self.reference.existed.take(), "seed={seed}");
            }
            Effect::Deliver { connection, deliveries } => {
                assert!(!deliveries.is_empty(), "seed={seed}");
                assert_eq!(connection, self.connection(connection.slot), "seed={seed}: to the newest connection");
                self.show_silent();
                let client = self.clients[connection.slot as usize];
                assert!(!client.is_away, "seed={seed}");
                let session = self.session(connection.slot);
                for delivery in deliveries {
                    self.credits
                        .get_mut(&session)
                        .expect("credit comes first")
                        .spend(delivery.publication.size_bytes() as u64);
                    let next = self.next_numbers.entry(session).or_default();
                    assert_eq!(delivery.number, *next, "seed={seed}: without gaps");
                    *next = next.next();
                    self.under_way.entry(session).or_default().insert(delivery.number);
                    assert!(!delivery.publication.is_expired(self.now), "seed={seed}: expired records are not sent");
                    let drops = self.limits.subscriber_queue_when_full == QueueWhenFull::DropOldest;
                    self.reference.delivered(session, &delivery, drops || client.was_away, self.now, seed);
                }
            }
            Effect::FlowReset { .. } | Effect::Report(_) => {}
            Effect::FlowRecords { flow, epoch, records } => {
                assert_eq!(epoch, EPOCH);
                self.take_flow_records(flow, &records);
            }
            Effect::Stopped => {
                assert!(!self.has_stopped, "seed={seed}: told once");
                self.has_stopped = true;
            }
        }
    }

    fn take_log_request(&mut self, request: LogRequest) {
        match &request {
            LogRequest::Append(records) => {
                assert!(!records.is_empty(), "seed={}", self.seed);
                for Record { offset, publication } in records {
                    let known = self.appended.entry(*offset).or_insert_with(|| publication.clone());
                    assert_eq!(known, publication, "seed={}: a number names one record for ever", self.seed);
                }
            }
            LogRequest::Release { up_to } => {
                assert!(*up_to > self.released_up_to, "seed={}: a release moves on", self.seed);
                for (offset, publication) in self.appended.range(self.released_up_to..*up_to) {
                    for (flow, known) in &self.flows {
                        let is_taken = takes(*flow, publication.topic_name());
                        assert!(!is_taken || known.settled.contains(offset), "seed={}: {offset} is needed", self.seed);
                    }
                }
                self.released_up_to = *up_to;
            }
            LogRequest::Read { .. } => panic!("seed={}: nothing is read back", self.seed),
        }
        self.log_requests.push_back(request);
    }

    fn take_flow_records(&mut self, flow: FlowIndex, records: &[Record]) {
        let known = self.flows.get_mut(&flow).expect("one of ours");
        for record in records {
            known.credit.spend(record.publication.size_bytes() as u64);
            assert!(known.last < Some(record.offset), "seed={}: in the order of the log", self.seed);
            known.last = Some(record.offset);
            assert!(takes(flow, record.publication.topic_name()), "seed={}", self.seed);
            assert_eq!(self.appended[&record.offset], record.publication, "seed={}", self.seed);
            assert!(!known.settled.contains(&record.offset), "seed={}: settled once", self.seed);
            known.under_way.insert(record.offset);
        }
    }

    /// Takes the publications of an answer, which must be the publisher's oldest.
    fn answered(&mut self, publisher: Publisher, token: PublishToken) -> Vec<Publication> {
        let oldest = self.unanswered.get_mut(&publisher).and_then(VecDeque::pop_front);
        let (expected, publications) = oldest.expect("something is unanswered");
        assert_eq!(token, expected, "seed={}: answers come in the order of tokens", self.seed);
        publications
    }

    /// The last word to a connection: what it has not been told of by here stays untold.
    fn suspended(&mut self, connection: ConnectionAddress) {
        let seed = self.seed;
        assert_eq!(connection, self.connection(connection.slot), "seed={seed}");
        assert!(self.awaits_suspended.remove(&connection), "seed={seed}: told once");
        let publisher = Publisher::Connection(connection);
        let session = self.session(connection.slot);
        for (token, publications) in self.unanswered.remove(&publisher).unwrap_or_default() {
            self.awaits_delivered.remove(&(publisher, token));
            for publication in publications.iter().filter(|each| each.qos() != QoS::ExactlyOnce) {
                self.silent.insert(publication.as_bytes().to_vec(), session);
            }
        }
    }

    /// Tells the reference of silent publications that stand in the log before one that was accepted.
    fn show_silent_before(&mut self, accepted: Option<&Publication>) {
        while let Some(publication) = self.appended.get(&self.reference.next_offset).cloned()
            && Some(&publication) != accepted
            && let Some(session) = self.silent.remove(&publication.as_bytes()[..])
        {
            self.silent_count += 1;
            self.reference.accepted(Some(session), &[publication], &self.appended);
        }
    }

    /// Tells the reference of silent publications that are durable.
    fn show_silent(&mut self) {
        while self.reference.next_offset < self.durable_up_to
            && let Some(publication) = self.appended.get(&self.reference.next_offset).cloned()
            && let Some(session) = self.silent.remove(&publication.as_bytes()[..])
        {
            self.silent_count += 1;
            self.reference.accepted(Some(session), &[publication], &self.appended);
        }
    }

    pub(crate) fn some_slot(&mut self) -> u32 {
        self.dice.number(SLOTS_COUNT as usize) - 1
    }

    pub(crate) fn flow(&mut self, flow: FlowIndex) -> &mut Flow {
        self.flows.get_mut(&flow).expect("one of ours")
    }

    pub(crate) fn connection(&self, slot: u32) -> ConnectionAddress {
        ConnectionAddress { core: CoreIndex(0), slot, generation: self.clients[slot as usize].generation }
    }

    /// The session of a slot's client; its home is elsewhere.
    pub(crate) fn session(&self, slot: u32) -> SessionId {
        let number = self.clients[slot as usize].session * u64::from(SLOTS_COUNT) + u64::from(slot);
        SessionId { home: PartitionIndex(7), number }
    }

    fn session_of(&self, publisher: Publisher) -> Option<SessionId> {
        match publisher {
            Publisher::Connection(connection) => Some(self.sessions[&connection]),
            Publisher::OpcUa(_) | Publisher::Will(_) | Publisher::Server => None,
        }
    }
}
