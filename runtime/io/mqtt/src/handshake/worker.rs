//! One thread of the lane: its handshakes on an epoll instance, each with its deadline.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use flume::{Receiver, TryRecvError};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::Job;
use super::attempt::{Attempt, Progress};
use super::lane::{Bell, Counters, HandshakeSpec, Watched};
use crate::tls::KEPT_BYTES_MAX;

/// The token of the bell; handshakes' slots stay below.
const BELL_TOKEN: u64 = u64::MAX;
/// Sockets asked for at once.
const READY_COUNT_MAX: usize = 256;
/// Reasons of failures are logged so often at most; the others are counted.
const TOLD_PERIOD: Duration = Duration::from_secs(1);
/// Said of a handshake that met a fault of ours.
const PANICKED: &str = "a fault of ours; the panic's message stands above";
/// What one read takes at least, beside what was kept.
const READ_BYTES: usize = 16 << 10;

/// One thread's state.
pub(crate) struct Worker {
    epoll: OwnedFd,
    bell: Arc<Bell>,
    queue: Receiver<Job>,
    counters: Arc<Counters>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// When each handshake began, the oldest first.
    by_age: BTreeSet<(Instant, usize)>,
    under_way_max: usize,
    timeout: Duration,
    stalled_after: Duration,
    received_bytes_max: usize,
    scratch: Vec<u8>,
    files: Option<Files>,
    told_at: Option<Instant>,
    untold_count: u64,
}

/// The files that this thread looks at.
struct Files {
    watched: Watched,
    period: Duration,
    next: Instant,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    attempt: Option<Attempt>,
}

impl Worker {
    /// # Errors
    /// The kernel's, when there are no descriptors left.
    pub(crate) fn new(
        spec: &HandshakeSpec,
        queue: Receiver<Job>,
        bell: Arc<Bell>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &bell.descriptor, EventData::new_u64(BELL_TOKEN), EventFlags::IN)?;
        Ok(Self {
            epoll,
            bell,
            queue,
            counters,
            slots: Vec::new(),
            free: Vec::new(),
            by_age: BTreeSet::new(),
            under_way_max: spec.under_way_max.div_ceil(spec.thread_count),
            timeout: spec.timeout,
            stalled_after: spec.stalled_after.min(spec.timeout),
            received_bytes_max: spec.received_bytes_max,
            scratch: vec![0; KEPT_BYTES_MAX + READ_BYTES],
            files: None,
            told_at: None,
            untold_count: 0,
        })
    }

    /// Has this thread look after the files, in the spec's period.
    pub(crate) fn watch_files(&mut self, watched: Watched, period: Duration) {
        self.files = Some(Files { watched, period, next: Instant::now() + period });
    }

    /// Works until the lane's last handle is gone.
    pub(crate) fn run(mut self) {
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(READY_COUNT_MAX);
        while self.take_waiting() {
            self.end_overdue();
            self.check_files();
            ready.clear();
            let timeout = self.next_timeout().map(|at| {
                let wait = at.saturating_duration_since(Instant::now());
                Timespec { tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() }
            });
            // EINTR: the loop asks again.
            let _count = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), timeout.as_ref());
            for event in &ready {
                match event.data.u64() {
                    BELL_TOKEN => self.bell.silence(),
                    token => self.is_ready(token),
                }
            }
        }
    }

    /// Begins what waits, as far as there is room. Returns whether the lane goes on.
    fn take_waiting(&mut self) -> bool {
        loop {
            if self.by_age.len() >= self.under_way_max && !self.evict_stalled() {
                return true;
            }
            match self.queue.try_recv() {
                Ok(job) => self.begin(job),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Cuts the oldest handshake where it has stalled and others wait. Returns whether there is room.
    fn evict_stalled(&mut self) -> bool {
        let Some(&(begun_at, slot)) = self.by_age.first() else { return true };
        if self.queue.is_empty() || begun_at.elapsed() < self.stalled_after {
            return false;
        }
        self.counters.evicted.fetch_add(1, Ordering::Relaxed);
        self.end(slot, "cut, because it had stalled and others waited");
        true
    }

    fn begin(&mut self, job: Job) {
        let (begun_at, peer) = (job.accepted_at, job.peer);
        if begun_at.elapsed() >= self.timeout {
            self.counters.timed_out.fetch_add(1, Ordering::Relaxed);
            self.tell(peer, "waited too long for others to end");
            return;
        }
        let attempt = match guarded(|| Attempt::new(job)) {
            Some(Ok(attempt)) => attempt,
            Some(Err(error)) => return self.fail(peer, error),
            None => return self.fail(peer, PANICKED),
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let token = join_token(slot, self.slots[slot].generation);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if let Err(error) = epoll::add(&self.epoll, &attempt.job().socket, EventData::new_u64(token), flags) {
            self.free.push(slot);
            return self.fail(peer, error);
        }
        self.slots[slot].attempt = Some(attempt);
        self.by_age.insert((begun_at, slot));
        self.counters.under_way.fetch_add(1, Ordering::Relaxed);
        // What came since it was accepted needs no wait.
        self.advance(slot);
    }

    fn is_ready(&mut self, token: u64) {
        let (slot, generation) = split_token(token);
        if self.slots.get(slot).is_some_and(|held| held.generation == generation) {
            self.advance(slot);
        }
    }

    fn advance(&mut self, slot: usize) {
        let Some(attempt) = &mut self.slots[slot].attempt else { return };
        let (scratch, bytes_max) = (&mut self.scratch, self.received_bytes_max);
        match guarded(|| attempt.advance(scratch, bytes_max)) {
            Some(Progress::Waiting) => (),
            Some(Progress::Done) => self.hand_over(slot),
            Some(Progress::Failed(error)) => {
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                self.end(slot, error);
            }
            None => {
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                self.end(slot, PANICKED);
            }
        }
    }

    /// Gives a connection that stands to its core.
    fn hand_over(&mut self, slot: usize) {
        let Some(attempt) = self.take(slot) else { return };
        let peer = attempt.job().peer;
        // The core watches the socket from there on.
        if let Err(error) = epoll::delete(&self.epoll, &attempt.job().socket) {
            tracing::debug!(%error, "a socket was not watched");
        }
        match guarded(|| attempt.into_handover()) {
            Some(Ok((core, handover))) => {
                // The core's mailbox has room for all handshakes under way; it is gone where the process stops.
                match core.try_send(handover) {
                    Ok(()) => self.counters.finished.fetch_add(1, Ordering::Relaxed),
                    Err(_) => self.counters.failed.fetch_add(1, Ordering::Relaxed),
                };
            }
            Some(Err(error)) => self.fail(peer, error),
            None => self.fail(peer, PANICKED),
        }
    }

    /// Counts a handshake that failed and is gone.
    fn fail(&mut self, peer: SocketAddr, reason: impl std::fmt::Display) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        self.tell(peer, reason);
    }

    /// Ends a handshake; its socket is closed.
    fn end(&mut self, slot: usize, reason: impl std::fmt::Display) {
        if let Some(attempt) = self.take(slot) {
            self.tell(attempt.job().peer, reason);
        }
    }

    fn take(&mut self, slot: usize) -> Option<Attempt> {
        let held = &mut self.slots[slot];
        let attempt = held.attempt.take()?;
        held.generation = held.generation.wrapping_add(1);
        self.free.push(slot);
        self.by_age.remove(&(attempt.job().accepted_at, slot));
        self.counters.under_way.fetch_sub(1, Ordering::Relaxed);
        Some(attempt)
    }

    fn end_overdue(&mut self) {
        while let Some(&(begun_at, slot)) = self.by_age.first()
            && begun_at.elapsed() >= self.timeout
        {
            self.counters.timed_out.fetch_add(1, Ordering::Relaxed);
            self.end(slot, "it took too long");
        }
    }

    /// When there is something to do although no socket is ready.
    fn next_timeout(&self) -> Option<Instant> {
        let oldest = self.by_age.first().map(|(begun_at, _)| {
            let is_full = self.by_age.len() >= self.under_way_max && !self.queue.is_empty();
            *begun_at + if is_full { self.stalled_after } else { self.timeout }
        });
        oldest.into_iter().chain(self.files.as_ref().map(|files| files.next)).min()
    }

    fn check_files(&mut self) {
        let Some(files) = &mut self.files else { return };
        if Instant::now() < files.next {
            return;
        }
        files.next = Instant::now() + files.period;
        let watched = files.watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for tls in watched {
            let file = tls.config().certificate_file.display();
            match guarded(|| tls.check_files()) {
                Some(Ok(false)) | None => (),
                Some(Ok(true)) => {
                    self.counters.reloads.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(%file, "TLS files have changed and are in force for new connections");
                }
                Some(Err(error)) => {
                    self.counters.reload_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "changed TLS files cannot be used; what was in force stays");
                }
            }
        }
    }

    /// Says why a client got no connection; once a second, so that a storm does not fill the log.
    fn tell(&mut self, peer: SocketAddr, reason: impl std::fmt::Display) {
        if self.told_at.is_some_and(|at| at.elapsed() < TOLD_PERIOD) {
            self.untold_count += 1;
            return;
        }
        let more = std::mem::take(&mut self.untold_count);
        self.told_at = Some(Instant::now());
        tracing::info!(%peer, more, "TLS handshake failed: {reason}");
    }
}

/// Runs what handles a client's bytes or files; `None` when it panicked, which the panic's own message tells. A fault there ends
/// one handshake, not the lane.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn join_token(slot: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | slot as u64
}

fn split_token(token: u64) -> (usize, u32) {
    let generation = u32::try_from(token >> 32).expect("32 bits are left");
    let slot = usize::try_from(token & 0xffff_ffff).expect("32 bits are left");
    (slot, generation)
}
