//! Ports: probed, so that one in use is an error, and opened once for each core.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use mqtt_websocket::WebSocketConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tls_server::ServerTls;

use crate::handshake::HandshakeLane;

/// What stands between TCP and MQTT at a listener. The default is nothing.
#[derive(Clone, Debug, Default)]
pub struct ListenerLayers {
    /// TLS, with its files, and the lane that does its handshakes.
    pub tls: Option<TlsListener>,
    /// MQTT over WebSocket; over TLS where `tls` is given.
    pub websocket: Option<Arc<WebSocketConfig>>,
}

/// The TLS of a listener.
#[derive(Clone, Debug)]
pub struct TlsListener {
    /// What handshakes use.
    pub server: Arc<ServerTls>,
    /// Where they are done. Listeners share a lane.
    pub lane: HandshakeLane,
}

/// A port to listen on.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The listener's number among the site's, which [`Event::Accepted`](crate::Event::Accepted) tells of each connection.
    pub number: u16,
    /// Where to listen. Port 0 has the kernel choose; [`BoundListener::address`] tells what it chose.
    pub address: SocketAddr,
    /// Cores that accept, 1 or more: each gets a socket of its own, and the kernel spreads connections over them.
    pub core_count: usize,
    /// Connections that may wait to be accepted, for each core; the kernel's `net.core.somaxconn` bounds it too. Past it a
    /// peer's connect is delayed and then fails.
    pub backlog: u32,
    /// Connections that each core accepts of this listener in a second, with a second's worth at once; past it the others of the core
    /// go on, and peers wait in this listener's backlog. `None`: no limit of its own.
    pub connect_rate_max: Option<u32>,
    /// What stands between TCP and MQTT.
    pub layers: ListenerLayers,
}

impl ListenerConfig {
    /// Listens on `address` for one core, with a backlog of 1024, number 0 and plain TCP.
    pub fn new(address: SocketAddr) -> Self {
        let layers = ListenerLayers::default();
        Self { number: 0, address, core_count: 1, backlog: 1_024, connect_rate_max: None, layers }
    }
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process, or another listener of this one, has the port.
    #[error("{address} is in use by another listener; stop that one (`ss -ltnp` names it) or choose another port")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// This user may not open the port.
    #[error(
        "{address}: this user may not open the port; use one from 1024 on, or grant CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities)"
    )]
    NotAllowed {
        /// The address.
        address: SocketAddr,
    },
    /// No interface of this machine has the address.
    #[error("{address}: no interface of this machine has this address; use one that `ip address` lists, or 0.0.0.0")]
    NoSuchAddress {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("{address}: cannot listen: {source}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// An open port, before it is split over the cores.
#[derive(Debug)]
pub struct BoundListener {
    number: u16,
    connect_rate_max: Option<u32>,
    layers: ListenerLayers,
    address: SocketAddr,
    sockets: Vec<Socket>,
}

/// One core's part of an open port. Connections that wait in it are refused when it is dropped.
#[derive(Debug)]
pub struct CoreListener {
    number: u16,
    connect_rate_max: Option<u32>,
    layers: ListenerLayers,
    address: SocketAddr,
    socket: TcpListener,
}

/// Opens a port.
///
/// It is probed by an exclusive bind first: sockets that share a port (`SO_REUSEPORT`) would join a process that has it
/// already, without a word.
///
/// # Errors
/// [`BindError`], with the address and what to do.
///
/// # Panics
/// When `core_count` is 0.
pub fn bind(listener: &ListenerConfig) -> Result<BoundListener, BindError> {
    assert!(listener.core_count > 0, "a listener without cores accepts nothing");
    let mut address = listener.address;
    let failed = |source: io::Error| explain(listener.address, source);
    let shared = listener.core_count > 1;
    if shared && address.port() != 0 {
        // Dropped at once; connections cannot come, because it does not listen.
        open(address, false).map_err(failed)?;
    }
    let mut sockets = Vec::with_capacity(listener.core_count);
    for _ in 0..listener.core_count {
        let socket = open(address, shared).map_err(failed)?;
        if address.port() == 0 {
            let bound = socket.local_addr().map_err(failed)?;
            address = bound.as_socket().unwrap_or(address);
        }
        sockets.push(socket);
    }
    let backlog = i32::try_from(listener.backlog).unwrap_or(i32::MAX);
    for socket in &sockets {
        socket.listen(backlog).map_err(failed)?;
    }
    let ListenerConfig { number, connect_rate_max, ref layers, .. } = *listener;
    Ok(BoundListener { number, connect_rate_max, layers: layers.clone(), address, sockets })
}

impl BoundListener {
    /// Where it listens, with the port that the kernel chose for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One part for each core, to be moved there.
    pub fn into_cores(self) -> Vec<CoreListener> {
        let Self { number, connect_rate_max, layers, address, sockets } = self;
        let part = |socket: Socket| CoreListener {
            number,
            connect_rate_max,
            layers: layers.clone(),
            address,
            socket: socket.into(),
        };
        sockets.into_iter().map(part).collect()
    }
}

impl CoreListener {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its number among the site's listeners.
    pub fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn connect_rate_max(&self) -> Option<u32> {
        self.connect_rate_max
    }

    pub(crate) fn layers(&self) -> &ListenerLayers {
        &self.layers
    }

    pub(crate) fn socket(&self) -> &TcpListener {
        &self.socket
    }
}

/// A socket bound to `address`, and not listening. `SO_REUSEADDR` is for connections in `TIME_WAIT`; it hides no listener.
fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn explain(address: SocketAddr, source: io::Error) -> BindError {
    // One kind is asked for at a time, because the list of kinds is open.
    if source.kind() == io::ErrorKind::AddrInUse {
        BindError::InUse { address }
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        BindError::NotAllowed { address }
    } else if source.kind() == io::ErrorKind::AddrNotAvailable {
        BindError::NoSuchAddress { address }
    } else {
        BindError::Other { address, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn on_cores(address: SocketAddr, core_count: usize) -> ListenerConfig {
        ListenerConfig { core_count, ..ListenerConfig::new(address) }
    }

    #[test]
    fn port_0_is_chosen_once_for_all_cores() {
        let bound = bind(&on_cores(loopback(0), 3)).unwrap();
        let address = bound.address();
        assert_ne!(address.port(), 0);
        let cores = bound.into_cores();
        assert_eq!(cores.len(), 3);
        assert!(cores.iter().all(|core| core.address() == address));
        assert!(cores.iter().all(|core| core.socket().local_addr().unwrap() == address));
    }

    #[test]
    fn a_port_in_use_is_refused_however_it_is_shared() {
        for (first_count, second_count) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let first = bind(&on_cores(loopback(0), first_count)).unwrap();
            let error = bind(&on_cores(first.address(), second_count)).unwrap_err();
            assert!(matches!(error, BindError::InUse { .. }), "{first_count} then {second_count}: {error}");
            assert!(error.to_string().contains(&first.address().to_string()), "{error}");
            let address = first.address();
            drop(first);
            assert!(bind(&on_cores(address, second_count)).is_ok(), "free again after {first_count}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        // A documentation address (RFC 5737): no interface has it.
        let error = bind(&ListenerConfig::new(SocketAddr::from(([192, 0, 2, 1], 0)))).unwrap_err();
        assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
    }
}
