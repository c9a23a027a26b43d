//! The cursor of one flow: records that wait for its credit, and records that it has not settled.
//!
//! The cursor keeps a handle to each of its records until the flow has settled it, so that a record is sent again from memory.
//! Flows take records whose Message Expiry Interval has passed too: it is a subscriber's word (MQTT 5.0 §3.3.2.3.3), and a flow
//! owes its destination all that was accepted.

use std::collections::VecDeque;
use std::ops::Range;

use contract::{Credit, FlowIndex, Ledger, Offset, Record};

use crate::records::{Holder, RecordIndex, Records};

/// What one flow was given, and is yet to be given.
#[derive(Debug)]
pub(crate) struct FlowCursor {
    pub(crate) flow: FlowIndex,
    pub(crate) credit: Credit,
    pub(crate) ledger: Ledger,
    /// By ascending offset.
    waiting: VecDeque<Handle>,
    /// By ascending offset, below those that wait. At most the credit that the flow has given, and what it had before a restart.
    under_way: VecDeque<Handle>,
    /// Records below it were sent before.
    sent_up_to: Offset,
}

#[derive(Clone, Copy, Debug)]
struct Handle {
    offset: Offset,
    record: RecordIndex,
}

impl FlowCursor {
    /// A cursor without credit.
    pub(crate) fn new(flow: FlowIndex) -> Self {
        Self {
            flow,
            credit: Credit::default(),
            ledger: Ledger::default(),
            waiting: VecDeque::new(),
            under_way: VecDeque::new(),
            sent_up_to: Offset(0),
        }
    }

    /// Queues a record of the log, once however many of the flow's filters match it.
    pub(crate) fn enqueue(&mut self, record: RecordIndex, records: &mut Records) {
        let offset = records.offset(record);
        if self.waiting.back().is_some_and(|last| last.offset == offset) {
            return;
        }
        records.hold(record, Holder::Flow);
        self.ledger.accepted += 1;
        self.waiting.push_back(Handle { offset, record });
    }

    /// Whether something may be sent.
    pub(crate) fn may_send(&self) -> bool {
        self.credit.allows_one() && !self.waiting.is_empty()
    }

    /// Takes what the credit allows off the queue, in order, and calls `visit` with each.
    pub(crate) fn take_records(&mut self, records: &Records, mut visit: impl FnMut(RecordIndex)) -> Vec<Record> {
        let mut taken = Vec::with_capacity(self.waiting.len().min(self.credit.count as usize));
        while self.credit.allows_one()
            && let Some(handle) = self.waiting.pop_front()
        {
            let publication = records.get(handle.record).publication.clone();
            self.credit.spend(publication.size_bytes() as u64);
            if handle.offset < self.sent_up_to {
                self.ledger.redelivered += 1;
            } else {
                self.sent_up_to = handle.offset.next();
            }
            self.under_way.push_back(handle);
            visit(handle.record);
            taken.push(Record { offset: handle.offset, publication });
        }
        taken
    }

    /// Takes records out that the flow has settled, and calls `visit` with each; how many there were. A record that waits to be
    /// sent again, after a restart of the flow, counts too.
    pub(crate) fn settle(&mut self, offsets: &Range<Offset>, mut visit: impl FnMut(RecordIndex)) -> u64 {
        let mut count = 0;
        for queue in [&mut self.under_way, &mut self.waiting] {
            let end = offsets.end.min(self.sent_up_to);
            let from = queue.partition_point(|handle| handle.offset < offsets.start);
            let to = queue.partition_point(|handle| handle.offset < end).max(from);
            count += (to - from) as u64;
            for handle in queue.drain(from..to) {
                visit(handle.record);
            }
        }
        count
    }

    /// The flow has forgotten its credit: what is under way waits again.
    pub(crate) fn restart(&mut self) {
        self.credit = Credit::default();
        for handle in self.under_way.drain(..).rev() {
            self.waiting.push_front(handle);
        }
    }

    /// The first record that the cursor still needs.
    pub(crate) fn lowest(&self) -> Option<Offset> {
        self.under_way.front().or_else(|| self.waiting.front()).map(|handle| handle.offset)
    }

    /// Records that wait or are under way: the `queued` of its ledger.
    pub(crate) fn queued_count(&self) -> u64 {
        (self.waiting.len() + self.under_way.len()) as u64
    }
}
