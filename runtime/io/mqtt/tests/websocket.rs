//! MQTT over WebSocket, plain and over TLS, with a client that is not ours.

#[expect(dead_code, reason = "other tests need the rest")]
mod certificates;
#[expect(dead_code, reason = "other tests need the rest")]
mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use certificates::{Certificates, connect};
use contract::CoreIndex;
use harness::{Behaviour, Harness};
use mqtt_listener::{FrontendConfig, HandshakeSpec, ListenerLayers, WebSocketConfig};
use rustls::version::TLS13;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::{HandshakeError, Message, WebSocket};

fn config() -> FrontendConfig {
    FrontendConfig::new(CoreIndex(0))
}

fn start(behaviour: &Behaviour, rules: WebSocketConfig) -> Harness {
    let layers = ListenerLayers { tls: None, websocket: Some(Arc::new(rules)) };
    Harness::start_layered(&config(), behaviour, layers)
}

fn open<S: Read + Write>(stream: S) -> WebSocket<S> {
    let mut request = "ws://localhost/mqtt".into_client_request().expect("a URL");
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    let (socket, response) = tungstenite::client(request, stream).expect("the opening is answered");
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    socket
}

/// Reads until so many bytes of binary messages have come.
fn read_bytes<S: Read + Write>(socket: &mut WebSocket<S>, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        match socket.read().expect("a message comes") {
            Message::Binary(payload) => bytes.extend_from_slice(&payload),
            Message::Pong(_) => (),
            other @ (Message::Text(_) | Message::Ping(_) | Message::Close(_) | Message::Frame(_)) => {
                panic!("{other:?}")
            }
        }
    }
    bytes
}

/// Reads until the Close frame, and returns its code.
fn read_close<S: Read + Write>(socket: &mut WebSocket<S>) -> Option<CloseCode> {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => return frame.map(|frame| frame.code),
            Ok(_) => (),
            Err(error) => panic!("{error}"),
        }
    }
}

// proves 5.0: MQTT-6.0.0-4
// proves 3.1.1: MQTT-6.0.0-4
#[test]
fn messages_of_all_sizes_are_echoed() {
    let harness = start(&Behaviour::Echo, WebSocketConfig::default());
    let mut socket = open(harness.connect());
    let mut total = 0;
    for length in [1, 125, 126, 65_535, 65_536, 200_000] {
        let bytes: Vec<u8> = (0..251).cycle().take(length).collect();
        socket.send(Message::binary(bytes.clone())).unwrap();
        assert!(read_bytes(&mut socket, length) == bytes, "{length}");
        total += length;
    }
    let log = harness.wait_until(|log| log.written_bytes == total);
    assert_eq!(log.received_bytes, total);
    socket.close(None).unwrap();
    assert_eq!(read_close(&mut socket), Some(CloseCode::Normal), "the client's close is answered");
    harness.wait_until(|log| log.closed_count == 1);
    let counts = harness.stop();
    assert_eq!((counts.websocket_refusals, counts.broken, counts.close_timeouts), (0, 0, 0));
}

// proves 5.0: MQTT-6.0.0-2
// proves 3.1.1: MQTT-6.0.0-2
#[test]
fn pings_are_answered_between_the_frames_of_a_message() {
    let harness = start(&Behaviour::Echo, WebSocketConfig::default());
    let mut socket = open(harness.connect());
    let frame = |payload: &'static [u8], opcode, is_final| {
        Message::Frame(Frame::message(payload, OpCode::Data(opcode), is_final))
    };
    socket.send(frame(b"one ", Data::Binary, false)).unwrap();
    assert_eq!(read_bytes(&mut socket, 4), b"one ");
    socket.send(Message::Ping(Bytes::from_static(b"alive?"))).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(Bytes::from_static(b"alive?")));
    socket.send(frame(b"message", Data::Continue, true)).unwrap();
    assert_eq!(read_bytes(&mut socket, 7), b"message");
    harness.stop();
}

// proves 5.0: MQTT-6.0.0-1
// proves 3.1.1: MQTT-6.0.0-1
#[test]
fn over_tls_it_is_the_same() {
    let certificates = Certificates::new();
    let layers = certificates.layers(&HandshakeSpec::new("handshakes", None), Some(WebSocketConfig::default()));
    let harness = Harness::start_layered(&config(), &Behaviour::Echo, layers);
    let client = Arc::new(certificates.client(None, &[&TLS13]));
    let mut socket = open(connect(harness.address, &client));
    for length in [1, 20_000, 100_000] {
        socket.send(Message::binary(vec![3; length])).unwrap();
        assert!(read_bytes(&mut socket, length).iter().all(|byte| *byte == 3));
    }
    socket.send(Message::Ping(Bytes::new())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(Bytes::new()));
    socket.send(Message::text("not MQTT")).unwrap();
    assert_eq!(read_close(&mut socket), Some(CloseCode::Unsupported));
    harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(harness.stop().websocket_refusals, 1);
}

#[test]
fn a_request_one_byte_at_a_time_is_answered() {
    let harness = start(&Behaviour::Echo, WebSocketConfig::default());
    let mut peer = harness.connect();
    peer.set_nodelay(true).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    for byte in request.as_bytes() {
        peer.write_all(&[*byte]).unwrap();
    }
    // A masked frame of two bytes, right behind.
    peer.write_all(&[0x82, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2]).unwrap();
    let mut answer = [0; 1_024];
    let mut count = 0;
    while !answer[..count].ends_with(b"\x82\x02hi") {
        let more = peer.read(&mut answer[count..]).unwrap();
        assert!(more > 0, "{}", String::from_utf8_lossy(&answer[..count]));
        count += more;
    }
    harness.stop();
}

#[test]
fn frames_that_follow_the_request_at_once_are_not_lost() {
    let harness = start(&Behaviour::Echo, WebSocketConfig::default());
    let mut peer = harness.connect();
    let mut request =
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
            .to_vec();
    request.extend_from_slice(&[0x82, 0x81, 0, 0, 0, 0, b'x']);
    peer.write_all(&request).unwrap();
    harness.wait_until(|log| log.received_bytes == 1 && log.written_bytes == 1);
    harness.stop();
}

/// What a peer reads until the end.
fn read_all(peer: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).expect("the answer ends in good order");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn what_opens_no_websocket_is_told_why() {
    let rules =
        WebSocketConfig { header_bytes_max: 1_000, path: Some("/mqtt".to_owned()), ..WebSocketConfig::default() };
    let harness = start(&Behaviour::Echo, rules);
    let large = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(2_000));
    let without_end = format!("GET /{}", "x".repeat(2_000));
    for (request, status) in [
        (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00".as_slice(), "400"),
        (b"\x16\x03\x01\x02\x00", "400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        (b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        (large.as_bytes(), "431"),
        (without_end.as_bytes(), "431"),
    ] {
        let mut client = harness.connect();
        client.write_all(request).unwrap();
        let answer = read_all(&mut client);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let log = harness.wait_until(|log| log.closed_count == 6);
    assert_eq!(log.received_bytes, 0);
    assert_eq!(harness.stop().websocket_refusals, 6);
}

#[test]
fn a_client_that_does_not_offer_mqtt_is_refused() {
    let harness = start(&Behaviour::Echo, WebSocketConfig::default());
    let failure = tungstenite::client("ws://localhost/".into_client_request().unwrap(), harness.connect());
    let Err(HandshakeError::Failure(tungstenite::Error::Http(response))) = failure else { panic!("{failure:?}") };
    assert_eq!(response.status(), 400);
    assert!(String::from_utf8_lossy(response.body().as_ref().unwrap()).contains("mqtt"));
    harness.stop();
}

#[test]
fn frames_and_messages_past_their_limits_close_with_1009() {
    let rules = WebSocketConfig { frame_bytes_max: 1_000, message_bytes_max: 1_500, ..WebSocketConfig::default() };
    let harness = start(&Behaviour::Count, rules);
    let mut socket = open(harness.connect());
    socket.send(Message::binary(vec![0; 1_001])).unwrap();
    assert_eq!(read_close(&mut socket), Some(CloseCode::Size));
    let mut socket = open(harness.connect());
    for opcode in [Data::Binary, Data::Continue] {
        let frame = Frame::message(vec![0; 1_000], OpCode::Data(opcode), false);
        socket.send(Message::Frame(frame)).unwrap();
    }
    assert_eq!(read_close(&mut socket), Some(CloseCode::Size));
    let log = harness.wait_until(|log| log.closed_count == 2);
    assert_eq!(log.received_bytes, 1_000, "what came before the fault is good");
    harness.stop();
}

#[test]
fn a_broken_rule_closes_with_1002() {
    let harness = start(&Behaviour::Count, WebSocketConfig::default());
    let mut socket = open(harness.connect());
    let header = FrameHeader { rsv1: true, ..FrameHeader::default() };
    socket.send(Message::Frame(Frame::from_payload(header, Bytes::new()))).unwrap();
    assert_eq!(read_close(&mut socket), Some(CloseCode::Protocol));
    let mut socket = open(harness.connect());
    socket.get_mut().write_all(b"\x82\x05hello").unwrap();
    assert_eq!(read_close(&mut socket), Some(CloseCode::Protocol), "a frame without mask");
    harness.wait_until(|log| log.closed_count == 2);
    harness.stop();
}

#[test]
fn what_the_actor_says_goes_out_before_the_close_frame() {
    let farewell = vec![9; 300_000];
    let harness = start(&Behaviour::AnswerAndClose(Bytes::from(farewell.clone())), WebSocketConfig::default());
    let mut socket = open(harness.connect());
    socket.send(Message::binary(b"bye".as_slice())).unwrap();
    assert!(read_bytes(&mut socket, 300_000) == farewell);
    assert_eq!(read_close(&mut socket), Some(CloseCode::Normal));
    let log = harness.wait_until(|log| log.closed_count == 1);
    assert_eq!(log.written_bytes, 300_000);
    harness.stop();
}

#[test]
fn a_flood_of_pings_costs_one_answer_a_read() {
    let harness = start(&Behaviour::Count, WebSocketConfig::default());
    let mut socket = open(harness.connect());
    // The peer reads nothing meanwhile: answers of many pings would fill the memory.
    let ping = [0x89_u8, 0x82, 0, 0, 0, 0, b'h', b'i'].repeat(50_000);
    socket.get_mut().write_all(&ping).unwrap();
    socket.send(Message::binary(b"end".as_slice())).unwrap();
    let log = harness.wait_until(|log| log.received_bytes == 3);
    assert_eq!(log.closed_count, 0);
    let counts = harness.stop();
    assert!(counts.writes <= counts.reads + 1, "{counts:?}");
}
