//! MQTT over WebSocket (RFC 6455; MQTT 5.0 §6), the server's side, without a socket: bytes in, bytes out.
//!
//! [`WebSocket::receive`] takes what came, cut anywhere, and leaves what of it belongs to MQTT, in place: packets may span
//! frames and share them, so that is a stream. What is to be answered, to the opening request and to a Ping, waits for
//! [`WebSocket::take_answers`]. Payload passes through and is never held, so no limit here is memory.
//!
//! | File | Its idea |
//! |---|---|
//! | `config.rs` | what a listener allows |
//! | `opening.rs` | the HTTP request, and our answer |
//! | `frames.rs` | frames become a stream of bytes, in place |
//! | `fault.rs` | what a client's frames may do wrong |
//!
//! A crate of its own, so that it is fuzzed without what knows of sockets.
#![forbid(unsafe_code)]

mod config;
mod fault;
mod frames;
mod opening;

use std::sync::Arc;

pub use config::WebSocketConfig;
pub use fault::FrameError;

use frames::{FrameDecoder, NO_STATUS, Opcode, write_header};
use opening::Answer;

/// Why a WebSocket connection ends by our will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The opening request is none, or not for us.
    Opening(&'static str),
    /// The frames break a rule or a limit.
    Frames(FrameError),
}

/// What a piece of the stream meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The connection goes on.
    Open,
    /// The client closes.
    Closed,
    /// We close.
    Refused(Refusal),
}

/// One connection. Idle it holds no buffer.
#[derive(Debug)]
pub struct WebSocket {
    state: State,
    /// Bytes of the answer to the opening, until they are taken.
    answer: Vec<u8>,
    /// The payload of the Ping to answer; a newer one replaces it (§5.5.3).
    ping: Option<Box<[u8]>>,
    /// The status code of our Close frame.
    status: u16,
    /// Whether a Close frame would be understood: the opening has been answered.
    is_opened: bool,
}

#[derive(Debug)]
enum State {
    Opening { config: Arc<WebSocketConfig>, head: Vec<u8> },
    Frames(FrameDecoder),
    Ended,
}

impl WebSocket {
    /// A connection whose client has said nothing yet.
    pub fn new(config: Arc<WebSocketConfig>) -> Self {
        let state = State::Opening { config, head: Vec::new() };
        Self { state, answer: Vec::new(), ping: None, status: 1_000, is_opened: false }
    }

    /// Takes what came, and leaves what of it belongs to MQTT.
    pub fn receive(&mut self, bytes: &mut Vec<u8>) -> Heard {
        match &mut self.state {
            State::Opening { .. } => self.receive_opening(bytes),
            State::Frames(_) => self.receive_frames(bytes),
            State::Ended => {
                bytes.clear();
                Heard::Open
            }
        }
    }

    fn receive_opening(&mut self, bytes: &mut Vec<u8>) -> Heard {
        let State::Opening { config, head } = &mut self.state else { return Heard::Open };
        let searched = head.len();
        head.append(bytes);
        if !opening::may_be_request(head) {
            return self.answer(opening::refuse_start(false));
        }
        let Some(length) = opening::head_length(head, searched) else {
            if head.len() > config.header_bytes_max {
                return self.answer(opening::refuse_start(true));
            }
            return Heard::Open;
        };
        if length > config.header_bytes_max {
            return self.answer(opening::refuse_start(true));
        }
        let answer = opening::answer(&head[..length], config);
        let rest = head.split_off(length);
        match self.answer(answer) {
            // A client may send frames before it has our answer; what stands behind a refused request is nobody's.
            Heard::Open => {
                *bytes = rest;
                self.receive_frames(bytes)
            }
            heard @ (Heard::Closed | Heard::Refused(_)) => heard,
        }
    }

    fn answer(&mut self, answer: Answer) -> Heard {
        let State::Opening { config, .. } = std::mem::replace(&mut self.state, State::Ended) else {
            return Heard::Open;
        };
        match answer {
            Answer::Accept(response) => {
                self.state = State::Frames(FrameDecoder::new(config.limits()));
                self.answer = response;
                self.is_opened = true;
                Heard::Open
            }
            Answer::Refuse { response, reason } => {
                self.answer = response;
                Heard::Refused(Refusal::Opening(reason))
            }
        }
    }

    fn receive_frames(&mut self, bytes: &mut Vec<u8>) -> Heard {
        let State::Frames(frames) = &mut self.state else {
            bytes.clear();
            return Heard::Open;
        };
        let decoded = frames.decode(bytes);
        bytes.truncate(decoded.payload_bytes);
        if decoded.ping.is_some() {
            self.ping = decoded.ping;
        }
        if let Some(error) = decoded.error {
            self.status = error.status();
            self.state = State::Ended;
            return Heard::Refused(Refusal::Frames(error));
        }
        match decoded.close {
            None => Heard::Open,
            Some(status) => {
                self.status = if status == NO_STATUS { self.status } else { status };
                self.state = State::Ended;
                Heard::Closed
            }
        }
    }

    /// Whether [`WebSocket::take_answers`] has something.
    pub fn has_answers(&self) -> bool {
        !self.answer.is_empty() || self.ping.is_some()
    }

    /// Appends the answer to the opening, and to the last Ping.
    pub fn take_answers(&mut self, output: &mut Vec<u8>) {
        output.append(&mut self.answer);
        self.answer = Vec::new();
        if let Some(payload) = self.ping.take() {
            write_header(output, Opcode::Pong, payload.len());
            output.extend_from_slice(&payload);
        }
    }

    /// Whether MQTT may be sent: the opening has been answered.
    pub fn may_send(&self) -> bool {
        self.is_opened
    }

    /// Appends the header of a frame for so many bytes of MQTT, which follow.
    pub fn begin_frame(output: &mut Vec<u8>, payload_bytes: usize) {
        write_header(output, Opcode::Binary, payload_bytes);
    }

    /// Appends the Close frame, where the client would understand one. Nothing follows it.
    pub fn close(&self, output: &mut Vec<u8>) {
        if self.is_opened {
            write_header(output, Opcode::Close, 2);
            output.extend_from_slice(&self.status.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_refused_request_does_not_reach_mqtt() {
        let rules = WebSocketConfig { origins: vec!["https://hmi.example".to_owned()], ..WebSocketConfig::default() };
        let mut websocket = WebSocket::new(Arc::new(rules));
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x10\x0c\x00\x04MQTT".to_vec();
        assert!(matches!(websocket.receive(&mut bytes), Heard::Refused(Refusal::Opening(_))));
        assert_eq!(bytes, b"");
        let mut more = b"more".to_vec();
        assert_eq!((websocket.receive(&mut more), more.as_slice()), (Heard::Open, b"".as_slice()));
    }
}
