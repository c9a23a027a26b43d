//! Leaving early: SIGINT and SIGTERM end the run, and the run ends its processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;

/// How often a pause looks whether somebody wants to leave.
const LOOK: Duration = Duration::from_millis(50);

/// Whether somebody wants to leave.
#[derive(Debug, Clone)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens to SIGINT and SIGTERM.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn listen() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self { asked })
    }

    /// One that never comes.
    pub fn never() -> Self {
        Self { asked: Arc::new(AtomicBool::new(false)) }
    }

    /// Complains if somebody wants to leave.
    ///
    /// # Errors
    /// If so.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.asked.load(Ordering::Relaxed) {
            bail!("interrupted: all processes of the run are ended, nothing was written");
        }
        Ok(())
    }

    /// Waits until `deadline`.
    ///
    /// # Errors
    /// If somebody wants to leave.
    pub fn pause_until(&self, deadline: Instant) -> anyhow::Result<()> {
        loop {
            self.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wants_to_leave_waits_for_nothing() {
        let interrupt = Interrupt::never();
        assert!(interrupt.pause_until(Instant::now()).is_ok());
        interrupt.asked.store(true, Ordering::Relaxed);
        assert!(interrupt.pause_until(Instant::now() + Duration::from_hours(1)).is_err());
    }
}
