//! Subscribers: their Subscriptions, their credit, what they settle, and their end.

use std::ops::Range;
use std::time::Duration;

use contract::{
    ConnectionAddress, Credit, Delivery, DeliveryNumber, DeliveryOutcome, Effects, Instant, RetainHandling,
    SubscribeResult, SubscribeToken, SubscriptionRequest,
};

use crate::clients::Arrival;
use crate::effect::{Effect, Report};
use crate::limits::QueueWhenFull;
use crate::state::BrokerPartition;
use crate::subscriber::Subscriber;
use crate::subscription_index::{SubscriptionEntry, SubscriptionOptions};

/// Waiting records, and Retained Messages, that one step looks at for expiry, about.
const SWEPT_PER_STEP_MAX: usize = 16_384;

impl BrokerPartition {
    pub(crate) fn handle_attach(
        &mut self,
        connection: ConnectionAddress,
        client_identifier: Box<str>,
        effects: &mut Effects<Effect>,
    ) {
        match self.clients.arrive(connection, client_identifier, self.limits.sessions_count_max) {
            Arrival::New => self.told.sessions_are_full = false,
            Arrival::TakesOver(older) => effects.push(Effect::TakenOver { connection: older }),
            Arrival::NotKept => {
                self.clients_not_kept_count += 1;
                if !self.told.sessions_are_full {
                    self.told.sessions_are_full = true;
                    effects.push(Effect::Report(Report::SessionsLimitReached));
                }
            }
        }
        effects.push(Effect::Attached { connection, session_present: false });
    }

    pub(crate) fn handle_subscribe(
        &mut self,
        connection: ConnectionAddress,
        token: SubscribeToken,
        subscriptions: Vec<SubscriptionRequest>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let Some(index) = self.find_or_make_subscriber(connection) else {
            let results = vec![SubscribeResult::QuotaExceeded; subscriptions.len()];
            effects.push(Effect::Subscribed { connection, token, results });
            return;
        };
        let mut replays = Vec::new();
        let results = subscriptions.into_iter().map(|request| self.subscribe(index, request, &mut replays)).collect();
        effects.push(Effect::Subscribed { connection, token, results });
        let mut deliveries = Vec::new();
        for (topic_filter, options) in replays {
            self.replay(index, &topic_filter, &options, now, &mut deliveries);
        }
        if !deliveries.is_empty() {
            effects.push(Effect::Deliver { connection, deliveries });
        }
    }

    fn subscribe(
        &mut self,
        index: u32,
        request: SubscriptionRequest,
        replays: &mut Vec<(Box<str>, SubscriptionOptions)>,
    ) -> SubscribeResult {
        let subscriber = self.subscribers.get_mut(index);
        let is_new = !subscriber.topic_filters.contains(&request.topic_filter);
        let is_full = subscriber.topic_filters.len() >= self.limits.subscriptions_per_client_max as usize
            || self.index.subscriptions_count() >= self.limits.subscriptions_count_max;
        if is_new && is_full {
            return SubscribeResult::QuotaExceeded;
        }
        let options = SubscriptionOptions {
            maximum_qos: request.maximum_qos,
            no_local: request.no_local,
            retain_as_published: request.retain_as_published,
            identifier: request.subscription_identifier,
        };
        self.index.insert(&request.topic_filter, SubscriptionEntry { subscriber: index, options });
        let is_replayed = match request.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if is_replayed {
            replays.push((request.topic_filter.clone(), options));
        }
        subscriber.topic_filters.insert(request.topic_filter);
        SubscribeResult::Granted
    }

    /// Queues the Retained Messages of a Subscription; what the credit allows leaves the queue at once, to `deliveries`.
    fn replay(
        &mut self,
        index: u32,
        topic_filter: &str,
        options: &SubscriptionOptions,
        now: Instant,
        deliveries: &mut Vec<Delivery>,
    ) {
        let Self { retained, records, subscribers, limits, .. } = self;
        let subscriber = subscribers.get_mut(index);
        let mut expires_first: Option<Instant> = None;
        retained.visit_matching(topic_filter, now, records, |record, records| {
            if subscriber.may_send() {
                deliveries.append(&mut subscriber.take_deliveries(now, records));
            }
            if let Some(expires_at) = records.get(record).expires_at() {
                expires_first = Some(expires_first.map_or(expires_at, |first| first.min(expires_at)));
            }
            subscriber.enqueue_retained(record, options, limits, records);
        });
        self.note_queue(index, expires_first);
    }

    pub(crate) fn handle_unsubscribe(
        &mut self,
        connection: ConnectionAddress,
        token: SubscribeToken,
        topic_filters: &[Box<str>],
        effects: &mut Effects<Effect>,
    ) {
        let index = self.subscribers_by_connection.get(&connection).copied();
        let mut remove = |topic_filter: &str| {
            let Some(index) = index else { return false };
            self.subscribers.get_mut(index).topic_filters.remove(topic_filter);
            self.index.remove(topic_filter, index)
        };
        let existed = topic_filters.iter().map(|topic_filter| remove(topic_filter)).collect();
        effects.push(Effect::Unsubscribed { connection, token, existed });
    }

    pub(crate) fn handle_subscriber_credit(&mut self, connection: ConnectionAddress, credit: Credit) {
        let Some(index) = self.find_or_make_subscriber(connection) else {
            self.unknown_count += 1;
            return;
        };
        add(&mut self.subscribers.get_mut(index).credit, credit);
        self.note_queue(index, None);
    }

    pub(crate) fn handle_deliveries_settled(
        &mut self,
        connection: ConnectionAddress,
        numbers: &[Range<DeliveryNumber>],
        outcome: DeliveryOutcome,
    ) {
        let Some(index) = self.subscribers_by_connection.get(&connection).copied() else {
            self.unknown_count += 1;
            return;
        };
        let subscriber = self.subscribers.get_mut(index);
        for range in numbers {
            self.unknown_count += subscriber.settle(range, outcome, &mut self.records);
        }
    }

    pub(crate) fn handle_detach(&mut self, connection: ConnectionAddress) {
        self.clients.leave(connection);
        let Some(index) = self.subscribers_by_connection.remove(&connection) else { return };
        let mut subscriber = self.subscribers.remove(index);
        for topic_filter in &subscriber.topic_filters {
            self.index.remove(topic_filter, index);
        }
        if let Some(due) = subscriber.expiry_due {
            self.expiries.remove(&(due, index));
        }
        self.full_subscribers_count -= u32::from(subscriber.is_noted_full);
        subscriber.drop_all(&mut self.records);
        self.ended_subscribers.merge(&subscriber.ledger);
    }

    fn find_or_make_subscriber(&mut self, connection: ConnectionAddress) -> Option<u32> {
        if let Some(index) = self.subscribers_by_connection.get(&connection) {
            return Some(*index);
        }
        if self.subscribers.len() >= self.limits.sessions_count_max as usize {
            return None;
        }
        let index = self.subscribers.insert(Subscriber::new(connection));
        self.subscribers_by_connection.insert(connection, index);
        Some(index)
    }

    /// Looks at a queue that has changed: whether it may be sent from, whether it holds publishers back, and when it must be swept of
    /// records that expire, of which `expires_at` is the first that joined.
    pub(crate) fn note_queue(&mut self, index: u32, expires_at: Option<Instant>) {
        let subscriber = self.subscribers.get_mut(index);
        if !subscriber.is_ready && subscriber.may_send() {
            subscriber.is_ready = true;
            self.ready.push_back(index);
        }
        if self.limits.subscriber_queue_when_full == QueueWhenFull::BackPressure {
            let was_full = subscriber.is_noted_full;
            let is_full = subscriber.is_full(&self.limits, was_full);
            subscriber.is_noted_full = is_full;
            self.full_subscribers_count += u32::from(is_full);
            self.full_subscribers_count -= u32::from(was_full);
        }
        if let Some(due) = expires_at.map(whole_second_after)
            && subscriber.expiry_due.is_none_or(|known| due < known)
        {
            if let Some(known) = subscriber.expiry_due.replace(due) {
                self.expiries.remove(&(known, index));
            }
            self.expiries.insert((due, index));
        }
    }

    /// Sends subscribers what their credit allows.
    pub(crate) fn send_to_subscribers(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        while self.has_room(effects)
            && let Some(index) = self.ready.pop_front()
        {
            // The place may have another subscriber since, which has not become ready.
            if !self.subscribers.find(index).is_some_and(|subscriber| subscriber.is_ready) {
                continue;
            }
            let subscriber = self.subscribers.get_mut(index);
            subscriber.is_ready = false;
            let deliveries = subscriber.take_deliveries(now, &mut self.records);
            if !deliveries.is_empty() {
                effects.push(Effect::Deliver { connection: subscriber.connection, deliveries });
            }
            self.note_queue(index, None);
        }
        if !self.ready.is_empty() {
            self.continue_at = Some(now);
        }
    }

    /// Drops what has expired, wherever it waits; what is left for another step stays due.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let mut looked_at_count = 0;
        while looked_at_count < SWEPT_PER_STEP_MAX
            && let Some((due, index)) = self.expiries.first().copied()
            && due <= now
        {
            self.expiries.pop_first();
            let subscriber = self.subscribers.get_mut(index);
            looked_at_count += subscriber.sweep(now, &mut self.records);
            let expires_at = subscriber.expiry_due.take();
            self.note_queue(index, expires_at);
        }
        self.retained.sweep(now, SWEPT_PER_STEP_MAX, &mut self.records);
    }
}

/// Adds credit; it stops at the largest number.
pub(crate) fn add(credit: &mut Credit, more: Credit) {
    credit.count = credit.count.saturating_add(more.count);
    credit.bytes = credit.bytes.saturating_add(more.bytes);
}

/// Sweeps are due at whole seconds only, so that one serves many records; the interval has that unit too.
fn whole_second_after(instant: Instant) -> Instant {
    Instant::ZERO + Duration::from_secs(instant.as_nanos().div_ceil(1_000_000_000))
}
