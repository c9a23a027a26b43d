//! Subscriptions and their MonitoredItems: made one after the other, in calls that the server can take, made anew when lost.

use std::sync::Arc;
use std::time::Duration;

use contract::{Effects, Instant};

use crate::state::{Fault, Pending, Phase, Session};
use crate::subscription::{CatchUp, Revisions, Stage, Subscription};
use crate::{
    Effect, GapCause, MonitoredItemRequest, MonitoredItemResult, RejectedTag, Report, Request, Response, Revised,
    StatusCode, SubscriptionParameters,
};

impl Session {
    /// Gives each Subscription that is to be made its place in the interval, so that their notifications do not come all
    /// at once.
    pub(crate) fn spread_creation(&mut self, now: Instant) {
        let count = u32::try_from(self.subscriptions.len()).unwrap_or(u32::MAX).max(1);
        for (place, subscription) in (0..).zip(&mut self.subscriptions) {
            if matches!(subscription.stage, Stage::Waiting { .. }) {
                let offset = subscription.plan.publishing_interval.saturating_mul(place) / count;
                subscription.stage = Stage::Waiting { not_before: now + offset };
            }
        }
    }

    /// Takes the next step with every Subscription that is not complete.
    pub(crate) fn create_more(&mut self, now: Instant, effects: &mut Effects<Effect>) {
        for index in 0..self.subscriptions.len() {
            match self.subscriptions[index].stage {
                Stage::Waiting { not_before } if not_before <= now => self.create_subscription(index, effects),
                Stage::Waiting { .. } | Stage::Creating => {}
                Stage::AddingItems => self.create_items(index, now, effects),
                Stage::Running => {
                    self.retry_rejected(index, now);
                    self.create_items(index, now, effects);
                }
            }
        }
    }

    fn create_subscription(&mut self, index: usize, effects: &mut Effects<Effect>) {
        let subscription = &mut self.subscriptions[index];
        subscription.stage = Stage::Creating;
        let interval = subscription.plan.publishing_interval;
        let keep_alive_count = intervals(self.limits.keep_alive_interval, interval);
        subscription.max_keep_alive_count.requested = keep_alive_count;
        // A Subscription that outlives its Session can be transferred to the next one.
        let lifetime = self.limits.session_timeout.max(self.limits.outage_budget.saturating_mul(2));
        let lifetime_count = intervals(lifetime, interval).max(keep_alive_count.saturating_mul(3));
        subscription.lifetime_count.requested = lifetime_count;
        let request = Request::CreateSubscription(SubscriptionParameters {
            requested_publishing_interval: interval,
            requested_lifetime_count: lifetime_count,
            requested_max_keep_alive_count: keep_alive_count,
            max_notifications_per_publish: self.limits.notifications_per_publish_max,
            priority: 0,
        });
        self.send(request, Pending::CreateSubscription { index }, effects);
    }

    pub(crate) fn on_create_subscription(
        &mut self,
        index: usize,
        result: &Result<Response, StatusCode>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        match *result {
            Ok(Response::CreateSubscription {
                subscription_id,
                revised_publishing_interval,
                revised_lifetime_count,
                revised_max_keep_alive_count,
            }) => {
                self.counts.subscriptions_created += 1;
                let birth = self.numbers.next();
                let server_utc = self.server_utc();
                let batches = (self.subscriptions[index].plan, self.items_per_call);
                let subscription = &mut self.subscriptions[index];
                subscription.stage = Stage::AddingItems;
                subscription.id = subscription_id;
                subscription.birth = birth;
                subscription.publishing_interval = revised_publishing_interval.max(Duration::from_millis(1));
                subscription.lifetime_count.revised = revised_lifetime_count;
                subscription.max_keep_alive_count.revised = revised_max_keep_alive_count.max(1);
                subscription.last = None;
                subscription.catch_up = CatchUp::FirstMessage;
                subscription.heard_at = now;
                // Its items are made later: what they are given from here on is to come.
                subscription.complete_until = Some(server_utc);
                subscription.rejected.clear();
                subscription.retry_at = None;
                subscription.revisions = Revisions::default();
                let slots: Vec<u32> = (batches.0.first_slot..batches.0.first_slot + batches.0.slots_count).collect();
                subscription.batches = slots.chunks(batches.1 as usize).map(<[u32]>::to_vec).collect();
                self.create_items(index, now, effects);
            }
            Err(status_code) if Self::fault(status_code) == Fault::Session => self.restart_session(now, effects),
            Err(status_code) if Self::fault(status_code) == Fault::Connection => {
                self.fail("CreateSubscription", status_code, effects);
            }
            Ok(_) => self.fail("CreateSubscription", StatusCode::BAD_UNEXPECTED_ERROR, effects),
            Err(status_code) => {
                Self::report(effects, Report::ServiceFailed { service: "CreateSubscription", status_code });
                let not_before = now + self.limits.backoff_max;
                self.subscriptions[index].stage = Stage::Waiting { not_before };
            }
        }
    }

    /// Asks for the next items of a Subscription, one call at a time. Tags whose namespace the server does not have are
    /// rejected without asking.
    fn create_items(&mut self, index: usize, now: Instant, effects: &mut Effects<Effect>) {
        let is_busy = |pending: &Pending| matches!(pending, Pending::CreateItems { index: busy, .. } if *busy == index);
        if self.subscriptions[index].batches.is_empty() || self.requests.values().any(is_busy) {
            return;
        }
        let publishing_interval = self.subscriptions[index].publishing_interval;
        let mut refused = Vec::new();
        while let Some(batch) = self.subscriptions[index].batches.pop_front() {
            let mut slots = Vec::with_capacity(batch.len());
            let mut items = Vec::with_capacity(batch.len());
            for slot in batch {
                let point = &self.layout.points[slot as usize];
                let queue_size = point.queue_size(publishing_interval, &self.limits);
                match point.node_id.resolve(&self.namespaces) {
                    Some(node_id) => {
                        slots.push(slot);
                        items.push(MonitoredItemRequest {
                            node_id,
                            client_handle: slot,
                            sampling_interval: point.sampling_interval(),
                            queue_size,
                            discard_oldest: true,
                        });
                    }
                    None => refused.push((slot, StatusCode::BAD_NODE_ID_INVALID)),
                }
            }
            if !items.is_empty() {
                let subscription_id = self.subscriptions[index].id;
                let request = Request::CreateMonitoredItems { subscription_id, items };
                self.send(request, Pending::CreateItems { index, slots }, effects);
                break;
            }
        }
        self.reject(index, &refused, effects);
        self.complete_if_done(index, now, effects);
    }

    pub(crate) fn on_create_items(
        &mut self,
        index: usize,
        slots: Vec<u32>,
        result: Result<Response, StatusCode>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        if !self.subscriptions[index].is_alive() {
            return;
        }
        match result {
            Ok(Response::CreateMonitoredItems { results }) if results.len() == slots.len() => {
                self.take_item_results(index, &slots, &results, effects);
                self.create_items(index, now, effects);
                self.complete_if_done(index, now, effects);
            }
            // Perhaps the items were made all the same, and would be made twice.
            Ok(_) | Err(StatusCode::BAD_TIMEOUT) => {
                self.items_per_call = (self.items_per_call / 2).max(1);
                self.delete_and_lose(index, GapCause::ItemsUncertain, now, effects);
            }
            Err(status_code) => match Self::fault(status_code) {
                Fault::Session => self.restart_session(now, effects),
                Fault::Connection => self.fail("CreateMonitoredItems", status_code, effects),
                Fault::Service if status_code == StatusCode::BAD_SUBSCRIPTION_ID_INVALID => {
                    self.lose_subscription(index, GapCause::SubscriptionLost, now, effects);
                }
                Fault::Service => self.divide_call(index, slots, status_code, now, effects),
            },
        }
    }

    /// The whole call was refused: too large, or one item spoils it. Halves find out which.
    fn divide_call(
        &mut self,
        index: usize,
        mut slots: Vec<u32>,
        status_code: StatusCode,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        if status_code == StatusCode::BAD_TOO_MANY_OPERATIONS {
            self.items_per_call = (u32::try_from(slots.len()).unwrap_or(u32::MAX) / 2).max(1);
        }
        if slots.len() <= 1 {
            let refused: Vec<_> = slots.into_iter().map(|slot| (slot, status_code)).collect();
            self.reject(index, &refused, effects);
        } else {
            let second_half = slots.split_off(slots.len() / 2);
            self.subscriptions[index].batches.push_front(second_half);
            self.subscriptions[index].batches.push_front(slots);
        }
        self.create_items(index, now, effects);
        self.complete_if_done(index, now, effects);
    }

    fn take_item_results(
        &mut self,
        index: usize,
        slots: &[u32],
        results: &[MonitoredItemResult],
        effects: &mut Effects<Effect>,
    ) {
        let mut refused = Vec::new();
        let rejected_before = self.subscriptions[index].rejected.len();
        for (slot, result) in slots.iter().copied().zip(results) {
            if result.status_code.is_bad() {
                refused.push((slot, result.status_code));
                continue;
            }
            let point = &self.layout.points[slot as usize];
            let subscription = &mut self.subscriptions[index];
            let queue_size = point.queue_size(subscription.publishing_interval, &self.limits);
            subscription.revisions.note(point.sampling_interval(), queue_size, result);
            subscription.rejected.retain(|(rejected, _)| *rejected != slot);
        }
        let is_better = self.subscriptions[index].rejected.len() < rejected_before;
        self.reject(index, &refused, effects);
        if is_better && self.subscriptions[index].stage == Stage::Running {
            self.save(effects);
        }
    }

    /// Notes tags as rejected; tells of those that were not known to be, or for another reason.
    fn reject(&mut self, index: usize, refused: &[(u32, StatusCode)], effects: &mut Effects<Effect>) {
        let mut tags = Vec::new();
        let subscription = &mut self.subscriptions[index];
        for (slot, status_code) in refused.iter().copied() {
            let is_known = subscription.rejected.contains(&(slot, status_code));
            if !is_known {
                subscription.rejected.retain(|(rejected, _)| *rejected != slot);
                subscription.rejected.push((slot, status_code));
                tags.push((slot, status_code));
            }
        }
        self.counts.tags_rejected += tags.len() as u64;
        self.report_rejected(&tags, effects);
    }

    fn report_rejected(&self, tags: &[(u32, StatusCode)], effects: &mut Effects<Effect>) {
        if tags.is_empty() {
            return;
        }
        let tag = |(slot, status_code): &(u32, StatusCode)| {
            let (asset, tag) = &self.layout.names[*slot as usize];
            let node_id = Arc::clone(&self.layout.points[*slot as usize].node_text);
            RejectedTag { asset: asset.clone(), tag: tag.clone(), node_id, status_code: *status_code }
        };
        Self::report(effects, Report::TagsRejected { tags: tags.iter().map(tag).collect() });
    }

    /// After a restart of ours: what the server had refused in the earlier life.
    pub(crate) fn report_rejected_again(&mut self, effects: &mut Effects<Effect>) {
        if !std::mem::take(&mut self.tells_rejected) {
            return;
        }
        let rejected: Vec<_> =
            self.subscriptions.iter().flat_map(|subscription| subscription.rejected.iter().copied()).collect();
        self.report_rejected(&rejected, effects);
    }

    /// Rejected tags are tried again now and then: a PLC's new program brings nodes.
    fn retry_rejected(&mut self, index: usize, now: Instant) {
        let items_per_call = self.items_per_call as usize;
        let subscription = &mut self.subscriptions[index];
        if subscription.rejected.is_empty() {
            subscription.retry_at = None;
        }
        if subscription.retry_at.is_some_and(|retry_at| retry_at <= now) {
            subscription.retry_at = Some(now + self.limits.rejected_retry_interval);
            if !subscription.batches.is_empty() {
                return;
            }
            let slots: Vec<u32> = subscription.rejected.iter().map(|(slot, _)| *slot).collect();
            subscription.batches = slots.chunks(items_per_call).map(<[u32]>::to_vec).collect();
        }
    }

    fn complete_if_done(&mut self, index: usize, now: Instant, effects: &mut Effects<Effect>) {
        let is_busy = self
            .requests
            .values()
            .any(|pending| matches!(pending, Pending::CreateItems { index: busy, .. } if *busy == index));
        let subscription = &mut self.subscriptions[index];
        if is_busy || subscription.stage != Stage::AddingItems || !subscription.batches.is_empty() {
            return;
        }
        subscription.stage = Stage::Running;
        subscription.retry_at =
            (!subscription.rejected.is_empty()).then_some(now + self.limits.rejected_retry_interval);
        let revisions = subscription.revisions;
        let report = Report::SubscriptionCreated {
            subscription_index: u32::try_from(index).unwrap_or(u32::MAX),
            subscription_id: subscription.id,
            items_count: revisions.items_count,
            publishing_interval: Revised {
                requested: subscription.plan.publishing_interval,
                revised: subscription.publishing_interval,
            },
            lifetime_count: subscription.lifetime_count,
            max_keep_alive_count: subscription.max_keep_alive_count,
            items_revised_count: revisions.revised_count,
            queue_size_smallest: revisions.queue_size_smallest,
            sampling_interval_largest: revisions.sampling_interval_largest,
        };
        Self::report(effects, report);
        self.save(effects);
    }

    /// Deletes a Subscription that cannot be trusted, and makes it anew.
    pub(crate) fn delete_and_lose(
        &mut self,
        index: usize,
        cause: GapCause,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        if self.phase == Phase::Running {
            let subscription_ids = vec![self.subscriptions[index].id];
            self.send(Request::DeleteSubscriptions { subscription_ids }, Pending::DeleteSubscriptions, effects);
        }
        self.lose_subscription(index, cause, now, effects);
    }

    /// The server does not have a Subscription any more. What came of it is published; what is missing is told when values
    /// come again.
    pub(crate) fn lose_subscription(
        &mut self,
        index: usize,
        cause: GapCause,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        let subscription = &mut self.subscriptions[index];
        let Subscription { gap, complete_until, .. } = subscription;
        if gap.is_none() {
            *gap = complete_until.map(|from| (from, cause));
        }
        subscription.stage = Stage::Waiting { not_before: now };
        self.take_held_back_at_once(index, now, effects);
        self.close_interval(index, now, effects);
        let subscription = &mut self.subscriptions[index];
        subscription.batches.clear();
        subscription.catch_up = CatchUp::FirstMessage;
        subscription.last = None;
        subscription.lost_run = None;
        let (first, count) = subscription.run();
        for slot in &mut self.slots.tags[first as usize..][..count as usize] {
            slot.awaits_first = true;
        }
        self.counts.subscriptions_lost += 1;
    }
}

/// How many intervals `time` lasts, rounded up, at least one.
fn intervals(time: Duration, interval: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(interval.as_nanos().max(1))).unwrap_or(u32::MAX).max(1)
}
