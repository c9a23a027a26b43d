//! Real threads, small capacities: nothing lost, nothing reordered, nobody left asleep.
#![cfg(not(loom))]

use std::collections::VecDeque;
use std::thread;

use futures_lite::future::block_on;
use mailbox::{Doorbell, Receiver, SendError, Sender, channel};

const MESSAGE_COUNT: u64 = 200_000;

/// Sends `sender_index` and a running number, one by one, waiting for space where there is none.
fn send_one_by_one(mut sender: Sender<(usize, u64)>, sender_index: usize, count: u64) {
    let own_bell = Doorbell::new();
    for number in 0..count {
        let mut message = (sender_index, number);
        while let Err(SendError::Full(refused)) = sender.try_send(message) {
            message = refused;
            sender.notify_when_space(&own_bell);
            block_on(own_bell.wait());
        }
    }
}

/// Sends the same in batches of `batch`.
fn send_in_batches(mut sender: Sender<(usize, u64)>, sender_index: usize, count: u64, batch: u64) {
    let own_bell = Doorbell::new();
    let mut numbers = 0..count;
    let mut outbox = VecDeque::new();
    loop {
        outbox.extend(numbers.by_ref().take(usize::try_from(batch).expect("small")).map(|n| (sender_index, n)));
        if outbox.is_empty() {
            return;
        }
        sender.send_many(&mut outbox);
        if !outbox.is_empty() {
            sender.notify_when_space(&own_bell);
            block_on(own_bell.wait());
        }
    }
}

/// Receives until all senders are gone; checks that each sender's numbers come in order, and counts them.
fn receive_all(receiver: &mut Receiver<(usize, u64)>, doorbell: &Doorbell, senders: usize) -> Vec<u64> {
    let mut next = vec![0; senders];
    let mut inbox = VecDeque::new();
    loop {
        block_on(doorbell.wait());
        let ended = receiver.is_disconnected();
        while receiver.receive_many(&mut inbox, 64) > 0 {
            for (sender_index, number) in inbox.drain(..) {
                assert_eq!(number, next[sender_index], "sender {sender_index}");
                next[sender_index] += 1;
            }
        }
        if ended {
            return next;
        }
    }
}

#[test]
fn messages_sent_one_by_one_arrive_in_order() {
    let doorbell = Doorbell::new();
    let (sender, mut receiver) = channel(256, &doorbell);
    let thread = thread::spawn(move || send_one_by_one(sender, 0, MESSAGE_COUNT));
    assert_eq!(receive_all(&mut receiver, &doorbell, 1), [MESSAGE_COUNT]);
    thread.join().expect("the sender did not panic");
}

#[test]
fn batches_of_three_senders_arrive_in_order() {
    let doorbell = Doorbell::new();
    let (sender, mut receiver) = channel(64, &doorbell);
    let threads: Vec<_> = (0..3)
        .map(|index| {
            let sender = sender.clone();
            thread::spawn(move || send_in_batches(sender, index, MESSAGE_COUNT / 4, 100))
        })
        .collect();
    drop(sender);
    assert_eq!(receive_all(&mut receiver, &doorbell, 3), [MESSAGE_COUNT / 4; 3]);
    for thread in threads {
        thread.join().expect("the sender did not panic");
    }
}

#[test]
fn a_channel_of_one_place_runs_full_and_empty_without_a_hang() {
    let doorbell = Doorbell::new();
    let (sender, mut receiver) = channel(1, &doorbell);
    let threads: Vec<_> = (0..2)
        .map(|index| {
            let sender = sender.clone();
            thread::spawn(move || send_one_by_one(sender, index, 10_000))
        })
        .collect();
    drop(sender);
    assert_eq!(receive_all(&mut receiver, &doorbell, 2), [10_000; 2]);
    for thread in threads {
        thread.join().expect("the sender did not panic");
    }
}
