//! The texts that the table and the drawing share.

use telemetry::ActorKind;

use super::resolve::{counted_instances, list_text};
use super::{Plan, PlannedExecutor};
use crate::machine::MachineFacts;
use crate::profile::{Commit, CoreClass, LaneKind, LogEngine};
use crate::reader::group_digits;

/// Numbers of instances that are listed one by one; more are abbreviated.
const LISTED_COUNT_MAX: usize = 4;

/// What one processor of the machine has to do.
pub(super) struct CpuLines {
    pub(super) number: usize,
    pub(super) core_leader: usize,
    pub(super) class: CoreClass,
    /// The profile's cores that sit there, joined; empty where it is free.
    pub(super) cores: String,
    pub(super) items: Vec<Item>,
}

/// What sits on a processor.
pub(super) struct Item {
    pub(super) what: What,
    pub(super) text: String,
}

/// An actor or a lane.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Actor(ActorKind),
    Lane(LaneKind),
}

/// Every processor that the process may use, in the order in which profiles count them.
pub(super) fn cpus(plan: &Plan) -> Vec<CpuLines> {
    let lines = plan.facts.cpus_in_order().into_iter().map(|cpu| {
        let executor = plan.executors.iter().find(|executor| executor.cpu == cpu.number);
        let mut items = executor.map(|executor| actors(plan, executor)).unwrap_or_default();
        for lane in plan.lanes.iter().filter(|lane| lane.cpu == cpu.number) {
            items.push(Item { what: What::Lane(lane.kind), text: lane.name() });
        }
        let cores = plan.cores.iter().filter(|core| core.cpu == cpu.number).map(|core| core.name.as_str());
        CpuLines {
            number: cpu.number,
            core_leader: cpu.core_leader,
            class: cpu.class,
            cores: cores.collect::<Vec<_>>().join(" + "),
            items,
        }
    });
    lines.collect()
}

fn actors(plan: &Plan, executor: &PlannedExecutor) -> Vec<Item> {
    let mut items = Vec::new();
    for kind in ActorKind::ALL {
        let instances: Vec<u32> =
            executor.actors.iter().filter(|actor| actor.kind == kind).map(|actor| actor.instance).collect();
        if instances.is_empty() {
            continue;
        }
        let of = match counted_instances(&plan.profile, kind) {
            Some(_) => numbers(&instances),
            None => shares(&instances, plan.places_count(kind)),
        };
        items.push(Item { what: What::Actor(kind), text: format!("{} {of}", kind.name()) });
    }
    items
}

fn numbers(instances: &[u32]) -> String {
    let listed = instances.iter().take(LISTED_COUNT_MAX).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match instances {
        [.., last] if instances.len() > LISTED_COUNT_MAX => format!("{listed} .. {last} ({} actors)", instances.len()),
        _ => listed,
    }
}

/// Which of the site's sessions, flows or destinations are dealt to these places.
fn shares(places: &[u32], places_count: usize) -> String {
    if places.len() == places_count {
        return "(all)".to_owned();
    }
    format!("{} of each {places_count}", numbers(places))
}

/// The machine in one line.
pub(super) fn machine(facts: &MachineFacts) -> String {
    let mut parts = Vec::new();
    if !facts.model.is_empty() {
        parts.push(facts.model.clone());
    }
    let efficiency_count = facts.class_count(CoreClass::Efficiency);
    let classes = match efficiency_count {
        0 => String::new(),
        _ => format!(" ({} performance, {efficiency_count} efficiency)", facts.class_count(CoreClass::Performance)),
    };
    parts.push(format!(
        "{} of {} processors usable ({}) on {} physical cores{classes}",
        facts.cpus.len(),
        facts.online_count,
        list_text(facts.cpus.iter().map(|cpu| cpu.number)),
        facts.physical_cores_count(),
    ));
    if let Some(quota) = facts.quota_millicores {
        parts.push(format!("quota {quota} millicores"));
    }
    parts.push(format!("{} MiB of memory", facts.memory_bytes >> 20));
    if let Some(bytes) = facts.memory_limit_bytes {
        parts.push(format!("limited to {} MiB", bytes >> 20));
    }
    if !facts.kernel.is_empty() {
        parts.push(format!("Linux {}", facts.kernel));
    }
    parts.join(", ")
}

/// The seed parameters and the limits that an operator asks for first, name and value.
pub(super) fn limits(plan: &Plan) -> Vec<(&'static str, String)> {
    let profile = &plan.profile;
    let (broker, opcua, egress) = (&profile.broker, &profile.opcua, &profile.egress);
    let engine = match profile.log.engine {
        LogEngine::Memory => "in memory".to_owned(),
        LogEngine::Disk => {
            format!("in {}, up to {} MiB", profile.log.directory.display(), profile.log.quota_bytes >> 20)
        }
    };
    let commit = match profile.log.effective_commit() {
        Commit::Group(time) => format!("acknowledged after a group's sync, {} ms", time.as_millis()),
        Commit::Interval(time) => format!("acknowledged after the write, synced every {} ms", time.as_millis()),
        Commit::None => "acknowledged when accepted".to_owned(),
    };
    let rate = egress.throughput_units_max.map_or_else(|| "no cap".to_owned(), |units| format!("{units} units"));
    vec![
        ("frontend", format!("replicas {}, workers {}", broker.frontend_replicas, broker.frontend_workers)),
        (
            "backend",
            format!(
                "partitions {}, workers {}, redundancy factor {}",
                broker.backend_partitions, broker.backend_workers, broker.backend_redundancy_factor
            ),
        ),
        (
            "memory profile",
            format!(
                "{}: {} MiB a shard, messages up to {} MiB, spills at {} %",
                broker.memory_profile.name(),
                broker.memory_profile.shard_bytes_max() >> 20,
                broker.memory_profile.message_bytes_max() >> 20,
                broker.spill_threshold_percent
            ),
        ),
        (
            "clients",
            format!(
                "{} connections, {} sessions",
                group_digits(broker.connections_count_max.into()),
                group_digits(broker.sessions_count_max.into())
            ),
        ),
        (
            "OPC UA",
            format!(
                "{} sessions a server, {} items a Subscription, outages of {} s",
                opcua.sessions_per_server,
                group_digits(opcua.items_per_subscription.into()),
                opcua.outage_budget.as_secs()
            ),
        ),
        ("log", format!("{engine}; {commit}")),
        (
            "egress",
            format!(
                "{} bytes, {} events, {} ms a batch, {} in flight, {rate}",
                group_digits(egress.batch_bytes_max.into()),
                group_digits(egress.events_per_batch_max.into()),
                egress.linger.as_millis(),
                egress.batches_in_flight_max
            ),
        ),
    ]
}

/// Bytes in the unit that leaves few digits, rounded up.
pub(super) fn bytes_text(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

/// Breaks a text at spaces into lines of at most `width` characters; a longer word has a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_only() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-word-that-is-long b", 5), ["a-word-that-is-long", "b"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn many_instances_are_abbreviated() {
        assert_eq!(numbers(&[0, 2]), "0, 2");
        assert_eq!(numbers(&[0, 2, 4, 6, 8, 10]), "0, 2, 4, 6 .. 10 (6 actors)");
        assert_eq!(shares(&[0], 1), "(all)");
        assert_eq!(shares(&[1], 2), "1 of each 2");
        assert_eq!(shares(&[0, 2], 4), "0, 2 of each 4");
    }

    #[test]
    fn bytes_are_rounded_up() {
        assert_eq!(bytes_text(1), "1 KiB");
        assert_eq!(bytes_text((64 << 20) + 1), "65 MiB");
    }
}
