//! The bounded door between cores and the threads that check.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use executor::{Blocking, BlockingError, BlockingSpec, StartError};
use mqtt::ReasonCode;

use crate::audit::{self, AuditLimit};
use crate::authenticators::{Authenticators, answer};
use crate::failure_limit::{FailureLimit, FailureLimits};
use crate::request::{Answer, AuthenticatorKind, Denial, Grant, Request};

/// A gate to start.
#[derive(Clone, Debug)]
pub struct GateSpec {
    /// Threads that check, at least 1. Each takes the memory of one argon2 hash while it works, 19 MiB usually.
    pub thread_count: usize,
    /// Clients that may wait to be checked, at least 1; one more is told [`ReasonCode::SERVER_BUSY`]. With one thread and 20 ms for a
    /// password, 250 are a wait of 5 s.
    pub queue_max: usize,
    /// The processor that the threads are pinned to; `None` leaves the choice to the kernel.
    pub cpu: Option<usize>,
    /// How often an address may fail.
    pub failures: FailureLimits,
}

/// Checks clients of all listeners. Clones share it.
#[derive(Clone, Debug)]
pub struct Gate {
    pool: Blocking,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Held for a look into a table, once as a client comes and once as it is answered.
    failures: Mutex<FailureLimit>,
    audit: Mutex<AuditLimit>,
    granted: AtomicU64,
    denied: AtomicU64,
    busy: AtomicU64,
    rate_limited: AtomicU64,
}

/// What a gate has answered since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateCounters {
    /// Clients let in.
    pub granted: u64,
    /// Clients whose credentials were wrong, or of no use here.
    pub denied: u64,
    /// Clients for whom the queue had no place.
    pub busy: u64,
    /// Clients turned away unchecked, for their address had failed too often.
    pub rate_limited: u64,
}

impl Gate {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`StartError`]: the processor is not allowed, or a thread cannot be started.
    ///
    /// # Panics
    /// When a count of `spec` is 0.
    pub fn start(spec: &GateSpec) -> Result<Self, StartError> {
        let pool = Blocking::start(&BlockingSpec {
            name: "access".to_owned(),
            thread_count: spec.thread_count,
            queue_max: spec.queue_max,
            cpu: spec.cpu,
        })?;
        let shared = Shared {
            failures: Mutex::new(FailureLimit::new(spec.failures)),
            audit: Mutex::default(),
            granted: AtomicU64::default(),
            denied: AtomicU64::default(),
            busy: AtomicU64::default(),
            rate_limited: AtomicU64::default(),
        };
        Ok(Self { pool, shared: Arc::new(shared) })
    }

    /// Checks a client against its listener's `authenticators`. Queued when this is called, not when the future is first
    /// polled; the future works on any executor and may be dropped. Anonymous clients, and those whom no authenticator
    /// concerns, are answered at once.
    ///
    /// # Errors
    /// The Reason Code that refuses the client; see [`Answer`].
    pub fn authenticate(
        &self,
        authenticators: &Arc<Authenticators>,
        request: Request,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let began = self.begin(authenticators, request);
        async move {
            match began {
                Began::Answered(answer) => answer,
                Began::Queued(checked, shared) => checked.await.unwrap_or_else(|error| Err(shared.not_checked(&error))),
            }
        }
    }

    /// What it has answered so far.
    pub fn counters(&self) -> GateCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shared = &self.shared;
        GateCounters {
            granted: read(&shared.granted),
            denied: read(&shared.denied),
            busy: read(&shared.busy),
            rate_limited: read(&shared.rate_limited),
        }
    }

    fn begin(
        &self,
        authenticators: &Arc<Authenticators>,
        request: Request,
    ) -> Began<impl Future<Output = Result<Answer, BlockingError>> + Send + use<>> {
        let now = Instant::now();
        let chain = authenticators.current();
        let place = match chain.concerned(&request) {
            // Neither can be guessed at.
            Err(denial) => return Began::Answered(self.shared.finish(&request, None, Err(denial))),
            Ok(place) => place,
        };
        let by = chain.at(place).kind();
        if by == AuthenticatorKind::Anonymous {
            let outcome = chain.at(place).judge(&request, 0);
            return Began::Answered(self.shared.finish(&request, Some(by), outcome));
        }
        if !self.shared.lock_failures().admit(request.peer, now) {
            self.shared.rate_limited.fetch_add(1, Ordering::Relaxed);
            let denial = Denial {
                reason_code: ReasonCode::CONNECTION_RATE_EXCEEDED,
                cause: "too many failures of this address",
            };
            self.shared.tell(&request, Some(by), denial);
            return Began::Answered(Err(denial.reason_code));
        }
        let attempt = Attempt { shared: Arc::clone(&self.shared), peer: request.peer, failed: false };
        let shared = Arc::clone(&self.shared);
        let checked = self.pool.run(move || {
            let mut attempt = attempt;
            let outcome = chain.at(place).judge(&request, now_s());
            attempt.failed = outcome.is_err();
            let shared = Arc::clone(&attempt.shared);
            drop(attempt);
            shared.finish(&request, Some(by), outcome)
        });
        Began::Queued(checked, shared)
    }
}

enum Began<F> {
    Answered(Answer),
    Queued(F, Arc<Shared>),
}

impl Shared {
    /// Counts and tells `outcome`.
    fn finish(&self, request: &Request, by: Option<AuthenticatorKind>, outcome: Result<Grant, Denial>) -> Answer {
        match &outcome {
            Ok(_) => self.granted.fetch_add(1, Ordering::Relaxed),
            Err(denial) => {
                self.tell(request, by, *denial);
                self.denied.fetch_add(1, Ordering::Relaxed)
            }
        };
        answer(outcome)
    }

    fn not_checked(&self, error: &BlockingError) -> ReasonCode {
        match error {
            BlockingError::Full => {
                self.busy.fetch_add(1, Ordering::Relaxed);
                ReasonCode::SERVER_BUSY
            }
            BlockingError::Panicked(_) | BlockingError::Ended => {
                // Not what it says: it could quote what was being checked.
                tracing::error!("a client could not be checked: the work panicked, or its threads are gone");
                ReasonCode::UNSPECIFIED_ERROR
            }
        }
    }

    fn tell(&self, request: &Request, by: Option<AuthenticatorKind>, denial: Denial) {
        let admitted = self.audit.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if let Some(suppressed_count) = admitted {
            audit::tell(request, by, denial, suppressed_count);
        }
    }

    fn lock_failures(&self) -> MutexGuard<'_, FailureLimit> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that was admitted: however it ends, checked, refused by a full queue or by a panic, its place is given back.
struct Attempt {
    shared: Arc<Shared>,
    peer: std::net::IpAddr,
    failed: bool,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.shared.lock_failures().settle(self.peer, self.failed, Instant::now());
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
