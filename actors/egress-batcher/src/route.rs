//! Whether there is a client to send with.

use std::time::Duration;

use contract::Instant;

use crate::message::Failure;
use crate::retry_delay::{Dice, retry_delay};

/// The way to the hub: one client of the lane at a time.
#[derive(Debug)]
pub(crate) struct Route {
    state: RouteState,
    /// Clients that were made so far.
    clients_count: u64,
    /// Attempts that failed since a batch was last accepted.
    failures_count: u32,
    /// A person must look; told once.
    parked: bool,
}

/// Where the route stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RouteState {
    /// No client; the next attempt is due then.
    Waiting { until: Instant },
    /// The lane was asked for a client.
    Opening,
    /// There is a client.
    Open,
}

impl Route {
    /// A route whose first attempt is due at once.
    pub(crate) fn new() -> Self {
        Self { state: RouteState::Waiting { until: Instant::ZERO }, clients_count: 0, failures_count: 0, parked: false }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == RouteState::Open
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.parked
    }

    /// The client that batches go to, counted from 1.
    pub(crate) fn clients_count(&self) -> u64 {
        self.clients_count
    }

    /// Attempts that failed since a batch was last accepted.
    pub(crate) fn failures_count(&self) -> u32 {
        self.failures_count
    }

    /// When the next attempt is due.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        match self.state {
            RouteState::Waiting { until } => Some(until),
            RouteState::Opening | RouteState::Open => None,
        }
    }

    /// Starts an attempt if one is due; whether the lane must be asked.
    pub(crate) fn start_attempt(&mut self, now: Instant) -> bool {
        let due = self.due_at().is_some_and(|at| at <= now);
        if due {
            self.state = RouteState::Opening;
        }
        due
    }

    /// The lane made a client.
    pub(crate) fn opened(&mut self) {
        self.state = RouteState::Open;
        self.clients_count += 1;
    }

    /// A batch was accepted; whether the route was parked until then.
    pub(crate) fn accepted(&mut self) -> bool {
        self.failures_count = 0;
        std::mem::take(&mut self.parked)
    }

    /// An attempt failed, or the client is of no more use: another attempt follows, at once after the first loss,
    /// then with a growing wait.
    pub(crate) fn fail(&mut self, failure: Failure, now: Instant, dice: &mut Dice, longest: Duration) {
        let lost = matches!(failure, Failure::TimedOut | Failure::ConnectionLost);
        let wait = match self.failures_count {
            0 if lost => Duration::ZERO,
            attempt => retry_delay(dice, attempt, Some(failure), longest),
        };
        self.failures_count = self.failures_count.saturating_add(1);
        self.state = RouteState::Waiting { until: now + wait };
    }

    /// A person must look. Another attempt follows after `park_delay`.
    pub(crate) fn park(&mut self, now: Instant, park_delay: Duration) {
        self.parked = true;
        self.state = RouteState::Waiting { until: now + park_delay };
    }
}
