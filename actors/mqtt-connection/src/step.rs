//! What one step gathers before it asks the runtime for it: publications by partition, packets in one buffer, settled
//! deliveries by partition. It dies with the step, so that an idle connection holds no buffer.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use contract::{
    DeliveryNumber, DeliveryOutcome, Effects, Instant, PartitionIndex, Publication, PublicationArena, PublishToken,
    SessionId,
};

use crate::Effect;

/// Most effects that one step pushes. What is left then goes on in a step that is due at once.
pub const EFFECTS_COUNT_MAX: usize = 512;

/// Partitions that one step publishes to, settles with, or gives its first credit.
const GROUPS_MAX: usize = 64;

/// Writes of one step: payloads that are not copied make two each.
const WRITES_MAX: usize = 64;

/// Payloads from here on are not copied behind their header but written from the shared record.
pub(crate) const LARGE_PAYLOAD_BYTES: usize = 16 << 10;

/// Publications of one step for one partition.
pub(crate) struct PublishGroup {
    pub(crate) partition: PartitionIndex,
    pub(crate) token: PublishToken,
    pub(crate) publications: Vec<Publication>,
}

struct SettledGroup {
    partition: PartitionIndex,
    outcome: DeliveryOutcome,
    numbers: Vec<Range<DeliveryNumber>>,
    ascending: bool,
}

/// One step of a connection.
pub(crate) struct Step<'a> {
    pub(crate) now: Instant,
    pub(crate) effects: &'a mut Effects<Effect>,
    /// Packets to write, in order.
    pub(crate) output: BytesMut,
    /// Bytes of `output` that earlier writes of this step took.
    pub(crate) written_bytes: usize,
    pub(crate) groups: Vec<PublishGroup>,
    pub(crate) arena: Option<PublicationArena>,
    /// The socket is to be closed after the output.
    pub(crate) close: bool,
    /// Work is left that needs another step.
    pub(crate) again: bool,
    settled: Vec<SettledGroup>,
    writes_count: usize,
    is_writable: bool,
}

impl<'a> Step<'a> {
    pub(crate) fn new(now: Instant, effects: &'a mut Effects<Effect>, is_writable: bool) -> Self {
        Self {
            now,
            effects,
            output: BytesMut::new(),
            written_bytes: 0,
            groups: Vec::new(),
            arena: None,
            close: false,
            again: false,
            settled: Vec::new(),
            writes_count: 0,
            is_writable,
        }
    }

    /// Whether one more packet may be handled: each adds at most one group of each kind.
    pub(crate) fn has_room(&self) -> bool {
        self.groups.len() < GROUPS_MAX && self.settled.len() < 2 * GROUPS_MAX && self.writes_count < WRITES_MAX
    }

    /// Partitions that may get their first credit in one step.
    pub(crate) const fn first_credits_max() -> u16 {
        64
    }

    /// Bytes that this step adds to what waits for the socket.
    pub(crate) fn output_bytes(&self) -> usize {
        self.written_bytes + self.output.len()
    }

    /// Writes `payload` behind the output so far, without a copy.
    pub(crate) fn write_shared(&mut self, payload: Bytes) {
        self.write_output();
        self.push_write(payload);
    }

    /// Asks for the output to be written.
    pub(crate) fn write_output(&mut self) {
        if !self.output.is_empty() {
            let output = std::mem::take(&mut self.output).freeze();
            self.push_write(output);
        }
    }

    fn push_write(&mut self, bytes: Bytes) {
        if self.is_writable && !bytes.is_empty() {
            self.written_bytes += bytes.len();
            self.writes_count += 1;
            self.effects.push(Effect::Write(bytes));
        }
    }

    /// Notes what became of a delivery.
    pub(crate) fn settle(&mut self, partition: PartitionIndex, number: DeliveryNumber, outcome: DeliveryOutcome) {
        let known = self.settled.iter().position(|group| group.partition == partition && group.outcome == outcome);
        let index = known.unwrap_or_else(|| {
            self.settled.push(SettledGroup { partition, outcome, numbers: Vec::new(), ascending: true });
            self.settled.len() - 1
        });
        let group = &mut self.settled[index];
        match group.numbers.last_mut() {
            Some(last) if last.end == number => last.end = number.next(),
            Some(last) => {
                group.ascending &= last.end < number;
                group.numbers.push(number..number.next());
            }
            None => group.numbers.push(number..number.next()),
        }
    }

    /// Tells the partitions what became of their deliveries.
    pub(crate) fn push_settled(&mut self, session: SessionId) {
        for group in &mut self.settled {
            let mut numbers = std::mem::take(&mut group.numbers);
            if !group.ascending {
                numbers = merged(numbers);
            }
            let (partition, outcome) = (group.partition, group.outcome);
            self.effects.push(Effect::DeliveriesSettled { partition, session, numbers, outcome });
        }
    }

    /// How many groups of deliveries settled.
    pub(crate) fn settled_count(&self) -> usize {
        self.settled.len()
    }

    /// The partition of one of these groups; two may have the same, with different outcomes.
    pub(crate) fn settled_partition(&self, index: usize) -> PartitionIndex {
        self.settled[index].partition
    }

    /// Hands the publications to their partitions.
    pub(crate) fn push_publications(&mut self) {
        for group in self.groups.drain(..) {
            self.effects.push(Effect::Publish {
                partition: group.partition,
                token: group.token,
                publications: group.publications,
            });
        }
    }
}

/// The same numbers, ascending, neighbours joined.
fn merged(mut numbers: Vec<Range<DeliveryNumber>>) -> Vec<Range<DeliveryNumber>> {
    numbers.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<DeliveryNumber>> = Vec::with_capacity(numbers.len());
    for range in numbers {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_settle_as_ascending_ranges_whatever_their_order() {
        let mut effects = Effects::new(EFFECTS_COUNT_MAX);
        let mut step = Step::new(Instant::ZERO, &mut effects, true);
        for number in [4, 5, 1, 2, 7, 3] {
            step.settle(PartitionIndex(3), DeliveryNumber(number), DeliveryOutcome::Delivered);
        }
        let session = SessionId { home: PartitionIndex(0), number: 1 };
        step.push_settled(session);
        let settled = Effect::DeliveriesSettled {
            partition: PartitionIndex(3),
            session,
            numbers: vec![DeliveryNumber(1)..DeliveryNumber(6), DeliveryNumber(7)..DeliveryNumber(8)],
            outcome: DeliveryOutcome::Delivered,
        };
        assert_eq!(effects.pop(), Some(settled));
    }
}
