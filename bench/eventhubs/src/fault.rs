//! Faults that the control port asks for, and the quota: what happens to a delivery instead of being accepted.

use std::time::{Duration, Instant};

use serde::Deserialize;

/// Faults in force at a time; a further one is refused.
pub const FAULTS_COUNT_MAX: usize = 64;

/// What happens to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Rejected with `com.microsoft:server-busy`.
    ServerBusy,
    /// The outcome is Released.
    Released,
    /// The outcome is Modified.
    Modified,
    /// The link is detached.
    Detach,
    /// The connection is cut.
    Disconnect,
    /// No outcome ever.
    Stall,
    /// Rejected with `amqp:link:message-size-exceeded`.
    RejectSize,
    /// Rejected with `amqp:internal-error`.
    InternalError,
    /// The outcome comes later.
    AckLatency,
}

/// A fault as it is asked for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRequest {
    /// What happens.
    pub kind: FaultKind,
    /// To how many deliveries; no limit when absent.
    pub count: Option<u64>,
    /// For how long, in milliseconds; no limit when absent.
    pub ms: Option<u64>,
    /// Only to each `every`th delivery; to all when absent.
    pub every: Option<u64>,
    /// How much later, in milliseconds, for [`FaultKind::AckLatency`].
    pub latency_ms: Option<u64>,
    /// Whether the events are stored all the same: the answer is lost, not the question.
    #[serde(default)]
    pub store: bool,
}

/// A fault in force.
#[derive(Debug)]
struct Fault {
    request: FaultRequest,
    seen: u64,
    left: u64,
    until: Option<Instant>,
}

/// What shall happen to one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// `None`: accepted.
    pub fault: Option<FaultKind>,
    /// Whether it is stored although it fails.
    pub store: bool,
    /// How much later the outcome is said.
    pub latency: Duration,
}

/// All faults in force, in the order they were asked for: the first that matches decides.
#[derive(Debug, Default)]
pub struct Faults {
    faults: Vec<Fault>,
    /// How many deliveries failed on purpose.
    pub hits: u64,
}

impl Faults {
    /// Puts a fault in force. Returns false when there are too many.
    pub fn add(&mut self, request: FaultRequest, now: Instant) -> bool {
        self.faults.retain(|fault| fault.left > 0 && fault.until.is_none_or(|until| now < until));
        if self.faults.len() >= FAULTS_COUNT_MAX {
            return false;
        }
        let until = request.ms.map(|ms| now + Duration::from_millis(ms));
        self.faults.push(Fault { request, seen: 0, left: request.count.unwrap_or(u64::MAX), until });
        true
    }

    /// Ends all faults.
    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// Decides about one delivery. Latencies of several faults add up.
    pub fn judge(&mut self, now: Instant) -> Verdict {
        let mut verdict = Verdict::default();
        if self.faults.is_empty() {
            return verdict;
        }
        self.faults.retain(|fault| fault.left > 0 && fault.until.is_none_or(|until| now < until));
        for fault in &mut self.faults {
            let decides = fault.request.kind != FaultKind::AckLatency;
            if decides && verdict.fault.is_some() {
                continue;
            }
            fault.seen += 1;
            if !fault.seen.is_multiple_of(fault.request.every.unwrap_or(1).max(1)) {
                continue;
            }
            fault.left -= 1;
            if decides {
                verdict.fault = Some(fault.request.kind);
                verdict.store = fault.request.store;
            } else {
                verdict.latency += Duration::from_millis(fault.request.latency_ms.unwrap_or(0));
            }
        }
        self.hits += u64::from(verdict.fault.is_some());
        verdict
    }
}

/// Throughput units: 1 MB/s and 1,000 events/s each, saved up for at most one second.
#[derive(Debug)]
pub struct Quota {
    units: f64,
    bytes: f64,
    events: f64,
    at: Instant,
}

const BYTES_PER_UNIT: f64 = 1_000_000.0;
const EVENTS_PER_UNIT: f64 = 1_000.0;

impl Quota {
    /// A quota that is full.
    pub fn new(units: u32, now: Instant) -> Self {
        let units = f64::from(units);
        Self { units, bytes: units * BYTES_PER_UNIT, events: units * EVENTS_PER_UNIT, at: now }
    }

    /// Takes a batch from the quota. Returns false, and takes nothing, where the quota is used up. A batch larger
    /// than what is left is let through and leaves a debt, as a batch larger than a second's quota must be.
    pub fn take(&mut self, bytes: usize, events: usize, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let refill = |left: f64, rate: f64| (left + elapsed * self.units * rate).min(self.units * rate);
        self.bytes = refill(self.bytes, BYTES_PER_UNIT);
        self.events = refill(self.events, EVENTS_PER_UNIT);
        if self.bytes <= 0.0 || self.events <= 0.0 {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "a batch is smaller than 2^52 bytes")]
        let (bytes, events) = (bytes as f64, events as f64);
        self.bytes -= bytes;
        self.events -= events;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: FaultKind) -> FaultRequest {
        FaultRequest { kind, count: None, ms: None, every: None, latency_ms: None, store: false }
    }

    #[test]
    fn a_fault_hits_each_nth_delivery_until_its_count_is_used_up() {
        let now = Instant::now();
        let mut faults = Faults::default();
        assert!(faults.add(FaultRequest { count: Some(2), every: Some(3), ..request(FaultKind::Released) }, now));
        let hits: Vec<bool> = (0..12).map(|_| faults.judge(now).fault.is_some()).collect();
        let expected: Vec<bool> = (1..=12).map(|delivery| delivery == 3 || delivery == 6).collect();
        assert_eq!((hits, faults.hits), (expected, 2));
    }

    #[test]
    fn a_fault_ends_with_its_time() {
        let now = Instant::now();
        let mut faults = Faults::default();
        assert!(faults.add(FaultRequest { ms: Some(100), ..request(FaultKind::Stall) }, now));
        assert_eq!(faults.judge(now).fault, Some(FaultKind::Stall));
        assert_eq!(faults.judge(now + Duration::from_millis(100)).fault, None);
    }

    #[test]
    fn more_faults_than_the_limit_are_refused() {
        let now = Instant::now();
        let mut faults = Faults::default();
        let added = (0..=FAULTS_COUNT_MAX).filter(|_| faults.add(request(FaultKind::Stall), now)).count();
        assert_eq!(added, FAULTS_COUNT_MAX);
        faults.clear();
        assert_eq!(faults.judge(now), Verdict::default());
    }

    #[test]
    fn a_quota_refuses_past_its_rate_and_recovers() {
        let start = Instant::now();
        let mut quota = Quota::new(1, start);
        assert!(quota.take(500_000, 1_000, start));
        assert!(!quota.take(1, 1, start));
        let later = start + Duration::from_millis(500);
        assert!(quota.take(1_200_000, 1, later));
        assert!(!quota.take(1, 1, later));
        assert!(quota.take(1, 1, later + Duration::from_millis(300)));
    }
}
