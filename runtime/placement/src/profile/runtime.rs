//! `[mailbox]`, `[executor]`, `[memory]`, `[telemetry]` and `[system]`: what all actors stand on.

use std::time::Duration;

use telemetry::ActorKind;

use crate::reader::Reader;

/// Entries of the channels between actors. An entry may be a batch; a full channel makes its sender wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxProfile {
    /// Entries of each channel to an opcua-subscription.
    pub opcua_subscription_depth: u32,
    /// Entries of each channel to an mqtt-connection actor.
    pub mqtt_connection_depth: u32,
    /// Entries of each channel to a broker-partition.
    pub broker_partition_depth: u32,
    /// Entries of each channel to a dataflow.
    pub dataflow_depth: u32,
    /// Entries of each channel to an egress-batcher.
    pub egress_batcher_depth: u32,
    /// Entries of each channel to a lane.
    pub lane_depth: u32,
    /// Messages that an actor handles before its core looks at the others.
    pub turn_messages_max: u32,
}

impl MailboxProfile {
    /// Entries of each channel to an actor of this kind.
    pub fn depth(&self, kind: ActorKind) -> u32 {
        match kind {
            ActorKind::OpcUaSubscription => self.opcua_subscription_depth,
            ActorKind::MqttConnection => self.mqtt_connection_depth,
            ActorKind::BrokerPartition => self.broker_partition_depth,
            ActorKind::Dataflow => self.dataflow_depth,
            ActorKind::EgressBatcher => self.egress_batcher_depth,
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("mailbox");
        Self {
            opcua_subscription_depth: table.integer("opcua_subscription_depth", 16..=65_536),
            mqtt_connection_depth: table.integer("mqtt_connection_depth", 16..=65_536),
            broker_partition_depth: table.integer("broker_partition_depth", 16..=65_536),
            dataflow_depth: table.integer("dataflow_depth", 16..=65_536),
            egress_batcher_depth: table.integer("egress_batcher_depth", 16..=65_536),
            lane_depth: table.integer("lane_depth", 16..=65_536),
            turn_messages_max: table.integer("turn_messages_max", 1..=65_536),
        }
    }
}

/// Settings of each executor, and of the pool for work that would stall one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorProfile {
    /// How often a task is asked to yield; below 10 ms glommio 0.9 can park on runnable tasks.
    pub preempt_timer: Duration,
    /// The longest an executor sleeps; bounds the harm of such a parking.
    pub heartbeat: Duration,
    /// Entries of each of an executor's three rings.
    pub ring_depth: u32,
    /// The same, on cores with mqtt-connection actors, whose sockets are many.
    pub listener_ring_depth: u32,
    /// Bytes that an executor registers with the kernel, three times.
    pub io_memory_bytes: u64,
    /// Tasks that wait on sockets and files, on one core.
    pub shells_count_max: u32,
    /// A turn that takes longer is a stall: counted, with the actor's name.
    pub stall_threshold: Duration,
    /// Threads of each blocking lane.
    pub blocking_threads_count: u16,
    /// Pieces of work that may wait for a blocking lane; one more is refused.
    pub blocking_queue_count_max: u32,
}

impl ExecutorProfile {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("executor");
        Self {
            preempt_timer: table.duration("preempt_timer_ms", 10..=1_000),
            heartbeat: table.duration("heartbeat_ms", 10..=10_000),
            ring_depth: table.integer("ring_depth", 32..=32_768),
            listener_ring_depth: table.integer("listener_ring_depth", 32..=32_768),
            io_memory_bytes: table.integer::<u64>("io_memory_kib", 64..=65_536) << 10,
            shells_count_max: table.integer("shells_count_max", 64..=1_000_000),
            stall_threshold: table.duration("stall_threshold_ms", 1..=10_000),
            blocking_threads_count: table.integer("blocking_threads_count", 1..=64),
            blocking_queue_count_max: table.integer("blocking_queue_count_max", 1..=65_536),
        }
    }
}

/// The memory of the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryCeiling {
    /// What all limits together should stay below, in bytes; the plan warns where they do not.
    pub ceiling_bytes: u64,
    /// What the process takes before any data, in bytes: code, stacks, trust store. Part of the sum.
    pub process_bytes: u64,
}

impl MemoryCeiling {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("memory");
        Self {
            ceiling_bytes: table.mebibytes("ceiling_mib", 32..=16_777_216),
            process_bytes: table.mebibytes("process_mib", 1..=4_096),
        }
    }
}

/// How the process looks at itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryProfile {
    /// How often a core copies its counters and histograms to where the control socket reads them.
    pub snapshot_interval: Duration,
    /// Connections to the control socket at once.
    pub control_connections_count_max: u16,
}

impl TelemetryProfile {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("telemetry");
        Self {
            snapshot_interval: table.duration("snapshot_interval_ms", 100..=60_000),
            control_connections_count_max: table.integer("control_connections_count_max", 1..=1_024),
        }
    }
}

/// What stays free of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoresLeft {
    /// So many physical cores: the last ones in the plan's order.
    Count(u32),
    /// These processors, by the kernel's numbers, whole physical cores with them.
    Cpus(Vec<usize>),
}

impl CoresLeft {
    const CPUS_COUNT_MAX: usize = 1_024;
    const RANGE: &'static str = "0 to 1_024, or a list of processors";

    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let mut table = reader.table("system");
        table.know("cores_left", Self::RANGE.to_owned());
        let Some((source, item)) = table.get("cores_left") else { return Self::Count(0) };
        if let Some(count) = item.as_integer() {
            if let Ok(count) = u32::try_from(count)
                && count <= 1_024
            {
                return Self::Count(count);
            }
            reader.find(source.position(item.span()), format!("`cores_left` = {count}: {} is allowed", Self::RANGE));
            return Self::Count(0);
        }
        let cpus = item.as_array().filter(|array| array.len() <= Self::CPUS_COUNT_MAX).and_then(|array| {
            array.iter().map(|value| value.as_integer().and_then(|cpu| usize::try_from(cpu).ok())).collect()
        });
        if cpus.is_none() {
            table.wrong_type("cores_left", "a count of physical cores, or a list of processors", source, item);
        }
        cpus.map_or(Self::Count(0), Self::Cpus)
    }
}
