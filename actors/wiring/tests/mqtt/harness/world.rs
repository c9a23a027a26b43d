//! The broker: hosts, sockets, and time that passes when a test says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use broker_partition::{BrokerPartition, MemoryLog, PartitionConfig, PartitionLimits, QueueWhenFull};
use contract::{ConnectionAddress, CoreIndex, Epoch, Instant, LogRequest, LogResponse, Observation, PartitionIndex};
use mqtt_connection::{ConnectionConfig, Message as ToConnection};
use wiring::{
    Envelope, Host, HostParts, HostedPartition, ListenerIndex, PartitionLog, ShellRequest, SocketRequest, Surroundings,
    Topology,
};

use super::authenticator::authenticate;
use super::{Connect, Delivered, Packet, Publish, V5, Version, connect, packet, subscribe, unsubscribe};

/// How many cores and partitions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One core, one partition.
    OneCore,
    /// Two cores, three partitions on both; clients come to the cores in turn.
    TwoCores,
}

/// What a test sets.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) connection: ConnectionConfig,
    pub(crate) limits: PartitionLimits,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            connection: ConnectionConfig {
                topic_alias_maximum: 10,
                packet_bytes_max: 1 << 17,
                ..ConnectionConfig::default()
            },
            limits: PartitionLimits {
                shard_bytes_max: 1 << 24,
                spill_bytes: 1 << 23,
                message_bytes_max: 1 << 18,
                subscriber_queue_count_max: 1_000,
                subscriber_queue_bytes_max: 1 << 20,
                subscriber_queue_when_full: QueueWhenFull::DropOldest,
                retained_count_max: 1_000,
                retained_bytes_max: 1 << 20,
                subscriptions_per_client_max: 100,
                subscriptions_count_max: 1_000,
                shared_subscriptions_count_max: 100,
                sessions_count_max: 100,
            },
        }
    }
}

/// One end of a socket, in the hands of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) version: Version,
    address: ConnectionAddress,
}

#[derive(Debug)]
struct Socket {
    version: Version,
    /// What the client has sent while nobody read.
    unread: VecDeque<Bytes>,
    is_paused: bool,
    /// Bytes of a packet whose end has not come.
    stream: Vec<u8>,
    /// What the client got and no test has looked at.
    got: Vec<Packet>,
    is_closed: bool,
    /// Bytes of the largest packet that came.
    largest_packet_bytes: usize,
    /// Topic Aliases that the broker has set (MQTT 5.0 §3.3.2.3.4).
    aliases: BTreeMap<u32, String>,
}

impl Socket {
    fn new(version: Version) -> Self {
        Self {
            version,
            unread: VecDeque::new(),
            is_paused: false,
            stream: Vec::new(),
            got: Vec::new(),
            is_closed: false,
            largest_packet_bytes: 0,
            aliases: BTreeMap::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.extend_from_slice(bytes);
        while let Some((mut packet, bytes)) = Packet::take(&mut self.stream, self.version) {
            if let Packet::Publish(delivered) = &mut packet
                && let Some(alias) = delivered.properties.number(0x23)
            {
                assert_ne!(alias, 0, "a Topic Alias of 0 (MQTT-3.3.2-8)");
                if delivered.topic.is_empty() {
                    delivered.topic.clone_from(self.aliases.get(&alias).expect("an alias that was set"));
                } else {
                    self.aliases.insert(alias, delivered.topic.clone());
                }
            }
            self.largest_packet_bytes = self.largest_packet_bytes.max(bytes);
            self.got.push(packet);
        }
    }
}

/// A broker in memory.
pub(crate) struct Broker {
    pub(crate) shape: Shape,
    pub(crate) now: Instant,
    hosts: Vec<Host>,
    topology: Arc<Topology>,
    config: Arc<ConnectionConfig>,
    sockets: BTreeMap<ConnectionAddress, Socket>,
    next_slot: u32,
    next_packet_identifier: u16,
}

/// What hosts ask for in a turn.
#[derive(Default)]
struct Asked {
    sent: Vec<(CoreIndex, Envelope)>,
    requests: Vec<ShellRequest>,
}

impl Surroundings for Asked {
    fn send(&mut self, core: CoreIndex, envelope: Envelope) {
        self.sent.push((core, envelope));
    }

    fn request(&mut self, request: ShellRequest) {
        self.requests.push(request);
    }

    fn observe(&mut self, _observation: Observation) {}
}

struct Log(MemoryLog);

impl PartitionLog for Log {
    fn request(&mut self, request: LogRequest, answers: &mut Vec<LogResponse>) {
        answers.extend(self.0.handle(request));
    }
}

impl Broker {
    pub(crate) fn new(shape: Shape, setup: Setup) -> Self {
        let mut topology = Topology::on_one_core(0, 1, 0);
        if shape == Shape::TwoCores {
            topology.cores_count = 2;
            topology.partitions = vec![CoreIndex(0), CoreIndex(1), CoreIndex(1)];
        }
        let topology = Arc::new(topology);
        let mut connection = setup.connection;
        connection.partitions_count = topology.partitions_count();
        let config = Arc::new(connection);
        let host = |core| Host::new(parts(core, &topology, setup.limits));
        let hosts = (0..topology.cores_count).map(|core| host(CoreIndex(core))).collect();
        let mut broker = Self {
            shape,
            now: Instant::ZERO + Duration::from_secs(1),
            hosts,
            topology,
            config,
            sockets: BTreeMap::new(),
            next_slot: 0,
            next_packet_identifier: 30_000,
        };
        broker.run();
        broker
    }

    /// A socket on which nothing was said yet.
    pub(crate) fn open(&mut self, version: Version) -> Client {
        let core = CoreIndex(u16::try_from(self.next_slot).expect("few") % self.topology.cores_count);
        let address = ConnectionAddress { core, slot: self.next_slot, generation: 0 };
        self.next_slot += 1;
        self.sockets.insert(address, Socket::new(version));
        let config = Arc::clone(&self.config);
        self.hosts[usize::from(core.0)].accept(address, ListenerIndex(0), config, self.now);
        self.run();
        Client { version, address }
    }

    /// A client that was let in with a clean session.
    pub(crate) fn connect(&mut self, version: Version, client_identifier: &str) -> Client {
        self.connect_as(version, &connect(client_identifier)).0
    }

    /// A client that was let in, and whether there was a session.
    pub(crate) fn connect_as(&mut self, version: Version, request: &Connect) -> (Client, bool) {
        let client = self.open(version);
        self.send(client, &request.bytes(version));
        match self.only(client) {
            Packet::Connack { session_present, code: 0, .. } => (client, session_present),
            other => panic!("{other:?} after {request:?}"),
        }
    }

    /// A client that was let in; what came behind CONNACK is kept for the test.
    pub(crate) fn connect_as_before(&mut self, version: Version, request: &Connect) -> (Client, bool) {
        let client = self.open(version);
        self.send(client, &request.bytes(version));
        let mut packets = self.take(client);
        assert!(!packets.is_empty(), "no answer to {request:?}");
        let Packet::Connack { session_present, code: 0, .. } = packets.remove(0) else {
            panic!("no CONNACK with Success after {request:?}")
        };
        self.socket(client).got = packets;
        (client, session_present)
    }

    /// The client sends these bytes.
    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) {
        let socket = self.socket(client);
        assert!(!bytes.is_empty(), "a socket brings bytes");
        if socket.is_closed {
            return;
        }
        socket.unread.push_back(Bytes::copy_from_slice(bytes));
        self.read(client.address);
        self.run();
    }

    /// The client publishes; nothing is awaited.
    pub(crate) fn publish(&mut self, client: Client, publication: &Publish) {
        self.send(client, &publication.bytes(client.version));
    }

    /// The client subscribes with these options and is granted it; what came beside SUBACK is kept for the test.
    pub(crate) fn subscribe(&mut self, client: Client, filter: &str, options: u8) {
        let packet_identifier = self.packet_identifier();
        self.send(client, &subscribe(client.version, packet_identifier, &[(filter, options)], &[]));
        let mut packets = self.take(client);
        let place = packets
            .iter()
            .position(
                |packet| matches!(packet, Packet::Suback { packet_identifier: id, .. } if *id == packet_identifier),
            )
            .expect("SUBACK");
        let Packet::Suback { codes, .. } = packets.remove(place) else { unreachable!("it was looked at") };
        assert!(codes.len() == 1 && codes[0] < 0x80, "{filter}: {codes:02x?}");
        self.socket(client).got = packets;
    }

    pub(crate) fn unsubscribe(&mut self, client: Client, filter: &str) {
        let packet_identifier = self.packet_identifier();
        self.send(client, &unsubscribe(client.version, packet_identifier, &[filter]));
        assert!(matches!(self.only(client), Packet::Unsuback { packet_identifier: id, .. } if id == packet_identifier));
    }

    fn packet_identifier(&mut self) -> u16 {
        self.next_packet_identifier += 1;
        self.next_packet_identifier
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP by its first byte.
    pub(crate) fn acknowledge(&mut self, client: Client, first_byte: u8, packet_identifier: u16) {
        self.send(client, &packet(first_byte, &packet_identifier.to_be_bytes()));
    }

    /// All that the client got since it was last asked.
    pub(crate) fn take(&mut self, client: Client) -> Vec<Packet> {
        let socket = self.socket(client);
        assert!(socket.stream.is_empty(), "half a packet: {:02x?}", socket.stream);
        std::mem::take(&mut socket.got)
    }

    /// The one packet that the client got.
    pub(crate) fn only(&mut self, client: Client) -> Packet {
        let mut packets = self.take(client);
        assert_eq!(packets.len(), 1, "{packets:?}");
        packets.remove(0)
    }

    /// The publications that the client got, each acknowledged as its QoS demands. Nothing else came.
    pub(crate) fn deliveries(&mut self, client: Client) -> Vec<Delivered> {
        let mut deliveries = Vec::new();
        loop {
            let packets = self.take(client);
            if packets.is_empty() {
                return deliveries;
            }
            for packet in packets {
                match packet {
                    Packet::Publish(delivered) => {
                        match delivered.qos {
                            1 => self.acknowledge(client, 0x40, delivered.packet_identifier),
                            2 => self.acknowledge(client, 0x50, delivered.packet_identifier),
                            _ => {}
                        }
                        deliveries.push(delivered);
                    }
                    Packet::Pubrel(release) => self.acknowledge(client, 0x70, release.packet_identifier),
                    other => panic!("{other:?} among deliveries"),
                }
            }
        }
    }

    /// Their payloads as text.
    pub(crate) fn payloads(&mut self, client: Client) -> Vec<String> {
        let text = |delivered: Delivered| String::from_utf8(delivered.payload).expect("text");
        self.deliveries(client).into_iter().map(text).collect()
    }

    /// Bytes of the largest packet that the client got.
    pub(crate) fn largest_packet_bytes(&mut self, client: Client) -> usize {
        self.socket(client).largest_packet_bytes
    }

    /// Whether the broker closed the socket.
    pub(crate) fn is_closed(&mut self, client: Client) -> bool {
        self.socket(client).is_closed
    }

    /// The socket was closed; under 5.0 DISCONNECT with this Reason Code came last, under 3.1.1 nothing.
    pub(crate) fn assert_closed(&mut self, client: Client, reason_code: u8) {
        let packets = self.take(client);
        assert!(self.is_closed(client), "it is open; {packets:?}");
        match client.version {
            V5 => assert!(
                matches!(packets.last(), Some(Packet::Disconnect { code, .. }) if *code == reason_code),
                "{packets:?} instead of DISCONNECT 0x{reason_code:02x}"
            ),
            Version::V311 => assert_eq!(packets, [], "3.1.1 closes without a word"),
        }
    }

    /// The client's network fails.
    pub(crate) fn vanish(&mut self, client: Client) {
        let socket = self.socket(client);
        if !socket.is_closed {
            socket.is_closed = true;
            self.tell(client.address, ToConnection::SocketClosed);
            self.run();
        }
    }

    /// Time passes; everything that is due on the way happens at its time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.run().filter(|at| *at <= until) {
            self.now = at.max(self.now);
        }
        self.now = until;
        self.run();
    }

    fn socket(&mut self, client: Client) -> &mut Socket {
        self.sockets.get_mut(&client.address).expect("sockets are kept for the test")
    }

    fn tell(&mut self, address: ConnectionAddress, message: ToConnection) {
        self.hosts[usize::from(address.core.0)].deliver(Envelope::Connection(address, message));
    }

    fn read(&mut self, address: ConnectionAddress) {
        let socket = self.sockets.get_mut(&address).expect("it is there");
        let unread: Vec<Bytes> =
            if socket.is_paused || socket.is_closed { Vec::new() } else { socket.unread.drain(..).collect() };
        for bytes in unread {
            self.tell(address, ToConnection::Received(bytes));
        }
    }

    /// Runs all hosts until none has anything to do at this time; when something is due next.
    fn run(&mut self) -> Option<Instant> {
        loop {
            let mut asked = Asked::default();
            let mut next = None;
            for host in &mut self.hosts {
                let mut turn = host.turn(self.now, &mut asked);
                while turn.more {
                    turn = host.turn(self.now, &mut asked);
                }
                next = [next, turn.next_timeout].into_iter().flatten().min();
            }
            if asked.sent.is_empty() && asked.requests.is_empty() {
                return next;
            }
            for (core, envelope) in asked.sent {
                self.hosts[usize::from(core.0)].deliver(envelope);
            }
            for request in asked.requests {
                self.serve(request);
            }
        }
    }

    fn serve(&mut self, request: ShellRequest) {
        match request {
            ShellRequest::Socket(address, request) => self.serve_socket(address, request),
            ShellRequest::Authenticate(address, step, credentials) => {
                self.tell(address, authenticate(step, &credentials));
            }
            ShellRequest::Report(..) => {}
            ShellRequest::OpcUa(..) | ShellRequest::Lane(..) => panic!("there are only clients: {request:?}"),
        }
    }

    fn serve_socket(&mut self, address: ConnectionAddress, request: SocketRequest) {
        let socket = self.sockets.get_mut(&address).expect("it is there");
        match request {
            SocketRequest::Write(bytes) => {
                let count = bytes.len();
                if !socket.is_closed {
                    socket.write(&bytes);
                    self.tell(address, ToConnection::Written { bytes: count });
                }
            }
            SocketRequest::PauseReading => socket.is_paused = true,
            SocketRequest::ResumeReading => {
                socket.is_paused = false;
                self.read(address);
            }
            SocketRequest::Close => {
                if !socket.is_closed {
                    socket.is_closed = true;
                    self.tell(address, ToConnection::SocketClosed);
                }
            }
            SocketRequest::Forget => {}
        }
    }
}

/// What lives on `core`.
fn parts(core: CoreIndex, topology: &Arc<Topology>, limits: PartitionLimits) -> HostParts {
    let here = topology.partition_indexes().filter(|partition| topology.partitions[usize::from(partition.0)] == core);
    HostParts {
        core,
        topology: Arc::clone(topology),
        sessions: BTreeMap::new(),
        partitions: here.map(|partition| (partition, hosted(partition, topology.partitions_count(), limits))).collect(),
        flows: BTreeMap::new(),
        batchers: BTreeMap::new(),
    }
}

fn hosted(partition: PartitionIndex, partitions_count: u16, limits: PartitionLimits) -> HostedPartition {
    let config = PartitionConfig { partition, partitions_count, epoch: Epoch(1), flows: Vec::new(), limits };
    HostedPartition {
        actor: BrokerPartition::new(config),
        log: Box::new(Log(MemoryLog::new(Epoch(1), limits.shard_bytes_max))),
    }
}
