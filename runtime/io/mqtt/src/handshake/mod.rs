//! The handshake lane: TLS handshakes beside the actors' cores, until a connection stands.
//!
//! A handshake is signatures and key exchanges, up to a millisecond of arithmetic, and it waits for its client: neither belongs
//! on a core whose other clients expect an answer. So a core gives an accepted socket to the lane, whose threads drive
//! handshakes on epoll instances of their own, and gets it back through its mailbox when bytes of MQTT may move. At each limit it is
//! a handshake that ends, never a client that is connected:
//!
//! | Limit | What happens at it |
//! |---|---|
//! | `under_way_max` | sockets wait in a queue; once the oldest handshake is `stalled_after` old it is cut for one that waits |
//! | `waiting_max` | the new socket is closed |
//! | `timeout`, from accept on | the handshake is cut |
//! | `received_bytes_max` | the handshake is cut |

mod attempt;
mod lane;
mod worker;

pub use lane::{HandshakeCounts, HandshakeLane, HandshakeLaneError, HandshakeSpec};

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use mailbox::Sender;
use tls_server::{ServerTls, TlsPeer};

use crate::tls::TlsLayer;

/// A socket whose client is to prove itself.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    /// The number of its listener among the core's.
    pub(crate) listener: usize,
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) accepted_at: Instant,
    /// The core that accepted it.
    pub(crate) core: Sender<Box<Handover>>,
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) listener: usize,
    pub(crate) tls: Box<TlsLayer>,
    pub(crate) tls_peer: TlsPeer,
    /// What came behind the handshake, decrypted.
    pub(crate) plain: Vec<u8>,
}
