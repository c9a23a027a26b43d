//! Latency of every data point: from its SourceTimestamp to the moment the hub accepted its event.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart: one hour, in microseconds. A longer one counts as this.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Three significant digits.
const DIGITS: u8 = 3;
/// Points of the curve that the report draws.
const CURVE_POINTS_MAX: usize = 400;

/// An HDR histogram of microseconds, three significant digits, up to an hour.
#[derive(Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
    negative: u64,
}

/// A latency in milliseconds, and the part of all points that took no longer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct CurvePoint {
    pub(crate) ms: f64,
    pub(crate) part: f64,
}

/// The quantiles that a report gives, in milliseconds; `None` where there was no point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: Option<f64>,
    /// 90 % took no longer.
    pub p90: Option<f64>,
    /// 99 % took no longer.
    pub p99: Option<f64>,
    /// 99.9 % took no longer.
    pub p99_9: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

impl Quantiles {
    /// Applies `change` to each.
    pub(crate) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self {
            p50: self.p50.map(&change),
            p90: self.p90.map(&change),
            p99: self.p99.map(&change),
            p99_9: self.p99_9.map(&change),
            max: self.max.map(&change),
        }
    }

    /// What lies beyond `interval_ms`: `max(0, latency - interval)` rises with the latency, so its quantiles are these.
    pub(crate) fn beyond(self, interval_ms: f64) -> Self {
        self.map(|ms| rounded((ms - interval_ms).max(0.0)))
    }
}

impl Latencies {
    /// An empty histogram.
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("the bounds are valid");
        Self { histogram, negative: 0 }
    }

    /// Records one point. One that was accepted before it was made counts as 0 and is counted apart.
    pub(crate) fn record(&mut self, source_100ns: i64, accepted_us: i64) {
        let latency_us = accepted_us.saturating_mul(10).saturating_sub(source_100ns) / 10;
        if let Ok(latency_us) = u64::try_from(latency_us) {
            self.histogram.saturating_record(latency_us.min(LATENCY_US_MAX));
        } else {
            self.negative += 1;
            self.histogram.saturating_record(0);
        }
    }

    /// Points that were accepted before they were made: the clocks disagree.
    pub(crate) fn negative(&self) -> u64 {
        self.negative
    }

    /// Points recorded.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that `part` of all points did not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, part: f64) -> Option<f64> {
        (self.count() > 0).then(|| ms(self.histogram.value_at_quantile(part)))
    }

    /// The quantiles of the report.
    pub(crate) fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50: self.quantile_ms(0.5),
            p90: self.quantile_ms(0.9),
            p99: self.quantile_ms(0.99),
            p99_9: self.quantile_ms(0.999),
            max: (self.count() > 0).then(|| ms(self.histogram.max())),
        }
    }

    /// The cumulative distribution, at most [`CURVE_POINTS_MAX`] points of it.
    pub(crate) fn curve(&self) -> Vec<CurvePoint> {
        let mut curve = Vec::new();
        for value in self.histogram.iter_recorded() {
            curve.push(CurvePoint { ms: ms(value.value_iterated_to()), part: value.quantile() });
        }
        let stride = curve.len().div_ceil(CURVE_POINTS_MAX - 1).max(1);
        let last = curve.last().copied();
        let mut thinned: Vec<CurvePoint> = curve.into_iter().step_by(stride).collect();
        if let Some(last) = last.filter(|last| thinned.last() != Some(last)) {
            thinned.push(last);
        }
        thinned
    }
}

/// Milliseconds with three decimals.
fn rounded(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "an hour of microseconds is far below 2^53")]
fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: Option<f64>, right: f64) -> bool {
        left.is_some_and(|left| (left - right).abs() <= right * 0.002)
    }

    #[test]
    fn quantiles_are_those_of_the_points() {
        let mut latencies = Latencies::new();
        for latency_ms in 1..=1_000 {
            latencies.record(5_000_000, 500_000 + latency_ms * 1_000);
        }
        let Quantiles { p50, p90, p99, p99_9, max } = latencies.quantiles();
        assert!(
            close(p50, 500.0) && close(p90, 900.0) && close(p99, 990.0) && close(p99_9, 999.0) && close(max, 1_000.0)
        );
        let beyond = latencies.quantiles().beyond(900.0);
        assert_eq!(beyond.p50, Some(0.0));
        assert!(beyond.p99.is_some_and(|ms| (ms - 90.0).abs() < 2.0));
        let curve = latencies.curve();
        assert!(curve.len() <= CURVE_POINTS_MAX);
        assert!(curve.windows(2).all(|pair| pair[0].ms < pair[1].ms && pair[0].part <= pair[1].part));
        assert!((curve.last().unwrap().part - 1.0).abs() < 1e-9);
    }

    #[test]
    fn clocks_that_disagree_are_counted_and_hours_are_cut() {
        let mut latencies = Latencies::new();
        latencies.record(20, 1);
        latencies.record(0, 7_200_000_000);
        assert_eq!((latencies.negative(), latencies.count()), (1, 2));
        assert!(latencies.quantiles().max.unwrap() >= 3_600_000.0);
        assert_eq!(Latencies::new().quantiles(), Quantiles::default());
        assert!(Latencies::new().curve().is_empty());
    }
}
