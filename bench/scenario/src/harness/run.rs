//! One run: everything is started, warmed up, measured, accounted for and ended.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::calibration::Calibration;
use super::conversation::{ask_pipeline, ask_simulator};
use super::interrupt::Interrupt;
use super::kernel::{cgroup_peak_mib, millicores, thread_ticks};
use super::process::{Process, Start};
use super::site::{Addresses, HUB, LOCAL_KEY, LOCAL_KEY_NAME, site_text};
use super::snapshot::Between;
use super::window::{Measured, measure, window_after};
use crate::reader::{ReaderResult, Rule, Totals};
use crate::scenario::{FaultSettings, Scenario};

/// How long a simulator may take to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a process may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the reader may take to work out its result, beside the drain.
const RESULT_TIMEOUT: Duration = Duration::from_mins(2);
/// Seconds that the plant remembers beside warm-up and window.
const SPARE_SECONDS: u64 = 120;
/// Changes that the plant can remember: 1 GiB of them.
const CHANGES_MAX: f64 = 67_108_864.0;
/// How long before the window the reader is told of it, so that it knows before the first point can arrive.
const WINDOW_LEAD: Duration = Duration::from_millis(250);
/// How often the warm-up looks.
const LOOK: Duration = Duration::from_millis(200);

/// What is run.
#[derive(Debug, Clone)]
pub(crate) struct RunSettings {
    /// The scenario.
    pub(crate) scenario: Scenario,
    /// The file that it stands in.
    pub(crate) scenario_file: PathBuf,
    /// Length of the window in seconds.
    pub(crate) seconds: u64,
    /// Hardware profile.
    pub(crate) profile: String,
    /// Keys of the profile that differ, as `--set` takes them.
    pub(crate) set: Vec<(String, String)>,
    /// Folder of all programs.
    pub(crate) programs: PathBuf,
}

/// What came of one run.
#[derive(Debug)]
pub(crate) struct RunOutcome {
    pub(crate) measured: Measured,
    pub(crate) result: ReaderResult,
    pub(crate) between: Between,
    /// The pipeline's snapshot at the end of the window; null where it gave none.
    pub(crate) snapshot: Value,
    pub(crate) before: Calibration,
    pub(crate) after: Calibration,
    pub(crate) cgroup_mib: Option<f64>,
    /// What makes the run a failure; empty when nothing does.
    pub(crate) failures: Vec<String>,
    /// What a person should know beside it.
    pub(crate) notes: Vec<String>,
}

/// Everything that runs.
struct Stage {
    pipeline: Process,
    plant: Process,
    hub: Process,
    reader: Process,
    plant_control: String,
    hub_control: String,
    socket: PathBuf,
    folder: tempfile::TempDir,
}

/// Runs once. Takes warm-up, window and some ten seconds more.
///
/// # Errors
/// If a process cannot be started or dies (with its last words), the warm-up does not end, or somebody wants to leave.
pub(crate) fn run_once(settings: &RunSettings, interrupt: &Interrupt) -> anyhow::Result<RunOutcome> {
    let before = Calibration::take()?;
    let mut stage = Stage::start(settings, interrupt)?;
    stage.warm_up(&settings.scenario, interrupt)?;

    let begin = Instant::now() + WINDOW_LEAD;
    let window = window_after(WINDOW_LEAD, settings.seconds);
    stage.reader.tell(&json!({ "cmd": "window", "window": window }))?;
    interrupt.pause_until(begin)?;
    let snapshot_before = ask_pipeline(&stage.socket).unwrap_or_default();
    let threads_before = thread_ticks(stage.pipeline.pid());
    let Stage { pipeline, plant, hub, reader, hub_control, .. } = &mut stage;
    let processes = &mut [pipeline, plant, hub, reader];
    let fault = settings.scenario.fault;
    let second_begins = |second| match fault {
        Some(fault) if fault.hub_away_at_s == second => send_hub_away(hub_control, fault),
        Some(_) | None => Ok(()),
    };
    let measured = measure(window, settings.seconds, processes, interrupt, newest_totals, second_begins)?;
    let snapshot = ask_pipeline(&stage.socket).unwrap_or_default();
    let mut between = Between::new(&snapshot_before, &snapshot, measured.seconds);
    if between.cpu_by_actor.is_empty() {
        between.cpu_by_actor = by_thread(&threads_before, &thread_ticks(stage.pipeline.pid()), measured.seconds);
    }
    let cgroup_mib = cgroup_peak_mib(stage.pipeline.pid());

    let result = stage.account(settings, &measured, interrupt)?;
    let rule = settings.scenario.site.conflate;
    let mut failures = result.judgement.failures(rule, settings.scenario.is_step_mean_two(), fault.is_some());
    let mut notes = stage.notes(&result)?;
    stage.end(&mut failures, &mut notes);
    let after = Calibration::take()?;
    Ok(RunOutcome { measured, result, between, snapshot, before, after, cgroup_mib, failures, notes })
}

impl Stage {
    fn start(settings: &RunSettings, interrupt: &Interrupt) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("millicore-bench-").tempdir().context("a folder for the run")?;
        let simulator = |name, arguments| {
            let program = settings.programs.join(name);
            let log = folder.path().join(format!("{name}.log"));
            Process::start(Start { name, program: &program, arguments, log, speaks: true })
        };
        let listen = ["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        let hub_arguments = [
            "--hub".to_owned(),
            format!("{HUB}:{}", settings.scenario.reader.hub_partitions),
            "--key".to_owned(),
            LOCAL_KEY.to_owned(),
            "--key-name".to_owned(),
            LOCAL_KEY_NAME.to_owned(),
        ];
        let mut hub = simulator("bench-eventhubs", [listen.to_vec(), hub_arguments.to_vec()].concat())?;
        let mut plant = simulator("bench-plc", [listen.to_vec(), plant_arguments(settings)?].concat())?;
        let hub_ready = hub.wait_for("ready", READY_TIMEOUT, interrupt, |_| {})?;
        let plant_ready = plant.wait_for("ready", READY_TIMEOUT, interrupt, |_| {})?;
        let amqp = hub_ready["amqp"].as_str().context("the hub names no AMQP address")?;
        let hub_control = hub_ready["control"].as_str().context("the hub names no control port")?.to_owned();
        let plant_control = plant_ready["control"].as_str().context("the plant names no control port")?.to_owned();
        let endpoints: Vec<String> =
            serde_json::from_value(plant_ready["endpoints"].clone()).context("the plant names no endpoints")?;

        let reader_program = std::env::current_exe().context("our own program")?;
        let arguments = reader_arguments(settings, amqp);
        let log = folder.path().join("reader.log");
        let start = Start { name: "reader", program: &reader_program, arguments, log, speaks: true };
        let mut reader = Process::start(start)?;
        reader.wait_for("ready", READY_TIMEOUT, interrupt, |_| {})?;

        let site = folder.path().join("site.toml");
        let socket = folder.path().join("control.sock");
        let state = folder.path().join("state");
        let addresses = Addresses { endpoints: &endpoints, amqp, state: &state, socket: &socket };
        std::fs::write(&site, site_text(&settings.scenario, addresses)).context("the site file")?;
        let program = settings.programs.join("millicore");
        let arguments = pipeline_arguments(settings, &site);
        let log = folder.path().join("millicore.log");
        let pipeline = Process::start(Start { name: "millicore", program: &program, arguments, log, speaks: false })?;
        Ok(Self { pipeline, plant, hub, reader, plant_control, hub_control, socket, folder })
    }

    fn check(&mut self) -> anyhow::Result<()> {
        for process in [&mut self.pipeline, &mut self.plant, &mut self.hub, &mut self.reader] {
            process.check()?;
        }
        Ok(())
    }

    /// Until all subscriptions are made and the first event is at the hub, and then for the scenario's seconds.
    fn warm_up(&mut self, scenario: &Scenario, interrupt: &Interrupt) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(scenario.warm_up.timeout_seconds);
        let mut events = 0;
        loop {
            self.check()?;
            let stats = ask_simulator(&self.plant_control, &json!({ "cmd": "stats" }))?;
            let (items, tags) = (monitored_items(&stats), stats["stats"]["tags"].as_u64().unwrap_or(u64::MAX));
            events = newest_totals(&mut self.reader).map_or(events, |totals| totals.events);
            if items >= tags && events > 0 {
                break;
            }
            if Instant::now() > deadline {
                let reached = format!("{items} of {tags} MonitoredItems were made and {events} events are at the hub");
                bail!(self.pipeline.last_words(anyhow::anyhow!("the warm-up did not end: {reached}")));
            }
            interrupt.pause_until(Instant::now() + LOOK)?;
        }
        interrupt.pause_until(Instant::now() + Duration::from_secs(scenario.warm_up.seconds))
    }

    /// Has the plant write what it made, and the reader say what of it arrived.
    fn account(
        &mut self,
        settings: &RunSettings,
        measured: &Measured,
        interrupt: &Interrupt,
    ) -> anyhow::Result<ReaderResult> {
        // What superseded the window's last values is known when they have been published.
        let interval = Duration::from_millis(settings.scenario.site.publishing_interval_ms.into());
        interrupt.pause_until(Instant::now() + interval + LOOK)?;
        // A point that is made after the record is written would look as if nobody had made it.
        ask_simulator(&self.plant_control, &json!({ "cmd": "pause" }))?;
        let truth = self.folder.path().join("truth.jsonl");
        ask_simulator(&self.plant_control, &json!({ "cmd": "truth", "file": truth }))?;
        self.reader.tell(&json!({ "cmd": "finish", "truth": truth, "window": measured.window }))?;
        let timeout = RESULT_TIMEOUT + Duration::from_secs(settings.scenario.reader.drain_seconds);
        let result = self.reader.wait_for("result", timeout, interrupt, |_| {})?;
        serde_json::from_value(result["result"].clone()).context("the reader's result")
    }

    fn notes(&self, result: &ReaderResult) -> anyhow::Result<Vec<String>> {
        let stats = ask_simulator(&self.plant_control, &json!({ "cmd": "stats" }))?;
        let skipped = stats["stats"]["cycles_skipped"].as_u64().unwrap_or(0);
        let notes = [
            (skipped, "cycles were skipped by the plant: the machine was too busy for it"),
            (result.negative_latencies, "points were accepted before they were made: the clock was set back"),
            (result.judgement.oddities.events_without_id, "events carry no id"),
        ];
        Ok(notes.iter().filter(|(count, _)| *count > 0).map(|(count, text)| format!("{count} {text}")).collect())
    }

    /// Ends everything, the pipeline first.
    fn end(self, failures: &mut Vec<String>, notes: &mut Vec<String>) {
        if let Err(error) = self.pipeline.stop(STOP_TIMEOUT) {
            failures.push(format!("the pipeline did not end well: {error:#}"));
        }
        for process in [self.reader, self.plant, self.hub] {
            if let Err(error) = process.stop(STOP_TIMEOUT) {
                notes.push(format!("a part of the bench did not end well: {error:#}"));
            }
        }
    }
}

/// Lets no new connection in, and cuts that of the next event; the reader's brings none and stands.
fn send_hub_away(control: &str, fault: FaultSettings) -> anyhow::Result<()> {
    ask_simulator(control, &json!({ "cmd": "refuse", "ms": fault.hub_away_s * 1_000 }))?;
    ask_simulator(control, &json!({ "cmd": "fault", "kind": "disconnect", "count": 1 }))?;
    Ok(())
}

/// The last totals among what the reader has said.
fn newest_totals(reader: &mut Process) -> Option<Totals> {
    let progress = reader.said().into_iter().rev().find(|line| line["event"] == "progress")?;
    serde_json::from_value(progress["totals"].clone()).ok()
}

fn monitored_items(stats: &Value) -> u64 {
    let servers = stats["stats"]["servers"].as_array().into_iter().flatten();
    servers.filter_map(|server| server["monitored_items"].as_u64()).sum()
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
fn plant_arguments(settings: &RunSettings) -> anyhow::Result<Vec<String>> {
    let scenario = &settings.scenario;
    let seconds = whole_run_seconds(settings) as f64;
    let changes = scenario.plant.changes_per_s() * seconds;
    if changes > CHANGES_MAX {
        bail!("the plant would have to remember {changes:.0} changes, more than {CHANGES_MAX:.0}: shorten the window");
    }
    let mut arguments = vec![
        "--scenario".to_owned(),
        settings.scenario_file.display().to_string(),
        "--recorded-changes-max".to_owned(),
        (changes as u64).to_string(),
    ];
    if scenario.site.conflate == Rule::Last {
        arguments.push("--fault-front".to_owned());
    }
    Ok(arguments)
}

fn reader_arguments(settings: &RunSettings, amqp: &str) -> Vec<String> {
    let seconds = whole_run_seconds(settings).to_string();
    let scenario = settings.scenario_file.display().to_string();
    ["reader", "--scenario", &scenario, "--amqp", amqp, "--seconds", &seconds].map(str::to_owned).to_vec()
}

fn pipeline_arguments(settings: &RunSettings, site: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ["run", "--profile", &settings.profile, "--fold"].map(str::to_owned).to_vec();
    for (key, value) in &settings.set {
        arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    arguments.extend(["--config".to_owned(), site.display().to_string()]);
    arguments
}

/// Seconds that a run can take at most, from the plant's start to its record.
fn whole_run_seconds(settings: &RunSettings) -> u64 {
    let Scenario { warm_up, reader, .. } = &settings.scenario;
    warm_up.timeout_seconds + warm_up.seconds + settings.seconds + reader.drain_seconds + SPARE_SECONDS
}

fn by_thread(
    before: &[(String, u64)],
    after: &[(String, u64)],
    seconds: f64,
) -> std::collections::BTreeMap<String, f64> {
    let ticks_per_s = rustix::param::clock_ticks_per_second();
    let earlier = |name: &str| before.iter().find(|(known, _)| known == name).map_or(0, |(_, ticks)| *ticks);
    let used = |(name, ticks): &(String, u64)| {
        (format!("thread {name}"), millicores(ticks.saturating_sub(earlier(name)), seconds, ticks_per_s))
    };
    after.iter().map(used).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(conflate: &str, seconds: u64) -> RunSettings {
        let text = format!("case = \"x\"\ntitle = \"X\"\n[site]\nconflate = \"{conflate}\"\n");
        RunSettings {
            scenario: Scenario::parse(&text).unwrap(),
            scenario_file: "x.toml".into(),
            seconds,
            profile: "auto".to_owned(),
            set: vec![("egress.linger_ms".to_owned(), "20".to_owned())],
            programs: "programs".into(),
        }
    }

    #[test]
    fn the_plant_remembers_the_whole_run_and_logs_publish_times_where_they_are_needed() {
        let arguments = plant_arguments(&settings("last", 60)).unwrap();
        assert!(arguments.contains(&"--fault-front".to_owned()));
        let remembered: u64 = arguments[3].parse().unwrap();
        assert!(remembered >= 12_500 * 60 * 3, "{remembered}");
        assert!(!plant_arguments(&settings("all", 60)).unwrap().contains(&"--fault-front".to_owned()));
        assert!(plant_arguments(&settings("all", 3_600)).is_ok());
        assert!(plant_arguments(&settings("all", 7_200)).is_err());
    }

    #[test]
    fn the_pipeline_runs_as_a_person_would_run_it() {
        let arguments = pipeline_arguments(&settings("all", 60), Path::new("site.toml"));
        assert_eq!(arguments.join(" "), "run --profile auto --fold --set egress.linger_ms=20 --config site.toml");
    }

    #[test]
    fn threads_of_one_name_are_told_apart_by_their_time() {
        let ticks = |ticks| vec![("core-0".to_owned(), ticks)];
        let hundred = rustix::param::clock_ticks_per_second();
        let used = by_thread(&ticks(5), &ticks(5 + hundred), 2.0);
        assert!((used["thread core-0"] - 500.0).abs() < 1e-9);
    }

    #[test]
    fn items_of_all_servers_count() {
        let stats = json!({ "stats": { "servers": [{ "monitored_items": 3 }, { "monitored_items": 4 }] } });
        assert_eq!((monitored_items(&stats), monitored_items(&json!({}))), (7, 0));
    }
}
