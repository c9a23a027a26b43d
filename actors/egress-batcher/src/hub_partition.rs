//! The queue of one hub partition, and its one batch under way.

use std::collections::VecDeque;

use contract::Instant;

use crate::batch::{Batch, OpenBatch};

/// What waits for one partition of the hub.
///
/// It holds no limit of its own: all hub partitions together hold at most [`crate::Limits::pending_count_max`] events.
#[derive(Debug, Default)]
pub(crate) struct HubPartition {
    pub(crate) queue: BatchQueue,
    pub(crate) under_way: Option<UnderWay>,
    /// The first batch of the queue must not go before.
    pub(crate) retry_at: Option<Instant>,
}

/// A batch that the lane has.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pub(crate) batch: Batch,
    /// The client that it was given to, counted from 1.
    pub(crate) client_count: u64,
}

/// Closed batches in order, and the one that fills behind them.
#[derive(Debug, Default)]
pub(crate) struct BatchQueue {
    pub(crate) closed: VecDeque<Batch>,
    pub(crate) open: OpenBatch,
}

impl HubPartition {
    /// Whether a batch may go to it at `now`.
    pub(crate) fn is_free(&self, now: Instant) -> bool {
        self.under_way.is_none() && self.retry_at.is_none_or(|at| at <= now)
    }
}

impl BatchQueue {
    /// Whether a batch of it may go now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.closed.is_empty() || self.open.is_due()
    }
}
