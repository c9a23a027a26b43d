//! One run: a fresh broker, its guests, the load, the window, the drain, the account.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bench_scenario::harness::interrupt::Interrupt;
use bench_scenario::harness::kernel::{process_cpu_ns, process_pss_kib};
use bench_scenario::report::rounded;

use crate::contender::{Contender, Running};
use crate::cores::Cores;
use crate::generator::engine::Engine;
use crate::generator::load::{Counts, Load};
use crate::generator::packet::Version;
use crate::row::{BUSY_MILLICORES, Row};
use crate::scenario::{GuestList, Scenario};

/// Load before the window.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long guests may take to prepare.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(2);
/// What memory has to come to rest after a stage.
const REST: Duration = Duration::from_millis(500);
/// How often a preparation looks whether it is done.
const LOOK: Duration = Duration::from_millis(10);

/// What holds for all runs.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Length of the window in seconds.
    pub(crate) seconds: u64,
    /// What the clients speak.
    pub(crate) version: Version,
    /// Of what is drawn.
    pub(crate) seed: u64,
    /// Who runs where.
    pub(crate) cores: Cores,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) row: Row,
    /// Distribution of the latency: microseconds, and the part that took no longer.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// CPU and memory of the broker, and CPU of ourselves.
#[derive(Debug, Clone, Copy)]
struct Usage {
    cpu_ns: u64,
    generator_ns: u64,
    pss_kib: u64,
}

impl Usage {
    fn read(running: &Running) -> anyhow::Result<Self> {
        Ok(Self {
            cpu_ns: process_cpu_ns(running.process.pid())?,
            generator_ns: process_cpu_ns(std::process::id())?,
            pss_kib: process_pss_kib(running.process.pid())?,
        })
    }
}

/// Runs `scenario` once against `contender`, with its guests or without. What the broker does wrong stands in the row.
///
/// # Errors
/// If the broker cannot be started, or somebody wants to leave.
pub(crate) fn run_once(
    contender: &Contender,
    scenario: &Scenario,
    has_guests: bool,
    settings: &Settings,
    interrupt: &Interrupt,
) -> anyhow::Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("millicore-bench-").tempdir().context("a folder for the run")?;
    let mut running = contender.start(scenario, folder.path(), settings.cores, settings.version, interrupt)?;
    let guests = if has_guests { scenario.guests } else { GuestList::Nobody };
    let load = Load::new(scenario.load, settings.version, guests.invite(settings.version, settings.seed));
    let row = Row::new(contender.name, scenario.name);
    let mut engine = Engine::new(running.address, settings.version)?;
    let mut run = Run { load, row, guests, settings, interrupt };
    let outcome = run.all(&mut engine, &mut running);
    interrupt.check()?;
    let Run { load, mut row, .. } = run;
    if let Err(error) = outcome {
        row.fail(format!("{error:#}"));
    }
    drop(engine);
    if let Some(problem) = running.stop() {
        row.fail(problem);
    }
    Ok(Outcome { row, curve: load.latency().curve() })
}

struct Run<'a> {
    load: Load,
    row: Row,
    guests: GuestList,
    settings: &'a Settings,
    interrupt: &'a Interrupt,
}

impl Run<'_> {
    fn all(&mut self, engine: &mut Engine, running: &mut Running) -> anyhow::Result<()> {
        self.prepare(engine, running)?;
        self.load.connect(engine)?;
        // Whoever storms begins here; a crowd has nothing more to do.
        self.load.guests().begin_stage();
        self.load.begin(engine);
        self.load.run_for(engine, WARM_UP)?;

        let (before, counts_before, start_ns) = (Usage::read(running)?, self.load.counts(), engine.clock().now_ns());
        self.load.begin_window();
        for _ in 0..self.settings.seconds {
            self.load.run_for(engine, Duration::from_secs(1))?;
            self.interrupt.check()?;
            running.process.check()?;
        }
        let (counts, took_ns) = (self.load.counts(), engine.clock().now_ns() - start_ns);
        let after = Usage::read(running)?;
        self.fill_in(before, after, counts_before, counts, took_ns);

        self.load.drain(engine)?;
        running.process.check()?;
        self.account();
        Ok(())
    }

    /// Has the guests prepare, and measures what that took.
    fn prepare(&mut self, engine: &mut Engine, running: &Running) -> anyhow::Result<()> {
        let before = Usage::read(running)?;
        self.settle(engine)?;
        let connected = Usage::read(running)?;
        let GuestList::Crowd(count, filters_each) = self.guests else { return Ok(()) };
        self.load.run_for(engine, REST)?;
        let rested = Usage::read(running)?;
        let of_each = |kib: u64, count: u32| Some(rounded(as_f64(kib * 1_024) / f64::from(count)));
        self.row.bytes_per_connection = of_each(rested.pss_kib.saturating_sub(before.pss_kib), count);
        let connect_us = as_f64(connected.cpu_ns.saturating_sub(before.cpu_ns)) / 1_000.0;
        self.row.cpu_us_per_connect = Some(rounded(connect_us / f64::from(count)));
        if self.load.guests().begin_stage() {
            self.settle(engine)?;
            self.load.run_for(engine, REST)?;
            let subscribed = Usage::read(running)?;
            let grown = subscribed.pss_kib.saturating_sub(rested.pss_kib);
            self.row.bytes_per_subscription = of_each(grown, count * filters_each);
        }
        Ok(())
    }

    fn settle(&mut self, engine: &mut Engine) -> anyhow::Result<()> {
        let deadline_ns = engine.clock().now_ns() + u64::try_from(SETTLE_TIMEOUT.as_nanos())?;
        while !self.load.guests().is_settled() {
            self.interrupt.check()?;
            self.load.run_for(engine, LOOK)?;
            if engine.clock().now_ns() > deadline_ns {
                bail!("its guests are not there after {SETTLE_TIMEOUT:?}: {:?}", self.load.guests().counts());
            }
        }
        Ok(())
    }

    fn fill_in(&mut self, before: Usage, after: Usage, counts_before: Counts, counts: Counts, took_ns: u64) {
        let delivered = counts.delivered - counts_before.delivered;
        let (cpu_ns, took) = (as_f64(after.cpu_ns.saturating_sub(before.cpu_ns)), as_f64(took_ns));
        let row = &mut self.row;
        if delivered > 0 {
            row.messages_per_s = Some(rounded(as_f64(delivered) * 1e9 / took));
            row.cpu_us_per_message = Some(rounded(cpu_ns / 1_000.0 / as_f64(delivered)));
        }
        row.cpu_millicores = Some(rounded(cpu_ns * 1_000.0 / took));
        row.is_saturated = cpu_ns * 1_000.0 / took >= BUSY_MILLICORES;
        let generator_ns = as_f64(after.generator_ns.saturating_sub(before.generator_ns));
        row.generator_millicores = Some(rounded(generator_ns * 1_000.0 / took));
        row.memory_mib = Some(rounded(as_f64(after.pss_kib) / 1_024.0));
        row.latency_us = self.load.latency().quantiles_us();
    }

    fn account(&mut self) {
        let counts = self.load.counts();
        (self.row.published, self.row.delivered) = (counts.published, counts.delivered);
        self.row.add_faults(self.load.faults());
        let named = [("held back", counts.held_back), ("stalls", counts.stalls)];
        let oddities = self.load.oddities();
        let guests = self.load.guests().counts();
        for (name, count) in named.into_iter().chain(oddities).filter(|(_, count)| *count > 0).chain(guests) {
            self.row.counts.insert(name.to_owned(), count);
        }
        if oddities.iter().any(|(_, count)| *count > 0) {
            self.row.fail("the broker refused messages, or sent what nobody asked for".to_owned());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of a run are far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
