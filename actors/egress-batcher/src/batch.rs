//! A batch while it fills, and once it is closed.

use std::sync::Arc;
use std::time::Duration;

use contract::{BatchId, Effects, Event, Hop, Instant};

use crate::effect::Effect;
use crate::event_size::{BATCH_OVERHEAD_BYTES, encoded_bytes_max};
use crate::limits::Limits;

/// A batch that still takes events.
#[derive(Debug, Default)]
pub(crate) struct OpenBatch {
    events: Vec<Event>,
    bytes: usize,
    /// When events came, and how many data points came then; events of one message share an entry.
    arrivals: Vec<(Instant, u32)>,
    /// The linger of its first event is over: it goes as soon as something is free to carry it.
    due: bool,
}

/// A batch whose events are settled for good, one way or the other, all together.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) events: Arc<[Event]>,
    /// The most bytes that it takes on the wire.
    pub(crate) bytes: usize,
    pub(crate) closed_at: Instant,
    /// How often it was sent.
    pub(crate) sent_count: u32,
    /// The hub refused it for a reason that a person must look at.
    pub(crate) parked: bool,
}

impl OpenBatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due && !self.is_empty()
    }

    /// Lets it go at the next occasion, unless it is empty.
    pub(crate) fn make_due(&mut self) {
        self.due = !self.is_empty();
    }

    /// Whether an event of `event_bytes` fits. Any event fits into an empty batch: the hub judges what is too large.
    pub(crate) fn has_room_for(&self, event_bytes: usize, limits: &Limits) -> bool {
        self.is_empty()
            || (self.events.len() < limits.events_per_batch_max
                && BATCH_OVERHEAD_BYTES + self.bytes + event_bytes <= limits.batch_bytes_max)
    }

    /// Whether no further event can fit.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.events.len() >= limits.events_per_batch_max || self.bytes >= limits.batch_bytes_max
    }

    pub(crate) fn push(&mut self, event: Event, event_bytes: usize, now: Instant) {
        let points_count = event.publication.points_count().max(1);
        match self.arrivals.last_mut() {
            Some((at, count)) if *at == now => *count += points_count,
            Some(_) | None => self.arrivals.push((now, points_count)),
        }
        self.events.push(event);
        self.bytes += event_bytes;
    }

    /// Closes it, leaving an empty one in its place.
    ///
    /// # Panics
    /// When it is empty.
    pub(crate) fn close(&mut self, id: BatchId, now: Instant, effects: &mut Effects<Effect>) -> Batch {
        assert!(!self.is_empty(), "a batch has at least one event");
        let taken = std::mem::take(self);
        for (arrived_at, points_count) in taken.arrivals {
            effects.observe(Hop::DataflowToBatch, now - arrived_at, points_count);
        }
        Batch {
            id,
            events: taken.events.into(),
            bytes: BATCH_OVERHEAD_BYTES + taken.bytes,
            closed_at: now,
            sent_count: 0,
            parked: false,
        }
    }
}

impl Batch {
    /// Two batches of half its events each; `None` where it has but one.
    pub(crate) fn split(&self, ids: [BatchId; 2]) -> Option<[Self; 2]> {
        if self.events.len() < 2 {
            return None;
        }
        let (first, second) = self.events.split_at(self.events.len() / 2);
        let part = |id, events: &[Event]| Self {
            id,
            events: events.into(),
            bytes: BATCH_OVERHEAD_BYTES + events.iter().map(encoded_bytes_max).sum::<usize>(),
            closed_at: self.closed_at,
            sent_count: 0,
            parked: self.parked,
        };
        let [first_id, second_id] = ids;
        Some([part(first_id, first), part(second_id, second)])
    }

    /// Bytes of its publications, as credit counts them.
    pub(crate) fn publication_bytes(&self) -> u64 {
        self.events.iter().map(|event| event.publication.size_bytes() as u64).sum()
    }

    /// Notes what its data points took until it was accepted at `now`.
    pub(crate) fn observe_accepted(&self, now: Instant, effects: &mut Effects<Effect>) {
        let mut points_sum = 0_u32;
        // Events of one interval were received together: one observation for each run of them.
        let mut run: Option<(Duration, u32)> = None;
        for event in self.events.iter() {
            let points_count = event.publication.points_count().max(1);
            points_sum = points_sum.saturating_add(points_count);
            let latency = now - event.publication.received_at();
            run = match run {
                Some((same, count)) if same == latency => Some((same, count.saturating_add(points_count))),
                Some((other, count)) => {
                    effects.observe(Hop::ReceivedToSettled, other, count);
                    Some((latency, points_count))
                }
                None => Some((latency, points_count)),
            };
        }
        if let Some((latency, count)) = run {
            effects.observe(Hop::ReceivedToSettled, latency, count);
        }
        effects.observe(Hop::BatchToSettled, now - self.closed_at, points_sum);
    }
}
