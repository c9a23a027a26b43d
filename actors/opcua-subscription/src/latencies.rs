//! The latencies of one notification's values, gathered into few observations.

use std::time::Duration;

use contract::{Effects, Hop, UtcTime};

/// Parts of each doubling of the latency; an observation is off by half a part at most: 1.6 %.
const PARTS: u32 = 32;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
/// One hour in microseconds has 32 bits.
const BUCKETS_COUNT: usize = (PARTS * (32 - PARTS_BITS + 1)) as usize;

/// Counts by latency, each bucket 1/32 of its power of two wide.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: Box<[u32; BUCKETS_COUNT]>,
    lowest: usize,
    highest: usize,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS_COUNT]), lowest: BUCKETS_COUNT, highest: 0 }
    }

    /// Counts a value that was made at `source` and read from the socket at `received`; one from the future took no time.
    #[inline]
    pub(crate) fn add(&mut self, source: UtcTime, received: UtcTime) {
        let micros = (received.ticks().saturating_sub(source.ticks()) / 10).clamp(0, 3_600_000_000);
        let bucket = bucket_of(u32::try_from(micros).expect("at most an hour"));
        self.counts[bucket] += 1;
        self.lowest = self.lowest.min(bucket);
        self.highest = self.highest.max(bucket);
    }

    /// Hands the counts over as observations, at most one for each bucket, and begins anew.
    pub(crate) fn drain<E>(&mut self, effects: &mut Effects<E>) {
        for bucket in self.lowest..=self.highest {
            let count = std::mem::take(&mut self.counts[bucket]);
            if count > 0 {
                effects.observe(Hop::SourceToReceived, Duration::from_micros(middle_of(bucket)), count);
            }
        }
        self.lowest = BUCKETS_COUNT;
        self.highest = 0;
    }
}

#[inline]
fn bucket_of(micros: u32) -> usize {
    let shift = (micros | PARTS).ilog2() - PARTS_BITS;
    (shift * PARTS + (micros >> shift)) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let parts = PARTS as usize;
    if bucket < 2 * parts {
        return bucket as u64;
    }
    let shift = bucket / parts - 1;
    let lowest = ((bucket - shift * parts) as u64) << shift;
    lowest + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_bucket_is_near_everything_in_it() {
        for micros in (0..5_000).chain((0..32).map(|bit| (1_u32 << bit) - 1)).chain([3_600_000_000]) {
            let middle = middle_of(bucket_of(micros));
            assert!(middle.abs_diff(u64::from(micros)) * 60 <= u64::from(micros), "{micros} is said to be {middle}");
        }
    }

    #[test]
    fn every_value_is_counted_once() {
        let mut latencies = Latencies::new();
        let mut effects = Effects::<()>::new(1);
        for ticks in 0..10_000 {
            latencies.add(UtcTime::from_ticks(ticks * 977), UtcTime::from_ticks(5_000_000));
        }
        latencies.drain(&mut effects);
        assert_eq!(effects.drain_observations().map(|observation| observation.count).sum::<u32>(), 10_000);
        latencies.drain(&mut effects);
        assert_eq!(effects.drain_observations().count(), 0);
    }
}
