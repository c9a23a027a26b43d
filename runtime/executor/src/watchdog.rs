//! Waits for the cores to end, and wakes one that sleeps on work for longer than its own timers allow.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use contract::Instant;
use mailbox::Doorbell;

use crate::stats::ExecutorStats;
use crate::stop::{Left, StopReport};
use crate::supervisor::Supervisor;

/// One look a second costs some 0.02 thousandths of a core.
const PERIOD: Duration = Duration::from_secs(1);
/// A loop goes round at least once a heartbeat, its guard timer comes after three.
const HEARTBEATS_MISSED_MAX: u32 = 5;
/// How long after a stop's deadline a thread may take to say what it leaves.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A core as the watchdog sees it.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) index: usize,
    pub(crate) thread: JoinHandle<()>,
    pub(crate) stats: Arc<ExecutorStats>,
    /// Wakes a task of the executor that does nothing else.
    pub(crate) rescue: Doorbell,
    pub(crate) heartbeat: Duration,
}

impl Watched {
    /// Wakes the executor when its loop should have gone round and nothing runs on it.
    ///
    /// The loop itself counts the stranding when it goes on.
    fn rescue_if_stranded(&self, now: Instant) {
        let seen = self.stats.last_seen();
        let silent = now - seen;
        let started = seen > Instant::ZERO;
        let busy = self.stats.busy.load(Ordering::Relaxed);
        if started && !busy && silent >= (self.heartbeat * HEARTBEATS_MISSED_MAX).max(PERIOD) {
            tracing::warn!(executor = self.stats.name(), silent_ms = silent.as_millis(), "waking a core that sleeps");
            self.rescue.ring();
        }
    }
}

/// Returns when all cores have ended, or shortly after a stop's deadline; says what was left.
pub(crate) fn watch(
    supervisor: &Supervisor,
    mut watched: Vec<Watched>,
    ends: &flume::Receiver<(usize, Vec<Left>)>,
) -> StopReport {
    let mut report = StopReport::default();
    let (clock, token) = (supervisor.clock(), supervisor.stop_token());
    while !watched.is_empty() {
        let give_up_at = token.deadline().map(|deadline| deadline + LAST_WORD);
        let wait = give_up_at.map_or(PERIOD, |at| clock.until(at).min(PERIOD));
        if let Ok((index, left)) = ends.recv_timeout(wait) {
            report.left.extend(left);
            if let Some(position) = watched.iter().position(|core| core.index == index) {
                // The thread has nothing left to do but to return; its panics are caught and reported.
                let _ended = watched.swap_remove(position).thread.join();
            }
            continue;
        }
        let now = clock.now();
        if give_up_at.is_some_and(|at| at <= now) {
            let threads = watched.iter().map(|core| core.stats.name().to_owned());
            report.left.extend(threads.map(|executor| Left { executor, what: "thread", count: 1 }));
            break;
        }
        for core in &watched {
            core.rescue_if_stranded(now);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_is_silent_without_being_busy_is_woken() {
        let (stats, rescue) = (Arc::new(ExecutorStats::new("core", None)), Doorbell::new());
        let (thread, heartbeat) = (std::thread::spawn(|| ()), Duration::from_millis(300));
        let core = Watched { index: 0, thread, stats: Arc::clone(&stats), rescue: rescue.clone(), heartbeat };
        core.rescue_if_stranded(Instant::from_millis(60_000));
        assert!(!rescue.is_rung(), "it has not started");
        stats.seen(Instant::from_millis(1_000));
        core.rescue_if_stranded(Instant::from_millis(2_499));
        assert!(!rescue.is_rung(), "five heartbeats are not over");
        stats.busy.store(true, Ordering::Relaxed);
        core.rescue_if_stranded(Instant::from_millis(2_500));
        assert!(!rescue.is_rung(), "it is busy");
        stats.busy.store(false, Ordering::Relaxed);
        core.rescue_if_stranded(Instant::from_millis(2_500));
        assert!(rescue.is_rung());
    }
}
