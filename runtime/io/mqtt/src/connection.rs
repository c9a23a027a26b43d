//! One socket: read in pieces, written in one system call, closed so that the last words arrive.
//!
//! A connection that is not plain TCP has [`Layers`], boxed, so that it costs a plain one eight bytes.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::{Shutdown, TcpStream};

use bytes::{Buf, Bytes};
use contract::Instant;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::layers::{Layers, Received, Staging};

/// Slices that one system call takes. More are written in the next one.
const SLICE_COUNT_MAX: usize = 64;
/// Bytes that a peer sends after our last word are thrown away, so many reads at once.
const DISCARDED_READ_COUNT_MAX: usize = 16;
/// A backlog that needed more entries than this gives its memory back once it is written.
const KEPT_BACKLOG_ENTRIES: usize = 8;

/// Where the life of a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Bytes move both ways.
    Open,
    /// The actor has closed it: what was given is written, nothing is read.
    Closing,
    /// Everything is written, and the peer has been told (FIN). What it still sends is thrown away, so that the kernel does
    /// not answer it with a reset, which could overtake our last words.
    Lingering,
    /// There is no socket.
    Closed,
}

/// How a read or a write of a socket went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing at present; the kernel will say when.
    Blocked,
    /// The peer sends no more (reads only).
    Finished,
    /// The connection is broken: reset, timed out, unreachable.
    Broken,
}

/// A slot's connection. The `in_..` flags say which lists of the frontend hold the slot, so they outlive a connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts; each costs a byte of every slot")]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    socket: Option<TcpStream>,
    pub(crate) phase: Phase,
    /// Bytes, or the peer's end, may wait in the kernel.
    pub(crate) readable: bool,
    /// The peer has finished, or the connection is broken: a short read says nothing about what follows.
    pub(crate) hung_up: bool,
    /// The connection is broken: it is told although reading is paused.
    pub(crate) broken: bool,
    /// The kernel's send buffer may have room.
    pub(crate) writable: bool,
    pub(crate) reading_paused: bool,
    /// The core must be told that the socket is closed.
    pub(crate) owes_closed: bool,
    /// The core has let go of the address.
    pub(crate) forgotten: bool,
    pub(crate) in_ready: bool,
    pub(crate) in_unflushed: bool,
    pub(crate) in_ending: bool,
    /// Bytes written that the core has not been told of.
    pub(crate) written_bytes: usize,
    backlog: VecDeque<Bytes>,
    backlog_bytes: usize,
    /// What stands between the socket and MQTT; `None`: nothing.
    pub(crate) layers: Option<Box<Layers>>,
    /// While closing or lingering: when patience ends.
    pub(crate) deadline: Instant,
}

impl Connection {
    /// A slot without connection.
    pub(crate) fn new() -> Self {
        Self {
            generation: 0,
            socket: None,
            phase: Phase::Closed,
            readable: false,
            hung_up: false,
            broken: false,
            writable: false,
            reading_paused: false,
            owes_closed: false,
            forgotten: false,
            in_ready: false,
            in_unflushed: false,
            in_ending: false,
            written_bytes: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            layers: None,
            deadline: Instant::ZERO,
        }
    }

    /// Puts an accepted socket into the slot.
    pub(crate) fn open(&mut self, socket: TcpStream, layers: Option<Box<Layers>>) {
        assert!(self.phase == Phase::Closed && self.socket.is_none(), "the slot is free");
        self.socket = Some(socket);
        self.layers = layers;
        self.phase = Phase::Open;
        self.readable = true;
        self.hung_up = false;
        self.broken = false;
        self.writable = true;
        self.reading_paused = false;
        self.owes_closed = false;
        self.forgotten = false;
        self.written_bytes = 0;
        self.deadline = Instant::ZERO;
    }

    /// Whether the core should be served: it is owed an event, or bytes wait that it may have.
    pub(crate) fn is_due(&self) -> bool {
        self.owes_closed || self.written_bytes > 0 || self.may_read()
    }

    pub(crate) fn may_read(&self) -> bool {
        self.phase == Phase::Open && self.readable && (!self.reading_paused || self.broken)
    }

    /// Reads once into `scratch`.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> Progress {
        let Some(socket) = &self.socket else { return Progress::Broken };
        loop {
            return match rustix::net::recv(socket, &mut *scratch, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => Progress::Finished,
                Ok((_, count)) => {
                    // A short read has emptied the socket; what comes later is announced (epoll(7), "edge-triggered").
                    self.readable = count == scratch.len() || self.hung_up;
                    Progress::Bytes(count)
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    Progress::Blocked
                }
                Err(_) => Progress::Broken,
            };
        }
    }

    /// Reads once through the layers: `staging.plain` then holds what belongs to MQTT.
    pub(crate) fn read_layered(&mut self, scratch: &mut [u8], staging: &mut Staging) -> (Progress, Received) {
        staging.plain.clear();
        let kept = self.layers.as_mut().map_or(0, |layers| layers.take_kept(scratch));
        let progress = self.read(&mut scratch[kept..]);
        let Some(layers) = &mut self.layers else { return (progress, Received::Open) };
        match progress {
            Progress::Bytes(count) => (progress, layers.receive(&mut scratch[..kept + count], &mut staging.plain)),
            Progress::Blocked | Progress::Finished | Progress::Broken => {
                layers.keep(&scratch[..kept]);
                (progress, Received::Open)
            }
        }
    }

    /// Throws away what the peer sends; [`Progress::Bytes`] is not returned.
    pub(crate) fn discard(&mut self, scratch: &mut [u8]) -> Progress {
        for _ in 0..DISCARDED_READ_COUNT_MAX {
            match self.read(scratch) {
                Progress::Bytes(_) if self.readable => (),
                Progress::Bytes(_) => return Progress::Blocked,
                other @ (Progress::Blocked | Progress::Finished | Progress::Broken) => return other,
            }
        }
        // A peer that sends faster than it can be ignored.
        Progress::Broken
    }

    /// Appends to what is to be written.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.backlog_bytes += bytes.len();
        self.backlog.push_back(bytes);
    }

    /// Bytes given and not written.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Forgets what was given and not written; what the layers have to say is still sent.
    pub(crate) fn drop_backlog(&mut self) {
        self.backlog = VecDeque::new();
        self.backlog_bytes = 0;
    }

    /// Whether anything is to be sent: the backlog, or what the layers have to say.
    pub(crate) fn has_output(&self) -> bool {
        self.backlog_bytes > 0
            || self
                .layers
                .as_ref()
                .is_some_and(|layers| layers.has_output() || (self.phase == Phase::Closing && layers.owes_farewell()))
    }

    /// Writes the backlog until the kernel takes no more. Returns whether the connection is sound.
    pub(crate) fn write_backlog(&mut self, write_count: &mut u64, staging: &mut Staging) -> bool {
        if self.layers.is_some() {
            return self.write_layered(write_count, staging);
        }
        while self.backlog_bytes > 0 && self.writable {
            match self.write_once() {
                Progress::Bytes(count) => {
                    *write_count += 1;
                    self.written_bytes += count;
                    self.advance(count);
                }
                Progress::Blocked => self.writable = false,
                Progress::Finished | Progress::Broken => return false,
            }
        }
        true
    }

    /// The same through the layers, batch by batch.
    fn write_layered(&mut self, write_count: &mut u64, staging: &mut Staging) -> bool {
        while self.writable && self.has_output() {
            let Self { socket, layers: Some(layers), .. } = self else { return false };
            let (front, back) = layers.pending();
            if !front.is_empty() {
                match send(socket.as_ref(), &[IoSlice::new(front), IoSlice::new(back)]) {
                    Progress::Bytes(count) => {
                        *write_count += 1;
                        self.written_bytes += layers.advance_pending(count);
                    }
                    Progress::Blocked => self.writable = false,
                    Progress::Finished | Progress::Broken => return false,
                }
                continue;
            }
            let closing = self.phase == Phase::Closing;
            let Ok(given) = layers.encode(&mut self.backlog, self.backlog_bytes, closing, staging) else {
                return false;
            };
            self.backlog_bytes -= given;
            release(&mut self.backlog);
            if staging.encoded.is_empty() {
                self.written_bytes += given;
                continue;
            }
            match send(socket.as_ref(), &[IoSlice::new(&staging.encoded)]) {
                Progress::Bytes(count) => {
                    *write_count += 1;
                    if count < staging.encoded.len() {
                        layers.keep_pending(&staging.encoded[count..], given);
                    } else {
                        self.written_bytes += given;
                    }
                }
                Progress::Blocked => {
                    layers.keep_pending(&staging.encoded, given);
                    self.writable = false;
                }
                Progress::Finished | Progress::Broken => return false,
            }
        }
        true
    }

    fn write_once(&self) -> Progress {
        let mut slices = [IoSlice::new(&[]); SLICE_COUNT_MAX];
        let mut slice_count = 0;
        for (slice, bytes) in slices.iter_mut().zip(&self.backlog) {
            *slice = IoSlice::new(bytes);
            slice_count += 1;
        }
        send(self.socket.as_ref(), &slices[..slice_count])
    }

    /// Takes `count` bytes off the front of the backlog.
    fn advance(&mut self, mut count: usize) {
        self.backlog_bytes -= count;
        while let Some(front) = self.backlog.front_mut() {
            if front.len() > count {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.backlog.pop_front();
        }
        release(&mut self.backlog);
    }

    /// Tells the peer that nothing follows; it may still send.
    pub(crate) fn finish_writing(&mut self) {
        self.phase = Phase::Lingering;
        if let Some(socket) = &self.socket {
            // Fails when the peer has reset the connection; then there is nobody to tell.
            let _peer_is_gone = socket.shutdown(Shutdown::Write);
        }
    }

    /// Closes the socket, whatever is left to write.
    pub(crate) fn end(&mut self) {
        if let Some(socket) = self.socket.take() {
            // As above.
            let _peer_is_gone = socket.shutdown(Shutdown::Both);
        }
        self.phase = Phase::Closed;
        self.drop_backlog();
        self.layers = None;
    }
}

/// Gives back the memory of an empty backlog that was large.
fn release(backlog: &mut VecDeque<Bytes>) {
    if backlog.is_empty() && backlog.capacity() > KEPT_BACKLOG_ENTRIES {
        *backlog = VecDeque::new();
    }
}

/// Sends what the kernel takes of the slices, in one system call.
fn send(socket: Option<&TcpStream>, slices: &[IoSlice<'_>]) -> Progress {
    let Some(socket) = socket else { return Progress::Broken };
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        let control = &mut SendAncillaryBuffer::default();
        return match rustix::net::sendmsg(socket, slices, control, flags) {
            Ok(count) => Progress::Bytes(count),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Progress::Blocked,
            Err(_) => Progress::Broken,
        };
    }
}
