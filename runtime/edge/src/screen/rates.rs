//! What happened between two snapshots, per second.

use std::collections::BTreeMap;

use contract::Hop;
use telemetry::NodeSnapshot;

/// Rates of one core.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CoreRates {
    /// Its name in the plan.
    pub name: String,
    /// The kernel's cpu.
    pub cpu: u32,
    /// CPU of its thread, in thousandths of a core.
    pub millicores: f64,
    /// How often its loop waited.
    pub parks_per_s: f64,
    /// By kind of actor: messages a second, thousandths of a core.
    pub kinds: BTreeMap<String, (f64, f64)>,
}

/// Rates of the whole process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rates {
    /// Seconds between the two snapshots.
    pub seconds: f64,
    /// CPU of all threads, in thousandths of a core.
    pub millicores: f64,
    /// Data points that arrived from OPC UA.
    pub points_received_per_s: f64,
    /// Messages that partitions accepted.
    pub accepted_per_s: f64,
    /// Events that Event Hubs settled.
    pub events_settled_per_s: f64,
    /// Data points that Event Hubs settled.
    pub points_settled_per_s: f64,
    /// By core.
    pub cores: Vec<CoreRates>,
    /// By lane: name and thousandths of a core.
    pub lanes: Vec<(String, f64)>,
}

/// What the whole process has carried since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Data points that arrived from OPC UA.
    pub points_received: u64,
    /// Messages that partitions accepted.
    pub publications_accepted: u64,
    /// Events that Event Hubs settled.
    pub events_settled: u64,
    /// Data points that Event Hubs settled.
    pub points_settled: u64,
}

impl Totals {
    /// Adds up the counters of `snapshot`.
    pub(crate) fn of(snapshot: &NodeSnapshot) -> Self {
        // This hop is counted in data points, once for each that its destination settled.
        let settled = snapshot.cores.iter().filter_map(|core| core.hops.get(Hop::ReceivedToSettled.name()));
        Self {
            points_received: snapshot.counter("opcua-subscription", "values_received"),
            publications_accepted: snapshot.counter("broker-partition", "publications_accepted"),
            events_settled: snapshot.counter("egress-batcher", "delivered"),
            points_settled: settled.flatten().map(|(_, count)| count).sum(),
        }
    }
}

impl Rates {
    /// Compares two snapshots of one process; `None` when they are of the same moment.
    pub(crate) fn between(earlier: &NodeSnapshot, later: &NodeSnapshot) -> Option<Self> {
        let elapsed_ms = later.uptime_ms.checked_sub(earlier.uptime_ms).filter(|elapsed| *elapsed > 0)?;
        let seconds = as_f64(elapsed_ms) / 1_000.0;
        let millicores = |before: u64, after: u64| as_f64(after.saturating_sub(before)) / 1_000.0 / seconds;
        let (before, after) = (Totals::of(earlier), Totals::of(later));
        let rate = |before: u64, after: u64| as_f64(after.saturating_sub(before)) / seconds;
        let cores = earlier.cores.iter().zip(&later.cores).map(|(before, after)| CoreRates {
            name: after.name.clone(),
            cpu: after.cpu,
            millicores: millicores(before.executor.thread_cpu_us, after.executor.thread_cpu_us),
            parks_per_s: as_f64(after.executor.parks.saturating_sub(before.executor.parks)) / seconds,
            kinds: after
                .uses
                .iter()
                .map(|(kind, used)| {
                    let was = before.uses.get(kind).cloned().unwrap_or_default();
                    let messages = as_f64(used.messages.saturating_sub(was.messages)) / seconds;
                    (kind.clone(), (messages, millicores(was.busy_us, used.busy_us)))
                })
                .collect(),
        });
        let lanes = earlier.lanes.iter().zip(&later.lanes);
        Some(Self {
            seconds,
            millicores: millicores(earlier.process.cpu_us, later.process.cpu_us),
            points_received_per_s: rate(before.points_received, after.points_received),
            accepted_per_s: rate(before.publications_accepted, after.publications_accepted),
            events_settled_per_s: rate(before.events_settled, after.events_settled),
            points_settled_per_s: rate(before.points_settled, after.points_settled),
            cores: cores.collect(),
            lanes: lanes
                .map(|(before, after)| (after.name.clone(), millicores(before.thread_cpu_us, after.thread_cpu_us)))
                .collect(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are shown to three digits")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
pub(super) mod tests {
    use telemetry::{ActorSnapshot, CoreSnapshot, ExecutorSnapshot, ProcessSnapshot, RecentMessage};

    use super::*;

    /// A process at its start.
    pub(in crate::screen) fn start() -> NodeSnapshot {
        let actor = ActorSnapshot {
            kind: "opcua-subscription".into(),
            index: 0,
            label: "line-1".into(),
            counters: BTreeMap::from([("values_received".into(), 0)]),
            ledgers: Vec::new(),
        };
        let core = CoreSnapshot {
            core: 0,
            cpu: 0,
            name: "core-a".into(),
            executor: ExecutorSnapshot::default(),
            stalls: Vec::new(),
            uses: BTreeMap::new(),
            actors: vec![actor],
            hops: BTreeMap::new(),
            recent: vec![RecentMessage {
                topic_name: "plant/data/asset000".into(),
                text: "{}".into(),
                payload_bytes: 2,
            }],
        };
        NodeSnapshot {
            version: "0".into(),
            taken_unix_ms: 0,
            uptime_ms: 0,
            profile: "vm-4vcpu".into(),
            folded: None,
            durability: "memory".into(),
            process: ProcessSnapshot::default(),
            cores: vec![core],
            lanes: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// The same process two seconds later.
    pub(in crate::screen) fn later() -> NodeSnapshot {
        let mut later = start();
        later.uptime_ms = 2_000;
        later.process.cpu_us = 50_000;
        later.cores[0].executor.thread_cpu_us = 20_000;
        later.cores[0].executor.parks = 60;
        later.cores[0].hops.insert(Hop::ReceivedToSettled.name().to_owned(), vec![(1_000, 8_000), (2_000, 2_000)]);
        later.cores[0].actors[0].counters.insert("values_received".into(), 25_000);
        later
    }

    #[test]
    fn rates_are_differences_per_second() {
        let rates = Rates::between(&start(), &later()).unwrap();
        assert!((rates.points_received_per_s - 12_500.0).abs() < 0.001);
        assert!((rates.points_settled_per_s - 5_000.0).abs() < 0.001);
        assert!((rates.millicores - 25.0).abs() < 0.001);
        assert!((rates.cores[0].millicores - 10.0).abs() < 0.001);
        assert!((rates.cores[0].parks_per_s - 30.0).abs() < 0.001);
    }

    #[test]
    fn one_moment_has_no_rates() {
        assert_eq!(Rates::between(&later(), &later()), None);
    }
}
