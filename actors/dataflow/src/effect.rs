//! What a dataflow asks of the runtime.

use std::ops::Range;

use contract::{Credit, Epoch, Event, FlowIndex, Offset, PartitionIndex};

/// All that a dataflow may ask of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To the egress batcher: events, in the order of the records that they came from.
    Events(Vec<Event>),
    /// To a partition: the program left these records out. They are done with.
    Filtered(Settlement),
    /// To a partition: the destination stored these records.
    Settled(Settlement),
    /// To a partition: the destination refuses these records for good.
    DeadLettered(Settlement),
    /// To a partition: this much more may be under way, on top of what it may have left.
    Credit {
        /// The partition.
        partition: PartitionIndex,
        /// What is added.
        credit: Credit,
    },
    /// To the runtime, once, after [`crate::Message::Stop`]: nothing is under way.
    Stopped,
}

/// Records of one partition that share their fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// This dataflow: the cursor that the partition moves.
    pub flow: FlowIndex,
    /// The partition.
    pub partition: PartitionIndex,
    /// The life of its log.
    pub epoch: Epoch,
    /// Their offsets, each exactly once, ascending; a record that is not in a range is not settled by it.
    pub offsets: Vec<Range<Offset>>,
    /// How many records they are.
    pub count: u32,
}
