//! A record is settled once, and as delivered only when the hub has it: watched from outside.

use std::collections::BTreeSet;

use broker_partition::{FlowOutcome, Message as ToPartition};
use contract::{EventId, Offset};
use wiring::Envelope;

use crate::hub::Hub;

/// What was settled in this life.
#[derive(Debug, Default)]
pub(crate) struct SettlementWatch {
    settled: BTreeSet<EventId>,
}

impl SettlementWatch {
    /// An envelope that an actor sends.
    ///
    /// # Errors
    /// It settles what was settled before, or what no hub has.
    pub(crate) fn pass(&mut self, envelope: &Envelope, hubs: &[Hub]) -> Result<(), String> {
        let Envelope::Partition(partition, ToPartition::FlowSettled { flow, epoch, offsets, outcome }) = envelope
        else {
            return Ok(());
        };
        let hub = &hubs[usize::from(flow.0)];
        for offset in offsets.iter().flat_map(|range| (range.start.0..range.end.0).map(Offset)) {
            let id = EventId { flow: *flow, partition: *partition, epoch: *epoch, offset };
            if !self.settled.insert(id) {
                return Err(format!("{id} is settled twice"));
            }
            let is_true = match outcome {
                FlowOutcome::Delivered => hub.has(id),
                FlowOutcome::DeadLettered => hub.has_refused(id),
                FlowOutcome::Filtered => !hub.has(id),
            };
            if !is_true {
                return Err(format!("{id} is settled as {outcome:?}, which is not what became of it"));
            }
        }
        Ok(())
    }
}
