//! Starts one pinned executor per spec, hands errors of the start back, and joins them.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use contract::Instant;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use mailbox::Doorbell;

use crate::affinity::allowed_cpus;
use crate::core::{BoxError, CoreContext, CoreFactory, Inner};
use crate::core_loop::CoreLoop;
use crate::local_bell::LocalBell;
use crate::shells::Shells;
use crate::sleeper::Sleeper;
use crate::stats::ExecutorStats;
use crate::stop::{Left, StopReport};
use crate::supervisor::{EndProcess, PanicReport, Supervisor, panic_message};
use crate::watchdog::{self, Watched};

/// Registered with the kernel three times and touched: 10 MiB by default, of which nothing here has use.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Below 10 ms the executor can park on runnable tasks for good.
const PREEMPT_TIMER: Duration = Duration::from_millis(10);
/// The kernel frees the rings of an ended process late; after this they are free.
const ENOMEM_RETRY_AFTER: Duration = Duration::from_secs(1);

/// One executor to start.
#[derive(Clone, Debug)]
pub struct ExecutorSpec {
    /// Name of the thread (its first 15 bytes), and in logs, panics and statistics.
    pub name: String,
    /// The processor to pin to; `None` leaves the choice to the kernel. Several executors may share one.
    pub cpu: Option<usize>,
    /// Entries of each of the three rings. 128 is enough up to some 500 sockets, 1024 beyond.
    pub ring_depth: usize,
    /// The longest the loop sleeps; bounds a stranding. Some 1.3 thousandths of a core at 100 ms, when idle.
    pub heartbeat: Duration,
    /// Shells that may be alive at once. Each takes a task and its future's memory.
    pub shells_max: usize,
    /// Longest that a busy core sleeps blindly, so that one wake-up serves many packets; zero: never. It is tried, and left
    /// again where less arrives so. Range: up to 5 ms.
    pub gather_max: Duration,
    /// The bell of this core, made beforehand so that mailboxes between cores exist before the cores.
    pub doorbell: Doorbell,
}

impl ExecutorSpec {
    /// A spec with ring depth 128, a heartbeat of 100 ms, 16 384 shells, no gathering and a bell of its own.
    pub fn new(name: impl Into<String>, cpu: Option<usize>) -> Self {
        Self {
            name: name.into(),
            cpu,
            ring_depth: 128,
            heartbeat: Duration::from_millis(100),
            shells_max: 16_384,
            gather_max: Duration::ZERO,
            doorbell: Doorbell::new(),
        }
    }
}

/// Why an executor or a lane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The processor is not among those that the process may use (`taskset`, cpuset, container).
    #[error(
        "{name}: cpu {cpu} is not among those this process may use ({allowed:?}); change the profile or the cpuset"
    )]
    CpuNotAllowed {
        /// The executor or lane.
        name: String,
        /// The processor it wants.
        cpu: usize,
        /// Those it may have.
        allowed: Vec<usize>,
    },
    /// The thread, the runtime or its rings could not be made.
    #[error("{name}: cannot start the executor: {source}")]
    Executor {
        /// The executor or lane.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The factory of the core failed.
    #[error("{name}: cannot build the core: {source}")]
    Factory {
        /// The executor.
        name: String,
        /// What the factory said.
        source: BoxError,
    },
    /// Making the executor, or the factory, panicked.
    #[error("{name}: panicked at the start: {message}")]
    Panicked {
        /// The executor or lane.
        name: String,
        /// The panic's message.
        message: String,
    },
}

/// The running executors.
#[derive(Debug)]
pub struct Executors {
    watchdog: JoinHandle<StopReport>,
    stats: Vec<Arc<ExecutorStats>>,
    supervisor: Supervisor,
}

impl Executors {
    /// Starts all executors at once, and returns when every core is built.
    ///
    /// # Errors
    /// The first [`StartError`]; the other executors have been told to stop and have ended.
    pub fn start(supervisor: &Supervisor, cores: Vec<(ExecutorSpec, CoreFactory)>) -> Result<Self, StartError> {
        check_cpus(cores.iter().map(|(spec, _)| (spec.name.as_str(), spec.cpu)))?;
        let (ready, readies) = flume::bounded(cores.len().max(1));
        let (end, ends) = flume::bounded(cores.len().max(1));
        let mut stats = Vec::with_capacity(cores.len());
        let mut watched = Vec::with_capacity(cores.len());
        let mut failure = None;
        for (index, (spec, factory)) in cores.into_iter().enumerate() {
            let core_stats = Arc::new(ExecutorStats::new(&spec.name, spec.cpu));
            let rescue = Doorbell::new();
            let (name, heartbeat) = (spec.name.clone(), spec.heartbeat);
            let thread = CoreThread {
                index,
                spec,
                stats: Arc::clone(&core_stats),
                rescue: rescue.clone(),
                supervisor: supervisor.clone(),
                ready: ready.clone(),
            };
            let end = end.clone();
            let main = move || {
                let left = thread.run(factory);
                // The watchdog outlives the cores unless the stop's time is over; then nobody asks any more.
                let _nobody_asks = end.send((index, left));
            };
            match thread::Builder::new().name(name.clone()).spawn(main) {
                Ok(thread) => {
                    watched.push(Watched { index, thread, stats: Arc::clone(&core_stats), rescue, heartbeat });
                    stats.push(core_stats);
                }
                Err(source) => {
                    failure = Some(StartError::Executor { name, source });
                    break;
                }
            }
        }
        drop(ready);
        // Each thread that was started answers.
        failure = failure.or_else(|| readies.iter().take(watched.len()).find_map(Result::err));
        if failure.is_some() {
            supervisor.stop_handle().stop(Duration::from_secs(5));
        }
        let watchdog_supervisor = supervisor.clone();
        let watchdog = thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watchdog::watch(&watchdog_supervisor, watched, &ends))
            .map_err(|source| StartError::Executor { name: "watchdog".to_owned(), source })?;
        let executors = Self { watchdog, stats, supervisor: supervisor.clone() };
        match failure {
            None => Ok(executors),
            Some(failure) => {
                // What the others left when they stopped is nothing beside the failure.
                let _report = executors.join();
                Err(failure)
            }
        }
    }

    /// Figures of the executors, in the order of the specs.
    pub fn stats(&self) -> &[Arc<ExecutorStats>] {
        &self.stats
    }

    /// Waits until all cores have ended, or until the time limit of a stop is over.
    ///
    /// Returns what was left at work then.
    ///
    /// # Errors
    /// [`EndProcess`]: a panic ended them.
    pub fn join(self) -> Result<StopReport, EndProcess> {
        let report = self.watchdog.join().unwrap_or_default();
        match self.supervisor.end_process() {
            Some(end) => Err(end.clone()),
            None => Ok(report),
        }
    }
}

/// Refuses processors that the process may not use.
pub(crate) fn check_cpus<'a>(wanted: impl Iterator<Item = (&'a str, Option<usize>)>) -> Result<(), StartError> {
    let mut allowed = None;
    for (name, cpu) in wanted {
        let Some(cpu) = cpu else { continue };
        let allowed = match &mut allowed {
            Some(allowed) => allowed,
            none => {
                none.insert(allowed_cpus().map_err(|source| StartError::Executor { name: name.to_owned(), source })?)
            }
        };
        if !allowed.contains(&cpu) {
            return Err(StartError::CpuNotAllowed { name: name.to_owned(), cpu, allowed: allowed.clone() });
        }
    }
    Ok(())
}

/// What the thread of one core needs.
struct CoreThread {
    index: usize,
    spec: ExecutorSpec,
    stats: Arc<ExecutorStats>,
    rescue: Doorbell,
    supervisor: Supervisor,
    ready: flume::Sender<Result<(), StartError>>,
}

impl CoreThread {
    /// Runs the executor to its end; returns what was left at work.
    fn run(self, factory: CoreFactory) -> Vec<Left> {
        self.stats.publish_thread_id();
        let executor = match make_executor(&self.spec) {
            Ok(executor) => executor,
            Err(error) => {
                self.report(Err(error));
                return Vec::new();
            }
        };
        let (name, supervisor, ready) = (self.spec.name.clone(), self.supervisor.clone(), self.ready.clone());
        // A panic that none of the inner catches saw: in the factory, or in the loop itself.
        let outcome = catch_unwind(AssertUnwindSafe(move || executor.run(self.host(factory))));
        outcome.unwrap_or_else(|payload| {
            let message = panic_message(&*payload);
            // Before the core was built this is the answer to `start`; afterwards nobody listens there.
            let _nobody_asks =
                ready.try_send(Err(StartError::Panicked { name: name.clone(), message: message.clone() }));
            supervisor.ended_by(PanicReport { executor: name.clone(), name: "executor".to_owned(), message });
            vec![Left { executor: name, what: "actors", count: 1 }]
        })
    }

    /// The executor's root: builds the core and runs its loop.
    async fn host(self, factory: CoreFactory) -> Vec<Left> {
        let inner = Rc::new(Inner {
            index: self.index,
            clock: self.supervisor.clock(),
            doorbell: self.spec.doorbell.clone(),
            local_bell: LocalBell::new(),
            stop_token: self.supervisor.stop_token(),
            stats: Arc::clone(&self.stats),
            supervisor: self.supervisor.clone(),
            shells: Shells::new(self.spec.shells_max),
            sleeper: Sleeper::new(self.spec.gather_max),
            last_stall: Cell::new(Instant::ZERO),
        });
        let bell = self.rescue.clone();
        let ending = Rc::new(Cell::new(false));
        let ended = Rc::clone(&ending);
        // A task of its own, so that the watchdog has something to wake that is surely asleep.
        let sleeper = glommio::spawn_local(async move {
            while !ended.get() {
                bell.wait().await;
            }
        });
        let left = match factory(CoreContext { inner: Rc::clone(&inner) }).await {
            Ok(core) => {
                self.supervisor.stop_handle().ring_at_stop(&self.spec.doorbell);
                self.report(Ok(()));
                CoreLoop::new(core, inner, self.spec.heartbeat).run().await
            }
            Err(source) => {
                self.report(Err(StartError::Factory { name: self.spec.name.clone(), source }));
                Vec::new()
            }
        };
        ending.set(true);
        self.rescue.ring();
        sleeper.await;
        left
    }

    fn report(&self, outcome: Result<(), StartError>) {
        // `start` waits for one answer of each thread, and gives up only after an error of another.
        let _nobody_asks = self.ready.try_send(outcome);
    }
}

/// Makes the executor on the calling thread; once more after a second when memory could not be locked.
fn make_executor(spec: &ExecutorSpec) -> Result<LocalExecutor, StartError> {
    try_make_executor(spec).or_else(|error| {
        if !is_worth_a_retry(&error) {
            return Err(error);
        }
        tracing::warn!(executor = spec.name, %error, "no memory for the rings; trying once more");
        thread::sleep(ENOMEM_RETRY_AFTER);
        try_make_executor(spec)
    })
}

/// Out of locked memory shows as ENOMEM, or as a panic of glommio's that blames the kernel's age.
fn is_worth_a_retry(error: &StartError) -> bool {
    match error {
        StartError::Executor { source, .. } => source.kind() == io::ErrorKind::OutOfMemory,
        StartError::Panicked { .. } => true,
        StartError::CpuNotAllowed { .. } | StartError::Factory { .. } => false,
    }
}

fn try_make_executor(spec: &ExecutorSpec) -> Result<LocalExecutor, StartError> {
    let placement = spec.cpu.map_or(Placement::Unbound, Placement::Fixed);
    let builder = LocalExecutorBuilder::new(placement)
        .name(&spec.name)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(spec.ring_depth)
        .preempt_timer(PREEMPT_TIMER);
    let name = || spec.name.clone();
    match catch_unwind(AssertUnwindSafe(|| builder.make())) {
        Ok(Ok(executor)) => Ok(executor),
        Ok(Err(error)) => Err(StartError::Executor { name: name(), source: io::Error::from(error) }),
        Err(payload) => Err(StartError::Panicked { name: name(), message: panic_message(&*payload) }),
    }
}
