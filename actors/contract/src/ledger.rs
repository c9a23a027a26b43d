//! The conservation law, counted in records, for one cursor.

use crate::Counters;

/// Why a record was given up on purpose. Each reason is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// A subscriber's queue was full and its policy is `drop-oldest`.
    QueueFull,
    /// A QoS 0 message met an exhausted memory budget.
    MemoryBudget,
    /// Larger than the receiver's Maximum Packet Size (MQTT 5.0 §3.1.2.11.4).
    PacketTooLarge,
    /// The session ended with records still queued for it (MQTT 5.0 §4.1).
    SessionEnded,
    /// A QoS 0 message for a client that is not connected (MQTT 5.0 §4.1, its storage is optional).
    NotConnected,
    /// The destination refuses it for good (too large for Event Hubs, not authorised): parked as a dead letter.
    DeadLetter,
}

impl DropReason {
    /// All reasons, in the order of [`Ledger::dropped`].
    pub const ALL: [Self; 6] = [
        Self::QueueFull,
        Self::MemoryBudget,
        Self::PacketTooLarge,
        Self::SessionEnded,
        Self::DeadLetter,
        Self::NotConnected,
    ];

    /// The reason's name in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "dropped_queue_full",
            Self::MemoryBudget => "dropped_memory_budget",
            Self::PacketTooLarge => "dropped_packet_too_large",
            Self::SessionEnded => "dropped_session_ended",
            Self::DeadLetter => "dropped_dead_letter",
            Self::NotConnected => "dropped_not_connected",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::QueueFull => 0,
            Self::MemoryBudget => 1,
            Self::PacketTooLarge => 2,
            Self::SessionEnded => 3,
            Self::DeadLetter => 4,
            Self::NotConnected => 5,
        }
    }
}

/// What became of the records that one cursor was given.
///
/// A cursor is one subscriber session, or one destination of a flow. Each record counts once; a redelivery is
/// counted apart. `accepted = delivered + filtered + expired + dropped + queued` holds after every step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Records that entered the cursor's queue.
    pub accepted: u64,
    /// Records whose receiver settled them.
    pub delivered: u64,
    /// Records that a dataflow's program left out.
    pub filtered: u64,
    /// Records whose Message Expiry Interval passed first.
    pub expired: u64,
    /// Records given up, by [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Records sent again; not part of the law.
    pub redelivered: u64,
}

impl Ledger {
    /// Counts `count` records given up for `reason`.
    #[inline]
    pub fn drop_records(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason.index()] += count;
    }

    /// Records given up for `reason`.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()]
    }

    /// Records given up for all reasons.
    pub fn dropped_sum(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Records that must be queued now if nothing was lost.
    ///
    /// # Errors
    /// The surplus, where more records left the cursor than entered it.
    pub fn queued(&self) -> Result<u64, u64> {
        let left = self.delivered + self.filtered + self.expired + self.dropped_sum();
        self.accepted.checked_sub(left).ok_or_else(|| left - self.accepted)
    }

    /// Whether the law holds with `queued` records in the queue.
    pub fn balances(&self, queued: u64) -> bool {
        self.queued() == Ok(queued)
    }

    /// Adds another cursor's counts to these.
    pub fn merge(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.filtered += other.filtered;
        self.expired += other.expired;
        self.redelivered += other.redelivered;
        for (mine, theirs) in self.dropped.iter_mut().zip(other.dropped) {
            *mine += theirs;
        }
    }
}

impl Counters for Ledger {
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64)) {
        visit("accepted", self.accepted);
        visit("delivered", self.delivered);
        visit("filtered", self.filtered);
        visit("expired", self.expired);
        visit("redelivered", self.redelivered);
        for (reason, count) in DropReason::ALL.into_iter().zip(self.dropped) {
            visit(reason.name(), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_holds_while_every_record_is_somewhere() {
        let mut ledger = Ledger { accepted: 10, delivered: 4, filtered: 1, expired: 1, ..Ledger::default() };
        ledger.drop_records(DropReason::QueueFull, 2);
        assert!(ledger.balances(2));
        assert!(!ledger.balances(1));
    }

    #[test]
    fn more_out_than_in_is_reported_as_a_surplus() {
        let ledger = Ledger { accepted: 1, delivered: 3, ..Ledger::default() };
        assert_eq!(ledger.queued(), Err(2));
    }

    #[test]
    fn each_reason_has_its_own_place() {
        let mut ledger = Ledger::default();
        for (count, reason) in (1..).zip(DropReason::ALL) {
            ledger.drop_records(reason, count);
        }
        assert_eq!(ledger.dropped, [1, 2, 3, 4, 5, 6]);
    }
}
