//! A partition under generated steps against a small reference: who must get what, in which order; the conservation law
//! after every step; nothing accepted is lost; the log is never told to forget what a flow still needs.
//!
//! `SEED=n` replays one run.

mod dice;
mod reference;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use broker_partition::{
    BrokerPartition, Cursor, Effect, FlowOutcome, FlowSource, MemoryLog, Message, PartitionConfig, PartitionLimits,
    QueueWhenFull,
};
use contract::{
    Acknowledge, Actor, ConnectionAddress, CoreIndex, Counters, Credit, DeliveryNumber, DeliveryOutcome, Effects,
    Epoch, FlowIndex, Instant, LogFailure, LogRequest, LogResponse, Offset, PartitionIndex, Publication, PublishToken,
    Publisher, Record, SourceIndex, SubscribeToken,
};
use dice::Dice;
use reference::{FLOWS, Reference, filters_of, ranges, takes};

const EPOCH: Epoch = Epoch(5);
const STEPS_COUNT: usize = 1_500;
const SEEDS_COUNT: u64 = 200;
const SLOTS_COUNT: u32 = 4;
const TOPIC_NAMES: [&str; 6] = ["a", "a/b", "a/c", "b/b", "$x", "c"];
const FILTERS: [&str; 8] = ["#", "a/#", "a/+", "+/b", "a/b", "$x", "+", "c"];

#[test]
fn whatever_comes_the_partition_does_as_the_reference_says() {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    let mut sums = BTreeMap::new();
    for seed in only.map_or(0..SEEDS_COUNT, |seed| seed..seed + 1) {
        let mut world = World::new(seed);
        for _ in 0..STEPS_COUNT {
            world.generated_step();
        }
        world.heal_and_drain();
        world.actor.visit_counters(&mut |name, value| *sums.entry(name).or_insert(0) += value);
        *sums.entry("held back").or_insert(0) += world.held_back_count;
        *sums.entry("log failed").or_insert(0) += world.log_failures_count;
    }
    if only.is_none() {
        for name in SEEN {
            assert!(sums[name] > 0, "runs that never saw `{name}` prove less: {sums:?}");
        }
    }
}

const SEEN: [&str; 14] = [
    "delivered",
    "filtered",
    "expired",
    "redelivered",
    "dropped_queue_full",
    "dropped_packet_too_large",
    "dropped_session_ended",
    "dropped_dead_letter",
    "publications_refused",
    "publications_dropped_memory_budget",
    "retained_left_out",
    "unknown",
    "held back",
    "log failed",
];

struct World {
    seed: u64,
    dice: Dice,
    now: Instant,
    actor: BrokerPartition,
    effects: Effects<Effect>,
    limits: PartitionLimits,
    log: MemoryLog,
    log_requests: VecDeque<LogRequest>,
    is_healed: bool,
    reference: Reference,
    /// Publications that are not answered, by publisher and token.
    unanswered: BTreeMap<Publisher, VecDeque<(PublishToken, Vec<Publication>)>>,
    awaits_delivered: BTreeSet<(Publisher, PublishToken)>,
    tokens_count: u64,
    generations: [u32; SLOTS_COUNT as usize],
    /// Deliveries under way.
    under_way: BTreeMap<ConnectionAddress, BTreeSet<DeliveryNumber>>,
    next_numbers: BTreeMap<ConnectionAddress, DeliveryNumber>,
    credits: BTreeMap<ConnectionAddress, Credit>,
    flows: BTreeMap<FlowIndex, Flow>,
    /// By offset, the newest that the log was asked to store.
    appended: BTreeMap<Offset, Publication>,
    released_up_to: Offset,
    held_back_count: u64,
    log_failures_count: u64,
    has_stopped: bool,
}

#[derive(Default)]
struct Flow {
    credit: Credit,
    last: Option<Offset>,
    under_way: BTreeSet<Offset>,
    settled: BTreeSet<Offset>,
}

impl World {
    fn new(seed: u64) -> Self {
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
            actor: BrokerPartition::new(PartitionConfig { partition: PartitionIndex(0), epoch: EPOCH, flows, limits }),
            effects: Effects::new(BrokerPartition::EFFECTS_COUNT_MAX),
            limits,
            log: MemoryLog::new(EPOCH, if seed.is_multiple_of(3) { 1_000 } else { 100_000 }),
            log_requests: VecDeque::new(),
            is_healed: false,
            reference: Reference::default(),
            unanswered: BTreeMap::new(),
            awaits_delivered: BTreeSet::new(),
            tokens_count: 0,
            generations: [0; SLOTS_COUNT as usize],
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

    fn generated_step(&mut self) {
        match self.dice.below(24) {
            0..6 => self.publish(),
            6 => self.subscribe(),
            7 => self.unsubscribe(),
            8 => self.credit_subscriber(),
            9..12 => self.settle_deliveries(),
            12 if self.dice.one_in(4) => self.end_connection(),
            13 => self.credit_flow(),
            14..16 => self.settle_flow(),
            16 if self.dice.one_in(8) => self.restart_flow(),
            17 if self.dice.one_in(2) => self.noise(),
            18 => self.pass_time(),
            _ => self.answer_of_log(),
        }
    }

    fn publish(&mut self) {
        let publisher = match self.dice.below(4) {
            0 => Publisher::OpcUa(SourceIndex(0)),
            _ => Publisher::Connection(self.some_connection()),
        };
        if self.unanswered.get(&publisher).is_some_and(|pending| pending.len() >= 6) {
            return;
        }
        let count = 1 + self.dice.below(3);
        let publications: Vec<_> = (0..count).map(|_| self.dice.publication(&TOPIC_NAMES, self.now)).collect();
        self.tokens_count += 1;
        let token = PublishToken(self.tokens_count);
        self.unanswered.entry(publisher).or_default().push_back((token, publications.clone()));
        let acknowledge = [Acknowledge::Accepted, Acknowledge::AcceptedAndDelivered][usize::from(self.dice.one_in(2))];
        if acknowledge == Acknowledge::AcceptedAndDelivered {
            self.awaits_delivered.insert((publisher, token));
        }
        self.step(Message::Publish { publisher, token, publications, acknowledge });
    }

    fn subscribe(&mut self) {
        let connection = self.some_connection();
        let count = 1 + self.dice.below(2);
        let requests: Vec<_> = (0..count).map(|_| self.dice.request(&FILTERS)).collect();
        self.reference.asked = Some((connection, requests.clone()));
        self.step(Message::Subscribe { connection, token: SubscribeToken(1), subscriptions: requests });
        assert!(self.reference.asked.is_none(), "seed={}: no answer", self.seed);
    }

    fn unsubscribe(&mut self) {
        let connection = self.some_connection();
        let filter = *self.dice.of(&FILTERS);
        self.reference.unsubscribe(connection, filter);
        self.step(Message::Unsubscribe { connection, token: SubscribeToken(2), topic_filters: vec![filter.into()] });
    }

    fn credit_subscriber(&mut self) {
        let connection = self.some_connection();
        let credit = Credit { count: self.dice.number(6), bytes: 400 };
        let known = self.credits.entry(connection).or_default();
        known.count += credit.count;
        known.bytes += credit.bytes;
        self.step(Message::SubscriberCredit { connection, credit });
    }

    fn settle_deliveries(&mut self) {
        let connection = self.some_connection();
        let Some(under_way) = self.under_way.get_mut(&connection) else { return };
        let numbers: Vec<DeliveryNumber> =
            under_way.iter().copied().filter(|_| self.is_healed || self.dice.one_in(2)).collect();
        under_way.retain(|number| !numbers.contains(number));
        let outcome = *self.dice.of(&[
            DeliveryOutcome::Delivered,
            DeliveryOutcome::Delivered,
            DeliveryOutcome::PacketTooLarge,
            DeliveryOutcome::Expired,
        ]);
        let numbers = ranges(numbers.into_iter().map(|number| number.0));
        let numbers = numbers.into_iter().map(|range| DeliveryNumber(range.start)..DeliveryNumber(range.end)).collect();
        self.step(Message::DeliveriesSettled { connection, numbers, outcome });
    }

    fn end_connection(&mut self) {
        let connection = self.some_connection();
        self.end(connection);
    }

    fn end(&mut self, connection: ConnectionAddress) {
        self.generations[connection.slot as usize] += 1;
        self.reference.end(connection);
        self.under_way.remove(&connection);
        self.credits.remove(&connection);
        self.step(Message::Detach { connection });
    }

    fn credit_flow(&mut self) {
        let (flow, _) = *self.dice.of(&FLOWS);
        let credit = Credit { count: self.dice.number(8), bytes: 500 };
        let known = &mut self.flow(flow).credit;
        known.count += credit.count;
        known.bytes += credit.bytes;
        self.step(Message::FlowCredit { flow, credit });
    }

    fn settle_flow(&mut self) {
        let (flow, _) = *self.dice.of(&FLOWS);
        let known = self.flows.get_mut(&flow).expect("one of ours");
        let offsets: Vec<Offset> =
            known.under_way.iter().copied().filter(|_| self.is_healed || self.dice.one_in(2)).collect();
        for offset in &offsets {
            known.under_way.remove(offset);
            assert!(known.settled.insert(*offset), "seed={}", self.seed);
        }
        let outcome = *self.dice.of(&[FlowOutcome::Delivered, FlowOutcome::Filtered, FlowOutcome::DeadLettered]);
        let offsets = ranges(offsets.into_iter().map(|offset| offset.0));
        let offsets = offsets.into_iter().map(|range| Offset(range.start)..Offset(range.end)).collect();
        self.step(Message::FlowSettled { flow, epoch: EPOCH, offsets, outcome });
    }

    fn restart_flow(&mut self) {
        let (flow, _) = *self.dice.of(&FLOWS);
        let known = self.flows.get_mut(&flow).expect("one of ours");
        known.credit = Credit::default();
        known.last = None;
        self.step(Message::FlowRestarted { flow });
    }

    /// What belongs to nothing here.
    fn noise(&mut self) {
        let connection = ConnectionAddress { core: CoreIndex(7), slot: 7, generation: 7 };
        let (flow, offsets) = (FLOWS[0].0, vec![Offset(0)..Offset(self.dice.below(50) as u64)]);
        let outcome = FlowOutcome::Delivered;
        let numbers = vec![DeliveryNumber(0)..DeliveryNumber(u64::MAX)];
        let message = match self.dice.below(8) {
            0 => Message::FlowSettled { flow, epoch: Epoch(4), offsets, outcome },
            1 => Message::FlowSettled { flow: FlowIndex(9), epoch: EPOCH, offsets, outcome },
            2 => Message::FlowCredit { flow: FlowIndex(9), credit: Credit { count: u32::MAX, bytes: u64::MAX } },
            3 => Message::FlowRestarted { flow: FlowIndex(9) },
            4 => Message::DeliveriesSettled { connection, numbers, outcome: DeliveryOutcome::Delivered },
            5 => Message::Detach { connection },
            6 => Message::Log(LogResponse::Records(vec![])),
            _ => Message::Log(LogResponse::Durable { up_to: Offset(0) }),
        };
        self.step(message);
    }

    fn pass_time(&mut self) {
        let end = self.now + Duration::from_millis(self.dice.below(1_500) as u64);
        for calls_count in 0.. {
            assert!(calls_count < 1_000, "seed={}: timeouts never end", self.seed);
            let Some(due) = self.actor.poll_timeout().filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.actor.handle_timeout(self.now, &mut self.effects);
            self.after_step();
        }
        self.now = end;
    }

    /// The log carries out its oldest request, or fails.
    fn answer_of_log(&mut self) {
        let Some(request) = self.log_requests.pop_front() else { return };
        let fails = !self.is_healed && matches!(request, LogRequest::Append(_)) && self.dice.one_in(12);
        let response = if fails { Some(LogResponse::Failed(LogFailure::Device)) } else { self.log.handle(request) };
        if let Some(response) = response {
            self.log_failures_count += u64::from(matches!(response, LogResponse::Failed(_)));
            self.step(Message::Log(response));
        }
    }

    fn heal_and_drain(&mut self) {
        self.is_healed = true;
        for _ in 0..3_000 {
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
        for (flow, known) in &self.flows {
            let expected: BTreeSet<Offset> = self.reference.records_of(filters_of(*flow)).collect();
            assert_eq!(known.settled, expected, "seed={seed} flow {flow}: nothing accepted is lost");
        }
        assert_eq!(self.log.count(), 0, "seed={seed}: the log may forget all");
        self.step(Message::Stop);
        assert!(self.has_stopped, "seed={seed}");
        for slot in 0..SLOTS_COUNT {
            self.end(self.connection(slot));
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

    fn step(&mut self, message: Message) {
        self.actor.handle(message, self.now, &mut self.effects);
        self.after_step();
    }

    fn after_step(&mut self) {
        while let Some(effect) = self.effects.pop() {
            self.take(effect);
        }
        self.effects.drain_observations();
        let seed = self.seed;
        for account in self.actor.ledgers() {
            assert!(account.ledger.balances(account.queued), "seed={seed} {account:?}");
            if let Cursor::Subscriber(connection) = account.cursor {
                let (expected, of_log) = self.reference.expected(connection);
                let lost = account.ledger.dropped_sum() + account.ledger.expired;
                let under_way = self.under_way.get(&connection).map_or(0, BTreeSet::len) as u64;
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
                self.reference.accepted(publisher, &publications, &self.appended);
            }
            Effect::Refused { publisher, token, .. } => {
                self.answered(publisher, token);
                assert!(matches!(publisher, Publisher::Connection(_)), "seed={seed}: a Session is never refused");
                self.awaits_delivered.remove(&(publisher, token));
            }
            Effect::Delivered { publisher, token } => {
                assert!(self.awaits_delivered.remove(&(publisher, token)), "seed={seed}: told once, where asked");
            }
            Effect::Attached { .. } | Effect::TakenOver { .. } => panic!("seed={seed}: nobody attached"),
            Effect::Subscribed { results, .. } => {
                self.reference.subscribed(&results, &self.limits, self.now);
            }
            Effect::Unsubscribed { existed, .. } => {
                assert_eq!(Some(existed[0]), self.reference.existed.take(), "seed={seed}");
            }
            Effect::Deliver { connection, deliveries } => {
                assert!(!deliveries.is_empty(), "seed={seed}");
                for delivery in deliveries {
                    self.credits
                        .get_mut(&connection)
                        .expect("credit comes first")
                        .spend(delivery.publication.size_bytes() as u64);
                    let next = self.next_numbers.entry(connection).or_default();
                    assert_eq!(delivery.number, *next, "seed={seed}: without gaps");
                    *next = next.next();
                    self.under_way.entry(connection).or_default().insert(delivery.number);
                    assert!(!delivery.publication.is_expired(self.now), "seed={seed}: expired records are not sent");
                    let may_drop = self.limits.subscriber_queue_when_full == QueueWhenFull::DropOldest;
                    self.reference.delivered(connection, &delivery, may_drop, self.now, seed);
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

    fn some_connection(&mut self) -> ConnectionAddress {
        let slot = self.dice.number(SLOTS_COUNT as usize) - 1;
        self.connection(slot)
    }

    fn flow(&mut self, flow: FlowIndex) -> &mut Flow {
        self.flows.get_mut(&flow).expect("one of ours")
    }

    fn connection(&self, slot: u32) -> ConnectionAddress {
        ConnectionAddress { core: CoreIndex(0), slot, generation: self.generations[slot as usize] }
    }
}
