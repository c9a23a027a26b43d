//! A bounded channel between a core's loop and a shell on the same thread, without atomics.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::LocalBell;

/// Makes a channel of `capacity` values between tasks of one thread.
///
/// Values arrive in the order sent, over all senders. A full channel hands the value back ([`LocalSender::try_send`]) or has the
/// sender wait ([`LocalSender::send`]); nothing is dropped. `bell` is rung by every value that is sent: give the core's
/// [`LocalBell`] where the core receives, `None` where a shell awaits [`LocalReceiver::receive`].
///
/// One task waits at each end; of several waiting senders only the last to wait is woken, so a channel has one sender that
/// waits.
///
/// # Panics
/// When `capacity` is 0.
pub fn local_channel<T>(capacity: usize, bell: Option<LocalBell>) -> (LocalSender<T>, LocalReceiver<T>) {
    assert!(capacity > 0, "a channel without places carries nothing");
    let shared = Rc::new(Shared {
        queue: RefCell::new(VecDeque::new()),
        capacity,
        bell,
        receiver_waker: Cell::new(None),
        sender_waker: Cell::new(None),
        sender_count: Cell::new(1),
        receiver_lives: Cell::new(true),
    });
    (LocalSender { shared: Rc::clone(&shared) }, LocalReceiver { shared })
}

struct Shared<T> {
    queue: RefCell<VecDeque<T>>,
    capacity: usize,
    bell: Option<LocalBell>,
    receiver_waker: Cell<Option<Waker>>,
    sender_waker: Cell<Option<Waker>>,
    sender_count: Cell<usize>,
    receiver_lives: Cell<bool>,
}

impl<T> Shared<T> {
    fn wake_receiver(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
        if let Some(waker) = self.receiver_waker.take() {
            waker.wake();
        }
    }

    fn wake_sender(&self) {
        if let Some(waker) = self.sender_waker.take() {
            waker.wake();
        }
    }
}

/// The end that sends. Clones send into the same channel.
pub struct LocalSender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> std::fmt::Debug for LocalSender<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LocalSender").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> Clone for LocalSender<T> {
    fn clone(&self) -> Self {
        self.shared.sender_count.set(self.shared.sender_count.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> LocalSender<T> {
    /// Puts one value into the channel and wakes the receiver.
    ///
    /// # Errors
    /// The value, when the channel holds `capacity` already or its receiver is gone ([`LocalSender::is_disconnected`]).
    pub fn try_send(&self, value: T) -> Result<(), T> {
        let mut queue = self.shared.queue.borrow_mut();
        if queue.len() >= self.shared.capacity || !self.shared.receiver_lives.get() {
            return Err(value);
        }
        queue.push_back(value);
        drop(queue);
        self.shared.wake_receiver();
        Ok(())
    }

    /// Puts one value into the channel as soon as there is room.
    ///
    /// # Errors
    /// The value, when the receiver is gone.
    pub async fn send(&self, value: T) -> Result<(), T> {
        let mut waiting = Some(value);
        poll_fn(|context| {
            let value = waiting.take().expect("a future is not polled after its end");
            match self.try_send(value) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(value) if self.is_disconnected() => Poll::Ready(Err(value)),
                Err(value) => {
                    waiting = Some(value);
                    self.shared.sender_waker.set(Some(context.waker().clone()));
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Values in the channel.
    pub fn len(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Whether the channel holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the receiver is gone.
    pub fn is_disconnected(&self) -> bool {
        !self.shared.receiver_lives.get()
    }
}

impl<T> Drop for LocalSender<T> {
    fn drop(&mut self) {
        let count = self.shared.sender_count.get() - 1;
        self.shared.sender_count.set(count);
        if count == 0 {
            self.shared.wake_receiver();
        }
    }
}

/// The end that receives.
pub struct LocalReceiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> std::fmt::Debug for LocalReceiver<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LocalReceiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> LocalReceiver<T> {
    /// Takes the oldest value, if there is one, and wakes a sender that waits for room.
    pub fn try_receive(&mut self) -> Option<T> {
        let value = self.shared.queue.borrow_mut().pop_front();
        if value.is_some() {
            self.shared.wake_sender();
        }
        value
    }

    /// Takes the oldest value as soon as there is one; `None` when all senders are gone and the channel is empty.
    /// May be dropped and called again: nothing is taken before it is ready.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|context| {
            if let Some(value) = self.try_receive() {
                return Poll::Ready(Some(value));
            }
            if self.is_disconnected() {
                return Poll::Ready(None);
            }
            self.shared.receiver_waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Values in the channel.
    pub fn len(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Whether the channel holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are gone. Values sent before may still be in the channel.
    pub fn is_disconnected(&self) -> bool {
        self.shared.sender_count.get() == 0
    }
}

impl<T> Drop for LocalReceiver<T> {
    /// Drops what is in the channel and wakes a sender that waits: it gets its value back.
    fn drop(&mut self) {
        self.shared.receiver_lives.set(false);
        let values = std::mem::take(&mut *self.shared.queue.borrow_mut());
        drop(values);
        self.shared.wake_sender();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn values_arrive_in_order_and_a_full_channel_hands_the_value_back() {
        let (sender, mut receiver) = local_channel(2, None);
        assert_eq!((sender.try_send(1), sender.clone().try_send(2), sender.try_send(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!((receiver.try_receive(), receiver.try_receive(), receiver.try_receive()), (Some(1), Some(2), None));
    }

    #[test]
    fn a_sender_that_waits_goes_on_when_there_is_room() {
        let (sender, mut receiver) = local_channel(1, None);
        sender.try_send(1).unwrap();
        let mut sending = pin!(sender.send(2));
        let mut context = Context::from_waker(Waker::noop());
        assert!(std::future::Future::poll(sending.as_mut(), &mut context).is_pending());
        assert_eq!(receiver.try_receive(), Some(1));
        assert_eq!(std::future::Future::poll(sending.as_mut(), &mut context), Poll::Ready(Ok(())));
        assert_eq!(block_on(receiver.receive()), Some(2));
    }

    #[test]
    fn every_value_rings_the_bell() {
        let bell = LocalBell::new();
        let (sender, _receiver) = local_channel(2, Some(bell.clone()));
        sender.try_send(1).unwrap();
        assert!(bell.clear());
        assert!(!bell.clear());
    }

    #[test]
    fn the_ends_hear_of_each_other_s_end() {
        let (sender, receiver) = local_channel::<u8>(1, None);
        drop(receiver);
        assert!(sender.is_disconnected());
        assert_eq!(block_on(sender.send(1)), Err(1));
        let (sender, mut receiver) = local_channel::<u8>(1, None);
        sender.try_send(7).unwrap();
        drop(sender);
        assert_eq!((block_on(receiver.receive()), block_on(receiver.receive())), (Some(7), None));
    }
}
