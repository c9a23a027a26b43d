//! What each verb of the command line does, but for `run` and `demo`, which have modules of their own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::CommandFactory;
use clap_complete::Shell;
use placement::{Fold, MachineFacts, Plan, Profile, SiteCounts};
use signal_hook::consts::{SIGINT, SIGTERM};
use telemetry::{ControlAnswer, Verb};

use crate::cli::{
    CheckArguments, Cli, ControlArguments, DemoArguments, LogLevelArguments, PlanArguments, ProfileArguments,
    StatusArguments, TopArguments,
};
use crate::control_client::{ControlClient, default_socket};
use crate::run::{egress, listeners};
use crate::screen::{self, View};
use crate::site::{Site, all_of};

/// `plan`: prints the placement, and draws it where asked.
///
/// # Errors
/// The profile has mistakes or does not fit this machine; the drawing cannot be written.
pub(crate) fn plan(arguments: &PlanArguments) -> anyhow::Result<()> {
    let plan = resolve(&arguments.profile)?;
    print(&plan.table())?;
    if let Some(file) = &arguments.svg {
        std::fs::write(file, plan.svg()).with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("drawn into {}", file.display());
    }
    Ok(())
}

fn resolve(arguments: &ProfileArguments) -> anyhow::Result<Plan> {
    let profile = Profile::load(&arguments.profile, &arguments.overrides)?;
    let facts = MachineFacts::read(Path::new("/")).context("cannot read what this machine has")?;
    let fold = if arguments.fold { Fold::Allow } else { Fold::Refuse };
    Ok(Plan::resolve(&profile, &facts, fold)?)
}

/// `check`: reads the site's file, the profile, and both together.
///
/// # Errors
/// Every mistake of the site's file, with file, line, column and hint; what is wrong with the profile.
pub(crate) fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let site = Site::load(&arguments.config).map_err(|errors| {
        let count = errors.len();
        let mistakes = if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") };
        anyhow::anyhow!("{}\n{mistakes} in {}", all_of(&errors), arguments.config.display())
    })?;
    let plan = resolve(&arguments.profile)?;
    for warning in &site.warnings {
        eprintln!("warning: {warning}");
    }
    let (mut errors, missing) = listeners::check_files(&site);
    errors.extend(egress::check_routes(&site, &plan));
    for missing in &missing {
        eprintln!("warning: {missing} is not there; `run` needs it");
    }
    if !errors.is_empty() {
        bail!("{}\nmistakes in what {} names", all_of(&errors), arguments.config.display());
    }
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let memory =
        plan.memory_at(SiteCounts { servers: count(site.servers.len()), destinations: count(site.flows.len()) });
    for missing in site.missing_secrets() {
        eprintln!("warning: {missing}; `run` needs it");
    }
    if !memory.fits() {
        eprintln!(
            "warning: the limits of profile {} add up to {} MiB at this site, above its ceiling of {} MiB",
            plan.profile.name,
            memory.total_bytes() >> 20,
            memory.ceiling_bytes >> 20
        );
    }
    print(&format!(
        "{}: no mistakes. OPC UA servers {}, assets {}, tags {}, MQTT listeners {}, flows {}. Profile {}.\n",
        arguments.config.display(),
        site.servers.len(),
        site.servers.iter().map(|server| server.assets.len()).sum::<usize>(),
        site.tags_count(),
        site.listeners.len(),
        site.flows.len(),
        plan.profile.name,
    ))
}

/// `demo`.
///
/// # Errors
/// See [`crate::demo::run`].
pub(crate) fn demo(arguments: &DemoArguments) -> anyhow::Result<()> {
    crate::demo::run(arguments, stop_flag()?)
}

/// `status`: one snapshot, in lines or as JSON.
///
/// # Errors
/// Nobody answers; a cursor does not balance (the snapshot is printed all the same).
pub(crate) fn status(arguments: &StatusArguments) -> anyhow::Result<()> {
    let snapshot = connect(&arguments.control)?.status()?;
    if arguments.json {
        return print(&format!("{}\n", serde_json::to_string_pretty(&snapshot)?));
    }
    print(&screen::status(&snapshot))?;
    if snapshot.imbalances().is_empty() { Ok(()) } else { bail!("the conservation law is broken; see above") }
}

/// `top`: the live view.
///
/// # Errors
/// Nobody answers, or the process went away.
pub(crate) fn top(arguments: &TopArguments) -> anyhow::Result<()> {
    let mut client = connect(&arguments.control)?;
    let view = View {
        title: format!(" millicore at {} ", socket(&arguments.control).display()),
        duration: arguments.seconds.map(Duration::from_secs),
        plain: arguments.plain,
        stop: stop_flag()?,
    };
    screen::watch(&mut client, &view)?;
    Ok(())
}

/// `log-level`.
///
/// # Errors
/// Nobody answers, or the filter cannot be read.
pub(crate) fn log_level(arguments: &LogLevelArguments) -> anyhow::Result<()> {
    let verb = Verb::LogLevel { filter: arguments.filter.clone() };
    match connect(&arguments.control)?.ask(verb)? {
        ControlAnswer::Done => Ok(()),
        ControlAnswer::Status(_) | ControlAnswer::Plan(_) | ControlAnswer::Reloaded(_) | ControlAnswer::Error(_) => {
            bail!("not an answer to `log-level`")
        }
    }
}

/// `reload`: tells what is in force anew.
///
/// # Errors
/// Nobody answers, or something could not be used; what was in force before stays.
pub(crate) fn reload(arguments: &ControlArguments) -> anyhow::Result<()> {
    let ControlAnswer::Reloaded(reloaded) = connect(arguments)?.ask(Verb::Reload)? else {
        bail!("not an answer to `reload`");
    };
    let changed =
        if reloaded.changed.is_empty() { "nothing to read anew".to_owned() } else { reloaded.changed.join("\n") };
    print(&format!("{changed}\n"))?;
    if reloaded.failed.is_empty() { Ok(()) } else { bail!("{}", reloaded.failed.join("\n")) }
}

/// `completions`.
///
/// # Errors
/// The output is gone.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "millicore", &mut script);
    print(&String::from_utf8_lossy(&script))
}

fn socket(arguments: &ControlArguments) -> PathBuf {
    arguments.control.clone().unwrap_or_else(default_socket)
}

fn connect(arguments: &ControlArguments) -> anyhow::Result<ControlClient> {
    ControlClient::connect(&socket(arguments))
}

/// Prints to standard output. A reader that has gone away has read enough.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A flag that SIGINT and SIGTERM set.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
