//! Which effects of which actors occurred: runs that never met one of them prove less.

use std::fmt;

use wiring::ActorEffect;

/// Names the kinds, and lists them.
macro_rules! effect_kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A kind of effect: a variant of one of the five `Effect` enums.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is a variant of an actor's Effect, documented there")]
        pub enum EffectKind { $($name,)* }

        impl EffectKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The actor and its effect.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

effect_kinds! {
    OpcUaConnect = "opcua: Connect",
    OpcUaDisconnect = "opcua: Disconnect",
    OpcUaSend = "opcua: Send",
    OpcUaPublish = "opcua: Publish",
    OpcUaSaveState = "opcua: SaveState",
    OpcUaReport = "opcua: Report",
    OpcUaStopped = "opcua: Stopped",
    ConnectionWrite = "connection: Write",
    ConnectionPauseReading = "connection: PauseReading",
    ConnectionResumeReading = "connection: ResumeReading",
    ConnectionClose = "connection: Close",
    ConnectionAuthenticate = "connection: Authenticate",
    ConnectionAttach = "connection: Attach",
    ConnectionResume = "connection: Resume",
    ConnectionPublish = "connection: Publish",
    ConnectionSubscribe = "connection: Subscribe",
    ConnectionUnsubscribe = "connection: Unsubscribe",
    ConnectionSubscriberCredit = "connection: SubscriberCredit",
    ConnectionDeliveriesSettled = "connection: DeliveriesSettled",
    ConnectionSuspend = "connection: Suspend",
    ConnectionPark = "connection: Park",
    ConnectionDetach = "connection: Detach",
    ConnectionEnded = "connection: Ended",
    ConnectionGone = "connection: Gone",
    PartitionLog = "partition: Log",
    PartitionAccepted = "partition: Accepted",
    PartitionDelivered = "partition: Delivered",
    PartitionRefused = "partition: Refused",
    PartitionAttached = "partition: Attached",
    PartitionAttachRefused = "partition: AttachRefused",
    PartitionTakenOver = "partition: TakenOver",
    PartitionSuspended = "partition: Suspended",
    PartitionEndSession = "partition: EndSession",
    PartitionPublishWill = "partition: PublishWill",
    PartitionSubscribed = "partition: Subscribed",
    PartitionUnsubscribed = "partition: Unsubscribed",
    PartitionDeliver = "partition: Deliver",
    PartitionFlowReset = "partition: FlowReset",
    PartitionFlowRecords = "partition: FlowRecords",
    PartitionReport = "partition: Report",
    PartitionStopped = "partition: Stopped",
    FlowEvents = "flow: Events",
    FlowFiltered = "flow: Filtered",
    FlowSettled = "flow: Settled",
    FlowDeadLettered = "flow: DeadLettered",
    FlowCredit = "flow: Credit",
    FlowStopped = "flow: Stopped",
    BatcherOpen = "batcher: Open",
    BatcherRefreshPartitions = "batcher: RefreshPartitions",
    BatcherSend = "batcher: Send",
    BatcherSettled = "batcher: Settled",
    BatcherDeadLettered = "batcher: DeadLettered",
    BatcherReport = "batcher: Report",
    BatcherStopped = "batcher: Stopped",
}

/// How often each kind of effect occurred.
#[derive(Clone, PartialEq, Eq)]
pub struct EffectCounts([u64; EffectKind::ALL.len()]);

impl Default for EffectCounts {
    fn default() -> Self {
        Self([0; EffectKind::ALL.len()])
    }
}

impl fmt::Debug for EffectCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(EffectKind::ALL.iter().map(|kind| (kind.name(), self.0[*kind as usize]))).finish()
    }
}

impl EffectCounts {
    pub(crate) fn count(&mut self, effect: ActorEffect<'_>) {
        self.0[kind(effect) as usize] += 1;
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum += count;
        }
    }

    /// Kinds that never occurred.
    pub fn missing(&self) -> Vec<EffectKind> {
        EffectKind::ALL.iter().copied().filter(|kind| self.0[*kind as usize] == 0).collect()
    }
}

fn kind(effect: ActorEffect<'_>) -> EffectKind {
    match effect {
        ActorEffect::OpcUa(effect) => opcua_kind(effect),
        ActorEffect::Connection(effect) => connection_kind(effect),
        ActorEffect::Partition(effect) => partition_kind(effect),
        ActorEffect::Flow(effect) => flow_kind(effect),
        ActorEffect::Batcher(effect) => batcher_kind(effect),
    }
}

fn opcua_kind(effect: &opcua_subscription::Effect) -> EffectKind {
    use opcua_subscription::Effect;
    match effect {
        Effect::Connect => EffectKind::OpcUaConnect,
        Effect::Disconnect => EffectKind::OpcUaDisconnect,
        Effect::Send { .. } => EffectKind::OpcUaSend,
        Effect::Publish { .. } => EffectKind::OpcUaPublish,
        Effect::SaveState(_) => EffectKind::OpcUaSaveState,
        Effect::Report(_) => EffectKind::OpcUaReport,
        Effect::Stopped => EffectKind::OpcUaStopped,
    }
}

fn connection_kind(effect: &mqtt_connection::Effect) -> EffectKind {
    use mqtt_connection::Effect;
    match effect {
        Effect::Write(_) => EffectKind::ConnectionWrite,
        Effect::PauseReading => EffectKind::ConnectionPauseReading,
        Effect::ResumeReading => EffectKind::ConnectionResumeReading,
        Effect::Close => EffectKind::ConnectionClose,
        Effect::Authenticate { .. } => EffectKind::ConnectionAuthenticate,
        Effect::Attach { .. } => EffectKind::ConnectionAttach,
        Effect::Resume { .. } => EffectKind::ConnectionResume,
        Effect::Publish { .. } => EffectKind::ConnectionPublish,
        Effect::Subscribe { .. } => EffectKind::ConnectionSubscribe,
        Effect::Unsubscribe { .. } => EffectKind::ConnectionUnsubscribe,
        Effect::SubscriberCredit { .. } => EffectKind::ConnectionSubscriberCredit,
        Effect::DeliveriesSettled { .. } => EffectKind::ConnectionDeliveriesSettled,
        Effect::Suspend { .. } => EffectKind::ConnectionSuspend,
        Effect::Park { .. } => EffectKind::ConnectionPark,
        Effect::Detach { .. } => EffectKind::ConnectionDetach,
        Effect::Ended(_) => EffectKind::ConnectionEnded,
        Effect::Gone => EffectKind::ConnectionGone,
    }
}

fn partition_kind(effect: &broker_partition::Effect) -> EffectKind {
    use broker_partition::Effect;
    match effect {
        Effect::Log(_) => EffectKind::PartitionLog,
        Effect::Accepted { .. } => EffectKind::PartitionAccepted,
        Effect::Delivered { .. } => EffectKind::PartitionDelivered,
        Effect::Refused { .. } => EffectKind::PartitionRefused,
        Effect::Attached { .. } => EffectKind::PartitionAttached,
        Effect::AttachRefused { .. } => EffectKind::PartitionAttachRefused,
        Effect::TakenOver { .. } => EffectKind::PartitionTakenOver,
        Effect::Suspended { .. } => EffectKind::PartitionSuspended,
        Effect::EndSession { .. } => EffectKind::PartitionEndSession,
        Effect::PublishWill { .. } => EffectKind::PartitionPublishWill,
        Effect::Subscribed { .. } => EffectKind::PartitionSubscribed,
        Effect::Unsubscribed { .. } => EffectKind::PartitionUnsubscribed,
        Effect::Deliver { .. } => EffectKind::PartitionDeliver,
        Effect::FlowReset { .. } => EffectKind::PartitionFlowReset,
        Effect::FlowRecords { .. } => EffectKind::PartitionFlowRecords,
        Effect::Report(_) => EffectKind::PartitionReport,
        Effect::Stopped => EffectKind::PartitionStopped,
    }
}

fn flow_kind(effect: &dataflow::Effect) -> EffectKind {
    use dataflow::Effect;
    match effect {
        Effect::Events(_) => EffectKind::FlowEvents,
        Effect::Filtered(_) => EffectKind::FlowFiltered,
        Effect::Settled(_) => EffectKind::FlowSettled,
        Effect::DeadLettered(_) => EffectKind::FlowDeadLettered,
        Effect::Credit { .. } => EffectKind::FlowCredit,
        Effect::Stopped => EffectKind::FlowStopped,
    }
}

fn batcher_kind(effect: &egress_batcher::Effect) -> EffectKind {
    use egress_batcher::Effect;
    match effect {
        Effect::Open => EffectKind::BatcherOpen,
        Effect::RefreshPartitions => EffectKind::BatcherRefreshPartitions,
        Effect::Send(_) => EffectKind::BatcherSend,
        Effect::Settled(_) => EffectKind::BatcherSettled,
        Effect::DeadLettered(_) => EffectKind::BatcherDeadLettered,
        Effect::Report(_) => EffectKind::BatcherReport,
        Effect::Stopped => EffectKind::BatcherStopped,
    }
}
