//! Staying within throughput units: each carries 1 MB/s and 1,000 events/s, whichever is used up first.

use std::time::Duration;

use contract::Instant;

/// How far ahead of the rate sending may run after a pause: a quarter of a second.
const BURST_NANOS: u64 = 250_000_000;

/// Two clocks, one for bytes and one for events, that each batch moves forward by its cost. Sending is allowed while
/// neither is more than the burst ahead of now, so a batch larger than the burst goes, and those after it wait longer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateCap {
    throughput_units: Option<u32>,
    bytes_paid_until: Instant,
    events_paid_until: Instant,
}

impl RateCap {
    pub(crate) fn new(throughput_units: Option<u32>) -> Self {
        Self { throughput_units, bytes_paid_until: Instant::ZERO, events_paid_until: Instant::ZERO }
    }

    /// When the next batch may go; not after `now` where it may go at once.
    pub(crate) fn ready_at(&self) -> Instant {
        let latest = self.bytes_paid_until.max(self.events_paid_until);
        Instant::from_nanos(latest.as_nanos().saturating_sub(BURST_NANOS))
    }

    /// Counts a batch that goes at `now`.
    pub(crate) fn spend(&mut self, now: Instant, bytes: usize, events_count: usize) {
        let Some(units) = self.throughput_units else { return };
        let units = u64::from(units.max(1));
        let cost =
            |amount: usize, nanos_each: u64| Duration::from_nanos((amount as u64).saturating_mul(nanos_each) / units);
        self.bytes_paid_until = self.bytes_paid_until.max(now) + cost(bytes, 1_000);
        self.events_paid_until = self.events_paid_until.max(now) + cost(events_count, 1_000_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_in_ten_seconds(units: Option<u32>, bytes: usize, events_count: usize) -> usize {
        let mut cap = RateCap::new(units);
        (0..10_000_u64)
            .map(Instant::from_millis)
            .filter(|now| {
                let goes = cap.ready_at() <= *now;
                if goes {
                    cap.spend(*now, bytes, events_count);
                }
                goes
            })
            .count()
    }

    #[test]
    fn bytes_and_events_each_hold_back() {
        // 2 units: 2,000 events/s or 2 MB/s, and the burst of a quarter of a second.
        assert_eq!(sent_in_ten_seconds(Some(2), 100, 20), 1_025);
        assert_eq!(sent_in_ten_seconds(Some(2), 200_000, 1), 103);
    }

    #[test]
    fn a_batch_larger_than_the_burst_goes_and_those_after_it_wait() {
        assert_eq!(sent_in_ten_seconds(Some(1), 1_000_000, 1), 11);
    }

    #[test]
    fn without_a_cap_everything_goes() {
        assert_eq!(sent_in_ten_seconds(None, 1_000_000, 1_000), 10_000);
    }
}
