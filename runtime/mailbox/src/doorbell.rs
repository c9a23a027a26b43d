//! One wake per park, however many messages arrive and from wherever.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::sync::{AtomicBool, AtomicWaker, Ordering};

/// What wakes the one task that drains a core's (or a lane's) mailboxes.
///
/// Clones ring the same bell, from any thread. Only the first ring since the task last looked wakes it;
/// the others find the bell rung and cost one atomic swap. A ring is kept until the task looks, so one
/// that falls between its last drain and its park is not lost.
///
/// One task waits on a bell. When a second one waits too, only the later of them is woken.
#[derive(Clone, Debug)]
pub struct Doorbell {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Set by the ringer after its message is in place, cleared by the task before it drains.
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}

impl Doorbell {
    /// Makes a bell that has not been rung.
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared { rung: AtomicBool::new(false), waker: AtomicWaker::new() }) }
    }

    /// Rings: the waiting task is woken, or finds the ring when it next waits. Never blocks.
    ///
    /// Whatever the caller wrote before is seen by the task once its wait has ended.
    pub fn ring(&self) {
        // A read-modify-write, never a plain load: it takes part in the order of all rings and clears,
        // so a ringer that finds `true` knows that the clear is still to come, and the drain after it.
        if !self.shared.rung.swap(true, Ordering::AcqRel) {
            self.shared.waker.wake();
        }
    }

    /// Forgets a ring, and says whether there was one. Call it before draining, never after.
    pub fn clear(&self) -> bool {
        self.shared.rung.swap(false, Ordering::AcqRel)
    }

    /// Whether a ring is waiting to be seen. A snapshot: for diagnosis, not for deciding to park.
    pub fn is_rung(&self) -> bool {
        self.shared.rung.load(Ordering::Acquire)
    }

    /// Whether both are handles of one bell.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Resolves, and clears the ring, as soon as the bell has been rung since it was last cleared.
    ///
    /// Dropping the future loses nothing: a ring that it has not reported stays.
    pub fn wait(&self) -> Wait<'_> {
        Wait { doorbell: self }
    }

    /// The step of [`Doorbell::wait`], for a task that polls several sources itself. Such a task calls
    /// [`Doorbell::forget_waker`] when another source has woken it.
    pub fn poll_rung(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.clear() {
            return Poll::Ready(());
        }
        self.shared.waker.register(context.waker());
        // A ring before the registration found no waker to wake: it is seen here.
        if self.clear() {
            self.forget_waker();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Drops the registered waker, so that rings during the task's work do not wake it once more.
    pub fn forget_waker(&self) {
        drop(self.shared.waker.take());
    }
}

/// The future of [`Doorbell::wait`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Wait<'a> {
    doorbell: &'a Doorbell,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.doorbell.poll_rung(context)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.doorbell.forget_waker();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_kept_and_only_one_is_reported() {
        let bell = Doorbell::new();
        bell.ring();
        bell.clone().ring();
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(bell.wait()).poll(&mut context).is_ready());
        assert!(pin!(bell.wait()).poll(&mut context).is_pending());
    }

    #[test]
    fn many_rings_wake_the_parked_task_once() {
        let bell = Doorbell::new();
        let counter = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&counter));
        let mut wait = pin!(bell.wait());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        for _ in 0..1_000 {
            bell.ring();
        }
        assert_eq!(counter.count(), 1);
        assert!(wait.poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn a_task_that_stopped_waiting_is_not_woken() {
        let bell = Doorbell::new();
        let counter = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&counter));
        {
            let mut wait = pin!(bell.wait());
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        bell.ring();
        assert_eq!(counter.count(), 0);
        assert!(bell.is_rung());
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wakes {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}
