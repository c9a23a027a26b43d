//! What a record and a match cost: `cargo run --release --example cost -p broker-partition`.
//!
//! A record of 200 bytes passes through the whole partition: publish, memory log, one flow and one subscriber, and their
//! settlements. A match looks for a Topic Name among 10,000 filters.

use std::time::Instant as Clock;

use broker_partition::{
    BrokerPartition, Effect, FlowOutcome, FlowSource, MemoryLog, Message, PartitionConfig, PartitionLimits,
    QueueWhenFull,
};
use contract::{
    Acknowledge, Actor, ConnectionAddress, CoreIndex, Credit, DeliveryNumber, DeliveryOutcome, Effects, Epoch,
    FlowIndex, Instant, MESSAGE_EXPIRY_NEVER, Offset, PartitionIndex, Publication, PublicationArena, PublicationDraft,
    PublishToken, Publisher, QoS, RetainHandling, SessionId, SourceIndex, SubscribeToken, SubscriptionRequest, UtcTime,
};

const FLOW: FlowIndex = FlowIndex(0);
const EPOCH: Epoch = Epoch(1);
const CONNECTION: ConnectionAddress = ConnectionAddress { core: CoreIndex(0), slot: 0, generation: 0 };
const RECORDS_COUNT: u64 = 1_000;
const ROUNDS_COUNT: u64 = 2_000;

fn main() {
    println!("{:<64}{:>10}{:>10}", "1,000 records of 200 B a message", "ns/record", "B held");
    for (name, flows, subscribers) in [
        ("to nobody", 0, 0),
        ("to one flow", 1, 0),
        ("to one flow and one subscriber", 1, 1),
        ("to one flow and 100 subscribers", 1, 100),
    ] {
        run(name, flows, subscribers, RECORDS_COUNT);
    }
    run("16 records a message, to one flow and 100 subscribers", 1, 100, 16);
    run("one record a message, to one flow and one subscriber", 1, 1, 1);
    for fan_out in [100, 1_000] {
        measure_fan_out(fan_out);
    }
    println!("\n{:<64}{:>10}", "1,000,000 filters plant/line{i}/+/t{j}", "MiB");
    for sessions_count in [1, 1_000, 10_000] {
        measure_memory(sessions_count);
    }
    println!("\n{:<44}{:>10}{:>10}{:>10}", "match among 10,000 filters", "p50 ns", "p99 ns", "max ns");
    measure_matches("no filter matches anything here", |number| format!("other/line{}/asset{number:05}", number % 100));
    measure_matches("distinct, three levels", |number| format!("plant/line{}/asset{number:05}", number % 100));
    measure_matches("distinct, + in the middle", |number| format!("plant/+/asset{number:05}"));
    measure_matches("distinct, # at the end", |number| format!("plant/line{}/asset{number:05}/#", number % 100));
    measure_matches("five that match, the rest below them", |number| match number {
        0 => "#".into(),
        1 => "plant/#".into(),
        2 => "plant/+/+".into(),
        3 => "+/line7/+".into(),
        4 => "plant/line7/#".into(),
        _ => format!("plant/line{}/asset{number:05}", number % 100),
    });
}

fn run(name: &str, flows_count: u16, subscribers_count: u32, records_count: u64) {
    let mut bench = Bench::new(flows_count);
    for slot in 0..subscribers_count {
        bench.subscribe(slot, "plant/#".into());
        let credit = Credit { count: u32::MAX, bytes: u64::MAX };
        let (session, connection) = client(slot);
        bench.step(Message::SubscriberCredit { session, connection, credit });
    }
    for flow in 0..flows_count {
        let credit = Credit { count: u32::MAX, bytes: u64::MAX };
        bench.step(Message::FlowCredit { flow: FlowIndex(flow), credit });
    }
    let mut arena = PublicationArena::new(64 << 10);
    let publications: Vec<_> =
        (0..records_count).map(|number| publication(&mut arena, &format!("plant/line7/asset{number:05}"))).collect();
    let rounds_count = ROUNDS_COUNT * RECORDS_COUNT / records_count / (1 + u64::from(subscribers_count) / 10);
    let mut held_bytes = 0;
    let mut samples = Vec::new();
    for round in 0..rounds_count {
        let publications = publications.clone();
        let start = now();
        bench.publish(round, publications);
        held_bytes = bench.actor.bytes();
        bench.settle(flows_count, subscribers_count);
        samples.push(start.elapsed().as_nanos());
    }
    assert_eq!(bench.actor.bytes(), 0, "everything is settled");
    // The median: other processes of the machine take whole rounds.
    samples.sort_unstable();
    let nanos = samples[samples.len() / 2] / u128::from(records_count);
    println!("{name:<64}{nanos:>10}{held_bytes:>10}");
}

/// One record a message, to many subscribers and no flow: what each of them costs, its Deliver and its settlement included.
fn measure_fan_out(subscribers_count: u32) {
    let mut bench = Bench::new(0);
    for slot in 0..subscribers_count {
        bench.subscribe(slot, "plant/#".into());
        let (session, connection) = client(slot);
        let credit = Credit { count: u32::MAX, bytes: u64::MAX };
        bench.step(Message::SubscriberCredit { session, connection, credit });
    }
    let mut arena = PublicationArena::new(64 << 10);
    let publication = publication(&mut arena, "plant/line7/asset00007");
    let (mut published, mut settled) = (Vec::new(), Vec::new());
    for round in 0..2_000 {
        let start = now();
        bench.publish(round, vec![publication.clone()]);
        published.push(start.elapsed().as_nanos());
        let start = now();
        bench.settle(0, subscribers_count);
        settled.push(start.elapsed().as_nanos());
    }
    let median = |samples: &mut Vec<u128>| {
        samples.sort_unstable();
        samples[samples.len() / 2] / u128::from(subscribers_count)
    };
    let (published, settled) = (median(&mut published), median(&mut settled));
    let name = format!("one record to {subscribers_count} subscribers, ns a subscriber");
    println!("{name:<64}{published:>10} and {settled} to settle");
}

/// What a million Subscriptions take of this process's resident memory.
fn measure_memory(sessions_count: u32) {
    let before = resident_bytes();
    let mut bench = Bench::new(0);
    for number in 0..1_000_000 {
        bench.subscribe(number % sessions_count, format!("plant/line{}/+/t{}", number / 1_000, number % 1_000));
    }
    let bytes = resident_bytes() - before;
    let name = format!("of {sessions_count} sessions: {} B each", bytes / 1_000_000);
    println!("{name:<64}{:>10}", bytes >> 20);
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has this line");
    let kib: String = line.chars().filter(char::is_ascii_digit).collect();
    kib.parse::<u64>().expect("a number") << 10
}

/// Each sample is one publication through the whole partition, in a message of its own: a bound on what the match costs. The first
/// line, without filters, is what the rest of it costs.
fn measure_matches(name: &str, filter: impl Fn(u32) -> String) {
    let mut bench = Bench::new(0);
    for number in 0..10_000 {
        // Without credit, a queue of one record: what a match costs, and little else.
        bench.subscribe(number / 10, filter(number));
    }
    let mut arena = PublicationArena::new(64 << 10);
    let publications: Vec<_> = (0..10_000_u32)
        .map(|number| publication(&mut arena, &format!("plant/line{}/asset{number:05}", number % 100)))
        .collect();
    let mut samples = Vec::new();
    for (token, publication) in (0..).zip(publications.iter().cycle().take(100_000)) {
        let publications = vec![publication.clone()];
        let start = now();
        bench.publish(token, publications);
        samples.push(start.elapsed().as_nanos());
    }
    samples.sort_unstable();
    let at = |share: usize| samples[samples.len() * share / 1_000];
    println!("{name:<44}{:>10}{:>10}{:>10}", at(500), at(990), samples[samples.len() - 1]);
}

struct Bench {
    actor: BrokerPartition,
    log: MemoryLog,
    effects: Effects<Effect>,
    next_offset: u64,
    settled_offset: u64,
}

impl Bench {
    fn new(flows_count: u16) -> Self {
        let limits = PartitionLimits {
            shard_bytes_max: 1 << 30,
            spill_bytes: 3 << 28,
            message_bytes_max: 1 << 20,
            subscriber_queue_count_max: if flows_count == 0 { 1 } else { 10_000 },
            subscriber_queue_bytes_max: 1 << 23,
            subscriber_queue_when_full: QueueWhenFull::DropOldest,
            retained_count_max: 0,
            retained_bytes_max: 0,
            subscriptions_per_client_max: 1_000_000,
            subscriptions_count_max: 1_000_000,
            shared_subscriptions_count_max: 100,
            sessions_count_max: 10_000,
        };
        let flows = (0..flows_count)
            .map(|flow| FlowSource { flow: FlowIndex(flow), topic_filters: vec!["plant/#".into()] })
            .collect();
        let config = PartitionConfig { partition: PartitionIndex(0), partitions_count: 1, epoch: EPOCH, flows, limits };
        let effects = Effects::new(BrokerPartition::EFFECTS_COUNT_MAX);
        let log = MemoryLog::new(EPOCH, 1 << 30);
        let mut bench = Self { actor: BrokerPartition::new(config), log, effects, next_offset: 0, settled_offset: 0 };
        bench.step(Message::Start);
        bench
    }

    fn step(&mut self, message: Message) {
        self.actor.handle(message, Instant::ZERO, &mut self.effects);
        let mut answers = Vec::new();
        while let Some(effect) = self.effects.pop() {
            if let Effect::Log(request) = effect {
                answers.extend(self.log.handle(request));
            }
        }
        self.effects.drain_observations();
        for answer in answers {
            self.step(Message::Log(answer));
        }
    }

    fn subscribe(&mut self, slot: u32, topic_filter: String) {
        let request = SubscriptionRequest {
            topic_filter: topic_filter.into(),
            share_name: None,
            maximum_qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::DoNotSend,
            subscription_identifier: None,
        };
        let (session, connection) = client(slot);
        self.step(Message::Subscribe { session, connection, token: SubscribeToken(0), subscriptions: vec![request] });
    }

    fn publish(&mut self, token: u64, publications: Vec<Publication>) {
        self.next_offset += publications.len() as u64;
        let acknowledge = Acknowledge::Accepted;
        let publisher = Publisher::OpcUa(SourceIndex(0));
        self.step(Message::Publish { publisher, token: PublishToken(token), publications, acknowledge });
    }

    fn settle(&mut self, flows_count: u16, subscribers_count: u32) {
        let (from, to) = (self.settled_offset, self.next_offset);
        self.settled_offset = to;
        for _ in 0..flows_count {
            let offsets = vec![Offset(from)..Offset(to)];
            self.step(Message::FlowSettled { flow: FLOW, epoch: EPOCH, offsets, outcome: FlowOutcome::Delivered });
        }
        for slot in 0..subscribers_count {
            let (session, connection) = client(slot);
            let numbers = vec![DeliveryNumber(from)..DeliveryNumber(to)];
            let outcome = DeliveryOutcome::Delivered;
            self.step(Message::DeliveriesSettled { session, connection, numbers, outcome });
        }
    }
}

fn client(slot: u32) -> (SessionId, ConnectionAddress) {
    let session = SessionId { home: PartitionIndex(0), number: slot.into() };
    (session, ConnectionAddress { slot, ..CONNECTION })
}

fn publication(arena: &mut PublicationArena, topic_name: &str) -> Publication {
    let draft = PublicationDraft {
        topic_name,
        properties: &[],
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: Instant::ZERO,
        received_utc: UtcTime::default(),
    };
    let mut builder = arena.begin(&draft);
    builder.put(&[b'1'; 200]);
    builder.finish(1)
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Clock {
    Clock::now()
}
