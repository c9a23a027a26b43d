//! The limits of one core's connections, and what may prevent the start.

use std::io;
use std::time::Duration;

use contract::CoreIndex;
use executor::ShellLimit;

/// The limits of one core's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendConfig {
    /// The core, for addresses.
    pub core: CoreIndex,
    /// Connections at once. More are closed as they come, and counted. Some 120 bytes each are reserved.
    pub connections_max: u32,
    /// Connections accepted in a second, with a second's worth at once; past it accepting pauses, and peers wait in the
    /// listener's backlog. `None`: no limit.
    pub connect_rate_max: Option<u32>,
    /// Bytes given by [`Frontend::write`] and not taken by the kernel, of one connection. The actor's window should stay
    /// below; past it the connection is closed and counted.
    pub write_backlog_bytes_max: usize,
    /// How long a connection that its actor has closed may take for what is to be written.
    pub close_timeout: Duration,
    /// How long the peer then gets to close its side, so that our last words arrive.
    pub linger: Duration,
}

impl FrontendConfig {
    /// 10 000 connections, no limit of the rate, 16 MiB of backlog, 5 s to close and 500 ms to linger.
    pub fn new(core: CoreIndex) -> Self {
        Self {
            core,
            connections_max: 10_000,
            connect_rate_max: None,
            write_backlog_bytes_max: 16 << 20,
            close_timeout: Duration::from_secs(5),
            linger: Duration::from_millis(500),
        }
    }
}

/// Why a frontend did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The core has as many shells as it may.
    #[error(transparent)]
    ShellLimit(#[from] ShellLimit),
    /// The kernel has no descriptor, memory or watch left.
    #[error("cannot watch the MQTT sockets: {0}; raise the limit of open files (`ulimit -n`)")]
    Poll(#[from] io::Error),
}
