//! One partition: events in order, the oldest of which may be forgotten.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::event::{Event, Prepared};
use crate::selector::Start;

/// Events by sequence number.
#[derive(Debug, Default)]
pub struct Partition {
    events: VecDeque<Event>,
    /// Sequence number of the oldest event that is kept.
    first: i64,
    next_offset: i64,
    /// The newest event's offset and time, also after it was forgotten.
    last: Option<(i64, i64)>,
    cost_bytes: usize,
}

/// What `$management` says about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInformation {
    /// Of the oldest event that is kept.
    pub begin_sequence_number: i64,
    /// Of the newest event; -1 before the first.
    pub last_sequence_number: i64,
    /// Of the newest event; -1 before the first.
    pub last_offset: i64,
    /// Of the newest event, in milliseconds since 1970; 0 before the first.
    pub last_enqueued_ms: i64,
    /// Whether no event is kept.
    pub is_empty: bool,
}

impl Partition {
    /// Adds an event at the end.
    pub fn append(&mut self, prepared: Prepared, accepted_us: i64, envelope_key: Option<&Rc<str>>) {
        let size = i64::try_from(prepared.size_bytes()).expect("a message has at most 1 MiB");
        let event = prepared.store(self.next_offset, accepted_us, envelope_key);
        self.last = Some((event.offset, event.enqueued_ms()));
        self.next_offset += size;
        self.cost_bytes += event.cost_bytes();
        self.events.push_back(event);
    }

    /// Forgets the oldest event. Returns what that freed; 0 when there is none.
    pub fn forget_oldest(&mut self) -> usize {
        let Some(event) = self.events.pop_front() else { return 0 };
        self.first += 1;
        self.cost_bytes -= event.cost_bytes();
        event.cost_bytes()
    }

    /// When the oldest event was accepted.
    pub fn oldest_us(&self) -> Option<i64> {
        self.events.front().map(|event| event.accepted_us)
    }

    /// The next sequence number that will be given.
    pub fn next_sequence_number(&self) -> i64 {
        self.first + i64::try_from(self.events.len()).expect("as many events as fit in memory")
    }

    /// How many events are kept.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether no event is kept.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes that the kept events cost.
    pub fn cost_bytes(&self) -> usize {
        self.cost_bytes
    }

    /// The first event at or behind `cursor`, with its sequence number: what was forgotten is passed over.
    pub fn read(&self, cursor: i64) -> Option<(i64, &Event)> {
        let sequence_number = cursor.max(self.first);
        let index = usize::try_from(sequence_number - self.first).ok()?;
        self.events.get(index).map(|event| (sequence_number, event))
    }

    /// The sequence number of the first event that `start` asks for.
    pub fn cursor(&self, start: Start) -> i64 {
        let behind = |index: usize| self.first + i64::try_from(index).expect("as many events as fit in memory");
        match start {
            Start::Earliest => self.first,
            Start::Latest => self.next_sequence_number(),
            Start::Offset { offset, inclusive } => behind(
                self.events.partition_point(|event| event.offset < offset || (event.offset == offset && !inclusive)),
            ),
            Start::SequenceNumber { sequence_number, inclusive } => {
                sequence_number.saturating_add(i64::from(!inclusive)).max(self.first)
            }
            Start::EnqueuedTime { time_ms, inclusive } => behind(self.events.partition_point(|event| {
                event.enqueued_ms() < time_ms || (event.enqueued_ms() == time_ms && !inclusive)
            })),
        }
    }

    /// What `$management` says.
    pub fn information(&self) -> PartitionInformation {
        let (last_offset, last_enqueued_ms) = self.last.unwrap_or((-1, 0));
        PartitionInformation {
            begin_sequence_number: self.first,
            last_sequence_number: self.next_sequence_number() - 1,
            last_offset,
            last_enqueued_ms,
            is_empty: self.events.is_empty(),
        }
    }
}
