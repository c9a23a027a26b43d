//! The actors of one executor with their mailboxes and shells: what the executor's loop runs.

use std::collections::VecDeque;
use std::sync::Arc;

use contract::{ConnectionAddress, FlowIndex, Instant, SourceIndex};
use eventhubs_lane::LaneAnswer;
use executor::{Core, ExecutorStats, LocalReceiver, Turn};
use mailbox::Receiver;
use mqtt_connection::ConnectionConfig;
use mqtt_listener::Event;
use wiring::{Address, Envelope, Host, ListenerIndex, StopStage};

use super::left::Left;
use super::memory_limit::MemoryLimit;
use super::snapshot::{Clients, CoreAnswer, CoreRequest, RulesChange, core_snapshot};
use super::sys_topics::Tally;
use super::world::World;

/// Messages that are taken from one mailbox in a turn, before the actors have theirs.
const TAKEN_MAX: usize = 512;
/// Messages of shells that may wait for actors before shells are left waiting.
const INBOX_MAX: usize = 4_096;

/// The mailboxes that end at this core.
pub(super) struct Inlets {
    /// From the other cores.
    pub(super) envelopes: Receiver<Envelope>,
    /// From the lanes to the batchers of this core.
    pub(super) lane_answers: Vec<(FlowIndex, Receiver<LaneAnswer>)>,
    /// From the control lane.
    pub(super) requests: Receiver<CoreRequest>,
    /// From the transports of this core's Sessions.
    pub(super) sources: Vec<(SourceIndex, LocalReceiver<opcua_subscription::Message>)>,
}

/// One executor's actors.
pub(super) struct PlacedCore {
    pub(super) index: u16,
    pub(super) name: String,
    pub(super) stats: Arc<ExecutorStats>,
    pub(super) host: Host,
    pub(super) world: World,
    pub(super) inlets: Inlets,
    pub(super) left: Arc<Left>,
    /// By listener, what holds for connections that come.
    pub(super) connection_configs: Vec<Arc<ConnectionConfig>>,
    pub(super) memory: MemoryLimit,
    /// Messages on their way from a mailbox to the host; empty between turns.
    pub(super) taken: VecDeque<Envelope>,
    pub(super) socket_events: VecDeque<(ConnectionAddress, Event)>,
}

impl PlacedCore {
    /// Brings what arrived to the host; `true` when a mailbox may hold more.
    fn take_in(&mut self, now: Instant) -> bool {
        // What stays in the mailboxes has rung already: the core must come back for it.
        let mut more = self.host.inbox_len() >= INBOX_MAX;
        if !more {
            more |= self.inlets.envelopes.receive_many(&mut self.taken, TAKEN_MAX) == TAKEN_MAX;
            for envelope in self.taken.drain(..) {
                self.host.deliver(envelope);
            }
            for (source, messages) in &mut self.inlets.sources {
                while let Some(message) = messages.try_receive() {
                    self.host.deliver(Envelope::OpcUa(*source, message));
                }
            }
            more |= self.take_socket_events(now);
            while let Some((connection, message)) = self.world.clients.next_answer() {
                self.host.deliver(Envelope::Connection(connection, message));
            }
        }
        for (flow, answers) in &mut self.inlets.lane_answers {
            while let Some(answer) = answers.receive() {
                self.host.deliver(Envelope::Batcher(*flow, answer.message));
            }
        }
        while let Some(request) = self.inlets.requests.receive() {
            self.obey(request);
        }
        more
    }

    fn take_socket_events(&mut self, now: Instant) -> bool {
        let Some(frontend) = &mut self.world.frontend else { return false };
        let more = frontend.poll_events(now, &mut self.socket_events, TAKEN_MAX);
        for (connection, event) in self.socket_events.drain(..) {
            let message = match event {
                Event::Accepted { peer, listener, tls } => {
                    if !self.world.clients.open(connection, listener, peer.ip(), tls) {
                        frontend.forget(connection);
                        continue;
                    }
                    let config = Arc::clone(&self.connection_configs[usize::from(listener)]);
                    self.host.accept(connection, ListenerIndex(listener), config, now);
                    continue;
                }
                Event::Received(bytes) => mqtt_connection::Message::Received(bytes),
                Event::Written { bytes } => mqtt_connection::Message::Written { bytes },
                Event::SocketClosed => mqtt_connection::Message::SocketClosed,
            };
            self.host.deliver(Envelope::Connection(connection, message));
        }
        more
    }

    fn obey(&mut self, request: CoreRequest) {
        match request {
            CoreRequest::Snapshot { answer } => {
                // Whoever asked may have gone away.
                let _nobody_waits = answer.try_send(self.snapshot());
            }
            CoreRequest::Tally { answer, publications } => {
                for publication in publications {
                    self.host.deliver(publication);
                }
                let frontend = self.world.frontend.as_ref().map(mqtt_listener::Frontend::counts);
                let _nobody_waits = answer.try_send(Tally::of_core(&self.host, frontend));
            }
            CoreRequest::ChangeRules(changes) => {
                for RulesChange { listener, rules } in changes.iter() {
                    let config = &mut self.connection_configs[usize::from(*listener)];
                    *config = Arc::new(ConnectionConfig { access: Arc::clone(rules), ..(**config).clone() });
                    self.host.change_access(ListenerIndex(*listener), rules);
                }
            }
        }
    }

    fn snapshot(&self) -> CoreAnswer {
        let clients = Clients {
            frontend: self.world.frontend.as_ref().map(mqtt_listener::Frontend::counts),
            listeners: self.world.clients.counts(),
            buffered_bytes: self.host.buffered_bytes() as u64,
            closed_for_memory: self.memory.closed_count,
        };
        let World { meter, labels, .. } = &self.world;
        CoreAnswer {
            core: core_snapshot(self.index, &self.name, &self.stats, meter, &self.host, clients, labels),
            notices: self.world.notices.newest(),
        }
    }
}

impl Core for PlacedCore {
    fn turn(&mut self, now: Instant) -> Turn {
        self.world.turn_begins(now);
        self.world.end_expired(now);
        let mut more = self.take_in(now);
        let turn = self.host.turn(now, &mut self.world);
        self.memory.hold(&self.host, &mut self.world);
        more |= turn.more;
        more |= self.world.turn_ends(now);
        if self.host.stage() > StopStage::Sources && self.world.sources_are_idle() {
            // Their Sessions have ended: the shells end with their channels.
            self.world.sources.clear();
            self.inlets.sources.clear();
        }
        self.left.note(self.index, &self.host);
        let timeouts = [turn.next_timeout, self.world.next_timeout(now)];
        let work = self.world.frontend.as_ref().map_or(0, |frontend| frontend.counts().received_bytes);
        Turn { next_timeout: timeouts.into_iter().flatten().min(), more, work }
    }

    fn stop(&mut self, _now: Instant) {
        if let Some(frontend) = &mut self.world.frontend {
            frontend.stop_accepting();
        }
        self.host.stop();
    }

    fn stopped(&self) -> bool {
        self.host.stage() == StopStage::Done && self.world.waiting_count() == 0
    }

    fn stall_culprit(&self) -> &'static str {
        self.world.longest_of_turn.map_or("mailboxes", telemetry::ActorKind::name)
    }

    fn panic_culprit(&self) -> &'static str {
        self.host.stepping().map_or("host", Address::kind_name)
    }

    fn restart(&mut self, _now: Instant) {
        self.host.restart(&mut self.world);
    }
}

/// Whether a panic inside an actor of this name can be survived.
pub(super) fn survives(panic_culprit: &str) -> bool {
    telemetry::ActorKind::MqttConnection.name() == panic_culprit
}
