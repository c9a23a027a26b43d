//! What surrounds the actors of a core in this process: other cores, sockets, lanes, the clock, telemetry.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use contract::{CoreIndex, FlowIndex, Instant, Observation, Publication, SourceIndex};
use eventhubs_lane::{LaneCommand, Request};
use executor::{Clock, LocalSender};
use mqtt_listener::Frontend;
use opcua_transport::Command;
use telemetry::{ActorKind, CoreMeter};
use wiring::{Address, Envelope, LaneRequest, Report, ShellRequest, SocketRequest, Surroundings};

use super::client_access::ClientAccess;
use super::notices::Notices;
use super::outlet::Outlet;
use super::snapshot::Labels;
use super::state_file::StateFile;

/// The longest that one turn lasts before sockets have theirs; a tenth of what counts as a stall.
const TURN_MAX: Duration = Duration::from_millis(1);

/// The shells of one Session.
pub(super) struct SourceShells {
    /// To its transport.
    pub(super) commands: LocalSender<Command>,
    /// Commands that found no room; bounded by the requests that a Session has outstanding.
    pub(super) waiting: VecDeque<Command>,
    /// Its saved state.
    pub(super) state_file: StateFile,
}

/// The way to the lane of one flow's destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneRoute {
    /// The lane's mailbox, as an index into [`World::lanes`].
    pub(super) lane: usize,
    /// The route's number in that lane.
    pub(super) route: usize,
}

/// The surroundings of one core's host.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) meter: CoreMeter,
    pub(super) notices: Notices,
    pub(super) labels: Labels,
    /// By core; this core has none.
    pub(super) cores: Vec<Option<Outlet<Envelope>>>,
    pub(super) sources: BTreeMap<SourceIndex, SourceShells>,
    pub(super) frontend: Option<Frontend>,
    /// Who the clients of this core are.
    pub(super) clients: ClientAccess,
    pub(super) lanes: Vec<Outlet<LaneCommand>>,
    pub(super) lane_routes: BTreeMap<FlowIndex, LaneRoute>,
    /// Who ran longest in the last turn.
    pub(super) longest_of_turn: Option<ActorKind>,
    step_began_at: Instant,
    turn_began_at: Instant,
}

impl World {
    /// A core's surroundings without shells; they are put in before the first turn.
    pub(super) fn new(clock: Clock, labels: Labels, clients: ClientAccess) -> Self {
        Self {
            clock,
            meter: CoreMeter::default(),
            notices: Notices::default(),
            labels,
            cores: Vec::new(),
            sources: BTreeMap::new(),
            frontend: None,
            clients,
            lanes: Vec::new(),
            lane_routes: BTreeMap::new(),
            longest_of_turn: None,
            step_began_at: Instant::ZERO,
            turn_began_at: Instant::ZERO,
        }
    }

    /// Begins a turn at `now`.
    pub(super) fn turn_begins(&mut self, now: Instant) {
        self.turn_began_at = now;
        self.step_began_at = now;
    }

    /// Ends a turn: what was pushed goes on its way. Whether another turn must follow at once.
    pub(super) fn turn_ends(&mut self, now: Instant) -> bool {
        self.longest_of_turn = self.meter.take_longest().map(|(kind, _)| kind);
        self.cores.iter_mut().flatten().for_each(Outlet::flush);
        self.lanes.iter_mut().for_each(Outlet::flush);
        for shells in self.sources.values_mut() {
            shells.state_file.retry();
            if shells.commands.is_disconnected() {
                // The transport has ended and has said so.
                shells.waiting.clear();
            }
            while let Some(command) = shells.waiting.pop_front() {
                if let Err(command) = shells.commands.try_send(command) {
                    shells.waiting.push_front(command);
                    break;
                }
            }
        }
        self.frontend.as_mut().is_some_and(|frontend| frontend.flush(now))
    }

    /// When the sockets, or a client whose proof runs out, want another turn.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let of_sockets = self.frontend.as_ref().and_then(|frontend| frontend.next_timeout(now));
        [of_sockets, self.clients.next_timeout()].into_iter().flatten().min()
    }

    /// Closes the connections of clients whose proof has run out, as a token does.
    pub(super) fn end_expired(&mut self, now: Instant) {
        let Some(frontend) = &mut self.frontend else { return };
        while let Some(connection) = self.clients.next_expired(now) {
            tracing::info!(target: "audit", %connection, "a client's token has run out: its connection is closed");
            frontend.close(connection);
        }
    }

    /// Whether the shells of all Sessions have been given everything that is for them.
    pub(super) fn sources_are_idle(&self) -> bool {
        self.sources.values().all(|shells| shells.waiting.is_empty() && shells.state_file.is_idle())
    }

    /// Messages that wait for room in another core's or a lane's mailbox.
    pub(super) fn waiting_count(&self) -> usize {
        self.cores.iter().flatten().map(Outlet::len).sum::<usize>() + self.lanes.iter().map(Outlet::len).sum::<usize>()
    }

    fn request_opcua(&mut self, source: SourceIndex, effect: opcua_subscription::Effect) {
        let shells = self.sources.get_mut(&source).expect("a Session's shells are on its core");
        match Command::try_from(effect) {
            Ok(command) => shells.waiting.push_back(command),
            Err(opcua_subscription::Effect::SaveState(state)) => shells.state_file.save(state),
            Err(other) => unreachable!("{other:?} is not for a shell"),
        }
    }

    fn request_lane(&mut self, flow: FlowIndex, request: LaneRequest) {
        let LaneRoute { lane, route } = self.lane_routes[&flow];
        self.lanes[lane].push(LaneCommand { route, request: lane_request(request) });
    }

    fn report(&mut self, address: Address, report: &Report) {
        let name = self.labels.of(address).to_owned();
        self.notices.report(address, &name, report, self.clock.utc().unix_millis());
    }
}

impl Surroundings for World {
    fn send(&mut self, core: CoreIndex, envelope: Envelope) {
        self.cores[usize::from(core.0)].as_mut().expect("a host keeps what is for itself").push(envelope);
    }

    fn request(&mut self, request: ShellRequest) {
        match request {
            ShellRequest::OpcUa(source, effect) => self.request_opcua(source, effect),
            ShellRequest::Socket(connection, request) => {
                let frontend = self.frontend.as_mut().expect("connections are accepted by a frontend");
                match request {
                    SocketRequest::Write(bytes) => frontend.write(connection, bytes),
                    SocketRequest::PauseReading => frontend.pause_reading(connection),
                    SocketRequest::ResumeReading => frontend.resume_reading(connection),
                    SocketRequest::Close => frontend.close(connection),
                    SocketRequest::Forget => {
                        self.clients.forget(connection);
                        frontend.forget(connection);
                    }
                }
            }
            ShellRequest::Authenticate(connection, step, credentials) => {
                self.clients.authenticate(connection, step, *credentials);
            }
            ShellRequest::Lane(flow, request) => self.request_lane(flow, request),
            ShellRequest::Report(address, report) => self.report(address, &report),
        }
    }

    fn observe(&mut self, observation: Observation) {
        self.meter.observe(observation);
    }

    fn accepted(&mut self, publication: &Publication) {
        self.meter.remember(publication);
    }

    fn step_ended(&mut self, address: Address) -> bool {
        let now = self.clock.now();
        self.meter.charge(kind(address), 1, now - self.step_began_at);
        self.step_began_at = now;
        now - self.turn_began_at < TURN_MAX
    }
}

/// The kind under which telemetry counts an actor.
pub(super) const fn kind(address: Address) -> ActorKind {
    match address {
        Address::OpcUa(_) => ActorKind::OpcUaSubscription,
        Address::Connection(_) => ActorKind::MqttConnection,
        Address::Partition(_) => ActorKind::BrokerPartition,
        Address::Flow(_) => ActorKind::Dataflow,
        Address::Batcher(_) => ActorKind::EgressBatcher,
    }
}

fn lane_request(request: LaneRequest) -> Request {
    match request {
        LaneRequest::Open => Request::Open,
        LaneRequest::RefreshPartitions => Request::RefreshPartitions,
        LaneRequest::Send(send) => Request::Send(send),
        LaneRequest::Close => Request::Close,
    }
}
