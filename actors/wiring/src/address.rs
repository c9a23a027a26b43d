//! Which actor is meant.

use std::fmt;

use contract::{ConnectionAddress, FlowIndex, PartitionIndex, SourceIndex};

/// One instance of a dataflow. Partitions are dealt among a flow's instances by [`crate::Topology::flow_of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowAddress {
    /// The flow.
    pub flow: FlowIndex,
    /// Which of its instances, from 0.
    pub instance: u16,
}

/// A listener of the site's configuration, from 0: connections of one share its limits and its access rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerIndex(pub u16);

/// One actor of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The opcua-subscription of a Session.
    OpcUa(SourceIndex),
    /// The mqtt-connection of a client.
    Connection(ConnectionAddress),
    /// A broker-partition.
    Partition(PartitionIndex),
    /// An instance of a dataflow.
    Flow(FlowAddress),
    /// The egress-batcher of a flow's destination.
    Batcher(FlowIndex),
}

impl Address {
    /// The name of its kind, as profiles and reports have it.
    pub const fn kind_name(self) -> &'static str {
        match self {
            Self::OpcUa(_) => "opcua-subscription",
            Self::Connection(_) => "mqtt-connection",
            Self::Partition(_) => "broker-partition",
            Self::Flow(_) => "dataflow",
            Self::Batcher(_) => "egress-batcher",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind_name();
        match self {
            Self::OpcUa(source) => write!(formatter, "{name} {source}"),
            Self::Connection(connection) => write!(formatter, "{name} {connection}"),
            Self::Partition(partition) => write!(formatter, "{name} {partition}"),
            Self::Flow(FlowAddress { flow, instance }) => write!(formatter, "{name} {flow}.{instance}"),
            Self::Batcher(flow) => write!(formatter, "{name} {flow}"),
        }
    }
}
