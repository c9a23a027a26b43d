//! What a partition asks of its log, and what the log answers: one interface for memory, disk and `JetStream`.
//!
//! Requests leave a partition as effects and answers come back as messages, so the actor waits for nothing and does
//! not know which engine it has. Requests of one partition are carried out in the order they were made.

use crate::{Offset, Record};

/// What a partition asks of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRequest {
    /// Store these records, whose offsets follow on from the last append without a gap. Answered by
    /// [`LogResponse::Durable`] once the commit policy of the profile is satisfied; several appends may share an answer.
    Append(Vec<Record>),
    /// Read records from `from` on, about `bytes_max` of them but at least one. Answered by [`LogResponse::Records`].
    Read {
        /// The first record wanted.
        from: Offset,
        /// How many bytes of records to hand back, roughly.
        bytes_max: u64,
    },
    /// All records below `up_to` are settled by every cursor: the log may forget them. Not answered.
    Release {
        /// The first record still needed.
        up_to: Offset,
    },
}

/// What a log answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogResponse {
    /// Every record below `up_to` is as durable as the profile asks: its publisher may be told.
    Durable {
        /// The first record not yet durable.
        up_to: Offset,
    },
    /// The records that a read asked for, in order, from its `from` on.
    Records(Vec<Record>),
    /// The log cannot store now; nothing is acknowledged on its account until a later [`LogResponse::Durable`].
    Failed(LogFailure),
}

/// Why a log cannot store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFailure {
    /// Its quota, or the disk, is full.
    #[error("the partition log is full")]
    Full,
    /// The device answered with an error.
    #[error("the partition log's device failed")]
    Device,
}
