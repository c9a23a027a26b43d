//! Figures of a core or a lane that any thread may read while it runs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use contract::Instant;

/// From here on a turn or a poll counts as a stall: all clients of that core waited for it.
pub(crate) const STALL_MIN: Duration = Duration::from_millis(10);
/// Names of stalled actors and shells kept; stalls of further names are counted under `(others)`.
const STALL_NAMES_MAX: usize = 64;

/// Counters of one executor since its start. Relaxed atomics: each is exact, together they are a snapshot.
#[derive(Debug)]
pub struct ExecutorStats {
    name: String,
    cpu: Option<usize>,
    pub(crate) thread_id: AtomicU32,
    pub(crate) turns: AtomicU64,
    pub(crate) wakes: AtomicU64,
    pub(crate) busy_nanos: AtomicU64,
    pub(crate) cpu_nanos: AtomicU64,
    pub(crate) heartbeats: AtomicU64,
    pub(crate) strandings: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) shells: AtomicU64,
    /// When the loop last went round, and whether it is inside a turn or a poll: for the watchdog.
    pub(crate) seen_nanos: AtomicU64,
    pub(crate) busy: AtomicBool,
    stalls: StallList,
}

/// The stalls of one actor or shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The actor's or the shell's name.
    pub name: &'static str,
    /// Turns or polls of at least 10 ms of elapsed time.
    pub count: u64,
    /// The longest of them.
    pub longest: Duration,
}

impl ExecutorStats {
    pub(crate) fn new(name: &str, cpu: Option<usize>) -> Self {
        Self {
            name: name.to_owned(),
            cpu,
            thread_id: AtomicU32::new(0),
            turns: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            cpu_nanos: AtomicU64::new(0),
            heartbeats: AtomicU64::new(0),
            strandings: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            shells: AtomicU64::new(0),
            seen_nanos: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            stalls: StallList::default(),
        }
    }

    /// The executor's name, which is its thread's too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The processor it is pinned to.
    pub fn cpu(&self) -> Option<usize> {
        self.cpu
    }

    /// The kernel's number of its thread, for `/proc/self/task/<id>/`; 0 before the start.
    pub fn thread_id(&self) -> u32 {
        self.thread_id.load(Ordering::Relaxed)
    }

    /// Turns given to the actors.
    pub fn turn_count(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// How often the loop slept and was woken. Wake-ups of shells alone are not in it.
    pub fn wake_count(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    /// Elapsed time inside turns and shells' polls, without the executor's own.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed))
    }

    /// Processor time of the thread, all of it; as of its last wake or heartbeat, some 100 ms ago at most
    /// unless it is stalled.
    pub fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }

    /// Wake-ups for the heartbeat alone: the core had nothing to do for a whole period.
    pub fn heartbeat_count(&self) -> u64 {
        self.heartbeats.load(Ordering::Relaxed)
    }

    /// How often the loop went on 50 ms or more after it was due, though nothing on the core was running:
    /// glommio parked on runnable work, or the machine gave the thread no processor.
    pub fn stranding_count(&self) -> u64 {
        self.strandings.load(Ordering::Relaxed)
    }

    /// Panics of actors and shells that were contained.
    pub fn panic_count(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Shells alive.
    pub fn shell_count(&self) -> u64 {
        self.shells.load(Ordering::Relaxed)
    }

    /// Who stalled the core, by name.
    pub fn stalls(&self) -> Vec<Stall> {
        self.stalls.snapshot()
    }

    /// Accounts one turn or poll, and names it when it was a stall. Returns whether it was.
    pub(crate) fn account_busy(&self, elapsed: Duration, name: impl FnOnce() -> &'static str) -> bool {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
        let stalled = elapsed >= STALL_MIN;
        if stalled {
            self.stalls.add(name(), elapsed);
        }
        stalled
    }

    pub(crate) fn seen(&self, now: Instant) {
        self.seen_nanos.store(now.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn last_seen(&self) -> Instant {
        Instant::from_nanos(self.seen_nanos.load(Ordering::Relaxed))
    }

    /// Publishes the processor time of the calling thread, which is the executor's.
    pub(crate) fn publish_cpu_time(&self) {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let nanos = time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned();
        self.cpu_nanos.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn publish_thread_id(&self) {
        let id = rustix::thread::gettid().as_raw_nonzero().get();
        self.thread_id.store(id.unsigned_abs(), Ordering::Relaxed);
    }
}

/// Stalls by name, bounded. Its lock is taken once per stall, after 10 ms were lost anyway, and by readers.
#[derive(Debug, Default)]
struct StallList(Mutex<BTreeMap<&'static str, Stall>>);

impl StallList {
    fn add(&self, name: &'static str, elapsed: Duration) {
        let mut stalls = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let full = stalls.len() >= STALL_NAMES_MAX && !stalls.contains_key(name);
        let name = if full { "(others)" } else { name };
        let stall = stalls.entry(name).or_insert(Stall { name, count: 0, longest: Duration::ZERO });
        stall.count += 1;
        stall.longest = stall.longest.max(elapsed);
    }

    fn snapshot(&self) -> Vec<Stall> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_counted_by_name_with_the_longest() {
        let stats = ExecutorStats::new("core", None);
        assert!(!stats.account_busy(Duration::from_millis(9), || "quick"));
        assert!(stats.account_busy(Duration::from_millis(10), || "slow"));
        assert!(stats.account_busy(Duration::from_millis(30), || "slow"));
        assert_eq!(stats.stalls(), [Stall { name: "slow", count: 2, longest: Duration::from_millis(30) }]);
        assert_eq!(stats.busy(), Duration::from_millis(49));
    }

    #[test]
    fn the_list_of_stalls_does_not_grow_past_its_limit() {
        let list = StallList::default();
        for number in 0..STALL_NAMES_MAX + 10 {
            list.add(Box::leak(format!("actor {number}").into_boxed_str()), STALL_MIN);
        }
        let stalls = list.snapshot();
        assert_eq!(stalls.len(), STALL_NAMES_MAX + 1);
        assert_eq!(stalls.iter().find(|stall| stall.name == "(others)").map(|stall| stall.count), Some(10));
    }
}
