//! The account of messages: what a subscriber got of each publisher, held against what was published.

use std::collections::BTreeSet;

/// Sequence numbers of one stream that are remembered as overtaken; more of them are counted and forgotten.
const OVERTAKEN_MAX: usize = 65_536;

/// What a subscriber got of one publisher.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The next sequence number in order.
    next: u64,
    /// Messages that a later one overtook and that have not come yet.
    overtaken: BTreeSet<u64>,
    faults: StreamFaults,
}

#[derive(Debug, Default)]
struct StreamFaults {
    /// Overtaken beyond [`OVERTAKEN_MAX`]: their late arrival counts as a duplicate.
    forgotten: u64,
    duplicated: u64,
    out_of_order: u64,
}

/// What went wrong. All zero: every message arrived once and in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Messages that never came though a later one of their publisher did, and QoS 0 messages that never came.
    pub(crate) gaps: u64,
    /// QoS 1 messages that the broker acknowledged to their publisher and never delivered.
    pub(crate) undelivered: u64,
    /// Messages that came again.
    pub(crate) duplicated: u64,
    /// Messages that came after a later one of their publisher.
    pub(crate) out_of_order: u64,
}

impl Faults {
    /// Whether there is none.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            gaps: self.gaps + other.gaps,
            undelivered: self.undelivered + other.undelivered,
            duplicated: self.duplicated + other.duplicated,
            out_of_order: self.out_of_order + other.out_of_order,
        }
    }
}

impl Stream {
    /// Takes one message; gives by how many messages the stream went on.
    #[inline]
    pub(crate) fn take(&mut self, sequence: u64) -> u64 {
        if sequence == self.next {
            self.next += 1;
            return 1;
        }
        self.take_other(sequence)
    }

    #[cold]
    fn take_other(&mut self, sequence: u64) -> u64 {
        if sequence < self.next {
            if self.overtaken.remove(&sequence) {
                self.faults.out_of_order += 1;
            } else {
                self.faults.duplicated += 1;
            }
            return 0;
        }
        let room = (OVERTAKEN_MAX - self.overtaken.len()) as u64;
        let remembered_end = sequence.min(self.next + room);
        self.overtaken.extend(self.next..remembered_end);
        self.faults.forgotten += sequence - remembered_end;
        let advanced = sequence + 1 - self.next;
        self.next = sequence + 1;
        advanced
    }

    /// How far the stream has come: every number below either arrived or was overtaken.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The account when all has arrived that will. `published` is how many messages there were; `is_acknowledged` says of
    /// each whether the broker acknowledged it, `None` for QoS 0.
    pub(crate) fn faults(&self, published: u64, is_acknowledged: Option<&dyn Fn(u64) -> bool>) -> Faults {
        let StreamFaults { forgotten, duplicated, out_of_order } = self.faults;
        let overtaken = self.overtaken.len() as u64 + forgotten;
        let tail = self.next..published.max(self.next);
        let (gaps, undelivered) = match is_acknowledged {
            None => (overtaken + (tail.end - tail.start), 0),
            Some(is_acknowledged) => {
                let missing = self.overtaken.iter().copied().chain(tail);
                (overtaken, forgotten + missing.filter(|sequence| is_acknowledged(*sequence)).count() as u64)
            }
        };
        Faults { gaps, undelivered, duplicated, out_of_order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(sequences: impl IntoIterator<Item = u64>) -> Stream {
        let mut stream = Stream::default();
        for sequence in sequences {
            stream.take(sequence);
        }
        stream
    }

    #[test]
    fn all_once_and_in_order_is_no_fault() {
        let stream = stream(0..1_000);
        assert!(stream.faults(1_000, None).is_none());
        assert!(stream.faults(1_000, Some(&|_| true)).is_none());
        assert_eq!(stream.next(), 1_000);
    }

    #[test]
    fn a_lost_message_is_noticed() {
        let stream = stream((0..10).filter(|number| *number != 4));
        assert_eq!(stream.faults(10, None), Faults { gaps: 1, ..Faults::default() });
        let undelivered = Faults { gaps: 1, undelivered: 1, ..Faults::default() };
        assert_eq!(stream.faults(10, Some(&|_| true)), undelivered);
        assert_eq!(stream.faults(10, Some(&|number| number != 4)), Faults { gaps: 1, ..Faults::default() });
    }

    #[test]
    fn messages_lost_at_the_end_are_noticed() {
        let stream = stream(0..7);
        assert_eq!(stream.faults(10, None), Faults { gaps: 3, ..Faults::default() });
        // The last one was never acknowledged: the broker owes it to nobody.
        let undelivered = Faults { undelivered: 2, ..Faults::default() };
        assert_eq!(stream.faults(10, Some(&|number| number < 9)), undelivered);
    }

    #[test]
    fn a_doubled_message_is_noticed() {
        assert_eq!(stream([0, 1, 1, 2]).faults(3, None), Faults { duplicated: 1, ..Faults::default() });
        assert_eq!(stream([0, 1, 2, 0]).faults(3, None), Faults { duplicated: 1, ..Faults::default() });
    }

    #[test]
    fn a_swapped_message_is_noticed_and_nothing_else() {
        let swapped = Faults { out_of_order: 1, ..Faults::default() };
        assert_eq!(stream([0, 2, 1, 3]).faults(4, None), swapped);
        let again = Faults { out_of_order: 1, duplicated: 1, ..Faults::default() };
        assert_eq!(stream([0, 2, 1, 1, 3]).faults(4, None), again);
    }

    #[test]
    fn a_stream_tells_by_how_much_it_went_on() {
        let mut stream = Stream::default();
        assert_eq!([0, 3, 1, 3, 4].map(|sequence| stream.take(sequence)), [1, 3, 0, 0, 1]);
        assert_eq!(stream.next(), 5);
    }

    #[test]
    fn a_flood_of_losses_takes_bounded_memory_and_is_counted_whole() {
        let lost = OVERTAKEN_MAX as u64 + 500;
        let mut stream = Stream::default();
        stream.take(lost);
        assert_eq!(stream.overtaken.len(), OVERTAKEN_MAX);
        assert_eq!(stream.faults(lost + 1, None).gaps, lost);
    }
}
