//! Latency of every message, from its stamp to the read that brought it.

use bench_scenario::report::Quantiles;
use hdrhistogram::Histogram;

/// Longest latency that is told apart: one minute, in nanoseconds. A longer one counts as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Three significant digits.
const DIGITS: u8 = 3;
/// Points of a drawn curve.
const CURVE_POINTS_MAX: usize = 200;

/// An HDR histogram of nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, DIGITS).expect("the bounds are valid"))
    }

    /// Records one message.
    #[inline]
    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.0.saturating_record(latency_ns);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The quantiles of a row, in microseconds; `None` where nothing was recorded.
    pub(crate) fn quantiles_us(&self) -> Quantiles {
        let quantile = |part| (!self.0.is_empty()).then(|| us(self.0.value_at_quantile(part)));
        Quantiles {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: quantile(1.0),
        }
    }

    /// The cumulative distribution: microseconds, and the part of all messages that took no longer.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let part = |step: u32| f64::from(step) / 100.0;
        let parts = (0..=99).map(part).chain((991..=999).map(|step| f64::from(step) / 1_000.0));
        if self.0.is_empty() {
            return Vec::new();
        }
        parts.take(CURVE_POINTS_MAX).map(|part| (us(self.0.value_at_quantile(part)), part)).collect()
    }
}

/// Microseconds with three decimals.
#[expect(clippy::cast_precision_loss, reason = "a minute of nanoseconds is far below 2^53")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_messages_in_microseconds() {
        let mut latency = Latency::new();
        assert_eq!(latency.quantiles_us(), Quantiles::default());
        assert!(latency.curve().is_empty());
        for us in 1..=1_000 {
            latency.record(us * 1_000);
        }
        let close = |value: Option<f64>, us: f64| value.is_some_and(|value| (value - us).abs() <= us * 0.002);
        let quantiles = latency.quantiles_us();
        assert!(close(quantiles.p50, 500.0) && close(quantiles.p99, 990.0) && close(quantiles.max, 1_000.0));
        let curve = latency.curve();
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1));
        latency.record(u64::MAX);
        assert!(latency.quantiles_us().max.is_some_and(|us| us >= 60_000_000.0), "a longer one counts as a minute");
        latency.clear();
        assert_eq!(latency.quantiles_us(), Quantiles::default());
    }
}
