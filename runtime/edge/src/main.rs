//! The binary: the command line, and what each verb does.

mod cli;
mod control_client;
mod control_server;
mod demo;
mod passwd;
mod run;
mod screen;
mod site;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Verb};

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Plan(arguments) => verbs::plan(&arguments),
        Verb::Check(arguments) => verbs::check(&arguments),
        Verb::Demo(arguments) => verbs::demo(&arguments),
        Verb::Status(arguments) => verbs::status(&arguments),
        Verb::Top(arguments) => verbs::top(&arguments),
        Verb::LogLevel(arguments) => verbs::log_level(&arguments),
        Verb::Reload(arguments) => verbs::reload(&arguments),
        Verb::Passwd(arguments) => passwd::run(&arguments),
        Verb::Completions { shell } => verbs::completions(shell),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
