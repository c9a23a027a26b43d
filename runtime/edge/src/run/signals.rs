//! SIGTERM and SIGINT: the first begins an orderly stop, the second ends it.

use std::time::Duration;

use anyhow::Context;
use executor::StopHandle;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Listens for the signals on a thread of its own.
///
/// # Errors
/// The handlers cannot be set, or the thread not be made.
pub(super) fn stop_on_signals(stop: StopHandle, grace: Duration) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot listen for SIGTERM and SIGINT")?;
    let listen = move || {
        let mut said = false;
        for signal in signals.forever() {
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            if said {
                tracing::warn!("{name} again: ending at once");
                stop.stop(Duration::ZERO);
            } else {
                tracing::info!(
                    "{name}: stopping, sources first; what was received is delivered within {} s",
                    grace.as_secs()
                );
                stop.stop(grace);
                said = true;
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).context("cannot start the signals' thread")?;
    Ok(())
}
