//! One visible record: who gets it.

use contract::{Effects, Hop, Instant, Offset, Publication, Publisher};

use crate::effect::{Effect, Report};
use crate::limits::QueueWhenFull;
use crate::records::{WatchIndex, expires_at};
use crate::retained::{Retained, RetainedLimits};
use crate::state::BrokerPartition;

impl BrokerPartition {
    /// Retains the publication if it asks for it, and queues it for the flows and subscribers that it matches.
    pub(crate) fn route(
        &mut self,
        publication: Publication,
        offset: Offset,
        publisher: Publisher,
        watch: Option<u32>,
        now: Instant,
        effects: &mut Effects<Effect>,
    ) {
        effects.observe(Hop::ReceivedToAccepted, now - publication.received_at(), publication.points_count().max(1));
        if publication.retain() {
            self.retain(&publication, now, effects);
        }
        self.index.find(publication.topic_name(), &mut self.matching_subscriptions, &mut self.matching_flows);
        if self.matching_subscriptions.is_empty() && self.matching_flows.is_empty() {
            return;
        }
        let expires_at = expires_at(&publication);
        let record = self.records.insert(publication, Some(offset), now, watch.map(WatchIndex));
        for position in self.matching_flows.drain(..) {
            self.flows[usize::from(position)].enqueue(record, &mut self.records);
        }
        if let Some(watch) = watch
            && self.records.flows_count(record) > 0
        {
            self.watches.get_mut(watch).records_count += 1;
        }
        for entry in self.matching_subscriptions.drain(..) {
            let subscriber = self.subscribers.get_mut(entry.subscriber);
            // A client that does not want its own publications back (MQTT-3.8.3-3).
            let is_own = entry.options.no_local && publisher == Publisher::Connection(subscriber.connection);
            if !is_own && subscriber.merge(&entry.options) {
                self.touched.push(entry.subscriber);
            }
        }
        while let Some(index) = self.touched.pop() {
            let subscriber = self.subscribers.get_mut(index);
            subscriber.enqueue_merged(record, &self.limits, &mut self.records);
            self.note_queue(index, expires_at);
        }
        self.records.drop_unheld(record);
    }

    fn retain(&mut self, publication: &Publication, now: Instant, effects: &mut Effects<Effect>) {
        let limits = RetainedLimits {
            count_max: self.limits.retained_count_max,
            bytes_max: self.limits.retained_bytes(),
            shard_room_bytes: self.limits.shard_bytes_max.saturating_sub(self.held_bytes()),
        };
        let is_full = self.retained.put(publication, now, &limits, &mut self.records) == Retained::LeftOut;
        if is_full && !self.told.retained_is_full {
            effects.push(Effect::Report(Report::RetainedLimitReached));
        }
        self.told.retained_is_full = is_full;
    }

    /// Cuts the longest queues by half until subscribers alone hold no more than their share of the budget.
    pub(crate) fn cut_long_queues(&mut self) {
        debug_assert_eq!(self.limits.subscriber_queue_when_full, QueueWhenFull::DropOldest);
        while self.records.subscribers_only_bytes() > self.limits.subscribers_bytes_max() {
            let longest_bytes = self.subscribers.iter().map(|(_, each)| each.waiting_bytes()).max().unwrap_or(0);
            if longest_bytes == 0 {
                return;
            }
            for index in 0..self.subscribers.index_end() {
                let is_long = |bytes| bytes > 0 && bytes >= longest_bytes / 2;
                if self.subscribers.find(index).is_some_and(|each| is_long(each.waiting_bytes())) {
                    self.subscribers.get_mut(index).drop_older_half(&mut self.records);
                }
            }
        }
    }
}
