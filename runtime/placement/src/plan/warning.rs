//! What a person should know about a plan that works all the same.

use std::fmt;

use telemetry::ActorKind;

use super::Plan;
use super::resolve::{counted_instances, list_text};
use crate::profile::ExecutorProfile;

/// Something about a plan that may surprise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Replicas of the frontend on one node are workers.
    FrontendReplicas {
        /// The key's value.
        replicas: u16,
        /// mqtt-connection actors that result.
        workers_count: u32,
    },
    /// Cores list a kind of which there are fewer instances.
    UnusedPlaces {
        /// The kind.
        kind: ActorKind,
        /// Its instances.
        instances_count: u32,
        /// The cores without one.
        cores: Vec<String>,
    },
    /// Two processors of the plan are siblings, and share the units of one physical core.
    SharedPhysicalCore {
        /// The processors.
        cpus: Vec<usize>,
    },
    /// The kernel does not tell which processors are siblings.
    NoTopology,
    /// The quota feeds fewer processors than the plan uses.
    Quota {
        /// CPU time in thousandths of a core.
        quota_millicores: u64,
        /// Processors that the plan uses.
        cpus_count: usize,
    },
    /// No processor is left to the system and to interrupts.
    NothingLeft,
    /// Locked memory does not suffice for the rings.
    Memlock {
        /// The limit in bytes.
        limit_bytes: u64,
        /// What is needed, in bytes.
        needed_bytes: u64,
        /// The executors.
        executors_count: usize,
    },
    /// The switch `kernel.io_uring_disabled` is on.
    IoUringDisabled {
        /// Its value, 1 or 2.
        value: u8,
    },
    /// Fewer open files than connections.
    OpenFiles {
        /// The limit.
        limit: u64,
        /// What the profile's limits need.
        needed: u64,
    },
    /// The limits add up to more than the ceiling.
    AboveCeiling {
        /// The sum in bytes.
        total_bytes: u64,
        /// The ceiling in bytes.
        ceiling_bytes: u64,
    },
    /// The ceiling is above what the machine or the control group has.
    CeilingAboveMemory {
        /// The ceiling in bytes.
        ceiling_bytes: u64,
        /// The memory in bytes.
        memory_bytes: u64,
    },
}

/// glommio refuses less, whatever the privileges.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;
/// Locked memory of an executor's three rings by entry of their depth, measured.
const RING_BYTES_PER_ENTRY: u64 = 320;
/// Files that are no client's: listeners, log segments, rings, the control socket.
const OWN_FILES: u64 = 256;

/// Locked memory of one executor in bytes: three registrations of its buffers, and three rings.
pub(super) fn locked_bytes(executor: &ExecutorProfile, ring_depth: u32) -> u64 {
    3 * executor.io_memory_bytes + RING_BYTES_PER_ENTRY * u64::from(ring_depth)
}

pub(super) fn warnings(plan: &Plan) -> Vec<Warning> {
    let mut warnings = Vec::new();
    counts(plan, &mut warnings);
    processors(plan, &mut warnings);
    limits(plan, &mut warnings);
    warnings
}

fn counts(plan: &Plan, warnings: &mut Vec<Warning>) {
    let broker = &plan.profile.broker;
    if broker.frontend_replicas > 1 {
        let (replicas, workers_count) = (broker.frontend_replicas, broker.frontends_count());
        warnings.push(Warning::FrontendReplicas { replicas, workers_count });
    }
    for kind in ActorKind::ALL {
        let Some(instances_count) = counted_instances(&plan.profile, kind) else { continue };
        let listing = plan.profile.cores.iter().filter(|core| core.actors.contains(&kind));
        let skipped = usize::try_from(instances_count).unwrap_or(usize::MAX);
        let cores: Vec<String> = listing.skip(skipped).map(|core| core.name.clone()).collect();
        if !cores.is_empty() {
            warnings.push(Warning::UnusedPlaces { kind, instances_count, cores });
        }
    }
}

fn processors(plan: &Plan, warnings: &mut Vec<Warning>) {
    let facts = &plan.facts;
    let used: Vec<_> = facts.cpus.iter().filter(|cpu| !plan.free_cpus.contains(&cpu.number)).collect();
    for leader in used.iter().map(|cpu| cpu.core_leader).collect::<std::collections::BTreeSet<_>>() {
        let cpus: Vec<usize> = used.iter().filter(|cpu| cpu.core_leader == leader).map(|cpu| cpu.number).collect();
        if cpus.len() > 1 {
            warnings.push(Warning::SharedPhysicalCore { cpus });
        }
    }
    if !facts.has_topology {
        warnings.push(Warning::NoTopology);
    }
    if let Some(quota_millicores) = facts.quota_millicores
        && quota_millicores < used.len() as u64 * 1_000
    {
        warnings.push(Warning::Quota { quota_millicores, cpus_count: used.len() });
    }
    if plan.free_cpus.is_empty() {
        warnings.push(Warning::NothingLeft);
    }
}

fn limits(plan: &Plan, warnings: &mut Vec<Warning>) {
    let (facts, profile) = (&plan.facts, &plan.profile);
    if let Some(value) = facts.io_uring_disabled.filter(|value| *value > 0) {
        warnings.push(Warning::IoUringDisabled { value });
    }
    if let Some(limit_bytes) = facts.memlock_bytes {
        let rings: u64 = plan.executors.iter().map(|each| locked_bytes(&profile.executor, each.ring_depth)).sum();
        let needed_bytes = if facts.has_ipc_lock { MEMLOCK_BYTES_MIN } else { rings.max(MEMLOCK_BYTES_MIN) };
        if limit_bytes < needed_bytes {
            warnings.push(Warning::Memlock { limit_bytes, needed_bytes, executors_count: plan.executors.len() });
        }
    }
    let needed = u64::from(profile.broker.connections_count_max) + OWN_FILES;
    if let Some(limit) = facts.open_files_max.filter(|limit| *limit < needed) {
        warnings.push(Warning::OpenFiles { limit, needed });
    }
    let (total_bytes, ceiling_bytes) = (plan.memory.total_bytes(), plan.memory.ceiling_bytes);
    if !plan.memory.fits() {
        warnings.push(Warning::AboveCeiling { total_bytes, ceiling_bytes });
    }
    let machine_bytes = Some(facts.memory_bytes).filter(|bytes| *bytes > 0);
    let memory_bytes = [machine_bytes, facts.memory_limit_bytes].into_iter().flatten().min();
    if let Some(memory_bytes) = memory_bytes.filter(|bytes| *bytes < ceiling_bytes) {
        warnings.push(Warning::CeilingAboveMemory { ceiling_bytes, memory_bytes });
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrontendReplicas { replicas, workers_count } => write!(
                formatter,
                "broker.frontend_replicas = {replicas} on one node: folded into {workers_count} mqtt-connection actors"
            ),
            Self::UnusedPlaces { kind, instances_count, cores } => write!(
                formatter,
                "there are {instances_count} {} actors, so cores {} get none: raise their count, or take it off those cores",
                kind.name(),
                cores.join(", ")
            ),
            Self::SharedPhysicalCore { cpus } => write!(
                formatter,
                "cpus {} are siblings of one physical core: while both are busy neither has a whole core",
                list_text(cpus.iter().copied())
            ),
            Self::NoTopology => formatter
                .write_str("the kernel does not tell which processors are siblings: each is taken for a physical core"),
            Self::Quota { quota_millicores, cpus_count } => write!(
                formatter,
                "the control group's quota is {quota_millicores} millicores for {cpus_count} processors: all of them stop when \
                 it is used up; raise the quota, or use fewer cores"
            ),
            Self::NothingLeft => formatter
                .write_str("every processor is in use: interrupts and the rest of the system share them with actors"),
            Self::Memlock { limit_bytes, needed_bytes, executors_count } => write!(
                formatter,
                "locked memory is limited to {limit_bytes} bytes, and {executors_count} executors need {needed_bytes}: set \
                 LimitMEMLOCK=infinity in the systemd unit, or raise memlock (`ulimit -l`), or use fewer cores"
            ),
            Self::IoUringDisabled { value } => write!(
                formatter,
                "kernel.io_uring_disabled = {value}: no executor will start; as root, `sysctl -w kernel.io_uring_disabled=0`"
            ),
            Self::OpenFiles { limit, needed } => write!(
                formatter,
                "{limit} open files are allowed, and broker.connections_count_max needs {needed}: raise `ulimit -n`, or lower \
                 the key"
            ),
            Self::AboveCeiling { total_bytes, ceiling_bytes } => write!(
                formatter,
                "all limits together are {} MiB, above memory.ceiling_mib = {}: lower the largest, or raise the ceiling",
                total_bytes >> 20,
                ceiling_bytes >> 20
            ),
            Self::CeilingAboveMemory { ceiling_bytes, memory_bytes } => write!(
                formatter,
                "memory.ceiling_mib = {} is above the {} MiB that there are",
                ceiling_bytes >> 20,
                memory_bytes >> 20
            ),
        }
    }
}
