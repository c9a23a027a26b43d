//! Maps the cores of a profile onto fewer processors, the same way each time.

use telemetry::ActorKind;

use super::resolve::list_text;
use crate::profile::{LaneKind, Profile, ProfileCore};

/// Deals the cores, in their order, each to the target with the least load so far, the first of equals.
///
/// # Panics
/// When there is no target.
pub(super) fn fold(cores: &[ProfileCore], targets: &[usize]) -> Vec<usize> {
    let mut loads = vec![0_u32; targets.len()];
    let mut deal = |core: &ProfileCore| {
        let least = (0..targets.len()).min_by_key(|index| loads[*index]).expect("there is a processor to fold onto");
        loads[least] += load(core);
        targets[least]
    };
    cores.iter().map(&mut deal).collect()
}

/// How the fold is told in every report: the count first.
pub(super) fn fold_text(profile: &Profile, cpus: &[usize]) -> String {
    let mut used = cpus.to_vec();
    used.sort_unstable();
    used.dedup();
    let of_cpu = |cpu: &usize| {
        let cores = profile.cores.iter().zip(cpus).filter(|(_, each)| *each == cpu).map(|(core, _)| core.name.as_str());
        format!("cpu {cpu} = {}", cores.collect::<Vec<_>>().join(" + "))
    };
    let mapping: Vec<String> = used.iter().map(of_cpu).collect();
    let cores_word = if used.len() == 1 { "core" } else { "cores" };
    format!("folded onto {} {cores_word} ({}): {}", used.len(), list_text(used), mapping.join("; "))
}

/// The share of a core's work that a profile's core stands for: only the ratios count. They follow where the time of
/// the published single-node case goes: reading, matching and writing to sockets before handing over.
fn load(core: &ProfileCore) -> u32 {
    let actors: u32 = core.actors.iter().map(|kind| actor_load(*kind)).sum();
    let lanes: u32 = core.lanes.iter().map(|kind| lane_load(*kind)).sum();
    actors + lanes
}

const fn actor_load(kind: ActorKind) -> u32 {
    match kind {
        ActorKind::OpcUaSubscription | ActorKind::MqttConnection | ActorKind::BrokerPartition => 4,
        ActorKind::Dataflow | ActorKind::EgressBatcher => 2,
    }
}

const fn lane_load(kind: LaneKind) -> u32 {
    match kind {
        LaneKind::Egress => 4,
        LaneKind::Control | LaneKind::Blocking => 1,
    }
}
