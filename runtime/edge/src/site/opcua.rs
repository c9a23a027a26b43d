//! OPC UA servers of a site, with their assets and tags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{Secret, SecretSource};

/// The security of the channel (OPC UA Part 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Security {
    /// Neither signed nor encrypted. Must be written out.
    None,
    /// `Basic256Sha256` with `SignAndEncrypt`.
    Basic256Sha256,
}

/// Which values of an interval a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Conflate {
    /// The newest of each tag.
    Last,
    /// Every one; a tag that changed twice carries an array.
    All,
}

/// When the server is told that a notification may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Acknowledge {
    /// Once the broker partition accepted it.
    Accepted,
    /// Once every flow's destination settled it.
    Delivered,
}

/// One OPC UA server: `[[opcua]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpcUaServer {
    /// A name of your choice, unique.
    pub name: Spanned<String>,
    /// `opc.tcp://host:port/path`.
    pub endpoint: Spanned<String>,
    /// The channel's security.
    pub security: Security,
    /// A user's name; without it the session is anonymous.
    pub(crate) user: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    /// Certificates of servers to trust (`.der`), relative to this file. Without it any certificate is refused unless
    /// `trust_any_certificate` says otherwise.
    pub trust_directory: Option<PathBuf>,
    /// Takes whatever certificate the server shows. For commissioning only.
    #[serde(default)]
    pub trust_any_certificate: bool,
    /// How often the server gathers and sends, in milliseconds.
    #[serde(default = "default_publishing_interval_ms")]
    pub publishing_interval_ms: u32,
    /// How often the server samples a tag, in milliseconds; 0: whenever it changes.
    #[serde(default)]
    pub sampling_interval_ms: u32,
    /// How often a tag is expected to change, in milliseconds: the queue in the server is sized by it.
    #[serde(default = "default_update_period_ms")]
    pub update_period_ms: u32,
    /// At least so many values are queued in the server for each tag; 0: worked out from the outage budget.
    #[serde(default)]
    pub queue_size: u32,
    /// The newest value of an interval, or all.
    #[serde(default = "default_conflate")]
    pub conflate: Conflate,
    /// 0: only changed tags; 1: all tags in each message; n: all tags in each n-th message.
    #[serde(default)]
    pub key_frame_count: u32,
    /// When notifications are acknowledged.
    #[serde(default = "default_acknowledge")]
    pub acknowledge: Acknowledge,
    /// Its assets.
    #[serde(default, rename = "asset")]
    pub assets: Vec<Asset>,
}

/// A machine, a line, a cell: one message for each publishing interval. `[[opcua.asset]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asset {
    /// A name of your choice, unique in the site; part of the topic.
    pub name: Spanned<String>,
    /// The topic, if not `<site name>/data/<asset name>`.
    pub topic: Option<Spanned<String>>,
    /// The asset's id in another system, sent along as `externalAssetId`.
    pub external_id: Option<String>,
    /// Its tags: the key in the message, and where the value comes from.
    #[serde(default)]
    pub tags: BTreeMap<String, Spanned<Tag>>,
}

/// A tag's source: a NodeId as text, or a table with more.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a tag is a NodeId as text, or { node_id = \"..\" } with sampling_interval_ms, queue_size, update_period_ms"
)]
pub(crate) enum Tag {
    /// Only the NodeId, for example `ns=2;s=Boiler.Temperature`.
    NodeId(String),
    /// A NodeId with settings of its own.
    Full(TagSpec),
}

/// A tag with settings of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagSpec {
    /// The NodeId (OPC UA Part 6 §5.3.1.10), for example `ns=2;s=Boiler.Temperature`.
    pub node_id: String,
    /// Instead of the server's `sampling_interval_ms`.
    pub sampling_interval_ms: Option<u32>,
    /// Instead of the server's `queue_size`.
    pub queue_size: Option<u32>,
    /// Instead of the server's `update_period_ms`.
    pub update_period_ms: Option<u32>,
}

impl Tag {
    /// The NodeId's text.
    pub(crate) fn node_id(&self) -> &str {
        match self {
            Self::NodeId(node_id) => node_id,
            Self::Full(spec) => &spec.node_id,
        }
    }

    /// The settings of its own, where it has any.
    pub(crate) fn spec(&self) -> Option<&TagSpec> {
        match self {
            Self::NodeId(_) => None,
            Self::Full(spec) => Some(spec),
        }
    }
}

impl OpcUaServer {
    /// Where the user's password is read from.
    pub(crate) fn password(&self) -> SecretSource {
        SecretSource {
            text: self.password.clone().map(Secret::new),
            file: self.password_file.clone(),
            variable: self.password_env.clone(),
        }
    }

    /// How often the server gathers and sends.
    pub(crate) fn publishing_interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.publishing_interval_ms))
    }
}

const fn default_publishing_interval_ms() -> u32 {
    1_000
}

const fn default_update_period_ms() -> u32 {
    1_000
}

const fn default_conflate() -> Conflate {
    Conflate::Last
}

const fn default_acknowledge() -> Acknowledge {
    Acknowledge::Accepted
}
