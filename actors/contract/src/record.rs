//! A publication with its place in a partition's log, and the event that a destination receives.

use bytes::Bytes;

use crate::{Epoch, FlowIndex, Offset, PartitionIndex, Publication};

/// One publication in a partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in the log.
    pub offset: Offset,
    /// The message; cloning it shares the bytes.
    pub publication: Publication,
}

/// What makes an event recognisable when it is sent again: the same at every resend, also after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The dataflow that sends it.
    pub flow: FlowIndex,
    /// The partition that it came from.
    pub partition: PartitionIndex,
    /// The life of that partition's log.
    pub epoch: Epoch,
    /// The record's number.
    pub offset: Offset,
}

impl std::fmt::Display for EventId {
    /// Writes `flow-partition-epoch-offset`, the epoch in hexadecimal: the message-id of AMQP 1.0 §3.2.4.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}-{:x}-{}", self.flow, self.partition, self.epoch.0, self.offset)
    }
}

/// One event on its way from a dataflow to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its identity.
    pub id: EventId,
    /// Events of one key keep their order. Empty: no order is asked for.
    pub key: Bytes,
    /// Body and properties; for a pass-through flow the very bytes that the publisher wrote.
    pub publication: Publication,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_as_flow_partition_epoch_offset() {
        let id = EventId { flow: FlowIndex(1), partition: PartitionIndex(2), epoch: Epoch(0x1a), offset: Offset(77) };
        assert_eq!(id.to_string(), "1-2-1a-77");
    }
}
