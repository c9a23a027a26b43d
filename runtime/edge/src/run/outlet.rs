//! The way from a core to a mailbox: what does not fit waits here, in order.

use std::collections::VecDeque;

use mailbox::{Doorbell, Sender};

/// Messages for one mailbox. They go out together at the end of a turn, with one ring.
///
/// What waits is bounded by what the actors behind it may have under way, not by a number of its own.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    sender: Sender<T>,
    waiting: VecDeque<T>,
    /// Rung when there is room again.
    bell: Doorbell,
}

impl<T> Outlet<T> {
    pub(super) fn new(sender: Sender<T>, bell: Doorbell) -> Self {
        Self { sender, waiting: VecDeque::new(), bell }
    }

    /// Takes a message along with the next flush.
    pub(super) fn push(&mut self, message: T) {
        self.waiting.push_back(message);
    }

    /// Sends what fits. Where that is not all, the core is rung when there is room. A mailbox whose receiver is gone swallows all:
    /// its core or lane has ended, and whoever ended it has said why.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.sender.send_many(&mut self.waiting);
        if self.waiting.is_empty() {
            return;
        }
        if self.sender.is_disconnected() {
            self.waiting.clear();
        } else {
            self.sender.notify_when_space(&self.bell);
        }
    }

    /// Messages that wait for room.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_waits_and_goes_out_in_order() {
        let ours = Doorbell::new();
        let (sender, mut receiver) = mailbox::channel(2, &Doorbell::new());
        let mut outlet = Outlet::new(sender, ours.clone());
        (0..5).for_each(|number| outlet.push(number));
        outlet.flush();
        assert_eq!(outlet.len(), 3);
        let mut inbox = VecDeque::new();
        receiver.receive_many(&mut inbox, 8);
        assert!(ours.is_rung(), "there is room");
        outlet.flush();
        receiver.receive_many(&mut inbox, 8);
        outlet.flush();
        receiver.receive_many(&mut inbox, 8);
        assert_eq!(inbox, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_mailbox_whose_receiver_is_gone_swallows_all() {
        let (sender, receiver) = mailbox::channel(1, &Doorbell::new());
        let mut outlet = Outlet::new(sender, Doorbell::new());
        drop(receiver);
        outlet.push(1);
        outlet.flush();
        assert_eq!(outlet.len(), 0);
    }
}
