//! What a publisher's acknowledgement waits for, and why a partition refuses a publication.

/// What a publisher wants to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// The partition stored it as durably as the profile asks.
    #[default]
    Accepted,
    /// The same, and a second word once every flow that takes it has settled it at its destination.
    AcceptedAndDelivered,
}

/// Why a partition refuses a publication past its hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The shard's memory budget is used up: Reason Code 0x97, Quota exceeded.
    #[error("the shard's memory budget is used up")]
    QuotaExceeded,
    /// Larger than the memory profile's largest message: Reason Code 0x95, Packet too large.
    #[error("larger than the largest message of the memory profile")]
    TooLarge,
}
