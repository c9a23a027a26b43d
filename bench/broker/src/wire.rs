//! No broker: it copies what is published to whoever asked for it, and keeps none of the rules. Beside real brokers it shows what
//! generator and kernel reach on this machine; in tests it loses, doubles and swaps messages on purpose.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use crate::generator::frame::{Frame, next_frame};
use crate::generator::packet::puback;
use crate::generator::poll::{Interest, Poll};

const READ_BYTES: usize = 256 << 10;
/// The listener's token; connections have the others.
const LISTENER: usize = usize::MAX;

/// What it does on purpose, to the message of a number among all that are published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Mischief {
    /// Loses this message.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) lose: Option<u64>,
    /// Delivers this message twice.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) double: Option<u64>,
    /// Delivers this message after the next one.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) swap: Option<u64>,
}

struct Peer {
    socket: TcpStream,
    carry: Vec<u8>,
    output: Vec<u8>,
    /// Prefix of the topics that it gets, whether that is all of the topic, and the QoS.
    subscription: Option<(Vec<u8>, bool, u8)>,
    next_identifier: u16,
}

struct Wire {
    poll: Poll,
    peers: Vec<Option<Peer>>,
    mischief: Mischief,
    published: u64,
    held: Option<Vec<u8>>,
}

/// Serves `listener` until `stop` is set.
///
/// # Errors
/// If the kernel fails.
pub(crate) fn serve(listener: &TcpListener, mischief: Mischief, stop: &AtomicBool) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let mut wire = Wire { poll: Poll::new()?, peers: Vec::new(), mischief, published: 0, held: None };
    wire.poll.add(listener, LISTENER, Interest::Read)?;
    let mut buffer = vec![0; READ_BYTES];
    while !stop.load(Ordering::Relaxed) {
        wire.poll.wait(Duration::from_millis(50)).context("epoll")?;
        for index in 0..wire.poll.len() {
            match wire.poll.readiness(index).token {
                LISTENER => wire.accept(listener)?,
                token => wire.read(token, &mut buffer),
            }
        }
        wire.flush();
    }
    Ok(())
}

impl Wire {
    fn accept(&mut self, listener: &TcpListener) -> anyhow::Result<()> {
        while let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            self.poll.add(&socket, self.peers.len(), Interest::Read)?;
            let (carry, output) = (Vec::new(), Vec::new());
            self.peers.push(Some(Peer { socket, carry, output, subscription: None, next_identifier: 0 }));
        }
        Ok(())
    }

    fn read(&mut self, token: usize, buffer: &mut [u8]) {
        let Some(mut peer) = self.peers.get_mut(token).and_then(Option::take) else { return };
        let carried = peer.carry.len();
        buffer[..carried].copy_from_slice(&peer.carry);
        match peer.socket.read(&mut buffer[carried..]) {
            Ok(0) => return,
            Ok(read) => {
                peer.carry.clear();
                let mut input = &buffer[..carried + read];
                loop {
                    match next_frame(input) {
                        Ok(Some(Frame { first, body, size_bytes })) => {
                            if !self.handle(&mut peer, first, body, &input[..size_bytes]) {
                                return;
                            }
                            input = &input[size_bytes..];
                        }
                        Ok(None) => break,
                        Err(_) => return,
                    }
                }
                peer.carry.extend_from_slice(input);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        self.peers[token] = Some(peer);
    }

    /// Does what a packet asks; `false` ends the connection.
    fn handle(&mut self, peer: &mut Peer, first: u8, body: &[u8], frame: &[u8]) -> bool {
        match first >> 4 {
            // Protocol level 5 has properties.
            1 if body.get(6) == Some(&5) => peer.output.extend([0x20, 3, 0, 0, 0]),
            1 => peer.output.extend([0x20, 2, 0, 0]),
            3 => return self.publish(peer, first, body, frame),
            8 => return subscribe(peer, body),
            14 => return false,
            _ => {}
        }
        true
    }

    fn publish(&mut self, publisher: &mut Peer, first: u8, body: &[u8], frame: &[u8]) -> bool {
        let Some((length, rest)) = body.split_first_chunk() else { return false };
        let topic_bytes = usize::from(u16::from_be_bytes(*length));
        let Some(topic) = rest.get(..topic_bytes) else { return false };
        if first & 0b110 != 0 {
            let Some(identifier) = rest[topic_bytes..].first_chunk() else { return false };
            publisher.output.extend(puback(u16::from_be_bytes(*identifier)));
        }
        let number = Some(self.published);
        self.published += 1;
        if number == self.mischief.swap {
            self.held = Some(frame.to_vec());
            return true;
        }
        let copies = if number == self.mischief.lose { 0 } else { 1 + usize::from(number == self.mischief.double) };
        let held = self.held.take();
        // Where the Packet Identifier stands: header, length and topic precede it.
        let identifier_at = frame.len() - body.len() + 2 + topic_bytes;
        for frame in std::iter::repeat_n(frame, copies).chain(held.as_deref()) {
            for peer in self.peers.iter_mut().flatten() {
                peer.deliver(topic, frame, identifier_at);
            }
        }
        true
    }

    /// Sends what waits. It is no broker: what a slow peer does not take, it keeps.
    fn flush(&mut self) {
        for peer in &mut self.peers {
            let Some(some) = peer else { continue };
            match some.socket.write(&some.output) {
                Ok(written) if written == some.output.len() => some.output.clear(),
                Ok(written) => drop(some.output.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *peer = None,
            }
        }
    }
}

impl Peer {
    fn deliver(&mut self, topic: &[u8], frame: &[u8], identifier_at: usize) {
        let Some((prefix, is_whole, qos)) = &self.subscription else { return };
        if !topic.starts_with(prefix) || (*is_whole && topic.len() != prefix.len()) {
            return;
        }
        let start = self.output.len();
        self.output.extend_from_slice(frame);
        if frame[0] & 0b110 != 0 && *qos > 0 {
            self.next_identifier = self.next_identifier % u16::MAX + 1;
            let identifier = self.next_identifier.to_be_bytes();
            self.output[start + identifier_at..start + identifier_at + 2].copy_from_slice(&identifier);
        }
    }
}

/// SUBSCRIBE with one Topic Filter, as the generator sends it.
fn subscribe(peer: &mut Peer, body: &[u8]) -> bool {
    // In 5.0 an empty Property Length follows the Packet Identifier; no filter of ours is 256 bytes long.
    let is_v5 = body.get(2..4).is_some_and(|bytes| bytes == [0, 0]);
    let filter = body.get(if is_v5 { 3 } else { 2 }..).and_then(|rest| rest.split_first_chunk::<2>());
    let Some((length, rest)) = filter else { return false };
    let Some((filter, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { return false };
    let Some(qos) = rest.first().map(|options| options & 0b11) else { return false };
    let (prefix, is_whole) = filter.strip_suffix(b"#").map_or((filter, true), |prefix| (prefix, false));
    peer.subscription = Some((prefix.to_vec(), is_whole, qos));
    if is_v5 {
        peer.output.extend([0x90, 4, body[0], body[1], 0, qos]);
    } else {
        peer.output.extend([0x90, 3, body[0], body[1], qos]);
    }
    true
}
