//! The measured window: one sample a second of CPU time, memory and what arrived.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Serialize;

use super::interrupt::Interrupt;
use super::kernel::{machine_busy_ticks, millicores, process_pss_kib, process_ticks};
use super::process::Process;
use crate::reader::{Totals, Window};

/// One second of the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Second {
    /// Seconds from the window's start to the end of this one.
    pub(crate) at_s: f64,
    /// CPU of the pipeline in it, in millicores.
    pub(crate) cpu_millicores: f64,
    /// Memory of the pipeline at its end, in MiB.
    pub(crate) memory_mib: f64,
    /// Data points that the reader got in it, a second.
    pub(crate) points_per_s: f64,
}

/// Everything measured in the window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// The window in source time.
    pub(crate) window: Window,
    /// How long it took.
    pub(crate) seconds: f64,
    /// CPU of each process, in millicores.
    pub(crate) cpu_by_process: BTreeMap<String, f64>,
    /// Busy CPU of the whole machine, in millicores.
    pub(crate) machine_busy_millicores: f64,
    /// Largest sum of the proportional set sizes of our processes, in MiB.
    pub(crate) memory_mib: f64,
    /// Each second.
    pub(crate) series: Vec<Second>,
}

/// CPU time so far, in clock ticks.
struct Ticks {
    processes: Vec<(&'static str, u64)>,
    ourselves: u64,
    machine: u64,
}

impl Ticks {
    fn read(processes: &[&Process]) -> anyhow::Result<Self> {
        let of = |process: &&Process| Ok((process.name(), process_ticks(process.pid())?));
        Ok(Self {
            processes: processes.iter().map(of).collect::<anyhow::Result<_>>()?,
            ourselves: process_ticks(std::process::id())?,
            machine: machine_busy_ticks()?,
        })
    }
}

/// Units of 100 ns since 1970.
///
/// # Panics
/// If the clock stands before 1970.
pub(crate) fn now_100ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970");
    i64::try_from(since_1970.as_nanos() / 100).expect("the clock stands before the year 30000")
}

/// The window that begins after `lead` and takes `seconds`: whoever must know of it is told meanwhile.
pub(crate) fn window_after(lead: Duration, seconds: u64) -> Window {
    let lead_100ns = i64::try_from(lead.as_nanos() / 100).expect("a lead is short");
    let start_100ns = now_100ns() + lead_100ns;
    let length_100ns = i64::try_from(seconds).expect("a run takes no ages") * 10_000_000;
    Window { start_100ns, end_100ns: start_100ns + length_100ns }
}

/// Measures `seconds`, a sample each. `processes` holds the pipeline first, then the simulators and the reader last;
/// `totals` gives what the reader got so far; `second_begins` is called with the number of each second, from 0.
///
/// # Errors
/// If a process dies or somebody wants to leave.
pub(crate) fn measure(
    window: Window,
    seconds: u64,
    processes: &mut [&mut Process],
    interrupt: &Interrupt,
    mut totals: impl FnMut(&mut Process) -> Option<Totals>,
    mut second_begins: impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Measured> {
    let ticks_per_s = rustix::param::clock_ticks_per_second();
    let started = Instant::now();
    let before = Ticks::read(&shared(processes))?;
    let mut series = Vec::new();
    let mut memory_kib_max = 0;
    let mut last = (0.0, before.processes[0].1, 0_u64);
    for second in 1..=seconds {
        second_begins(second - 1)?;
        interrupt.pause_until(started + Duration::from_secs(second))?;
        for process in processes.iter_mut() {
            process.check()?;
        }
        let pipeline = processes.first().context("a run has a pipeline")?;
        let memory_kib = process_pss_kib(pipeline.pid())?;
        let ticks = process_ticks(pipeline.pid())?;
        memory_kib_max = memory_kib_max.max(memory_kib);
        let reader = processes.last_mut().context("a run has a reader")?;
        let points = totals(reader).map_or(last.2, |totals| totals.points);
        let at_s = started.elapsed().as_secs_f64();
        let took_s = at_s - last.0;
        series.push(Second {
            at_s,
            cpu_millicores: millicores(ticks.saturating_sub(last.1), took_s, ticks_per_s),
            memory_mib: kib_to_mib(memory_kib),
            points_per_s: if second == 1 { f64::NAN } else { as_f64(points.saturating_sub(last.2)) / took_s },
        });
        last = (at_s, ticks, points);
    }
    let after = Ticks::read(&shared(processes))?;
    let took_s = started.elapsed().as_secs_f64();
    let used = |before: u64, after: u64| millicores(after.saturating_sub(before), took_s, ticks_per_s);
    let mut cpu_by_process: BTreeMap<String, f64> = before
        .processes
        .iter()
        .zip(&after.processes)
        .map(|((name, before), (_, after))| ((*name).to_owned(), used(*before, *after)))
        .collect();
    cpu_by_process.insert("bench-scenario".to_owned(), used(before.ourselves, after.ourselves));
    Ok(Measured {
        window,
        seconds: took_s,
        cpu_by_process,
        machine_busy_millicores: used(before.machine, after.machine),
        memory_mib: kib_to_mib(memory_kib_max),
        series,
    })
}

fn shared<'a>(processes: &'a [&mut Process]) -> Vec<&'a Process> {
    processes.iter().map(|process| &**process).collect()
}

fn kib_to_mib(kib: u64) -> f64 {
    as_f64(kib) / 1_024.0
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::process::Start;
    use super::*;

    fn busy_shell(folder: &Path, name: &'static str) -> Process {
        let arguments = vec!["-c".to_owned(), "while :; do :; done".to_owned()];
        let log = folder.join(name);
        Process::start(Start { name, program: Path::new("/bin/sh"), arguments, log, speaks: false }).unwrap()
    }

    #[test]
    fn a_busy_process_is_seen_each_second() {
        let folder = tempfile::tempdir().unwrap();
        let (mut pipeline, mut reader) = (busy_shell(folder.path(), "pipeline"), busy_shell(folder.path(), "reader"));
        let mut points = 0;
        let totals = |_: &mut Process| {
            points += 50;
            Some(Totals { points, ..Totals::default() })
        };
        let window = window_after(Duration::ZERO, 2);
        let mut begun = Vec::new();
        let begins = |second| {
            begun.push(second);
            Ok(())
        };
        let measured =
            measure(window, 2, &mut [&mut pipeline, &mut reader], &Interrupt::never(), totals, begins).unwrap();
        assert_eq!((measured.series.len(), begun), (2, vec![0, 1]));
        assert!(measured.cpu_by_process["pipeline"] > 10.0 && measured.memory_mib > 0.05, "{measured:?}");
        assert!(measured.machine_busy_millicores >= measured.cpu_by_process["pipeline"] * 0.9);
        assert!((measured.series[1].points_per_s - 50.0).abs() < 20.0);
        assert_eq!(measured.window.end_100ns - measured.window.start_100ns, 20_000_000);
    }

    #[test]
    fn a_process_that_dies_ends_the_window() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = vec!["-c".to_owned(), "echo broken; exit 1".to_owned()];
        let log = folder.path().join("log");
        let start = Start { name: "pipeline", program: Path::new("/bin/sh"), arguments, log, speaks: false };
        let mut pipeline = Process::start(start).unwrap();
        let error = measure(
            window_after(Duration::ZERO, 60),
            60,
            &mut [&mut pipeline],
            &Interrupt::never(),
            |_| None,
            |_| Ok(()),
        )
        .unwrap_err();
        assert!(error.to_string().contains("pipeline") || format!("{error:#}").contains("gone"), "{error:#}");
    }
}
