//! The server's side of a WebSocket (RFC 6455): any split of the client's stream is heard alike.
//!
//! The first byte chooses where the stream is cut, and whether it begins with a good opening request.

use std::sync::Arc;

use mqtt_websocket::{Heard, WebSocket, WebSocketConfig};

const OPENING: &[u8] =
    b"GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: \
                         dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Hears `input` whole and in pieces.
pub fn run(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    let stream = if choice & 1 == 0 { [OPENING, rest].concat() } else { rest.to_vec() };
    let whole = hear(&stream, stream.len().max(1));
    let pieces = hear(&stream, usize::from(choice >> 1) % 37 + 1);
    assert_eq!(whole, pieces, "what a client says depends on how it is cut");
    assert!(whole.payload.len() <= stream.len(), "payload comes from nowhere");
}

/// What a stream said.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    payload: Vec<u8>,
    end: Option<Heard>,
    is_opened: bool,
}

fn hear(stream: &[u8], piece_bytes: usize) -> Said {
    let rules = WebSocketConfig {
        header_bytes_max: 400,
        frame_bytes_max: 2_000,
        message_bytes_max: 3_000,
        ..Default::default()
    };
    let mut websocket = WebSocket::new(Arc::new(rules));
    let (mut payload, mut end) = (Vec::new(), None);
    for piece in stream.chunks(piece_bytes) {
        let mut bytes = piece.to_vec();
        let heard = websocket.receive(&mut bytes);
        assert!(end.is_none() || bytes.is_empty(), "nothing is heard after the end");
        payload.extend(bytes);
        if heard != Heard::Open {
            assert_eq!(end, None, "a connection ends once");
            end = Some(heard);
        }
        let mut answers = Vec::new();
        websocket.take_answers(&mut answers);
        assert!(answers.len() <= 512, "answers are bounded");
        assert!(!websocket.has_answers(), "an answer is given once");
    }
    let mut close = Vec::new();
    websocket.close(&mut close);
    assert_eq!(close.is_empty(), !websocket.may_send(), "who was not answered understands no Close frame");
    Said { payload, end, is_opened: websocket.may_send() }
}
