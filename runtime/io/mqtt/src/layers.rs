//! What stands between the socket and MQTT at a connection that is not plain TCP: TLS, a WebSocket, or one over the other.
//!
//! Bytes given to be written stay in the connection's backlog until the socket takes more; then a batch of them is put into one
//! WebSocket frame and into TLS records, in buffers of the core, and goes out in one system call. What the kernel does not take of
//! it is kept here. So a slow client costs its backlog and one batch, and an idle one its keys.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use mqtt_websocket::{Heard, Refusal, WebSocket};

use crate::tls::{TlsFailure, TlsLayer, TlsState};

/// Bytes of the backlog that are encoded at once; at most so much is encoded and not taken by the kernel.
const BATCH_BYTES_MAX: usize = 32 << 10;

/// Buffers of the core, for one connection at a time. Empty between calls.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    /// What came, decoded; or what is to be encoded.
    pub(crate) plain: Vec<u8>,
    /// What is to be sent.
    pub(crate) encoded: Vec<u8>,
}

/// The layers of one connection.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Boxed, because a WebSocket without TLS has no use for its kilobyte.
    tls: Option<Box<TlsLayer>>,
    websocket: Option<WebSocket>,
    /// What the kernel has not taken yet.
    pending: VecDeque<u8>,
    /// Bytes of the backlog that are in `pending`: told as written when it is empty.
    pending_given: usize,
    farewell: Farewell,
}

/// The last words: a Close frame, and the alert that nothing follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    Owed,
    /// They have been encoded, or nobody would understand them.
    Said,
}

/// What a piece of the stream meant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    /// The connection goes on.
    Open,
    /// The peer closes in good order.
    Closed,
    /// TLS must end.
    TlsFailed(TlsFailure),
    /// The WebSocket must end.
    Refused(Refusal),
}

impl Layers {
    pub(crate) fn new(tls: Option<Box<TlsLayer>>, websocket: Option<WebSocket>) -> Self {
        Self { tls, websocket, pending: VecDeque::new(), pending_given: 0, farewell: Farewell::Owed }
    }

    /// See [`TlsLayer::take_kept`].
    pub(crate) fn take_kept(&mut self, input: &mut [u8]) -> usize {
        self.tls.as_mut().map_or(0, |tls| tls.take_kept(input))
    }

    /// See [`TlsLayer::keep`].
    pub(crate) fn keep(&mut self, input: &[u8]) {
        if let Some(tls) = &mut self.tls {
            tls.keep(input);
        }
    }

    /// Decodes what was kept and what came; `plain` then holds what belongs to MQTT.
    pub(crate) fn receive(&mut self, input: &mut [u8], plain: &mut Vec<u8>) -> Received {
        plain.clear();
        let mut received = Received::Open;
        if let Some(tls) = &mut self.tls {
            let mut output = Vec::new();
            match tls.receive(input, plain, &mut output) {
                Ok(TlsState::Handshaking | TlsState::Established) => (),
                Ok(TlsState::PeerClosed) => received = Received::Closed,
                Err(failure) => {
                    self.farewell = Farewell::Said;
                    received = Received::TlsFailed(failure);
                }
            }
            self.pending.extend(output);
        } else {
            plain.extend_from_slice(input);
        }
        let received = self.receive_plain(plain, received);
        if matches!(received, Received::TlsFailed(_)) {
            // What it would answer cannot be sent.
            self.websocket = None;
        }
        received
    }

    /// Takes what TLS has decoded, which may be nothing, and leaves what belongs to MQTT.
    pub(crate) fn receive_plain(&mut self, plain: &mut Vec<u8>, below: Received) -> Received {
        let Some(websocket) = &mut self.websocket else { return below };
        if plain.is_empty() {
            return below;
        }
        match websocket.receive(plain) {
            Heard::Closed if below == Received::Open => Received::Closed,
            Heard::Refused(refusal) if below == Received::Open => Received::Refused(refusal),
            Heard::Open | Heard::Closed | Heard::Refused(_) => below,
        }
    }

    /// Whether there is something to be sent beside the backlog.
    pub(crate) fn has_output(&self) -> bool {
        !self.pending.is_empty() || self.websocket.as_ref().is_some_and(WebSocket::has_answers)
    }

    /// Whether the last words are still to be said.
    pub(crate) fn owes_farewell(&self) -> bool {
        self.farewell == Farewell::Owed
    }

    /// Encodes the next batch into `staging.encoded`: answers of the WebSocket, some of the backlog, and the last words where
    /// `closing` and that was all. Returns how many bytes of the backlog are in it.
    ///
    /// # Errors
    /// [`TlsFailure`]: nothing can be sent any more.
    pub(crate) fn encode(
        &mut self,
        backlog: &mut VecDeque<Bytes>,
        backlog_bytes: usize,
        closing: bool,
        staging: &mut Staging,
    ) -> Result<usize, TlsFailure> {
        staging.plain.clear();
        staging.encoded.clear();
        let given;
        if let Some(websocket) = &mut self.websocket {
            websocket.take_answers(&mut staging.plain);
        }
        if self.websocket.as_ref().is_none_or(WebSocket::may_send) {
            given = backlog_bytes.min(BATCH_BYTES_MAX);
            if self.websocket.is_some() && given > 0 {
                WebSocket::begin_frame(&mut staging.plain, given);
            }
            take_front(backlog, given, &mut staging.plain);
        } else {
            // Nothing may be said before the opening is answered.
            backlog.clear();
            given = backlog_bytes;
        }
        let is_last = closing && backlog.is_empty() && self.farewell == Farewell::Owed;
        if let Some(websocket) = &self.websocket
            && is_last
        {
            websocket.close(&mut staging.plain);
        }
        match &mut self.tls {
            None => std::mem::swap(&mut staging.plain, &mut staging.encoded),
            Some(tls) => {
                if !staging.plain.is_empty() {
                    tls.encrypt(&staging.plain, &mut staging.encoded)?;
                }
                if is_last {
                    tls.close(&mut staging.encoded)?;
                }
            }
        }
        if is_last {
            self.farewell = Farewell::Said;
        }
        Ok(given)
    }

    /// Keeps what the kernel did not take of a batch.
    pub(crate) fn keep_pending(&mut self, rest: &[u8], given: usize) {
        self.pending.extend(rest);
        self.pending_given += given;
    }

    /// What the kernel has not taken yet.
    pub(crate) fn pending(&self) -> (&[u8], &[u8]) {
        self.pending.as_slices()
    }

    /// Notes that the kernel took so much of it. Returns how many bytes of the backlog are written with that.
    pub(crate) fn advance_pending(&mut self, count: usize) -> usize {
        self.pending.drain(..count);
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
            return std::mem::take(&mut self.pending_given);
        }
        0
    }
}

/// Moves `count` bytes of the backlog's front to the end of `output`.
fn take_front(backlog: &mut VecDeque<Bytes>, mut count: usize, output: &mut Vec<u8>) {
    while count > 0 {
        let Some(front) = backlog.front_mut() else { return };
        let taken = front.len().min(count);
        output.extend_from_slice(&front[..taken]);
        front.advance(taken);
        count -= taken;
        if front.is_empty() {
            backlog.pop_front();
        }
    }
}
