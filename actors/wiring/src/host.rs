//! The actors of one core, and their steps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use access::AccessRules;
use broker_partition::BrokerPartition;
use contract::{
    Actor, ConnectionAddress, CoreIndex, Effects, FlowIndex, Instant, LogResponse, PartitionIndex, SourceIndex,
};
use dataflow::Dataflow;
use egress_batcher::EgressBatcher;
use mqtt_connection::{Connection, ConnectionConfig};
use opcua_subscription::{Session, SessionState};

use crate::alarms::Alarms;
use crate::connections::Connections;
use crate::routing::{Aftermath, Router};
use crate::stopping::StopCoordinator;
use crate::{
    Address, ConnectionCounts, Envelope, FlowAddress, HostMessage, ListenerIndex, PartitionLog, ShellRequest,
    SocketRequest, StopStage, Surroundings, Topology, batcher, connection, flow, opcua, partition,
};

mod stages;

/// The actors that one core hosts, made before it starts.
pub struct HostParts {
    /// The core.
    pub core: CoreIndex,
    /// Where everything is.
    pub topology: Arc<Topology>,
    /// Sessions, with what an earlier life of each has saved.
    pub sessions: BTreeMap<SourceIndex, (Session, Option<SessionState>)>,
    /// Partitions, each with its log.
    pub partitions: BTreeMap<PartitionIndex, HostedPartition>,
    /// Instances of dataflows.
    pub flows: BTreeMap<FlowAddress, Dataflow>,
    /// Batchers.
    pub batchers: BTreeMap<FlowIndex, EgressBatcher>,
}

/// A partition with its log.
pub struct HostedPartition {
    /// The actor.
    pub actor: BrokerPartition,
    /// Its log.
    pub log: Box<dyn PartitionLog>,
}

/// What a turn leaves to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// When the next turn is due, whatever comes; `None` when messages alone matter.
    pub next_timeout: Option<Instant>,
    /// The turn ended before the work: another one is due at once.
    pub more: bool,
}

/// The actors of one core with the queue between them.
///
/// The queue holds what actors of this core have said to each other and what came for them; it is bounded by what the actors
/// may have under way (credit, receive windows, tokens), not by a number of its own.
pub struct Host {
    core: CoreIndex,
    topology: Arc<Topology>,
    sessions: BTreeMap<SourceIndex, Session>,
    connections: Connections,
    partitions: BTreeMap<PartitionIndex, HostedPartition>,
    flows: BTreeMap<FlowAddress, Dataflow>,
    batchers: BTreeMap<FlowIndex, EgressBatcher>,
    inbox: VecDeque<Envelope>,
    alarms: Alarms,
    effects: StepEffects,
    log_answers: Vec<LogResponse>,
    stage: StopStage,
    /// Actors of this core that have not finished the stage.
    stage_waits_for: BTreeSet<Address>,
    stage_is_reported: bool,
    coordinator: Option<StopCoordinator>,
    /// Whose step is under way; it is the culprit of a panic.
    stepping: Option<Address>,
}

/// The lists that steps push to, one for each kind of actor.
struct StepEffects {
    opcua: Effects<opcua_subscription::Effect>,
    connection: Effects<mqtt_connection::Effect>,
    partition: Effects<broker_partition::Effect>,
    flow: Effects<dataflow::Effect>,
    batcher: Effects<egress_batcher::Effect>,
}

/// What a step takes.
enum Input<M> {
    Message(M),
    Timeout,
}

fn step<A: Actor>(actor: &mut A, input: Input<A::Message>, now: Instant, effects: &mut Effects<A::Effect>) {
    match input {
        Input::Message(message) => actor.handle(message, now, effects),
        Input::Timeout => actor.handle_timeout(now, effects),
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Host");
        debug.field("core", &self.core).field("stage", &self.stage).field("inbox", &self.inbox.len());
        debug.finish_non_exhaustive()
    }
}

impl Host {
    /// Takes the actors in and gives each its first message. They step when the first turn comes.
    pub fn new(parts: HostParts) -> Self {
        let HostParts { core, topology, sessions, partitions, flows, batchers } = parts;
        let opcua_max = sessions.values().map(|(session, _)| session.effects_count_max()).max().unwrap_or(0);
        let batcher_max = batchers.values().map(EgressBatcher::effects_count_max).max().unwrap_or(0);
        let mut inbox = VecDeque::new();
        let start = |partition| Envelope::Partition(partition, broker_partition::Message::Start);
        inbox.extend(partitions.keys().copied().map(start));
        let mut alarms = Alarms::default();
        for flow in batchers.keys() {
            alarms.set(Address::Batcher(*flow), Some(Instant::ZERO));
        }
        let mut started = BTreeMap::new();
        for (source, (session, saved)) in sessions {
            inbox.push_back(Envelope::OpcUa(source, opcua_subscription::Message::Start { saved }));
            started.insert(source, session);
        }
        Self {
            core,
            coordinator: (core == CoreIndex(0)).then(|| StopCoordinator::new(topology.cores_count)),
            topology,
            sessions: started,
            connections: Connections::default(),
            partitions,
            flows,
            batchers,
            inbox,
            alarms,
            effects: StepEffects {
                opcua: Effects::new(opcua_max),
                connection: Effects::new(mqtt_connection::EFFECTS_COUNT_MAX),
                partition: Effects::new(BrokerPartition::EFFECTS_COUNT_MAX),
                flow: Effects::new(Dataflow::EFFECTS_COUNT_MAX),
                batcher: Effects::new(batcher_max),
            },
            log_answers: Vec::new(),
            stage: StopStage::Running,
            stage_waits_for: BTreeSet::new(),
            stage_is_reported: false,
            stepping: None,
        }
    }

    /// Takes a message from a shell, a lane or another core. It is handled at the next turn.
    pub fn deliver(&mut self, envelope: Envelope) {
        self.inbox.push_back(envelope);
    }

    /// Makes the actor of a connection that `listener` accepted, with that listener's limits and rules. Its socket is closed again if
    /// the process stops. What the transport knows of the peer stays with the shell, which adds it to
    /// [`ShellRequest::Authenticate`].
    pub fn accept(
        &mut self,
        address: ConnectionAddress,
        listener: ListenerIndex,
        config: Arc<ConnectionConfig>,
        now: Instant,
    ) {
        let connection = Connection::new(config, address, now);
        self.alarms.set(Address::Connection(address), connection.poll_timeout());
        self.connections.insert(address, listener, connection);
        if self.stage >= StopStage::Sources {
            self.stop_connection(address);
        }
    }

    /// Begins the stop of all cores. Call it on every core, or on core 0.
    pub fn stop(&mut self) {
        if let Some(stage) = self.coordinator.as_mut().and_then(StopCoordinator::begin) {
            self.inbox.push_back(Envelope::Host(HostMessage::BeginStage(stage)));
        }
    }

    /// Tells the connections of this core that `listener` accepted that other access rules hold. Later ones have them by the
    /// `ConnectionConfig` that [`Host::accept`] is given.
    pub fn change_access(&mut self, listener: ListenerIndex, rules: &Arc<AccessRules>) {
        for address in self.connections.addresses(self.core, Some(listener)) {
            let message = mqtt_connection::Message::AccessChanged(Arc::clone(rules));
            self.inbox.push_back(Envelope::Connection(address, message));
        }
    }

    /// How far the stop is, as this core knows.
    pub fn stage(&self) -> StopStage {
        self.stage
    }

    /// Messages that wait for actors of this core.
    pub fn inbox_len(&self) -> usize {
        self.inbox.len()
    }

    /// Runs actors at `now` until nothing is due, or until the surroundings end the turn.
    pub fn turn<S: Surroundings + ?Sized>(&mut self, now: Instant, surroundings: &mut S) -> Turn {
        loop {
            while let Some(address) = self.alarms.take_due(now) {
                if !self.step_timeout(address, now, surroundings) {
                    return Turn { next_timeout: self.alarms.next(), more: true };
                }
            }
            while let Some(envelope) = self.inbox.pop_front() {
                if !self.step_message(envelope, now, surroundings) {
                    return Turn { next_timeout: self.alarms.next(), more: true };
                }
            }
            self.report_stage(surroundings);
            if self.inbox.is_empty() && self.alarms.next().is_none_or(|at| at > now) {
                return Turn { next_timeout: self.alarms.next(), more: false };
            }
        }
    }

    /// The actor whose step was cut short by a panic.
    pub fn stepping(&self) -> Option<Address> {
        self.stepping
    }

    /// Whether the actor that panicked can be replaced: a connection, whose client connects anew. The state of the others is in
    /// no log that outlives them.
    pub fn can_restart(address: Address) -> bool {
        match address {
            Address::Connection(_) => true,
            Address::OpcUa(_) | Address::Partition(_) | Address::Flow(_) | Address::Batcher(_) => false,
        }
    }

    /// Goes on after a step that panicked: the connection is closed and forgotten, and its session ends, for what it knew of it is
    /// gone. Call [`Host::can_restart`] first.
    pub fn restart<S: Surroundings + ?Sized>(&mut self, surroundings: &mut S) {
        let Some(Address::Connection(connection)) = self.stepping.take() else { return };
        self.effects.connection = Effects::new(mqtt_connection::EFFECTS_COUNT_MAX);
        self.connections.count_panic();
        self.end_connection(connection);
        surroundings.request(ShellRequest::Socket(connection, SocketRequest::Close));
        surroundings.request(ShellRequest::Socket(connection, SocketRequest::Forget));
        let mut router = Router { here: self.core, topology: &self.topology, inbox: &mut self.inbox, surroundings };
        router.send_to_partitions(|| broker_partition::Message::Lost { connection });
    }

    /// The Sessions of this core.
    pub fn sessions(&self) -> impl Iterator<Item = (SourceIndex, &Session)> {
        self.sessions.iter().map(|(source, session)| (*source, session))
    }

    /// The partitions of this core.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, &BrokerPartition)> {
        self.partitions.iter().map(|(partition, hosted)| (*partition, &hosted.actor))
    }

    /// The instances of dataflows of this core.
    pub fn flows(&self) -> impl Iterator<Item = (FlowAddress, &Dataflow)> {
        self.flows.iter().map(|(address, flow)| (*address, flow))
    }

    /// The batchers of this core.
    pub fn batchers(&self) -> impl Iterator<Item = (FlowIndex, &EgressBatcher)> {
        self.batchers.iter().map(|(flow, batcher)| (*flow, batcher))
    }

    /// What became of this core's connections, and what they did. Its cost grows with the number of those alive.
    pub fn connection_counts(&self) -> ConnectionCounts {
        self.connections.counts()
    }

    /// Bytes of packets that have not arrived whole, and of output that sockets have not taken, of all connections of this core.
    pub fn buffered_bytes(&self) -> usize {
        self.connections.buffered_bytes()
    }

    /// The connections that hold any of these bytes, the one with most first. Its cost grows with the number of all.
    pub fn connections_by_buffered_bytes(&self) -> Vec<(ConnectionAddress, usize)> {
        self.connections.by_buffered_bytes(self.core)
    }

    /// One message, to whom it is for; whether the turn goes on.
    fn step_message<S: Surroundings + ?Sized>(
        &mut self,
        envelope: Envelope,
        now: Instant,
        surroundings: &mut S,
    ) -> bool {
        match envelope {
            Envelope::OpcUa(source, message) => self.step_opcua(source, Input::Message(message), now, surroundings),
            Envelope::Connection(connection, message) => {
                self.step_connection(connection, Input::Message(message), now, surroundings)
            }
            Envelope::Partition(partition, message) => {
                if let broker_partition::Message::Publish { publications, .. } = &message
                    && let Some(publication) = publications.last()
                {
                    surroundings.accepted(publication);
                }
                self.step_partition(partition, Input::Message(message), now, surroundings)
            }
            Envelope::Flow(flow, message) => self.step_flow(flow, Input::Message(message), now, surroundings),
            Envelope::Batcher(flow, message) => self.step_batcher(flow, Input::Message(message), now, surroundings),
            Envelope::Host(message) => {
                self.handle_host_message(message, surroundings);
                true
            }
        }
    }

    fn step_timeout<S: Surroundings + ?Sized>(&mut self, address: Address, now: Instant, surroundings: &mut S) -> bool {
        match address {
            Address::OpcUa(source) => self.step_opcua(source, Input::Timeout, now, surroundings),
            Address::Connection(connection) => self.step_connection(connection, Input::Timeout, now, surroundings),
            Address::Partition(partition) => self.step_partition(partition, Input::Timeout, now, surroundings),
            Address::Flow(flow) => self.step_flow(flow, Input::Timeout, now, surroundings),
            Address::Batcher(flow) => self.step_batcher(flow, Input::Timeout, now, surroundings),
        }
    }

    fn step_opcua<S: Surroundings + ?Sized>(
        &mut self,
        source: SourceIndex,
        input: Input<opcua_subscription::Message>,
        now: Instant,
        surroundings: &mut S,
    ) -> bool {
        let address = Address::OpcUa(source);
        let Some(session) = self.sessions.get_mut(&source) else { return true };
        self.stepping = Some(address);
        surroundings.step_begins(address);
        step(session, input, now, &mut self.effects.opcua);
        let at = session.poll_timeout();
        let mut router = Router { here: self.core, topology: &self.topology, inbox: &mut self.inbox, surroundings };
        let aftermath = opcua::route(source, &mut self.effects.opcua, &mut router);
        self.after_step(address, at, aftermath);
        surroundings.step_ended(address)
    }

    fn step_connection<S: Surroundings + ?Sized>(
        &mut self,
        connection: ConnectionAddress,
        input: Input<mqtt_connection::Message>,
        now: Instant,
        surroundings: &mut S,
    ) -> bool {
        let address = Address::Connection(connection);
        let Some(actor) = self.connections.get_mut(connection) else { return true };
        self.stepping = Some(address);
        surroundings.step_begins(address);
        step(actor, input, now, &mut self.effects.connection);
        let at = actor.poll_timeout();
        self.connections.measure(connection);
        let mut router = Router { here: self.core, topology: &self.topology, inbox: &mut self.inbox, surroundings };
        let outcome = connection::route(connection, &mut self.effects.connection, &mut router);
        if let Some(reason) = outcome.end_reason {
            self.connections.count_end(reason);
        }
        self.after_step(address, at, outcome.aftermath);
        if outcome.aftermath == Aftermath::Stopped {
            self.end_connection(connection);
            surroundings.request(ShellRequest::Socket(connection, SocketRequest::Forget));
        }
        surroundings.step_ended(address)
    }

    fn step_partition<S: Surroundings + ?Sized>(
        &mut self,
        partition: PartitionIndex,
        input: Input<broker_partition::Message>,
        now: Instant,
        surroundings: &mut S,
    ) -> bool {
        let address = Address::Partition(partition);
        let Some(hosted) = self.partitions.get_mut(&partition) else { return true };
        self.stepping = Some(address);
        surroundings.step_begins(address);
        step(&mut hosted.actor, input, now, &mut self.effects.partition);
        let at = hosted.actor.poll_timeout();
        let mut router = Router { here: self.core, topology: &self.topology, inbox: &mut self.inbox, surroundings };
        let answers = &mut self.log_answers;
        let aftermath =
            partition::route(partition, &mut *hosted.log, &mut self.effects.partition, answers, &mut router);
        for answer in self.log_answers.drain(..) {
            self.inbox.push_back(Envelope::Partition(partition, broker_partition::Message::Log(answer)));
        }
        self.after_step(address, at, aftermath);
        surroundings.step_ended(address)
    }

    fn step_flow<S: Surroundings + ?Sized>(
        &mut self,
        flow: FlowAddress,
        input: Input<dataflow::Message>,
        now: Instant,
        surroundings: &mut S,
    ) -> bool {
        let address = Address::Flow(flow);
        let Some(actor) = self.flows.get_mut(&flow) else { return true };
        self.stepping = Some(address);
        surroundings.step_begins(address);
        step(actor, input, now, &mut self.effects.flow);
        let at = actor.poll_timeout();
        let mut router = Router { here: self.core, topology: &self.topology, inbox: &mut self.inbox, surroundings };
        let aftermath = flow::route(flow, &mut self.effects.flow, &mut router);
        self.after_step(address, at, aftermath);
        surroundings.step_ended(address)
    }

    fn step_batcher<S: Surroundings + ?Sized>(
        &mut self,
        flow: FlowIndex,
        input: Input<egress_batcher::Message>,
        now: Instant,
        surroundings: &mut S,
    ) -> bool {
        let address = Address::Batcher(flow);
        let Some(actor) = self.batchers.get_mut(&flow) else { return true };
        self.stepping = Some(address);
        surroundings.step_begins(address);
        step(actor, input, now, &mut self.effects.batcher);
        let at = actor.poll_timeout();
        let mut router = Router { here: self.core, topology: &self.topology, inbox: &mut self.inbox, surroundings };
        let aftermath = batcher::route(flow, &mut self.effects.batcher, &mut router);
        self.after_step(address, at, aftermath);
        surroundings.step_ended(address)
    }

    fn after_step(&mut self, address: Address, timeout: Option<Instant>, aftermath: Aftermath) {
        self.stepping = None;
        self.alarms.set(address, timeout);
        if aftermath == Aftermath::Stopped {
            self.alarms.set(address, None);
            self.stage_waits_for.remove(&address);
        }
    }

    fn end_connection(&mut self, connection: ConnectionAddress) {
        self.connections.remove(connection);
        self.alarms.set(Address::Connection(connection), None);
        self.stage_waits_for.remove(&Address::Connection(connection));
    }
}
