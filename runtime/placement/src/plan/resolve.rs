//! From a profile's cores to processors, and from kinds of actors to instances on executors.

use std::collections::BTreeMap;

use telemetry::ActorKind;

use super::fold::{fold, fold_text};
use super::memory_bound::{MemoryBound, SiteCounts};
use super::{Fold, Plan, PlannedActor, PlannedCore, PlannedExecutor, PlannedLane, warning};
use crate::machine::{Cpu, MachineFacts};
use crate::profile::{CoresLeft, LaneKind, Profile, Selector};

/// Why a profile cannot be placed on a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Copies of partitions need other nodes.
    #[error(
        "broker.backend_redundancy_factor = {factor} asks for copies on {factor} nodes, and this is one node: set it to 1"
    )]
    Redundancy {
        /// The copies asked for.
        factor: u8,
    },
    /// The profile names processors that the machine, or this process's share of it, does not have.
    #[error(transparent)]
    TooFewCores(#[from] Box<TooFewCores>),
    /// Two cores of the profile name one processor in two ways.
    #[error(
        "cores {first} and {second} of profile {profile} are both cpu {cpu} of this machine: change the place of one"
    )]
    SamePlace {
        /// The profile.
        profile: String,
        /// The first of them.
        first: String,
        /// The second.
        second: String,
        /// The processor.
        cpu: usize,
    },
    /// The facts hold no processor.
    #[error("this process may use no processor at all")]
    NoProcessor,
}

/// A profile of more processors than the process may use: what it names, what there is, and what finds no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "profile {profile} needs {needed_count} processors{left_text}, and this process may use {usable_count} \
     ({usable_text}) on {physical_count} physical cores, of {online_count} that are online. Without a processor: \
     {misfits}. Use a smaller profile, or --fold, which maps several of its cores onto one"
)]
pub struct TooFewCores {
    /// The profile.
    pub profile: String,
    /// The processors that it names, one for each of its cores.
    pub needed_count: usize,
    /// Processors that the process may use.
    pub usable_count: usize,
    /// Their numbers.
    pub usable_text: String,
    /// Processors that are online.
    pub online_count: usize,
    /// The physical cores that the usable processors are on.
    pub physical_count: usize,
    /// What the profile leaves to the system; empty where that is nothing.
    pub left_text: String,
    /// The profile's cores without a processor, with the places that they name.
    pub misfits: String,
}

pub(super) fn resolve(profile: &Profile, facts: &MachineFacts, may_fold: Fold) -> Result<Plan, PlanError> {
    let factor = profile.broker.backend_redundancy_factor;
    if factor > 1 {
        return Err(PlanError::Redundancy { factor });
    }
    if facts.cpus.is_empty() {
        return Err(PlanError::NoProcessor);
    }
    let usable = cpus_not_left(facts, &profile.cores_left);
    let selected: Vec<Option<usize>> = profile.cores.iter().map(|core| select(&usable, core.selector)).collect();
    let misfits: Vec<String> = profile
        .cores
        .iter()
        .zip(&selected)
        .filter(|(_, cpu)| cpu.is_none())
        .map(|(core, _)| format!("{} ({})", core.name, core.selector))
        .collect();
    let (cpus, folded) = if misfits.is_empty() {
        let cpus: Vec<usize> = selected.into_iter().flatten().collect();
        refuse_same_place(profile, &cpus)?;
        (cpus, None)
    } else if may_fold == Fold::Allow || profile.is_automatic {
        let cpus = fold(&profile.cores, &fold_targets(facts, &usable, &profile.cores_left));
        let text = fold_text(profile, &cpus);
        (cpus, Some(text))
    } else {
        return Err(Box::new(too_few_cores(profile, facts, misfits.join(", "))).into());
    };
    Ok(place(profile, facts, &cpus, folded))
}

/// The processors that the profile does not leave to the system, in the profile's order of counting.
fn cpus_not_left<'f>(facts: &'f MachineFacts, left: &CoresLeft) -> Vec<&'f Cpu> {
    let cpus = facts.cpus_in_order();
    let leaders: Vec<usize> = match left {
        CoresLeft::Count(count) => {
            let physical = cpus.iter().filter(|cpu| cpu.sibling == 0).map(|cpu| cpu.core_leader);
            physical.rev().take(usize::try_from(*count).unwrap_or(usize::MAX)).collect()
        }
        CoresLeft::Cpus(numbers) => {
            cpus.iter().filter(|cpu| numbers.contains(&cpu.number)).map(|cpu| cpu.core_leader).collect()
        }
    };
    cpus.into_iter().filter(|cpu| !leaders.contains(&cpu.core_leader)).collect()
}

fn select(usable: &[&Cpu], selector: Selector) -> Option<usize> {
    let found = match selector {
        Selector::Cpu(number) => usable.iter().find(|cpu| cpu.number == number),
        Selector::PhysicalCore { number, sibling } => {
            let leader = usable.iter().filter(|cpu| cpu.sibling == 0).nth(number)?.core_leader;
            usable.iter().find(|cpu| cpu.core_leader == leader && cpu.sibling == sibling)
        }
        Selector::Index { class, index } => {
            usable.iter().filter(|cpu| class.is_none_or(|class| cpu.class == class)).nth(index)
        }
    };
    found.map(|cpu| cpu.number)
}

fn too_few_cores(profile: &Profile, facts: &MachineFacts, misfits: String) -> TooFewCores {
    let left_text = match &profile.cores_left {
        CoresLeft::Count(0) => String::new(),
        CoresLeft::Count(count) => format!(" and leaves {count} physical cores to the system"),
        CoresLeft::Cpus(cpus) if cpus.is_empty() => String::new(),
        CoresLeft::Cpus(cpus) => format!(" and leaves cpu {} to the system", list_text(cpus.iter().copied())),
    };
    TooFewCores {
        profile: profile.name.clone(),
        needed_count: profile.cores.len(),
        usable_count: facts.cpus.len(),
        usable_text: list_text(facts.cpus.iter().map(|cpu| cpu.number)),
        online_count: facts.online_count,
        physical_count: facts.physical_cores_count(),
        left_text,
        misfits,
    }
}

fn refuse_same_place(profile: &Profile, cpus: &[usize]) -> Result<(), PlanError> {
    let mut taken = BTreeMap::new();
    for (core, &cpu) in profile.cores.iter().zip(cpus) {
        if let Some(first) = taken.insert(cpu, core.name.clone()) {
            let profile = profile.name.clone();
            return Err(PlanError::SamePlace { profile, first, second: core.name.clone(), cpu });
        }
    }
    Ok(())
}

/// The processors to fold onto: those not named as left to the system if any remain, no more than the quota feeds. A
/// count of cores to leave gives way, for there are too few.
fn fold_targets(facts: &MachineFacts, usable: &[&Cpu], left: &CoresLeft) -> Vec<usize> {
    let cpus = match left {
        CoresLeft::Cpus(_) if !usable.is_empty() => usable.to_vec(),
        CoresLeft::Cpus(_) | CoresLeft::Count(_) => facts.cpus_in_order(),
    };
    let fed =
        facts.quota_millicores.map_or(usize::MAX, |quota| usize::try_from(quota.div_ceil(1_000)).unwrap_or(usize::MAX));
    cpus.into_iter().take(fed.max(1)).map(|cpu| cpu.number).collect()
}

/// Deals instances among the cores, now that each of them has a processor.
fn place(profile: &Profile, facts: &MachineFacts, cpus: &[usize], folded: Option<String>) -> Plan {
    let cores: Vec<PlannedCore> =
        profile.cores.iter().zip(cpus).map(|(core, &cpu)| PlannedCore { name: core.name.clone(), cpu }).collect();
    let cpus_of_kind = ActorKind::ALL.map(|kind| places_of(profile, kind, cpus));
    let mut executors: Vec<PlannedExecutor> = Vec::new();
    for core in &cores {
        if !cpus_of_kind.iter().flatten().any(|cpu| *cpu == core.cpu) {
            continue;
        }
        match executors.iter_mut().find(|executor| executor.cpu == core.cpu) {
            Some(executor) => executor.cores.push(core.name.clone()),
            None => executors.push(PlannedExecutor {
                name: core.name.clone(),
                cpu: core.cpu,
                cores: vec![core.name.clone()],
                actors: Vec::new(),
                ring_depth: profile.executor.ring_depth,
            }),
        }
    }
    let executor_on =
        |cpu: &usize| executors.iter().position(|executor| executor.cpu == *cpu).expect("every place has an executor");
    let places = cpus_of_kind.map(|cpus| cpus.iter().map(executor_on).collect::<Vec<usize>>());
    for (kind, places) in ActorKind::ALL.into_iter().zip(&places) {
        let count = counted_instances(profile, kind).unwrap_or(u32::try_from(places.len()).unwrap_or(u32::MAX));
        for (instance, &executor) in (0..count).zip(places.iter().cycle()) {
            executors[executor].actors.push(PlannedActor { kind, instance });
        }
    }
    for executor in &mut executors {
        if executor.actors.iter().any(|actor| actor.kind == ActorKind::MqttConnection) {
            executor.ring_depth = profile.executor.listener_ring_depth;
        }
    }
    let lanes = place_lanes(profile, cpus);
    let compression_cpu = match &profile.log.compression_core {
        Some(name) => cores.iter().find(|core| core.name == *name).map(|core| core.cpu),
        None => lanes.iter().find(|lane| lane.kind == LaneKind::Blocking).map(|lane| lane.cpu),
    };
    let used = |number: usize| executors.iter().any(|e| e.cpu == number) || lanes.iter().any(|lane| lane.cpu == number);
    let mut plan = Plan {
        free_cpus: facts.cpus.iter().map(|cpu| cpu.number).filter(|number| !used(*number)).collect(),
        compression_cpu: compression_cpu.expect("a profile's compression core and blocking lane exist"),
        memory: MemoryBound::new(profile, &executors, SiteCounts { servers: 1, destinations: 1 }),
        profile: profile.clone(),
        facts: facts.clone(),
        executors,
        lanes,
        cores,
        folded,
        warnings: Vec::new(),
        places,
    };
    plan.warnings = warning::warnings(&plan);
    plan
}

/// The processors of the cores that list `kind`, in the profile's order; no more than there are instances.
fn places_of(profile: &Profile, kind: ActorKind, cpus: &[usize]) -> Vec<usize> {
    let count =
        counted_instances(profile, kind).map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let listing = profile.cores.iter().zip(cpus).filter(|(core, _)| core.actors.contains(&kind));
    listing.map(|(_, &cpu)| cpu).take(count).collect()
}

/// How many instances the profile asks for; `None` where the site says it.
pub(super) fn counted_instances(profile: &Profile, kind: ActorKind) -> Option<u32> {
    match kind {
        ActorKind::MqttConnection => Some(profile.broker.frontends_count()),
        ActorKind::BrokerPartition => Some(profile.broker.shards_count()),
        ActorKind::OpcUaSubscription | ActorKind::Dataflow | ActorKind::EgressBatcher => None,
    }
}

fn place_lanes(profile: &Profile, cpus: &[usize]) -> Vec<PlannedLane> {
    let mut lanes = Vec::new();
    for kind in LaneKind::ALL {
        let listing = profile.cores.iter().zip(cpus).filter(|(core, _)| core.lanes.contains(&kind));
        lanes.extend((0..).zip(listing).map(|(instance, (_, &cpu))| PlannedLane { kind, instance, cpu }));
    }
    lanes
}

/// Numbers as people write them: `0-3, 8`.
pub(super) fn list_text(numbers: impl IntoIterator<Item = usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            Some(_) | None => ranges.push((number, number)),
        }
    }
    let texts: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    texts.join(", ")
}
