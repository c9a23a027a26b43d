//! From closed intervals to partitions, and back: acknowledgements, and how many Publish requests the server may have.

use contract::{Effects, Instant, PartitionIndex, Publication};

use crate::message_writer::IntervalIdentity;
use crate::receipts::Receipt;
use crate::state::{Fault, Pending, Session};
use crate::subscription::CatchUp;
use crate::{AcknowledgeAt, Acknowledgement, Effect, GapCause, Request, StatusCode};

/// Publish requests that are never waited for: with fewer at the server, a notification might find none.
const PUBLISH_REQUESTS_MIN: u32 = 2;
/// Refused Publish requests in a row, for no known reason, after which the connection is made anew.
const PUBLISH_FAILURES_MAX: u32 = 3;

impl Session {
    /// Writes the messages of a Subscription's open interval and hands them to their partitions, one effect for each
    /// partition and kind of acknowledgement.
    pub(crate) fn close_interval(&mut self, index: usize, now: Instant, effects: &mut Effects<Effect>) {
        let subscription = &mut self.subscriptions[index];
        if subscription.interval.is_empty() {
            return;
        }
        let receipt = Receipt {
            subscription_index: index,
            complete_before: subscription.interval.complete_before,
            birth: subscription.birth,
            subscription_id: subscription.id,
            sequence_numbers: subscription.interval.sequence_numbers.clone(),
        };
        let identity = IntervalIdentity { birth: subscription.birth, run: subscription.run(), now };
        let mut batches: Vec<(PartitionIndex, AcknowledgeAt, Vec<Publication>)> = Vec::new();
        let Self { layout, slots, writer, receipts, .. } = self;
        writer.close_interval(layout, slots, &mut subscription.interval, identity, |written| {
            let plan = &layout.writers[written.writer_index as usize];
            let place = batches.iter().position(|(partition, acknowledge, _)| {
                (*partition, *acknowledge) == (plan.partition, plan.acknowledge)
            });
            match place {
                Some(place) => batches[place].2.push(written.publication),
                None => batches.push((plan.partition, plan.acknowledge, vec![written.publication])),
            }
        });
        let kinds: Vec<AcknowledgeAt> = batches.iter().map(|(_, acknowledge, _)| *acknowledge).collect();
        let mut batches = batches.into_iter();
        receipts.open(receipt, kinds.into_iter(), |token| {
            if let Some((partition, acknowledge, publications)) = batches.next() {
                effects.push(Effect::Publish { partition, token, publications, acknowledge });
            }
        });
    }

    /// NotificationMessages that no partition has accepted, without those that wait for a missing one.
    pub(crate) fn unaccepted_count(&self) -> u32 {
        self.receipts.unaccepted_count()
            + self.subscriptions.iter().map(crate::subscription::Subscription::open_count).sum::<u32>()
    }

    pub(crate) const fn unaccepted_max(&self) -> u32 {
        self.unaccepted_max
    }

    /// Sends as many Publish requests as may be at the server now, with the acknowledgements that are ready.
    ///
    /// A request may bring a NotificationMessage, so requests and unaccepted messages share one limit. The request that
    /// replaces the last answered one waits for the acceptance, which comes in milliseconds, and carries the
    /// acknowledgement; unless the server has only few, or has more to send.
    pub(crate) fn publish_more(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        let is_catching_up = self
            .subscriptions
            .iter()
            .any(|subscription| subscription.is_alive() && subscription.catch_up == CatchUp::Probe);
        let is_any_alive = self.subscriptions.iter().any(crate::subscription::Subscription::is_alive);
        if is_catching_up || !is_any_alive || self.stopping.is_some() {
            return;
        }
        self.close_intervals_that_block(now, effects);
        let mut outstanding = self.publish_requests_count();
        // Where it is not known what came last, only another message tells what those that wait are waiting for.
        let waits_for_known = self.subscriptions.iter().filter(|waiting| waiting.catch_up != CatchUp::FirstMessage);
        let held_back: u32 = waits_for_known.map(crate::subscription::Subscription::held_back_count).sum();
        let unaccepted = self.unaccepted_count() + held_back;
        while outstanding < self.publish_target {
            if unaccepted + outstanding >= self.unaccepted_max() {
                self.counts.publish_requests_withheld += 1;
                break;
            }
            let may_wait = outstanding >= PUBLISH_REQUESTS_MIN && !self.more_notifications;
            if may_wait && self.receipts.unaccepted_count() > 0 && !self.receipts.has_ready() {
                break;
            }
            self.publish_once(effects);
            outstanding += 1;
        }
        self.note_publish_requests(outstanding, now);
    }

    /// A Subscription cannot break its silence without a Publish request: such times do not count as silence.
    fn note_publish_requests(&mut self, outstanding: u32, now: Instant) {
        match (outstanding, self.no_publish_request_since) {
            (0, None) => self.no_publish_request_since = Some(now),
            (1.., Some(since)) => {
                self.no_publish_request_since = None;
                for subscription in &mut self.subscriptions {
                    subscription.heard_at = (subscription.heard_at + (now - since)).min(now);
                }
            }
            (0, Some(_)) | (1.., None) => {}
        }
    }

    /// Intervals that are still open hold messages that nobody can accept; many of them would withhold the requests that
    /// end them.
    fn close_intervals_that_block(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        let open: u32 = self.subscriptions.iter().map(crate::subscription::Subscription::open_count).sum();
        if open >= self.unaccepted_max().div_ceil(2) {
            for index in 0..self.subscriptions.len() {
                self.close_interval(index, now, effects);
            }
        }
    }

    /// Sends one Publish request.
    pub(crate) fn publish_once(&mut self, effects: &mut Effects<Effect>) {
        let subscriptions = &self.subscriptions;
        let acknowledgements = self.receipts.take_ready(|birth| {
            subscriptions.iter().any(|subscription| subscription.is_alive() && subscription.birth == birth)
        });
        self.counts.acknowledgements += acknowledgements.len() as u64;
        let named: Vec<Acknowledgement> = acknowledgements.iter().map(|ready| ready.acknowledgement).collect();
        self.send(Request::Publish { acknowledgements: named }, Pending::Publish { acknowledgements }, effects);
    }

    /// A Publish request was refused.
    pub(crate) fn on_publish_failed(&mut self, status_code: StatusCode, now: Instant, effects: &mut Effects<Effect>) {
        match status_code.without_info_bits() {
            // The server answers the oldest request with it (Part 4 §5.14.5.1): what is left is what it takes.
            StatusCode::BAD_TOO_MANY_PUBLISH_REQUESTS => {
                self.counts.too_many_publish_requests += 1;
                self.publish_target = self.publish_requests_count().max(1);
            }
            StatusCode::BAD_NO_SUBSCRIPTION => {
                for index in 0..self.subscriptions.len() {
                    if self.subscriptions[index].is_alive() {
                        self.lose_subscription(index, GapCause::SubscriptionLost, now, effects);
                    }
                }
                self.spread_creation(now);
            }
            StatusCode::BAD_TIMEOUT => {}
            _ => match Self::fault(status_code) {
                Fault::Session => self.restart_session(now, effects),
                Fault::Connection => self.fail("Publish", status_code, effects),
                Fault::Service => {
                    self.publish_failures_count += 1;
                    if self.publish_failures_count >= PUBLISH_FAILURES_MAX {
                        self.fail("Publish", status_code, effects);
                    }
                }
            },
        }
    }
}
