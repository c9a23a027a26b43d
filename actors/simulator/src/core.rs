//! One core of the simulation: a host, and what it asks of the world around it.

use contract::{ConnectionAddress, CoreIndex, Instant, LogRequest, LogResponse, Observation, PartitionIndex};
use wiring::{ActorEffect, Address, Envelope, Host, PartitionLog, ShellRequest, Surroundings};

use crate::acceptance::AcceptanceWatch;
use crate::coverage::EffectCounts;
use crate::hub::Hub;
use crate::mutation::Mutator;
use crate::session_watch::SessionWatch;
use crate::settlement::SettlementWatch;

/// What one step asked for, in order.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) sent: Vec<(CoreIndex, Envelope)>,
    pub(crate) requests: Vec<ShellRequest>,
    /// Whose step it was.
    pub(crate) stepped: Option<Address>,
    /// What was found to be wrong in what was sent.
    pub(crate) wrong: Option<String>,
}

/// A core.
pub(crate) struct SimCore {
    pub(crate) host: Host,
    /// When its next turn is due.
    pub(crate) next_at: Option<Instant>,
    /// What it is sent comes late until then.
    pub(crate) slow_until: Instant,
    /// When the last envelope to each core arrives; the next one arrives no earlier.
    pub(crate) last_arrival: Vec<Instant>,
}

/// What a connection panics with that is made to.
pub(crate) struct OnPurpose;

/// The surroundings of a single step.
pub(crate) struct StepWorld<'a> {
    pub(crate) asked: &'a mut Asked,
    pub(crate) effects: &'a mut EffectCounts,
    pub(crate) mutator: &'a mut Mutator,
    pub(crate) acceptance: &'a mut AcceptanceWatch,
    pub(crate) settlements: &'a mut SettlementWatch,
    pub(crate) sessions: &'a mut SessionWatch,
    /// The connection that is to panic.
    pub(crate) panics: Option<ConnectionAddress>,
    pub(crate) hubs: &'a [Hub],
    pub(crate) now: Instant,
}

impl Surroundings for StepWorld<'_> {
    fn send(&mut self, core: CoreIndex, envelope: Envelope) {
        self.asked.sent.push((core, envelope));
    }

    fn request(&mut self, request: ShellRequest) {
        self.asked.requests.push(request);
    }

    fn pass(&mut self, envelope: Envelope) -> Option<Envelope> {
        let envelope = self.mutator.pass(envelope, self.now)?;
        let is_right = self.acceptance.pass(&envelope).and_then(|()| self.settlements.pass(&envelope, self.hubs));
        self.sessions.pass(&envelope, self.now);
        if let Err(wrong) = is_right {
            self.asked.wrong.get_or_insert(wrong);
        }
        Some(envelope)
    }

    fn effect(&mut self, effect: ActorEffect<'_>) {
        self.effects.count(effect);
    }

    fn observe(&mut self, _observation: Observation) {}

    fn step_begins(&mut self, address: Address) {
        if self.panics.is_some_and(|connection| address == Address::Connection(connection)) {
            std::panic::resume_unwind(Box::new(OnPurpose));
        }
    }

    /// One step a turn, so that what must always hold is looked at after each.
    fn step_ended(&mut self, address: Address) -> bool {
        self.asked.stepped = Some(address);
        false
    }
}

/// Requests to the logs of a core's partitions, carried out by the simulator.
pub(crate) type LogBook = std::rc::Rc<std::cell::RefCell<Vec<(PartitionIndex, LogRequest)>>>;

/// A log that answers later: the simulator carries out what is written down here.
pub(crate) struct LogDesk {
    pub(crate) partition: PartitionIndex,
    pub(crate) book: LogBook,
}

impl PartitionLog for LogDesk {
    fn request(&mut self, request: LogRequest, _answers: &mut Vec<LogResponse>) {
        self.book.borrow_mut().push((self.partition, request));
    }
}
