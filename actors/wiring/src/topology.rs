//! Which actor lives on which core.

use contract::{CoreIndex, FlowIndex, PartitionIndex, SourceIndex};

use crate::{Address, FlowAddress};

/// Where everything is. The same on every core, fixed from start to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// How many cores there are, from [`CoreIndex`] 0.
    pub cores_count: u16,
    /// The core of each Session's opcua-subscription, by [`SourceIndex`].
    pub sources: Vec<CoreIndex>,
    /// The core of each broker-partition, by [`PartitionIndex`]; at least one.
    pub partitions: Vec<CoreIndex>,
    /// The cores of each dataflow's instances, by [`FlowIndex`]; each flow has at least one.
    pub flows: Vec<Vec<CoreIndex>>,
    /// The core of each flow's egress-batcher, by [`FlowIndex`].
    pub batchers: Vec<CoreIndex>,
}

impl Topology {
    /// Everything on one core: `sources_count` Sessions, `partitions_count` partitions, `flows_count` flows of one instance.
    pub fn on_one_core(sources_count: u16, partitions_count: u16, flows_count: u16) -> Self {
        let here = CoreIndex(0);
        Self {
            cores_count: 1,
            sources: vec![here; sources_count.into()],
            partitions: vec![here; partitions_count.into()],
            flows: vec![vec![here]; flows_count.into()],
            batchers: vec![here; flows_count.into()],
        }
    }

    /// How many partitions there are.
    ///
    /// # Panics
    /// When there are more than 65,535.
    pub fn partitions_count(&self) -> u16 {
        u16::try_from(self.partitions.len()).expect("a partition has an index of 16 bits")
    }

    /// All partitions, ascending.
    pub fn partition_indexes(&self) -> impl Iterator<Item = PartitionIndex> + use<> {
        (0..self.partitions_count()).map(PartitionIndex)
    }

    /// The instance of `flow` that serves `partition`: they are dealt in turn.
    pub fn flow_of(&self, flow: FlowIndex, partition: PartitionIndex) -> FlowAddress {
        let count = self.flows[usize::from(flow.0)].len();
        let instance = u16::try_from(usize::from(partition.0) % count).expect("below a count of partitions");
        FlowAddress { flow, instance }
    }

    /// How many partitions an instance serves, at least 1.
    pub fn partitions_of(&self, address: FlowAddress) -> u16 {
        let count =
            self.partition_indexes().filter(|partition| self.flow_of(address.flow, *partition) == address).count();
        u16::try_from(count.max(1)).expect("not above the count of partitions")
    }

    /// The core on which an actor lives.
    ///
    /// # Panics
    /// When there is no such actor: addresses come from this topology.
    pub fn core_of(&self, address: Address) -> CoreIndex {
        match address {
            Address::OpcUa(SourceIndex(index)) => self.sources[usize::from(index)],
            Address::Connection(connection) => connection.core,
            Address::Partition(PartitionIndex(index)) => self.partitions[usize::from(index)],
            Address::Flow(FlowAddress { flow, instance }) => self.flows[usize::from(flow.0)][usize::from(instance)],
            Address::Batcher(FlowIndex(index)) => self.batchers[usize::from(index)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_dealt_among_the_instances_of_a_flow() {
        let mut topology = Topology::on_one_core(1, 5, 1);
        topology.flows[0] = vec![CoreIndex(0), CoreIndex(1)];
        let instances: Vec<u16> =
            topology.partition_indexes().map(|partition| topology.flow_of(FlowIndex(0), partition).instance).collect();
        assert_eq!(instances, [0, 1, 0, 1, 0]);
        let served = [0, 1].map(|instance| topology.partitions_of(FlowAddress { flow: FlowIndex(0), instance }));
        assert_eq!(served, [3, 2]);
        assert_eq!(topology.core_of(Address::Flow(FlowAddress { flow: FlowIndex(0), instance: 1 })), CoreIndex(1));
    }
}
