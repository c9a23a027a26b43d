//! Latencies and counters on their way from a pure actor to telemetry.

use std::time::Duration;

/// A stretch of a value's way whose latency has a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hop {
    /// SourceTimestamp to the arrival of the PublishResponse; for MQTT publishers there is none.
    SourceToReceived,
    /// Arrival at this process to acceptance by the partition's log.
    ReceivedToAccepted,
    /// Acceptance to the moment a dataflow read the record.
    AcceptedToDataflow,
    /// The dataflow's output to the close of the egress batch that carries it.
    DataflowToBatch,
    /// Close of the batch to its settlement by Event Hubs.
    BatchToSettled,
    /// Arrival at this process to settlement by Event Hubs.
    ReceivedToSettled,
    /// Arrival at this process to the subscriber's socket buffer.
    ReceivedToSubscriber,
}

impl Hop {
    /// All hops, in the order of a value's way.
    pub const ALL: [Self; 7] = [
        Self::SourceToReceived,
        Self::ReceivedToAccepted,
        Self::AcceptedToDataflow,
        Self::DataflowToBatch,
        Self::BatchToSettled,
        Self::ReceivedToSettled,
        Self::ReceivedToSubscriber,
    ];

    /// The hop's name in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SourceToReceived => "source_to_received",
            Self::ReceivedToAccepted => "received_to_accepted",
            Self::AcceptedToDataflow => "accepted_to_dataflow",
            Self::DataflowToBatch => "dataflow_to_batch",
            Self::BatchToSettled => "batch_to_settled",
            Self::ReceivedToSettled => "received_to_settled",
            Self::ReceivedToSubscriber => "received_to_subscriber",
        }
    }
}

/// `count` data points (or messages, where a hop has none) took `latency_us` for `hop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The stretch of way.
    pub hop: Hop,
    /// Microseconds, at most an hour.
    pub latency_us: u32,
    /// How many data points share it.
    pub count: u32,
}

impl Observation {
    /// The longest latency that is told apart: one hour, in microseconds.
    pub const LATENCY_US_MAX: u32 = 3_600_000_000;

    /// Makes an observation; a longer latency counts as one hour.
    #[inline]
    pub fn new(hop: Hop, latency: Duration, count: u32) -> Self {
        let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX).min(Self::LATENCY_US_MAX);
        Self { hop, latency_us, count }
    }
}

/// What an actor counts. The runtime asks now and then; nothing is pushed on the data path.
pub trait Counters {
    /// Calls `visit` once for each counter, with its metric name (snake case, unit last) and its value.
    fn visit_counters(&self, visit: &mut dyn FnMut(&'static str, u64));
}
