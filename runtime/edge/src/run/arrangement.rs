//! The plan and the site together: which source, partition, flow and batcher sits on which executor.

use contract::CoreIndex;
use placement::{ActorKind, Plan};
use wiring::Topology;

/// How many of each the site and the profile ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sources: usize,
    pub(super) flows: usize,
}

/// Deals the actors to the plan's executors.
///
/// # Errors
/// More sources or flows than an index of 16 bits can name.
pub(super) fn topology(plan: &Plan, counts: Counts) -> anyhow::Result<Topology> {
    for (what, count) in
        [("OPC UA sessions", counts.sources), ("flows", counts.flows), ("executors", plan.executors.len())]
    {
        anyhow::ensure!(u16::try_from(count).is_ok(), "{count} {what} are more than {}", u16::MAX);
    }
    let core_of = |kind, instance: usize| {
        let executor = plan.executor_of(kind, u32::try_from(instance).unwrap_or(u32::MAX));
        CoreIndex(u16::try_from(executor).expect("executors were counted"))
    };
    let shards_count = plan.profile.broker.shards_count() as usize;
    let instances_count = usize::from(plan.profile.dataflow.instances).min(shards_count).max(1);
    let flow_cores = |flow: usize| {
        (0..instances_count).map(|instance| core_of(ActorKind::Dataflow, flow * instances_count + instance)).collect()
    };
    Ok(Topology {
        cores_count: u16::try_from(plan.executors.len()).expect("executors were counted"),
        sources: (0..counts.sources).map(|index| core_of(ActorKind::OpcUaSubscription, index)).collect(),
        partitions: (0..shards_count).map(|index| core_of(ActorKind::BrokerPartition, index)).collect(),
        flows: (0..counts.flows).map(flow_cores).collect(),
        batchers: (0..counts.flows).map(|index| core_of(ActorKind::EgressBatcher, index)).collect(),
    })
}
