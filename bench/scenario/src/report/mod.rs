//! The report of a run: JSON for programs, a table and a page for people.

pub mod page;
pub mod plot;
pub(crate) mod published;
mod repeat;
pub mod table;

pub use crate::reader::{Points, Quantiles};
pub use published::Published;
pub use repeat::median;
pub(crate) use repeat::median_report;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::harness::calibration::{Calibration, DRIFT_PERCENT_MAX};
use crate::harness::kernel::Machine;
use crate::harness::profile::seed_parameters;
use crate::harness::run::{RunOutcome, RunSettings};

/// The report. Its fields are the keys of the JSON, all present in every case; `bench/README.md` explains them.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Short name of what was run.
    pub case: String,
    /// Length of the measured window, in seconds.
    pub seconds: u64,
    /// What was built.
    pub commit: String,
    /// Of everything that was drawn.
    pub seed: u64,
    /// The hardware profile.
    pub profile: String,
    /// How it was mapped onto fewer cores; `None`: it was not.
    pub folded: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// The account of what had to arrive.
    pub points: Points,
    /// Of what had to arrive.
    pub delivered_percent: f64,
    /// Messages a second.
    pub messages_per_s: f64,
    /// Data points a second.
    pub points_per_s: f64,
    /// User and system time of the pipeline.
    pub cpu_millicores: f64,
    /// Largest proportional set size of the pipeline, in MiB.
    pub memory_mib: f64,
    /// Peak of its cgroup in MiB; `None` where it has none of its own.
    pub cgroup_memory_mib: Option<f64>,
    /// Busy time of the machine less all simulators.
    pub machine_cpu_millicores: f64,
    /// What an acknowledgement waited for.
    pub durability: String,
    /// Millicores by process.
    pub cpu_by_process: BTreeMap<String, f64>,
    /// Millicores by kind of actor.
    pub cpu_by_actor: BTreeMap<String, f64>,
    /// The seed parameters.
    pub broker: Value,
    /// The machine's speed.
    pub calibration: CalibrationReport,
    /// Each flow of data.
    pub flows: Vec<FlowReport>,
    /// Latency in milliseconds.
    pub latency_ms: Quantiles,
    /// What of it lies beyond the publishing interval.
    pub latency_beyond_interval_ms: Quantiles,
    /// Published figures of the same workload.
    pub published: Published,
}

/// How fast the machine was, and how often the pipeline was woken on it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// Microseconds from waking a thread to its running.
    pub wake_us: f64,
    /// Memory copied, in GiB/s.
    pub copy_gib_s: f64,
    /// The larger change of both from before the run to after it.
    pub drift_percent: f64,
    /// Wake-ups of each core's executor; empty where the pipeline does not say.
    pub wake_ups_per_s: BTreeMap<String, f64>,
}

/// One flow of data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlowReport {
    /// Its name.
    pub name: String,
    /// Values that must arrive.
    pub values_per_s: f64,
    /// Changes at the source.
    pub changes_per_s: f64,
    /// Updates that the newest value of their interval replaced, by design.
    pub superseded_per_s: f64,
    /// Points that came again in an event of the same id.
    pub redelivered: u64,
    /// Bytes of a point in its message.
    pub bytes_per_point: Option<f64>,
    /// The same under zstd level 19.
    pub bytes_per_point_zstd19: Option<f64>,
}

/// Names of everything that the harness ran besides the pipeline.
const SIMULATORS: [&str; 4] = ["bench-plc", "bench-eventhubs", "reader", "bench-scenario"];

/// What a report is made of beside the run itself.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The commit that was built.
    pub(crate) commit: String,
    /// Where the shipped hardware profiles lie.
    pub(crate) profiles: std::path::PathBuf,
}

impl Report {
    /// Makes the report of one run.
    pub(crate) fn new(settings: &RunSettings, surroundings: &Surroundings, outcome: &RunOutcome) -> Self {
        let RunOutcome { measured, result, between, snapshot, before, after, .. } = outcome;
        let scenario = &settings.scenario;
        let text = |key: &str| snapshot[key].as_str().map(str::to_owned);
        let profile = text("profile").unwrap_or_else(|| settings.profile.clone());
        let points = result.judgement.points;
        let per_s = |count: u64| rounded(as_f64(count) / seconds_of(settings));
        let simulators: f64 = SIMULATORS.iter().filter_map(|name| measured.cpu_by_process.get(*name)).sum();
        Self {
            case: scenario.case.clone(),
            seconds: settings.seconds,
            commit: surroundings.commit.clone(),
            seed: scenario.plant.seed,
            folded: text("folded"),
            broker: seed_parameters(&profile, &surroundings.profiles, &settings.set),
            profile,
            machine: Machine::read(),
            points,
            delivered_percent: points.delivered_percent(),
            messages_per_s: per_s(result.totals.window_events),
            points_per_s: per_s(points.delivered),
            cpu_millicores: rounded(measured.cpu_by_process.get("millicore").copied().unwrap_or(0.0)),
            memory_mib: rounded(measured.memory_mib),
            cgroup_memory_mib: outcome.cgroup_mib.map(rounded),
            machine_cpu_millicores: rounded((measured.machine_busy_millicores - simulators).max(0.0)),
            durability: text("durability").unwrap_or_else(|| "unknown: the pipeline gave no snapshot".to_owned()),
            cpu_by_process: all_rounded(&measured.cpu_by_process),
            cpu_by_actor: all_rounded(&between.cpu_by_actor),
            calibration: CalibrationReport::new(*before, *after, &between.wake_ups_per_s),
            flows: vec![FlowReport {
                name: "to-event-hubs".to_owned(),
                values_per_s: rounded(scenario.points_per_s()),
                changes_per_s: rounded(scenario.plant.changes_per_s()),
                superseded_per_s: per_s(result.judgement.superseded),
                redelivered: result.judgement.oddities.redelivered,
                bytes_per_point: result.bytes_per_point.map(rounded),
                bytes_per_point_zstd19: result.bytes_per_point_zstd19.map(rounded),
            }],
            latency_ms: result.latency_ms,
            latency_beyond_interval_ms: result.latency_ms.beyond(scenario.site.publishing_interval_ms.into()),
            published: Published::of(scenario.published),
        }
    }
}

impl CalibrationReport {
    /// Of two measurements and the wake-ups between them.
    pub fn new(before: Calibration, after: Calibration, wake_ups_per_s: &BTreeMap<String, f64>) -> Self {
        Self {
            wake_us: rounded(before.wake_us),
            copy_gib_s: rounded(before.copy_gib_s),
            drift_percent: rounded(before.drift_percent(after)),
            wake_ups_per_s: all_rounded(wake_ups_per_s),
        }
    }

    /// Whether the machine changed so much that the run is marked.
    pub fn is_adrift(&self) -> bool {
        self.drift_percent > DRIFT_PERCENT_MAX
    }
}

fn all_rounded(values: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    values.iter().map(|(name, value)| (name.clone(), rounded(*value))).collect()
}

/// Three decimals: a report is read by people as well.
pub fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn seconds_of(settings: &RunSettings) -> f64 {
    as_f64(settings.seconds)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::harness::snapshot::Between;
    use crate::harness::window::{Measured, Second};
    use crate::reader::{CurvePoint, Judgement, ReaderResult, Totals, Window};
    use crate::scenario::Scenario;

    /// A run of case 1b that lost nothing.
    pub(crate) fn run() -> (RunSettings, Surroundings, RunOutcome) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let (scenario, scenario_file) = Scenario::load("1b", &folder.join("../scenarios")).unwrap();
        let settings = RunSettings {
            scenario,
            scenario_file,
            seconds: 10,
            profile: "auto".to_owned(),
            set: Vec::new(),
            programs: "programs".into(),
        };
        let surroundings =
            Surroundings { commit: "0123abc".to_owned(), profiles: folder.join("../../hardware-profiles") };
        let cpu = [
            ("millicore", 40.0),
            ("bench-plc", 50.0),
            ("bench-eventhubs", 5.0),
            ("reader", 6.0),
            ("bench-scenario", 1.0),
        ];
        let second = |at_s| Second { at_s, cpu_millicores: 40.0, memory_mib: 30.0, points_per_s: 12_500.0 };
        let measured = Measured {
            window: Window { start_100ns: 0, end_100ns: 100_000_000 },
            seconds: 10.0,
            cpu_by_process: cpu.map(|(name, cpu)| (name.to_owned(), cpu)).into(),
            machine_busy_millicores: 120.0,
            memory_mib: 31.5,
            series: vec![
                Second { points_per_s: f64::NAN, ..second(1.0) },
                second(2.0),
                Second { cpu_millicores: 44.0, ..second(3.0) },
            ],
        };
        let latency_ms = Quantiles {
            p50: Some(600.0),
            p90: Some(1_000.0),
            p99: Some(1_020.0),
            p99_9: Some(1_030.0),
            max: Some(1_040.0),
        };
        let points = Points { expected: 125_000, delivered: 125_000, ..Points::default() };
        let result = ReaderResult {
            judgement: Judgement { points, ..Judgement::default() },
            totals: Totals { events: 2_000, points: 200_000, bytes: 1, window_events: 1_250 },
            latency_ms,
            curve: vec![CurvePoint { ms: 20.0, part: 0.1 }, CurvePoint { ms: 1_040.0, part: 1.0 }],
            negative_latencies: 0,
            bytes_per_point: Some(80.0),
            bytes_per_point_zstd19: Some(12.3),
        };
        let calibration = Calibration { wake_us: 10.0, copy_gib_s: 8.0 };
        let outcome = RunOutcome {
            measured,
            result,
            between: Between::default(),
            snapshot: json!({ "profile": "vm-4vcpu", "folded": "4 onto 2", "durability": "memory" }),
            before: calibration,
            after: Calibration { wake_us: 11.0, ..calibration },
            cgroup_mib: None,
            failures: Vec::new(),
            notes: Vec::new(),
        };
        (settings, surroundings, outcome)
    }

    /// Its report.
    pub(crate) fn report() -> Report {
        let (settings, surroundings, outcome) = run();
        Report::new(&settings, &surroundings, &outcome)
    }

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_keys_are_those_that_were_agreed_and_no_others() {
        let report = serde_json::to_value(report()).unwrap();
        let mut expected = vec![
            "case",
            "seconds",
            "commit",
            "seed",
            "profile",
            "folded",
            "machine",
            "points",
            "delivered_percent",
            "messages_per_s",
            "points_per_s",
            "cpu_millicores",
            "memory_mib",
            "cgroup_memory_mib",
            "machine_cpu_millicores",
            "durability",
            "cpu_by_process",
            "cpu_by_actor",
            "broker",
            "calibration",
            "flows",
            "latency_ms",
            "latency_beyond_interval_ms",
            "published",
        ];
        expected.sort_unstable();
        let mut found = keys(&report);
        found.sort_unstable();
        assert_eq!(found, expected);
        for (key, inner) in [
            ("machine", vec!["model", "cores", "memory_mib", "kernel"]),
            ("points", vec!["expected", "delivered", "missing", "duplicated", "out_of_order", "lost_at_source"]),
            ("latency_ms", vec!["p50", "p90", "p99", "p99_9", "max"]),
            ("latency_beyond_interval_ms", vec!["p50", "p90", "p99", "p99_9", "max"]),
            (
                "published",
                vec![
                    "cpu_millicores",
                    "memory_mib",
                    "delivered_percent",
                    "latency_ms",
                    "points_per_s",
                    "messages_per_s",
                ],
            ),
            ("calibration", vec!["wake_us", "copy_gib_s", "drift_percent"]),
        ] {
            assert!(inner.iter().all(|name| report[key].get(name).is_some()), "{key}: {}", report[key]);
        }
        assert!(["name", "values_per_s", "changes_per_s"].iter().all(|name| report["flows"][0].get(name).is_some()));
        assert_eq!(report["cgroup_memory_mib"], Value::Null);
    }

    #[test]
    fn figures_follow_from_what_was_measured() {
        let report = report();
        assert!((report.cpu_millicores - 40.0).abs() < 1e-9);
        assert!((report.machine_cpu_millicores - (120.0 - 62.0)).abs() < 1e-9, "less all simulators and the harness");
        assert!((report.points_per_s - 12_500.0).abs() < 1e-9 && (report.messages_per_s - 125.0).abs() < 1e-9);
        assert_eq!(report.latency_beyond_interval_ms.p99, Some(20.0));
        assert_eq!((report.profile.as_str(), report.folded.as_deref()), ("vm-4vcpu", Some("4 onto 2")));
        assert_eq!(report.broker["memory_profile"], "low");
        assert!((report.calibration.drift_percent - 10.0).abs() < 1e-9 && !report.calibration.is_adrift());
    }
}
