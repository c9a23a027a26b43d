//! The command line, for people and for scripts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Carries plant data from OPC UA servers through its own MQTT broker to Azure Event Hubs.
#[derive(Debug, Parser)]
#[command(name = "millicore", version, about, max_term_width = 100, after_help = FIRST_STEPS)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const FIRST_STEPS: &str = "\
First steps:
  millicore demo                              a simulated plant, a local Event Hubs endpoint, and the pipeline between
  millicore check --config site.toml          what is wrong with your site's file, with line and hint
  millicore plan --profile auto               which actor would sit on which core of this machine
  millicore run --profile auto --config site.toml
  millicore passwd users alice                a user for a listener with authentication
  millicore top                               watch it";

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the pipeline of a site until SIGTERM or Ctrl-C.
    Run(RunArguments),
    /// Show which actor would sit on which core of this machine, and what does not fit.
    Plan(PlanArguments),
    /// Check a site's file without running it.
    Check(CheckArguments),
    /// Run everything on this machine: a simulated plant, a local Event Hubs endpoint and the pipeline between them.
    Demo(DemoArguments),
    /// Print what the running process counts.
    Status(StatusArguments),
    /// Watch the running process: per core, per actor, per hop, the last messages.
    Top(TopArguments),
    /// Change what the running process logs.
    LogLevel(LogLevelArguments),
    /// Have the running process read certificates, revocation lists, password files, keys of tokens and rules anew.
    Reload(ControlArguments),
    /// Create a user in a password file, give one another password, or delete one.
    Passwd(PasswdArguments),
    /// Print the completions of a shell, to be sourced or installed.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Which profile, and how it is bent.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProfileArguments {
    /// A shipped profile's name, the path of a profile, or `auto`.
    #[arg(long, value_name = "NAME|FILE", default_value = "auto")]
    pub profile: String,
    /// Map the profile onto fewer cores where the machine has fewer.
    #[arg(long)]
    pub fold: bool,
    /// Change one key of the profile, for example `--set egress.linger_ms=20`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArguments {
    /// The profile.
    #[command(flatten)]
    pub profile: ProfileArguments,
    /// The site's file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Seconds that a graceful stop may take before what is left is named and given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub stop_seconds: u64,
    /// What to log, in the syntax of `RUST_LOG`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Arguments of `plan`.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanArguments {
    /// The profile.
    #[command(flatten)]
    pub profile: ProfileArguments,
    /// Draw the plan into this file as well.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArguments {
    /// The site's file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check it together with this profile.
    #[command(flatten)]
    pub profile: ProfileArguments,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArguments {
    /// The profile.
    #[arg(long, value_name = "NAME|FILE", default_value = "auto")]
    pub profile: String,
    /// End after so many seconds, with a summary.
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Assets of the simulated plant.
    #[arg(long, value_name = "N", default_value_t = 125, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub assets: u32,
    /// Tags of each asset; each changes twice a second.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub tags: u32,
    /// The port of the MQTT listener on loopback; 0 for any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 1883)]
    pub mqtt_port: u16,
    /// Plain lines instead of the live screen, also in a terminal.
    #[arg(long)]
    pub plain: bool,
}

/// Where the control socket is.
#[derive(Clone, Debug, Args)]
pub(crate) struct ControlArguments {
    /// The control socket of the running process.
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,
}

/// Arguments of `status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArguments {
    /// Where to ask.
    #[command(flatten)]
    pub control: ControlArguments,
    /// The whole snapshot as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `top`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TopArguments {
    /// Where to ask.
    #[command(flatten)]
    pub control: ControlArguments,
    /// End after so many seconds.
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Plain lines instead of the live screen.
    #[arg(long)]
    pub plain: bool,
}

/// Arguments of `log-level`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogLevelArguments {
    /// In the syntax of `RUST_LOG`, for example `info,opcua_subscription=debug`.
    pub filter: String,
    /// Where to ask.
    #[command(flatten)]
    pub control: ControlArguments,
}

/// Arguments of `passwd`.
#[derive(Clone, Debug, Args)]
pub(crate) struct PasswdArguments {
    /// The password file, as a site's file names it; it is created where there is none.
    pub file: PathBuf,
    /// The user. The password is asked for, or read from standard input where that is no terminal.
    pub user: String,
    /// Delete the user.
    #[arg(long)]
    pub delete: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_a_sentence_of_help() {
        for verb in Cli::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }
}
