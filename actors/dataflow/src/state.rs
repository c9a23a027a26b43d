//! What a dataflow owns.

use std::collections::BTreeMap;

use contract::{Counters, Credit, Ledger, PartitionIndex};

use crate::allowance::Allowance;
use crate::program::Program;

/// The limits of one instance of a dataflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What may be under way in all: the records of the destination's pending events. One more record for each
    /// partition where bytes are the tighter limit, as [`Credit::allows_one`] says.
    pub under_way: Credit,
    /// How many partitions send to this instance, at least 1; each gets an equal part, and at least one record.
    pub partitions_count: u16,
}

/// One instance of a dataflow. It serves the partitions that were reset to it.
#[derive(Debug)]
pub struct Dataflow {
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    pub(crate) partitions: BTreeMap<PartitionIndex, Allowance>,
    pub(crate) ledger: Ledger,
    pub(crate) stopping: Stopping,
}

/// How far it is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// It gives credit.
    No,
    /// It waits for what is under way.
    Draining,
    /// It has said that nothing is under way.
    Done,
}

impl Dataflow {
    /// Makes an instance that waits for its partitions' [`crate::Message::Reset`].
    ///
    /// # Panics
    /// When `limits.partitions_count` is 0.
    pub fn new(program: Program, limits: Limits) -> Self {
        assert!(limits.partitions_count > 0, "a dataflow has at least one partition");
        Self { program, limits, partitions: BTreeMap::new(), ledger: Ledger::default(), stopping: Stopping::No }
    }

    /// What became of the records since the start.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Records at the destination that have not settled.
    pub fn under_way_count(&self) -> u64 {
        self.partitions.values().map(|allowance| u64::from(allowance.under_way().count)).sum()
    }

    /// The most effects that one step pushes.
    pub const EFFECTS_COUNT_MAX: usize = 4;

    /// The equal part of each partition.
    pub(crate) fn window(&self) -> Credit {
        let Limits { under_way, partitions_count } = self.limits;
        Credit {
            count: (under_way.count / u32::from(partitions_count)).max(1),
            bytes: (under_way.bytes / u64::from(partitions_count)).max(1),
        }
    }
}

impl Counters for Dataflow {
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64)) {
        self.ledger.visit_counters(visit);
        visit("queued", self.under_way_count());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use contract::{Instant, MESSAGE_EXPIRY_NEVER, Publication, PublicationArena, PublicationDraft, QoS, UtcTime};

    /// A publication without properties, payload "1".
    pub(crate) fn publication(topic_name: &str) -> Publication {
        publication_with(topic_name, &[])
    }

    /// A publication with these MQTT properties, payload "1".
    pub(crate) fn publication_with(topic_name: &str, properties: &[u8]) -> Publication {
        let mut arena = PublicationArena::new(1_024);
        let draft = PublicationDraft {
            topic_name,
            properties,
            qos: QoS::AtLeastOnce,
            retain: false,
            message_expiry_s: MESSAGE_EXPIRY_NEVER,
            received_at: Instant::ZERO,
            received_utc: UtcTime::default(),
        };
        let mut builder = arena.begin(&draft);
        builder.put(b"1");
        builder.finish(1)
    }
}
