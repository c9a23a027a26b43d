//! From acceptance back to acknowledgement: which publications a NotificationMessage waits for before the server may forget
//! it.

use std::collections::BTreeMap;

use contract::{PublishToken, UtcTime};

use crate::{AcknowledgeAt, Acknowledgement};

/// An acknowledgement that may be sent, and the birth of its Subscription: an id may be given again by a server that
/// restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadyAcknowledgement {
    pub(crate) birth: u64,
    pub(crate) acknowledgement: Acknowledgement,
}

/// The NotificationMessages of one closed interval.
#[derive(Debug)]
pub(crate) struct Receipt {
    /// The Subscription's number in the plan.
    pub(crate) subscription_index: usize,
    pub(crate) birth: u64,
    pub(crate) subscription_id: u32,
    pub(crate) sequence_numbers: Vec<u32>,
    /// The server's time up to which everything came before these messages.
    pub(crate) complete_before: Option<UtcTime>,
}

#[derive(Debug)]
struct OpenReceipt {
    receipt: Receipt,
    tokens_count: u32,
}

/// See [`Receipts::waiting_since`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WaitingSince {
    pub(crate) of_this_birth: Option<UtcTime>,
    pub(crate) of_earlier_births: Option<UtcTime>,
}

/// The earlier of two dates, where there are two.
pub(crate) fn earlier(one: Option<UtcTime>, other: Option<UtcTime>) -> Option<UtcTime> {
    one.into_iter().chain(other).min()
}

/// Receipts that wait, and acknowledgements that are ready. Bounded by the limit on unacknowledged NotificationMessages.
#[derive(Debug)]
pub(crate) struct Receipts {
    open: BTreeMap<u64, OpenReceipt>,
    tokens: BTreeMap<PublishToken, (u64, AcknowledgeAt)>,
    ready: Vec<ReadyAcknowledgement>,
    next_receipt: u64,
    next_token: u64,
    unaccepted_count: u32,
}

impl Receipts {
    /// `first_token` is random, so that an answer to an earlier life's token is not taken for one of this life.
    pub(crate) fn new(first_token: u64) -> Self {
        Self {
            open: BTreeMap::new(),
            tokens: BTreeMap::new(),
            ready: Vec::new(),
            next_receipt: 0,
            next_token: first_token >> 1,
            unaccepted_count: 0,
        }
    }

    /// Opens a receipt for publications of these kinds, each with the token that it gets.
    pub(crate) fn open(
        &mut self,
        receipt: Receipt,
        kinds: impl ExactSizeIterator<Item = AcknowledgeAt>,
        mut token_of: impl FnMut(PublishToken),
    ) {
        let tokens_count = u32::try_from(kinds.len()).expect("fewer publications than tags");
        if tokens_count == 0 {
            self.make_ready(&receipt);
            return;
        }
        let number = self.next_receipt;
        self.next_receipt += 1;
        for kind in kinds {
            let token = PublishToken(self.next_token);
            self.next_token += 1;
            self.tokens.insert(token, (number, kind));
            token_of(token);
        }
        self.unaccepted_count += count(&receipt);
        self.open.insert(number, OpenReceipt { receipt, tokens_count });
    }

    /// A partition, or every destination, has the publications of `token`. Unknown tokens are of an earlier life.
    pub(crate) fn settle(&mut self, token: PublishToken, at: AcknowledgeAt) {
        if self.tokens.get(&token).is_none_or(|(_, kind)| *kind != at) {
            return;
        }
        let Some((number, _)) = self.tokens.remove(&token) else { return };
        let Some(open) = self.open.get_mut(&number) else { return };
        open.tokens_count -= 1;
        if open.tokens_count == 0
            && let Some(open) = self.open.remove(&number)
        {
            self.unaccepted_count -= count(&open.receipt);
            self.make_ready(&open.receipt);
        }
    }

    fn make_ready(&mut self, receipt: &Receipt) {
        let ready = |sequence_number: &u32| ReadyAcknowledgement {
            birth: receipt.birth,
            acknowledgement: Acknowledgement {
                subscription_id: receipt.subscription_id,
                sequence_number: *sequence_number,
            },
        };
        self.ready.extend(receipt.sequence_numbers.iter().map(ready));
    }

    /// NotificationMessages that wait for their publications.
    pub(crate) fn unaccepted_count(&self) -> u32 {
        self.unaccepted_count
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes what may be acknowledged; what belongs to Subscriptions that are gone is dropped.
    pub(crate) fn take_ready(&mut self, is_alive: impl Fn(u64) -> bool) -> Vec<ReadyAcknowledgement> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|ready| is_alive(ready.birth));
        ready
    }

    /// Gives back acknowledgements whose request was perhaps never read; sent twice they do no harm.
    pub(crate) fn give_back(&mut self, acknowledgements: Vec<ReadyAcknowledgement>) {
        self.ready.extend(acknowledgements);
    }

    /// Acknowledges a message that came again. One that still waits is acknowledged in its time.
    pub(crate) fn acknowledge_again(&mut self, again: ReadyAcknowledgement) {
        let waits = self.open.values().any(|open| {
            open.receipt.birth == again.birth
                && open.receipt.sequence_numbers.contains(&again.acknowledgement.sequence_number)
        });
        if !waits && !self.ready.contains(&again) {
            self.ready.push(again);
        }
    }

    /// Whether a server has forgotten a message that waits: it does not list it as unacknowledged.
    pub(crate) fn is_any_forgotten(&self, birth: u64, is_listed: impl Fn(u32) -> bool) -> bool {
        let ours = self.open.values().filter(|open| open.receipt.birth == birth);
        ours.flat_map(|open| &open.receipt.sequence_numbers).any(|waiting| !is_listed(*waiting))
    }

    /// Since when the values of a Subscription wait: those that it has now, and those of its earlier lives.
    pub(crate) fn waiting_since(&self, subscription_index: usize, birth: u64) -> WaitingSince {
        let mut since = WaitingSince::default();
        for OpenReceipt { receipt, .. } in self.open.values() {
            if receipt.subscription_index == subscription_index {
                let place =
                    if receipt.birth == birth { &mut since.of_this_birth } else { &mut since.of_earlier_births };
                *place = earlier(*place, receipt.complete_before);
            }
        }
        since
    }
}

fn count(receipt: &Receipt) -> u32 {
    u32::try_from(receipt.sequence_numbers.len()).expect("an interval has fewer messages than may be unacknowledged")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(sequence_numbers: &[u32]) -> Receipt {
        Receipt {
            subscription_index: 0,
            birth: 1,
            subscription_id: 9,
            sequence_numbers: sequence_numbers.to_vec(),
            complete_before: Some(UtcTime::from_ticks(i64::from(sequence_numbers[0]))),
        }
    }

    fn ready(receipts: &mut Receipts) -> Vec<u32> {
        receipts.take_ready(|_| true).iter().map(|ready| ready.acknowledgement.sequence_number).collect()
    }

    fn open(receipts: &mut Receipts, numbers: &[u32], kinds: &[AcknowledgeAt]) -> Vec<PublishToken> {
        let mut tokens = Vec::new();
        receipts.open(receipt(numbers), kinds.iter().copied(), |token| tokens.push(token));
        tokens
    }

    #[test]
    fn a_message_is_acknowledged_when_all_its_publications_were_accepted() {
        let mut receipts = Receipts::new(0);
        let tokens = open(&mut receipts, &[4, 5], &[AcknowledgeAt::Accepted, AcknowledgeAt::Accepted]);
        receipts.settle(tokens[1], AcknowledgeAt::Accepted);
        assert_eq!((receipts.unaccepted_count(), ready(&mut receipts)), (2, vec![]));
        receipts.settle(tokens[0], AcknowledgeAt::Accepted);
        assert_eq!((receipts.unaccepted_count(), ready(&mut receipts)), (0, vec![4, 5]));
    }

    #[test]
    fn a_message_that_asks_for_delivery_does_not_take_acceptance_for_it() {
        let mut receipts = Receipts::new(0);
        let tokens = open(&mut receipts, &[1], &[AcknowledgeAt::Delivered]);
        receipts.settle(tokens[0], AcknowledgeAt::Accepted);
        assert!(ready(&mut receipts).is_empty());
        receipts.settle(tokens[0], AcknowledgeAt::Delivered);
        receipts.settle(tokens[0], AcknowledgeAt::Delivered);
        assert_eq!(ready(&mut receipts), [1]);
    }

    #[test]
    fn a_message_without_publications_is_acknowledged_at_once() {
        let mut receipts = Receipts::new(0);
        open(&mut receipts, &[3], &[]);
        assert_eq!(ready(&mut receipts), [3]);
    }

    #[test]
    fn acknowledgements_of_a_subscription_that_is_gone_are_dropped() {
        let mut receipts = Receipts::new(0);
        open(&mut receipts, &[3], &[]);
        assert_eq!(receipts.take_ready(|birth| birth == 2), []);
    }

    #[test]
    fn what_waits_longest_says_since_when() {
        let mut receipts = Receipts::new(0);
        let tokens = open(&mut receipts, &[3], &[AcknowledgeAt::Accepted]);
        open(&mut receipts, &[4], &[AcknowledgeAt::Accepted]);
        let at = |ticks| Some(UtcTime::from_ticks(ticks));
        assert_eq!(receipts.waiting_since(0, 1), WaitingSince { of_this_birth: at(3), of_earlier_births: None });
        assert_eq!(receipts.waiting_since(0, 2), WaitingSince { of_this_birth: None, of_earlier_births: at(3) });
        assert_eq!(receipts.waiting_since(1, 1), WaitingSince::default());
        receipts.settle(tokens[0], AcknowledgeAt::Accepted);
        assert_eq!(receipts.waiting_since(0, 1).of_this_birth, at(4));
    }

    #[test]
    fn a_repeated_message_that_still_waits_is_not_acknowledged_early() {
        let mut receipts = Receipts::new(0);
        let tokens = open(&mut receipts, &[3], &[AcknowledgeAt::Accepted]);
        let acknowledgement = Acknowledgement { subscription_id: 9, sequence_number: 3 };
        receipts.acknowledge_again(ReadyAcknowledgement { birth: 1, acknowledgement });
        assert!(!receipts.has_ready());
        receipts.settle(tokens[0], AcknowledgeAt::Accepted);
        receipts.acknowledge_again(ReadyAcknowledgement { birth: 1, acknowledgement });
        assert_eq!(ready(&mut receipts), [3]);
    }
}
