//! The limits of a connection, and what each of them costs.

use std::sync::Arc;
use std::time::Duration;

use access::AccessRules;
use contract::UtcTime;

/// The limits of a connection; one value is shared by all connections of a listener and core. The profile names most of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Broker partitions, at least 1.
    pub partitions_count: u16,
    /// Bytes of one packet from the client: the Maximum Packet Size of CONNACK. At most the largest message of the partitions.
    pub packet_bytes_max: u32,
    /// `QoS` 1 and 2 publications that a client may have unacknowledged: the Receive Maximum of CONNACK, at least 1. A 3.1.1 client
    /// is not read while so many acknowledgements are owed to it.
    pub receive_maximum: u16,
    /// Time from the accepted connection to its CONNACK.
    pub connect_timeout: Duration,
    /// Longest Keep Alive; a 5.0 client that asks for more gets Server Keep Alive (MQTT 5.0 §3.2.2.3.14).
    pub keep_alive_max: Duration,
    /// Longest that the socket is not read under back-pressure, its keep-alive suspended; then it is closed.
    pub unread_max: Duration,
    /// Longest Session Expiry Interval, in seconds; a client that asks for more is told (MQTT 5.0 §3.2.2.3.2).
    /// [`contract::SESSION_EXPIRY_NEVER`]: no bound.
    pub session_expiry_max_s: u32,
    /// Session Expiry Interval of 3.1.1 clients without Clean Session, in seconds; at most `session_expiry_max_s` holds.
    pub session_expiry_v3_s: u32,
    /// Topic Filters that a client may hold at a time; more are answered 0x97. Each takes its length and about 20 bytes here, so that
    /// changed access rules can be checked against it.
    pub subscriptions_per_client_max: u32,
    /// Topic Aliases that a 5.0 client may set (MQTT 5.0 §3.2.2.3.8); 0 offers none. Each holds one Topic Name.
    pub topic_alias_maximum: u16,
    /// Topic Aliases that this side sets for a 5.0 client, at most as many as it takes (MQTT 5.0 §3.1.2.11.5); 0 sets none. Each
    /// holds one Topic Name.
    pub client_topic_alias_maximum: u16,
    /// Publications of this client, of any level, that partitions have not accepted yet. At the limit the socket is not read.
    pub publishes_count_max: u32,
    /// Bytes of these publications; one may exceed it. At the limit the socket is not read.
    pub publishes_bytes_max: u64,
    /// Deliveries under way to this client, over all partitions. Each partition gets its share as credit, at least 1.
    pub deliveries_count_max: u32,
    /// Bytes of these deliveries; shared alike, and the last delivery of a share may exceed it.
    pub deliveries_bytes_max: u64,
    /// Bytes that may wait for the socket's send buffer: from here on deliveries wait, and from twice as many on nothing is
    /// read, for answers wait too.
    pub output_bytes_max: usize,
    /// Makes Client Identifiers that this process assigns differ from those of its earlier lives (MQTT-3.1.3-7).
    pub client_identifier_seed: u64,
    /// The date at [`contract::Instant::ZERO`], for the dates of receipt of publications.
    pub utc_at_start: UtcTime,
    /// Who may connect.
    pub authentication: Authentication,
    /// Who may do what, until [`crate::Message::AccessChanged`] brings other rules.
    pub access: Arc<AccessRules>,
    /// What becomes of a 3.1.1 client's publication that the rules do not allow.
    pub denied_publish_v3: DeniedPublishV3,
    /// Whether failures say in words why they are, to 5.0 clients that take Problem Information (MQTT 5.0 §3.1.2.11.7).
    pub reason_strings: bool,
    /// What a client that asks for Response Information is told (MQTT 5.0 §3.2.2.3.15); `None`: nothing.
    pub response_information: Option<Arc<str>>,
}

/// Who may connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Everybody; user name and password are not looked at, and there is no enhanced authentication.
    #[default]
    AllowAnonymous,
    /// Whom the answer to [`crate::Effect::Authenticate`] lets in.
    Required,
}

/// What becomes of a 3.1.1 client's publication that the rules do not allow: that version has no word for it (MQTT 3.1.1, MQTT-3.3.5-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeniedPublishV3 {
    /// The connection ends.
    #[default]
    Disconnect,
    /// It is acknowledged as if it were accepted, and dropped.
    Silent,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            partitions_count: 1,
            packet_bytes_max: 1 << 20,
            receive_maximum: 256,
            connect_timeout: Duration::from_secs(10),
            keep_alive_max: Duration::from_hours(1),
            unread_max: Duration::from_secs(30),
            session_expiry_max_s: 24 * 3_600,
            session_expiry_v3_s: 24 * 3_600,
            subscriptions_per_client_max: 1_000,
            topic_alias_maximum: 0,
            client_topic_alias_maximum: 32,
            publishes_count_max: 8_192,
            publishes_bytes_max: 4 << 20,
            deliveries_count_max: 4_096,
            deliveries_bytes_max: 1 << 20,
            output_bytes_max: 256 << 10,
            client_identifier_seed: 0,
            utc_at_start: UtcTime::from_ticks(0),
            authentication: Authentication::AllowAnonymous,
            access: Arc::new(AccessRules::allow_all()),
            denied_publish_v3: DeniedPublishV3::Disconnect,
            reason_strings: false,
            response_information: None,
        }
    }
}
