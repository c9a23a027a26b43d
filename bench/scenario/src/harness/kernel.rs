//! What the kernel says about processes and the machine: CPU time, memory, model.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub model: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
}

impl Machine {
    /// Asks the kernel.
    pub fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            model: parse_model(&read("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_mib: parse_kib(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) / 1_024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// CPU time of a process so far, user and system, in clock ticks.
///
/// # Errors
/// If there is no such process.
pub fn process_ticks(pid: u32) -> anyhow::Result<u64> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    parse_process_ticks(&text).with_context(|| format!("/proc/{pid}/stat reads otherwise"))
}

/// CPU time of a process so far, user and system, in nanoseconds: the sum over its threads. Finer than [`process_ticks`];
/// threads that have ended are not in it.
///
/// # Errors
/// If there is no such process, or the kernel keeps no such account.
pub fn process_cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    let mut sum = 0;
    for task in tasks.flatten() {
        // A thread may end between the listing and the reading.
        let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        sum += parse_schedstat_ns(&text).with_context(|| format!("schedstat of process {pid} reads otherwise"))?;
    }
    Ok(sum)
}

/// CPU time of each thread of a process, by name; threads of one name together.
pub fn thread_ticks(pid: u32) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = Vec::new();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return all };
    for task in tasks.flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (name, ticks) = (read("comm").trim().to_owned(), parse_process_ticks(&read("stat")).unwrap_or(0));
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += ticks,
            None => all.push((name, ticks)),
        }
    }
    all
}

/// Proportional set size of a process in KiB.
///
/// # Errors
/// If there is no such process, or it is somebody else's.
pub fn process_pss_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse_kib(&text, "Pss:").with_context(|| format!("{path} reads otherwise"))
}

/// Time that all cores were busy so far, in clock ticks.
///
/// # Errors
/// If /proc cannot be read.
pub fn machine_busy_ticks() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    parse_busy_ticks(&text).context("/proc/stat reads otherwise")
}

/// Millicores that `ticks` in `seconds` are, with `ticks_per_s` of the clock.
#[expect(clippy::cast_precision_loss, reason = "ticks of a run are far below 2^53")]
pub fn millicores(ticks: u64, seconds: f64, ticks_per_s: u64) -> f64 {
    ticks as f64 * 1_000.0 / ticks_per_s as f64 / seconds
}

/// Memory of the cgroup that holds `pid` alone, at its peak, in MiB; `None` where there is none of its own.
pub fn cgroup_peak_mib(pid: u32) -> Option<f64> {
    let read = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
    let (theirs, ours) = (read(&pid.to_string())?, read("self")?);
    let path = theirs.lines().find_map(|line| line.strip_prefix("0::"))?;
    if ours.lines().any(|line| line.strip_prefix("0::") == Some(path)) {
        return None;
    }
    let file = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')).join("memory.peak");
    let bytes: u32 = std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()?.div_ceil(1_024).try_into().ok()?;
    Some(f64::from(bytes) / 1_024.0)
}

/// User and system time: the 12th and 13th field after the name, which stands in brackets and may hold anything.
fn parse_process_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The first field: time on a processor.
fn parse_schedstat_ns(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// User, nice, system and both kinds of interrupts: neither idle, nor waiting for disks, nor stolen by other machines.
fn parse_busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = fields.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    (ticks.len() >= 7).then(|| ticks[..7].iter().sum::<u64>() - ticks[3] - ticks[4])
}

fn parse_kib(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn parse_model(cpuinfo: &str) -> Option<String> {
    let (_, model) = cpuinfo.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(model.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_hides_no_field() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 4 0 100 1000 20 0";
        assert_eq!(parse_process_ticks(stat), Some(300));
        assert_eq!(parse_process_ticks("42 (a S 1"), None);
        assert_eq!(parse_process_ticks(""), None);
    }

    #[test]
    fn a_second_of_one_core_is_a_thousand_millicores() {
        assert!((millicores(100, 1.0, 100) - 1_000.0).abs() < 1e-9);
        assert!((millicores(25, 10.0, 100) - 25.0).abs() < 1e-9);
        assert!(millicores(0, 60.0, 100).abs() < f64::EPSILON);
    }

    #[test]
    fn busy_is_neither_idle_nor_waiting_nor_stolen() {
        assert_eq!(parse_busy_ticks("cpu  10 1 5 1000 7 2 3 4 9 9\ncpu0 1\n"), Some(21));
        assert_eq!(parse_busy_ticks("cpu  10 1 5\n"), None);
        assert_eq!(parse_busy_ticks("intr 1"), None);
    }

    #[test]
    fn time_on_a_processor_is_the_first_field() {
        assert_eq!(parse_schedstat_ns("1234567 89 10\n"), Some(1_234_567));
        assert_eq!(parse_schedstat_ns(""), None);
    }

    #[test]
    fn sizes_and_models_are_read_by_name() {
        assert_eq!(parse_kib("Rss:   5 kB\nPss:            1234 kB\nPss_Anon: 7 kB\n", "Pss:"), Some(1_234));
        assert_eq!(parse_kib("Pss: many\n", "Pss:"), None);
        assert_eq!(parse_model("processor : 0\nmodel name\t: A CPU @ 2 GHz\n"), Some("A CPU @ 2 GHz".to_owned()));
    }

    #[test]
    fn this_process_has_time_memory_and_threads() {
        let pid = std::process::id();
        assert!(process_ticks(pid).is_ok() && machine_busy_ticks().unwrap() > 0);
        assert!(process_cpu_ns(pid).unwrap() > 0 && process_cpu_ns(u32::MAX).is_err());
        assert!(process_pss_kib(pid).unwrap() > 100);
        assert!(!thread_ticks(pid).is_empty());
        assert!(process_ticks(u32::MAX).is_err());
        assert!(Machine::read().memory_mib > 0);
    }
}
