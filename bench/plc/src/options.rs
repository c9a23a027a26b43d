//! Everything that can be chosen about a plant when it starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::scenario::PlantScenario;

/// How a plant is run. The default is the published single-node plant on free ports of the loopback interface.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line, each on its own")]
pub struct PlantOptions {
    /// Size and rate.
    pub scenario: PlantScenario,
    /// Where the first server listens; the others take the following ports. Port 0 gives each a free one.
    pub listen: SocketAddr,
    /// Host name in the endpoint URLs; `None`: the address listened on, or `localhost` where that is unspecified.
    pub host: Option<String>,
    /// Where the control port listens.
    pub control: SocketAddr,
    /// Puts a TCP front before each server that can drop and refuse connections, and that reads along where there is
    /// no encryption.
    pub fault_front: bool,
    /// Offers security policy None.
    pub policy_none: bool,
    /// Offers Basic256Sha256 with `SignAndEncrypt`. Any client certificate is trusted.
    pub policy_basic256sha256: bool,
    /// Lets clients in without a user name.
    pub anonymous: bool,
    /// A user that is let in.
    pub user: Option<User>,
    /// Where certificate and key are kept; made there if missing. `None`: a new pair, gone when the plant ends.
    pub pki_directory: Option<PathBuf>,
    /// How often due changes are made.
    pub tick: Duration,
    /// How often the servers look whether a publishing interval has ended.
    ///
    /// The crate starts the next interval when it finds that one has ended, so an interval takes the next multiple of
    /// this that is not shorter. 11 ms make 1,001 ms of 1,000: a divisor of the interval would miss it by a hair half
    /// of the time, and then be a whole step late.
    pub subscription_poll: Duration,
    /// Limits that clients meet.
    pub limits: PlantLimits,
}

/// A user name and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// Limits that clients meet, and limits of the plant's own memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantLimits {
    /// Largest queue of a MonitoredItem, in values.
    pub queue_size_max: usize,
    /// Publish requests that may wait, for each Subscription of the Session. As many messages again are kept for
    /// Republish.
    pub publish_requests_per_subscription_max: usize,
    /// Publish requests that may wait in a Session, however many Subscriptions it has.
    pub publish_requests_max: usize,
    /// Subscriptions of a Session.
    pub subscriptions_per_session_max: usize,
    /// Values in one Publish response.
    pub notifications_per_publish_max: u64,
    /// MonitoredItems in one call that creates, modifies or deletes them.
    pub monitored_items_per_call_max: usize,
    /// MonitoredItems in one Subscription.
    pub monitored_items_per_subscription_max: usize,
    /// Longest timeout of a Session.
    pub session_timeout_max: Duration,
    /// Longest lifetime of a SecureChannel's token.
    pub token_lifetime_max: Duration,
    /// Changes that each server keeps on record for the truth file (16 bytes each).
    pub recorded_changes_max: usize,
    /// Publish responses and acknowledgements that each front keeps on record, each.
    pub recorded_messages_max: usize,
}

impl Default for PlantOptions {
    fn default() -> Self {
        let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            scenario: PlantScenario::default(),
            listen: loopback,
            host: None,
            control: loopback,
            fault_front: false,
            policy_none: true,
            policy_basic256sha256: false,
            anonymous: true,
            user: None,
            pki_directory: None,
            tick: Duration::from_millis(10),
            subscription_poll: Duration::from_millis(11),
            limits: PlantLimits::default(),
        }
    }
}

impl Default for PlantLimits {
    fn default() -> Self {
        Self {
            queue_size_max: 10_000,
            publish_requests_per_subscription_max: 32,
            publish_requests_max: 2_048,
            subscriptions_per_session_max: 1_000,
            notifications_per_publish_max: 10_000,
            monitored_items_per_call_max: 1_000,
            monitored_items_per_subscription_max: 100_000,
            session_timeout_max: Duration::from_hours(24),
            token_lifetime_max: Duration::from_hours(1),
            recorded_changes_max: 4_000_000,
            recorded_messages_max: 200_000,
        }
    }
}

impl PlantOptions {
    /// Host name in the endpoint URLs.
    pub(crate) fn advertised_host(&self) -> String {
        match &self.host {
            Some(host) => host.clone(),
            None if self.listen.ip().is_unspecified() => "localhost".to_owned(),
            None => match self.listen.ip() {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            },
        }
    }
}
