//! What a core hears of its connections, and what is counted about them.

use std::net::SocketAddr;

use bytes::Bytes;
use tls_server::TlsPeer;

/// What happened at a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first of every connection. Over TLS it comes when the handshake is finished; over a WebSocket before the opening
    /// request, so that the actor's patience with a client that does not speak covers that too.
    Accepted {
        /// Where it comes from.
        peer: SocketAddr,
        /// The number of the listener that it came over ([`ListenerConfig::number`](crate::ListenerConfig::number)).
        listener: u16,
        /// Over TLS: what the client has shown. Its chain is empty where it showed no certificate, which a listener that
        /// requires one never lets happen.
        tls: Option<Box<TlsPeer>>,
    },
    /// Bytes of MQTT came: 1 to 65 536, cut anywhere.
    Received(Bytes),
    /// So many more bytes are in the socket's send buffer. Through layers too these are bytes that were given, not what
    /// became of them.
    Written {
        /// Bytes, at least one.
        bytes: usize,
    },
    /// The last: closed by the peer, an error, [`Frontend::close`], or a limit. What was not written by then is lost.
    /// The slot stays taken until [`Frontend::forget`].
    SocketClosed,
}

/// What a frontend has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontendCounts {
    /// Connections accepted; over TLS, those whose handshake is finished.
    pub accepted: u64,
    /// Connections whose slot is taken at present.
    pub live: u64,
    /// Connections closed at once, because all slots were taken.
    pub refused_full: u64,
    /// How often accepting paused for the connect rate.
    pub rate_pauses: u64,
    /// How often accepting paused because the process was out of descriptors or the kernel out of memory.
    pub exhausted_pauses: u64,
    /// Connections closed because their backlog outgrew its limit.
    pub backlog_overflows: u64,
    /// Connections that were cut when closing took too long.
    pub close_timeouts: u64,
    /// Connections that broke: reset, timed out, unreachable.
    pub broken: u64,
    /// Bytes read.
    pub received_bytes: u64,
    /// Bytes that the kernel took.
    pub written_bytes: u64,
    /// System calls that read something.
    pub reads: u64,
    /// System calls that wrote something.
    pub writes: u64,
    /// Sockets that were given to the handshake lane.
    pub handshakes_begun: u64,
    /// Sockets that were closed because too many waited for the lane.
    pub handshakes_refused: u64,
    /// Connections whose TLS broke a rule after the handshake.
    pub tls_failures: u64,
    /// Connections whose WebSocket was refused, at the opening or for a frame.
    pub websocket_refusals: u64,
    /// How often the shell was started again after a panic.
    pub shell_restarts: u64,
}
