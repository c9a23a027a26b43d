//! Hosts as the binary runs them: a publication there and back, sessions between cores, the stop over two cores, a panic.

#![expect(clippy::unwrap_used, reason = "a world that cannot be made fails its test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use access::{AccessRules, Principal};
use broker_partition::{
    BrokerPartition, FlowSource, MemoryLog, Message as ToPartition, PartitionConfig, PartitionLimits, QueueWhenFull,
};
use bytes::Bytes;
use contract::{
    Acknowledge, ConnectionAddress, CoreIndex, Counters, Credit, Epoch, FlowIndex, Instant, LogRequest, LogResponse,
    MESSAGE_EXPIRY_NEVER, Observation, PartitionIndex, Publication, PublicationArena, PublicationDraft, PublishToken,
    Publisher, QoS, SourceIndex, UtcTime,
};
use dataflow::{Dataflow, KeyChoice, Program};
use egress_batcher::{EgressBatcher, Message as ToBatcher, Outcome};
use mqtt_connection::{Authentication, ConnectionConfig, Message as ToConnection};
use opcua_subscription::{DataPoint, DataSet, DisconnectReason, Message as ToOpcUa, Session, SessionConfig};
use wiring::{
    Address, Envelope, FlowAddress, Host, HostMessage, HostParts, HostedPartition, LaneRequest, ListenerIndex,
    PartitionLog, ShellRequest, SocketRequest, StopStage, Surroundings, Topology,
};

const SOURCE: SourceIndex = SourceIndex(0);
const PARTITION: PartitionIndex = PartitionIndex(0);
const FLOW: FlowIndex = FlowIndex(0);
const CONNECT: &[u8] = &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'c'];
/// Clean Start 0, Session Expiry Interval 60 s.
const CONNECT_KEPT: &[u8] = b"\x10\x13\x00\x04MQTT\x05\x00\x00\x00\x05\x11\x00\x00\x00\x3c\x00\x01k";
/// SUBSCRIBE to `#` at QoS 1.
const SUBSCRIBE: &[u8] = b"\x82\x07\x00\x01\x00\x00\x01#\x01";
/// 3.1.1, Clean Session, a Will with the topic `w`.
const CONNECT_WITH_WILL: &[u8] = b"\x10\x13\x00\x04MQTT\x04\x06\x00\x00\x00\x01v\x00\x01w\x00\x01!";

/// Source and batcher on the first core, partition and flow on the second.
fn over_two(cores: [CoreIndex; 2]) -> Topology {
    Topology {
        cores_count: 2,
        sources: vec![cores[0]],
        partitions: vec![cores[1]],
        flows: vec![vec![cores[1]]],
        batchers: vec![cores[0]],
    }
}

#[test]
fn a_publication_of_a_session_goes_to_the_batcher_and_its_answers_come_back() {
    let mut world = World::new(Topology::on_one_core(1, 1, 1));
    world.run();
    assert!(world.requests.iter().any(|request| matches!(request, ShellRequest::OpcUa(SOURCE, _))), "it connects");
    assert!(world.requests.contains(&ShellRequest::Lane(FLOW, LaneRequest::Open)));
    world.open_lane();
    world.publish();
    let token = PublishToken(1);
    assert!(world.passed.contains(&Envelope::OpcUa(SOURCE, ToOpcUa::Accepted { token })));
    world.pass_time(Duration::from_secs(1));
    let send = world.take_send().unwrap();
    assert_eq!(send.events[0].publication, publication());
    let delivered = Envelope::OpcUa(SOURCE, ToOpcUa::Delivered { token });
    assert!(!world.passed.contains(&delivered), "the hub has not answered");
    world.settle(&send);
    assert!(world.passed.contains(&delivered));
}

#[test]
fn a_stop_goes_from_stage_to_stage_over_all_cores_and_loses_nothing() {
    let cores = [CoreIndex(0), CoreIndex(1)];
    let mut world = World::new(over_two(cores));
    world.run();
    world.open_lane();
    let connection = ConnectionAddress { core: cores[1], slot: 0, generation: 0 };
    world.accept(connection);
    world.publish();
    world.hosts[0].stop();
    world.hosts[0].stop();
    world.run();
    assert_eq!(world.stages(), [StopStage::Sources; 2], "a socket is not closed yet");
    assert!(world.requests.contains(&ShellRequest::Socket(connection, SocketRequest::Close)));
    world.deliver(Envelope::Connection(connection, ToConnection::SocketClosed));
    assert_eq!(world.stages(), [StopStage::Partitions; 2], "the hub has not answered");
    world.pass_time(Duration::from_secs(1));
    let send = world.take_send().unwrap();
    assert!(!world.requests.contains(&ShellRequest::Lane(FLOW, LaneRequest::Close)));
    world.settle(&send);
    assert_eq!(world.stages(), [StopStage::Done; 2]);
    assert!(world.requests.contains(&ShellRequest::Lane(FLOW, LaneRequest::Close)));
    let done: Vec<StopStage> = world.passed.iter().filter_map(stage_done).collect();
    assert_eq!(done[..4], [StopStage::Sources, StopStage::Sources, StopStage::Partitions, StopStage::Partitions]);
    // Whoever comes late is closed at once.
    let late = ConnectionAddress { slot: 1, ..connection };
    world.accept(late);
    world.run();
    assert!(world.requests.contains(&ShellRequest::Socket(late, SocketRequest::Close)));
}

#[test]
fn a_connection_that_panics_is_forgotten_and_the_others_go_on() {
    let mut world = World::new(Topology::on_one_core(1, 1, 1));
    let [first, second] = [0, 1].map(|slot| ConnectionAddress { core: CoreIndex(0), slot, generation: 0 });
    for connection in [first, second] {
        world.accept(connection);
    }
    world.deliver(Envelope::Connection(first, ToConnection::Received(Bytes::from_static(CONNECT))));
    world.panics = Some(Address::Connection(first));
    world.hosts[0].deliver(Envelope::Connection(first, ToConnection::Written { bytes: 1 }));
    let panic = catch_unwind(AssertUnwindSafe(|| world.run()));
    assert!(panic.is_err());
    world.panics = None;

    let culprit = world.hosts[0].stepping().unwrap();
    assert_eq!(culprit, Address::Connection(first));
    assert!(Host::can_restart(culprit));
    world.restart();
    for request in [SocketRequest::Close, SocketRequest::Forget] {
        assert!(world.requests.contains(&ShellRequest::Socket(first, request)));
    }
    assert!(world.passed.contains(&Envelope::Partition(PARTITION, ToPartition::Lost { connection: first })));
    let counts = world.hosts[0].connection_counts();
    assert_eq!((counts.live, counts.panicked), (1, 1));

    world.deliver(Envelope::Connection(first, ToConnection::SocketClosed));
    world.deliver(Envelope::Connection(second, ToConnection::Received(Bytes::from_static(CONNECT))));
    let is_answer = |request: &ShellRequest| matches!(request, ShellRequest::Socket(to, SocketRequest::Write(bytes)) if *to == second && bytes[0] == 0x20);
    assert!(world.requests.iter().any(is_answer), "CONNACK");
}

#[test]
fn a_session_goes_from_a_connection_of_one_core_to_one_of_another() {
    let cores = [CoreIndex(0), CoreIndex(1)];
    let mut world = World::new(over_two(cores));
    world.run();
    let [first, second] = cores.map(|core| ConnectionAddress { core, slot: 0, generation: 0 });
    world.connect(first, CONNECT_KEPT);
    assert_eq!(world.written(first)[..3], [0x20, world.written(first)[1], 0], "no session yet");
    world.deliver(Envelope::Connection(first, ToConnection::Received(Bytes::from_static(SUBSCRIBE))));
    world.connect(second, CONNECT_KEPT);
    assert!(world.passed.contains(&Envelope::Connection(first, ToConnection::TakenOver)));
    assert_eq!(world.written(second)[2], 1, "Session Present");
    assert!(!world.has_gone(first), "its socket is not closed");
    world.publish();
    let delivered = |envelope: &Envelope| matches!(envelope, Envelope::Connection(to, ToConnection::Deliver { .. }) if *to == second);
    assert!(world.passed.iter().any(delivered), "deliveries follow the session");
    world.deliver(Envelope::Connection(first, ToConnection::SocketClosed));
    assert!(world.has_gone(first));
    // A stop leaves the session parked, and ends all the same.
    world.hosts[0].stop();
    world.run();
    world.deliver(Envelope::Connection(second, ToConnection::SocketClosed));
    world.open_lane();
    world.pass_time(Duration::from_secs(1));
    let send = world.take_send().unwrap();
    world.settle(&send);
    assert_eq!(world.stages(), [StopStage::Done; 2]);
    let (_, home) = world.hosts[1].partitions().next().unwrap();
    let mut parked_count = None;
    home.visit_counters(&mut |name, count| {
        parked_count = parked_count.or((name == "sessions_parked").then_some(count));
    });
    assert_eq!(parked_count, Some(1), "what the stop leaves behind is counted");
}

#[test]
fn a_will_goes_from_its_home_to_the_owner_of_its_topic() {
    let mut world = World::new(Topology::on_one_core(1, 1, 1));
    let connection = ConnectionAddress { core: CoreIndex(0), slot: 0, generation: 0 };
    world.connect(connection, CONNECT_WITH_WILL);
    world.deliver(Envelope::Connection(connection, ToConnection::SocketClosed));
    let is_will = |envelope: &Envelope| {
        matches!(envelope, Envelope::Partition(PARTITION, ToPartition::Publish { publisher: Publisher::Will(_), publications, .. })
            if publications[0].topic_name() == b"w")
    };
    assert_eq!(world.passed.iter().filter(|envelope| is_will(envelope)).count(), 1);
    assert!(world.has_gone(connection));
}

#[test]
fn who_a_client_is_is_asked_of_the_shell() {
    let mut world = World::new(Topology::on_one_core(1, 1, 1));
    let connection = ConnectionAddress { core: CoreIndex(0), slot: 0, generation: 0 };
    let config = ConnectionConfig { authentication: Authentication::Required, ..ConnectionConfig::default() };
    world.accept_at(connection, ListenerIndex(0), config);
    world.deliver(Envelope::Connection(connection, ToConnection::Received(Bytes::from_static(CONNECT))));
    let asked = |request: &ShellRequest| matches!(request, ShellRequest::Authenticate(of, _, credentials) if *of == connection && &*credentials.client_identifier == "c");
    assert!(world.requests.iter().any(asked));
    assert!(world.written(connection).is_empty());
    let result = Ok(Arc::new(Principal::anonymous("c")));
    world.deliver(Envelope::Connection(connection, ToConnection::Authenticated { result, data: Bytes::new() }));
    assert_eq!(world.written(connection), [0x20, 2, 0, 0]);
}

#[test]
fn changed_access_rules_reach_the_connections_of_their_listener() {
    let mut world = World::new(Topology::on_one_core(1, 1, 1));
    let [first, second] = [0, 1].map(|slot| ConnectionAddress { core: CoreIndex(0), slot, generation: 0 });
    for (connection, listener) in [(first, 0), (second, 1)] {
        world.accept_at(connection, ListenerIndex(listener), ConnectionConfig::default());
        let connect: &[u8] = if listener == 0 { CONNECT } else { CONNECT_WITH_WILL };
        world.deliver(Envelope::Connection(connection, ToConnection::Received(Bytes::from_static(connect))));
    }
    let nothing_is_allowed = Arc::new(AccessRules::compile(&[]).unwrap());
    world.hosts[0].change_access(ListenerIndex(1), &nothing_is_allowed);
    world.run();
    assert!(world.requests.contains(&ShellRequest::Socket(second, SocketRequest::Close)));
    assert!(!world.requests.contains(&ShellRequest::Socket(first, SocketRequest::Close)));
}

#[test]
fn what_has_no_log_is_not_restarted() {
    for address in [
        Address::OpcUa(SOURCE),
        Address::Partition(PARTITION),
        Address::Flow(FlowAddress { flow: FLOW, instance: 0 }),
        Address::Batcher(FLOW),
    ] {
        assert!(!Host::can_restart(address), "{address}");
    }
}

// What the tests lean on: hosts whose envelopes arrive at once, and shells that only write down what they are asked.

struct World {
    topology: Arc<Topology>,
    hosts: Vec<Host>,
    now: Instant,
    requests: Vec<ShellRequest>,
    passed: Vec<Envelope>,
    panics: Option<Address>,
}

struct Here<'a> {
    requests: &'a mut Vec<ShellRequest>,
    passed: &'a mut Vec<Envelope>,
    sent: &'a mut Vec<(CoreIndex, Envelope)>,
    panics: Option<Address>,
}

impl Surroundings for Here<'_> {
    fn send(&mut self, core: CoreIndex, envelope: Envelope) {
        self.sent.push((core, envelope));
    }

    fn request(&mut self, request: ShellRequest) {
        self.requests.push(request);
    }

    fn pass(&mut self, envelope: Envelope) -> Option<Envelope> {
        self.passed.push(envelope.clone());
        Some(envelope)
    }

    fn observe(&mut self, _observation: Observation) {}

    fn step_begins(&mut self, address: Address) {
        assert_ne!(self.panics, Some(address), "on purpose");
    }
}

struct Log(MemoryLog);

impl PartitionLog for Log {
    fn request(&mut self, request: LogRequest, answers: &mut Vec<LogResponse>) {
        answers.extend(self.0.handle(request));
    }
}

impl World {
    fn new(topology: Topology) -> Self {
        let topology = Arc::new(topology);
        let hosts = (0..topology.cores_count).map(|core| Host::new(parts(CoreIndex(core), &topology))).collect();
        Self { topology, hosts, now: Instant::ZERO, requests: Vec::new(), passed: Vec::new(), panics: None }
    }

    /// Runs all hosts until none has anything to do. Servers cannot be reached.
    fn run(&mut self) {
        loop {
            let asked_before = self.requests.len();
            let mut sent = Vec::new();
            for host in &mut self.hosts {
                let requests = &mut self.requests;
                let mut here = Here { requests, passed: &mut self.passed, sent: &mut sent, panics: self.panics };
                while host.turn(self.now, &mut here).more {}
            }
            let connects = self.requests[asked_before..]
                .iter()
                .any(|request| matches!(request, ShellRequest::OpcUa(_, opcua_subscription::Effect::Connect)));
            if connects {
                let reason = DisconnectReason::Unreachable("away".into());
                let message = ToOpcUa::Disconnected { reason, utc: UtcTime::from_ticks(0) };
                self.hosts[0].deliver(Envelope::OpcUa(SOURCE, message));
            }
            for (core, envelope) in &sent {
                self.hosts[usize::from(core.0)].deliver(envelope.clone());
            }
            if sent.is_empty() && !connects {
                return;
            }
        }
    }

    fn connect(&mut self, address: ConnectionAddress, connect: &'static [u8]) {
        self.accept(address);
        self.deliver(Envelope::Connection(address, ToConnection::Received(Bytes::from_static(connect))));
    }

    /// All that a connection wrote.
    fn written(&self, address: ConnectionAddress) -> Vec<u8> {
        let bytes = self.requests.iter().filter_map(|request| match request {
            ShellRequest::Socket(to, SocketRequest::Write(bytes)) if *to == address => Some(bytes.to_vec()),
            ShellRequest::Socket(..)
            | ShellRequest::Lane(..)
            | ShellRequest::OpcUa(..)
            | ShellRequest::Authenticate(..)
            | ShellRequest::Report(..) => None,
        });
        bytes.flatten().collect()
    }

    fn has_gone(&self, address: ConnectionAddress) -> bool {
        self.requests.contains(&ShellRequest::Socket(address, SocketRequest::Forget))
    }

    fn accept(&mut self, address: ConnectionAddress) {
        self.accept_at(address, ListenerIndex(0), ConnectionConfig::default());
    }

    fn accept_at(&mut self, address: ConnectionAddress, listener: ListenerIndex, config: ConnectionConfig) {
        self.hosts[usize::from(address.core.0)].accept(address, listener, Arc::new(config), self.now);
    }

    fn deliver(&mut self, envelope: Envelope) {
        let core = self.topology.core_of(envelope.address().unwrap());
        self.hosts[usize::from(core.0)].deliver(envelope);
        self.run();
    }

    fn restart(&mut self) {
        let mut sent = Vec::new();
        let (requests, passed) = (&mut self.requests, &mut self.passed);
        self.hosts[0].restart(&mut Here { requests, passed, sent: &mut sent, panics: None });
        self.run();
    }

    fn pass_time(&mut self, time: Duration) {
        self.now += time;
        self.run();
    }

    fn stages(&self) -> Vec<StopStage> {
        self.hosts.iter().map(Host::stage).collect()
    }

    fn open_lane(&mut self) {
        let message = ToBatcher::Opened { hub_partitions_count: 1, message_bytes_max: None };
        self.deliver(Envelope::Batcher(FLOW, message));
    }

    fn publish(&mut self) {
        let message = ToPartition::Publish {
            publisher: Publisher::OpcUa(SOURCE),
            token: PublishToken(1),
            publications: vec![publication()],
            acknowledge: Acknowledge::AcceptedAndDelivered,
        };
        self.deliver(Envelope::Partition(PARTITION, message));
    }

    fn take_send(&mut self) -> Option<egress_batcher::Send> {
        let place = self
            .requests
            .iter()
            .position(|request| matches!(request, ShellRequest::Lane(FLOW, LaneRequest::Send(_))))?;
        match self.requests.remove(place) {
            ShellRequest::Lane(_, LaneRequest::Send(send)) => Some(send),
            ShellRequest::Lane(..)
            | ShellRequest::OpcUa(..)
            | ShellRequest::Socket(..)
            | ShellRequest::Authenticate(..)
            | ShellRequest::Report(..) => None,
        }
    }

    fn settle(&mut self, send: &egress_batcher::Send) {
        let message = ToBatcher::Settled { batch_id: send.batch_id, outcome: Outcome::Accepted };
        self.deliver(Envelope::Batcher(FLOW, message));
    }
}

fn stage_done(envelope: &Envelope) -> Option<StopStage> {
    match envelope {
        Envelope::Host(HostMessage::StageDone { stage, .. }) => Some(*stage),
        Envelope::Host(HostMessage::BeginStage(_))
        | Envelope::OpcUa(..)
        | Envelope::Connection(..)
        | Envelope::Partition(..)
        | Envelope::Flow(..)
        | Envelope::Batcher(..) => None,
    }
}

fn publication() -> Publication {
    let draft = PublicationDraft {
        topic_name: "plant/a",
        properties: &[],
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: Instant::ZERO,
        received_utc: UtcTime::from_ticks(0),
    };
    let mut arena = PublicationArena::new(1_024);
    let mut builder = arena.begin(&draft);
    builder.put(b"21.5");
    builder.finish(1)
}

/// What lives on `core`, by the topology of the test.
fn parts(core: CoreIndex, topology: &Arc<Topology>) -> HostParts {
    let here = |owner: &CoreIndex| *owner == core;
    HostParts {
        core,
        topology: Arc::clone(topology),
        sessions: topology.sources.iter().filter(|owner| here(owner)).map(|_| (SOURCE, (session(), None))).collect(),
        partitions: topology
            .partitions
            .iter()
            .filter(|owner| here(owner))
            .map(|_| (PARTITION, HostedPartition { actor: partition(), log: Box::new(Log(log())) }))
            .collect(),
        flows: topology.flows[0]
            .iter()
            .filter(|owner| here(owner))
            .map(|_| (FlowAddress { flow: FLOW, instance: 0 }, flow()))
            .collect(),
        batchers: topology
            .batchers
            .iter()
            .filter(|owner| here(owner))
            .map(|_| (FLOW, EgressBatcher::new(egress_batcher::Limits::default(), 7)))
            .collect(),
    }
}

fn session() -> Session {
    let point = DataPoint { name: "t".to_owned(), node_id: "ns=1;s=t".to_owned(), ..DataPoint::default() };
    let config = SessionConfig {
        session_name: "hosted".to_owned(),
        topic_namespace: "plant".to_owned(),
        defaults: opcua_subscription::DataSetDefaults::default(),
        data_sets: vec![DataSet { asset: "a".to_owned(), points: vec![point], ..DataSet::default() }],
        partitions_count: 1,
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry: None,
    };
    Session::new(&config, opcua_subscription::Limits::default(), 7).unwrap()
}

fn log() -> MemoryLog {
    MemoryLog::new(Epoch(1), 1 << 20)
}

fn partition() -> BrokerPartition {
    BrokerPartition::new(PartitionConfig {
        partition: PARTITION,
        partitions_count: 1,
        epoch: Epoch(1),
        flows: vec![FlowSource { flow: FLOW, topic_filters: vec!["#".into()] }],
        limits: PartitionLimits {
            shard_bytes_max: 1 << 20,
            spill_bytes: 1 << 19,
            message_bytes_max: 1 << 16,
            subscriber_queue_count_max: 100,
            subscriber_queue_bytes_max: 1 << 16,
            subscriber_queue_when_full: QueueWhenFull::DropOldest,
            retained_count_max: 10,
            retained_bytes_max: 1 << 16,
            subscriptions_per_client_max: 10,
            subscriptions_count_max: 10,
            shared_subscriptions_count_max: 10,
            sessions_count_max: 10,
        },
    })
}

fn flow() -> Dataflow {
    let config = dataflow::Config { flow: FLOW, sources: vec!["#".to_owned()], key: KeyChoice::TopicName };
    let under_way = Credit { count: 100, bytes: 1 << 16 };
    Dataflow::new(Program::compile(&config).unwrap(), dataflow::Limits { under_way, partitions_count: 1 })
}
