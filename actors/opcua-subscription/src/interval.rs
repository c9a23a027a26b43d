//! The values of one publishing interval, by tag: where they lie in the notifications' bytes, not the values themselves.

use bytes::Bytes;
use contract::UtcTime;

use crate::binary::data_value::DataValueRef;
use crate::binary::notification::NotificationVisitor;
use crate::latencies::Latencies;
use crate::subscription::Arrival;
use crate::{Layout, OverflowedTag, StatusCode};

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// Bytes of a response that is read; the transport's own limit is far below.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 30;

/// What is known of one tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// SourceTimestamp of its newest value, in ticks since 1601; 0: none.
    pub(crate) source_ticks: i64,
    /// StatusCode of its newest value.
    status: StatusCode,
    /// Its first entry in the open interval.
    pub(crate) first: u32,
    /// Its last.
    last: u32,
    writer_index: u32,
    keeps_all: bool,
    /// Its Subscription was made anew, so its first value may be one that we have.
    pub(crate) awaits_first: bool,
}

/// One value of the open interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) source_ticks: i64,
    pub(crate) status: StatusCode,
    /// Where its Variant begins in its body.
    at: u32,
    /// Bytes of its Variant; 0: it has no value.
    bytes: u32,
    body: u32,
    /// The next entry of the same tag.
    pub(crate) next: u32,
}

/// What became of values, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ValueCounts {
    pub(crate) received: u64,
    pub(crate) superseded: u64,
    pub(crate) repeated: u64,
    pub(crate) unknown_handles: u64,
    pub(crate) overflows: u64,
    pub(crate) other_notifications: u64,
}

/// All tags of a Session.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) tags: Vec<Slot>,
    pub(crate) counts: ValueCounts,
    pub(crate) latencies: Latencies,
}

impl Slots {
    pub(crate) fn new(layout: &Layout) -> Self {
        let slot = |point: &crate::layout::PointPlan| Slot {
            source_ticks: 0,
            status: StatusCode::GOOD,
            first: NONE,
            last: NONE,
            writer_index: point.writer_index,
            keeps_all: layout.writers[point.writer_index as usize].conflate == crate::Conflate::All,
            awaits_first: false,
        };
        Self {
            tags: layout.points.iter().map(slot).collect(),
            counts: ValueCounts::default(),
            latencies: Latencies::new(),
        }
    }
}

/// The open interval of one Subscription.
///
/// It holds the notifications' bodies until it is closed: at most as many as may be unacknowledged.
#[derive(Debug, Default)]
pub(crate) struct Interval {
    bodies: Vec<Bytes>,
    entries: Vec<Entry>,
    /// DataSets with a value, in the order of their first.
    pub(crate) writers: Vec<u32>,
    /// NotificationMessages in it.
    pub(crate) sequence_numbers: Vec<u32>,
    /// `PublishTime` of the last of them.
    pub(crate) publish_time: UtcTime,
    /// The server's time up to which everything came before them.
    pub(crate) complete_before: Option<UtcTime>,
    /// Arrival of the last of them.
    pub(crate) received_utc: UtcTime,
}

impl Interval {
    pub(crate) fn is_empty(&self) -> bool {
        self.sequence_numbers.is_empty()
    }

    /// Bytes of notifications that it holds.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bodies.iter().map(Bytes::len).sum()
    }

    pub(crate) fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    /// The Variant of an entry; empty where it has no value.
    #[inline]
    pub(crate) fn variant(&self, entry: &Entry) -> &[u8] {
        &self.bodies[entry.body as usize][entry.at as usize..][..entry.bytes as usize]
    }

    /// Forgets everything; the tags' entries have been taken before.
    pub(crate) fn clear(&mut self) {
        self.bodies.clear();
        self.entries.clear();
        self.writers.clear();
        self.sequence_numbers.clear();
    }
}

/// Puts the values of one NotificationMessage into an interval.
pub(crate) struct Collector<'c, 'b> {
    pub(crate) layout: &'c Layout,
    slots: &'c mut Slots,
    first_slot: u32,
    slots_count: u32,
    interval: &'c mut Interval,
    body: &'b [u8],
    received_utc: UtcTime,
    /// Tags whose server queue was too small.
    pub(crate) overflowed: Vec<OverflowedTag>,
    /// The Subscription ended.
    pub(crate) status_change: Option<StatusCode>,
}

impl<'c, 'b> Collector<'c, 'b> {
    /// `run` is the Subscription's first slot and how many it has.
    pub(crate) fn new(
        layout: &'c Layout,
        slots: &'c mut Slots,
        run: (u32, u32),
        interval: &'c mut Interval,
        arrival: &'b Arrival,
    ) -> Self {
        interval.bodies.push(arrival.body.clone());
        Self {
            layout,
            slots,
            first_slot: run.0,
            slots_count: run.1,
            interval,
            body: &arrival.body,
            received_utc: arrival.received_utc,
            overflowed: Vec::new(),
            status_change: None,
        }
    }

    #[cold]
    fn note_overflow(&mut self, slot_index: u32, value: &DataValueRef<'_>) {
        self.slots.counts.overflows += 1;
        let (asset, tag) = &self.layout.names[slot_index as usize];
        let before = self.slots.tags[slot_index as usize].source_ticks;
        self.overflowed.push(OverflowedTag {
            asset: asset.clone(),
            tag: tag.clone(),
            from: (before != 0).then(|| UtcTime::from_opc_ua_ticks(before)),
            until: value.source_timestamp().unwrap_or(self.received_utc),
        });
    }

    /// Whether a Subscription that was made anew sent a value that the old one had sent.
    #[cold]
    fn is_repeated(&mut self, slot_index: u32, value: &DataValueRef<'_>) -> bool {
        let slot = &mut self.slots.tags[slot_index as usize];
        slot.awaits_first = false;
        let is_repeated =
            value.source_ticks != 0 && value.source_ticks == slot.source_ticks && value.status_code == slot.status;
        self.slots.counts.repeated += u64::from(is_repeated);
        is_repeated
    }
}

impl<'b> NotificationVisitor<'b> for Collector<'_, 'b> {
    #[inline]
    fn value(&mut self, client_handle: u32, value: DataValueRef<'b>) {
        if client_handle.wrapping_sub(self.first_slot) >= self.slots_count {
            self.slots.counts.unknown_handles += 1;
            return;
        }
        self.slots.counts.received += 1;
        if value.status_code.has_overflow() {
            self.note_overflow(client_handle, &value);
        }
        if self.slots.tags[client_handle as usize].awaits_first && self.is_repeated(client_handle, &value) {
            return;
        }
        if value.source_ticks != 0 {
            self.slots.latencies.add(UtcTime::from_opc_ua_ticks(value.source_ticks), self.received_utc);
        }
        let at = if value.variant.is_empty() { 0 } else { value.variant.as_ptr().addr() - self.body.as_ptr().addr() };
        let entry = Entry {
            source_ticks: value.source_ticks,
            status: value.status_code,
            at: to_u32(at),
            bytes: to_u32(value.variant.len()),
            body: to_u32(self.interval.bodies.len()) - 1,
            next: NONE,
        };
        let slot = &mut self.slots.tags[client_handle as usize];
        slot.source_ticks = value.source_ticks;
        slot.status = value.status_code;
        if slot.first != NONE && !slot.keeps_all {
            self.interval.entries[slot.last as usize] = entry;
            self.slots.counts.superseded += 1;
            return;
        }
        let index = to_u32(self.interval.entries.len());
        self.interval.entries.push(entry);
        if slot.first == NONE {
            slot.first = index;
            // Tags of one DataSet mostly follow each other, so the last one noted is mostly the same.
            let writer_index = slot.writer_index;
            if self.interval.writers.last() != Some(&writer_index) && !self.interval.writers.contains(&writer_index) {
                self.interval.writers.push(writer_index);
            }
        } else {
            self.interval.entries[slot.last as usize].next = index;
        }
        slot.last = index;
    }

    fn status_change(&mut self, status_code: StatusCode) {
        self.status_change = Some(status_code);
    }

    fn other(&mut self) {
        self.slots.counts.other_notifications += 1;
    }
}

#[inline]
fn to_u32(size: usize) -> u32 {
    u32::try_from(size).expect("bodies larger than BODY_BYTES_MAX are refused, and a value takes at least six bytes")
}
