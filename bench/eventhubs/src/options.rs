//! Everything that can be chosen when the endpoint starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::token::AccessKey;

/// Largest message of the Standard tier and above, in bytes.
pub const MESSAGE_BYTES_MAX: u64 = 1_048_576;
/// Largest message of the Basic tier, in bytes.
pub const MESSAGE_BYTES_MAX_BASIC: u64 = 262_144;
/// Partitions of a hub, as in the largest tier of the service.
pub const PARTITIONS_COUNT_MAX: u16 = 1_024;

/// A hub that shall exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// Its name, compared in any case.
    pub name: String,
    /// 1 to [`PARTITIONS_COUNT_MAX`].
    pub partitions_count: u16,
}

/// Where the certificate of the TLS listener comes from.
#[derive(Debug, Clone)]
pub enum Certificate {
    /// PEM files of a chain and its key.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Made at start: an authority `ca.pem` in this directory, and what it signed.
    SelfSigned(PathBuf),
}

/// A TLS listener.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it shows.
    pub certificate: Certificate,
}

/// Everything that can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the plain listener listens.
    pub listen: SocketAddr,
    /// The TLS listener, if there is one.
    pub tls: Option<TlsOptions>,
    /// Where the control port listens.
    pub control: SocketAddr,
    /// At least one.
    pub hubs: Vec<HubOptions>,
    /// What tokens are checked with.
    pub access_key: AccessKey,
    /// Whether tokens are checked at all.
    pub check_tokens: bool,
    /// What all kept events may cost; the oldest are forgotten beyond it.
    pub store_bytes_max: usize,
    /// A file that gets every event.
    pub file: Option<PathBuf>,
    /// Whether every event is printed to standard output, as [`crate::event_file::printed`] has it.
    pub print: bool,
    /// Silence that a peer may keep, as we tell it; twice that ends its connection.
    pub idle_timeout: Duration,
    /// How much later outcomes are said.
    pub ack_latency: Duration,
    /// 1 MB/s and 1,000 events/s each; no limit when absent.
    pub throughput_units: Option<u32>,
    /// Largest message, in bytes.
    pub message_bytes_max: u64,
    /// Connections at a time; further ones are closed.
    pub connections_count_max: usize,
}
