//! A message on its way to an actor, or to a host.

use contract::{ConnectionAddress, CoreIndex, FlowIndex, PartitionIndex, SourceIndex};

use crate::{Address, FlowAddress, StopStage};

/// A message with the actor that it is for. What happens when the way there is full is written at each message.
#[derive(Clone, Debug, PartialEq)]
pub enum Envelope {
    /// To an opcua-subscription.
    OpcUa(SourceIndex, opcua_subscription::Message),
    /// To an mqtt-connection. One that is gone, or of another generation, hears nothing.
    Connection(ConnectionAddress, mqtt_connection::Message),
    /// To a broker-partition.
    Partition(PartitionIndex, broker_partition::Message),
    /// To an instance of a dataflow.
    Flow(FlowAddress, dataflow::Message),
    /// To the egress-batcher of a flow.
    Batcher(FlowIndex, egress_batcher::Message),
    /// To the host itself.
    Host(HostMessage),
}

/// What hosts say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMessage {
    /// Begin this stage of the stop. When full: waits.
    BeginStage(StopStage),
    /// A core has done its part of this stage. To the host of core 0. When full: waits.
    StageDone {
        /// The core.
        core: CoreIndex,
        /// The stage.
        stage: StopStage,
    },
}

impl Envelope {
    /// The actor that it is for; `None` for the host itself.
    pub const fn address(&self) -> Option<Address> {
        match self {
            Self::OpcUa(source, _) => Some(Address::OpcUa(*source)),
            Self::Connection(connection, _) => Some(Address::Connection(*connection)),
            Self::Partition(partition, _) => Some(Address::Partition(*partition)),
            Self::Flow(flow, _) => Some(Address::Flow(*flow)),
            Self::Batcher(flow, _) => Some(Address::Batcher(*flow)),
            Self::Host(_) => None,
        }
    }
}
