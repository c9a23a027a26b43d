//! Which core the broker gets, and which the generator.

use anyhow::{Context as _, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    /// The broker's, by the kernel's number.
    pub(crate) broker: usize,
    /// The generator's.
    pub(crate) generator: usize,
}

impl Cores {
    /// The first processor that we may use for the generator, the last one for the broker.
    ///
    /// # Errors
    /// If there is only one.
    pub(crate) fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("the processors that we may use")?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        ensure!(allowed.len() > 1, "broker and generator need a processor each: this process may use only one");
        Ok(Self { broker: allowed[allowed.len() - 1], generator: allowed[0] })
    }

    /// Goes on on the generator's core.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn take_generator(self) -> anyhow::Result<()> {
        pin(self.generator)
    }

    /// Has `start` start a process, which stays on the broker's core, and goes on on the generator's.
    ///
    /// # Errors
    /// If the kernel refuses, or `start` fails.
    pub(crate) fn start_broker<T>(self, start: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        // A child inherits the affinity of the thread that starts it: it never runs anywhere else.
        pin(self.broker)?;
        let started = start();
        self.take_generator()?;
        started
    }
}

fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("processor {cpu} may not be used alone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_started_on_the_brokers_core_and_we_go_on_on_ours() {
        let Ok(cores) = Cores::choose() else { return };
        let on_core = |cpu: usize| sched_getaffinity(None).is_ok_and(|set| set.is_set(cpu) && set.count() == 1);
        assert!(cores.start_broker(|| Ok(on_core(cores.broker))).unwrap());
        assert!(on_core(cores.generator) && cores.broker != cores.generator);
        assert!(cores.start_broker(|| anyhow::bail!("no")).map(|()| true).is_err() && on_core(cores.generator));
    }
}
