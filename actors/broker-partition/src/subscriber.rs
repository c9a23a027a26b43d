//! One subscriber's queue: records that wait for its credit, and records under way to its connection.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use contract::{
    ConnectionAddress, Credit, Delivery, DeliveryNumber, DeliveryOutcome, DropReason, Instant, Ledger, QoS,
};

use crate::limits::{PartitionLimits, QueueWhenFull};
use crate::records::{Holder, RecordIndex, Records};
use crate::subscription_index::SubscriptionOptions;

/// A connection that has Subscriptions, or has given credit.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) connection: ConnectionAddress,
    pub(crate) credit: Credit,
    /// Its Topic Filters; the index holds what they ask for.
    pub(crate) topic_filters: BTreeSet<Box<str>>,
    pub(crate) ledger: Ledger,
    /// Whether it stands in the list of those that may be sent something.
    pub(crate) is_ready: bool,
    /// Whether its full queue holds publishers back.
    pub(crate) is_noted_full: bool,
    /// What the Subscriptions that match the current record make of it together.
    pub(crate) merged: Option<Merged>,
    /// Subscription Identifiers of `merged`; kept for its memory.
    pub(crate) identifiers: Vec<u32>,
    /// When the earliest of the waiting records expires, or before.
    pub(crate) expiry_due: Option<Instant>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: u64,
    /// By number. At most the credit that the connection has given.
    under_way: VecDeque<(DeliveryNumber, RecordIndex)>,
    next_number: DeliveryNumber,
}

/// The Subscriptions of one client that match one record, as one (MQTT 5.0 §3.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    maximum_qos: QoS,
    retain_as_published: bool,
}

#[derive(Debug)]
struct Waiting {
    record: RecordIndex,
    qos: QoS,
    retain: bool,
    identifiers: Box<[u32]>,
}

impl Subscriber {
    /// A subscriber without Subscriptions and without credit.
    pub(crate) fn new(connection: ConnectionAddress) -> Self {
        Self {
            connection,
            credit: Credit::default(),
            topic_filters: BTreeSet::new(),
            ledger: Ledger::default(),
            is_ready: false,
            is_noted_full: false,
            merged: None,
            identifiers: Vec::new(),
            expiry_due: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: VecDeque::new(),
            next_number: DeliveryNumber(0),
        }
    }

    /// Adds a Subscription that matches the current record; whether it is the first.
    pub(crate) fn merge(&mut self, options: &SubscriptionOptions) -> bool {
        let is_first = self.merged.is_none();
        let merged = self.merged.get_or_insert(Merged { maximum_qos: QoS::AtMostOnce, retain_as_published: false });
        merged.maximum_qos = merged.maximum_qos.max(options.maximum_qos);
        merged.retain_as_published |= options.retain_as_published;
        self.identifiers.extend(options.identifier);
        is_first
    }

    /// Queues the current record as the Subscriptions that were merged make it.
    pub(crate) fn enqueue_merged(&mut self, record: RecordIndex, limits: &PartitionLimits, records: &mut Records) {
        let merged = self.merged.take().expect("a Subscription was merged");
        self.identifiers.sort_unstable();
        self.identifiers.dedup();
        let identifiers = if self.identifiers.is_empty() { Box::default() } else { self.identifiers.as_slice().into() };
        self.identifiers.clear();
        let held = records.get(record);
        let qos = held.qos.min(merged.maximum_qos);
        let retain = held.retain && merged.retain_as_published;
        let bytes = held.publication.size_bytes() as u64;
        if limits.subscriber_queue_when_full == QueueWhenFull::DropOldest {
            while !self.has_room(bytes, limits) {
                self.drop_oldest(DropReason::QueueFull, records);
            }
        }
        self.push(Waiting { record, qos, retain, identifiers }, records);
    }

    /// Queues a Retained Message for a new Subscription; one that finds no room is dropped and counted.
    pub(crate) fn enqueue_retained(
        &mut self,
        record: RecordIndex,
        options: &SubscriptionOptions,
        limits: &PartitionLimits,
        records: &mut Records,
    ) {
        if !self.has_room(records.size_bytes(record), limits) {
            self.ledger.accepted += 1;
            self.ledger.drop_records(DropReason::QueueFull, 1);
            return;
        }
        let qos = records.get(record).qos.min(options.maximum_qos);
        let identifiers = options.identifier.map_or_else(Box::default, |identifier| Box::from([identifier]));
        self.push(Waiting { record, qos, retain: true, identifiers }, records);
    }

    fn push(&mut self, waiting: Waiting, records: &mut Records) {
        records.hold(waiting.record, Holder::Subscriber);
        self.ledger.accepted += 1;
        self.waiting_bytes += records.size_bytes(waiting.record);
        self.waiting.push_back(waiting);
    }

    /// Whether a record of `bytes` may wait too; any may wait alone.
    fn has_room(&self, bytes: u64, limits: &PartitionLimits) -> bool {
        self.waiting.is_empty()
            || (self.waiting.len() < limits.subscriber_queue_count_max as usize
                && self.waiting_bytes + bytes <= limits.subscriber_queue_bytes_max)
    }

    /// Whether either limit of the queue is reached, or `was_full` and it has not fallen below seven eighths since.
    pub(crate) fn is_full(&self, limits: &PartitionLimits, was_full: bool) -> bool {
        let PartitionLimits { subscriber_queue_count_max: count_max, subscriber_queue_bytes_max: bytes_max, .. } =
            *limits;
        let (count, bytes) = (self.waiting.len() as u64, self.waiting_bytes);
        if was_full && count > 0 {
            return count * 8 >= u64::from(count_max) * 7 || bytes >= bytes_max / 8 * 7;
        }
        count >= u64::from(count_max) || bytes >= bytes_max
    }

    /// Drops the oldest record that waits, where there is one.
    pub(crate) fn drop_oldest(&mut self, reason: DropReason, records: &mut Records) {
        if let Some(oldest) = self.pop_waiting(records) {
            self.ledger.drop_records(reason, 1);
            records.release(oldest.record, Holder::Subscriber);
        }
    }

    /// Drops the older half of the records that wait.
    pub(crate) fn drop_older_half(&mut self, records: &mut Records) {
        for _ in 0..self.waiting.len().div_ceil(2) {
            self.drop_oldest(DropReason::QueueFull, records);
        }
    }

    fn pop_waiting(&mut self, records: &Records) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.waiting_bytes -= records.size_bytes(waiting.record);
        Some(waiting)
    }

    /// Whether a delivery may be sent.
    pub(crate) fn may_send(&self) -> bool {
        self.credit.allows_one() && !self.waiting.is_empty()
    }

    /// Takes what the credit allows off the queue, in order; expired records are dropped on the way.
    pub(crate) fn take_deliveries(&mut self, now: Instant, records: &mut Records) -> Vec<Delivery> {
        let count = self.waiting.len().min(self.credit.count as usize);
        let mut deliveries = Vec::with_capacity(count);
        while self.credit.allows_one()
            && let Some(waiting) = self.pop_waiting(records)
        {
            let record = records.get(waiting.record);
            if record.is_expired(now) {
                self.ledger.expired += 1;
                records.release(waiting.record, Holder::Subscriber);
                continue;
            }
            let number = self.next_number;
            self.next_number = number.next();
            self.credit.spend(record.publication.size_bytes() as u64);
            self.under_way.push_back((number, waiting.record));
            deliveries.push(Delivery {
                number,
                offset: record.offset,
                publication: record.publication.clone(),
                qos: waiting.qos,
                retain: waiting.retain,
                subscription_identifiers: waiting.identifiers,
            });
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT_COUNT);
        }
        deliveries
    }

    /// Counts deliveries as settled; how many of the numbers were not under way.
    pub(crate) fn settle(
        &mut self,
        numbers: &Range<DeliveryNumber>,
        outcome: DeliveryOutcome,
        records: &mut Records,
    ) -> u64 {
        let start = self.under_way.partition_point(|(number, _)| *number < numbers.start);
        let end = self.under_way.partition_point(|(number, _)| *number < numbers.end).max(start);
        let count = (end - start) as u64;
        for (_, record) in self.under_way.drain(start..end) {
            records.release(record, Holder::Subscriber);
        }
        match outcome {
            DeliveryOutcome::Delivered => self.ledger.delivered += count,
            DeliveryOutcome::PacketTooLarge => self.ledger.drop_records(DropReason::PacketTooLarge, count),
            DeliveryOutcome::Expired => self.ledger.expired += count,
        }
        numbers.end.0.saturating_sub(numbers.start.0) - count
    }

    /// Drops the waiting records that have expired, wherever they stand, and notes when the next one will; how many were looked
    /// at.
    pub(crate) fn sweep(&mut self, now: Instant, records: &mut Records) -> usize {
        let looked_at_count = self.waiting.len();
        self.expiry_due = None;
        let Self { waiting, waiting_bytes, ledger, expiry_due, .. } = self;
        waiting.retain(|each| {
            let Some(expires_at) = records.get(each.record).expires_at else { return true };
            if expires_at > now {
                *expiry_due = Some(expiry_due.map_or(expires_at, |due| due.min(expires_at)));
                return true;
            }
            *waiting_bytes -= records.size_bytes(each.record);
            ledger.expired += 1;
            records.release(each.record, Holder::Subscriber);
            false
        });
        looked_at_count
    }

    /// Drops all that waits and all that is under way: the session has ended.
    pub(crate) fn drop_all(&mut self, records: &mut Records) {
        let count = self.queued_count();
        let waiting = self.waiting.drain(..).map(|waiting| waiting.record);
        for record in waiting.chain(self.under_way.drain(..).map(|(_, record)| record)) {
            records.release(record, Holder::Subscriber);
        }
        self.waiting_bytes = 0;
        self.ledger.drop_records(DropReason::SessionEnded, count);
    }

    /// Records that wait or are under way: the `queued` of its ledger.
    pub(crate) fn queued_count(&self) -> u64 {
        (self.waiting.len() + self.under_way.len()) as u64
    }

    /// Bytes of the records that wait.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }
}

/// An empty queue keeps memory for so many records, some 32 bytes each.
const KEPT_COUNT: usize = 1_024;
