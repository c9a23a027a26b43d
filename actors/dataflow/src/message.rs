//! The mailbox of a dataflow.

use std::ops::Range;

use contract::{Credit, Epoch, Offset, PartitionIndex, Record};

/// All that may arrive at a dataflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A partition is there, at start or again after a restart that forgot what it had under way: the answer is its
    /// credit. Records that it had sent and that are not settled stay under way, and count against that credit. When
    /// full: waits; the partition sends nothing before its credit.
    Reset {
        /// The partition.
        partition: PartitionIndex,
    },
    /// Records of a partition, in the order of its log. When full: cannot happen; credit was spent first.
    Records {
        /// The partition.
        partition: PartitionIndex,
        /// The life of its log.
        epoch: Epoch,
        /// The records: those that its subscription index found to match.
        records: Vec<Record>,
    },
    /// The destination stored these records. When full: waits; losing it would leak credit.
    Settled {
        /// The partition.
        partition: PartitionIndex,
        /// The life of its log.
        epoch: Epoch,
        /// Their offsets, each exactly once, ascending.
        offsets: Vec<Range<Offset>>,
        /// How many records, and their bytes.
        released: Credit,
    },
    /// The destination refuses these records for good. When full: waits; losing it would leak credit.
    DeadLettered {
        /// The partition.
        partition: PartitionIndex,
        /// The life of its log.
        epoch: Epoch,
        /// Their offsets, each exactly once, ascending.
        offsets: Vec<Range<Offset>>,
        /// How many records, and their bytes.
        released: Credit,
    },
    /// Gives no more credit; [`crate::Effect::Stopped`] follows when nothing is under way. When full: waits.
    Stop,
}
