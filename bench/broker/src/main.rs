//! Measures brokers side by side: millicore and its peers, each alone on one core, under the same load.
//!
//! | Module | Idea |
//! |---|---|
//! | `cli` | the command line |
//! | `scenario` | the scenarios, by name |
//! | `contender` | the brokers, and how each is started |
//! | `cores` | which core the broker gets, and which the generator |
//! | `generator` | the load generator |
//! | `run` | one run of a broker in a scenario |
//! | `rounds` | all runs, interleaved |
//! | `row` | one row of the report |
//! | `report` | JSON, table and page |
//! | `wire` | no broker, to see what generator and kernel reach |

mod cli;
mod contender;
mod cores;
mod generator;
mod report;
mod rounds;
mod row;
mod run;
mod scenario;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-broker: {error:#}");
            ExitCode::from(2)
        }
    }
}
