//! The reader as a process: JSON lines in on standard input, JSON lines out on standard output.
//!
//! Says `{"event":"ready"}`, then `{"event":"progress","totals":{..}}` every half second. Is told
//! `{"cmd":"window","window":{..}}` before the window's first point can arrive, and at the end
//! `{"cmd":"finish","truth":"FILE","window":{..}}`; answers `{"event":"result","result":{..}}` when everything has
//! arrived or the scenario's drain is over, and ends. It also ends when its standard input does.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bench_eventhubs::reader::ReadEvent;
use bench_plc::names::Names;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout_at};

use super::accounts::{AccountLimits, Accounts, Arrival, Totals, Window};
use super::compression::Sample;
use super::expectation::Expectation;
use super::hub::{EVENTS_MAX, connect, id_of, read_all};
use super::judgement::{Judgement, absent_count, judge};
use super::latency::{CurvePoint, Quantiles};
use crate::scenario::Scenario;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(500);
/// How often a drain looks whether everything has arrived.
const LOOK: Duration = Duration::from_millis(200);
/// Commands that may wait; there are two.
const COMMANDS_MAX: usize = 4;
/// Events whose ids are remembered beside those that the scenario makes.
const EVENTS_SPARE: f64 = 100_000.0;

/// Arguments of `bench-scenario reader`.
#[derive(Debug, Args)]
pub(crate) struct ReaderArguments {
    /// The scenario file.
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// Where the hub speaks AMQP.
    #[arg(long, value_name = "ADDRESS:PORT")]
    amqp: String,
    /// Seconds that the whole run can take: they bound what is remembered.
    #[arg(long)]
    seconds: u32,
}

/// What is told to a reader.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
enum Command {
    Window { window: Window },
    Finish { truth: PathBuf, window: Window },
}

/// What a reader found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReaderResult {
    /// The account of every point.
    pub(crate) judgement: Judgement,
    /// What arrived, warm-up and all.
    pub(crate) totals: Totals,
    /// Latency of the points of the window.
    pub(crate) latency_ms: Quantiles,
    /// Its cumulative distribution.
    pub(crate) curve: Vec<CurvePoint>,
    /// Points that were accepted before they were made.
    pub(crate) negative_latencies: u64,
    /// Bytes of a point in its message.
    pub(crate) bytes_per_point: Option<f64>,
    /// The same under zstd level 19.
    pub(crate) bytes_per_point_zstd19: Option<f64>,
}

/// The account, and what is kept beside it.
struct State {
    scenario: Scenario,
    accounts: Accounts,
    sample: Sample,
    window: Option<Window>,
}

impl State {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by a checked scenario")]
    fn new(scenario: Scenario, seconds: u32) -> Self {
        let plant = &scenario.plant;
        let intervals_per_s = 1_000.0 / f64::from(scenario.site.publishing_interval_ms);
        let events = f64::from(plant.assets) * intervals_per_s * f64::from(seconds) * 2.0 + EVENTS_SPARE;
        let limits = AccountLimits {
            sequence_end: (plant.updates_per_s * f64::from(seconds)) as u32 + 1_000,
            events_max: events as usize,
        };
        let accounts = Accounts::new(&Names::new(plant), plant.tags_per_asset, scenario.site.conflate, limits);
        Self { scenario, accounts, sample: Sample::default(), window: None }
    }

    fn take(&mut self, arrival: Arrival<'_>) {
        let points_before = self.accounts.totals.points;
        self.accounts.take(arrival);
        if self.window.is_some() {
            self.sample.add(arrival.body, self.accounts.totals.points - points_before);
        }
    }

    fn take_event(&mut self, event: &ReadEvent) {
        self.take(Arrival { id: &id_of(event), accepted_us: event.accepted_us, body: &event.body });
    }

    fn set_window(&mut self, window: Window) {
        self.window = Some(window);
        self.accounts.set_window(window);
    }

    fn read_truth(&self, truth: &Path, window: Window) -> anyhow::Result<Expectation> {
        let file = File::open(truth).with_context(|| format!("cannot read {}", truth.display()))?;
        Expectation::read(BufReader::new(file), self.scenario.site.conflate, window)
    }

    fn result(&self, expectation: &Expectation) -> anyhow::Result<ReaderResult> {
        let sizes = self.sample.bytes_per_point()?;
        Ok(ReaderResult {
            judgement: judge(&self.accounts, expectation, self.scenario.site.conflate),
            totals: self.accounts.totals,
            latency_ms: self.accounts.latencies.quantiles(),
            curve: self.accounts.latencies.curve(),
            negative_latencies: self.accounts.latencies.negative(),
            bytes_per_point: sizes.map(|(plain, _)| plain),
            bytes_per_point_zstd19: sizes.map(|(_, compressed)| compressed),
        })
    }
}

/// Runs the reader until it has said its result or its standard input ends.
///
/// # Errors
/// If the scenario does not check, the hub ends, or the truth file cannot be read.
pub(crate) fn run(arguments: &ReaderArguments) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&arguments.scenario)
        .with_context(|| format!("cannot read {}", arguments.scenario.display()))?;
    let scenario = Scenario::parse(&text).with_context(|| arguments.scenario.display().to_string())?;
    let state = State::new(scenario, arguments.seconds);
    let commands = listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(converse(state, &arguments.amqp, commands))
}

/// Passes commands on from standard input. The thread ends with it, or with the process.
fn listen() -> anyhow::Result<mpsc::Receiver<Command>> {
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    std::thread::Builder::new().name("commands".to_owned()).spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(command) => {
                    if sender.blocking_send(command).is_err() {
                        return;
                    }
                }
                Err(error) => eprintln!("not a command: {error}"),
            }
        }
    })?;
    Ok(commands)
}

async fn converse(mut state: State, amqp: &str, mut commands: mpsc::Receiver<Command>) -> anyhow::Result<()> {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let mut reading = tokio::spawn(read_all(connect(amqp).await?, sender));
    say(&json!({ "event": "ready" }));
    let mut progress = interval_at(Instant::now() + PROGRESS, PROGRESS);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => state.take_event(&event),
                None => return ended((&mut reading).await),
            },
            command = commands.recv() => match command {
                Some(Command::Window { window }) => state.set_window(window),
                Some(Command::Finish { truth, window }) => {
                    let expectation = state.read_truth(&truth, window)?;
                    drain(&mut state, &expectation, &mut events).await;
                    say(&json!({ "event": "result", "result": state.result(&expectation)? }));
                    return Ok(());
                }
                None => return Ok(()),
            },
            _ = progress.tick() => say(&json!({ "event": "progress", "totals": state.accounts.totals })),
        }
    }
}

/// Why reading ended, which it never should.
fn ended(outcome: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    match outcome {
        Ok(Ok(())) => bail!("the hub ended the connection"),
        Ok(Err(error)) => Err(error.context("reading from the hub")),
        Err(error) => Err(error.into()),
    }
}

/// Takes what still arrives, until nothing is absent or the scenario's time is over.
async fn drain(state: &mut State, expectation: &Expectation, events: &mut mpsc::Receiver<ReadEvent>) {
    let end = Instant::now() + Duration::from_secs(state.scenario.reader.drain_seconds);
    while absent_count(&state.accounts, expectation) > 0 && Instant::now() < end {
        let look = (Instant::now() + LOOK).min(end);
        while let Ok(Some(event)) = timeout_at(look, events.recv()).await {
            state.take_event(&event);
        }
    }
    // What is there already may hold a point that should not be there.
    while let Ok(event) = events.try_recv() {
        state.take_event(&event);
    }
}

fn say(line: &serde_json::Value) {
    println!("{line}");
}
