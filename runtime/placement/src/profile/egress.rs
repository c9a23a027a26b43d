//! `[dataflow]` and `[egress]`: what lies between a partition and Event Hubs.

use std::time::Duration;

use crate::reader::Reader;

/// Limits of each dataflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataflowProfile {
    /// Actors of each flow; partitions are dealt among them.
    pub instances: u16,
    /// Records that a partition hands over in one mailbox entry.
    pub batch_count_max: u32,
    /// Records that one instance may have under way, from all partitions.
    pub credit_count: u32,
    /// Bytes of records that one instance may have under way, from all partitions.
    pub credit_bytes: u64,
}

impl DataflowProfile {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("dataflow");
        Self {
            instances: table.integer("instances", 1..=1_024),
            batch_count_max: table.integer("batch_count_max", 1..=65_536),
            credit_count: table.integer("credit_count", 1..=10_000_000),
            credit_bytes: table.integer("credit_bytes", 65_536..=2_147_483_648),
        }
    }
}

/// Limits of each destination of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressProfile {
    /// Bytes of one batch, encoded. Event Hubs refuses over 1 MB, 256 KB on Basic.
    pub batch_bytes_max: u32,
    /// Events of one batch; each counts against the hub's quota.
    pub events_per_batch_max: u32,
    /// Longest that an event waits for company; adds to the latency.
    pub linger: Duration,
    /// Batches under way in all; one for each partition of the hub at most.
    pub batches_in_flight_max: u32,
    /// How long the hub may take for a batch, a link or a connection.
    pub send_timeout: Duration,
    /// The shortest wait before a batch is sent again.
    pub retry_backoff_min: Duration,
    /// The longest wait before a batch is sent again, and between attempts to connect.
    pub retry_backoff_max: Duration,
    /// The shortest wait after the hub said that it is busy.
    pub server_busy_floor: Duration,
    /// Wait between attempts while a route is parked: not found, unauthorized.
    pub park_delay: Duration,
    /// How often the hub is asked for its partitions.
    pub refresh_interval: Duration,
    /// Throughput units to stay within, each 1 MB/s and 1,000 events/s; `None`: no cap.
    pub throughput_units_max: Option<u32>,
    /// Bytes of events that wait or are under way.
    pub pending_bytes_max: u64,
    /// Events that wait or are under way.
    pub pending_count_max: u32,
}

impl EgressProfile {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("egress");
        let throughput_units_max: u32 = table.integer("throughput_units_max", 0..=10_000);
        Self {
            batch_bytes_max: table.integer("batch_bytes_max", 16_384..=1_000_000),
            events_per_batch_max: table.integer("events_per_batch_max", 1..=10_000),
            linger: table.duration("linger_ms", 0..=60_000),
            batches_in_flight_max: table.integer("batches_in_flight_max", 1..=1_024),
            send_timeout: table.duration("send_timeout_ms", 1_000..=300_000),
            retry_backoff_min: table.duration("retry_backoff_ms_min", 10..=60_000),
            retry_backoff_max: table.duration("retry_backoff_ms_max", 100..=600_000),
            server_busy_floor: table.duration("server_busy_floor_ms", 0..=60_000),
            park_delay: table.duration("park_delay_s", 1..=86_400),
            refresh_interval: table.duration("refresh_interval_s", 10..=86_400),
            throughput_units_max: (throughput_units_max > 0).then_some(throughput_units_max),
            pending_bytes_max: table.integer("pending_bytes_max", 65_536..=2_147_483_648),
            pending_count_max: table.integer("pending_count_max", 1..=10_000_000),
        }
    }

    /// What must hold between its keys.
    pub(crate) fn check(&self, reader: &mut Reader<'_>) {
        if self.retry_backoff_max < self.retry_backoff_min {
            let text = "`retry_backoff_ms_max` is below `retry_backoff_ms_min`";
            reader.find_at_key("egress", "retry_backoff_ms_max", text);
        }
        if self.pending_bytes_max < u64::from(self.batch_bytes_max) {
            let text = "`pending_bytes_max` is below `batch_bytes_max`: no batch could ever be full";
            reader.find_at_key("egress", "pending_bytes_max", text);
        }
        if self.pending_count_max < self.events_per_batch_max {
            let text = "`pending_count_max` is below `events_per_batch_max`: no batch could ever be full";
            reader.find_at_key("egress", "pending_count_max", text);
        }
    }
}
