//! What must hold before the first executor is made, told with the remedy.
//!
//! glommio answers a blocked io_uring, and locked memory that ran out, with a panic that blames the
//! kernel's age; here both have their own text.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::executors::ExecutorSpec;

/// glommio refuses less, whatever the privileges.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;
/// Three registrations of 64 KiB; measured together with the rings below on Linux 6.18.
const BUFFERS_BYTES: u64 = 192 << 10;
/// Locked memory of the three rings by entry of `ring_depth`: 8 MiB hold 16 executors of depth 1024, 34 of 128.
const RING_BYTES_PER_ENTRY: u64 = 320;
/// `CAP_IPC_LOCK` in the kernel's capability sets: its holder is not limited by memlock.
const CAP_IPC_LOCK_BIT: u64 = 1 << 14;

/// What the kernel says about this process. Gathered by [`preflight`]; tests make their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFacts {
    /// The errno of setting up a ring; `None` when that worked.
    pub io_uring_errno: Option<i32>,
    /// `kernel.io_uring_disabled`: 0 open, 1 by group, 2 closed; `None` where the kernel has no such switch.
    pub io_uring_disabled: Option<u8>,
    /// Soft limit of locked memory in bytes; `None` is unlimited.
    pub memlock_bytes: Option<u64>,
    /// Whether the process holds `CAP_IPC_LOCK`.
    pub ipc_lock: bool,
}

/// Why no executor can run here, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// The switch `kernel.io_uring_disabled` is on.
    #[error(
        "io_uring is switched off on this machine (kernel.io_uring_disabled = {value}): as root, run \
         `sysctl -w kernel.io_uring_disabled=0`, and write it to /etc/sysctl.d/ to keep it"
    )]
    IoUringDisabled {
        /// The switch's value, 1 or 2.
        value: u8,
    },
    /// The system call is forbidden, but not by the switch.
    #[error(
        "io_uring is forbidden to this process, as in containers with their default seccomp profile: allow \
         io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile, or run the \
         binary outside the container"
    )]
    IoUringForbidden,
    /// The kernel does not know io_uring.
    #[error(
        "this kernel has no io_uring, or hides it (ENOSYS): Linux 5.8 or later is needed, and a seccomp profile that allows io_uring"
    )]
    IoUringMissing,
    /// Any other failure of the probe.
    #[error("io_uring cannot be set up: {text}")]
    IoUringFailed {
        /// What the kernel says.
        text: String,
    },
    /// The limit of locked memory is too small for the executors.
    #[error(
        "the limit of locked memory is {limit_bytes} bytes, {executor_count} executors need {needed_bytes}: set \
         `LimitMEMLOCK=infinity` in the systemd unit, or raise memlock in /etc/security/limits.conf (see `ulimit -l`), \
         or use fewer cores"
    )]
    Memlock {
        /// The soft limit in bytes.
        limit_bytes: u64,
        /// What they need, in bytes; other processes of the same user count against the limit too.
        needed_bytes: u64,
        /// How many executors.
        executor_count: usize,
    },
}

/// Checks this process and machine for running `specs`. Call it before the first executor.
///
/// # Errors
/// The first [`PreflightError`] in the order io_uring, locked memory. Its text is for the operator.
pub fn preflight(specs: &[ExecutorSpec]) -> Result<(), PreflightError> {
    MachineFacts::gather().check(specs)
}

impl MachineFacts {
    /// Asks the kernel: sets up a ring of two entries and closes it, and reads limits and capabilities.
    pub fn gather() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            io_uring_errno: io_uring::IoUring::new(2).err().map(|error| error.raw_os_error().unwrap_or(0)),
            io_uring_disabled: fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
                .ok()
                .and_then(|text| text.trim().parse().ok()),
            memlock_bytes: getrlimit(Resource::Memlock).current,
            ipc_lock: effective_capabilities(&status) & CAP_IPC_LOCK_BIT != 0,
        }
    }

    /// The check on given facts.
    ///
    /// # Errors
    /// As [`preflight`].
    pub fn check(&self, specs: &[ExecutorSpec]) -> Result<(), PreflightError> {
        if let Some(errno) = self.io_uring_errno {
            return self.check_io_uring(errno, specs.len());
        }
        let Some(limit_bytes) = self.memlock_bytes else { return Ok(()) };
        let locked_bytes = specs.iter().map(|spec| locked_bytes(spec.ring_depth)).sum();
        // The floor is glommio's and binds privileged processes too.
        let needed_bytes = if self.ipc_lock { MEMLOCK_BYTES_MIN } else { MEMLOCK_BYTES_MIN.max(locked_bytes) };
        if limit_bytes < needed_bytes {
            return Err(PreflightError::Memlock { limit_bytes, needed_bytes, executor_count: specs.len() });
        }
        Ok(())
    }

    fn check_io_uring(&self, errno: i32, executor_count: usize) -> Result<(), PreflightError> {
        Err(match Errno::from_raw_os_error(errno) {
            Errno::PERM | Errno::ACCESS => match self.io_uring_disabled {
                Some(value @ 1..) => PreflightError::IoUringDisabled { value },
                Some(0) | None => PreflightError::IoUringForbidden,
            },
            Errno::NOSYS => PreflightError::IoUringMissing,
            // A ring of two entries did not fit: an executor that ended a moment ago gives its memory back late,
            // so an executor's own start may still succeed on its second attempt.
            Errno::NOMEM if self.memlock_bytes.is_some_and(|limit| limit >= MEMLOCK_BYTES_MIN) => {
                tracing::warn!(executor_count, "locked memory is used up at the moment; the start tries twice");
                return Ok(());
            }
            other => PreflightError::IoUringFailed { text: other.to_string() },
        })
    }
}

/// Locked memory of one executor in bytes.
fn locked_bytes(ring_depth: usize) -> u64 {
    BUFFERS_BYTES + RING_BYTES_PER_ENTRY * u64::try_from(ring_depth).unwrap_or(u64::MAX >> 16)
}

/// The `CapEff` line of `/proc/self/status`; 0 where it is missing or no number.
fn effective_capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPERM: i32 = 1;
    const ENOMEM: i32 = 12;
    const ENOSYS: i32 = 38;

    fn facts() -> MachineFacts {
        MachineFacts { io_uring_errno: None, io_uring_disabled: Some(0), memlock_bytes: Some(8 << 20), ipc_lock: false }
    }

    fn specs(count: usize, ring_depth: usize) -> Vec<ExecutorSpec> {
        (0..count).map(|_| ExecutorSpec { ring_depth, ..ExecutorSpec::new("core", None) }).collect()
    }

    #[test]
    fn eight_mebibytes_hold_what_was_measured() {
        assert_eq!(facts().check(&specs(16, 1024)), Ok(()));
        assert_eq!(facts().check(&specs(34, 128)), Ok(()));
        assert!(matches!(facts().check(&specs(17, 1024)), Err(PreflightError::Memlock { executor_count: 17, .. })));
    }

    #[test]
    fn a_small_limit_is_refused_with_the_remedy() {
        let small = MachineFacts { memlock_bytes: Some(64 << 10), ..facts() };
        let text = small.check(&specs(1, 128)).unwrap_err().to_string();
        assert!(text.contains("LimitMEMLOCK=") && text.contains("65536"), "{text}");
    }

    #[test]
    fn a_privileged_process_meets_only_the_floor() {
        let privileged = MachineFacts { ipc_lock: true, memlock_bytes: Some(MEMLOCK_BYTES_MIN), ..facts() };
        assert_eq!(privileged.check(&specs(100, 1024)), Ok(()));
        let below = MachineFacts { memlock_bytes: Some(MEMLOCK_BYTES_MIN - 1), ..privileged };
        assert!(matches!(below.check(&specs(1, 128)), Err(PreflightError::Memlock { .. })));
    }

    #[test]
    fn an_unlimited_process_runs_any_number() {
        assert_eq!(MachineFacts { memlock_bytes: None, ..facts() }.check(&specs(500, 4096)), Ok(()));
    }

    #[test]
    fn each_way_to_lack_io_uring_has_its_own_remedy() {
        let check = |errno, disabled| {
            let facts = MachineFacts { io_uring_errno: Some(errno), io_uring_disabled: disabled, ..facts() };
            facts.check(&specs(1, 128))
        };
        let off = check(EPERM, Some(2));
        assert_eq!(off, Err(PreflightError::IoUringDisabled { value: 2 }));
        assert!(off.unwrap_err().to_string().contains("sysctl -w kernel.io_uring_disabled=0"));
        assert_eq!(check(EPERM, Some(0)), Err(PreflightError::IoUringForbidden));
        assert!(check(EPERM, None).unwrap_err().to_string().contains("seccomp"));
        assert_eq!(check(ENOSYS, None), Err(PreflightError::IoUringMissing));
        assert!(matches!(check(5, None), Err(PreflightError::IoUringFailed { .. })));
        assert_eq!(check(ENOMEM, Some(0)), Ok(()), "the executor's own start retries");
    }

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t0000000000004000\n"), CAP_IPC_LOCK_BIT);
        assert_eq!(effective_capabilities("Name:\tx\n"), 0);
        assert_eq!(effective_capabilities("CapEff:\tnone\n"), 0);
    }

    #[test]
    fn this_machine_is_asked_without_a_panic() {
        let gathered = MachineFacts::gather();
        assert_eq!(gathered, MachineFacts::gather());
    }
}
