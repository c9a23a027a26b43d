//! The cooperative stop: everybody is told, nobody is cancelled, and a time limit ends the wait.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::Instant;
use mailbox::Doorbell;

use crate::clock::Clock;

const NOT_STOPPING: u64 = u64::MAX;

/// Tells every core, shell and lane to stop. Clones are equal.
#[derive(Clone, Debug)]
pub struct StopHandle {
    shared: Arc<Shared>,
}

/// Where cores, shells and lanes see that they should stop. Works on glommio, tokio and plain threads.
#[derive(Clone, Debug)]
pub struct StopToken {
    shared: Arc<Shared>,
    ended: flume::Receiver<Infallible>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    /// Nanoseconds of the instant after which nobody is waited for; `NOT_STOPPING` until a stop.
    deadline_nanos: AtomicU64,
    /// Dropped by the stop, which ends every `stopped` future. This lock is taken at start and stop only.
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    keeper: Option<flume::Sender<Infallible>>,
    doorbells: Vec<Doorbell>,
}

pub(crate) fn stop_pair(clock: Clock) -> (StopHandle, StopToken) {
    let (keeper, ended) = flume::bounded(1);
    let shared = Arc::new(Shared {
        clock,
        deadline_nanos: AtomicU64::new(NOT_STOPPING),
        open: Mutex::new(Open { keeper: Some(keeper), doorbells: Vec::new() }),
    });
    (StopHandle { shared: Arc::clone(&shared) }, StopToken { shared, ended })
}

impl StopHandle {
    /// Tells everybody to stop, and to be done within `grace`. What is left then is reported, not awaited.
    ///
    /// A later call can only shorten the time. From any thread, and from a signal's thread.
    pub fn stop(&self, grace: Duration) {
        let deadline = self.shared.clock.now() + grace;
        self.shared.deadline_nanos.fetch_min(deadline.as_nanos(), Ordering::AcqRel);
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(open.keeper.take());
        for doorbell in &open.doorbells {
            doorbell.ring();
        }
    }

    /// Has `doorbell` rung by a stop. One for each core, so their number bounds the list.
    pub(crate) fn ring_at_stop(&self, doorbell: &Doorbell) {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.keeper.is_none() {
            doorbell.ring();
        }
        open.doorbells.push(doorbell.clone());
    }
}

impl StopToken {
    /// Whether a stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.deadline().is_some()
    }

    /// When the wait for the stop ends; `None` while nobody has asked for one.
    pub fn deadline(&self) -> Option<Instant> {
        let nanos = self.shared.deadline_nanos.load(Ordering::Acquire);
        (nanos != NOT_STOPPING).then(|| Instant::from_nanos(nanos))
    }

    /// Resolves when a stop begins; at once when it has begun. May be dropped and called again.
    pub async fn stopped(&self) {
        // Nothing is ever sent: the only answer is that the keeper is gone.
        let _gone = self.ended.recv_async().await;
    }

    /// The same for a thread without executor. Returns `false` when `timeout` came first.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        matches!(self.ended.recv_timeout(timeout), Err(flume::RecvTimeoutError::Disconnected))
    }
}

/// What was still at work when the time limit of a stop was over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    /// Empty after a clean stop.
    pub left: Vec<Left>,
}

/// One kind of leftover on one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The executor's name.
    pub executor: String,
    /// `actors`, `thread`, or the shells' name.
    pub what: &'static str,
    /// How many.
    pub count: usize,
}

impl fmt::Display for Left {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} x {}", self.executor, self.count, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    #[test]
    fn a_stop_ends_every_wait_and_rings_every_doorbell() {
        let (handle, token) = stop_pair(Clock::new());
        let early = Doorbell::new();
        handle.ring_at_stop(&early);
        assert!(!token.is_stopping() && !early.is_rung());
        handle.stop(Duration::from_secs(1));
        block_on(token.stopped());
        block_on(token.clone().stopped());
        assert!(token.is_stopping() && early.is_rung() && token.wait_timeout(Duration::ZERO));
        let late = Doorbell::new();
        handle.ring_at_stop(&late);
        assert!(late.is_rung());
    }

    #[test]
    fn a_second_stop_only_shortens_the_time() {
        let (handle, token) = stop_pair(Clock::new());
        handle.stop(Duration::from_secs(1));
        let first = token.deadline();
        handle.stop(Duration::from_mins(1));
        assert_eq!(token.deadline(), first);
        handle.stop(Duration::ZERO);
        assert!(token.deadline() < first);
    }
}
