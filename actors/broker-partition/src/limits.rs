//! What a partition may hold, and what it does at each limit.

/// The limits of one shard. They come from the profile's `[broker]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLimits {
    /// The hard budget: bytes of all records that this shard holds, each once however many queues share it, Retained Messages
    /// and publications that wait included. Past it a connection's publications are refused, or dropped at QoS 0.
    pub shard_bytes_max: u64,
    /// Bytes of accepted records from which publications wait un-accepted: the profile's share of the budget.
    pub spill_bytes: u64,
    /// Bytes of one record, as [`contract::Publication::size_bytes`] counts them; a connection's larger one is refused. An OPC UA
    /// Session's is taken: nobody could make it smaller, and it is never refused.
    pub message_bytes_max: u32,
    /// Records that wait for one subscriber.
    pub subscriber_queue_count_max: u32,
    /// Bytes of records that wait for one subscriber; a larger record waits alone.
    pub subscriber_queue_bytes_max: u64,
    /// What happens at either limit of a subscriber's queue.
    pub subscriber_queue_when_full: QueueWhenFull,
    /// Retained Messages; one more is delivered but not retained.
    pub retained_count_max: u32,
    /// Bytes of Retained Messages; what exceeds them is delivered but not retained. At most a quarter of `spill_bytes` counts, so that
    /// Retained Messages alone never hold publishers back.
    pub retained_bytes_max: u64,
    /// Subscriptions of one client; one more is answered with Quota exceeded.
    pub subscriptions_per_client_max: u32,
    /// Subscriptions of all clients; one more is answered with Quota exceeded.
    pub subscriptions_count_max: u32,
    /// Shared Subscriptions, each a `ShareName` with a Topic Filter, of all clients; one more is answered with Quota exceeded.
    pub shared_subscriptions_count_max: u32,
    /// Sessions whose home this partition is; another client's Attach is refused. So many for each home may be subscribers, beyond that
    /// Subscriptions are answered with Quota exceeded.
    pub sessions_count_max: u32,
}

/// What a subscriber's full queue does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueWhenFull {
    /// Its oldest record that waits is dropped and counted: publishers never wait for a slow subscriber. So does, whatever is chosen, the
    /// queue of a session that no connection has. All subscribers together
    /// hold at most half of `spill_bytes` that no flow and no Retained Message holds; beyond, the longest queue is cut by half.
    #[default]
    DropOldest,
    /// Publications wait un-accepted while the queue of any connected subscriber is full: the slowest sets the pace. What the log has
    /// already been given still joins the queue.
    BackPressure,
}

impl PartitionLimits {
    /// Bytes of accepted records below which waiting publications go on: seven eighths of `spill_bytes`.
    pub(crate) const fn resume_bytes(&self) -> u64 {
        let bytes = self.spill_bytes - self.spill_bytes / 8;
        if bytes == 0 { 1 } else { bytes }
    }

    /// Bytes of Retained Messages that are kept.
    pub(crate) fn retained_bytes(&self) -> u64 {
        self.retained_bytes_max.min(self.spill_bytes / 4)
    }

    /// Bytes of Wills and of parked sessions, deliveries not counted: a quarter of `spill_bytes`. A session that would exceed them ends
    /// when it should be parked; a client whose Will would is refused.
    pub(crate) const fn sessions_bytes_max(&self) -> u64 {
        self.spill_bytes / 4
    }

    /// Bytes that only subscribers may hold, where their queues drop.
    pub(crate) const fn subscribers_bytes_max(&self) -> u64 {
        self.spill_bytes / 2
    }
}
