//! What the broker costs from bytes in to bytes out, without sockets: one host, one partition, its log in memory.
//!
//! Counts instructions, which the load of the machine does not change:
//!
//! ```text
//! cargo build --release --example broker_cost -p wiring
//! valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*measured*' --callgrind-out-file=cost.out \
//!     target/release/examples/broker_cost fan-in-0
//! callgrind_annotate cost.out
//! ```
//!
//! The total divided by the messages (or deliveries) that it prints is the cost of one. Scenarios: `fan-in-0`, `fan-in-0-small`,
//! `one-to-one-1`, `fan-out-0`, `fan-out-1`, and `publish-0`, `publish-1`, to which nobody subscribes. A second argument says how
//! many packets arrive together (64), a third how often (50). `client_answers` in the profile is the clients' side, and no cost of
//! the broker.

use std::sync::Arc;

use broker_partition::{BrokerPartition, MemoryLog, PartitionConfig, PartitionLimits, QueueWhenFull};
use bytes::Bytes;
use contract::{
    ConnectionAddress, CoreIndex, Epoch, Instant, LogRequest, LogResponse, Observation, PartitionIndex, QoS,
};
use mqtt_connection::{ConnectionConfig, Message as ToConnection};
use wiring::{
    Envelope, Host, HostParts, HostedPartition, ListenerIndex, PartitionLog, ShellRequest, SocketRequest, Surroundings,
    Topology,
};

/// MQTT 5.0, Clean Start, Keep Alive 60 s; the Client Identifier follows.
const CONNECT: &[u8] = b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x05c";
const TOPIC_NAME: &[u8] = b"plant/line7/asset00042";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "one-to-one-1".to_owned());
    let mut number = |default: usize| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (packets_count, steps_count) = (number(64), number(50));
    let scenario = Scenario::named(&name).expect("one of the scenarios");
    let mut bench = Bench::new(&scenario, packets_count);
    for _ in 0..steps_count {
        bench.measured();
    }
    let (messages, deliveries) = (packets_count * steps_count, bench.world.written_publishes);
    println!("{name}: {messages} messages in, {deliveries} deliveries");
}

struct Scenario {
    qos: QoS,
    payload_bytes: usize,
    subscribers_count: u32,
}

impl Scenario {
    fn named(name: &str) -> Option<Self> {
        let (qos, payload_bytes, subscribers_count) = match name {
            "publish-0" => (QoS::AtMostOnce, 200, 0),
            "publish-1" => (QoS::AtLeastOnce, 200, 0),
            "fan-in-0" => (QoS::AtMostOnce, 200, 1),
            "fan-in-0-small" => (QoS::AtMostOnce, 20, 1),
            "one-to-one-1" => (QoS::AtLeastOnce, 200, 1),
            "fan-out-0" => (QoS::AtMostOnce, 200, 100),
            "fan-out-1" => (QoS::AtLeastOnce, 200, 100),
            _ => return None,
        };
        Some(Self { qos, payload_bytes, subscribers_count })
    }
}

struct Bench {
    host: Host,
    world: World,
    publisher: ConnectionAddress,
    packets: Bytes,
    now: Instant,
}

impl Bench {
    fn new(scenario: &Scenario, packets_count: usize) -> Self {
        let host = Host::new(HostParts {
            core: CoreIndex(0),
            topology: Arc::new(Topology::on_one_core(0, 1, 0)),
            sessions: [].into(),
            partitions: [(PartitionIndex(0), HostedPartition { actor: partition(), log: Box::new(Log(log())) })].into(),
            flows: [].into(),
            batchers: [].into(),
        });
        let publisher = connection(0);
        let packets = publishes(scenario, packets_count);
        let mut bench = Self { host, world: World::default(), publisher, packets, now: Instant::from_millis(1) };
        let config = Arc::new(ConnectionConfig::default());
        for slot in 0..=scenario.subscribers_count {
            bench.host.accept(connection(slot), ListenerIndex(0), Arc::clone(&config), bench.now);
            let connect = [CONNECT, format!("{slot:04}").as_bytes()].concat();
            bench.receive(connection(slot), connect.into());
        }
        let level = scenario.qos.bits();
        for slot in 1..=scenario.subscribers_count {
            let subscribe = [b"\x82\x0f\x00\x01\x00\x00\x09plant/+/#".as_slice(), &[level]].concat();
            bench.receive(connection(slot), subscribe.into());
        }
        bench
    }

    fn receive(&mut self, connection: ConnectionAddress, bytes: Bytes) {
        self.host.deliver(Envelope::Connection(connection, ToConnection::Received(bytes)));
        self.turn();
    }

    fn turn(&mut self) {
        let more = self.host.turn(self.now, &mut self.world).more;
        assert!(!more, "nobody ends a turn early");
    }

    /// A read of the publisher's socket, and all that follows from it, until everything is acknowledged and written.
    #[inline(never)]
    fn measured(&mut self) {
        self.now = Instant::from_nanos(self.now.as_nanos() + 50_000);
        self.receive(self.publisher, self.packets.clone());
        loop {
            let answers = std::mem::take(&mut self.world.answers);
            if answers.is_empty() {
                return;
            }
            for (connection, message) in answers {
                self.host.deliver(Envelope::Connection(connection, message));
            }
            self.turn();
        }
    }
}

/// Sockets that take all, and clients that acknowledge what they get.
#[derive(Default)]
struct World {
    answers: Vec<(ConnectionAddress, ToConnection)>,
    written_publishes: usize,
    observations: usize,
}

impl Surroundings for World {
    fn send(&mut self, _core: CoreIndex, _envelope: Envelope) {
        unreachable!("there is one core");
    }

    fn request(&mut self, request: ShellRequest) {
        if let ShellRequest::Socket(connection, SocketRequest::Write(bytes)) = request {
            let pubacks = client_answers(&bytes, &mut self.written_publishes);
            self.answers.push((connection, ToConnection::Written { bytes: bytes.len() }));
            if !pubacks.is_empty() {
                self.answers.push((connection, ToConnection::Received(pubacks.into())));
            }
        }
    }

    fn observe(&mut self, _observation: Observation) {
        self.observations += 1;
    }
}

/// The client's side: the PUBACKs that it owes for the PUBLISH packets in `bytes`. Its own cost shows in the profile.
#[inline(never)]
fn client_answers(bytes: &[u8], publishes_count: &mut usize) -> Vec<u8> {
    let mut answers = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let (mut length, mut shift, mut at) = (0_usize, 0, 0);
        loop {
            length |= usize::from(after[at] & 0x7f) << shift;
            shift += 7;
            at += 1;
            if after[at - 1] & 0x80 == 0 {
                break;
            }
        }
        let body = &after[at..at + length];
        if first >> 4 == 3 {
            *publishes_count += 1;
            if first & 0b110 != 0 {
                let topic_bytes = usize::from(u16::from_be_bytes([body[0], body[1]]));
                answers.extend_from_slice(&[0x40, 2, body[2 + topic_bytes], body[3 + topic_bytes]]);
            }
        }
        rest = &after[at + length..];
    }
    answers
}

struct Log(MemoryLog);

impl PartitionLog for Log {
    fn request(&mut self, request: LogRequest, answers: &mut Vec<LogResponse>) {
        answers.extend(self.0.handle(request));
    }
}

fn publishes(scenario: &Scenario, packets_count: usize) -> Bytes {
    let mut packets = Vec::new();
    for identifier in 1..=u16::try_from(packets_count).expect("within Receive Maximum") {
        let mut body = Vec::new();
        body.extend_from_slice(&u16::try_from(TOPIC_NAME.len()).expect("short").to_be_bytes());
        body.extend_from_slice(TOPIC_NAME);
        if scenario.qos != QoS::AtMostOnce {
            body.extend_from_slice(&identifier.to_be_bytes());
        }
        body.push(0);
        body.resize(body.len() + scenario.payload_bytes, b'1');
        let mut packet = bytes::BytesMut::new();
        packet.extend_from_slice(&[0x30 | (scenario.qos.bits() << 1)]);
        mqtt::encode_variable_byte_integer(&mut packet, u32::try_from(body.len()).expect("short"));
        packet.extend_from_slice(&body);
        packets.extend_from_slice(&packet);
    }
    packets.into()
}

fn connection(slot: u32) -> ConnectionAddress {
    ConnectionAddress { core: CoreIndex(0), slot, generation: 0 }
}

fn log() -> MemoryLog {
    MemoryLog::new(Epoch(1), 1 << 30)
}

fn partition() -> BrokerPartition {
    BrokerPartition::new(PartitionConfig {
        partition: PartitionIndex(0),
        partitions_count: 1,
        epoch: Epoch(1),
        flows: Vec::new(),
        limits: PartitionLimits {
            shard_bytes_max: 1 << 30,
            spill_bytes: 3 << 28,
            message_bytes_max: 1 << 20,
            subscriber_queue_count_max: 10_000,
            subscriber_queue_bytes_max: 1 << 23,
            subscriber_queue_when_full: QueueWhenFull::DropOldest,
            retained_count_max: 0,
            retained_bytes_max: 0,
            subscriptions_per_client_max: 1_000,
            subscriptions_count_max: 1_000_000,
            shared_subscriptions_count_max: 100,
            sessions_count_max: 10_000,
        },
    })
}
