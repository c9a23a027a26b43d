//! What an egress batcher asks of the runtime.

use std::ops::Range;
use std::sync::Arc;

use contract::{BatchId, Credit, Epoch, Event, EventId, FlowIndex, HubPartitionIndex, Offset, PartitionIndex};

use crate::Failure;

/// All that an egress batcher may ask of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To the lane: make a client, and let go of the one that is there: it may be wedged. Batches that it has under
    /// way may still settle. Answered by [`crate::Message::Opened`] or [`crate::Message::OpenFailed`].
    Open,
    /// To the lane: ask the hub for its partitions. Answered by [`crate::Message::PartitionsRefreshed`], or not at all.
    RefreshPartitions,
    /// To the lane: send this batch to this partition of the hub. Answered by exactly one
    /// [`crate::Message::Settled`]. At most one is under way for each hub partition, and
    /// [`crate::Limits::batches_in_flight_max`] in all.
    Send(Send),
    /// To the dataflow, for its partitions: the hub stored these records.
    Settled(Vec<Settlement>),
    /// To the dataflow, for its partitions: these records are given up, because the hub takes none so large. One
    /// [`Report::DeadLetter`] names each.
    DeadLettered(Vec<Settlement>),
    /// To the operator.
    Report(Report),
    /// To the runtime, once, after [`crate::Message::Stop`]: everything has settled; the lane may close its client.
    Stopped,
}

/// One batch on its way to one partition of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Names the batch until it has settled; the same when it is sent again.
    pub batch_id: BatchId,
    /// Where it goes.
    pub hub_partition: HubPartitionIndex,
    /// Its events, in order: at least one. Sharing them costs one atomic increment.
    pub events: Arc<[Event]>,
    /// How often it was sent before.
    pub attempt: u32,
}

/// Records of one partition that share their fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The dataflow that sent them.
    pub flow: FlowIndex,
    /// The partition that they came from.
    pub partition: PartitionIndex,
    /// The life of that partition's log.
    pub epoch: Epoch,
    /// Their offsets, each exactly once, ascending; a record that is not in a range is not settled by it.
    pub offsets: Vec<Range<Offset>>,
    /// How many records, and their bytes as [`contract::Publication::size_bytes`] counts them.
    pub released: Credit,
}

/// What an operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The route is parked: a person must look. Nothing is lost, and it is tried again now and then. Told once until
    /// [`Report::RouteRestored`].
    RouteParked(Failure),
    /// A parked route carries batches again, or nothing parked is left.
    RouteRestored,
    /// No client could be made, several times in a row, and for this reason last: the hub is away or the way to it is closed.
    /// Events wait. Told once until [`Report::HubBack`].
    HubAway(Failure),
    /// There is a client again.
    HubBack,
    /// This event is given up.
    DeadLetter {
        /// The event.
        id: EventId,
        /// Bytes of its publication.
        size_bytes: u64,
    },
    /// The hub has fewer partitions than before, which a living hub never does: it was deleted and made anew. Events
    /// for partitions that are gone wait, parked; a restart places them anew.
    PartitionsShrank {
        /// Partitions before.
        before: u16,
        /// Partitions found.
        found: u16,
    },
}
