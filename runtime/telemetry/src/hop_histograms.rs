//! One HDR histogram for each hop of a value's way, merged over cores without loss.

use std::collections::BTreeMap;

use contract::{Hop, Observation};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Decimal digits that a recorded latency keeps: 1 % of its value.
const SIGNIFICANT_DIGITS: u8 = 2;

/// The filled buckets of each hop: its name, then (highest latency of the bucket in microseconds, data points).
pub type HopCounts = BTreeMap<String, Vec<(u64, u64)>>;

/// The percentiles of one hop, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopSummary {
    /// [`Hop::name`].
    pub hop: String,
    /// Data points recorded.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// 90 of 100 took no longer.
    pub p90_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// 999 of 1,000 took no longer.
    pub p99_9_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// The latencies of one core, or merged of several: 1 microsecond to 1 hour, by hop.
///
/// A hop that nothing was recorded for takes no memory; each other one about 25 KiB.
#[derive(Clone, Debug, Default)]
pub struct HopHistograms {
    by_hop: [Option<Box<Histogram<u64>>>; Hop::ALL.len()],
}

impl HopHistograms {
    /// Records one observation. A latency of 0 counts as 1 microsecond.
    pub fn record(&mut self, observation: Observation) {
        let value = u64::from(observation.latency_us.max(1));
        self.histogram(observation.hop).saturating_record_n(value, u64::from(observation.count));
    }

    /// Adds another core's latencies; every count is kept.
    pub fn merge(&mut self, other: &Self) {
        for hop in Hop::ALL {
            if let Some(theirs) = &other.by_hop[index(hop)] {
                self.histogram(hop).add(theirs.as_ref()).expect("both have the hop's range");
            }
        }
    }

    /// Adds what [`HopHistograms::to_counts`] of another process made; every count is kept. Unknown hops are left out, and
    /// a latency beyond an hour counts as one.
    pub fn merge_counts(&mut self, counts: &HopCounts) {
        for hop in Hop::ALL {
            for (latency_us, count) in counts.get(hop.name()).into_iter().flatten() {
                self.histogram(hop).saturating_record_n((*latency_us).max(1), *count);
            }
        }
    }

    /// Each hop that has records. Recording the counts again fills the same buckets: nothing is lost on the way.
    pub fn to_counts(&self) -> HopCounts {
        self.recorded()
            .map(|(hop, histogram)| {
                let buckets = histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()));
                (hop.name().to_owned(), buckets.collect())
            })
            .collect()
    }

    /// The percentiles of each hop that has records, in the order of a value's way.
    pub fn summaries(&self) -> Vec<HopSummary> {
        self.recorded()
            .map(|(hop, histogram)| HopSummary {
                hop: hop.name().to_owned(),
                count: histogram.len(),
                p50_us: histogram.value_at_quantile(0.5),
                p90_us: histogram.value_at_quantile(0.9),
                p99_us: histogram.value_at_quantile(0.99),
                p99_9_us: histogram.value_at_quantile(0.999),
                max_us: histogram.max(),
            })
            .collect()
    }

    fn recorded(&self) -> impl Iterator<Item = (Hop, &Histogram<u64>)> {
        Hop::ALL.into_iter().zip(&self.by_hop).filter_map(|(hop, histogram)| Some((hop, histogram.as_deref()?)))
    }

    fn histogram(&mut self, hop: Hop) -> &mut Histogram<u64> {
        self.by_hop[index(hop)].get_or_insert_with(|| {
            let longest = u64::from(Observation::LATENCY_US_MAX);
            Box::new(Histogram::new_with_bounds(1, longest, SIGNIFICANT_DIGITS).expect("the range is a valid one"))
        })
    }
}

fn index(hop: Hop) -> usize {
    Hop::ALL.iter().position(|candidate| *candidate == hop).expect("ALL holds every hop")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn recorded(latencies_us: &[u64]) -> HopHistograms {
        let mut histograms = HopHistograms::default();
        for latency_us in latencies_us {
            histograms.record(Observation::new(Hop::BatchToSettled, Duration::from_micros(*latency_us), 1));
        }
        histograms
    }

    #[test]
    fn cores_merge_without_loss() {
        let mut whole = recorded(&[10, 20]);
        whole.merge(&recorded(&[3_000_000]));
        let summary = &whole.summaries()[0];
        assert_eq!((summary.hop.as_str(), summary.count, summary.p50_us), ("batch_to_settled", 3, 20));
        assert!((2_970_000..=3_030_000).contains(&summary.max_us), "{summary:?}");
    }

    #[test]
    fn a_histogram_survives_the_control_socket() {
        let sent = recorded(&[1, 10, 100, 1_000, 0, 77_777, 1_234_567_890]);
        let mut received = HopHistograms::default();
        received.merge_counts(&sent.to_counts());
        assert_eq!(received.summaries(), sent.summaries());
        assert_eq!(received.to_counts(), sent.to_counts());
    }

    #[test]
    fn a_hop_of_a_later_version_is_left_out() {
        let mut histograms = HopHistograms::default();
        histograms.merge_counts(&BTreeMap::from([("teleported".to_owned(), vec![(1, 1)])]));
        assert!(histograms.summaries().is_empty());
    }

    #[test]
    fn an_hour_and_more_counts_as_an_hour() {
        let summary = &recorded(&[u64::from(u32::MAX) * 10]).summaries()[0];
        assert!(summary.max_us >= 3_600_000_000);
    }
}
