//! The command line of the plant.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bench_plc::options::{PlantLimits, PlantOptions, User};
use bench_plc::scenario::PlantScenario;
use clap::{Parser, ValueEnum};
use serde::Deserialize;

/// Runs a simulated plant: OPC UA servers whose values say which change made them.
///
/// Prints one line of JSON when clients can connect (endpoints, NodeIds, control port), and one with the totals when
/// it ends, on SIGTERM, SIGINT or {"cmd":"stop"} at the control port. Logs go to standard error; the variable
/// `RUST_LOG` sets their level.
#[derive(Debug, Parser)]
#[command(name = "bench-plc", version)]
pub(crate) struct Cli {
    /// Scenario file (TOML) whose [plant] table describes the plant; the options below go before it.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Number of assets, dealt to the servers in order [default: 125].
    #[arg(long)]
    assets: Option<u32>,
    /// Tags of each asset [default: 50].
    #[arg(long)]
    tags: Option<u32>,
    /// Cycles of each tag in a second [default: 2].
    #[arg(long)]
    updates_per_s: Option<f64>,
    /// Size of a value: 20 (String) or 8 (Double) [default: 20].
    #[arg(long)]
    value_bytes: Option<u32>,
    /// Part of the cycles in which a tag changes [default: 1.0].
    #[arg(long)]
    change_ratio: Option<f64>,
    /// OPC UA servers, on consecutive ports [default: 1].
    #[arg(long)]
    servers: Option<u32>,
    /// Seed of phases, values and draws [default: 1].
    #[arg(long)]
    seed: Option<u64>,

    /// Where the first server listens; port 0 takes free ones.
    #[arg(long, default_value = "127.0.0.1:4840", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Host name in the endpoint URLs [default: the address listened on].
    #[arg(long)]
    host: Option<String>,
    /// Where the control port listens; whoever reaches it rules the plant.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    control: SocketAddr,
    /// Put a TCP front before each server: connections can be dropped and refused, and Publish responses and
    /// acknowledgements are recorded where they are not encrypted.
    #[arg(long)]
    fault_front: bool,

    /// Security policies to offer.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none")]
    security: Vec<Policy>,
    /// Directory of certificate and key, made there if missing [default: a new pair each time].
    #[arg(long, value_name = "DIRECTORY")]
    pki: Option<PathBuf>,
    /// Let in this user.
    #[arg(long, requires = "password", value_name = "NAME")]
    user: Option<String>,
    /// Password of the user.
    #[arg(long, requires = "user")]
    password: Option<String>,
    /// Let nobody in without a user name.
    #[arg(long, requires = "user")]
    no_anonymous: bool,

    /// How often due changes are made, in milliseconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    tick_ms: u64,
    /// How often the servers look whether a publishing interval has ended, in milliseconds. An interval takes the
    /// next multiple of this above it.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    subscription_poll_ms: u64,
    /// Largest queue of a MonitoredItem, in values.
    #[arg(long, default_value_t = PlantLimits::default().queue_size_max)]
    queue_size_max: usize,
    /// Values in one Publish response.
    #[arg(long, default_value_t = PlantLimits::default().notifications_per_publish_max)]
    notifications_per_publish_max: u64,
    /// Publish requests that may wait for each Subscription; twice as many messages are kept for Republish.
    #[arg(long, default_value_t = PlantLimits::default().publish_requests_per_subscription_max)]
    publish_requests_per_subscription_max: usize,
    /// Subscriptions of a Session.
    #[arg(long, default_value_t = PlantLimits::default().subscriptions_per_session_max)]
    subscriptions_per_session_max: usize,
    /// MonitoredItems in one call.
    #[arg(long, default_value_t = PlantLimits::default().monitored_items_per_call_max)]
    monitored_items_per_call_max: usize,
    /// Longest timeout of a Session, in seconds.
    #[arg(long, default_value_t = PlantLimits::default().session_timeout_max.as_secs())]
    session_timeout_max_s: u64,
    /// Longest lifetime of a SecureChannel's token, in milliseconds.
    #[arg(long, default_value_t = 3_600_000)]
    token_lifetime_max_ms: u64,
    /// Changes that each server remembers for the truth file (16 bytes each).
    #[arg(long, default_value_t = PlantLimits::default().recorded_changes_max)]
    recorded_changes_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    None,
    Basic256sha256,
}

/// The part of a scenario file that is ours; the harness owns the rest.
#[derive(Debug, Deserialize)]
struct ScenarioFile {
    plant: PlantScenario,
}

impl Cli {
    /// The options of the plant, from the file and the command line.
    ///
    /// # Errors
    /// If the scenario file cannot be read.
    pub(crate) fn into_options(self) -> anyhow::Result<PlantOptions> {
        let mut scenario = match &self.scenario {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                let file: ScenarioFile = toml::from_str(&text).with_context(|| path.display().to_string())?;
                file.plant
            }
            None => PlantScenario::default(),
        };
        replace(&mut scenario.assets, self.assets);
        replace(&mut scenario.tags_per_asset, self.tags);
        replace(&mut scenario.updates_per_s, self.updates_per_s);
        replace(&mut scenario.value_bytes, self.value_bytes);
        replace(&mut scenario.change_ratio, self.change_ratio);
        replace(&mut scenario.servers, self.servers);
        replace(&mut scenario.seed, self.seed);
        Ok(PlantOptions {
            scenario,
            listen: self.listen,
            host: self.host,
            control: self.control,
            fault_front: self.fault_front,
            policy_none: self.security.contains(&Policy::None),
            policy_basic256sha256: self.security.contains(&Policy::Basic256sha256),
            anonymous: !self.no_anonymous,
            user: self.user.zip(self.password).map(|(name, password)| User { name, password }),
            pki_directory: self.pki,
            tick: Duration::from_millis(self.tick_ms),
            subscription_poll: Duration::from_millis(self.subscription_poll_ms),
            limits: PlantLimits {
                queue_size_max: self.queue_size_max,
                publish_requests_per_subscription_max: self.publish_requests_per_subscription_max,
                subscriptions_per_session_max: self.subscriptions_per_session_max,
                notifications_per_publish_max: self.notifications_per_publish_max,
                monitored_items_per_call_max: self.monitored_items_per_call_max,
                session_timeout_max: Duration::from_secs(self.session_timeout_max_s),
                token_lifetime_max: Duration::from_millis(self.token_lifetime_max_ms),
                recorded_changes_max: self.recorded_changes_max,
                ..PlantLimits::default()
            },
        })
    }
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
