//! Which processors the process may use, and pinning a thread to one of them.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors that the calling thread may run on, ascending.
///
/// A container's or `taskset`'s restriction is in it. glommio's pinning ignores such a restriction, so a
/// spec is checked against this before its thread starts.
///
/// # Errors
/// What the kernel says; EINVAL on a machine of more than 1024 processors.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Pins the calling thread to `cpu`.
///
/// # Errors
/// What the kernel says; EINVAL for a processor that cannot be.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_processor_only() {
        let cpu = allowed_cpus().unwrap()[0];
        pin_current_thread(cpu).unwrap();
        assert_eq!(allowed_cpus().unwrap(), [cpu]);
    }

    #[test]
    fn a_processor_that_does_not_exist_is_an_error() {
        assert!(pin_current_thread(CpuSet::MAX_CPU - 1).is_err());
        assert!(pin_current_thread(usize::MAX).is_err());
    }
}
