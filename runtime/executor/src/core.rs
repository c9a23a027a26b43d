//! What a core hosts, and what it is given.

use std::cell::Cell;
use std::future::Future;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use contract::Instant;
use mailbox::Doorbell;

use crate::clock::Clock;
use crate::local_bell::LocalBell;
use crate::shells::{ShellLimit, Shells};
use crate::sleeper::{Sleep, Sleeper};
use crate::stats::ExecutorStats;
use crate::stop::StopToken;
use crate::supervisor::Supervisor;

/// Whatever a factory or a lane failed of.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A future that stays on its thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;
/// Builds a core on its own thread, so that nothing of it needs to be `Send`. `Executors::start` waits for
/// it: what it awaits without end must give up when the stop token says so.
pub type CoreFactory = Box<dyn FnOnce(CoreContext) -> LocalFuture<Result<Box<dyn Core>, BoxError>> + Send>;

/// What a turn leaves to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// When the core wants its next turn, whatever else happens; `None` when it waits for messages only.
    pub next_timeout: Option<Instant>,
    /// The budget ran out before the work: another turn follows once the shells had theirs.
    pub more: bool,
    /// All that the core was given since its start, in any unit that follows its traffic, such as bytes received; 0 where nobody
    /// counts. A busy core tries by it whether to gather ([`crate::ExecutorSpec::gather_max`]).
    pub work: u64,
}

/// The actors of one core, with the mailboxes between them.
///
/// Methods are called on the core's thread and never wait. A panic inside `turn` is caught; the core then
/// is asked who panicked and told to restart that actor, so what lies around the actors (queues,
/// mailboxes) must stay usable when a step is cut short.
pub trait Core: 'static {
    /// Drains the mailboxes and runs actors until nothing is due or the turn's budget is used up.
    ///
    /// The budget belongs to the core: a turn of 10 ms or more is a stall.
    fn turn(&mut self, now: Instant) -> Turn;

    /// Begins to stop: sources first, then drain. Called once; turns go on until [`Core::stopped`].
    fn stop(&mut self, now: Instant);

    /// Whether everything is drained since [`Core::stop`].
    fn stopped(&self) -> bool;

    /// The actor that ran longest in the last turn.
    fn stall_culprit(&self) -> &'static str;

    /// The actor inside which the last turn was cut short by a panic.
    fn panic_culprit(&self) -> &'static str;

    /// Replaces the actor that panicked by a fresh one, from its log. A panic in here counts as another.
    fn restart(&mut self, now: Instant);
}

/// What a core's factory, its actors' wiring and its shells may use. Clones are handles of the same core.
#[derive(Clone, Debug)]
pub struct CoreContext {
    pub(crate) inner: Rc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) doorbell: Doorbell,
    pub(crate) local_bell: LocalBell,
    pub(crate) stop_token: StopToken,
    pub(crate) stats: Arc<ExecutorStats>,
    pub(crate) supervisor: Supervisor,
    pub(crate) shells: Shells,
    pub(crate) sleeper: Sleeper,
    /// When the last stall of a shell ended: it explains a late loop.
    pub(crate) last_stall: Cell<Instant>,
}

impl CoreContext {
    /// The core's place among the specs given to `Executors::start`.
    pub fn index(&self) -> usize {
        self.inner.index
    }

    /// The processor it is pinned to.
    pub fn cpu(&self) -> Option<usize> {
        self.inner.stats.cpu()
    }

    /// The executor's name.
    pub fn name(&self) -> &str {
        self.inner.stats.name()
    }

    /// The bell of this core, for mailboxes whose senders are elsewhere. It is the one given in the spec.
    pub fn doorbell(&self) -> &Doorbell {
        &self.inner.doorbell
    }

    /// The bell for shells of this core.
    pub fn local_bell(&self) -> LocalBell {
        self.inner.local_bell.clone()
    }

    /// The process's clock.
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// Sees the stop. Shells that wait on something else must wait on this too.
    pub fn stop_token(&self) -> StopToken {
        self.inner.stop_token.clone()
    }

    /// This executor's figures.
    pub fn stats(&self) -> &Arc<ExecutorStats> {
        &self.inner.stats
    }

    /// The descriptor that becomes readable with each ring of the doorbell while the core sleeps in a [`Sleep`]; edges count, nobody
    /// reads it. `None` where the kernel had none left: then [`CoreContext::sleep_in`] is not slept in.
    pub fn wake_event(&self) -> Option<BorrowedFd<'_>> {
        self.inner.sleeper.event()
    }

    /// Names the place where the core sleeps, in one system call and not in glommio, while its only shell is the one that waits
    /// for the same sockets in glommio. A core has one such place; another one takes it.
    pub fn sleep_in(&self, bed: &Rc<dyn Sleep>) {
        self.inner.sleeper.set_bed(bed);
    }

    /// Starts a task beside the actors: a socket, a file, a listener.
    ///
    /// It is never cancelled and must end by itself, at the latest soon after the stop: the executor waits
    /// for it. A panic in it is reported under `name` and ends this shell only; give it a guard whose
    /// `drop` tells the actor. A poll of 10 ms or more is counted as a stall of `name`.
    ///
    /// # Errors
    /// [`ShellLimit`]: the core has `shells_max` shells. Close the socket, or try again later.
    pub fn spawn_shell(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + 'static,
    ) -> Result<(), ShellLimit> {
        crate::shells::spawn(&self.inner, name, Box::pin(future))
    }
}
