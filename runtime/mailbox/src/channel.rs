//! The two ends of a bounded channel: many senders, one receiver, one doorbell.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Doorbell;
use crate::queue::Queue;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::waiters::{Waiter, Waiters};

/// Makes a channel of `capacity` messages whose senders ring `doorbell`, the bell of the receiver's core.
///
/// Messages of one sender arrive in the order sent. When the channel is full the message is handed back
/// ([`SendError::Full`]); nothing waits and nothing is dropped.
///
/// # Panics
/// When `capacity` is 0.
pub fn channel<T>(capacity: usize, doorbell: &Doorbell) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel without places carries nothing");
    let shared = Arc::new(Shared {
        queue: Queue::new(capacity),
        doorbell: doorbell.clone(),
        waiters: Waiters::new(),
        sender_count: AtomicUsize::new(1),
        receiver_lives: AtomicBool::new(true),
    });
    (Sender { shared: Arc::clone(&shared), waiter: None }, Receiver { shared })
}

/// Why a message was not taken; it is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError<T> {
    /// The channel holds `capacity` messages. Keep it, and ask by [`Sender::notify_when_space`].
    #[error("the mailbox is full")]
    Full(T),
    /// The receiver is gone; no message will be taken any more.
    #[error("the mailbox's receiver is gone")]
    Disconnected(T),
}

impl<T> SendError<T> {
    /// The message that was not taken.
    pub fn into_message(self) -> T {
        match self {
            Self::Full(message) | Self::Disconnected(message) => message,
        }
    }
}

#[derive(Debug)]
struct Shared<T> {
    queue: Queue<T>,
    doorbell: Doorbell,
    waiters: Waiters,
    sender_count: AtomicUsize,
    receiver_lives: AtomicBool,
}

impl<T> Shared<T> {
    /// Half empty: a sender that is woken for each single place costs a wake per message.
    fn has_space(&self) -> bool {
        self.queue.len() <= self.queue.capacity() / 2
    }

    fn is_receiver_gone(&self) -> bool {
        !self.receiver_lives.load(Ordering::Acquire)
    }
}

/// The end that sends; clones send into the same channel, from any thread.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    /// Made by the first wait for space. Not cloned: each sender waits for itself.
    waiter: Option<Arc<Waiter>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.sender_count.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared), waiter: None }
    }
}

impl<T> Sender<T> {
    /// Puts one message into the channel and rings the receiver's doorbell.
    ///
    /// `Ok` says that the message is in the channel, not that it was received: a receiver that ends drops
    /// what it has not taken.
    ///
    /// # Errors
    /// - [`SendError::Full`]: all places are taken.
    /// - [`SendError::Disconnected`]: the receiver is gone.
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        if self.shared.is_receiver_gone() {
            return Err(SendError::Disconnected(message));
        }
        self.shared.queue.push(message).map_err(SendError::Full)?;
        self.shared.doorbell.ring();
        Ok(())
    }

    /// Moves messages from the front of `messages` into the channel until it is full, with one ring.
    ///
    /// Returns how many were sent; the others stay where they are. A channel without receiver takes none:
    /// see [`Sender::is_disconnected`].
    pub fn send_many(&self, messages: &mut VecDeque<T>) -> usize {
        if self.shared.is_receiver_gone() {
            return 0;
        }
        let mut sent_count = 0;
        while let Some(message) = messages.pop_front() {
            if let Err(message) = self.shared.queue.push(message) {
                messages.push_front(message);
                break;
            }
            sent_count += 1;
        }
        if sent_count > 0 {
            self.shared.doorbell.ring();
        }
        sent_count
    }

    /// Has `doorbell`, the sender's own, rung once the channel is at most half full, or its receiver gone.
    ///
    /// Call it after [`SendError::Full`], and try again after the ring. It rings at once when that already
    /// holds, so no space is missed. One call, one ring; a second call before the ring changes nothing.
    ///
    /// # Panics
    /// When an earlier call on this sender named another doorbell: a sender serves one core.
    pub fn notify_when_space(&mut self, doorbell: &Doorbell) {
        let waiter = self.waiter.get_or_insert_with(|| Arc::new(Waiter::new(doorbell.clone())));
        assert!(waiter.doorbell().is_same(doorbell), "a sender waits with the doorbell of its own core");
        self.shared.waiters.add(waiter);
        if self.shared.has_space() || self.shared.is_receiver_gone() {
            doorbell.ring();
        }
    }

    /// Messages in the channel. A snapshot.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether the channel holds no message. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages the channel can hold.
    pub fn capacity(&self) -> usize {
        self.shared.queue.capacity()
    }

    /// Whether the receiver is gone.
    pub fn is_disconnected(&self) -> bool {
        self.shared.is_receiver_gone()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.sender_count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.doorbell.ring();
        }
    }
}

/// The end that receives; there is one, on the core whose doorbell the channel was made with.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Moves up to `count_max` messages to the back of `into`, and rings senders that wait for space.
    ///
    /// Returns how many. When it is `count_max` more may be there, for which nobody rings again: call once
    /// more before waiting.
    pub fn receive_many(&mut self, into: &mut VecDeque<T>, count_max: usize) -> usize {
        let mut count = 0;
        while count < count_max {
            let Some(message) = self.shared.queue.pop() else { break };
            into.push_back(message);
            count += 1;
        }
        self.after_receive(count);
        count
    }

    /// Takes the oldest message, if there is one.
    pub fn receive(&mut self) -> Option<T> {
        let message = self.shared.queue.pop();
        self.after_receive(usize::from(message.is_some()));
        message
    }

    fn after_receive(&self, count: usize) {
        if count > 0 && self.shared.has_space() {
            self.shared.waiters.ring_all();
        }
    }

    /// Messages in the channel. A snapshot.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether the channel holds no message. A snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages the channel can hold.
    pub fn capacity(&self) -> usize {
        self.shared.queue.capacity()
    }

    /// Whether all senders are gone. Messages sent before may still be in the channel: the end is reached
    /// when this held and the channel was then found empty. The last sender rings as it goes.
    pub fn is_disconnected(&self) -> bool {
        self.shared.sender_count.load(Ordering::Acquire) == 0
    }
}

impl<T> Drop for Receiver<T> {
    /// Drops what is in the channel and rings waiting senders. A message that a sender puts in at this very
    /// moment is dropped with the last sender.
    fn drop(&mut self) {
        self.shared.receiver_lives.store(false, Ordering::Release);
        while self.shared.queue.pop().is_some() {}
        self.shared.waiters.ring_all();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_channel_hands_the_message_back_and_keeps_the_others() {
        let (sender, mut receiver) = channel(2, &Doorbell::new());
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Ok(()));
        assert_eq!(sender.try_send(3), Err(SendError::Full(3)));
        assert_eq!((receiver.receive(), receiver.receive(), receiver.receive()), (Some(1), Some(2), None));
        assert_eq!(sender.try_send(4), Ok(()));
    }

    #[test]
    fn send_many_leaves_what_does_not_fit_in_order() {
        let (sender, mut receiver) = channel(3, &Doorbell::new());
        let mut outbox = VecDeque::from([1, 2, 3, 4, 5]);
        assert_eq!(sender.send_many(&mut outbox), 3);
        assert_eq!(outbox, [4, 5]);
        let mut inbox = VecDeque::new();
        assert_eq!(receiver.receive_many(&mut inbox, 2), 2);
        assert_eq!((inbox, receiver.len()), (VecDeque::from([1, 2]), 1));
    }

    #[test]
    fn sending_nothing_does_not_ring() {
        let bell = Doorbell::new();
        let (sender, _receiver) = channel::<u8>(1, &bell);
        assert_eq!(sender.send_many(&mut VecDeque::new()), 0);
        assert!(!bell.is_rung());
    }

    #[test]
    fn a_waiting_sender_hears_of_space_when_the_channel_is_half_empty() {
        let bell = Doorbell::new();
        let (mut sender, mut receiver) = channel(4, &Doorbell::new());
        assert_eq!(sender.send_many(&mut (0..4).collect()), 4);
        sender.notify_when_space(&bell);
        sender.notify_when_space(&bell);
        receiver.receive();
        assert!(!bell.is_rung());
        receiver.receive();
        assert!(bell.clear());
        receiver.receive();
        assert!(!bell.is_rung(), "one call, one ring");
    }

    #[test]
    fn a_sender_that_asks_too_late_is_rung_at_once() {
        let bell = Doorbell::new();
        let (mut sender, _receiver) = channel::<u8>(4, &Doorbell::new());
        sender.notify_when_space(&bell);
        assert!(bell.is_rung());
    }

    #[test]
    fn the_last_sender_rings_as_it_goes() {
        let bell = Doorbell::new();
        let (sender, receiver) = channel::<u8>(1, &bell);
        let second = sender.clone();
        drop(sender);
        assert!(!receiver.is_disconnected() && !bell.is_rung());
        drop(second);
        assert!(receiver.is_disconnected() && bell.is_rung());
    }

    #[test]
    fn a_receiver_that_goes_drops_its_messages_and_rings_who_waits() {
        let bell = Doorbell::new();
        let (mut sender, receiver) = channel(1, &Doorbell::new());
        let message = Arc::new(());
        assert_eq!(sender.try_send(Arc::clone(&message)), Ok(()));
        sender.notify_when_space(&bell);
        assert!(!bell.is_rung());
        drop(receiver);
        assert!(bell.is_rung() && sender.is_disconnected());
        assert_eq!(Arc::strong_count(&message), 1);
        assert!(matches!(sender.try_send(message), Err(SendError::Disconnected(_))));
    }

    #[test]
    #[should_panic(expected = "own core")]
    fn a_sender_cannot_wait_with_two_doorbells() {
        let (mut sender, _receiver) = channel::<u8>(1, &Doorbell::new());
        sender.notify_when_space(&Doorbell::new());
        sender.notify_when_space(&Doorbell::new());
    }
}
