//! How fast the machine is at the moment: a fixed wake-up loop and a fixed copy, before and after a run.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::Context as _;

/// Round trips between two threads; the median counts.
const WAKES: usize = 2_000;
/// Bytes of one copy: larger than the caches.
const COPY_BYTES: usize = 64 << 20;
/// Copies; the median counts.
const COPIES: usize = 9;
/// Drift beyond which a run is marked, in percent.
pub const DRIFT_PERCENT_MAX: f64 = 15.0;

/// The machine's speed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Microseconds from waking a waiting thread to its running: half a round trip.
    pub wake_us: f64,
    /// Memory copied, in GiB/s.
    pub copy_gib_s: f64,
}

impl Calibration {
    /// Measures it. Takes about half a second.
    ///
    /// # Errors
    /// If the kernel refuses a socket or a thread.
    pub fn take() -> anyhow::Result<Self> {
        Ok(Self { wake_us: wake_us()?, copy_gib_s: copy_gib_s() })
    }

    /// The larger of both changes from `self` to `after`, in percent of `self`.
    pub fn drift_percent(self, after: Self) -> f64 {
        let change = |before: f64, after: f64| (after - before).abs() * 100.0 / before;
        change(self.wake_us, after.wake_us).max(change(self.copy_gib_s, after.copy_gib_s))
    }
}

fn wake_us() -> anyhow::Result<f64> {
    let (mut here, mut there) = UnixStream::pair().context("a pair of sockets")?;
    let echo = std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
        let mut byte = [0];
        while there.read_exact(&mut byte).and_then(|()| there.write_all(&byte)).is_ok() {}
    })?;
    let mut byte = [7];
    let mut times = Vec::with_capacity(WAKES);
    for _ in 0..WAKES {
        let start = Instant::now();
        here.write_all(&byte).and_then(|()| here.read_exact(&mut byte)).context("the echo")?;
        times.push(start.elapsed().as_secs_f64() * 1e6 / 2.0);
    }
    drop(here);
    // It ends with its socket, and nothing of it is needed.
    let _ = echo.join();
    Ok(median(&mut times))
}

fn copy_gib_s() -> f64 {
    let from = vec![1_u8; COPY_BYTES];
    let mut to = vec![0_u8; COPY_BYTES];
    let mut rates: Vec<f64> = (0..COPIES)
        .map(|_| {
            let start = Instant::now();
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&mut to);
            1.0 / 16.0 / start.elapsed().as_secs_f64()
        })
        .collect();
    median(&mut rates)
}

/// The middle of `values`, the upper one of two; 0 where there is none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_speed() {
        let Calibration { wake_us, copy_gib_s } = Calibration::take().unwrap();
        assert!(wake_us > 0.0 && copy_gib_s > 0.0);
    }

    #[test]
    fn drift_is_the_larger_change() {
        let before = Calibration { wake_us: 10.0, copy_gib_s: 8.0 };
        assert!((before.drift_percent(Calibration { wake_us: 11.0, copy_gib_s: 6.0 }) - 25.0).abs() < 1e-9);
        assert!(before.drift_percent(before) < DRIFT_PERCENT_MAX);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(&mut []).abs() < f64::EPSILON);
    }
}
