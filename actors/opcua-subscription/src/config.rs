//! What a Session is to do: its DataSets and data points, and the limits it keeps.

use std::time::Duration;

use contract::QoS;

/// One Session with one server.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// A name for the server's diagnostics and for reports.
    pub session_name: String,
    /// The first level of the default Topic Name `<namespace>/data/<asset>`.
    pub topic_namespace: String,
    /// Defaults of all DataSets.
    pub defaults: DataSetDefaults,
    /// The assets with their tags, in the order that client handles follow. Changing it makes saved Subscriptions
    /// useless.
    pub data_sets: Vec<DataSet>,
    /// How many broker partitions there are; at least 1.
    pub partitions_count: u16,
    /// The level at which publications are made.
    pub qos: QoS,
    /// Whether they are retained.
    pub retain: bool,
    /// Their Message Expiry Interval; `None`: never.
    pub message_expiry: Option<Duration>,
}

/// What holds for a DataSet that does not say otherwise.
#[derive(Clone, Debug)]
pub struct DataSetDefaults {
    /// How often the server sends, and how long an interval of a DataSet is.
    pub publishing_interval: Duration,
    /// What holds for its data points.
    pub sampling: Sampling,
    /// Key frames: 0 never, 1 always, n: every n-th message of a DataSet holds all its tags with their last values.
    pub key_frame_count: u32,
    /// Which values of an interval are sent.
    pub conflate: Conflate,
    /// What the OPC UA acknowledgement waits for.
    pub acknowledge: AcknowledgeAt,
}

impl Default for DataSetDefaults {
    fn default() -> Self {
        Self {
            publishing_interval: Duration::from_secs(1),
            sampling: Sampling::default(),
            key_frame_count: 0,
            conflate: Conflate::Last,
            acknowledge: AcknowledgeAt::Accepted,
        }
    }
}

/// How a server is to sample; what is `None` comes from the DataSet, and then from the Session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// The SamplingInterval. Zero (the last default): as fast as the server can, or event driven.
    pub sampling_interval: Option<Duration>,
    /// The smallest queue; the actor asks for more where the outage budget needs it. 1 is the last default.
    pub queue_size: Option<u32>,
    /// How often a value is expected to change, where it is known; else the SamplingInterval, and where that is zero the
    /// PublishingInterval. From it the queue is worked out.
    pub update_period: Option<Duration>,
}

impl Sampling {
    /// These settings, with what they lack taken from `defaults`.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            sampling_interval: self.sampling_interval.or(defaults.sampling_interval),
            queue_size: self.queue_size.or(defaults.queue_size),
            update_period: self.update_period.or(defaults.update_period),
        }
    }
}

/// Which values of an interval are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Conflate {
    /// The newest of each tag; older ones are counted as superseded.
    #[default]
    Last,
    /// All. A tag that changed more than once carries an array.
    All,
}

/// What the OPC UA acknowledgement of a NotificationMessage waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AcknowledgeAt {
    /// Every publication made from it was accepted by its partition.
    #[default]
    Accepted,
    /// Every publication made from it was settled by every destination.
    Delivered,
}

/// One asset's tags, which are published together.
#[derive(Clone, Debug, Default)]
pub struct DataSet {
    /// The asset's name: CloudEvents `subject`, and the last level of the default Topic Name.
    pub asset: String,
    /// The Topic Name, where it is not `<namespace>/data/<asset>`.
    pub topic: Option<String>,
    /// CloudEvents `externalAssetId`; the asset's name where there is none.
    pub external_asset_id: Option<String>,
    /// See [`DataSetDefaults::publishing_interval`].
    pub publishing_interval: Option<Duration>,
    /// What holds for its data points.
    pub sampling: Sampling,
    /// See [`DataSetDefaults::key_frame_count`].
    pub key_frame_count: Option<u32>,
    /// See [`DataSetDefaults::conflate`].
    pub conflate: Option<Conflate>,
    /// See [`DataSetDefaults::acknowledge`].
    pub acknowledge: Option<AcknowledgeAt>,
    /// Its tags, in the order of a key frame.
    pub points: Vec<DataPoint>,
}

/// One tag.
#[derive(Clone, Debug, Default)]
pub struct DataPoint {
    /// Its key in the message; empty: the NodeId.
    pub name: String,
    /// Its NodeId, as [`crate::NodeIdText`] reads it.
    pub node_id: String,
    /// How it is sampled.
    pub sampling: Sampling,
}

/// The limits of one Session; all come from the hardware profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// MonitoredItems in one Subscription, unless one DataSet alone has more. 1 to 100,000.
    pub items_per_subscription: u32,
    /// MonitoredItems in one call, below the server's own limit. 1 to 100,000.
    pub items_per_call_max: u32,
    /// Values that one MonitoredItem's queue may hold at the server. 1 to 1,000,000.
    pub monitored_item_queue_count_max: u32,
    /// Publish requests to keep at the server. 2 to `unacknowledged_notifications_max`.
    pub publish_requests_count: u32,
    /// NotificationMessages received and not yet acknowledged, with the Publish requests that may bring more. Past it
    /// Publish requests are withheld, and the server's queues hold the data. 2 to 1,000; servers drop their oldest
    /// retransmissions, so keep it below their limit.
    pub unacknowledged_notifications_max: u32,
    /// Notifications in one message at most, asked of the server; 0 leaves it to the server.
    pub notifications_per_publish_max: u32,
    /// How long an outage (of the network, of this process, of the hub) the server's queues shall bridge.
    pub outage_budget: Duration,
    /// How long the server keeps the Session without hearing of it; at least the outage budget is asked for.
    pub session_timeout: Duration,
    /// How long a Subscription may be silent before it must send a keep-alive.
    pub keep_alive_interval: Duration,
    /// Nothing heard for so long: `CurrentTime` and State of the server are read.
    pub liveness_interval: Duration,
    /// So many reads without an answer: the connection is made anew.
    pub liveness_misses_max: u32,
    /// How long any request but Publish may take.
    pub request_timeout: Duration,
    /// The shortest wait before a new connection.
    pub backoff_min: Duration,
    /// The longest.
    pub backoff_max: Duration,
    /// How long a stop waits for acceptances.
    pub stop_timeout: Duration,
    /// Bytes of payload after which a DataSet's message is closed and another one begun.
    pub payload_bytes_max: u32,
    /// Bytes of one value's JSON at most; a larger value is replaced by null with `Bad_EncodingLimitsExceeded`, counted.
    pub value_bytes_max: u32,
    /// Bytes of last values held for key frames, all tags together; a value without room is left out of key frames.
    pub held_values_bytes_max: u32,
    /// NotificationMessages that are asked for again one by one; more missing ones are a gap.
    pub republish_count_max: u32,
    /// How long until rejected tags are tried again.
    pub rejected_retry_interval: Duration,
    /// Bytes of the chunks that publications are written into.
    pub arena_chunk_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            items_per_subscription: 1_000,
            items_per_call_max: 1_000,
            monitored_item_queue_count_max: 10_000,
            publish_requests_count: 3,
            unacknowledged_notifications_max: 8,
            notifications_per_publish_max: 0,
            outage_budget: Duration::from_mins(1),
            session_timeout: Duration::from_mins(10),
            keep_alive_interval: Duration::from_secs(5),
            liveness_interval: Duration::from_secs(5),
            liveness_misses_max: 3,
            request_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            stop_timeout: Duration::from_secs(5),
            payload_bytes_max: 256 * 1_024,
            value_bytes_max: 64 * 1_024,
            held_values_bytes_max: 16 * 1_024 * 1_024,
            republish_count_max: 1_000,
            rejected_retry_interval: Duration::from_mins(1),
            arena_chunk_bytes: 64 * 1_024,
        }
    }
}
