//! What is ready among the sockets of a core, and the one shell that waits for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use executor::{CoreContext, LocalBell, ShellLimit, Sleep};
use glommio::timer::Timer;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::readiness::Readiness;

/// Sockets asked for at once; more are asked for in the next call.
pub(crate) const READY_COUNT_MAX: usize = 256;
/// The token of the event that rings the core awake; above those of listeners and slots.
const WAKE_TOKEN: u64 = u64::MAX;
/// Once the process stops, a core that has not asked for this long has failed, and the shell ends by itself.
const CORE_SILENCE_MAX: Duration = Duration::from_secs(2);
/// How often the core asks by itself when there is no descriptor for the wait.
const ASK_PERIOD: Duration = Duration::from_millis(100);

/// An epoll instance, edge triggered, with the shell that waits for it.
pub(crate) struct Poller {
    shared: Rc<Shared>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { ready, ended, .. } = &*self.shared;
        formatter.debug_struct("Poller").field("ready", ready).field("ended", ended).finish_non_exhaustive()
    }
}

struct Shared {
    epoll: OwnedFd,
    bell: LocalBell,
    /// What a sleep found ready.
    polled: RefCell<Vec<epoll::Event>>,
    /// Something is ready; the shell waits until the core has asked for all of it.
    ready: Cell<bool>,
    /// The shell ends.
    ended: Cell<bool>,
    /// A panic took the shell away.
    shell_lost: Cell<bool>,
    /// How often the core asked, to tell a core that lives.
    asked_count: Cell<u64>,
    shell_waker: Cell<Option<Waker>>,
}

impl Poller {
    /// # Errors
    /// The kernel's, when there are no descriptors left.
    pub(crate) fn new(context: &CoreContext) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        if let Some(event) = context.wake_event() {
            epoll::add(&epoll, event, EventData::new_u64(WAKE_TOKEN), EventFlags::IN | EventFlags::ET)?;
        }
        let shared = Shared {
            epoll,
            bell: context.local_bell(),
            ready: Cell::new(false),
            polled: RefCell::new(Vec::with_capacity(READY_COUNT_MAX)),
            ended: Cell::new(false),
            shell_lost: Cell::new(false),
            asked_count: Cell::new(0),
            shell_waker: Cell::new(None),
        };
        let shared = Rc::new(shared);
        if context.wake_event().is_some() {
            // The place where a core sleeps whose only shell this is.
            let bed: Rc<dyn Sleep> = Rc::<Shared>::clone(&shared);
            context.sleep_in(&bed);
        }
        Ok(Self { shared })
    }

    /// Starts the shell.
    ///
    /// # Errors
    /// The core has as many shells as it may.
    pub(crate) fn spawn_shell(&self, context: &CoreContext) -> Result<(), ShellLimit> {
        let shared = Rc::clone(&self.shared);
        shared.shell_lost.set(false);
        let stop = context.stop_token();
        context.spawn_shell("mqtt-listener", async move {
            let mut guard = LostGuard { shared: Rc::clone(&shared), armed: true };
            watch(&shared, pin!(stop.stopped())).await;
            guard.armed = false;
        })
    }

    /// Whether a panic took the shell away since it was started.
    pub(crate) fn shell_is_lost(&self) -> bool {
        self.shared.shell_lost.get()
    }

    /// Watches a socket for input, output and its end. Closing the socket ends that.
    ///
    /// # Errors
    /// The kernel's, when it has no memory or the user's limit of watches is reached.
    pub(crate) fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.shared.epoll, socket, EventData::new_u64(token), flags)?)
    }

    /// Whether [`Poller::take_ready`] has something.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.ready.get()
    }

    /// Appends what became ready since, each socket once; at most [`READY_COUNT_MAX`]. Costs nothing where nothing is ready.
    pub(crate) fn take_ready(&self, into: &mut Vec<epoll::Event>) {
        into.clear();
        self.shared.asked_count.set(self.shared.asked_count.get() + 1);
        if !self.shared.ready.get() {
            return;
        }
        let found = &mut *self.shared.polled.borrow_mut();
        if found.is_empty() {
            // The shell said so, or somebody wants to know.
            if let Err(error) = self.shared.wait(found, Duration::ZERO) {
                tracing::trace!(%error, "epoll_wait was interrupted; the next turn asks again");
                return;
            }
        }
        if found.len() < READY_COUNT_MAX {
            self.shared.ready.set(false);
            self.shared.wake_shell();
        }
        into.extend(found.drain(..).filter(|event| event.data.u64() != WAKE_TOKEN));
    }

    /// Ends the shell.
    pub(crate) fn end(&self) {
        self.shared.ended.set(true);
        self.shared.wake_shell();
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.end();
    }
}

impl Sleep for Shared {
    fn sleep(&self, timeout: Duration) -> io::Result<bool> {
        let found = &mut *self.polled.borrow_mut();
        if !found.is_empty() {
            return Ok(true);
        }
        self.wait(found, timeout)?;
        self.ready.set(!found.is_empty());
        Ok(!found.is_empty())
    }

    fn look(&self) {
        self.ready.set(true);
    }
}

impl Shared {
    /// Asks the kernel what is ready, at most [`READY_COUNT_MAX`] sockets.
    fn wait(&self, found: &mut Vec<epoll::Event>, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        found.reserve(READY_COUNT_MAX);
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(found), Some(&timeout))?;
        Ok(())
    }

    fn wake_shell(&self) {
        if let Some(waker) = self.shell_waker.take() {
            waker.wake();
        }
    }

    /// Has the core ask for what is ready. Resolves once it has taken all, or the shell is to end.
    async fn tell_core(&self) {
        self.ready.set(true);
        self.bell.ring();
        poll_fn(|context| {
            if self.ended.get() || !self.ready.get() {
                return Poll::Ready(());
            }
            self.shell_waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Tells the core that the shell is gone, if a panic takes it away.
struct LostGuard {
    shared: Rc<Shared>,
    armed: bool,
}

impl Drop for LostGuard {
    fn drop(&mut self) {
        if self.armed {
            self.shared.shell_lost.set(true);
            self.shared.bell.ring();
        }
    }
}

/// Rings the core's bell whenever a socket is ready, until the end.
async fn watch(shared: &Shared, mut stopped: Pin<&mut impl Future<Output = ()>>) {
    let mut silence = None;
    let mut readiness = Readiness::default();
    while !shared.ended.get() {
        let mut waiting = pin!(readiness.readable(shared.epoll.as_fd()));
        let outcome = poll_fn(|context| {
            if shared.ended.get() {
                return Poll::Ready(Some(Ok(())));
            }
            if let Poll::Ready(outcome) = waiting.as_mut().poll(context) {
                return Poll::Ready(Some(outcome));
            }
            shared.shell_waker.set(Some(context.waker().clone()));
            match &mut silence {
                None if stopped.as_mut().poll(context).is_ready() => Poll::Ready(None),
                None => Poll::Pending,
                Some(Silence { timer, .. }) => Pin::new(timer).poll(context).map(|_| None),
            }
        })
        .await;
        match outcome {
            Some(Ok(())) if shared.ended.get() => (),
            Some(Ok(())) => shared.tell_core().await,
            Some(Err(error)) => {
                tracing::warn!(%error, "no descriptor is left to wait for sockets with; asking every {ASK_PERIOD:?}");
                Timer::new(ASK_PERIOD).await;
                shared.tell_core().await;
            }
            None => {
                let asked_count = shared.asked_count.get();
                if silence.is_some_and(|before: Silence| before.asked_count == asked_count) {
                    return;
                }
                silence = Some(Silence { timer: Timer::new(CORE_SILENCE_MAX), asked_count });
            }
        }
    }
}

/// Since when the core has not asked, after a stop.
struct Silence {
    timer: Timer,
    asked_count: u64,
}
