//! SIGTERM and SIGINT: the first begins an orderly stop, a later one ends it.

use std::time::{Duration, Instant};

use anyhow::Context;
use executor::StopHandle;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Within this time after the first signal another one is the same: `timeout` and terminals tell both a process and its group.
const ECHO_MAX: Duration = Duration::from_millis(500);

/// Listens for the signals on a thread of its own.
///
/// # Errors
/// The handlers cannot be set, or the thread not be made.
pub(super) fn stop_on_signals(stop: StopHandle, grace: Duration) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot listen for SIGTERM and SIGINT")?;
    let listen = move || {
        let mut said_at = None;
        for signal in signals.forever() {
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            match said_at {
                None => {
                    tracing::info!(
                        "{name}: stopping, sources first; what was received is delivered within {} s",
                        grace.as_secs()
                    );
                    stop.stop(grace);
                    said_at = Some(Instant::now());
                }
                Some(said_at) if is_echo(said_at, Instant::now()) => {}
                Some(_) => {
                    tracing::warn!("{name} again: ending at once");
                    stop.stop(Duration::ZERO);
                }
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).context("cannot start the signals' thread")?;
    Ok(())
}

/// Whether a signal at `now` is another copy of the one at `said_at`.
fn is_echo(said_at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(said_at) < ECHO_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_comes_twice_at_once_is_one() {
        let said_at = Instant::now();
        assert!(is_echo(said_at, said_at + Duration::from_millis(1)));
        assert!(!is_echo(said_at, said_at + Duration::from_secs(2)));
    }
}
