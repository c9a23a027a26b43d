//! What may happen, and to whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::Principal;
use broker_partition::MemoryLog;
use bytes::Bytes;
use contract::{
    ConnectionAddress, CoreIndex, FlowIndex, Instant, LogFailure, LogRequest, LogResponse, PartitionIndex, SourceIndex,
};
use wiring::{Envelope, LaneRequest, ShellRequest};

use crate::Simulator;
use crate::build::Plan;
use crate::plc::PlcEvent;

/// What happens next, somewhere.
pub(crate) enum Event {
    Envelope(CoreIndex, Envelope),
    Plc(usize, PlcEvent),
    PlcIsBack(usize),
    /// The lane to a hub answers.
    Hub(FlowIndex, egress_batcher::Message),
    LogAnswer(PartitionIndex, LogResponse),
    Dial(usize),
    ToServer(ConnectionAddress, Bytes),
    ToClient(ConnectionAddress, Bytes),
    Written(ConnectionAddress, usize),
    /// The connection's side hears that its socket is closed.
    Closed(ConnectionAddress),
    /// A client notices that the connection's side has closed, which it did `since` then.
    HungUp {
        client: usize,
        address: ConnectionAddress,
        since: Instant,
    },
    /// Who knows the clients has answered.
    Authenticated(ConnectionAddress, Arc<Principal>),
    Tick(usize),
    Fault,
    /// A client's connection is to break at a packet.
    Cut,
}

impl Event {
    /// Whether it happens inside our process, or on the way to it.
    pub(crate) fn dies_with_the_process(&self) -> bool {
        match self {
            Self::Envelope(..)
            | Self::Hub(..)
            | Self::LogAnswer(..)
            | Self::ToServer(..)
            | Self::ToClient(..)
            | Self::Written(..)
            | Self::Closed(_)
            | Self::HungUp { .. }
            | Self::Authenticated(..) => true,
            Self::Plc(_, event) => !matches!(event, PlcEvent::Change(_)),
            Self::PlcIsBack(_) | Self::Dial(_) | Self::Tick(_) | Self::Fault | Self::Cut => false,
        }
    }
}

/// A partition's log, and what is wrong with it.
pub(crate) struct SimLog {
    log: MemoryLog,
    pub(crate) late_until: Instant,
    pub(crate) full_until: Instant,
    last_answer: Instant,
}

impl SimLog {
    /// The logs of all partitions at the start of a life.
    pub(crate) fn all(plan: &Plan, life: u64) -> BTreeMap<PartitionIndex, Self> {
        let log = || Self {
            log: MemoryLog::new(plan.epoch(life), 10_000_000),
            late_until: Instant::ZERO,
            full_until: Instant::ZERO,
            last_answer: Instant::ZERO,
        };
        plan.topology.partition_indexes().map(|partition| (partition, log())).collect()
    }
}

impl Simulator {
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Envelope(core, envelope) => self.deliver(core, envelope),
            Event::Plc(source, event) => {
                let message = self.plcs[source].happen(event, self.now, &mut self.dice);
                self.enter_plc_events(source);
                if let Some(message) = message {
                    let core = self.plan.topology.sources[source];
                    let index = SourceIndex(u16::try_from(source).expect("small"));
                    self.deliver(core, Envelope::OpcUa(index, message));
                }
            }
            Event::PlcIsBack(source) => self.plcs[source].is_up = true,
            Event::Hub(flow, message) => {
                let core = self.plan.topology.batchers[usize::from(flow.0)];
                let message = self.mutate_outcome(message);
                self.deliver(core, Envelope::Batcher(flow, message));
            }
            Event::LogAnswer(partition, answer) => {
                self.acceptance.answered(partition, &answer);
                let core = self.plan.topology.partitions[usize::from(partition.0)];
                self.deliver(core, Envelope::Partition(partition, broker_partition::Message::Log(answer)));
            }
            Event::Dial(client) => self.dial(client),
            Event::ToServer(address, bytes) => self.arrive_at_server(address, bytes),
            Event::ToClient(address, bytes) => self.arrive_at_client(address, &bytes),
            Event::Written(address, bytes) => {
                self.tell(address, mqtt_connection::Message::Written { bytes });
            }
            Event::Closed(address) => self.closed(address),
            Event::HungUp { client, address, since } => self.lose(client, address, since, true),
            Event::Authenticated(address, principal) => {
                let message = mqtt_connection::Message::Authenticated { result: Ok(principal), data: Bytes::new() };
                self.tell(address, message);
            }
            Event::Tick(client) => self.tick(client),
            Event::Fault => self.fault(),
            Event::Cut => self.arm_cut(),
        }
    }

    fn mutate_outcome(&mut self, mut message: egress_batcher::Message) -> egress_batcher::Message {
        if let egress_batcher::Message::Settled { outcome, .. } = &mut message
            && *outcome == egress_batcher::Outcome::Released
            && self.mutator.takes_released_for_accepted(self.now)
        {
            *outcome = egress_batcher::Outcome::Accepted;
        }
        message
    }

    pub(crate) fn request(&mut self, request: ShellRequest) {
        match request {
            ShellRequest::OpcUa(source, opcua_subscription::Effect::SaveState(state)) => {
                self.saved[usize::from(source.0)] = Some(state.to_bytes());
            }
            ShellRequest::OpcUa(source, effect) => {
                let source = usize::from(source.0);
                self.plcs[source].request(effect, self.now, &mut self.dice);
                self.enter_plc_events(source);
            }
            ShellRequest::Socket(address, request) => self.request_socket(address, request),
            ShellRequest::Authenticate(address, _, credentials) => {
                let principal = Principal::anonymous(credentials.client_identifier.clone());
                let at = self.after(100..40_000);
                self.calendar.enter(at, Event::Authenticated(address, Arc::new(principal)));
            }
            ShellRequest::Lane(flow, request) => self.request_lane(flow, request),
            ShellRequest::Report(address, report) => self.reports.push((address, report)),
        }
    }

    fn request_lane(&mut self, flow: FlowIndex, request: LaneRequest) {
        let hub = &mut self.hubs[usize::from(flow.0)];
        hub.request(request, self.now, &mut self.dice, &mut self.outcome.faults);
        for (at, event) in std::mem::take(&mut hub.answers) {
            self.calendar.enter(at, Event::Hub(flow, event));
        }
    }

    pub(crate) fn enter_plc_events(&mut self, source: usize) {
        for (at, event) in std::mem::take(&mut self.plcs[source].events) {
            self.calendar.enter(at, Event::Plc(source, event));
        }
    }

    /// Carries out what partitions have asked of their logs.
    pub(crate) fn keep_logs(&mut self) {
        let asked = std::mem::take(&mut *self.log_book.borrow_mut());
        for (partition, request) in asked {
            self.acceptance.asked(partition, &request);
            let log = self.logs.get_mut(&partition).expect("each partition has a log");
            let is_full = matches!(request, LogRequest::Append(_)) && self.now < log.full_until;
            let answer = if is_full { Some(LogResponse::Failed(LogFailure::Full)) } else { log.log.handle(request) };
            let Some(answer) = answer else { continue };
            let is_late = self.now < log.late_until;
            let latency = self.dice.micros(if is_late { 50_000..300_000 } else { 5..500 });
            log.last_answer = log.last_answer.max(self.now + latency);
            self.calendar.enter(log.last_answer, Event::LogAnswer(partition, answer));
        }
    }
}
