//! The limits of an egress batcher, and what each of them costs.

use std::time::Duration;

/// The limits of an egress batcher. All of them come from the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a batch, encoded. Event Hubs refuses over 1 MB (256 KB on Basic); a lower limit of the link wins. An
    /// event that is larger travels alone.
    pub batch_bytes_max: usize,
    /// Events of a batch, at least 1. Each counts against the hub's quota.
    pub events_per_batch_max: usize,
    /// Longest that an event waits for company where its hub partition is free; adds to the latency.
    pub linger: Duration,
    /// Batches under way in all, at least 1; one for each hub partition at most.
    pub batches_in_flight_max: usize,
    /// Events that wait or are under way. The credit of all dataflows that publish here must not exceed it.
    pub pending_count_max: usize,
    /// Longest wait before a batch is sent again, and between attempts to connect.
    pub retry_delay_max: Duration,
    /// Wait between attempts while the route is parked.
    pub park_delay: Duration,
    /// How often the hub is asked for its partitions.
    pub refresh_interval: Duration,
    /// Throughput units to stay within, each 1 MB/s and 1,000 events/s; `None`: no cap.
    pub throughput_units: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_bytes_max: 900 * 1_024,
            events_per_batch_max: 1_000,
            linger: Duration::from_millis(100),
            batches_in_flight_max: 32,
            pending_count_max: 65_536,
            retry_delay_max: Duration::from_secs(30),
            park_delay: Duration::from_mins(1),
            refresh_interval: Duration::from_mins(10),
            throughput_units: None,
        }
    }
}
