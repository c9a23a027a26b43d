//! Builds one executor's actors, mailboxes and shells, on its own thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::Context;
use authentication::Gate;
use broker_partition::{BrokerPartition, FlowSource, MemoryLog, PartitionConfig, PartitionLimits};
use contract::{CoreIndex, Credit, Epoch, FlowIndex, LogRequest, LogResponse, PartitionIndex, SourceIndex, UtcTime};
use dataflow::{Dataflow, KeyChoice, Program};
use egress_batcher::EgressBatcher;
use eventhubs_lane::{LaneAnswer, LaneCommand};
use executor::{Blocking, BoxError, Clock, Core, CoreContext, CoreFactory, ExecutorSpec, local_channel};
use mailbox::{Doorbell, Receiver, Sender};
use mqtt_connection::{Authentication, ConnectionConfig};
use mqtt_listener::{BoundListener, CoreListener, Frontend, FrontendConfig};
use opcua_transport::spawn_transport;
use placement::{ActorKind, Plan, QueueWhenFull};
use wiring::{Envelope, FlowAddress, Host, HostParts, HostedPartition, PartitionLog, Topology};

use super::client_access::ClientAccess;
use super::egress::LaneEnds;
use super::left::Left;
use super::listeners::ListenerAccess;
use super::memory_limit::MemoryLimit;
use super::outlet::Outlet;
use super::placed_core::{Inlets, PlacedCore};
use super::snapshot::{CoreRequest, Labels};
use super::sources::Source;
use super::state_file::StateFile;
use super::world::{LaneRoute, SourceShells, World};
use crate::site::{PartitionKey, Site};

/// Requests of the control lane that may wait for a core.
const REQUESTS_MAX: usize = 16;
/// Messages of one transport that may wait for its actor; then its socket is not read.
const TRANSPORT_MESSAGES_MAX: usize = 64;
/// Commands that may wait for one transport.
const TRANSPORT_COMMANDS_MAX: usize = 1_024;

/// What every core is built from.
pub(super) struct CoreBlueprint {
    pub(super) site: Site,
    pub(super) plan: Plan,
    pub(super) sources: Vec<Source>,
    pub(super) topology: Arc<Topology>,
    pub(super) labels: Labels,
    /// The life of the logs in memory.
    pub(super) epoch: Epoch,
    /// By flow, its lane and its number there.
    pub(super) lane_routes: Vec<LaneRoute>,
    pub(super) blocking: Blocking,
    /// Where cores tell what a stop has not delivered yet.
    pub(super) left: Arc<Left>,
    /// By listener, who is let in and what clients may do.
    pub(super) listeners: Vec<ListenerAccess>,
    /// Who checks credentials.
    pub(super) gate: Option<Gate>,
}

/// The mailboxes of all cores, before they are handed out.
pub(super) struct CoreMailboxes {
    cores: Vec<CoreMailbox>,
}

struct CoreMailbox {
    envelopes: (Sender<Envelope>, Receiver<Envelope>),
    requests: (Sender<CoreRequest>, Receiver<CoreRequest>),
}

impl CoreMailboxes {
    /// One mailbox for each executor, for all that other cores send it; its depth is the sum of its actors' depths.
    pub(super) fn make(plan: &Plan, specs: &[ExecutorSpec]) -> Self {
        let mailbox = |(spec, planned): (&ExecutorSpec, &placement::PlannedExecutor)| {
            let depth = |actor: &placement::PlannedActor| plan.profile.mailbox.depth(actor.kind) as usize;
            let depth = planned.actors.iter().map(depth).sum::<usize>().max(16);
            CoreMailbox {
                envelopes: mailbox::channel(depth, &spec.doorbell),
                requests: mailbox::channel(REQUESTS_MAX, &spec.doorbell),
            }
        };
        Self { cores: specs.iter().zip(&plan.executors).map(mailbox).collect() }
    }

    /// Where the control lane asks each core.
    pub(super) fn request_senders(&self) -> Vec<Sender<CoreRequest>> {
        self.cores.iter().map(|core| core.requests.0.clone()).collect()
    }
}

/// One factory for each executor.
pub(super) fn factories(
    blueprint: &Arc<CoreBlueprint>,
    specs: Vec<ExecutorSpec>,
    mailboxes: CoreMailboxes,
    lanes: LaneEnds,
    listeners: Vec<BoundListener>,
) -> Vec<(ExecutorSpec, CoreFactory)> {
    let senders: Vec<Sender<Envelope>> = mailboxes.cores.iter().map(|core| core.envelopes.0.clone()).collect();
    let mut parts = deal_listeners(&blueprint.plan, listeners);
    let mut answers = lanes.answers;
    let mut factories = Vec::with_capacity(specs.len());
    for (index, (spec, mailbox)) in specs.into_iter().zip(mailboxes.cores).enumerate() {
        let core = CoreIndex(u16::try_from(index).expect("executors were counted"));
        let is_here = |(flow, _): &mut (FlowIndex, _)| blueprint.topology.batchers[usize::from(flow.0)] == core;
        let ends = CoreEnds {
            index: core,
            doorbell: spec.doorbell.clone(),
            senders: senders.clone(),
            lanes: lanes.commands.clone(),
            envelopes: mailbox.envelopes.1,
            lane_answers: answers.extract_if(.., is_here).collect(),
            requests: mailbox.requests.1,
            listeners: std::mem::take(&mut parts[index]),
        };
        let blueprint = Arc::clone(blueprint);
        let factory: CoreFactory = Box::new(move |context| {
            Box::pin(
                async move { build(&blueprint, ends, &context).map_err(|error| BoxError::from(format!("{error:#}"))) },
            )
        });
        factories.push((spec, factory));
    }
    factories
}

/// Gives each frontend worker's executor its part of every listener. Workers that share an executor share a part.
fn deal_listeners(plan: &Plan, listeners: Vec<BoundListener>) -> Vec<Vec<CoreListener>> {
    let mut parts: Vec<Vec<CoreListener>> = plan.executors.iter().map(|_| Vec::new()).collect();
    for listener in listeners {
        for (worker, part) in (0_u32..).zip(listener.into_cores()) {
            parts[plan.executor_of(ActorKind::MqttConnection, worker)].push(part);
        }
    }
    parts
}

/// The ends of mailboxes and sockets that belong to one core.
struct CoreEnds {
    index: CoreIndex,
    doorbell: Doorbell,
    senders: Vec<Sender<Envelope>>,
    lanes: Vec<Sender<LaneCommand>>,
    envelopes: Receiver<Envelope>,
    lane_answers: Vec<(FlowIndex, Receiver<LaneAnswer>)>,
    requests: Receiver<CoreRequest>,
    listeners: Vec<CoreListener>,
}

fn build(blueprint: &CoreBlueprint, ends: CoreEnds, context: &CoreContext) -> anyhow::Result<Box<dyn Core>> {
    let here = ends.index;
    let clock = context.clock();
    let outlet = |sender: Sender<_>| Outlet::new(sender, ends.doorbell.clone());
    let share = frontend_share(blueprint, here);
    let of_listener = |listener: &ListenerAccess| {
        let live_max = listener.connections_count_max.map_or(u64::MAX, |count| share.of(count).into());
        (listener.authenticators.clone(), live_max)
    };
    let listeners = blueprint.listeners.iter().map(of_listener).collect();
    let clients = ClientAccess::new(context.clone(), blueprint.gate.clone(), listeners);
    let mut world = World::new(clock, blueprint.labels.clone(), clients);
    world.cores = (0..).zip(ends.senders).map(|(core, sender)| (core != here.0).then(|| outlet(sender))).collect();
    world.lanes = ends.lanes.into_iter().map(|sender| Outlet::new(sender, ends.doorbell.clone())).collect();
    world.lane_routes = (0..).map(FlowIndex).zip(blueprint.lane_routes.iter().copied()).collect();
    if !ends.listeners.is_empty() {
        world.frontend = Some(Frontend::start(context, frontend_config(blueprint, here), ends.listeners)?);
    }
    let mut sources = Vec::new();
    for (source, made) in (0..).map(SourceIndex).zip(&blueprint.sources) {
        if blueprint.topology.sources[usize::from(source.0)] == here {
            sources.push((source, start_source(blueprint, source, made, context, &mut world)?));
        }
    }
    let host = Host::new(host_parts(blueprint, here, clock)?);
    Ok(Box::new(PlacedCore {
        index: here.0,
        name: blueprint.plan.executors[usize::from(here.0)].cores.join("+"),
        stats: Arc::clone(context.stats()),
        host,
        world,
        inlets: Inlets { envelopes: ends.envelopes, lane_answers: ends.lane_answers, requests: ends.requests, sources },
        left: Arc::clone(&blueprint.left),
        connection_configs: connection_configs(blueprint, clock),
        memory: MemoryLimit::new(share.memory_bytes(blueprint)),
        taken: VecDeque::new(),
        socket_events: VecDeque::new(),
    }))
}

fn start_source(
    blueprint: &CoreBlueprint,
    source: SourceIndex,
    made: &Source,
    context: &CoreContext,
    world: &mut World,
) -> anyhow::Result<executor::LocalReceiver<opcua_subscription::Message>> {
    let (commands, to_transport) = local_channel(TRANSPORT_COMMANDS_MAX, None);
    let (messages, from_transport) = local_channel(TRANSPORT_MESSAGES_MAX, Some(context.local_bell()));
    let config = made.transport(&blueprint.site, &blueprint.plan.profile)?;
    spawn_transport(context, "opcua-transport", config, to_transport, messages, blueprint.blocking.clone())?;
    let state_file = StateFile::start(context, made.state_file.clone(), blueprint.blocking.clone())?;
    world.sources.insert(source, SourceShells { commands, waiting: VecDeque::new(), state_file });
    Ok(from_transport)
}

/// The frontend workers of one executor, which share one frontend, among all.
#[derive(Clone, Copy)]
struct FrontendShare {
    workers_here: u32,
    workers_count: u32,
}

impl FrontendShare {
    /// This executor's part of a limit of the process, rounded up.
    fn of(self, all: u32) -> u32 {
        let part = (u64::from(all) * u64::from(self.workers_here)).div_ceil(u64::from(self.workers_count));
        u32::try_from(part).unwrap_or(u32::MAX)
    }

    /// What the connections here may hold together.
    fn memory_bytes(self, blueprint: &CoreBlueprint) -> usize {
        let bytes = blueprint.plan.profile.broker.frontend_bytes_max.saturating_mul(self.workers_here.into());
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

fn frontend_share(blueprint: &CoreBlueprint, core: CoreIndex) -> FrontendShare {
    let workers_count = blueprint.plan.profile.broker.frontends_count().max(1);
    let is_here = |worker: &u32| blueprint.plan.executor_of(ActorKind::MqttConnection, *worker) == usize::from(core.0);
    let workers_here = u32::try_from((0..workers_count).filter(is_here).count()).unwrap_or(1).max(1);
    FrontendShare { workers_here, workers_count }
}

fn frontend_config(blueprint: &CoreBlueprint, core: CoreIndex) -> FrontendConfig {
    let broker = &blueprint.plan.profile.broker;
    let share = frontend_share(blueprint, core);
    FrontendConfig {
        connections_max: share.of(broker.connections_count_max),
        connect_rate_max: Some(share.of(broker.connect_rate_per_s_max)),
        ..FrontendConfig::new(core)
    }
}

fn host_parts(blueprint: &CoreBlueprint, here: CoreIndex, clock: Clock) -> anyhow::Result<HostParts> {
    let topology = &blueprint.topology;
    let now = clock.now();
    let seed = blueprint.epoch.0 ^ (u64::from(here.0) << 48) ^ now.as_nanos();
    let mut sessions = BTreeMap::new();
    for (source, made) in (0..).map(SourceIndex).zip(&blueprint.sources) {
        if topology.sources[usize::from(source.0)] == here {
            sessions.insert(source, (made.session(seed ^ u64::from(source.0))?, made.saved_state()));
        }
    }
    let here_partitions =
        topology.partition_indexes().filter(|index| topology.partitions[usize::from(index.0)] == here);
    let mut flows = BTreeMap::new();
    let mut batchers = BTreeMap::new();
    for (flow, cores) in (0..).map(FlowIndex).zip(&topology.flows) {
        for (instance, _) in (0..).zip(cores).filter(|(_, core)| **core == here) {
            let address = FlowAddress { flow, instance };
            flows.insert(address, dataflow(blueprint, address)?);
        }
        if topology.batchers[usize::from(flow.0)] == here {
            batchers.insert(flow, EgressBatcher::new(egress_limits(blueprint), seed ^ u64::from(flow.0)));
        }
    }
    Ok(HostParts {
        core: here,
        topology: Arc::clone(topology),
        sessions,
        partitions: here_partitions.map(|partition| (partition, hosted_partition(blueprint, partition))).collect(),
        flows,
        batchers,
    })
}

fn program_config(blueprint: &CoreBlueprint, flow: FlowIndex) -> dataflow::Config {
    let of_site = &blueprint.site.flows[usize::from(flow.0)];
    dataflow::Config {
        flow,
        sources: of_site.sources.iter().map(|source| source.get_ref().clone()).collect(),
        key: match of_site.partition_key {
            PartitionKey::Topic => KeyChoice::TopicName,
            PartitionKey::None => KeyChoice::None,
        },
    }
}

fn dataflow(blueprint: &CoreBlueprint, address: FlowAddress) -> anyhow::Result<Dataflow> {
    let of_profile = &blueprint.plan.profile.dataflow;
    let instances_count =
        u32::try_from(blueprint.topology.flows[usize::from(address.flow.0)].len()).unwrap_or(u32::MAX);
    let program = Program::compile(&program_config(blueprint, address.flow))
        .with_context(|| format!("flow {}", blueprint.labels.flows[usize::from(address.flow.0)]))?;
    let egress = &blueprint.plan.profile.egress;
    let under_way = Credit {
        count: of_profile.credit_count.min(egress.pending_count_max / instances_count).max(1),
        bytes: of_profile.credit_bytes.min(egress.pending_bytes_max / u64::from(instances_count)).max(1),
    };
    let partitions_count = blueprint.topology.partitions_of(address);
    Ok(Dataflow::new(program, dataflow::Limits { under_way, partitions_count }))
}

fn egress_limits(blueprint: &CoreBlueprint) -> egress_batcher::Limits {
    let egress = &blueprint.plan.profile.egress;
    // A flow's window of one record for each partition comes on top of its credit.
    let slack = usize::from(blueprint.topology.partitions_count());
    egress_batcher::Limits {
        batch_bytes_max: egress.batch_bytes_max as usize,
        events_per_batch_max: egress.events_per_batch_max as usize,
        linger: egress.linger,
        batches_in_flight_max: egress.batches_in_flight_max as usize,
        pending_count_max: egress.pending_count_max as usize + slack,
        retry_delay_max: egress.retry_backoff_max,
        park_delay: egress.park_delay,
        refresh_interval: egress.refresh_interval,
        throughput_units: egress.throughput_units_max,
    }
}

/// A partition's log in memory, which answers at once.
struct MemoryEngine(MemoryLog);

impl PartitionLog for MemoryEngine {
    fn request(&mut self, request: LogRequest, answers: &mut Vec<LogResponse>) {
        answers.extend(self.0.handle(request));
    }
}

fn hosted_partition(blueprint: &CoreBlueprint, partition: PartitionIndex) -> HostedPartition {
    let broker = &blueprint.plan.profile.broker;
    let shard_bytes_max = broker.memory_profile.shard_bytes_max();
    let flows = (0..).map(FlowIndex).zip(&blueprint.site.flows).map(|(flow, _)| FlowSource {
        flow,
        topic_filters: program_config(blueprint, flow).sources.into_iter().map(Into::into).collect(),
    });
    let config = PartitionConfig {
        partition,
        partitions_count: blueprint.topology.partitions_count(),
        epoch: blueprint.epoch,
        flows: flows.collect(),
        limits: PartitionLimits {
            shard_bytes_max,
            spill_bytes: broker.spill_bytes(),
            message_bytes_max: broker.memory_profile.message_bytes_max(),
            subscriber_queue_count_max: broker.subscriber_queue_count_max,
            subscriber_queue_bytes_max: broker.subscriber_queue_bytes_max,
            subscriber_queue_when_full: match broker.subscriber_queue_when_full {
                QueueWhenFull::DropOldest => broker_partition::QueueWhenFull::DropOldest,
                QueueWhenFull::BackPressure => broker_partition::QueueWhenFull::BackPressure,
            },
            retained_count_max: broker.retained_count_max,
            retained_bytes_max: broker.retained_bytes_max,
            subscriptions_per_client_max: broker.subscriptions_per_client_max,
            subscriptions_count_max: u32::MAX,
            shared_subscriptions_count_max: broker.shared_subscriptions_count_max,
            sessions_count_max: broker.sessions_count_max,
        },
    };
    HostedPartition {
        actor: BrokerPartition::new(config),
        log: Box::new(MemoryEngine(MemoryLog::new(blueprint.epoch, shard_bytes_max))),
    }
}

/// By listener, the limits and rules of its connections.
fn connection_configs(blueprint: &CoreBlueprint, clock: Clock) -> Vec<Arc<ConnectionConfig>> {
    let now = clock.now();
    let utc_at_start = UtcTime::from_ticks(clock.utc().ticks() - i64::try_from(now.as_nanos() / 100).unwrap_or(0));
    let broker = &blueprint.plan.profile.broker;
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let of_listener = |listener: &ListenerAccess| ConnectionConfig {
        partitions_count: blueprint.topology.partitions_count(),
        packet_bytes_max: broker.packet_bytes_max,
        receive_maximum: broker.receive_maximum,
        connect_timeout: broker.connect_timeout,
        keep_alive_max: broker.keep_alive_max,
        unread_max: broker.unread_max,
        session_expiry_max_s: seconds(broker.session_expiry_interval_max),
        session_expiry_v3_s: seconds(broker.session_expiry_v3.min(broker.session_expiry_interval_max)),
        subscriptions_per_client_max: broker.subscriptions_per_client_max,
        topic_alias_maximum: broker.topic_alias_maximum,
        client_topic_alias_maximum: broker.client_topic_alias_maximum,
        client_identifier_seed: blueprint.epoch.0,
        utc_at_start,
        authentication: match listener.authenticators {
            Some(_) => Authentication::Required,
            None => Authentication::AllowAnonymous,
        },
        access: Arc::clone(&listener.rules),
        denied_publish_v3: listener.denied_publish_v3,
        reason_strings: true,
        ..ConnectionConfig::default()
    };
    blueprint.listeners.iter().map(of_listener).map(Arc::new).collect()
}
