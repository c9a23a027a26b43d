//! The command line: a case is run, once or several times, and reported.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use crate::harness::interrupt::Interrupt;
use crate::harness::project::{commit, project_root};
use crate::harness::run::{RunOutcome, RunSettings, run_once};
use crate::reader::process::ReaderArguments;
use crate::report::page::{Drawn, page};
use crate::report::table::table;
use crate::report::{Report, Surroundings, median_report};
use crate::scenario::Scenario;

/// Runs a scenario against the real pipeline: a simulated plant, millicore, a local Event Hubs endpoint and an independent
/// reader, each a process of its own.
///
/// Ends with 0 when every data point arrived once and in order, with 1 when not, with 2 when the run could not be made.
/// Never fails for time.
#[derive(Debug, Parser)]
#[command(name = "bench-scenario", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    run: Option<RunArguments>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The independent reader, which the harness starts.
    #[command(hide = true)]
    Reader(ReaderArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// 1a, 1b, or the path of a scenario file.
    case: String,
    /// Length of the measured window, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Write the report here, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the page with plots here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Run so many times and report medians; all runs are listed in the JSON.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Hardware profile, before the scenario's.
    #[arg(long, value_name = "NAME|FILE")]
    profile: Option<String>,
    /// Name this commit in the report; without a name: git's, and refuse to run where files differ from it.
    #[arg(long, value_name = "COMMIT", num_args = 0..=1, default_missing_value = "")]
    commit: Option<String>,
    /// Folder of the programs bench-plc, bench-eventhubs and millicore [default: the folder of this one].
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// If a run could not be made.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match (self.part, self.run) {
            (Some(Part::Reader(arguments)), _) => crate::reader::process::run(&arguments).map(|()| ExitCode::SUCCESS),
            (None, Some(run)) => run.run(),
            (None, None) => bail!("name a case: 1a, 1b, or the path of a scenario file"),
        }
    }
}

impl RunArguments {
    fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = Interrupt::listen()?;
        let root = project_root();
        let (settings, surroundings) = self.settings(&root)?;
        let title = format!("{}: {}", settings.scenario.case, settings.scenario.title);
        let mut runs = Vec::new();
        let mut outcomes = Vec::new();
        for run in 1..=self.repeat {
            eprintln!("run {run} of {}: {title}, {} s", self.repeat, settings.seconds);
            let outcome = run_once(&settings, &interrupt)?;
            let report = Report::new(&settings, &surroundings, &outcome);
            if report.calibration.is_adrift() {
                eprintln!("the machine's speed changed by {} % during the run", report.calibration.drift_percent);
            }
            runs.push(serde_json::to_value(&report).context("the report")?);
            outcomes.push(outcome);
        }
        let report = median_report(&runs);
        print!("{}", table(&title, &report));
        let warnings = warnings(&runs, &outcomes);
        for warning in &warnings {
            println!("{warning}");
        }
        self.write(&title, &report, &outcomes, &warnings)?;
        let is_whole = outcomes.iter().all(|outcome| outcome.failures.is_empty());
        println!("{}", if is_whole { "every data point arrived, once and in order" } else { "FAILED" });
        Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn settings(&self, root: &Path) -> anyhow::Result<(RunSettings, Surroundings)> {
        let (scenario, scenario_file) = Scenario::load(&self.case, &root.join("bench/scenarios"))?;
        let ours = std::env::current_exe().context("our own program")?;
        let programs = self.programs.clone().or_else(|| ours.parent().map(Path::to_owned)).unwrap_or_default();
        for name in ["bench-plc", "bench-eventhubs", "millicore"] {
            if !programs.join(name).is_file() {
                bail!("{} is missing: scripts/bench builds it", programs.join(name).display());
            }
        }
        let profile = self.profile.clone().unwrap_or_else(|| scenario.profile.name.clone());
        let set = scenario.profile.set.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
        let surroundings =
            Surroundings { commit: commit(self.commit.as_deref(), root)?, profiles: root.join("hardware-profiles") };
        Ok((RunSettings { scenario, scenario_file, seconds: self.seconds, profile, set, programs }, surroundings))
    }

    fn write(&self, title: &str, report: &Value, outcomes: &[RunOutcome], warnings: &[String]) -> anyhow::Result<()> {
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(report)? + "\n";
            std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        if let (Some(file), Some(outcome)) = (&self.html, outcomes.last()) {
            let drawn = Drawn { series: &outcome.measured.series, curve: &outcome.result.curve };
            let html = page(title, report, &drawn, warnings)?;
            std::fs::write(file, html).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

/// What a reader of the report must know first: failures, examples of them, notes and drift.
fn warnings(runs: &[Value], outcomes: &[RunOutcome]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (number, (run, outcome)) in (1..).zip(runs.iter().zip(outcomes)) {
        let place = if runs.len() == 1 { String::new() } else { format!("run {number}: ") };
        let drift = run["calibration"]["drift_percent"].as_f64().unwrap_or(0.0);
        if drift > crate::harness::calibration::DRIFT_PERCENT_MAX {
            warnings.push(format!("{place}the machine's speed changed by {drift} % meanwhile: compare with care"));
        }
        let all = outcome.failures.iter().chain(&outcome.result.judgement.examples).chain(&outcome.notes);
        warnings.extend(all.map(|text| format!("{place}{text}")));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_case_with_all_options_is_understood() {
        let line = "bench-scenario 1b --seconds 5 --json a.json --html a.html --repeat 3 --profile p --commit";
        let run = Cli::try_parse_from(line.split(' ')).unwrap().run.unwrap();
        assert_eq!((run.case.as_str(), run.seconds, run.repeat, run.commit.as_deref()), ("1b", 5, 3, Some("")));
        let named = Cli::try_parse_from("bench-scenario 1a --commit abc".split(' ')).unwrap().run.unwrap();
        assert_eq!(commit(named.commit.as_deref(), Path::new("nowhere")).unwrap(), "abc");
        let reader = "bench-scenario reader --scenario 1a.toml --amqp 127.0.0.1:1 --seconds 9";
        assert!(Cli::try_parse_from(reader.split(' ')).unwrap().part.is_some());
    }
}
