//! `[opcua]`: limits of the OPC UA sessions.

use std::time::Duration;

use crate::reader::Reader;

/// Limits of each OPC UA Session, and of the chunks and messages that its transport takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpcuaProfile {
    /// Sessions that the tags of one server are spread over, so that its subscriptions use several cores.
    pub sessions_per_server: u16,
    /// MonitoredItems in one Subscription, unless one DataSet alone has more.
    pub items_per_subscription: u32,
    /// MonitoredItems in one call; the server's own limit wins where it is lower.
    pub items_per_call_max: u32,
    /// Values that the queue of one MonitoredItem may hold at the server.
    pub monitored_item_queue_count_max: u32,
    /// Publish requests kept at the server; at least 2, so that one is there while the other travels.
    pub publish_requests_in_flight: u32,
    /// NotificationMessages received and not acknowledged; past it Publish requests are withheld.
    pub unacknowledged_notifications_max: u32,
    /// Notifications in one message, asked of the server (`MaxNotificationsPerPublish`); 0: the server's choice.
    pub notifications_per_publish_max: u32,
    /// The longest outage that the server's queues shall bridge; with the rate it gives their size.
    pub outage_budget: Duration,
    /// How long the server keeps a Session that is silent; at least the outage budget.
    pub session_timeout: Duration,
    /// How long the server keeps a security token; it is renewed at three quarters.
    pub channel_lifetime: Duration,
    /// How long a Subscription may be silent before the server must send a keep-alive.
    pub keep_alive_interval: Duration,
    /// Silence after which the server's `CurrentTime` is read.
    pub liveness_interval: Duration,
    /// Such reads without an answer before the connection is made anew.
    pub liveness_misses_max: u32,
    /// How long a request other than Publish may take.
    pub request_timeout: Duration,
    /// The shortest wait before a new connection.
    pub reconnect_backoff_min: Duration,
    /// The longest wait before a new connection.
    pub reconnect_backoff_max: Duration,
    /// NotificationMessages that are asked for again one by one after a reconnect; more missing ones are a gap.
    pub republish_count_max: u32,
    /// How long until tags that the server rejected are tried again.
    pub rejected_retry_interval: Duration,
    /// How long a stop waits until what was received is accepted and acknowledged.
    pub stop_timeout: Duration,
    /// Bytes of one message from the server, all its chunks.
    pub message_bytes_max: u32,
    /// Chunks of one message from the server.
    pub chunk_count_max: u32,
    /// Elements of one array from the server.
    pub array_count_max: u32,
    /// Bytes of the chunks of memory that publications are written into.
    pub arena_chunk_bytes: u32,
    /// Bytes of payload after which a DataSet's message is closed and another one begun.
    pub payload_bytes_max: u32,
    /// Bytes of one value as JSON; a larger one is replaced by null, counted.
    pub value_bytes_max: u32,
    /// Bytes of last values that one session holds for key frames.
    pub held_values_bytes_max: u32,
}

impl OpcuaProfile {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("opcua");
        Self {
            sessions_per_server: table.integer("sessions_per_server", 1..=64),
            items_per_subscription: table.integer("items_per_subscription", 1..=100_000),
            items_per_call_max: table.integer("items_per_call_max", 1..=100_000),
            monitored_item_queue_count_max: table.integer("monitored_item_queue_count_max", 1..=1_000_000),
            publish_requests_in_flight: table.integer("publish_requests_in_flight", 2..=100),
            unacknowledged_notifications_max: table.integer("unacknowledged_notifications_max", 2..=1_000),
            notifications_per_publish_max: table.integer("notifications_per_publish_max", 0..=1_000_000),
            outage_budget: table.duration("outage_budget_s", 0..=86_400),
            session_timeout: table.duration("session_timeout_s", 10..=86_400),
            channel_lifetime: table.duration("channel_lifetime_s", 10..=86_400),
            keep_alive_interval: table.duration("keep_alive_interval_ms", 100..=600_000),
            liveness_interval: table.duration("liveness_interval_ms", 100..=600_000),
            liveness_misses_max: table.integer("liveness_misses_max", 1..=100),
            request_timeout: table.duration("request_timeout_ms", 100..=600_000),
            reconnect_backoff_min: table.duration("reconnect_backoff_ms_min", 10..=60_000),
            reconnect_backoff_max: table.duration("reconnect_backoff_ms_max", 10..=600_000),
            republish_count_max: table.integer("republish_count_max", 1..=100_000),
            rejected_retry_interval: table.duration("rejected_retry_interval_s", 1..=86_400),
            stop_timeout: table.duration("stop_timeout_ms", 0..=600_000),
            message_bytes_max: table.integer("message_bytes_max", 8_192..=268_435_456),
            chunk_count_max: table.integer("chunk_count_max", 1..=65_536),
            array_count_max: table.integer("array_count_max", 1_000..=16_777_216),
            arena_chunk_bytes: table.integer("arena_chunk_bytes", 4_096..=16_777_216),
            payload_bytes_max: table.integer("payload_bytes_max", 1_024..=16_777_216),
            value_bytes_max: table.integer("value_bytes_max", 256..=16_777_216),
            held_values_bytes_max: table.integer("held_values_bytes_max", 0..=2_147_483_648),
        }
    }

    /// What must hold between its keys.
    pub(crate) fn check(&self, reader: &mut Reader<'_>) {
        if self.publish_requests_in_flight > self.unacknowledged_notifications_max {
            let text = "`publish_requests_in_flight` is above `unacknowledged_notifications_max`: each request may bring \
                        a notification, so raise that or lower this";
            reader.find_at_key("opcua", "publish_requests_in_flight", text);
        }
        if self.session_timeout < self.outage_budget {
            let text = "`session_timeout_s` is below `outage_budget_s`: the server would drop the session, and its \
                        queues, within the outage that they are to bridge";
            reader.find_at_key("opcua", "session_timeout_s", text);
        }
        if self.reconnect_backoff_max < self.reconnect_backoff_min {
            let text = "`reconnect_backoff_ms_max` is below `reconnect_backoff_ms_min`";
            reader.find_at_key("opcua", "reconnect_backoff_ms_max", text);
        }
        if self.value_bytes_max > self.payload_bytes_max {
            let text = "`value_bytes_max` is above `payload_bytes_max`: one value must fit a message";
            reader.find_at_key("opcua", "value_bytes_max", text);
        }
    }
}
