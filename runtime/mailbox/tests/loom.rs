//! All interleavings of doorbell, channel ends and waiters. A lost wake shows as loom's deadlock panic.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p mailbox --release --test loom`
#![cfg(loom)]

use std::collections::VecDeque;

use loom::future::block_on;
use loom::thread;
use mailbox::{Doorbell, Receiver, SendError, Sender, channel};

/// Explores with at most `preemptions` involuntary switches of a thread (loom's documentation: 2 or 3 find
/// nearly all faults), so that the run stays within seconds.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn send_all(mut sender: Sender<u32>, numbers: std::ops::Range<u32>) {
    let own_bell = Doorbell::new();
    for number in numbers {
        let mut message = number;
        while let Err(refused) = sender.try_send(message) {
            let SendError::Full(refused) = refused else { panic!("the receiver outlives the senders") };
            message = refused;
            sender.notify_when_space(&own_bell);
            block_on(own_bell.wait());
        }
    }
}

fn receive_until_the_end(receiver: &mut Receiver<u32>, doorbell: &Doorbell) -> Vec<u32> {
    let mut inbox = VecDeque::new();
    loop {
        block_on(doorbell.wait());
        let ended = receiver.is_disconnected();
        while receiver.receive_many(&mut inbox, 8) == 8 {}
        if ended {
            return inbox.into();
        }
    }
}

#[test]
fn a_ring_between_the_last_drain_and_the_park_is_not_lost() {
    explore(3, || {
        let doorbell = Doorbell::new();
        let (sender, mut receiver) = channel(4, &doorbell);
        let thread = thread::spawn(move || send_all(sender, 0..2));
        assert_eq!(receive_until_the_end(&mut receiver, &doorbell), [0, 1]);
        thread.join().unwrap();
    });
}

#[test]
fn two_senders_on_one_doorbell_are_both_heard() {
    explore(3, || {
        let doorbell = Doorbell::new();
        let (first, mut from_first) = channel(1, &doorbell);
        let (second, mut from_second) = channel(1, &doorbell);
        let first = thread::spawn(move || assert_eq!(first.try_send(1), Ok(())));
        let second = thread::spawn(move || assert_eq!(second.try_send(2), Ok(())));
        let mut sum = 0;
        while sum < 3 {
            block_on(doorbell.wait());
            sum += from_first.receive().unwrap_or(0) + from_second.receive().unwrap_or(0);
        }
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_sender_that_met_a_full_channel_hears_of_space() {
    explore(3, || {
        let doorbell = Doorbell::new();
        let (sender, mut receiver) = channel(1, &doorbell);
        let thread = thread::spawn(move || send_all(sender, 0..3));
        assert_eq!(receive_until_the_end(&mut receiver, &doorbell), [0, 1, 2]);
        thread.join().unwrap();
    });
}

#[test]
fn two_senders_that_met_a_full_channel_both_hear_of_space() {
    explore(2, || {
        let doorbell = Doorbell::new();
        let (sender, mut receiver) = channel(1, &doorbell);
        assert_eq!(sender.try_send(0), Ok(()));
        let second = sender.clone();
        let threads = [thread::spawn(move || send_all(sender, 1..2)), thread::spawn(move || send_all(second, 2..3))];
        let mut received = receive_until_the_end(&mut receiver, &doorbell);
        received.sort_unstable();
        assert_eq!(received, [0, 1, 2]);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_sender_that_waits_for_space_hears_that_the_receiver_is_gone() {
    explore(3, || {
        let (mut sender, receiver) = channel(1, &Doorbell::new());
        assert_eq!(sender.try_send(0), Ok(()));
        let thread = thread::spawn(move || drop(receiver));
        let own_bell = Doorbell::new();
        loop {
            match sender.try_send(1) {
                // Its place came free while the receiver was going.
                Ok(()) | Err(SendError::Full(_)) => {
                    sender.notify_when_space(&own_bell);
                    block_on(own_bell.wait());
                }
                Err(SendError::Disconnected(_)) => break,
            }
        }
        thread.join().unwrap();
    });
}
