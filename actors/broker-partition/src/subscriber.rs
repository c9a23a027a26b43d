//! One session's queue: records that wait for its credit, and records under way to its connection.

use std::collections::VecDeque;
use std::ops::Range;

use contract::{
    ConnectionAddress, Credit, Delivery, DeliveryNumber, DeliveryOutcome, DropReason, Instant, Ledger, QoS, SessionId,
};

use crate::level_table::NodeIndex;
use crate::limits::{PartitionLimits, QueueWhenFull};
use crate::records::{Holder, RecordIndex, Records};
use crate::shared_groups::{GroupIndex, Presence};

/// A session that has Subscriptions, or has given credit.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionId,
    /// `None` while the session waits for its next connection.
    pub(crate) connection: Option<ConnectionAddress>,
    /// The session has ended; its Subscriptions are being taken out of the index.
    pub(crate) has_ended: bool,
    pub(crate) credit: Credit,
    /// Where its filters end in the index, which holds what they ask for. In no order.
    pub(crate) nodes: Vec<NodeIndex>,
    /// The Shared Subscriptions that it is a member of. In no order.
    pub(crate) groups: Vec<GroupIndex>,
    pub(crate) ledger: Ledger,
    /// Whether it stands in the list of those that may be sent something.
    pub(crate) is_ready: bool,
    /// Whether its full queue holds publishers back.
    pub(crate) is_noted_full: bool,
    /// When the earliest of the waiting records expires, or before.
    pub(crate) expiry_due: Option<Instant>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: u64,
    /// By number. At most the credit that was given.
    under_way: VecDeque<UnderWay>,
    next_number: DeliveryNumber,
}

/// A record in a queue, as the Subscriptions that match it make it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) record: RecordIndex,
    /// The Shared Subscription that it came by; [`NO_GROUP`] where there is none.
    pub(crate) group: GroupIndex,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Ascending, without repetition.
    pub(crate) identifiers: Box<[u32]>,
}

/// A record that came by no Shared Subscription.
pub(crate) const NO_GROUP: GroupIndex = GroupIndex::MAX;

#[derive(Debug)]
struct UnderWay {
    number: DeliveryNumber,
    record: RecordIndex,
    group: GroupIndex,
    qos: QoS,
}

/// A record of a Shared Subscription that another member may get: its subscriber has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orphan {
    pub(crate) record: RecordIndex,
    pub(crate) group: GroupIndex,
    /// Whether the subscriber was sent it.
    pub(crate) was_sent: bool,
}

impl Subscriber {
    /// A subscriber without Subscriptions and without credit.
    pub(crate) fn new(session: SessionId) -> Self {
        Self {
            session,
            connection: None,
            has_ended: false,
            credit: Credit::default(),
            nodes: Vec::new(),
            groups: Vec::new(),
            ledger: Ledger::default(),
            is_ready: false,
            is_noted_full: false,
            expiry_due: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: VecDeque::new(),
            next_number: DeliveryNumber(0),
        }
    }

    /// Its Subscriptions, shared ones included.
    pub(crate) fn subscriptions_count(&self) -> usize {
        self.nodes.len() + self.groups.len()
    }

    /// Whether its connection is there.
    pub(crate) fn presence(&self) -> Presence {
        match self.connection {
            _ if self.has_ended => Presence::Ended,
            Some(_) => Presence::Connected(self.session),
            None => Presence::Absent(self.session),
        }
    }

    /// Queues a record. While no connection is there, one at `QoS` 0 is dropped, and a full queue drops its oldest whatever the
    /// policy: an absent client must not stop the plant.
    pub(crate) fn enqueue(&mut self, waiting: Waiting, limits: &PartitionLimits, records: &mut Records) {
        let is_absent = self.connection.is_none();
        if is_absent && waiting.qos == QoS::AtMostOnce {
            self.ledger.accepted += 1;
            self.ledger.drop_records(DropReason::NotConnected, 1);
            return;
        }
        let bytes = records.size_bytes(waiting.record);
        if is_absent || limits.subscriber_queue_when_full == QueueWhenFull::DropOldest {
            while !self.has_room(bytes, limits) {
                self.drop_oldest(DropReason::QueueFull, records);
            }
        }
        self.push(waiting, bytes, records);
    }

    /// Queues a Retained Message for a new Subscription; one that finds no room is dropped and counted.
    pub(crate) fn enqueue_retained(&mut self, waiting: Waiting, limits: &PartitionLimits, records: &mut Records) {
        let bytes = records.size_bytes(waiting.record);
        if !self.has_room(bytes, limits) {
            self.ledger.accepted += 1;
            self.ledger.drop_records(DropReason::QueueFull, 1);
            return;
        }
        self.push(waiting, bytes, records);
    }

    fn push(&mut self, waiting: Waiting, bytes: u64, records: &mut Records) {
        records.hold(waiting.record, Holder::Subscriber);
        self.ledger.accepted += 1;
        self.waiting_bytes += bytes;
        self.waiting.push_back(waiting);
    }

    /// Whether a record of `bytes` may wait too; any may wait alone.
    fn has_room(&self, bytes: u64, limits: &PartitionLimits) -> bool {
        self.waiting.is_empty()
            || (self.waiting.len() < limits.subscriber_queue_count_max as usize
                && self.waiting_bytes + bytes <= limits.subscriber_queue_bytes_max)
    }

    /// Whether either limit of the queue is reached, or `was_full` and it has not fallen below seven eighths since. Never while no
    /// connection is there.
    pub(crate) fn is_full(&self, limits: &PartitionLimits, was_full: bool) -> bool {
        let PartitionLimits { subscriber_queue_count_max: count_max, subscriber_queue_bytes_max: bytes_max, .. } =
            *limits;
        let (count, bytes) = (self.waiting.len() as u64, self.waiting_bytes);
        if self.connection.is_none() {
            return false;
        }
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

    /// Drops the records at `QoS` 0 that wait: no connection is there.
    pub(crate) fn drop_at_most_once(&mut self, records: &mut Records) {
        let Self { waiting, waiting_bytes, ledger, .. } = self;
        waiting.retain(|each| {
            if each.qos != QoS::AtMostOnce {
                return true;
            }
            *waiting_bytes -= records.size_bytes(each.record);
            ledger.drop_records(DropReason::NotConnected, 1);
            records.release(each.record, Holder::Subscriber);
            false
        });
        self.waiting.shrink_to(KEPT_COUNT);
    }

    fn pop_waiting(&mut self, records: &Records) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.waiting_bytes -= records.size_bytes(waiting.record);
        Some(waiting)
    }

    /// Whether a delivery may be sent.
    pub(crate) fn may_send(&self) -> bool {
        self.connection.is_some() && self.credit.allows_one() && !self.waiting.is_empty()
    }

    /// Takes what the credit allows off the queue, in order; expired records are dropped on the way.
    pub(crate) fn take_deliveries(&mut self, now: Instant, records: &mut Records) -> Vec<Delivery> {
        let count = self.waiting.len().min(self.credit.count as usize);
        let mut deliveries = Vec::with_capacity(count);
        while self.credit.allows_one()
            && let Some(waiting) = self.waiting.pop_front()
        {
            let record = records.get(waiting.record);
            let bytes = record.publication.size_bytes() as u64;
            self.waiting_bytes -= bytes;
            if record.is_expired(now) {
                self.ledger.expired += 1;
                records.release(waiting.record, Holder::Subscriber);
                continue;
            }
            let Waiting { record: index, group, qos, retain, identifiers } = waiting;
            let number = self.next_number;
            self.next_number = number.next();
            self.credit.spend(bytes);
            self.under_way.push_back(UnderWay { number, record: index, group, qos });
            deliveries.push(Delivery {
                number,
                offset: record.offset,
                publication: record.publication.clone(),
                qos,
                retain,
                subscription_identifiers: identifiers,
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
        let start = self.under_way.partition_point(|each| each.number < numbers.start);
        let end = self.under_way.partition_point(|each| each.number < numbers.end).max(start);
        let count = (end - start) as u64;
        for each in self.under_way.drain(start..end) {
            records.release(each.record, Holder::Subscriber);
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

    /// Lets all go that waits and all that is under way: the session has ended. What another member of a Shared Subscription may get
    /// is returned, oldest first, still held and counted: all that waits, and what is under way at `QoS` 1. At `QoS` 2 the client may
    /// have it (MQTT-4.8.2-5), at `QoS` 0 too. The rest is dropped.
    pub(crate) fn end(&mut self, records: &mut Records) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        let mut dropped_count = 0;
        let under_way = self.under_way.drain(..).map(|each| (each.record, each.group, each.qos, true));
        let waiting = self.waiting.drain(..).map(|each| (each.record, each.group, each.qos, false));
        for (record, group, qos, was_sent) in under_way.chain(waiting) {
            if group != NO_GROUP && (!was_sent || qos == QoS::AtLeastOnce) {
                orphans.push(Orphan { record, group, was_sent });
            } else {
                records.release(record, Holder::Subscriber);
                dropped_count += 1;
            }
        }
        self.waiting_bytes = 0;
        self.ledger.drop_records(DropReason::SessionEnded, dropped_count);
        orphans
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
