//! Listening sockets that a plant may close and open again.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

const BACKLOG: u32 = 128;

/// Listens on `address`, also right after another listener there was closed.
///
/// Connections accepted from it send without delay: Linux hands the option down, and the crate does not set it, which
/// would cost a client that waits for its answers 40 ms each.
///
/// # Errors
/// If the address is taken or not ours.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address).with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(BACKLOG).with_context(|| format!("cannot listen on {address}"))
}
