//! Tasks beside the actors: counted by name, timed at each poll, their panics contained.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::core::{Inner, LocalFuture};
use crate::supervisor::{PanicReport, panic_message};

/// A core has as many shells as its spec allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the core's limit of {count_max} shells is reached")]
pub struct ShellLimit {
    /// The limit, `shells_max` of the executor's spec.
    pub count_max: usize,
}

/// The shells alive on one core.
#[derive(Debug)]
pub(crate) struct Shells {
    count_max: usize,
    /// Bounded by the number of names in the source.
    by_name: RefCell<BTreeMap<&'static str, usize>>,
}

impl Shells {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { count_max, by_name: RefCell::default() }
    }

    pub(crate) fn count(&self) -> usize {
        self.by_name.borrow().values().sum()
    }

    /// Names and counts of those alive.
    pub(crate) fn left(&self) -> Vec<(&'static str, usize)> {
        self.by_name.borrow().iter().filter(|(_, count)| **count > 0).map(|(name, count)| (*name, *count)).collect()
    }

    fn add(&self, name: &'static str) {
        *self.by_name.borrow_mut().entry(name).or_default() += 1;
    }

    fn remove(&self, name: &'static str) {
        if let Some(count) = self.by_name.borrow_mut().get_mut(name) {
            *count -= 1;
        }
    }
}

/// Starts a shell on the executor of the calling thread.
pub(crate) fn spawn(core: &Rc<Inner>, name: &'static str, future: LocalFuture<()>) -> Result<(), ShellLimit> {
    if core.shells.count() >= core.shells.count_max {
        return Err(ShellLimit { count_max: core.shells.count_max });
    }
    core.shells.add(name);
    core.stats.shells.fetch_add(1, Ordering::Relaxed);
    // Detached, because a dropped or cancelled task of glommio leaks; the loop waits for the count instead.
    drop(glommio::spawn_local(Shell { core: Rc::clone(core), name, future: Some(future) }).detach());
    Ok(())
}

struct Shell {
    core: Rc<Inner>,
    name: &'static str,
    /// `None` once it has ended.
    future: Option<LocalFuture<()>>,
}

impl Future for Shell {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shell = &mut *self;
        let stats = &shell.core.stats;
        let start = shell.core.clock.now();
        stats.busy.store(true, Ordering::Relaxed);
        let future = &mut shell.future;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let poll = future.as_mut().map_or(Poll::Ready(()), |future| future.as_mut().poll(context));
            if poll.is_ready() {
                *future = None;
            }
            poll
        }));
        stats.busy.store(false, Ordering::Relaxed);
        let end = shell.core.clock.now();
        if stats.account_busy(end - start, || shell.name) {
            shell.core.last_stall.set(end);
        }
        match outcome {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => {
                shell.ended();
                Poll::Ready(())
            }
            Err(payload) => {
                shell.panicked(panic_message(&*payload));
                shell.ended();
                Poll::Ready(())
            }
        }
    }
}

impl Shell {
    fn panicked(&mut self, message: String) {
        self.core.stats.panics.fetch_add(1, Ordering::Relaxed);
        // What the future holds is dropped here; when that panics too, the first panic is the one to report.
        let future = self.future.take();
        let _second_panic = catch_unwind(AssertUnwindSafe(|| drop(future)));
        let executor = self.core.stats.name().to_owned();
        self.core.supervisor.panicked(PanicReport { executor, name: self.name.to_owned(), message });
    }

    fn ended(&self) {
        self.core.shells.remove(self.name);
        self.core.stats.shells.fetch_sub(1, Ordering::Relaxed);
        if self.core.stop_token.is_stopping() {
            self.core.local_bell.ring();
        }
    }
}
