//! Guessing is slow: an address may fail a few times, and then again every so often.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How often an address may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimits {
    /// Failures at once, at least 1; 10 is usual.
    pub burst_count: u32,
    /// Then one more each such time; 6 s is usual, 10 a minute.
    pub interval: Duration,
    /// Addresses that are remembered, at least 1; 4,096 are about 300 kB. With more, those are forgotten that would have been
    /// free soonest.
    pub addresses_count_max: usize,
}

impl Default for FailureLimits {
    fn default() -> Self {
        Self { burst_count: 10, interval: Duration::from_secs(6), addresses_count_max: 4_096 }
    }
}

/// Addresses that have failed lately. Who has not failed is not in it and costs nothing.
#[derive(Debug)]
pub(crate) struct FailureLimit {
    limits: FailureLimits,
    addresses: BTreeMap<IpAddr, Failures>,
}

#[derive(Debug)]
struct Failures {
    /// When all failures are forgiven, one each interval.
    forgiven_at: Instant,
    /// Attempts that are being checked, each of which may fail.
    pending_count: u32,
}

impl FailureLimit {
    pub(crate) fn new(limits: FailureLimits) -> Self {
        assert!(limits.burst_count > 0, "with no failure allowed, nobody could try");
        assert!(limits.addresses_count_max > 0, "a table without place limits nobody");
        Self { limits, addresses: BTreeMap::new() }
    }

    /// Whether `peer` may try at `now`; each attempt that may is followed by one [`settle`](Self::settle).
    pub(crate) fn admit(&mut self, peer: IpAddr, now: Instant) -> bool {
        let Some(failures) = self.addresses.get_mut(&group(peer)) else { return true };
        let counted = failures.unforgiven(now) + self.limits.interval * (failures.pending_count + 1);
        if counted > self.limits.interval * self.limits.burst_count {
            return false;
        }
        failures.pending_count += 1;
        true
    }

    /// An attempt of `peer` has ended, `failed` or not.
    pub(crate) fn settle(&mut self, peer: IpAddr, failed: bool, now: Instant) {
        let peer = group(peer);
        if let Some(failures) = self.addresses.get_mut(&peer) {
            // An attempt that began before the first failure was not counted as pending.
            failures.pending_count = failures.pending_count.saturating_sub(1);
            if failed {
                failures.forgiven_at = failures.forgiven_at.max(now) + self.limits.interval;
            } else if failures.pending_count == 0 && failures.forgiven_at <= now {
                self.addresses.remove(&peer);
            }
        } else if failed {
            self.make_room(now);
            let forgiven_at = now + self.limits.interval;
            self.addresses.insert(peer, Failures { forgiven_at, pending_count: 0 });
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() < self.limits.addresses_count_max {
            return;
        }
        self.addresses.retain(|_, failures| failures.forgiven_at > now || failures.pending_count > 0);
        while self.addresses.len() >= self.limits.addresses_count_max {
            let soonest = self.addresses.iter().min_by_key(|(_, failures)| failures.forgiven_at);
            let Some(peer) = soonest.map(|(peer, _)| *peer) else { break };
            self.addresses.remove(&peer);
        }
    }
}

impl Failures {
    fn unforgiven(&self, now: Instant) -> Duration {
        self.forgiven_at.saturating_duration_since(now)
    }
}

/// An address of version 6 counts by its network of 64 bits, for one customer has all of them.
fn group(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(peer) => IpAddr::V4(peer),
        IpAddr::V6(peer) => IpAddr::V6(Ipv6Addr::from_bits(peer.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(burst_count: u32, addresses_count_max: usize) -> FailureLimit {
        FailureLimit::new(FailureLimits { burst_count, interval: SECOND, addresses_count_max })
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn after_some_failures_one_more_is_allowed_each_interval() {
        let (mut limit, start) = (limit(3, 10), Instant::now());
        for _ in 0..3 {
            assert!(limit.admit(peer("10.0.0.1"), start));
            limit.settle(peer("10.0.0.1"), true, start);
        }
        assert!(!limit.admit(peer("10.0.0.1"), start));
        assert!(limit.admit(peer("10.0.0.2"), start));
        assert!(!limit.admit(peer("10.0.0.1"), start + SECOND / 2));
        assert!(limit.admit(peer("10.0.0.1"), start + SECOND));
        assert!(!limit.admit(peer("10.0.0.1"), start + SECOND), "one that is being checked counts");
        limit.settle(peer("10.0.0.1"), false, start + SECOND);
        assert!(limit.admit(peer("10.0.0.1"), start + SECOND), "a success gives its place back");
    }

    #[test]
    fn who_succeeds_is_never_limited_nor_remembered() {
        let (mut limit, start) = (limit(1, 10), Instant::now());
        for _ in 0..1_000 {
            assert!(limit.admit(peer("10.0.0.1"), start));
        }
        for _ in 0..1_000 {
            limit.settle(peer("10.0.0.1"), false, start);
        }
        assert!(limit.addresses.is_empty());
    }

    #[test]
    fn one_network_of_version_6_and_a_mapped_address_count_once() {
        let (mut limit, start) = (limit(1, 10), Instant::now());
        limit.settle(peer("2001:db8::1"), true, start);
        assert!(!limit.admit(peer("2001:db8::ffff:2"), start) && limit.admit(peer("2001:db8:0:1::1"), start));
        limit.settle(peer("::ffff:10.0.0.1"), true, start);
        assert!(!limit.admit(peer("10.0.0.1"), start));
    }

    #[test]
    fn a_full_table_forgets_who_would_be_free_soonest() {
        let (mut limit, start) = (limit(1, 2), Instant::now());
        for _ in 0..5 {
            limit.settle(peer("10.0.0.1"), true, start);
        }
        for number in 2..=200 {
            limit.settle(peer(&format!("10.0.0.{number}")), true, start);
            assert!(limit.addresses.len() <= 2);
        }
        assert!(!limit.admit(peer("10.0.0.1"), start), "the worst stays");
        limit.settle(peer("10.0.1.1"), true, start + 9 * SECOND);
        assert_eq!(limit.addresses.len(), 1, "who is forgiven makes room");
    }
}
