//! A pinned tokio thread for an SDK that needs tokio.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mailbox::Doorbell;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::affinity::pin_current_thread;
use crate::clock::Clock;
use crate::core::{BoxError, LocalFuture};
use crate::executors::{StartError, check_cpus};
use crate::stats::ExecutorStats;
use crate::stop::StopToken;
use crate::supervisor::{PanicReport, Supervisor, panic_message};

/// How often `join` looks whether a stop's time is over.
const PERIOD: Duration = Duration::from_secs(1);

/// One lane to start.
#[derive(Clone, Debug)]
pub struct LaneSpec {
    /// Name of the thread (its first 15 bytes), and in logs and panics.
    pub name: String,
    /// The processor to pin to; `None` leaves the choice to the kernel.
    pub cpu: Option<usize>,
    /// The bell of this lane, made beforehand so that mailboxes into it exist before it.
    pub doorbell: Doorbell,
}

impl LaneSpec {
    /// A spec with a bell of its own.
    pub fn new(name: impl Into<String>, cpu: Option<usize>) -> Self {
        Self { name: name.into(), cpu, doorbell: Doorbell::new() }
    }
}

/// What a lane's future may use.
#[derive(Clone, Debug)]
pub struct LaneContext {
    /// The bell for mailboxes whose receivers live on this lane.
    pub doorbell: Doorbell,
    /// The process's clock.
    pub clock: Clock,
    /// Sees the stop. A lane that must outlive the cores ends when its mailboxes' senders are gone instead.
    pub stop_token: StopToken,
}

/// Why a lane ended otherwise than by finishing.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// Its future failed.
    #[error("{name}: {source}")]
    Failed {
        /// The lane.
        name: String,
        /// What it said.
        source: BoxError,
    },
    /// Its future panicked; the supervisor was told.
    #[error("{name} panicked: {message}")]
    Panicked {
        /// The lane.
        name: String,
        /// The panic's message.
        message: String,
    },
    /// A stop's time was over and it had not ended.
    #[error("{name} did not end in the time given to the stop")]
    DidNotEnd {
        /// The lane.
        name: String,
    },
}

/// A running lane: one thread, one tokio `current_thread` runtime with a `LocalSet`.
pub struct Lane {
    stats: Arc<ExecutorStats>,
    supervisor: Supervisor,
    ended: flume::Receiver<Result<(), LaneError>>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lane").field("name", &self.stats.name()).finish_non_exhaustive()
    }
}

impl Lane {
    /// Starts the thread, pins it, and runs the future that `factory` makes there.
    ///
    /// The future may use `tokio::task::spawn_local`; tasks left when it ends are dropped. A panic in it is
    /// reported to the supervisor, and the lane stays ended whatever the policy says.
    ///
    /// # Errors
    /// [`StartError`]: the processor is not allowed, or thread or runtime cannot be made.
    pub fn start(
        spec: LaneSpec,
        supervisor: &Supervisor,
        factory: impl FnOnce(LaneContext) -> LocalFuture<Result<(), BoxError>> + Send + 'static,
    ) -> Result<Self, StartError> {
        check_cpus([(spec.name.as_str(), spec.cpu)].into_iter())?;
        let stats = Arc::new(ExecutorStats::new(&spec.name, spec.cpu));
        let (end, ended) = flume::bounded(1);
        let (ready, readies) = flume::bounded(1);
        let name = spec.name.clone();
        let (lane_stats, lane_supervisor) = (Arc::clone(&stats), supervisor.clone());
        let main = move || {
            lane_stats.publish_thread_id();
            let runtime = match make_runtime(spec.cpu) {
                Ok(runtime) => runtime,
                Err(error) => {
                    // `start` waits for this answer.
                    let _answered = ready.send(Err(error));
                    return;
                }
            };
            let _answered = ready.send(Ok(()));
            let clock = lane_supervisor.clock();
            let context = LaneContext { doorbell: spec.doorbell, clock, stop_token: lane_supervisor.stop_token() };
            let outcome = run(&runtime, &spec.name, &lane_stats, &lane_supervisor, move || factory(context));
            // A lane that nobody joins ends unheard; its panic has been reported.
            let _nobody_asks = end.send(outcome);
        };
        let failed = |source| StartError::Executor { name: name.clone(), source };
        let thread = thread::Builder::new().name(name.clone()).spawn(main).map_err(failed)?;
        match readies.recv() {
            Ok(Ok(())) => Ok(Self { stats, supervisor: supervisor.clone(), ended, thread }),
            Ok(Err(source)) => Err(failed(source)),
            Err(flume::RecvError::Disconnected) => Err(failed(io::Error::other("its thread ended at the start"))),
        }
    }

    /// The lane's figures: name, processor, thread id, panics. The others stay 0.
    pub fn stats(&self) -> &Arc<ExecutorStats> {
        &self.stats
    }

    /// Whether its future has ended.
    pub fn is_ended(&self) -> bool {
        !self.ended.is_empty() || self.ended.is_disconnected()
    }

    /// Waits for the lane to end, or for a second after the deadline of a stop.
    ///
    /// # Errors
    /// [`LaneError`]: it failed, panicked, or did not end.
    pub fn join(self) -> Result<(), LaneError> {
        let name = || self.stats.name().to_owned();
        loop {
            match self.ended.recv_timeout(PERIOD) {
                Ok(outcome) => {
                    // Nothing of the thread is left to panic.
                    let _ended = self.thread.join();
                    return outcome;
                }
                Err(flume::RecvTimeoutError::Disconnected) => {
                    return Err(LaneError::Panicked { name: name(), message: "its thread ended".to_owned() });
                }
                Err(flume::RecvTimeoutError::Timeout) => {
                    let now = self.supervisor.clock().now();
                    if self.supervisor.stop_token().deadline().is_some_and(|deadline| deadline + PERIOD <= now) {
                        return Err(LaneError::DidNotEnd { name: name() });
                    }
                }
            }
        }
    }
}

fn make_runtime(cpu: Option<usize>) -> io::Result<tokio::runtime::Runtime> {
    if let Some(cpu) = cpu {
        pin_current_thread(cpu)?;
    }
    Builder::new_current_thread().enable_all().build()
}

fn run(
    runtime: &tokio::runtime::Runtime,
    name: &str,
    stats: &ExecutorStats,
    supervisor: &Supervisor,
    future: impl FnOnce() -> LocalFuture<Result<(), BoxError>>,
) -> Result<(), LaneError> {
    let outcome = catch_unwind(AssertUnwindSafe(|| LocalSet::new().block_on(runtime, async { future().await })));
    let name = name.to_owned();
    match outcome {
        Ok(result) => result.map_err(|source| LaneError::Failed { name, source }),
        Err(payload) => {
            let message = panic_message(&*payload);
            stats.panics.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let report = PanicReport { executor: name.clone(), name: name.clone(), message: message.clone() };
            supervisor.panicked(report);
            Err(LaneError::Panicked { name, message })
        }
    }
}
