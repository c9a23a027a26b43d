//! Wakes a core's loop from a shell on the same thread, without atomics.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Rung by the shells of a core when they have put something where the core will look.
///
/// Rings are kept until the core's next turn and wake it once. Clones ring the same bell.
#[derive(Clone, Debug, Default)]
pub struct LocalBell {
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl LocalBell {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Rings: the core takes a turn soon. Costs nothing when it is rung already.
    pub fn ring(&self) {
        if !self.shared.rung.replace(true)
            && let Some(waker) = self.shared.waker.take()
        {
            waker.wake();
        }
    }

    pub(crate) fn clear(&self) -> bool {
        self.shared.rung.replace(false)
    }

    pub(crate) fn poll_rung(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.clear() {
            return Poll::Ready(());
        }
        *self.shared.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn forget_waker(&self) {
        self.shared.waker.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_kept_and_reported_once() {
        let bell = LocalBell::new();
        let mut context = Context::from_waker(Waker::noop());
        bell.clone().ring();
        bell.ring();
        assert!(bell.poll_rung(&mut context).is_ready());
        assert!(bell.poll_rung(&mut context).is_pending());
    }
}
