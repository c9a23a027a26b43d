//! How many bytes a data point takes under zstd: of a small sample, so that it costs nothing while it is measured.

use anyhow::Context as _;

/// Bytes of payloads that are kept.
const SAMPLE_BYTES_MAX: usize = 2 << 20;
/// The level that the bench reports.
const LEVEL: i32 = 19;

/// The first payloads of the window, up to 2 MiB of them.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    bytes: Vec<u8>,
    points: u64,
}

impl Sample {
    /// Adds a payload of `points` points; one that does not fit is left out, and so are all after it.
    pub(crate) fn add(&mut self, payload: &[u8], points: u64) {
        if self.bytes.len() + payload.len() <= SAMPLE_BYTES_MAX {
            self.bytes.extend_from_slice(payload);
            self.points += points;
        }
    }

    /// Bytes of a point, plain and compressed together with the others; `None` without a point.
    ///
    /// # Errors
    /// If zstd fails.
    pub(crate) fn bytes_per_point(&self) -> anyhow::Result<Option<(f64, f64)>> {
        if self.points == 0 {
            return Ok(None);
        }
        let compressed = zstd::bulk::compress(&self.bytes, LEVEL).context("zstd")?;
        let per_point = |bytes: usize| as_f64(bytes) / as_f64(usize::try_from(self.points).unwrap_or(usize::MAX));
        Ok(Some((per_point(self.bytes.len()), per_point(compressed.len()))))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sample has 2 MiB at most")]
fn as_f64(bytes: usize) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_bounded_and_says_bytes_of_a_point() {
        let mut sample = Sample::default();
        assert_eq!(sample.bytes_per_point().unwrap(), None);
        for _ in 0..5 {
            sample.add(&vec![7; 500_000], 10_000);
        }
        assert_eq!(sample.points, 40_000);
        let (plain, compressed) = sample.bytes_per_point().unwrap().unwrap();
        assert!((plain - 50.0).abs() < 1e-9 && compressed < 1.0);
    }
}
