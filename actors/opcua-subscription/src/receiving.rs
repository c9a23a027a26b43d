//! NotificationMessages: each once, in order, the missing ones asked for again, what is lost named.

use bytes::Bytes;
use contract::{Effects, Instant, UtcTime};

use crate::binary::notification::{NotificationMessage, PublishResponse};
use crate::binary::reader::Reader;
use crate::interval::{BODY_BYTES_MAX, Collector};
use crate::receipts::ReadyAcknowledgement;
use crate::state::{Fault, Pending, Session};
use crate::subscription::{Arrival, ArrivalKind, CatchUp, LostRun, Stage};
use crate::{Acknowledgement, DecodeError, Effect, GapCause, Report, Request, Response, StatusCode, sequence};

/// Unaccepted messages that are always allowed, so that something moves.
const UNACCEPTED_MIN: u32 = 2;
/// Bytes of notifications that an interval may hold before it is closed early.
const INTERVAL_BYTES_MAX: usize = 4 << 20;

impl Session {
    pub(crate) fn on_publish_response(
        &mut self,
        request_handle: u32,
        body: &Bytes,
        received_utc: UtcTime,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        if !matches!(self.requests.get(&request_handle), Some(Pending::Publish { .. })) {
            return;
        }
        self.requests.remove(&request_handle);
        self.note_heard(received_utc, now);
        self.failures_count = 0;
        self.publish_failures_count = 0;
        let read = PublishResponse::read(body).ok().filter(|_| body.len() <= BODY_BYTES_MAX);
        let Some(response) = read else {
            self.counts.messages_malformed += 1;
            return;
        };
        let refused = response.results().filter(|result| result.is_bad()).count();
        self.counts.acknowledgements_refused += refused as u64;
        self.more_notifications = response.more_notifications;
        let found = self
            .subscriptions
            .iter()
            .position(|subscription| subscription.is_alive() && subscription.id == response.subscription_id);
        match found {
            Some(index) => self.on_message(index, &response, body, received_utc, now, effects),
            None => self.on_unknown_subscription(response.subscription_id, effects),
        }
    }

    pub(crate) fn note_heard(&mut self, received_utc: UtcTime, now: Instant) {
        self.utc = received_utc;
        self.heard_at = now;
        self.liveness_misses = 0;
    }

    /// A Subscription of ours that we do not know: left behind by a CreateSubscription whose answer was lost.
    fn on_unknown_subscription(&mut self, subscription_id: u32, effects: &mut Effects<Effect>) {
        self.counts.unknown_subscriptions += 1;
        let is_being_made = self.subscriptions.iter().any(|subscription| subscription.stage == Stage::Creating);
        let is_being_deleted = self.requests.values().any(|pending| matches!(pending, Pending::DeleteSubscriptions));
        if !is_being_made && !is_being_deleted {
            let request = Request::DeleteSubscriptions { subscription_ids: vec![subscription_id] };
            self.send(request, Pending::DeleteSubscriptions, effects);
        }
    }

    fn on_message(
        &mut self,
        index: usize,
        response: &PublishResponse<'_>,
        body: &Bytes,
        received_utc: UtcTime,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let message = &response.message;
        let number = message.sequence_number;
        let subscription = &mut self.subscriptions[index];
        subscription.heard_at = now;
        if subscription.catch_up == CatchUp::FirstMessage {
            subscription.fill_listed(response.available_sequence_numbers(), Some(number));
            subscription.end_fill();
        }
        self.watch_retransmissions(index, response, effects);
        if message.is_keep_alive() {
            self.counts.keep_alives += 1;
            self.on_keep_alive(index, message, now, effects);
            return;
        }
        let arrival = Arrival {
            sequence_number: number,
            publish_time: message.publish_time,
            body: body.clone(),
            kind: ArrivalKind::Published { more_notifications: response.more_notifications },
            received_utc,
        };
        if self.subscriptions[index].was_taken(number) {
            self.on_duplicate(index, number);
        } else if self.subscriptions[index].is_next(number) {
            self.take(index, &arrival, now, effects);
            self.take_held_back(index, now, effects);
        } else {
            self.subscriptions[index].hold_back(arrival);
            if self.subscriptions[index].catch_up == CatchUp::InStep {
                self.fill_or_give_up(index, number, now, effects);
            }
        }
    }

    /// A server that drops what is not acknowledged gets fewer such messages to keep. One that lists nothing says nothing.
    fn watch_retransmissions(&mut self, index: usize, response: &PublishResponse<'_>, effects: &mut Effects<Effect>) {
        let listed = || response.available_sequence_numbers();
        let birth = self.subscriptions[index].birth;
        let is_forgotten = listed().next().is_some()
            && self.receipts.is_any_forgotten(birth, |waiting| listed().any(|number| number == waiting));
        let lowest = self.limits.publish_requests_count.min(UNACCEPTED_MIN);
        if is_forgotten && self.unaccepted_max > lowest {
            self.unaccepted_max = self.unaccepted_max.min(self.unaccepted_count()).saturating_sub(1).max(lowest);
            let report = Report::RetransmissionsShort {
                subscription_index: u32::try_from(index).unwrap_or(u32::MAX),
                unacknowledged_notifications_max: self.unaccepted_max,
            };
            Self::report(effects, report);
        }
    }

    fn on_duplicate(&mut self, index: usize, sequence_number: u32) {
        self.counts.duplicates += 1;
        let subscription = &self.subscriptions[index];
        let is_open = subscription.interval.sequence_numbers.contains(&sequence_number);
        if !is_open {
            let acknowledgement = Acknowledgement { subscription_id: subscription.id, sequence_number };
            self.receipts.acknowledge_again(ReadyAcknowledgement { birth: subscription.birth, acknowledgement });
        }
    }

    /// A keep-alive carries the number of the next message, and ends the interval (Part 4 §5.14.1.1).
    fn on_keep_alive(
        &mut self,
        index: usize,
        message: &NotificationMessage<'_>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let number = message.sequence_number;
        let subscription = &mut self.subscriptions[index];
        if subscription.catch_up != CatchUp::InStep {
            return;
        }
        if subscription.is_next(number) {
            subscription.complete_until = subscription.complete_until.max(Some(message.publish_time));
            self.end_gap(index, message.publish_time, effects);
            self.close_interval(index, now, effects);
        } else if !subscription.was_taken(number) {
            self.fill_or_give_up(index, number, now, effects);
        }
    }

    /// Begins to ask for everything missing before `until`, or names it as a gap where it is too much.
    pub(crate) fn fill_or_give_up(&mut self, index: usize, until: u32, now: Instant, effects: &mut Effects<Effect>) {
        if !self.subscriptions[index].fill_until(until, self.limits.republish_count_max) {
            let from = self.subscriptions[index].complete_until.unwrap_or(self.utc);
            self.subscriptions[index].gap.get_or_insert((from, GapCause::TooManyMissing));
            self.take_held_back(index, now, effects);
        }
    }

    /// Asks for missing messages, where there is room for them.
    pub(crate) fn ask_again(&mut self, effects: &mut Effects<Effect>) {
        for index in 0..self.subscriptions.len() {
            if !self.subscriptions[index].is_alive() || self.unaccepted_count() >= self.unaccepted_max() {
                continue;
            }
            if let Some(sequence_number) = self.subscriptions[index].next_to_ask() {
                self.subscriptions[index].is_asking = true;
                let subscription_id = self.subscriptions[index].id;
                let request = Request::Republish { subscription_id, sequence_number };
                self.send(request, Pending::Republish { index, sequence_number }, effects);
            }
        }
    }

    pub(crate) fn on_republish(
        &mut self,
        index: usize,
        sequence_number: u32,
        result: Result<Response, StatusCode>,
        received_utc: UtcTime,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        self.subscriptions[index].is_asking = false;
        if !self.subscriptions[index].is_alive() {
            return;
        }
        match result {
            Ok(Response::Republish { body }) => {
                let message = NotificationMessage::read(&mut Reader::new(&body));
                match message.ok().filter(|message| is_asked_for(message, sequence_number, &body)) {
                    Some(message) => {
                        let arrival = Arrival {
                            sequence_number,
                            publish_time: message.publish_time,
                            body: body.clone(),
                            kind: ArrivalKind::Republished,
                            received_utc,
                        };
                        self.on_republished(index, &arrival, now, effects);
                    }
                    None => self.on_not_available(index, sequence_number, now, effects),
                }
            }
            Ok(_) => self.on_not_available(index, sequence_number, now, effects),
            Err(StatusCode::BAD_TIMEOUT) => self.fail("Republish", StatusCode::BAD_TIMEOUT, effects),
            Err(StatusCode::BAD_SUBSCRIPTION_ID_INVALID) => {
                self.lose_subscription(index, GapCause::SubscriptionLost, now, effects);
            }
            Err(status_code) => match Self::fault(status_code) {
                Fault::Session => self.restart_session(now, effects),
                Fault::Connection => self.fail("Republish", status_code, effects),
                Fault::Service => self.on_not_available(index, sequence_number, now, effects),
            },
        }
    }

    fn on_republished(&mut self, index: usize, arrival: &Arrival, now: Instant, effects: &mut Effects<Effect>) {
        self.counts.republished += 1;
        let subscription = &mut self.subscriptions[index];
        let only_listed = matches!(&subscription.catch_up, CatchUp::Fill(missing) if missing.only_listed);
        if subscription.was_taken(arrival.sequence_number) {
            self.counts.duplicates += 1;
        } else if only_listed || subscription.is_next(arrival.sequence_number) {
            self.take(index, arrival, now, effects);
        }
        self.subscriptions[index].no_longer_missing(arrival.sequence_number);
        self.take_held_back(index, now, effects);
    }

    /// The server does not have a message any more.
    fn on_not_available(&mut self, index: usize, sequence_number: u32, now: Instant, effects: &mut Effects<Effect>) {
        let subscription = &mut self.subscriptions[index];
        match &subscription.catch_up {
            CatchUp::Probe => subscription.catch_up = CatchUp::InStep,
            CatchUp::InStep | CatchUp::FirstMessage => {}
            CatchUp::Fill(_) if subscription.was_taken(sequence_number) => {}
            // The server listed it a moment ago, and a list has no holes but those that were acknowledged.
            CatchUp::Fill(_) => {
                let run = subscription.lost_run.get_or_insert(LostRun { first: sequence_number, count: 0 });
                run.count += 1;
                subscription.last = Some(sequence_number);
                self.counts.messages_lost += 1;
            }
        }
        self.subscriptions[index].no_longer_missing(sequence_number);
        self.take_held_back(index, now, effects);
    }

    /// Takes messages that waited, as long as they follow on.
    fn take_held_back(&mut self, index: usize, now: Instant, effects: &mut Effects<Effect>) {
        self.subscriptions[index].end_fill();
        while let Some(first) = self.subscriptions[index].held_back.front() {
            let number = first.sequence_number;
            let subscription = &mut self.subscriptions[index];
            if subscription.was_taken(number) {
                subscription.held_back.pop_front();
            } else if subscription.is_next(number) {
                if let Some(arrival) = subscription.held_back.pop_front() {
                    self.take(index, &arrival, now, effects);
                }
            } else {
                if subscription.catch_up == CatchUp::InStep {
                    self.fill_or_give_up(index, number, now, effects);
                }
                return;
            }
        }
    }

    /// The Subscription ends: what waited is taken, and what it waited for is lost.
    pub(crate) fn take_held_back_at_once(&mut self, index: usize, now: Instant, effects: &mut Effects<Effect>) {
        while let Some(arrival) = self.subscriptions[index].held_back.pop_front() {
            let subscription = &mut self.subscriptions[index];
            if let Some(last) = subscription.last {
                let count = sequence::distance(last, arrival.sequence_number).saturating_sub(1);
                if count > 0 {
                    self.counts.messages_lost += u64::from(count);
                    subscription.lost_run = Some(LostRun { first: sequence::after(last), count });
                }
            }
            self.take(index, &arrival, now, effects);
        }
    }

    /// Takes a message: its values into the open interval.
    fn take(&mut self, index: usize, arrival: &Arrival, now: Instant, effects: &mut Effects<Effect>) {
        self.counts.notification_messages += 1;
        self.report_lost_run(index, arrival.publish_time, effects);
        let status_change = self.collect(index, arrival, effects);
        let subscription = &mut self.subscriptions[index];
        subscription.last = Some(arrival.sequence_number);
        if subscription.interval.is_empty() {
            subscription.interval.complete_before = subscription.complete_until;
        }
        subscription.interval.sequence_numbers.push(arrival.sequence_number);
        subscription.interval.publish_time = arrival.publish_time;
        subscription.interval.received_utc = arrival.received_utc;
        let is_interval_over = arrival.kind != ArrivalKind::Published { more_notifications: true };
        if arrival.kind == (ArrivalKind::Published { more_notifications: false }) {
            subscription.complete_until = Some(arrival.publish_time);
            if subscription.stage == Stage::Running {
                self.end_gap(index, arrival.publish_time, effects);
            }
        }
        let subscription = &self.subscriptions[index];
        let is_large = subscription.open_count() >= self.unaccepted_max().div_ceil(2)
            || subscription.interval.held_bytes() > INTERVAL_BYTES_MAX;
        if is_interval_over || is_large {
            self.close_interval(index, now, effects);
        }
        if status_change.is_some() {
            self.lose_subscription(index, GapCause::SubscriptionLost, now, effects);
        }
    }

    fn collect(&mut self, index: usize, arrival: &Arrival, effects: &mut Effects<Effect>) -> Option<StatusCode> {
        let run = self.subscriptions[index].run();
        let complete_until = self.subscriptions[index].complete_until;
        let interval = &mut self.subscriptions[index].interval;
        let message = match arrival.kind {
            ArrivalKind::Published { .. } => PublishResponse::read(&arrival.body).map(|response| response.message),
            ArrivalKind::Republished => NotificationMessage::read(&mut Reader::new(&arrival.body)),
        };
        let mut collector = Collector::new(&self.layout, &mut self.slots, run, interval, arrival);
        let visited: Result<(), DecodeError> = message.and_then(|message| message.visit(&mut collector));
        let overflowed = std::mem::take(&mut collector.overflowed);
        let status_change = collector.status_change;
        self.slots.latencies.drain(effects);
        if !overflowed.is_empty() {
            Self::report(effects, Report::Overflow { tags: overflowed });
        }
        if visited.is_err() {
            self.counts.messages_malformed += 1;
            let report = Report::NotificationMalformed {
                subscription_index: u32::try_from(index).unwrap_or(u32::MAX),
                tags: self.tags_of(index),
                sequence_number: arrival.sequence_number,
                from: complete_until.unwrap_or(arrival.publish_time),
                until: arrival.publish_time,
            };
            Self::report(effects, report);
        }
        status_change
    }

    fn report_lost_run(&mut self, index: usize, until: UtcTime, effects: &mut Effects<Effect>) {
        let subscription = &mut self.subscriptions[index];
        let Some(run) = subscription.lost_run.take() else { return };
        let from = subscription.complete_until.unwrap_or(until);
        let report = Report::NotificationLost {
            subscription_index: u32::try_from(index).unwrap_or(u32::MAX),
            tags: self.tags_of(index),
            sequence_number: run.first,
            count: run.count,
            from,
            until,
        };
        Self::report(effects, report);
    }

    /// Values come again: tells what may be missing.
    fn end_gap(&mut self, index: usize, until: UtcTime, effects: &mut Effects<Effect>) {
        self.report_lost_run(index, until, effects);
        if self.subscriptions[index].stage != Stage::Running {
            return;
        }
        let Some((from, cause)) = self.subscriptions[index].gap.take() else { return };
        self.counts.gaps += 1;
        let report = Report::Gap {
            subscription_index: u32::try_from(index).unwrap_or(u32::MAX),
            tags: self.tags_of(index),
            from,
            until,
            cause,
        };
        Self::report(effects, report);
    }
}

fn is_asked_for(message: &NotificationMessage<'_>, sequence_number: u32, body: &Bytes) -> bool {
    message.sequence_number == sequence_number && !message.is_keep_alive() && body.len() <= BODY_BYTES_MAX
}
