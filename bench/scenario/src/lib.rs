//! Runs a scenario against the real pipeline and reports what it cost, and whether every data point arrived.
//!
//! | Module | Idea |
//! |---|---|
//! | `cli` | the command line |
//! | `scenario` | a scenario file |
//! | `harness` | starts everything as processes of their own, measures, and ends them |
//! | `reader` | the independent reader, a process of its own |
//! | `report` | JSON, table and page |
//!
//! What is public serves the other harnesses of the bench: processes, readers of the kernel's account, calibration, the keys
//! of a report and its drawing.

mod cli;
pub mod harness;
mod reader;
pub mod report;
mod scenario;

use std::process::ExitCode;

use clap::Parser as _;

/// Does what the command line asks.
pub fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-scenario: {error:#}");
            ExitCode::from(2)
        }
    }
}
