//! What a seed makes: cores, partitions, flows, servers, clients, hubs.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker_partition::{BrokerPartition, FlowSource, PartitionConfig, PartitionLimits, QueueWhenFull};
use contract::{CoreIndex, Credit, Epoch, FlowIndex, Instant, PartitionIndex, QoS, SourceIndex, partition_of};
use dataflow::{Dataflow, KeyChoice, Program};
use egress_batcher::EgressBatcher;
use mqtt_connection::{Authentication, ConnectionConfig};
use opcua_subscription::{
    AcknowledgeAt, Conflate, DataPoint, DataSet, DataSetDefaults, Limits, Sampling, Session, SessionConfig,
    SessionState,
};
use wiring::{FlowAddress, Host, HostParts, HostedPartition, Topology};

use crate::Dice;
use crate::client::{Client, Habits, Role, Room};
use crate::core::{LogBook, LogDesk, SimCore};
use crate::outbox::Topic;
use crate::plc::{Plc, START};
use crate::wire::Version;

/// Records and bytes that one instance of a dataflow may have under way.
pub(crate) const FLOW_CREDIT: Credit = Credit { count: 60, bytes: 60_000 };
/// Events that a batcher may hold: the credit of both instances, and one record for each of four partitions.
pub(crate) const PENDING_COUNT_MAX: usize = 2 * 60 + 8;
/// Bytes of a record; a partition refuses a connection's larger one.
pub(crate) const MESSAGE_BYTES_MAX: usize = 5_000;
/// Bytes that a partition holds before it refuses connections' publications: where it has little room, and where it has much.
const SHARD_BYTES_MAX: [u64; 2] = [16_000, 160_000];
/// Bytes of a batch; an event that is larger travels alone, and the hubs refuse it.
pub(crate) const HUB_BYTES_MAX: usize = 3_000;
/// Publications of OPC UA Sessions are made in intervals of this length.
const PUBLISHING_INTERVAL: Duration = Duration::from_millis(200);

/// Topic Filters of the flows' programs.
pub(crate) const FLOW_FILTERS: [&[&str]; 2] = [&["#"], &["plant/#", "m/+/a"]];
/// Topic Filters by which partitions give records to flows: wider for the second one, whose program leaves some out.
const PARTITION_FILTERS: [&[&str]; 2] = [&["#"], &["plant/#", "m/#"]];

/// What a seed decides once: the same for every life of the process.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    pub(crate) topology: Arc<Topology>,
    sessions: Vec<SessionConfig>,
    /// By listener, what its connections may do.
    pub(crate) listeners: Vec<Arc<ConnectionConfig>>,
    pub(crate) limits: PartitionLimits,
    first_epoch: Epoch,
}

/// The world outside: servers and clients.
pub(crate) struct World {
    pub(crate) plcs: Vec<Plc>,
    pub(crate) clients: Vec<Client>,
}

impl Plan {
    pub(crate) fn draw(seed: u64, dice: &mut Dice) -> (Self, World) {
        let topology = topology(dice);
        let mut plcs = Vec::new();
        let mut sessions = Vec::new();
        for source in 0..topology.sources.len() {
            let assets: Vec<String> = (0..dice.within(1..4)).map(|asset| format!("s{source}a{asset}")).collect();
            let tags_count = u32::try_from(dice.within(1..4)).expect("small");
            let acknowledge = if dice.one_in(2) { AcknowledgeAt::Accepted } else { AcknowledgeAt::Delivered };
            plcs.push(Plc::new(&assets, tags_count, acknowledge, dice));
            sessions.push(session_config(&assets, tags_count, topology.partitions_count(), acknowledge));
        }
        let session_expiry_v3_s = u32::try_from(dice.within(1..20)).expect("small");
        let listeners = (0..dice.within(1..3)).map(|_| listener(&topology, session_expiry_v3_s, dice)).collect();
        let (is_tight, is_crowded) = (dice.one_in(3), dice.one_in(3));
        let room = Room { is_tight, may_refuse: is_crowded || is_tight };
        let clients = clients(session_expiry_v3_s, room, dice);
        let homes =
            clients.iter().map(|client| partition_of(client.identifier.as_bytes(), topology.partitions_count()));
        let limits = partition_limits(is_tight, is_crowded.then(|| homes.collect()), dice);
        let plan = Self {
            seed,
            listeners,
            limits,
            topology: Arc::new(topology),
            sessions,
            first_epoch: Epoch(dice.within(1..1 << 40)),
        };
        (plan, World { plcs, clients })
    }

    /// The epoch of the logs of a life of the process, from 0.
    pub(crate) fn epoch(&self, life: u64) -> Epoch {
        Epoch(self.first_epoch.0 + life)
    }

    /// The hosts of a life, with what the one before has saved of its Sessions.
    pub(crate) fn cores(
        &self,
        life: u64,
        saved: &[Option<SessionState>],
        book: &LogBook,
        now: Instant,
    ) -> Vec<SimCore> {
        (0..self.topology.cores_count)
            .map(|core| SimCore {
                host: Host::new(self.parts(CoreIndex(core), life, saved, book)),
                next_at: Some(now),
                slow_until: Instant::ZERO,
                last_arrival: vec![Instant::ZERO; self.topology.cores_count.into()],
            })
            .collect()
    }

    fn parts(&self, core: CoreIndex, life: u64, saved: &[Option<SessionState>], book: &LogBook) -> HostParts {
        let topology = &self.topology;
        let here = |owner: &CoreIndex| *owner == core;
        let life_seed = self.seed ^ (life << 32);
        let mut parts = HostParts {
            core,
            topology: Arc::clone(topology),
            sessions: BTreeMap::new(),
            partitions: BTreeMap::new(),
            flows: BTreeMap::new(),
            batchers: BTreeMap::new(),
        };
        for (source, _) in (0..).map(SourceIndex).zip(&topology.sources).filter(|(_, owner)| here(owner)) {
            let index = usize::from(source.0);
            let session = Session::new(&self.sessions[index], session_limits(), life_seed ^ u64::from(source.0));
            parts.sessions.insert(source, (session.expect("the configuration is right"), saved[index].clone()));
        }
        for (partition, _) in (0..).map(PartitionIndex).zip(&topology.partitions).filter(|(_, owner)| here(owner)) {
            let log = Box::new(LogDesk { partition, book: Rc::clone(book) });
            let actor = BrokerPartition::new(partition_config(partition, self.epoch(life), topology, self.limits));
            parts.partitions.insert(partition, HostedPartition { actor, log });
        }
        for (flow, owners) in (0..).map(FlowIndex).zip(&topology.flows) {
            for (instance, _) in (0..).zip(owners).filter(|(_, owner)| here(owner)) {
                let address = FlowAddress { flow, instance };
                parts.flows.insert(address, dataflow(topology, address));
            }
        }
        for (flow, _) in (0..).map(FlowIndex).zip(&topology.batchers).filter(|(_, owner)| here(owner)) {
            parts.batchers.insert(flow, EgressBatcher::new(egress_limits(), life_seed ^ u64::from(flow.0)));
        }
        parts
    }
}

fn topology(dice: &mut Dice) -> Topology {
    let cores_count = dice.within(1..4);
    let place = |dice: &mut Dice| CoreIndex(u16::try_from(dice.within(0..cores_count)).expect("small"));
    let places = |dice: &mut Dice, count: u64| (0..count).map(|_| place(dice)).collect::<Vec<_>>();
    let (sources, partitions, flows) = (dice.within(1..3), dice.within(1..5), dice.within(1..3));
    Topology {
        cores_count: u16::try_from(cores_count).expect("small"),
        sources: places(dice, sources),
        partitions: places(dice, partitions),
        flows: (0..flows)
            .map(|_| {
                let instances = dice.within(1..3);
                places(dice, instances)
            })
            .collect(),
        batchers: places(dice, flows),
    }
}

fn session_config(
    assets: &[String],
    tags_count: u32,
    partitions_count: u16,
    acknowledge: AcknowledgeAt,
) -> SessionConfig {
    let data_set = |asset: &String| DataSet {
        asset: asset.clone(),
        points: (0..tags_count)
            .map(|tag| DataPoint {
                name: format!("t{tag}"),
                node_id: format!("nsu=urn:model;s={asset}.t{tag}"),
                sampling: Sampling { update_period: Some(Duration::from_millis(60)), ..Sampling::default() },
            })
            .collect(),
        ..DataSet::default()
    };
    SessionConfig {
        session_name: "simulated".to_owned(),
        topic_namespace: "plant".to_owned(),
        defaults: DataSetDefaults {
            publishing_interval: PUBLISHING_INTERVAL,
            conflate: Conflate::All,
            acknowledge,
            ..DataSetDefaults::default()
        },
        data_sets: assets.iter().map(data_set).collect(),
        partitions_count,
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry: None,
    }
}

fn session_limits() -> Limits {
    Limits {
        items_per_subscription: 4,
        keep_alive_interval: Duration::from_secs(1),
        liveness_interval: Duration::from_secs(1),
        request_timeout: Duration::from_secs(2),
        backoff_max: Duration::from_secs(1),
        ..Limits::default()
    }
}

fn listener(topology: &Topology, session_expiry_v3_s: u32, dice: &mut Dice) -> Arc<ConnectionConfig> {
    Arc::new(ConnectionConfig {
        partitions_count: topology.partitions_count(),
        receive_maximum: u16::try_from(dice.within(8..20)).expect("small"),
        deliveries_count_max: u32::try_from(dice.within(4..40)).expect("small"),
        packet_bytes_max: u32::try_from(MESSAGE_BYTES_MAX).expect("small"),
        session_expiry_v3_s,
        publishes_count_max: 16,
        output_bytes_max: 2_000,
        utc_at_start: START,
        client_identifier_seed: dice.number(),
        authentication: if dice.one_in(2) { Authentication::AllowAnonymous } else { Authentication::Required },
        ..ConnectionConfig::default()
    })
}

/// The limits of every partition. Where guests may crowd the others out, each home has just room for those whose home it is.
fn partition_limits(is_tight: bool, homes: Option<Vec<PartitionIndex>>, dice: &mut Dice) -> PartitionLimits {
    let at_one_home =
        |homes: Vec<PartitionIndex>| homes.iter().map(|home| homes.iter().filter(|other| *other == home).count()).max();
    let sessions_count_max = homes.and_then(at_one_home).map_or(100, |count| u32::try_from(count).expect("few"));
    let shard_bytes_max = SHARD_BYTES_MAX[usize::from(!is_tight)];
    PartitionLimits {
        shard_bytes_max,
        spill_bytes: shard_bytes_max / 8 * 5,
        message_bytes_max: u32::try_from(MESSAGE_BYTES_MAX).expect("small"),
        subscriber_queue_count_max: 100_000,
        subscriber_queue_bytes_max: 100_000_000,
        subscriber_queue_when_full: if dice.one_in(4) {
            QueueWhenFull::DropOldest
        } else {
            QueueWhenFull::BackPressure
        },
        retained_count_max: 10,
        retained_bytes_max: 10_000,
        subscriptions_per_client_max: 10,
        subscriptions_count_max: 100,
        shared_subscriptions_count_max: 10,
        sessions_count_max,
    }
}

fn partition_config(
    partition: PartitionIndex,
    epoch: Epoch,
    topology: &Topology,
    limits: PartitionLimits,
) -> PartitionConfig {
    let flows = (0..).map(FlowIndex).zip(PARTITION_FILTERS).take(topology.flows.len());
    PartitionConfig {
        partition,
        partitions_count: topology.partitions_count(),
        epoch,
        flows: flows
            .map(|(flow, filters)| FlowSource {
                flow,
                topic_filters: filters.iter().map(|text| (*text).into()).collect(),
            })
            .collect(),
        limits,
    }
}

fn dataflow(topology: &Topology, address: FlowAddress) -> Dataflow {
    let sources = FLOW_FILTERS[usize::from(address.flow.0)].iter().map(|text| (*text).to_owned()).collect();
    let config = dataflow::Config { flow: address.flow, sources, key: KeyChoice::TopicName };
    let program = Program::compile(&config).expect("the filters are right");
    let partitions_count = topology.partitions_of(address);
    Dataflow::new(program, dataflow::Limits { under_way: FLOW_CREDIT, partitions_count })
}

fn egress_limits() -> egress_batcher::Limits {
    egress_batcher::Limits {
        batch_bytes_max: HUB_BYTES_MAX,
        events_per_batch_max: 12,
        linger: Duration::from_millis(20),
        batches_in_flight_max: 3,
        pending_count_max: PENDING_COUNT_MAX,
        retry_delay_max: Duration::from_secs(2),
        park_delay: Duration::from_secs(5),
        refresh_interval: Duration::from_secs(1),
        ..egress_batcher::Limits::default()
    }
}

/// Publishers, subscribers, the members of a group, and guests.
fn clients(session_expiry_v3_s: u32, room: Room, dice: &mut Dice) -> Vec<Client> {
    let mut clients = Vec::new();
    let mut make = |name: String, role: Role, topics: Vec<Topic>, dice: &mut Dice| {
        let version = if dice.one_in(2) { Version::V5 } else { Version::V3 };
        let keeps = dice.within(0..3) > 0;
        let longest_s = if role == Role::Guest { 2 } else { 10 };
        let habits = Habits {
            session_expiry_s: if keeps { u32::try_from(dice.within(1..longest_s)).expect("small") } else { 0 },
            session_expiry_v3_s,
            has_small_packets: dice.one_in(4),
            room,
        };
        clients.push(Client::new(name, version, role, topics, habits));
    };
    for publisher in 0..dice.within(2..4) {
        let topic = |last: &str, dice: &mut Dice| Topic {
            name: format!("m/{publisher}/{last}"),
            qos: u8::try_from(dice.within(0..3)).expect("small"),
        };
        let topics = ["a", "b", "c"].map(|last| topic(last, dice)).to_vec();
        make(format!("publisher{publisher}"), Role::Publisher, topics, dice);
    }
    // At QoS 2 most of all.
    let level = |dice: &mut Dice| u8::try_from(dice.within(0..5).min(2)).expect("small");
    for (subscriber, topic_filter) in ["#", "m/+/a", "m/0/#"].into_iter().enumerate() {
        let role = Role::Subscriber { topic_filter: topic_filter.to_owned(), share_name: None, qos: level(dice) };
        make(format!("subscriber{subscriber}"), role, Vec::new(), dice);
    }
    let (members_count, qos) = (dice.within(0..3), level(dice));
    for member in 0..members_count {
        let role = Role::Subscriber { topic_filter: "m/+/b".to_owned(), share_name: Some("group".to_owned()), qos };
        make(format!("member{member}"), role, Vec::new(), dice);
    }
    for guest in 0..dice.within(0..3) {
        make(format!("guest{guest}"), Role::Guest, Vec::new(), dice);
    }
    clients
}
