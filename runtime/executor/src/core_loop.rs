//! The loop of a core: a turn for the actors, then sleep until something rings or is due.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use contract::Instant;

use crate::core::{Core, Inner, Turn};
use crate::sleeper::{Sleep, Woken};
use crate::stop::Left;
use crate::supervisor::{Decision, PanicReport, panic_message};
use crate::timers::Timers;

/// A loop this late, with nothing running that explains it, was stranded.
const STRANDED_MIN: Duration = Duration::from_millis(50);
/// How often a core that sleeps by itself lets glommio have a look, for whatever may wait there.
const GLOMMIO_PERIOD: Duration = Duration::from_secs(1);
/// How often the thread's processor time is published.
const CPU_TIME_PERIOD: Duration = Duration::from_millis(100);

pub(crate) struct CoreLoop {
    core: Box<dyn Core>,
    inner: Rc<Inner>,
    timers: Timers,
    heartbeat: Duration,
    /// `Core::stop` has been called.
    stop_begun: bool,
    /// The supervisor ends the process because of this core: its actors get no further turn.
    failed: bool,
    cpu_time_at: Instant,
    glommio_at: Instant,
}

impl CoreLoop {
    pub(crate) fn new(core: Box<dyn Core>, inner: Rc<Inner>, heartbeat: Duration) -> Self {
        let timers = Timers::new(inner.clock, heartbeat);
        Self {
            core,
            inner,
            timers,
            heartbeat,
            stop_begun: false,
            failed: false,
            cpu_time_at: Instant::ZERO,
            glommio_at: Instant::ZERO,
        }
    }

    /// Runs until the stop is complete or its time is over; returns what is left then.
    pub(crate) async fn run(mut self) -> Vec<Left> {
        loop {
            self.inner.doorbell.clear();
            self.inner.local_bell.clear();
            let deadline = self.inner.stop_token.deadline();
            if deadline.is_some() && !self.stop_begun {
                self.stop_begun = true;
                self.guarded(Core::stop);
            }
            let turn = self.turn();
            let now = self.inner.clock.now();
            if let Some(deadline) = deadline {
                let drained = self.failed || self.core.stopped();
                if drained && self.inner.shells.count() == 0 {
                    return Vec::new();
                }
                if now >= deadline {
                    return self.left(drained);
                }
            }
            self.publish(now);
            let has_more = turn.more || turn.next_timeout.is_some_and(|timeout| timeout <= now);
            if let Some(bed) = self.bed(now, deadline) {
                if has_more {
                    bed.look();
                } else {
                    self.sleep(&*bed, now, &turn);
                }
            } else if has_more {
                self.yield_once(now).await;
            } else {
                let timeout = [turn.next_timeout, deadline].into_iter().flatten().min();
                self.park(now, timeout).await;
            }
        }
    }

    /// Gives the actors a turn, timed and caught.
    fn turn(&mut self) -> Turn {
        if self.failed {
            return Turn::default();
        }
        let start = self.inner.clock.now();
        self.inner.stats.seen(start);
        self.inner.stats.turns.fetch_add(1, Ordering::Relaxed);
        let turn = self.guarded(Core::turn);
        let elapsed = self.inner.clock.now() - start;
        let core = &self.core;
        self.inner.stats.account_busy(elapsed, || core.stall_culprit());
        // After a panic the next turn comes at once: the restarted actor has work.
        turn.unwrap_or(Turn { more: true, ..Turn::default() })
    }

    /// Calls the core; `None` when that panicked, after the supervisor's decision has been carried out.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut dyn Core, Instant) -> T) -> Option<T> {
        let stats = &self.inner.stats;
        let (core, now) = (&mut *self.core, self.inner.clock.now());
        stats.busy.store(true, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| step(core, now)));
        stats.busy.store(false, Ordering::Relaxed);
        match outcome {
            Ok(value) => Some(value),
            Err(payload) => {
                self.panicked(panic_message(&*payload));
                None
            }
        }
    }

    /// Asks the supervisor, and restarts the actor if it says so. Ends: the third panic is not restarted.
    fn panicked(&mut self, mut message: String) {
        loop {
            self.inner.stats.panics.fetch_add(1, Ordering::Relaxed);
            let name = self.core.panic_culprit().to_owned();
            let executor = self.inner.stats.name().to_owned();
            match self.inner.supervisor.panicked(PanicReport { executor, name, message }) {
                Decision::EndProcess => {
                    self.failed = true;
                    return;
                }
                Decision::Restart => {
                    let (core, now) = (&mut *self.core, self.inner.clock.now());
                    match catch_unwind(AssertUnwindSafe(|| core.restart(now))) {
                        Ok(()) => return,
                        Err(payload) => message = panic_message(&*payload),
                    }
                }
            }
        }
    }

    /// Where the core sleeps, if the loop need not go through glommio: its only shell waits for the same sockets.
    fn bed(&mut self, now: Instant, deadline: Option<Instant>) -> Option<Rc<dyn Sleep>> {
        if deadline.is_some() || self.inner.shells.count() > 1 {
            return None;
        }
        let bed = self.inner.sleeper.bed()?;
        if now - self.glommio_at >= GLOMMIO_PERIOD {
            self.glommio_at = now;
            return None;
        }
        Some(bed)
    }

    /// Sleeps in the kernel until a bell rings, a socket is ready or the turn's timeout, at most a heartbeat.
    fn sleep(&self, bed: &dyn Sleep, now: Instant, turn: &Turn) {
        let inner = &*self.inner;
        if inner.local_bell.clear() {
            return;
        }
        let until_timeout = turn.next_timeout.map_or(self.heartbeat, |timeout| timeout - now);
        // Whole milliseconds, rounded up, so that neighbouring deadlines share one wake-up.
        let nanos = until_timeout.min(self.heartbeat).as_nanos().div_ceil(1_000_000) * 1_000_000;
        let duration = Duration::from_nanos(u64::try_from(nanos).expect("at most a heartbeat"));
        match inner.sleeper.sleep(bed, &inner.doorbell, now, duration, turn.work) {
            Woken::NotSlept => return,
            Woken::ByTimeout if duration >= self.heartbeat => {
                inner.stats.heartbeats.fetch_add(1, Ordering::Relaxed);
            }
            Woken::BySomething | Woken::ByTimeout => {}
        }
        inner.stats.wakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets shells and IO have their turn, with the timers registered all the while.
    async fn yield_once(&mut self, now: Instant) {
        let renew = self.timers.have_fired(now);
        if renew {
            self.timers.set(now, None);
        }
        let mut yielded = false;
        poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            if renew {
                // Whether one is due does not matter: the loop goes round in any case.
                let _due = self.timers.poll_due(context);
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.count_stranding(now + self.heartbeat);
    }

    /// Sleeps until a bell rings or `timeout`, at most a heartbeat.
    async fn park(&mut self, now: Instant, timeout: Option<Instant>) {
        let due_at = self.timers.set(now, timeout);
        let mut slept = false;
        let mut timed_out = false;
        let (timers, inner) = (&mut self.timers, &*self.inner);
        poll_fn(|context| {
            let rung = inner.doorbell.poll_rung(context).is_ready() | inner.local_bell.poll_rung(context).is_ready();
            timed_out = timers.poll_due(context).is_ready();
            if rung || timed_out {
                return Poll::Ready(());
            }
            slept = true;
            Poll::Pending
        })
        .await;
        inner.doorbell.forget_waker();
        inner.local_bell.forget_waker();
        if !slept {
            return;
        }
        inner.stats.wakes.fetch_add(1, Ordering::Relaxed);
        if timed_out && timeout.is_none_or(|timeout| timeout > due_at) {
            inner.stats.heartbeats.fetch_add(1, Ordering::Relaxed);
        }
        self.count_stranding(due_at);
    }

    /// The loop should have gone on at `due_at`: counts it when it did not, and no stall of a shell says why.
    fn count_stranding(&self, due_at: Instant) {
        let late = self.inner.clock.now() - due_at;
        if late >= STRANDED_MIN && self.inner.last_stall.get() < due_at {
            self.inner.stats.strandings.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn publish(&mut self, now: Instant) {
        self.inner.stats.seen(now);
        if now - self.cpu_time_at >= CPU_TIME_PERIOD {
            self.cpu_time_at = now;
            self.inner.stats.publish_cpu_time();
        }
    }

    fn left(&self, drained: bool) -> Vec<Left> {
        let executor = || self.inner.stats.name().to_owned();
        let actors = (!drained).then(|| Left { executor: executor(), what: "actors", count: 1 });
        let shells = self.inner.shells.left().into_iter();
        actors.into_iter().chain(shells.map(|(what, count)| Left { executor: executor(), what, count })).collect()
    }
}
