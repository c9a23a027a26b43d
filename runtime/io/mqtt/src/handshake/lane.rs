//! The lane's threads, their limits, and the way in.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use flume::Sender;
use rustix::event::{EventfdFlags, eventfd};
use tls_server::ServerTls;

use super::Job;
use super::worker::Worker;

/// Listeners whose files are watched.
const WATCHED_COUNT_MAX: usize = 256;

/// A handshake lane to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeSpec {
    /// Name of its threads (their first 15 bytes), with a number behind.
    pub name: String,
    /// How many threads, 1 to 64.
    pub thread_count: usize,
    /// The processor that all of them are pinned to; `None` leaves the choice to the kernel.
    pub cpu: Option<usize>,
    /// Handshakes under way at once, 1 to 65 536, over all threads. Each holds some 5 KB, and at most what `received_bytes_max`
    /// allows.
    pub under_way_max: usize,
    /// Sockets that may wait for one of these to end, over all threads; one more is closed.
    pub waiting_max: usize,
    /// How long a client may take from accept to the end of its handshake.
    pub timeout: Duration,
    /// From this age on a handshake is cut when others wait and `under_way_max` is reached.
    pub stalled_after: Duration,
    /// Bytes that a client may send before its handshake is finished.
    pub received_bytes_max: usize,
    /// How often the files of [`HandshakeLane::watch`] are looked at.
    pub file_check_period: Duration,
}

impl HandshakeSpec {
    /// One thread; 1024 handshakes under way and as many that wait, 10 s each, cut from 2 s on when others wait, 64 KiB each;
    /// files are looked at every 10 s.
    pub fn new(name: impl Into<String>, cpu: Option<usize>) -> Self {
        Self {
            name: name.into(),
            thread_count: 1,
            cpu,
            under_way_max: 1_024,
            waiting_max: 1_024,
            timeout: Duration::from_secs(10),
            stalled_after: Duration::from_secs(2),
            received_bytes_max: 64 << 10,
            file_check_period: Duration::from_secs(10),
        }
    }
}

/// Why a handshake lane did not start.
#[derive(Debug, thiserror::Error)]
#[error("{name}: cannot start the handshake lane: {source}; raise the limits of open files and of threads")]
pub struct HandshakeLaneError {
    /// The lane.
    pub name: String,
    /// What the system said.
    pub source: io::Error,
}

/// What a lane has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandshakeCounts {
    /// Sockets that came from the cores.
    pub begun: u64,
    /// Handshakes that became connections.
    pub finished: u64,
    /// Handshakes that failed: by the client's doing, or for its certificate.
    pub failed: u64,
    /// Handshakes that took too long.
    pub timed_out: u64,
    /// Handshakes that were cut for others that waited.
    pub evicted: u64,
    /// Sockets that were closed because too many waited.
    pub refused: u64,
    /// Handshakes under way at present.
    pub under_way: u64,
    /// How often files were read anew and went into force.
    pub reloads: u64,
    /// How often changed files could not be used.
    pub reload_failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) begun: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) under_way: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) reload_failures: AtomicU64,
}

/// Wakes a worker from its wait.
#[derive(Debug)]
pub(crate) struct Bell {
    pub(crate) descriptor: OwnedFd,
    /// Rung, and not looked at since: another ring needs no system call.
    pub(crate) is_rung: AtomicBool,
}

impl Bell {
    fn new() -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { descriptor, is_rung: AtomicBool::new(false) })
    }

    pub(crate) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            // Fails only when it is rung so often already that the worker wakes anyway.
            let _is_rung = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
        }
    }

    /// Makes it silent; what was rung for is looked at afterwards.
    pub(crate) fn silence(&self) {
        let _was_silent = rustix::io::read(&self.descriptor, &mut [0; 8]);
        self.is_rung.store(false, Ordering::Release);
    }
}

/// The files that are watched.
pub(crate) type Watched = Arc<Mutex<Vec<Arc<ServerTls>>>>;

/// The lane. Clones share it; its threads end when the last clone is gone, and handshakes under way with them.
#[derive(Clone, Debug)]
pub struct HandshakeLane {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    doors: Vec<Door>,
    next: AtomicUsize,
    counters: Arc<Counters>,
    watched: Watched,
    under_way_max: usize,
}

/// The way to one thread.
#[derive(Debug)]
struct Door {
    jobs: Option<Sender<Job>>,
    bell: Arc<Bell>,
}

impl HandshakeLane {
    /// Starts the threads. They inherit nothing of the caller's pinning when `cpu` is given.
    ///
    /// # Errors
    /// [`HandshakeLaneError`]: no descriptor or thread is left, or the processor is not allowed.
    ///
    /// # Panics
    /// When `thread_count`, `under_way_max` or `waiting_max` is 0.
    pub fn start(spec: &HandshakeSpec) -> Result<Self, HandshakeLaneError> {
        assert!(spec.thread_count > 0, "a lane without threads does no handshakes");
        assert!(spec.under_way_max > 0 && spec.waiting_max > 0, "a lane without room does no handshakes");
        let failed = |source: io::Error| HandshakeLaneError { name: spec.name.clone(), source };
        let counters = Arc::new(Counters::default());
        let watched = Watched::default();
        let mut doors = Vec::with_capacity(spec.thread_count);
        for index in 0..spec.thread_count {
            let (jobs, queue) = flume::bounded(spec.waiting_max.div_ceil(spec.thread_count));
            let bell = Arc::new(Bell::new().map_err(failed)?);
            let mut worker = Worker::new(spec, queue, Arc::clone(&bell), Arc::clone(&counters)).map_err(failed)?;
            if index == 0 {
                worker.watch_files(Arc::clone(&watched), spec.file_check_period);
            }
            let cpu = spec.cpu;
            let (pinned, is_pinned) = flume::bounded(1);
            let main = move || {
                let outcome = cpu.map_or(Ok(()), executor::pin_current_thread);
                let goes_on = outcome.is_ok();
                // `start` waits for this answer.
                let _answered = pinned.send(outcome);
                if goes_on {
                    worker.run();
                }
            };
            thread::Builder::new().name(format!("{}-{index}", spec.name)).spawn(main).map_err(failed)?;
            is_pinned.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended"))).map_err(failed)?;
            doors.push(Door { jobs: Some(jobs), bell });
        }
        let shared = Shared { doors, next: AtomicUsize::new(0), counters, watched, under_way_max: spec.under_way_max };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Has the files of a listener looked at in the spec's period: what has changed goes into force for the handshakes that
    /// begin then, and what cannot be used is told in the log while the old stays.
    ///
    /// # Panics
    /// When 256 are watched already.
    pub fn watch(&self, tls: Arc<ServerTls>) {
        let mut watched = self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(watched.len() < WATCHED_COUNT_MAX, "at most {WATCHED_COUNT_MAX} listeners are watched");
        watched.push(tls);
    }

    /// What was counted since the start.
    pub fn counts(&self) -> HandshakeCounts {
        let counters = &self.shared.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HandshakeCounts {
            begun: load(&counters.begun),
            finished: load(&counters.finished),
            failed: load(&counters.failed),
            timed_out: load(&counters.timed_out),
            evicted: load(&counters.evicted),
            refused: load(&counters.refused),
            under_way: load(&counters.under_way),
            reloads: load(&counters.reloads),
            reload_failures: load(&counters.reload_failures),
        }
    }

    /// Handshakes that may be under way: as many connections may come back at once.
    pub(crate) fn under_way_max(&self) -> usize {
        self.shared.under_way_max
    }

    /// Takes a socket; closes it where too many wait. Returns whether it was taken.
    pub(crate) fn begin(&self, job: Job) -> bool {
        let index = self.shared.next.fetch_add(1, Ordering::Relaxed) % self.shared.doors.len();
        let door = &self.shared.doors[index];
        let taken = door.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        let counter = if taken { &self.shared.counters.begun } else { &self.shared.counters.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        door.bell.ring();
        taken
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for door in &mut self.doors {
            drop(door.jobs.take());
            // Whatever was rung before: the worker must see that the sender is gone.
            door.bell.is_rung.store(false, Ordering::Release);
            door.bell.ring();
        }
    }
}
