//! `[broker]`: the seed parameters of the MQTT broker, and its limits.

use std::time::Duration;

use crate::reader::Reader;

/// The broker's size and limits. `frontend` is where connections are, `backend` where topics are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerProfile {
    /// Nodes that open the listeners. On one node more than 1 folds into workers, with a warning.
    pub frontend_replicas: u16,
    /// mqtt-connection actors of one node, each with an acceptor on the core that it is placed on.
    pub frontend_workers: u16,
    /// Independent ordered partitions of the topics.
    pub backend_partitions: u16,
    /// broker-partition actors (sub-shards) of one partition.
    pub backend_workers: u16,
    /// Copies of a partition that must exist. More than 1 is refused on one node.
    pub backend_redundancy_factor: u8,
    /// The hard budget of one shard, and the largest message.
    pub memory_profile: MemoryProfile,
    /// Share of the shard's budget from which queues spill to disk, or credit is withheld.
    pub spill_threshold_percent: u8,
    /// Longest that a busy core gathers packets before it wakes the next actor; zero: never.
    pub gather_max: Duration,
    /// Client connections of the process; one more is closed at once.
    pub connections_count_max: u32,
    /// Bytes of read and write buffers that the connections of one frontend worker may hold together.
    pub frontend_bytes_max: u64,
    /// Time from the accepted connection to its CONNECT; then it is closed.
    pub connect_timeout: Duration,
    /// New connections a second, over all listeners; more wait in the kernel's backlog.
    pub connect_rate_per_s_max: u32,
    /// MQTT sessions of one shard, connected or not; one more CONNECT is answered 0x97.
    pub sessions_count_max: u32,
    /// Subscriptions of one session; one more is answered 0x97.
    pub subscriptions_per_client_max: u32,
    /// Shared Subscriptions of one shard, each a share's name with a Topic Filter; one more is answered 0x97.
    pub shared_subscriptions_count_max: u32,
    /// Bytes of one packet, the Maximum Packet Size of CONNACK; at most the largest message of the memory profile.
    pub packet_bytes_max: u32,
    /// QoS 1 and 2 publications that a client may have unacknowledged: Receive Maximum of CONNACK (MQTT 5.0 §3.2.2.3.3).
    pub receive_maximum: u16,
    /// Records that wait for one subscriber in one partition.
    pub subscriber_queue_count_max: u32,
    /// Bytes of records that wait for one subscriber in one partition.
    pub subscriber_queue_bytes_max: u64,
    /// What happens at either limit of a subscriber's queue.
    pub subscriber_queue_when_full: QueueWhenFull,
    /// Topic Aliases that a client may set (MQTT 5.0 §3.2.2.3.8); 0: none.
    pub topic_alias_maximum: u16,
    /// Topic Aliases that are set for a client, at most as many as it takes (MQTT 5.0 §3.1.2.11.5); 0: none.
    pub client_topic_alias_maximum: u16,
    /// Longest Keep Alive; a longer one is answered with Server Keep Alive (MQTT 5.0 §3.2.2.3.14).
    pub keep_alive_max: Duration,
    /// Longest that a 3.1.1 socket is not read under back-pressure, with its keep-alive suspended; then it is closed.
    pub unread_max: Duration,
    /// Longest Session Expiry Interval; [`BrokerProfile::SESSION_EXPIRY_NEVER`] sets no end.
    pub session_expiry_interval_max: Duration,
    /// Session Expiry Interval of 3.1.1 clients without Clean Session, at most `session_expiry_interval_max`.
    pub session_expiry_v3: Duration,
    /// Retained Messages of one shard.
    pub retained_count_max: u32,
    /// Bytes of Retained Messages of one shard, part of its budget.
    pub retained_bytes_max: u64,
    /// How often the topics below `$SYS` are published; zero: never.
    pub sys_interval: Duration,
    /// Threads that do TLS handshakes, on the core of the blocking lane.
    pub handshake_threads_count: u16,
    /// TLS handshakes under way at once, and as many sockets that wait for one.
    pub handshakes_count_max: u32,
    /// Threads that check passwords and tokens, on the core of the blocking lane.
    pub authentication_threads_count: u16,
    /// Clients that may wait to be checked; one more is answered 0x89.
    pub authentication_queue_count_max: u32,
}

/// The `memoryProfile` of the broker: a hard budget for each shard, committed lazily.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryProfile {
    /// 16 MiB a shard, messages up to 4 MiB.
    Tiny,
    /// 64 MiB a shard, messages up to 16 MiB.
    Low,
    /// 576 MiB a shard, messages up to 64 MiB.
    Medium,
    /// 2 GiB a shard, messages up to 256 MiB.
    High,
}

impl MemoryProfile {
    /// All of them, the smallest first.
    pub const ALL: [Self; 4] = [Self::Tiny, Self::Low, Self::Medium, Self::High];

    /// The word that profiles use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The hard budget of one shard (one broker-partition actor), in bytes.
    pub const fn shard_bytes_max(self) -> u64 {
        match self {
            Self::Tiny => 16 << 20,
            Self::Low => 64 << 20,
            Self::Medium => 576 << 20,
            Self::High => 2_048 << 20,
        }
    }

    /// The largest message, in bytes.
    pub const fn message_bytes_max(self) -> u32 {
        match self {
            Self::Tiny => 4 << 20,
            Self::Low => 16 << 20,
            Self::Medium => 64 << 20,
            Self::High => 256 << 20,
        }
    }
}

/// What a subscriber's full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueWhenFull {
    /// Its oldest record is dropped and counted: publishers never wait for a slow subscriber.
    DropOldest,
    /// Acknowledgements to publishers are withheld: nothing is dropped, and the slowest subscriber sets the pace.
    BackPressure,
}

impl BrokerProfile {
    /// The Session Expiry Interval that means never (MQTT 5.0 §3.1.2.11.2).
    pub const SESSION_EXPIRY_NEVER: Duration = Duration::from_secs(0xFFFF_FFFF);

    /// broker-partition actors in all.
    pub fn shards_count(&self) -> u32 {
        u32::from(self.backend_partitions) * u32::from(self.backend_workers)
    }

    /// mqtt-connection actors on one node that stands for all replicas.
    pub fn frontends_count(&self) -> u32 {
        u32::from(self.frontend_replicas) * u32::from(self.frontend_workers)
    }

    /// Bytes at which a shard begins to spill, or to withhold credit.
    pub fn spill_bytes(&self) -> u64 {
        self.memory_profile.shard_bytes_max() / 100 * u64::from(self.spill_threshold_percent)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("broker");
        let when_full = [("drop-oldest", QueueWhenFull::DropOldest), ("back-pressure", QueueWhenFull::BackPressure)];
        Self {
            frontend_replicas: table.integer("frontend_replicas", 1..=64),
            frontend_workers: table.integer("frontend_workers", 1..=256),
            backend_partitions: table.integer("backend_partitions", 1..=1_024),
            backend_workers: table.integer("backend_workers", 1..=64),
            backend_redundancy_factor: table.integer("backend_redundancy_factor", 1..=5),
            memory_profile: table.choice("memory_profile", &MemoryProfile::ALL.map(|each| (each.name(), each))),
            spill_threshold_percent: table.integer("spill_threshold_percent", 10..=100),
            gather_max: table.duration("gather_us_max", 0..=5_000),
            connections_count_max: table.integer("connections_count_max", 1..=1_000_000),
            frontend_bytes_max: table.integer("frontend_bytes_max", 1_048_576..=68_719_476_736),
            connect_timeout: table.duration("connect_timeout_ms", 100..=120_000),
            connect_rate_per_s_max: table.integer("connect_rate_per_s_max", 1..=100_000),
            sessions_count_max: table.integer("sessions_count_max", 1..=10_000_000),
            subscriptions_per_client_max: table.integer("subscriptions_per_client_max", 1..=1_000_000),
            shared_subscriptions_count_max: table.integer("shared_subscriptions_count_max", 0..=10_000_000),
            packet_bytes_max: table.integer("packet_bytes_max", 1_024..=268_435_456),
            receive_maximum: table.integer("receive_maximum", 1..=65_535),
            subscriber_queue_count_max: table.integer("subscriber_queue_count_max", 1..=10_000_000),
            subscriber_queue_bytes_max: table.integer("subscriber_queue_bytes_max", 4_096..=2_147_483_648),
            subscriber_queue_when_full: table.choice("subscriber_queue_when_full", &when_full),
            topic_alias_maximum: table.integer("topic_alias_maximum", 0..=65_535),
            client_topic_alias_maximum: table.integer("client_topic_alias_maximum", 0..=65_535),
            keep_alive_max: table.duration("keep_alive_s_max", 1..=65_535),
            unread_max: table.duration("unread_s_max", 1..=30),
            session_expiry_interval_max: table.duration("session_expiry_interval_s_max", 0..=4_294_967_295),
            session_expiry_v3: table.duration("session_expiry_v3_s", 0..=4_294_967_295),
            retained_count_max: table.integer("retained_count_max", 0..=10_000_000),
            retained_bytes_max: table.integer("retained_bytes_max", 0..=2_147_483_648),
            sys_interval: table.duration("sys_interval_s", 0..=86_400),
            handshake_threads_count: table.integer("handshake_threads_count", 1..=64),
            handshakes_count_max: table.integer("handshakes_count_max", 1..=65_536),
            authentication_threads_count: table.integer("authentication_threads_count", 1..=64),
            authentication_queue_count_max: table.integer("authentication_queue_count_max", 1..=65_536),
        }
    }

    /// What must hold between its keys.
    pub(crate) fn check(&self, reader: &mut Reader<'_>) {
        let profile = self.memory_profile;
        if self.packet_bytes_max > profile.message_bytes_max() {
            let text = format!(
                "`packet_bytes_max` is above the largest message of memory_profile \"{}\", {} bytes: lower it",
                profile.name(),
                profile.message_bytes_max()
            );
            reader.find_at_key("broker", "packet_bytes_max", text);
        }
        for (name, bytes) in [
            ("subscriber_queue_bytes_max", self.subscriber_queue_bytes_max),
            ("retained_bytes_max", self.retained_bytes_max),
        ] {
            if bytes > profile.shard_bytes_max() {
                let text = format!(
                    "`{name}` is above the budget of a shard under memory_profile \"{}\", {} bytes: lower it",
                    profile.name(),
                    profile.shard_bytes_max()
                );
                reader.find_at_key("broker", name, text);
            }
        }
    }
}
