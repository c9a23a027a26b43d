//! Runs a scenario against the real pipeline and reports what it cost, and whether every data point arrived.
//!
//! | Module | Idea |
//! |---|---|
//! | `cli` | the command line |
//! | `scenario` | a scenario file |
//! | `harness` | starts everything as processes of their own, measures, and ends them |
//! | `reader` | the independent reader, a process of its own |
//! | `report` | JSON, table and page |

mod cli;
mod harness;
mod reader;
mod report;
mod scenario;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-scenario: {error:#}");
            ExitCode::from(2)
        }
    }
}
