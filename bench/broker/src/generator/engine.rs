//! All connections of the generator on one thread: one epoll turn reads all that is there and parses it in place.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

use super::frame::{Packet, next_packet};
use super::packet::Version;
use super::poll::{Interest, Poll, Readiness};

/// Bytes read at once from one socket.
const READ_BYTES: usize = 256 << 10;
/// Reads of one socket in one turn, so that none starves the others.
const READS_MAX: usize = 4;
/// Output of one connection above which a publisher makes no more.
pub(crate) const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Connections from one source address: the kernel has some 28,000 ports for each.
const CONNECTIONS_PER_ADDRESS: usize = 8_192;
/// Source addresses that are used in turn, 127.1.0.1 and on.
const ADDRESSES_COUNT: usize = 200;

/// What is to be done with what comes.
pub(crate) trait Handler {
    /// A packet came. What is appended to `output` goes to the same connection, at the end of the turn's read.
    fn packet(&mut self, token: usize, packet: Packet<'_>, now_ns: u64, output: &mut Vec<u8>);

    /// The connection ended, and not because we closed it.
    fn ended(&mut self, token: usize);
}

/// Turns, connections and the clock.
#[derive(Debug)]
pub(crate) struct Engine {
    poll: Poll,
    version: Version,
    broker: SocketAddr,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    opened_count: usize,
    buffer: Box<[u8]>,
    clock: Clock,
}

/// Nanoseconds since the generator started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Now.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "584 years")]
    pub(crate) fn now_ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    /// The start of a packet whose rest has not come.
    carry: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    interest: Interest,
}

/// How a connection is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opening {
    /// Receive buffer of the socket in bytes, where it is not the kernel's choice.
    pub(crate) receive_buffer_bytes: Option<usize>,
}

impl Engine {
    /// An engine without connections, for the broker at `broker`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn new(broker: SocketAddr, version: Version) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new().context("epoll")?,
            version,
            broker,
            connections: Vec::new(),
            free: Vec::new(),
            opened_count: 0,
            buffer: vec![0; READ_BYTES].into(),
            clock: Clock(Instant::now()),
        })
    }

    /// The clock of all stamps.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The version that all connections speak.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Begins a connection and gives its token; `first_bytes` are sent as soon as it is made.
    ///
    /// # Errors
    /// If there are no more sockets or ports.
    pub(crate) fn open(&mut self, first_bytes: Vec<u8>, opening: Opening) -> anyhow::Result<usize> {
        let socket = Socket::new(Domain::for_address(self.broker), Type::STREAM, Some(Protocol::TCP)).context("socket")?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = opening.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if self.broker.ip().is_loopback() && self.broker.is_ipv4() {
            socket.bind(&source_address(self.opened_count).into()).context("a port of our own")?;
        }
        self.opened_count += 1;
        match socket.connect(&self.broker.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error).context("connect"),
        }
        let token = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let interest = Interest::ReadAndWrite;
        self.poll.add(&socket, token, interest)?;
        let socket = socket.into();
        self.connections[token] = Some(Connection { socket, carry: Vec::new(), output: first_bytes, written: 0, interest });
        Ok(token)
    }

    /// Bytes that a connection has still to send; 0 where it has ended.
    pub(crate) fn pending_bytes(&self, token: usize) -> usize {
        self.connections[token].as_ref().map_or(0, |connection| connection.output.len() - connection.written)
    }

    /// Has `write` append to a connection's output, and sends it.
    pub(crate) fn send(&mut self, token: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(connection) = self.connections[token].as_mut() {
            write(&mut connection.output);
            connection.flush(&self.poll, token);
        }
    }

    /// Reads nothing of a connection from then on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn pause(&mut self, token: usize) -> std::io::Result<()> {
        let Some(connection) = self.connections[token].as_mut() else { return Ok(()) };
        connection.interest = Interest::Nothing;
        self.poll.modify(&connection.socket, token, Interest::Nothing)
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, token: usize) {
        if self.connections[token].take().is_some() {
            self.free.push(token);
        }
    }

    /// Waits for something to happen, `timeout` at most, and handles all of it.
    ///
    /// # Errors
    /// If the kernel fails, or the broker sends what is no MQTT.
    pub(crate) fn turn(&mut self, timeout: Duration, handler: &mut impl Handler) -> anyhow::Result<()> {
        self.poll.wait(timeout).context("epoll")?;
        for index in 0..self.poll.len() {
            let Readiness { token, is_readable, is_writable } = self.poll.readiness(index);
            let is_open = {
                // A connection may have been closed earlier in this turn.
                let Some(connection) = self.connections.get_mut(token).and_then(Option::as_mut) else { continue };
                let mut is_open = true;
                if is_readable {
                    // One that is not read is only told of when it has ended.
                    is_open = connection.interest != Interest::Nothing
                        && connection.read(&mut self.buffer, self.version, self.clock, token, handler)?;
                }
                if is_writable || !connection.output.is_empty() {
                    connection.flush(&self.poll, token);
                }
                is_open
            };
            if !is_open {
                self.close(token);
                handler.ended(token);
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Reads what is there; gives whether the connection still stands.
    fn read(
        &mut self,
        buffer: &mut [u8],
        version: Version,
        clock: Clock,
        token: usize,
        handler: &mut impl Handler,
    ) -> anyhow::Result<bool> {
        for _ in 0..READS_MAX {
            let carried = self.carry.len();
            if carried >= buffer.len() {
                anyhow::bail!("the broker sends a packet of more than {READ_BYTES} bytes");
            }
            buffer[..carried].copy_from_slice(&self.carry);
            self.carry.clear();
            let read = match self.socket.read(&mut buffer[carried..]) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    self.carry.extend_from_slice(&buffer[..carried]);
                    return Ok(true);
                }
                Err(_) => return Ok(false),
            };
            let now_ns = clock.now_ns();
            let mut input = &buffer[..carried + read];
            while let Some((packet, bytes)) = next_packet(version, input)? {
                handler.packet(token, packet, now_ns, &mut self.output);
                input = &input[bytes..];
            }
            self.carry.extend_from_slice(input);
            if carried + read < buffer.len() {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Sends what waits, as far as the kernel takes it. An error shows itself at the next read.
    fn flush(&mut self, poll: &Poll, token: usize) {
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        } else if self.written > OUTPUT_BYTES_MAX {
            self.output.drain(..self.written);
            self.written = 0;
        }
        let wanted = match (self.interest, self.output.is_empty()) {
            (Interest::Nothing, _) => Interest::Nothing,
            (_, true) => Interest::Read,
            (_, false) => Interest::ReadAndWrite,
        };
        if wanted != self.interest && poll.modify(&self.socket, token, wanted).is_ok() {
            self.interest = wanted;
        }
    }
}

/// Where the `number`-th connection comes from: each source address has ports of its own.
fn source_address(number: usize) -> SocketAddr {
    let address = number / CONNECTIONS_PER_ADDRESS % ADDRESSES_COUNT + 1;
    let last = u8::try_from(address).expect("there are fewer than 256 of them");
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(127, 1, 0, last), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_change_before_their_ports_run_out() {
        let first = source_address(0);
        assert_eq!(source_address(CONNECTIONS_PER_ADDRESS - 1), first);
        assert_ne!(source_address(CONNECTIONS_PER_ADDRESS), first);
        assert_eq!(source_address(CONNECTIONS_PER_ADDRESS * ADDRESSES_COUNT), first);
    }
}
