//! The bounded queue inside a channel, allocated by its first message.

#[cfg(not(loom))]
pub(crate) use lazy::Queue;
#[cfg(loom)]
pub(crate) use model::Queue;

#[cfg(not(loom))]
mod lazy {
    use std::sync::OnceLock;

    use crossbeam::queue::ArrayQueue;

    /// `crossbeam`'s array queue, made when something is first pushed.
    ///
    /// The making is the only step that can wait for another thread (one that makes it at the same
    /// moment); every later push and pop is lock-free.
    #[derive(Debug)]
    pub(crate) struct Queue<T> {
        slots: OnceLock<ArrayQueue<T>>,
        capacity: usize,
    }

    impl<T> Queue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            Self { slots: OnceLock::new(), capacity }
        }

        pub(crate) fn capacity(&self) -> usize {
            self.capacity
        }

        pub(crate) fn len(&self) -> usize {
            self.slots.get().map_or(0, ArrayQueue::len)
        }

        pub(crate) fn push(&self, message: T) -> Result<(), T> {
            self.slots.get_or_init(|| ArrayQueue::new(self.capacity)).push(message)
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.slots.get()?.pop()
        }
    }
}

#[cfg(loom)]
mod model {
    use std::collections::VecDeque;

    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicUsize, Ordering};

    /// A model of the array queue that promises less: its length is a relaxed counter, which orders
    /// nothing, so whatever the protocol around it needs must come from the protocol.
    #[derive(Debug)]
    pub(crate) struct Queue<T> {
        messages: Mutex<VecDeque<T>>,
        len: AtomicUsize,
        capacity: usize,
    }

    impl<T> Queue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            Self { messages: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0), capacity }
        }

        pub(crate) fn capacity(&self) -> usize {
            self.capacity
        }

        pub(crate) fn len(&self) -> usize {
            self.len.load(Ordering::Relaxed)
        }

        pub(crate) fn push(&self, message: T) -> Result<(), T> {
            let mut messages = self.messages.lock().expect("loom ends at the first panic");
            if messages.len() == self.capacity {
                return Err(message);
            }
            messages.push_back(message);
            self.len.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        pub(crate) fn pop(&self) -> Option<T> {
            let message = self.messages.lock().expect("loom ends at the first panic").pop_front();
            if message.is_some() {
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
            message
        }
    }
}
