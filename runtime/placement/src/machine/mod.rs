//! What the kernel says about this machine and this process. Nothing here is guessed from an index.

mod cgroup;
mod cpus;

use std::fs;
use std::path::Path;

pub use cpus::Cpu;

use crate::profile::CoreClass;

/// Facts that a plan is made from. Read by [`MachineFacts::read`]; tests make their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFacts {
    /// The processors that this process may use (affinity mask, cpuset), ascending by number; at least one.
    pub cpus: Vec<Cpu>,
    /// Processors that are online, whether the process may use them or not.
    pub online_count: usize,
    /// Whether the kernel told which processors are siblings; where it did not, each counts as a physical core.
    pub has_topology: bool,
    /// CPU time of the process's cgroup in thousandths of a core; `None`: no quota.
    pub quota_millicores: Option<u64>,
    /// Memory of the machine in bytes; 0 where the kernel does not say.
    pub memory_bytes: u64,
    /// Memory limit of the process's cgroup in bytes; `None`: no limit.
    pub memory_limit_bytes: Option<u64>,
    /// Soft limit of locked memory in bytes; `None`: unlimited.
    pub memlock_bytes: Option<u64>,
    /// Whether the process holds `CAP_IPC_LOCK`, which lifts that limit.
    pub has_ipc_lock: bool,
    /// Soft limit of open files; `None`: unlimited.
    pub open_files_max: Option<u64>,
    /// `kernel.io_uring_disabled`: 0 open, 1 by group, 2 closed; `None` where the kernel has no such switch.
    pub io_uring_disabled: Option<u8>,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The processor's name; empty where the kernel does not say.
    pub model: String,
}

/// Why the facts cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// The kernel's own list of the processors that this process may use is missing.
    #[error("{path} does not say which processors this process may use: is /proc mounted?")]
    Affinity {
        /// The file that was read.
        path: String,
    },
}

impl MachineFacts {
    /// Reads the facts from `/proc` and `/sys` below `root`, which is `/` but in tests.
    ///
    /// # Errors
    /// [`MachineError`]: `/proc` is not there. What else is missing is left open in the facts.
    pub fn read(root: &Path) -> Result<Self, MachineError> {
        let status_path = root.join("proc/self/status");
        let status = text(&status_path);
        let allowed = field(&status, "Cpus_allowed_list:").map(cpus::parse_list).unwrap_or_default();
        let limits = text(&root.join("proc/self/limits"));
        let memory_info = text(&root.join("proc/meminfo"));
        let cpu_info = text(&root.join("proc/cpuinfo"));
        let (cpus, has_topology) = cpus::read(root, &allowed);
        if cpus.is_empty() {
            return Err(MachineError::Affinity { path: status_path.display().to_string() });
        }
        let online = cpus::parse_list(&text(&root.join("sys/devices/system/cpu/online")));
        let cgroup = cgroup::read(root);
        Ok(Self {
            online_count: online.len().max(cpus.len()),
            cpus,
            has_topology,
            quota_millicores: cgroup.quota_millicores,
            memory_bytes: kibibytes(&memory_info, "MemTotal:"),
            memory_limit_bytes: cgroup.memory_bytes,
            memlock_bytes: soft_limit(&limits, "Max locked memory"),
            has_ipc_lock: has_ipc_lock(&status),
            open_files_max: soft_limit(&limits, "Max open files"),
            io_uring_disabled: text(&root.join("proc/sys/kernel/io_uring_disabled")).trim().parse().ok(),
            kernel: text(&root.join("proc/sys/kernel/osrelease")).trim().to_owned(),
            model: field(&cpu_info, "model name")
                .map_or("", |value| value.trim_start_matches([':', '\t', ' ']))
                .to_owned(),
        })
    }

    /// The processors in the order in which profiles count them: one of each physical core first, performance cores
    /// before efficiency cores, by package and number; then the second siblings in the same order, and so on.
    pub fn cpus_in_order(&self) -> Vec<&Cpu> {
        let mut cpus: Vec<&Cpu> = self.cpus.iter().collect();
        cpus.sort_by_key(|cpu| (cpu.sibling, cpu.class, cpu.package, cpu.core_leader, cpu.number));
        cpus
    }

    /// Physical cores of which the process may use at least one processor.
    pub fn physical_cores_count(&self) -> usize {
        self.cpus.iter().filter(|cpu| cpu.sibling == 0).count()
    }

    /// Physical cores of a class.
    pub fn class_count(&self, class: CoreClass) -> usize {
        self.cpus.iter().filter(|cpu| cpu.sibling == 0 && cpu.class == class).count()
    }

    /// Physical cores, or what the quota leaves of them, rounded up.
    pub(crate) fn cores_worth(&self) -> usize {
        let quota = self
            .quota_millicores
            .map_or(usize::MAX, |quota| usize::try_from(quota.div_ceil(1_000)).unwrap_or(usize::MAX));
        self.physical_cores_count().min(quota)
    }
}

/// A kernel's file as text; empty where it cannot be read. Such files are small.
fn text(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn kibibytes(text: &str, name: &str) -> u64 {
    let value =
        field(text, name).and_then(|value| value.split_whitespace().next()).and_then(|value| value.parse().ok());
    value.map_or(0, |kibibytes: u64| kibibytes.saturating_mul(1_024))
}

/// The soft limit of `/proc/self/limits`; `None` for "unlimited" and where the line is missing.
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    field(limits, name)?.split_whitespace().next()?.parse().ok()
}

fn has_ipc_lock(status: &str) -> bool {
    const CAP_IPC_LOCK_BIT: u64 = 1 << 14;
    let capabilities = field(status, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    capabilities.is_some_and(|capabilities| capabilities & CAP_IPC_LOCK_BIT != 0)
}
