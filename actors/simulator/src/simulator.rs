//! The whole pipeline of one seed, event by event.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use contract::{ConnectionAddress, CoreIndex, Instant, PartitionIndex};
use opcua_subscription::SessionState;
use wiring::{Address, Envelope, Report, Turn};

use crate::acceptance::AcceptanceWatch;
use crate::build::{Plan, World};
use crate::calendar::Calendar;
use crate::client::Client;
use crate::core::{Asked, LogBook, OnPurpose, SimCore, StepWorld};
use crate::happening::{Event, SimLog};
use crate::hub::Hub;
use crate::invariants::Drops;
use crate::mutation::Mutator;
use crate::plc::Plc;
use crate::session_watch::SessionWatch;
use crate::settlement::SettlementWatch;
use crate::sockets::Sockets;
use crate::{Dice, Fault, Options, Outcome, invariants};

/// The pipeline of one seed.
pub struct Simulator {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) dice: Dice,
    pub(crate) now: Instant,
    pub(crate) plan: Plan,
    /// How often the process was killed.
    pub(crate) life: u64,
    pub(crate) cores: Vec<SimCore>,
    pub(crate) plcs: Vec<Plc>,
    /// What each Session has saved last, as bytes.
    pub(crate) saved: Vec<Option<Vec<u8>>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) hubs: Vec<Hub>,
    pub(crate) sockets: Sockets,
    pub(crate) logs: BTreeMap<PartitionIndex, SimLog>,
    pub(crate) log_book: LogBook,
    pub(crate) calendar: Calendar<Event>,
    pub(crate) mutator: Mutator,
    pub(crate) acceptance: AcceptanceWatch,
    settlements: SettlementWatch,
    pub(crate) sessions: SessionWatch,
    /// What partitions had dropped when the run ended.
    pub(crate) drops: Drops,
    /// The connection that panics at its next step.
    pub(crate) panics: Option<ConnectionAddress>,
    asked: Asked,
    pub(crate) reports: Vec<(Address, Report)>,
    pub(crate) outcome: Outcome,
    /// No more faults.
    pub(crate) is_healing: bool,
    /// The listeners are closed.
    pub(crate) is_stopping: bool,
    /// The process stopped while the plant went on.
    pub(crate) is_cut_off: bool,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Simulator").field("seed", &self.seed).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Simulator {
    /// Makes the pipeline of `seed`.
    pub fn new(seed: u64, options: Options) -> Self {
        let mut dice = Dice::new(seed);
        let (plan, World { plcs, clients }) = Plan::draw(seed, &mut dice);
        let log_book = LogBook::default();
        let saved = vec![None; plcs.len()];
        let mut simulator = Self {
            seed,
            options,
            now: Instant::ZERO,
            life: 0,
            cores: plan.cores(0, &vec![None; plcs.len()], &log_book, Instant::ZERO),
            plcs,
            saved,
            clients,
            hubs: plan.topology.flows.iter().map(|_| Hub::new(&mut dice)).collect(),
            sockets: Sockets::default(),
            logs: SimLog::all(&plan, 0),
            log_book,
            calendar: Calendar::new(),
            mutator: Mutator::new(
                options.mutation,
                Instant::ZERO + dice.micros(300_000..2_500_000),
                plan.topology.partitions_count(),
            ),
            acceptance: AcceptanceWatch::default(),
            settlements: SettlementWatch::default(),
            sessions: SessionWatch::default(),
            drops: Drops::default(),
            panics: None,
            asked: Asked::default(),
            reports: Vec::new(),
            outcome: Outcome::default(),
            is_healing: false,
            is_stopping: false,
            is_cut_off: false,
            plan,
            dice,
        };
        for client in 0..simulator.clients.len() {
            let at = simulator.after(0..200_000);
            simulator.calendar.enter(at, Event::Dial(client));
            simulator.calendar.enter(at, Event::Tick(client));
        }
        let at = simulator.after(100_000..300_000);
        simulator.calendar.enter(at, Event::Fault);
        simulator.calendar.enter(at, Event::Cut);
        simulator
    }

    /// Runs with faults, then without until everything has drained or stopped; then judges. A panic of an actor is an error too.
    ///
    /// # Errors
    /// What was found to be wrong, with the seed.
    pub fn run(mut self) -> Result<Outcome, String> {
        let result = catch_unwind(AssertUnwindSafe(|| self.run_to_the_end())).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of no words");
            let culprit = self.cores.iter().find_map(|core| core.host.stepping());
            let culprit = culprit.map_or_else(|| "the simulator".to_owned(), |address| address.to_string());
            Err(format!("{culprit} panicked: {text}"))
        });
        self.outcome.is_mutated = self.mutator.is_done;
        result.map(|()| self.outcome).map_err(|what| format!("{what}; replay with SEED={}", self.seed))
    }

    fn run_to_the_end(&mut self) -> Result<(), String> {
        let end = Instant::ZERO + self.options.duration;
        let last_end = end + self.options.duration * 40;
        while self.now < end || (self.lacks_trouble() && self.now < last_end) {
            self.step()?;
        }
        self.heal_and_drain()?;
        self.judge()
    }

    fn lacks_trouble(&self) -> bool {
        let publications = self.hubs[0].stored.len() as u64;
        publications < self.options.publications_min || self.outcome.faults.sum() < self.options.faults_min
    }

    pub(crate) fn after(&mut self, range: std::ops::Range<u64>) -> Instant {
        self.now + self.dice.micros(range)
    }

    /// The next thing that happens, and the steps that follow from it at the same instant.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let cores = self.cores.iter().filter_map(|core| core.next_at);
        let servers = self.plcs.iter().filter_map(|plc| plc.server.next_timeout());
        let next = cores.chain(servers).chain(self.calendar.next_at()).min().ok_or("nothing will ever happen again")?;
        self.now = self.now.max(next);
        for source in 0..self.plcs.len() {
            if self.plcs[source].server.next_timeout().is_some_and(|at| at <= self.now) {
                self.plcs[source].advance(self.now, &mut self.dice);
                self.enter_plc_events(source);
            }
        }
        while let Some(event) = self.calendar.take_due(self.now) {
            self.happen(event);
        }
        for core in 0..self.cores.len() {
            while self.cores[core].next_at.is_some_and(|at| at <= self.now) {
                self.turn(core)?;
            }
        }
        Ok(())
    }

    /// One step of one actor of a core, what follows from it, and what must hold after it.
    fn turn(&mut self, core: usize) -> Result<(), String> {
        let mut world = StepWorld {
            asked: &mut self.asked,
            effects: &mut self.outcome.effects,
            mutator: &mut self.mutator,
            acceptance: &mut self.acceptance,
            settlements: &mut self.settlements,
            sessions: &mut self.sessions,
            panics: self.panics,
            hubs: &self.hubs,
            now: self.now,
        };
        let host = &mut self.cores[core].host;
        let mut has_panicked = false;
        let turn = if self.panics.is_none() {
            host.turn(self.now, &mut world)
        } else {
            catch_unwind(AssertUnwindSafe(|| host.turn(self.now, &mut world))).unwrap_or_else(|panic| {
                if !panic.is::<OnPurpose>() {
                    resume_unwind(panic);
                }
                host.restart(&mut world);
                has_panicked = true;
                Turn { next_timeout: None, more: true }
            })
        };
        if let Some(connection) = self.panics.filter(|_| has_panicked) {
            self.connection_panicked(connection);
        }
        self.outcome.steps += 1;
        self.cores[core].next_at = if turn.more { Some(self.now) } else { turn.next_timeout };
        let mut asked = std::mem::take(&mut self.asked);
        for (to, envelope) in asked.sent.drain(..) {
            self.send(core, to, envelope);
        }
        for request in asked.requests.drain(..) {
            self.request(request);
        }
        for envelope in std::mem::take(&mut self.mutator.extra) {
            self.acceptance.pass(&envelope)?;
            self.settlements.pass(&envelope, &self.hubs)?;
            let to = self.plan.topology.core_of(envelope.address().expect("for an actor"));
            self.calendar.enter(self.now, Event::Envelope(to, envelope));
        }
        self.keep_logs();
        let (stepped, wrong) = (asked.stepped.take(), asked.wrong.take());
        self.asked = asked;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let shard_bytes_max = self.plan.limits.shard_bytes_max;
        stepped.map_or(Ok(()), |address| invariants::hold(&self.cores[core].host, address, shard_bytes_max))
    }

    fn connection_panicked(&mut self, connection: ConnectionAddress) {
        self.panics = None;
        self.outcome.faults.count(Fault::ConnectionPanicked);
        if let Some(socket) = self.sockets.get_mut(connection) {
            self.clients[socket.client].lost_to_a_panic(connection);
        }
    }

    pub(crate) fn deliver(&mut self, core: CoreIndex, envelope: Envelope) {
        let core = &mut self.cores[usize::from(core.0)];
        core.host.deliver(envelope);
        core.next_at = Some(self.now);
    }

    fn send(&mut self, from: usize, to: CoreIndex, envelope: Envelope) {
        let is_slow = self.now < self.cores[usize::from(to.0)].slow_until;
        let latency = self.dice.micros(if is_slow { 20_000..80_000 } else { 1..300 });
        let last = &mut self.cores[from].last_arrival[usize::from(to.0)];
        let at = (self.now + latency).max(*last);
        *last = at;
        self.calendar.enter(at, Event::Envelope(to, envelope));
    }

    /// The process dies with its memory, and starts again: Sessions with what they saved, everything else with nothing.
    pub(crate) fn kill(&mut self) {
        self.calendar.strike(Event::dies_with_the_process);
        for plc in &mut self.plcs {
            plc.forget_session();
        }
        self.panics = None;
        for client in 0..self.clients.len() {
            let was_connected = self.clients[client].connection.is_some();
            let came = &self.hubs[0].wills;
            self.clients[client].lost_to_a_kill(self.now, |message| came.contains_key(message));
            if was_connected {
                let at = self.after(10_000..400_000);
                self.calendar.enter(at, Event::Dial(client));
            }
        }
        let read = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map(|bytes| SessionState::from_bytes(bytes).expect("what was saved is read"))
        };
        let saved: Vec<Option<SessionState>> = self.saved.iter().map(read).collect();
        self.life += 1;
        self.sockets.forget_all();
        self.logs = SimLog::all(&self.plan, self.life);
        self.log_book.borrow_mut().clear();
        self.acceptance.forget();
        self.cores = self.plan.cores(self.life, &saved, &self.log_book, self.now);
        for plc in &mut self.plcs {
            plc.killed_at = Some(Plc::utc(self.now));
        }
    }
}
