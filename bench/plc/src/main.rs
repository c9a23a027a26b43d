//! The simulated plant as a process.

mod cli;

use bench_plc::plant::Plant;
use clap::Parser as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let options = cli::Cli::parse().into_options()?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let plant = Plant::start(options).await?;
        println!("{}", serde_json::to_string(&plant.ready())?);
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
            () = plant.stop_asked() => {}
        }
        let totals = plant.stop().await?;
        println!("{}", json!({ "event": "stopped", "stats": totals }));
        Ok(())
    })
}
