//! The mailbox of an egress batcher.

use contract::{BatchId, Event};

/// All that may arrive at an egress batcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Events of a dataflow, in the order in which each key wants them. When full: cannot happen; the records behind
    /// them spent the dataflow's credit first, and [`crate::Limits::pending_count_max`] holds all of it.
    Publish(Vec<Event>),
    /// The lane has a client; what [`crate::Effect::Open`] asked for. When full: waits; nothing is sent until it is
    /// read.
    Opened {
        /// Partitions of the hub, at least 1; their indexes run from 0 without gaps.
        hub_partitions_count: u16,
        /// The largest message that the hub takes, in bytes, or `None` where the link did not say.
        message_bytes_max: Option<u64>,
    },
    /// The lane could not make a client. When full: waits; the next attempt counts from here.
    OpenFailed(Failure),
    /// The hub has this many partitions; the answer to [`crate::Effect::RefreshPartitions`]. A refresh that fails is
    /// not answered: the next one asks again. When full: dropped; the next one asks again.
    PartitionsRefreshed {
        /// Partitions of the hub, at least 1.
        hub_partitions_count: u16,
    },
    /// Event Hubs settled a batch (AMQP 1.0 §3.4), or the lane gave it up. Exactly one for each
    /// [`crate::Effect::Send`]. When full: waits; losing it would leak credit.
    Settled {
        /// The batch of the `Send`.
        batch_id: BatchId,
        /// What became of it.
        outcome: Outcome,
    },
    /// No more events will come: batches close without linger, and [`crate::Effect::Stopped`] follows when the last
    /// one has settled. When full: waits.
    Stop,
}

/// What became of a batch that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The accepted outcome (AMQP 1.0 §3.4.2): every event of the batch is stored.
    Accepted,
    /// The released outcome (AMQP 1.0 §3.4.4): nothing is stored, send it again.
    Released,
    /// The modified outcome (AMQP 1.0 §3.4.5): nothing is stored, send it again.
    Modified,
    /// It was not stored, or nobody knows.
    Failed(Failure),
}

/// Why the hub or the way to it did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Failure {
    /// Over the hub's quota (`com.microsoft:server-busy`). Wait at least 4 s.
    #[error("the hub is over its quota")]
    ServerBusy,
    /// The hub answered with an error that passes (`amqp:internal-error`, `com.microsoft:timeout`,
    /// `amqp:resource-limit-exceeded`). Send it again.
    #[error("the hub failed for now")]
    Transient,
    /// No answer within the lane's own timeout. It may be stored: a duplicate is possible. The client may be wedged.
    #[error("no answer in time")]
    TimedOut,
    /// The connection, session or link ended, or could not be made, without a condition that says why. It may be
    /// stored: a duplicate is possible. The client may be wedged.
    #[error("the connection was lost")]
    ConnectionLost,
    /// Larger than the hub takes (`amqp:link:message-size-exceeded`), or than the link said that it takes.
    #[error("larger than the hub takes")]
    SizeExceeded,
    /// The hub or the namespace does not exist (`amqp:not-found`). A person must look.
    #[error("the hub does not exist")]
    NotFound,
    /// The credential does not allow it (`amqp:unauthorized-access`). A person must look.
    #[error("the credential does not allow it")]
    Unauthorized,
    /// Refused for another reason that time alone does not mend (`amqp:not-allowed`, a disabled hub, a condition that
    /// nobody knows). A person must look.
    #[error("the hub refuses it")]
    Refused,
}
