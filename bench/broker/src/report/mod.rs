//! The report: JSON for programs, a table and a page for people.

mod page;
mod table;

pub(crate) use page::page;
pub(crate) use table::table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use bench_scenario::harness::kernel::Machine;
use bench_scenario::harness::profile::seed_parameters;
use bench_scenario::report::{CalibrationReport, Points, Published, Quantiles, Report};
use serde_json::{Value, json};

use crate::cores::Cores;
use crate::rounds::Series;

/// What holds for all rows.
#[derive(Debug, Clone)]
pub(crate) struct Heading {
    /// What was built.
    pub(crate) commit: String,
    /// Length of each window.
    pub(crate) seconds: u64,
    /// Rounds; figures are their medians.
    pub(crate) repeat: u32,
    /// Of what was drawn.
    pub(crate) seed: u64,
    /// Version of MQTT that was spoken.
    pub(crate) mqtt: &'static str,
    /// The profile of millicore.
    pub(crate) profile: PathBuf,
    /// The machine, as it was before anything was pinned.
    pub(crate) machine: Machine,
    /// The machine's speed.
    pub(crate) calibration: CalibrationReport,
    /// Who ran where.
    pub(crate) cores: Cores,
}

/// The report with the keys that every case of the bench has, and `rows` and `runs`. Figures that only a pipeline has are null.
///
/// # Errors
/// If it cannot be written as JSON.
pub(crate) fn json(heading: &Heading, series: &[Series]) -> anyhow::Result<Value> {
    let points = points(series);
    let report = Report {
        case: "broker".to_owned(),
        seconds: heading.seconds,
        commit: heading.commit.clone(),
        seed: heading.seed,
        profile: heading.profile.file_stem().unwrap_or_default().display().to_string(),
        folded: None,
        machine: heading.machine.clone(),
        points,
        delivered_percent: points.delivered_percent(),
        messages_per_s: f64::NAN,
        points_per_s: f64::NAN,
        cpu_millicores: f64::NAN,
        memory_mib: f64::NAN,
        cgroup_memory_mib: None,
        machine_cpu_millicores: f64::NAN,
        durability: "memory".to_owned(),
        cpu_by_process: BTreeMap::new(),
        cpu_by_actor: BTreeMap::new(),
        broker: seed_parameters(&heading.profile.display().to_string(), &shipped_profiles(), &[]),
        calibration: heading.calibration.clone(),
        flows: Vec::new(),
        latency_ms: Quantiles::default(),
        latency_beyond_interval_ms: Quantiles::default(),
        published: Published::default(),
    };
    let mut report = serde_json::to_value(report).context("the report")?;
    report["mqtt"] = heading.mqtt.into();
    report["cores"] = json!({ "broker": heading.cores.broker, "generator": heading.cores.generator });
    report["rows"] = series.iter().map(|series| serde_json::to_value(&series.row)).collect::<Result<_, _>>()?;
    let runs = series.iter().flat_map(|series| &series.runs);
    report["runs"] = runs.map(serde_json::to_value).collect::<Result<_, _>>()?;
    Ok(report)
}

/// The account of all messages through millicore.
fn points(series: &[Series]) -> Points {
    let mut points = Points::default();
    for row in series.iter().map(|series| &series.row).filter(|row| row.broker == "millicore") {
        // What was overtaken and acknowledged and never came is in both counts.
        let missing = row.gaps.max(row.undelivered);
        let delivered = row.delivered.saturating_sub(row.duplicated);
        points.expected += delivered + missing;
        points.delivered += delivered;
        points.missing += missing;
        points.duplicated += row.duplicated;
        points.out_of_order += row.out_of_order;
    }
    points
}

fn shipped_profiles() -> PathBuf {
    bench_scenario::harness::project::project_root().join("hardware-profiles")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::account::Faults;
    use crate::row::Row;

    pub(super) fn heading() -> Heading {
        let calibration =
            CalibrationReport { wake_us: 10.0, copy_gib_s: 8.0, drift_percent: 1.0, wake_ups_per_s: BTreeMap::new() };
        Heading {
            commit: "0123abc".to_owned(),
            seconds: 5,
            repeat: 3,
            seed: 1,
            mqtt: "3.1.1",
            profile: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("one-core.toml"),
            machine: Machine::read(),
            calibration,
            cores: Cores { broker: 1, generator: 0 },
        }
    }

    pub(super) fn series(broker: &str, scenario: &str, messages_per_s: f64, cpu_us: f64) -> Series {
        let mut row = Row::new(broker, scenario);
        row.messages_per_s = Some(messages_per_s);
        row.cpu_us_per_message = Some(cpu_us);
        row.cpu_millicores = Some(messages_per_s * cpu_us / 1_000.0);
        row.is_saturated = row.cpu_millicores >= Some(crate::row::BUSY_MILLICORES);
        row.latency_us = Quantiles { p50: Some(100.0), p99: Some(1_000.0), ..Quantiles::default() };
        row.latency_us_undisturbed = Quantiles { p99: Some(800.0), ..Quantiles::default() };
        row.bytes_per_connection = Some(1_500.0);
        (row.published, row.delivered) = (1_000, 1_000);
        Series { runs: vec![row.clone(), row.clone()], row, curve: vec![(50.0, 0.0), (100.0, 0.5), (1_000.0, 0.99)] }
    }

    #[test]
    fn the_keys_are_those_of_every_case_and_rows_have_theirs() {
        let report = json(&heading(), &[series("millicore", "pair-qos1", 1e5, 10.0)]).unwrap();
        for key in ["case", "points", "messages_per_s", "machine", "calibration", "published", "broker", "flows"] {
            assert!(report.get(key).is_some(), "{key}");
        }
        assert_eq!((&report["case"], &report["profile"]), (&json!("broker"), &json!("one-core")));
        assert_eq!(report["messages_per_s"], Value::Null);
        assert_eq!(report["broker"]["backend_partitions"], 1);
        for key in [
            "broker",
            "scenario",
            "messages_per_s",
            "cpu_us_per_message",
            "cpu_millicores",
            "latency_us",
            "bytes_per_connection",
            "gaps",
            "undelivered",
        ] {
            assert!(report["rows"][0].get(key).is_some(), "{key}");
        }
        assert_eq!(report["runs"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn only_what_millicore_lost_counts_as_lost() {
        let mut ours = series("millicore", "pair-qos1", 1e5, 10.0);
        let mut theirs = series("mosquitto", "pair-qos1", 1e4, 100.0);
        theirs.row.add_faults(Faults { gaps: 50, ..Faults::default() });
        let report = json(&heading(), &[ours_again(&ours), theirs]).unwrap();
        assert_eq!(report["delivered_percent"], 100.0);
        ours.row.add_faults(Faults { gaps: 4, undelivered: 5, duplicated: 1, out_of_order: 2 });
        let points = points(&[ours]);
        let expected =
            Points { expected: 1_004, delivered: 999, missing: 5, duplicated: 1, out_of_order: 2, lost_at_source: 0 };
        assert_eq!(points, expected);
    }

    fn ours_again(series: &Series) -> Series {
        Series { row: series.row.clone(), runs: series.runs.clone(), curve: series.curve.clone() }
    }
}
