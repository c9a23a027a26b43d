//! A small core around a frontend, and a thread that asks it.
#![expect(clippy::unwrap_used, reason = "a test's own machinery")]

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use contract::{ConnectionAddress, CoreIndex, Instant};
use executor::{Core, CoreFactory, Decision, ExecutorSpec, Executors, StopReport, Supervisor, Turn, allowed_cpus};
use mailbox::{Receiver, Sender, channel};
use mqtt_listener::{
    CoreListener, Event, Frontend, FrontendConfig, FrontendCounts, ListenerConfig, ListenerLayers, bind,
};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The number of the harness's listener.
pub(crate) const LISTENER_NUMBER: u16 = 7;
/// Events of which the log keeps a copy.
const KEPT_EVENTS: usize = 1_000;

/// What the core does with its connections.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Writes back what it receives.
    Echo,
    /// Takes what it receives.
    Count,
    /// Writes these at once when a connection is accepted.
    Greet(Vec<Bytes>),
    /// Answers the first bytes, and closes.
    AnswerAndClose(Bytes),
}

/// What the test asks of a core: for all its connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Pause,
    Resume,
}

/// What a core has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) accepted_count: usize,
    pub(crate) received_bytes: usize,
    pub(crate) written_bytes: usize,
    pub(crate) closed_count: usize,
    pub(crate) command_count: usize,
    pub(crate) last_address: Option<ConnectionAddress>,
    pub(crate) events: Vec<Event>,
    pub(crate) counts: FrontendCounts,
}

#[derive(Debug, Default)]
struct SharedLog {
    log: Mutex<Log>,
    changed: Condvar,
}

/// Executors with one frontend each, on one port.
pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    executors: Executors,
    supervisor: Supervisor,
    logs: Vec<Arc<SharedLog>>,
    commands: Vec<Sender<Command>>,
}

impl Harness {
    pub(crate) fn start(config: &FrontendConfig, behaviour: &Behaviour) -> Self {
        Self::start_on(1, config, behaviour)
    }

    pub(crate) fn start_on(core_count: usize, config: &FrontendConfig, behaviour: &Behaviour) -> Self {
        Self::start_listener(core_count, config, behaviour, ListenerLayers::default())
    }

    pub(crate) fn start_layered(config: &FrontendConfig, behaviour: &Behaviour, layers: ListenerLayers) -> Self {
        Self::start_listener(1, config, behaviour, layers)
    }

    fn start_listener(
        core_count: usize,
        config: &FrontendConfig,
        behaviour: &Behaviour,
        layers: ListenerLayers,
    ) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let number = LISTENER_NUMBER;
        let bound = bind(&ListenerConfig { core_count, layers, number, ..ListenerConfig::new(loopback) }).unwrap();
        let address = bound.address();
        let supervisor = Supervisor::new(PATIENCE, |_| Decision::EndProcess);
        let cpus = allowed_cpus().unwrap();
        let (mut cores, mut logs, mut commands) = (Vec::new(), Vec::new(), Vec::new());
        for (index, listener) in (0_u16..).zip(bound.into_cores()) {
            let cpu = cpus[usize::from(index) % cpus.len()];
            let spec = ExecutorSpec { ring_depth: 128, ..ExecutorSpec::new(format!("core-{index}"), Some(cpu)) };
            let (sender, receiver) = channel(16, &spec.doorbell);
            let log = Arc::new(SharedLog::default());
            let config = FrontendConfig { core: CoreIndex(index), ..config.clone() };
            let factory = test_core(config, listener, behaviour.clone(), Arc::clone(&log), receiver);
            cores.push((spec, factory));
            logs.push(log);
            commands.push(sender);
        }
        let executors = Executors::start(&supervisor, cores).unwrap();
        Self { address, executors, supervisor, logs, commands }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let peer = TcpStream::connect(self.address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer
    }

    pub(crate) fn command(&self, command: Command) {
        self.commands[0].try_send(command).unwrap();
    }

    /// What the first core has seen.
    pub(crate) fn log(&self) -> Log {
        self.logs[0].log.lock().unwrap().clone()
    }

    pub(crate) fn logs(&self) -> Vec<Log> {
        self.logs.iter().map(|shared| shared.log.lock().unwrap().clone()).collect()
    }

    /// Waits until the first core's log is as wanted; panics with the log after [`PATIENCE`].
    pub(crate) fn wait_until(&self, wanted: impl Fn(&Log) -> bool) -> Log {
        let deadline = StdInstant::now() + PATIENCE;
        let mut log = self.logs[0].log.lock().unwrap();
        while !wanted(&log) {
            let left = deadline.saturating_duration_since(StdInstant::now());
            assert!(!left.is_zero(), "not in {PATIENCE:?}: {log:?}");
            log = self.logs[0].changed.wait_timeout(log, left).unwrap().0;
        }
        log.clone()
    }

    /// Stops the executors, which must end with nothing left; returns what the first core counted.
    pub(crate) fn stop(self) -> FrontendCounts {
        self.supervisor.stop_handle().stop(PATIENCE);
        assert_eq!(self.executors.join(), Ok(StopReport::default()));
        self.logs[0].log.lock().unwrap().counts
    }
}

fn test_core(
    config: FrontendConfig,
    listener: CoreListener,
    behaviour: Behaviour,
    log: Arc<SharedLog>,
    commands: Receiver<Command>,
) -> CoreFactory {
    Box::new(move |context| {
        Box::pin(async move {
            let frontend = Frontend::start(&context, config, vec![listener])?;
            let core = TestCore {
                frontend,
                behaviour,
                log,
                commands,
                live: BTreeMap::new(),
                events: VecDeque::new(),
                stopping: false,
            };
            Ok(Box::new(core) as Box<dyn Core>)
        })
    })
}

struct TestCore {
    frontend: Frontend,
    behaviour: Behaviour,
    log: Arc<SharedLog>,
    commands: Receiver<Command>,
    /// The connections, and whether each was answered.
    live: BTreeMap<ConnectionAddress, bool>,
    events: VecDeque<(ConnectionAddress, Event)>,
    stopping: bool,
}

impl TestCore {
    fn handle(&mut self, address: ConnectionAddress, event: Event) {
        let mut log = self.log.log.lock().unwrap();
        if log.events.len() < KEPT_EVENTS {
            log.events.push(event.clone());
        }
        match event {
            Event::Accepted { .. } => {
                log.accepted_count += 1;
                log.last_address = Some(address);
                assert_eq!(self.live.insert(address, false), None, "an address is given once");
                if let Behaviour::Greet(pieces) = &self.behaviour {
                    for piece in pieces {
                        self.frontend.write(address, piece.clone());
                    }
                }
            }
            Event::Received(bytes) => {
                log.received_bytes += bytes.len();
                let answered = self.live.get_mut(&address).expect("events come between accepted and closed");
                match &self.behaviour {
                    Behaviour::Echo => self.frontend.write(address, bytes),
                    Behaviour::AnswerAndClose(answer) if !std::mem::replace(answered, true) => {
                        self.frontend.write(address, answer.clone());
                        self.frontend.close(address);
                    }
                    Behaviour::AnswerAndClose(_) | Behaviour::Count | Behaviour::Greet(_) => (),
                }
            }
            Event::Written { bytes } => {
                assert!(self.live.contains_key(&address), "events come between accepted and closed");
                log.written_bytes += bytes;
            }
            Event::SocketClosed => {
                log.closed_count += 1;
                assert!(self.live.remove(&address).is_some(), "a connection ends once");
                self.frontend.forget(address);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        for address in self.live.keys() {
            match command {
                Command::Pause => self.frontend.pause_reading(*address),
                Command::Resume => self.frontend.resume_reading(*address),
            }
        }
        self.log.log.lock().unwrap().command_count += 1;
    }
}

impl Core for TestCore {
    fn turn(&mut self, now: Instant) -> Turn {
        while let Some(command) = self.commands.receive() {
            self.obey(command);
        }
        let mut more = false;
        for _ in 0..4 {
            more = self.frontend.poll_events(now, &mut self.events, 64);
            while let Some((address, event)) = self.events.pop_front() {
                self.handle(address, event);
            }
            more |= self.frontend.flush(now);
            if !more {
                break;
            }
        }
        self.log.log.lock().unwrap().counts = self.frontend.counts();
        self.log.changed.notify_all();
        Turn { next_timeout: self.frontend.next_timeout(now), more, ..Turn::default() }
    }

    fn stop(&mut self, _now: Instant) {
        self.stopping = true;
        self.frontend.shutdown();
    }

    fn stopped(&self) -> bool {
        self.stopping && self.live.is_empty()
    }

    fn stall_culprit(&self) -> &'static str {
        "test"
    }

    fn panic_culprit(&self) -> &'static str {
        "test"
    }

    fn restart(&mut self, _now: Instant) {}
}
