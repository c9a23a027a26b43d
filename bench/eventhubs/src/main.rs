//! The local Event Hubs endpoint as a process.

mod cli;

use bench_eventhubs::server::Endpoint;
use clap::Parser as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let options = cli::Cli::parse().into_options()?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let endpoint = Endpoint::start(options).await?;
        println!("{}", serde_json::to_string(endpoint.ready())?);
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
            () = endpoint.stop_asked() => {}
        }
        println!("{}", json!({ "event": "stopped", "stats": endpoint.stop() }));
        Ok(())
    })
}
