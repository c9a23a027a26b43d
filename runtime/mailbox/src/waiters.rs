//! Senders that met a full channel and want their own doorbell rung once there is space.

use std::sync::Arc;

#[cfg(not(loom))]
use crossbeam::queue::SegQueue;
#[cfg(loom)]
use model::SegQueue;

use crate::Doorbell;
use crate::sync::{AtomicBool, AtomicUsize, Ordering, fence};

/// One sender's wish; on the list at most once.
#[derive(Debug)]
pub(crate) struct Waiter {
    doorbell: Doorbell,
    listed: AtomicBool,
}

impl Waiter {
    pub(crate) fn new(doorbell: Doorbell) -> Self {
        Self { doorbell, listed: AtomicBool::new(false) }
    }

    pub(crate) fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }
}

/// The list of waiting senders, no longer than there are senders.
#[derive(Debug)]
pub(crate) struct Waiters {
    list: SegQueue<Arc<Waiter>>,
    /// At least as many as stand on the list: counted before the push, discounted after the pop.
    count: AtomicUsize,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self { list: SegQueue::new(), count: AtomicUsize::new(0) }
    }

    /// Puts a waiter on the list, unless it stands there already. The caller looks for space afterwards:
    /// either it sees what the receiver took before, or the receiver sees the waiter.
    pub(crate) fn add(&self, waiter: &Arc<Waiter>) {
        if !waiter.listed.swap(true, Ordering::AcqRel) {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.list.push(Arc::clone(waiter));
        }
        fence(Ordering::SeqCst);
    }

    /// Rings everybody on the list. Called after space was made.
    pub(crate) fn ring_all(&self) {
        fence(Ordering::SeqCst);
        // Who joins while this runs looks for space by himself, so the count at the start bounds the loop.
        for _ in 0..self.count.load(Ordering::Relaxed) {
            let Some(waiter) = self.list.pop() else { break };
            self.count.fetch_sub(1, Ordering::Relaxed);
            waiter.listed.swap(false, Ordering::AcqRel);
            waiter.doorbell.ring();
        }
    }
}

#[cfg(loom)]
mod model {
    use std::collections::VecDeque;

    use loom::sync::Mutex;

    /// A model of crossbeam's unbounded queue.
    #[derive(Debug)]
    pub(super) struct SegQueue<T>(Mutex<VecDeque<T>>);

    impl<T> SegQueue<T> {
        pub(super) fn new() -> Self {
            Self(Mutex::new(VecDeque::new()))
        }

        pub(super) fn push(&self, item: T) {
            self.0.lock().expect("loom ends at the first panic").push_back(item);
        }

        pub(super) fn pop(&self) -> Option<T> {
            self.0.lock().expect("loom ends at the first panic").pop_front()
        }
    }
}
