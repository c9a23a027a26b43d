//! What follows a panic: the actor is restarted, or the process ends cleanly.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use contract::Instant;

use crate::clock::Clock;
use crate::stop::{StopHandle, StopToken, stop_pair};

/// This many panics within [`PANIC_WINDOW`] end the process, whatever the policy says.
const PANICS_MAX: usize = 3;
const PANIC_WINDOW: Duration = Duration::from_mins(1);

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicReport {
    /// Name of the executor or lane it happened on.
    pub executor: String,
    /// Name of the actor or shell.
    pub name: String,
    /// The panic's message.
    pub message: String,
}

/// What the policy answers to a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on: an actor is restarted by [`crate::Core::restart`]; a shell or a lane stays ended, which its
    /// owner sees at its end of their channel.
    Restart,
    /// End the process cleanly: all cores stop, and `join` returns [`EndProcess`].
    EndProcess,
}

/// Why the process must end. systemd starts it again, and recovery is the tested path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct EndProcess {
    /// The panic that decided it.
    pub report: PanicReport,
    /// Whether it was the third within a minute rather than the policy's decision.
    pub too_many: bool,
}

impl fmt::Display for EndProcess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PanicReport { executor, name, message } = &self.report;
        write!(formatter, "{name} on {executor} panicked: {message}")?;
        if self.too_many {
            write!(formatter, " (panic {PANICS_MAX} within {} s)", PANIC_WINDOW.as_secs())?;
        }
        Ok(())
    }
}

type Policy = dyn Fn(&PanicReport) -> Decision + Send + Sync;

/// Decides on panics, and stops everything. One for the process; clones are equal.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    policy: Box<Policy>,
    grace: Duration,
    stop: StopHandle,
    token: StopToken,
    /// Times of the last panics, at most `PANICS_MAX`. Locked at a panic only.
    panics: Mutex<VecDeque<Instant>>,
    end: OnceLock<EndProcess>,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Supervisor").field("end", &self.shared.end.get()).finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Makes a supervisor. `policy` is asked on the thread that panicked; `grace` is how long the others
    /// have to stop when the process ends.
    pub fn new(grace: Duration, policy: impl Fn(&PanicReport) -> Decision + Send + Sync + 'static) -> Self {
        let clock = Clock::new();
        let (stop, token) = stop_pair(clock);
        let (panics, end) = (Mutex::new(VecDeque::with_capacity(PANICS_MAX)), OnceLock::new());
        Self { shared: Arc::new(Shared { clock, policy: Box::new(policy), grace, stop, token, panics, end }) }
    }

    /// What stops all cores and lanes of this supervisor.
    pub fn stop_handle(&self) -> StopHandle {
        self.shared.stop.clone()
    }

    /// What sees that stop.
    pub fn stop_token(&self) -> StopToken {
        self.shared.token.clone()
    }

    /// Why the process must end, once that is decided.
    pub fn end_process(&self) -> Option<&EndProcess> {
        self.shared.end.get()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// Logs a panic, decides on it, and begins the stop when the process must end.
    pub(crate) fn panicked(&self, report: PanicReport) -> Decision {
        self.panicked_at(report, self.shared.clock.now())
    }

    fn panicked_at(&self, report: PanicReport, now: Instant) -> Decision {
        tracing::error!(executor = report.executor, name = report.name, message = report.message, "panic");
        let too_many = self.is_too_many(now);
        if !too_many && (self.shared.policy)(&report) == Decision::Restart {
            return Decision::Restart;
        }
        self.end(EndProcess { report, too_many });
        Decision::EndProcess
    }

    /// Logs a panic after which nothing can be restarted, and begins the stop.
    pub(crate) fn ended_by(&self, report: PanicReport) {
        tracing::error!(executor = report.executor, name = report.name, message = report.message, "panic");
        self.end(EndProcess { report, too_many: false });
    }

    fn end(&self, end: EndProcess) {
        // Only the first reason is kept; what panics during the stop is in the log.
        let _kept = self.shared.end.set(end);
        self.shared.stop.stop(self.shared.grace);
    }

    fn is_too_many(&self, now: Instant) -> bool {
        let mut panics = self.shared.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.retain(|&at| now - at < PANIC_WINDOW);
        panics.push_back(now);
        if panics.len() > PANICS_MAX {
            panics.pop_front();
        }
        panics.len() == PANICS_MAX
    }
}

/// The text of a panic's payload.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(a payload without text)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str) -> PanicReport {
        PanicReport { executor: "core-0".to_owned(), name: name.to_owned(), message: "boom".to_owned() }
    }

    #[test]
    fn the_third_panic_within_a_minute_ends_the_process() {
        let supervisor = Supervisor::new(Duration::ZERO, |_| Decision::Restart);
        assert_eq!(supervisor.panicked_at(report("a"), Instant::from_millis(0)), Decision::Restart);
        assert_eq!(supervisor.panicked_at(report("b"), Instant::from_millis(30_000)), Decision::Restart);
        assert!(supervisor.end_process().is_none() && !supervisor.stop_token().is_stopping());
        assert_eq!(supervisor.panicked_at(report("c"), Instant::from_millis(59_999)), Decision::EndProcess);
        assert_eq!(supervisor.end_process(), Some(&EndProcess { report: report("c"), too_many: true }));
        assert!(supervisor.stop_token().is_stopping());
    }

    #[test]
    fn panics_further_apart_do_not_add_up() {
        let supervisor = Supervisor::new(Duration::ZERO, |_| Decision::Restart);
        for minute in 0..10 {
            for at in [minute * 60_000, minute * 60_000 + 1] {
                assert_eq!(supervisor.panicked_at(report("a"), Instant::from_millis(at)), Decision::Restart);
            }
        }
    }

    #[test]
    fn the_policy_can_end_the_process_at_the_first_panic_and_the_first_reason_stays() {
        let supervisor = Supervisor::new(Duration::ZERO, |_| Decision::EndProcess);
        assert_eq!(supervisor.panicked(report("a")), Decision::EndProcess);
        assert_eq!(supervisor.panicked(report("b")), Decision::EndProcess);
        assert_eq!(supervisor.end_process().map(|end| end.report.name.as_str()), Some("a"));
    }

    #[test]
    fn a_panic_without_text_has_a_message() {
        assert_eq!(panic_message(&"static"), "static");
        assert_eq!(panic_message(&"owned".to_owned()), "owned");
        assert_eq!(panic_message(&7_u8), "(a payload without text)");
    }
}
