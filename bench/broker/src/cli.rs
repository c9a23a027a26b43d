//! The command line: which brokers, which scenarios, how long, how often.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, bail};
use bench_scenario::harness::calibration::Calibration;
use bench_scenario::harness::interrupt::Interrupt;
use bench_scenario::harness::kernel::Machine;
use bench_scenario::harness::project::{commit, project_root};
use bench_scenario::report::CalibrationReport;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::contender::Contender;
use crate::cores::Cores;
use crate::generator::packet::Version;
use crate::report::{Heading, json, page, table};
use crate::rounds::run_all;
use crate::run::Settings;
use crate::scenario::select;
use crate::wire::{Mischief, serve};

/// Runs millicore and other brokers side by side, each alone on one core, the load generator on another.
///
/// Ends with 0 when millicore lost, doubled and swapped nothing, with 1 when it did, with 2 when a run could not be made. Never
/// fails for time, nor for what a peer loses: that voids the peer's row.
#[derive(Debug, Parser)]
#[command(name = "bench-broker", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Copies messages without being a broker: the peer `wire`.
    #[command(hide = true)]
    Wire {
        /// Of the loopback interface.
        port: u16,
        #[command(flatten)]
        mischief: Mischief,
    },
}

/// Version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Spoken {
    /// 3.1.1.
    #[value(name = "3.1.1")]
    V311,
    /// 5.0.
    #[value(name = "5.0", alias = "5")]
    V5,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// A broker beside ours; more than once. `wire` is no broker: it shows what the generator reaches.
    #[arg(long, value_name = "mosquitto|wire|NAME=COMMAND")]
    peer: Vec<String>,
    /// A scenario, or a group of them: peers, limits, all; more than once [default: peers].
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Length of each measured window, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Run so many rounds, brokers in turn, and report medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// What the clients speak.
    #[arg(long, value_enum, default_value = "3.1.1")]
    mqtt: Spoken,
    /// Run the peers alone.
    #[arg(long, requires = "peer")]
    without_millicore: bool,
    /// Hardware profile of millicore [default: bench/broker/one-core.toml].
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Write the report here, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the page here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Draws what garbage looks like.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Name this commit in the report; without a name: git's, and refuse to run where files differ from it.
    #[arg(long, value_name = "COMMIT", num_args = 0..=1, default_missing_value = "")]
    commit: Option<String>,
    /// Folder of the program millicore [default: the folder of this one].
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// If a run could not be made.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.part {
            Some(Part::Wire { port, mischief }) => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("the port of the wire")?;
                // It ends by a signal, as brokers do.
                serve(&listener, mischief, &AtomicBool::new(false)).map(|()| ExitCode::SUCCESS)
            }
            None => self.run.run(),
        }
    }
}

impl RunArguments {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let interrupt = Interrupt::listen()?;
        let root = project_root();
        let scenarios = select(&self.scenario)?;
        let contenders = self.contenders(&root)?;
        let commit = match (&self.programs, &self.commit) {
            // Whoever built that program, it need not be this commit.
            (Some(folder), None) => format!("unknown: programs of {}", folder.display()),
            _ => commit(self.commit.as_deref(), &root)?,
        };
        raise_open_files_limit()?;
        let version = match self.mqtt {
            Spoken::V311 => Version::V311,
            Spoken::V5 => Version::V5,
        };
        let settings = Settings { seconds: self.seconds, version, seed: self.seed, cores: Cores::choose()? };
        let machine = Machine::read();
        // Both calibrations are taken where the generator runs.
        settings.cores.take_generator()?;
        let before = Calibration::take()?;
        let series = run_all(&contenders, &scenarios, self.repeat, &settings, &interrupt)?;
        let calibration = CalibrationReport::new(before, Calibration::take()?, &std::collections::BTreeMap::new());
        let heading = Heading {
            commit,
            seconds: self.seconds,
            repeat: self.repeat,
            seed: self.seed,
            mqtt: if version == Version::V5 { "5.0" } else { "3.1.1" },
            profile: self.profile(&root),
            machine,
            calibration,
            cores: settings.cores,
        };
        print!("{}", table(&heading, &scenarios, &series));
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(&json(&heading, &series)?)? + "\n";
            std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        if let Some(file) = &self.html {
            let html = page(&heading, &scenarios, &series)?;
            std::fs::write(file, html).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let is_whole = series.iter().all(|series| series.row.broker != "millicore" || !series.row.is_void);
        println!(
            "{}",
            match (is_whole, self.without_millicore) {
                (false, _) => "FAILED",
                (true, false) => "millicore lost, doubled and swapped nothing",
                (true, true) => "millicore was not run",
            }
        );
        Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn contenders(&self, root: &Path) -> anyhow::Result<Vec<Contender>> {
        let mut contenders = Vec::new();
        if !self.without_millicore {
            let ours = std::env::current_exe().context("our own program")?;
            let folder = self.programs.clone().or_else(|| ours.parent().map(Path::to_owned)).unwrap_or_default();
            let program = folder.join("millicore");
            if !program.is_file() {
                bail!("{} is missing: scripts/bench builds it", program.display());
            }
            contenders.push(Contender::millicore(program, self.profile(root)));
        }
        for peer in &self.peer {
            let contender = Contender::peer(peer)?;
            if contenders.iter().any(|known| known.name == contender.name) {
                bail!("two brokers are called {}", contender.name);
            }
            contenders.push(contender);
        }
        Ok(contenders)
    }

    fn profile(&self, root: &Path) -> PathBuf {
        self.profile.clone().unwrap_or_else(|| root.join("bench/broker/one-core.toml"))
    }
}

/// As many open files as the system lets us have: for us, and for the brokers that inherit it.
fn raise_open_files_limit() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("the limit of open files")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn all_options_are_understood() {
        let line = "bench-broker --peer mosquitto --peer x=x,{port} --seconds 5 --repeat 3 --json a --html b \
                    --scenario idle-1000 --scenario limits --mqtt 5 --commit";
        let run = parse(&line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap().run;
        assert_eq!((run.seconds, run.repeat, run.mqtt, run.commit.as_deref()), (5, 3, Spoken::V5, Some("")));
        assert_eq!((run.peer.len(), run.scenario.len()), (2, 2));
        let default = parse("bench-broker").unwrap().run;
        assert_eq!((default.mqtt, default.seconds, default.without_millicore), (Spoken::V311, 10, false));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in
            ["bench-broker --seconds 0", "bench-broker --mqtt 3", "bench-broker --without-millicore", "bench-broker x"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        let twice = parse("bench-broker --without-millicore --peer mosquitto --peer mosquitto").unwrap().run;
        assert!(twice.contenders(Path::new("")).unwrap_err().to_string().contains("mosquitto"));
        assert!(parse("bench-broker --programs nowhere").unwrap().run.contenders(Path::new("")).is_err());
    }

    #[test]
    fn the_wire_is_a_part_of_its_own() {
        let wire = parse("bench-broker wire 99 --lose 3").unwrap().part;
        assert!(matches!(wire, Some(Part::Wire { port: 99, mischief: Mischief { lose: Some(3), .. } })));
    }
}
